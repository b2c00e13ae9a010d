/**
 * @file Crops of images, each resized by sampling its box at a grid of points, and the gradients for image and boxes. In float32 step by
 * step as TensorFlow computes, so that points at the border of the image fall on the same side. Start at `crops`.
 *
 * @see TensorFlow core/kernels/image/crop_and_resize_op.cc
 */

import { sizeOf, type Tensor, zeros } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";
import { realsOf } from "./sampling.ts";

const f = Math.fround;

/** Where a row or column of a crop lies in the image, between two of the image's. */
interface Point {
  readonly lower: number;
  readonly upper: number;
  /** part of the way to `upper` */
  readonly part: number;
  readonly nearest: number;
}

/** The points of one side of a box; null outside the image. `start`, `end`: the box's side as parts of the image's. */
function pointsOf(start: number, end: number, size: number, count: number): (Point | null)[] {
  const last = size - 1;
  const step = count > 1 ? f(f(f(end - start) * last) / (count - 1)) : 0;
  return Array.from({ length: count }, (_, i) => {
    const at = count > 1 ? f(f(start * last) + f(i * step)) : f(0.5 * f(start + end) * last);
    if (!(at >= 0 && at <= last)) return null;
    const lower = Math.floor(at);
    return { lower, upper: Math.ceil(at), part: f(at - lower), nearest: Math.floor(at + 0.5) };
  });
}

/** Images [n, height, width, channels] and boxes [boxes, 4], y1, x1, y2, x2, each of the image that `images` says. */
export interface Boxes {
  readonly shape: readonly number[];
  readonly boxes: Tensor;
  readonly images: Tensor;
  /** height and width of each crop */
  readonly size: readonly [number, number];
}

/** Visits each sampled pixel: its offset in the crops, the offset of its image, and its points; null outside. */
function eachPixel(
  { shape, boxes, images, size }: Boxes,
  visit: (
    to: number,
    image: number,
    y: Point | null,
    x: Point | null,
    box: number,
    at: readonly number[],
  ) => void,
): void {
  const [, height, width, channels] = shape as [number, number, number, number];
  const corners = boxes.data as Float32Array;
  const owners = images.data as Int32Array;
  for (let box = 0; box < owners.length; box++) {
    const [y1, x1, y2, x2] = corners.subarray(box * 4, box * 4 + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const rows = pointsOf(y1, y2, height, size[0]);
    const columns = pointsOf(x1, x2, width, size[1]);
    const image = owners[box]! * height * width * channels;
    rows.forEach((y, i) => {
      columns.forEach((x, j) => {
        visit(((box * size[0] + i) * size[1] + j) * channels, image, y, x, box, [i, j]);
      });
    });
  }
}

/** Offsets of the four pixels around a point: top left, top right, bottom left, bottom right. */
function cornersAt(
  image: number,
  y: Point,
  x: Point,
  width: number,
  channels: number,
): [number, number, number, number] {
  const at = (row: number, column: number): number => image + (row * width + column) * channels;
  return [at(y.lower, x.lower), at(y.lower, x.upper), at(y.upper, x.lower), at(y.upper, x.upper)];
}

/** Crops [boxes, height, width, channels], float32; `outside` where a point is not in the image. */
export function crops(image: Tensor, places: Boxes, method: string, outside: number): Tensor {
  const [, , width, channels] = image.shape as [number, number, number, number];
  const from = realsOf(image);
  const shape = [places.images.shape[0]!, ...places.size, channels];
  const out = new Float32Array(sizeOf(shape));
  eachPixel(places, (to, start, y, x) => {
    if (y === null || x === null) {
      out.fill(outside, to, to + channels);
    } else if (method === "nearest") {
      const at = start + (y.nearest * width + x.nearest) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = from[at + c]!;
    } else {
      const [a, b, d, e] = cornersAt(start, y, x, width, channels);
      for (let c = 0; c < channels; c++) {
        const top = from[a + c]! + (from[b + c]! - from[a + c]!) * x.part;
        const bottom = from[d + c]! + (from[e + c]! - from[d + c]!) * x.part;
        out[to + c] = top + (bottom - top) * y.part;
      }
    }
  });
  return { dtype: "float32", shape, data: out };
}

/** Gradient of `crops` for an image of `dtype`: each dy goes to the pixels that it came of. */
export function cropGradImage(grads: Tensor, places: Boxes, method: string, dtype: Tensor["dtype"]): Tensor {
  const [, , width, channels] = places.shape as [number, number, number, number];
  const dy = numbersOf(grads);
  const out = new Float64Array(sizeOf(places.shape));
  eachPixel(places, (from, start, y, x) => {
    if (y === null || x === null) return;
    if (method === "nearest") {
      const at = start + (y.nearest * width + x.nearest) * channels;
      for (let c = 0; c < channels; c++) out[at + c]! += dy[from + c]!;
      return;
    }
    const [a, b, d, e] = cornersAt(start, y, x, width, channels);
    for (let c = 0; c < channels; c++) {
      const bottom = y.part * dy[from + c]!;
      const top = dy[from + c]! - bottom;
      out[a + c]! += (1 - x.part) * top;
      out[b + c]! += x.part * top;
      out[d + c]! += (1 - x.part) * bottom;
      out[e + c]! += x.part * bottom;
    }
  });
  return fromNumbers(dtype, places.shape, out);
}

/** Gradient of bilinear `crops` for the boxes: the slope of the image at each point, times how a corner moves the point. */
export function cropGradBoxes(grads: Tensor, image: Tensor, places: Boxes): Tensor {
  const [, height, width, channels] = places.shape as [number, number, number, number];
  const dy = numbersOf(grads);
  const from = realsOf(image);
  const result = zeros("float32", [places.images.shape[0]!, 4]);
  const out = new Float64Array(sizeOf(result.shape));
  const shares = [height, width].map((side, axis) => shareOf(side, places.size[axis]!));
  eachPixel(places, (to, start, y, x, box, at) => {
    if (y === null || x === null) return;
    const [a, b, d, e] = cornersAt(start, y, x, width, channels);
    const slope = [0, 0];
    for (let c = 0; c < channels; c++) {
      const [tl, tr, bl, br] = [from[a + c]!, from[b + c]!, from[d + c]!, from[e + c]!];
      slope[0]! += dy[to + c]! * ((1 - x.part) * (bl - tl) + x.part * (br - tr));
      slope[1]! += dy[to + c]! * ((1 - y.part) * (tr - tl) + y.part * (br - bl));
    }
    for (const axis of [0, 1] as const) {
      const [first, second] = shares[axis]!(at[axis]!);
      out[box * 4 + axis]! += slope[axis]! * first;
      out[box * 4 + 2 + axis]! += slope[axis]! * second;
    }
  });
  return fromNumbers("float32", result.shape, out);
}

/** By how much a point of a box moves, in pixels, with each end of its side. */
function shareOf(side: number, count: number): (i: number) => readonly [number, number] {
  const last = side - 1;
  if (count <= 1) return () => [0.5 * last, 0.5 * last];
  return (i) => [last - (i * last) / (count - 1), (i * last) / (count - 1)];
}
