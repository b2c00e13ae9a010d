/**
 * @file Batch normalization and sums over channels, on blocked and on NCHW images alike. Vectors are [C] names. Statistics are centred
 * (two passes): the one-pass form loses digits where the mean is large against the deviation.
 */

import { affine, dot } from "./blocked-conv.ts";
import type { Emitter } from "./emitter.ts";

/** An image in memory [N,C,H,W], blocked or not. */
export interface Image {
  readonly id: string;
  readonly blocked: boolean;
  readonly batch: number | null;
  readonly channels: number;
  /** height and width */
  readonly size: readonly [number | null, number | null];
}

const known = (x: Image): boolean => x.batch !== null && x.size[0] !== null && x.size[1] !== null;

/** Number of elements a channel, as a float32 scalar name. */
export function countPerChannel(e: Emitter, x: Image): string {
  if (known(x)) return e.filled(x.batch! * x.size[0]! * x.size[1]!, []);
  const dims = e.emit("Gather", [e.emit("Shape", [x.id]), e.ints([0, 2, 3])], { axis: 0 });
  return e.emit("Cast", [e.emit("ReduceProd", [dims], { keepdims: 0 })], { to: 1 });
}

/** Mean over batch, height and width. @returns [C] */
export function channelMean(e: Emitter, x: Image): string {
  const perImage = x.blocked
    ? e.emit("GlobalAveragePool", [x.id], {}, "com.microsoft.nchwc")
    : e.emit("GlobalAveragePool", [x.id]);
  return meanOverBatch(e, e.reshape(perImage, [-1, x.channels]), x);
}

/** [N,C] to its mean over N. A product with a vector is far quicker than ReduceMean over the leading axis. */
function meanOverBatch(e: Emitter, rows: string, x: Image): string {
  if (x.batch === null) return e.emit("ReduceMean", [rows, e.ints([0])], { keepdims: 0 });
  if (x.batch === 1) return e.reshape(rows, [x.channels]);
  return e.reshape(e.emit("MatMul", [e.filled(1 / x.batch, [1, x.batch]), rows]), [x.channels]);
}

/** Sum over batch, height and width. @returns [C] */
export function channelSum(e: Emitter, x: Image): string {
  return e.emit("Mul", [channelMean(e, x), countPerChannel(e, x)]);
}

/** Sum over batch, height and width of x * y. @returns [C] */
export function channelDot(e: Emitter, x: Image, y: Image): string {
  if (x.blocked && known(x)) {
    const rows = dot(e, x.id, y.id, x.batch!, x.channels, x.size as [number, number]);
    return e.reshape(e.emit("MatMul", [e.filled(1, [1, x.batch!]), rows]), [x.channels]);
  }
  return channelSum(e, { ...x, id: e.emit("Mul", [x.id, y.id]) });
}

/** x * scale + bias, channel by channel; then + sum. Vectors are [C] names, "" for none. */
export function channelAffine(e: Emitter, x: Image, scale: string, bias: string, sum = ""): string {
  if (x.blocked) return affine(e, x.id, scale, bias, x.channels, sum);
  const column = (v: string): string => e.reshape(v, [x.channels, 1, 1]);
  let y = scale === "" ? x.id : e.emit("Mul", [x.id, column(scale)]);
  if (bias !== "") y = e.emit("Add", [y, column(bias)]);
  return sum === "" ? y : e.emit("Add", [y, sum]);
}

const centred = (e: Emitter, x: Image, mean: string): Image => ({
  ...x,
  id: channelAffine(e, x, "", e.emit("Neg", [mean])),
});

const reciprocalDeviation = (e: Emitter, variance: string, epsilon: number): string =>
  e.emit("Reciprocal", [e.emit("Sqrt", [e.emit("Add", [variance, e.filled(epsilon, [])])])]);

/** y, mean and population variance of a batch. */
export function train(
  e: Emitter,
  x: Image,
  scale: string,
  offset: string,
  epsilon: number,
): { y: string; mean: string; variance: string } {
  const mean = channelMean(e, x);
  const c = centred(e, x, mean);
  const variance = e.emit("Div", [channelDot(e, c, c), countPerChannel(e, x)]);
  const factor = e.emit("Mul", [scale, reciprocalDeviation(e, variance, epsilon)]);
  return { y: channelAffine(e, c, factor, offset), mean, variance };
}

/** scale * (x - mean) / sqrt(variance + epsilon) + offset. */
export function infer(
  e: Emitter,
  x: Image,
  scale: string,
  offset: string,
  mean: string,
  variance: string,
  epsilon: number,
): string {
  const factor = e.emit("Mul", [scale, reciprocalDeviation(e, variance, epsilon)]);
  return channelAffine(e, x, factor, e.emit("Sub", [offset, e.emit("Mul", [mean, factor])]));
}

/** Gradients of batch normalization; in training through the statistics too. */
export function grad(
  e: Emitter,
  dy: Image,
  x: Image,
  scale: string,
  mean: string,
  variance: string,
  options: { readonly epsilon: number; readonly training: boolean },
): { dx: string; dscale: string; doffset: string } {
  const c = centred(e, x, mean);
  const rstd = reciprocalDeviation(e, variance, options.epsilon);
  const doffset = channelSum(e, dy);
  const product = channelDot(e, dy, c);
  const dscale = e.emit("Mul", [product, rstd]);
  const factor = e.emit("Mul", [scale, rstd]);
  if (!options.training) return { dx: channelAffine(e, dy, factor, ""), dscale, doffset };
  const share = e.emit("Neg", [e.emit("Div", [factor, countPerChannel(e, x)])]);
  const slope = e.emit("Mul", [share, e.emit("Mul", [dscale, rstd])]);
  const rest = channelAffine(e, c, slope, e.emit("Mul", [share, doffset]));
  return { dx: channelAffine(e, dy, factor, "", rest), dscale, doffset };
}
