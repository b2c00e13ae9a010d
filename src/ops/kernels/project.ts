/**
 * @file Images seen through a projection: each pixel of the result is sampled where the projection puts it in the image.
 *
 * @see TensorFlow core/kernels/image/image_ops.h
 */

import { getElement, isFloat, setElement, type Tensor, toNumbers, zeros } from "../../base/index.ts";
import { realsOf } from "./sampling.ts";

const f = Math.fround;

/** Where a position outside the image is taken to lie. */
type Fill = (at: number, size: number) => number;

const clamped: Fill = (at, size) => Math.min(Math.max(at, 0), size - 1);

/** [d c b a | a b c d | d c b a] */
function reflected(at: number, size: number): number {
  if (size <= 1) return clamped(0, size);
  const period = 2 * size;
  if (at < 0) {
    const near = f(f(period * Math.trunc(f(-at / period))) + at);
    return clamped(near < -size ? f(near + period) : f(-near - 1), size);
  }
  if (at <= size - 1) return at;
  const near = f(at - f(period * Math.trunc(f(at / period))));
  return clamped(near >= size ? f(period - near - 1) : near, size);
}

/** [a b c d | a b c d | a b c d], as scipy has it: the period is one less where it is divided by. */
function wrapped(at: number, size: number): number {
  if (size <= 1) return clamped(0, size);
  if (at < 0) return clamped(f(at + f(size * (Math.trunc(f(-at / (size - 1))) + 1))), size);
  if (at <= size - 1) return at;
  return clamped(f(at - f(size * Math.trunc(f(at / (size - 1))))), size);
}

/** By the names that the attribute fill_mode takes. */
export const FILLS: Readonly<Record<string, Fill>> = {
  CONSTANT: (at) => at,
  NEAREST: clamped,
  REFLECT: reflected,
  WRAP: wrapped,
};

export interface Projection {
  /** [n or 1, 8]: rows of a 3x3 matrix without its last entry, 1 */
  readonly transforms: Tensor;
  readonly size: readonly [number, number];
  readonly bilinear: boolean;
  readonly fill: Fill;
  readonly fillValue: number;
}

/** Towards zero; 0 for what is no number. */
const wholeOf = (x: number): number => (Number.isFinite(x) ? Math.trunc(x) : 0);

/** As C's round: halves go away from zero. */
const round = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** @param images - [n, height, width, channels] */
export function projected(images: Tensor, projection: Projection): Tensor {
  const [n, height, width, channels] = images.shape as [number, number, number, number];
  const { size, bilinear, fill } = projection;
  const matrices = toNumbers(projection.transforms);
  const from = realsOf(images);
  const whole = !isFloat(images.dtype);
  const outside = whole ? wholeOf(projection.fillValue) : projection.fillValue;
  const out = zeros(images.dtype, [n, ...size, channels]);
  const read = (image: number, y: number, x: number, c: number): number =>
    y >= 0 && y < height && x >= 0 && x < width
      ? from[((image * height + y) * width + x) * channels + c]!
      : outside;
  const between = (image: number, y: number, x: number, c: number): number => {
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [down, right] = [f(y - top), f(x - left)];
    const row = (at: number): number =>
      f(f(f(left + 1 - x) * f(read(image, at, left, c))) + f(right * f(read(image, at, left + 1, c))));
    return f(f(f(top + 1 - y) * row(top)) + f(down * row(top + 1)));
  };
  let at = 0;
  for (let image = 0; image < n; image++) {
    const first = projection.transforms.shape[0] === 1 ? 0 : 8 * image;
    const [a, b, c, d, e, g, h, i] = matrices.slice(first, first + 8) as Eight;
    for (let y = 0; y < size[0]; y++) {
      for (let x = 0; x < size[1]; x++) {
        const depth = f(f(f(h * x) + f(i * y)) + 1);
        const along = (p: number, q: number, r: number, side: number): number =>
          fill(f(f(f(f(p * x) + f(q * y)) + r) / depth), side);
        const [u, v] = [along(a, b, c, width), along(d, e, g, height)];
        for (let k = 0; k < channels; k++) {
          const value =
            depth === 0 ? outside : bilinear ? between(image, v, u, k) : read(image, round(v), round(u), k);
          put(out, at++, whole ? wholeOf(value) : value);
        }
      }
    }
  }
  return out;
}

type Eight = [number, number, number, number, number, number, number, number];

function put(t: Tensor, index: number, value: number): void {
  setElement(t, index, typeof getElement(t, index) === "bigint" ? BigInt(value) : value);
}
