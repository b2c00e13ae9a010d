/**
 * @file Batch normalization in plain loops, statistics in double. Start at `Channels`: any image as [outer, channels,
 * inner].
 */

import { sizeOf, type Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

type Numbers = ArrayLike<number>;

/** An image by channels: element (o, c, i) stands at (o * channels + c) * inner + i. */
export interface Channels {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
  /** elements of one channel */
  readonly count: number;
}

export function channelsOf(shape: readonly number[], axis: number): Channels {
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  return { outer, channels: shape[axis]!, inner, count: outer * inner };
}

function each(at: Channels, visit: (i: number, c: number) => void): void {
  let i = 0;
  for (let o = 0; o < at.outer; o++) {
    for (let c = 0; c < at.channels; c++) for (let k = 0; k < at.inner; k++) visit(i++, c);
  }
}

/** Per channel sum of `term`. */
function sums(at: Channels, term: (i: number, c: number) => number): Float64Array {
  const out = new Float64Array(at.channels);
  each(at, (i, c) => {
    out[c]! += term(i, c);
  });
  return out;
}

/** Mean and population variance of each channel; NaN where there is no element. */
export function moments(x: Tensor, axis: number): { mean: Float64Array; variance: Float64Array } {
  const at = channelsOf(x.shape, axis);
  const values = numbersOf(x);
  const mean = sums(at, (i) => values[i]!).map((s) => s / at.count);
  const variance = sums(at, (i, c) => (values[i]! - mean[c]!) ** 2).map((s) => s / at.count);
  return { mean, variance };
}

/** (x - mean) / √(variance + epsilon) * scale + offset. */
export function normalize(
  x: Tensor,
  axis: number,
  mean: Numbers,
  variance: Numbers,
  affine: { readonly scale: Tensor; readonly offset: Tensor; readonly epsilon: number },
): Tensor {
  const [values, scale, offset] = [numbersOf(x), numbersOf(affine.scale), numbersOf(affine.offset)];
  const factor = Float64Array.from(variance, (v, c) => scale[c]! / Math.sqrt(v + affine.epsilon));
  const out = new Float64Array(values.length);
  each(channelsOf(x.shape, axis), (i, c) => {
    out[i] = (values[i]! - mean[c]!) * factor[c]! + offset[c]!;
  });
  return fromNumbers(x.dtype, x.shape, out);
}

/**
 * Gradients of batch normalization. In training the statistics depend on x:
 * dx = scale / √(v + ε) * (dy - mean(dy) - (x - m) * mean(dy (x - m)) / (v + ε)).
 */
export function normGrad(
  dy: Tensor,
  x: Tensor,
  axis: number,
  statistics: { readonly mean: Numbers; readonly variance: Numbers },
  options: { readonly scale: Numbers; readonly epsilon: number; readonly training: boolean },
): { dx: Tensor; dscale: Float64Array; doffset: Float64Array } {
  const at = channelsOf(x.shape, axis);
  const [values, grads] = [numbersOf(x), numbersOf(dy)];
  const { mean } = statistics;
  const { scale, epsilon, training } = options;
  const rstd = Float64Array.from(statistics.variance, (v) => 1 / Math.sqrt(v + epsilon));
  const doffset = sums(at, (i) => grads[i]!);
  const product = sums(at, (i, c) => grads[i]! * (values[i]! - mean[c]!));
  const out = new Float64Array(values.length);
  const share = training ? 1 / at.count : 0;
  each(at, (i, c) => {
    const through = (doffset[c]! + (values[i]! - mean[c]!) * product[c]! * rstd[c]! ** 2) * share;
    out[i] = (grads[i]! - through) * scale[c]! * rstd[c]!;
  });
  return {
    dx: fromNumbers(x.dtype, x.shape, out),
    dscale: product.map((p, c) => p * rstd[c]!),
    doffset,
  };
}
