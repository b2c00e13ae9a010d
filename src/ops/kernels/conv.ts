/**
 * @file Convolutions in plain loops, any strides, dilations, padding and layout: the reference, and what runs float64
 * and int32. Images and volumes are in the window's format, filters (D)HWIO (depthwise [kh, kw, in, multiplier]). Start
 * at `walkTaps`.
 */

import { sizeOf, type Tensor } from "../../base/index.ts";
import { type AnyWindow, alongOf, type Frame, frameOf } from "./frame.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** Offsets of one pair of image position and output position that a filter tap connects. */
type Visit = (image: number, output: number, tap: number) => void;

/** Visits every (image position, output position, tap); offsets are those of channel 0, and the tap counts from 0. */
function walkTaps(x: Frame, y: Frame, window: AnyWindow, visit: Visit): void {
  const [along, down, across] = alongOf(window);
  for (let n = 0; n < x.batch; n++) {
    for (let od = 0; od < y.depth; od++) {
      for (let oh = 0; oh < y.height; oh++) {
        for (let ow = 0; ow < y.width; ow++) {
          const out = y.at(n, od, oh, ow);
          for (let t = 0; t < along.kernel; t++) {
            const d = od * along.stride + t * along.dilation - x.front;
            if (d < 0 || d >= x.depth) continue;
            for (let i = 0; i < down.kernel; i++) {
              const h = oh * down.stride + i * down.dilation - x.top;
              if (h < 0 || h >= x.height) continue;
              const row = (t * down.kernel + i) * across.kernel;
              for (let j = 0; j < across.kernel; j++) {
                const w = ow * across.stride + j * across.dilation - x.left;
                if (w >= 0 && w < x.width) visit(x.at(n, d, h, w), out, row + j);
              }
            }
          }
        }
      }
    }
  }
}

/**
 * Which elements a tap of a filter joins: image channel, output channel and the filter's element, relative to the
 * visited offsets.
 */
interface Wiring {
  readonly taps: number;
  readonly image: Int32Array;
  readonly output: Int32Array;
  readonly filter: Int32Array;
}

function fullWiring(filterShape: readonly number[], channels: number): Wiring {
  const [i, o] = filterShape.slice(-2) as [number, number];
  const groups = i === 0 ? 1 : channels / i;
  const image = new Int32Array(i * o);
  const output = new Int32Array(i * o);
  for (let a = 0; a < i; a++) {
    for (let b = 0; b < o; b++) {
      image[a * o + b] = Math.floor(b / (o / groups)) * i + a;
      output[a * o + b] = b;
    }
  }
  return { taps: i * o, image, output, filter: Int32Array.from(image.keys()) };
}

/** Output channel c * multiplier + m sees image channel c alone. */
function depthwiseWiring(filterShape: readonly number[]): Wiring {
  const [, , c, m] = filterShape as [number, number, number, number];
  const each = Int32Array.from({ length: c * m }, (_, k) => k);
  return { taps: c * m, image: each.map((k) => Math.floor(k / m)), output: each, filter: each };
}

const times = (a: number, b: number): number => a * b;

/** Runs over all products of a convolution: for each, the three element offsets. */
function walk(x: Frame, y: Frame, wiring: Wiring, window: AnyWindow, product: Visit): void {
  const { taps, image, output, filter } = wiring;
  walkTaps(x, y, window, (xAt, yAt, tap) => {
    for (let k = 0; k < taps; k++) {
      product(xAt + image[k]! * x.step, yAt + output[k]! * y.step, tap * taps + filter[k]!);
    }
  });
}

/** What the three kernels share: frames of image and output, and the wiring. */
function setUp(
  imageShape: readonly number[],
  outShape: readonly number[],
  filterShape: readonly number[],
  window: AnyWindow,
  depthwise: boolean,
): { x: Frame; y: Frame; wiring: Wiring } {
  const x = frameOf(imageShape, window);
  const y = frameOf(outShape, window);
  return { x, y, wiring: depthwise ? depthwiseWiring(filterShape) : fullWiring(filterShape, x.channels) };
}

/** Accumulator: doubles, or int32 that wraps. */
const accumulator = (t: Tensor, size: number): Float64Array | Int32Array =>
  t.dtype === "int32" ? new Int32Array(size) : new Float64Array(size);

/** Convolution of `x` with `filter` (no flip). @param outShape - as `windowed` says */
export function conv(
  x: Tensor,
  filter: Tensor,
  outShape: readonly number[],
  window: AnyWindow,
  depthwise = false,
): Tensor {
  const { x: image, y, wiring } = setUp(x.shape, outShape, filter.shape, window, depthwise);
  const [a, f, out] = [numbersOf(x), numbersOf(filter), accumulator(x, sizeOf(outShape))];
  const mul = x.dtype === "int32" ? Math.imul : times;
  walk(image, y, wiring, window, (i, o, k) => {
    out[o]! += mul(a[i]!, f[k]!);
  });
  return fromNumbers(x.dtype, outShape, out);
}

/** Gradient of `conv` for the image, whose shape is `shape`. */
export function convInputGrad(
  shape: readonly number[],
  filter: Tensor,
  dy: Tensor,
  window: AnyWindow,
  depthwise = false,
): Tensor {
  const { x: image, y, wiring } = setUp(shape, dy.shape, filter.shape, window, depthwise);
  const [f, d, out] = [numbersOf(filter), numbersOf(dy), accumulator(dy, sizeOf(shape))];
  const mul = dy.dtype === "int32" ? Math.imul : times;
  walk(image, y, wiring, window, (i, o, k) => {
    out[i]! += mul(d[o]!, f[k]!);
  });
  return fromNumbers(dy.dtype, shape, out);
}

/** Gradient of `conv` for the filter, whose shape is `shape`. */
export function convFilterGrad(
  x: Tensor,
  shape: readonly number[],
  dy: Tensor,
  window: AnyWindow,
  depthwise = false,
): Tensor {
  const { x: image, y, wiring } = setUp(x.shape, dy.shape, shape, window, depthwise);
  const [a, d, out] = [numbersOf(x), numbersOf(dy), new Float64Array(sizeOf(shape))];
  walk(image, y, wiring, window, (i, o, k) => {
    out[k]! += a[i]! * d[o]!;
  });
  return fromNumbers(x.dtype, shape, out);
}
