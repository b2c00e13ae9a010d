/** @file Local response normalization over the channels of an NHWC image. */

import type { Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

export interface LrnOptions {
  /** channels to each side */
  readonly depth_radius: number;
  readonly bias: number;
  readonly alpha: number;
  readonly beta: number;
}

/** bias + alpha · Σ x² over the channels near by, for each element of x. */
function norms(
  x: ArrayLike<number>,
  channels: number,
  { depth_radius: r, bias, alpha }: LrnOptions,
): Float64Array {
  const out = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += channels) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let k = Math.max(0, c - r); k <= Math.min(channels - 1, c + r); k++) sum += x[base + k]! ** 2;
      out[base + c] = bias + alpha * sum;
    }
  }
  return out;
}

/** x · norm^-beta. */
export function lrn(t: Tensor, options: LrnOptions): Tensor {
  const x = numbersOf(t);
  const norm = norms(x, t.shape[3]!, options);
  return fromNumbers(
    t.dtype,
    t.shape,
    norm.map((n, i) => x[i]! * n ** -options.beta),
  );
}

/** dx = dy · norm^-beta - 2 · alpha · beta · x · Σ dy · y / norm over the channels near by. */
export function lrnGrad(grads: Tensor, image: Tensor, output: Tensor, options: LrnOptions): Tensor {
  const [dy, x, y] = [grads, image, output].map(numbersOf) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const { depth_radius: r, alpha, beta } = options;
  const channels = image.shape[3]!;
  const norm = norms(x, channels, options);
  const dx = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += channels) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let k = Math.max(0, c - r); k <= Math.min(channels - 1, c + r); k++) {
        sum += (dy[base + k]! * y[base + k]!) / norm[base + k]!;
      }
      dx[base + c] = dy[base + c]! * norm[base + c]! ** -beta - 2 * alpha * beta * x[base + c]! * sum;
    }
  }
  return fromNumbers(image.dtype, image.shape, dx);
}
