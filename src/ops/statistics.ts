/** @file Statistics made of reductions: log-sum-exp, variance, moments, normalization to length 1. */

import { isComplex, isInteger, VarscopeError } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { apply, sub } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { type ReduceOptions, reduceMax, reduceMean, reduceSum } from "./reduce.ts";

/** ln Σ exp(x) along `axis`, without overflow. Named "ReduceLogSumExp". @see TensorFlow python/ops/math_ops.py "reduce_logsumexp" */
export function reduceLogsumexp(x: Output, options: ReduceOptions = {}): Output {
  const { axis = null, keepDims = false, name = "ReduceLogSumExp" } = options;
  const g = x.graph;
  return g.nameScope(name, (scope) => {
    const largest = reduceMax(x, { axis, keepDims: true });
    const finite = apply("SelectV2", apply("IsFinite", largest), largest, 0);
    const shift = apply("StopGradient", finite);
    const sum = reduceSum(apply("Exp", apply("Sub", x, shift)), { axis, keepDims });
    const log = apply("Log", sum);
    const back = keepDims ? shift : pieces.reshape(shift, g.add("Shape", [log]));
    return g.add("AddV2", [log, back], { name: scope });
  });
}

/**
 * Population variance of `x` along `axis`. Named "reduce_variance/Mean_1".
 *
 * @throws VarscopeError INVALID_ARGUMENT - x is of integers
 */
export function reduceVariance(x: Output, options: ReduceOptions = {}): Output {
  const { axis = null, keepDims = false, name = "reduce_variance" } = options;
  if (isInteger(x.dtype))
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Input must be either real or complex. Received integer type ${x.dtype}.`,
    );
  const g = x.graph;
  return g.nameScope(name, () => {
    const difference = sub(x, reduceMean(x, { axis, keepDims: true }));
    if (!isComplex(x.dtype)) return reduceMean(apply("Square", difference), { axis, keepDims });
    const square = apply("Mul", apply("Conj", difference), difference);
    const real = g.add("Real", [square], {
      attrs: { Tout: x.dtype === "complex64" ? "float32" : "float64" },
    });
    return reduceMean(real, { axis, keepDims });
  });
}

/** Standard deviation of the population `x` along `axis`. Named "reduce_std/Sqrt". */
export function reduceStd(x: Output, options: ReduceOptions = {}): Output {
  const { name = "reduce_std", ...rest } = options;
  return x.graph.nameScope(name, () =>
    apply("Sqrt", reduceVariance(x, { ...rest, name: "reduce_variance" })),
  );
}

/**
 * Mean and population variance of `x` over `axes`; float16 is computed in float32. Named "moments/...".
 *
 * @see TensorFlow python/ops/nn_impl.py "moments"
 */
export function moments(
  x: Output,
  axes: readonly number[],
  options: { readonly keepDims?: boolean; readonly name?: string } = {},
): { readonly mean: Output; readonly variance: Output } {
  const { keepDims = false, name = "moments" } = options;
  const g = x.graph;
  return g.nameScope(name, () => {
    const y = x.dtype === "float16" ? pieces.cast(x, "float32") : x;
    let mean = reduceMean(y, { axis: axes, keepDims: true, name: "mean" });
    const square = apply("SquaredDifference", y, apply("StopGradient", mean));
    let variance = reduceMean(square, { axis: axes, keepDims: true, name: "variance" });
    if (!keepDims) {
      mean = g.add("Squeeze", [mean], { attrs: { squeeze_dims: axes } });
      variance = g.add("Squeeze", [variance], { attrs: { squeeze_dims: axes } });
    }
    return x.dtype === "float16"
      ? { mean: pieces.cast(mean, "float16"), variance: pieces.cast(variance, "float16") }
      : { mean, variance };
  });
}

/** x / max(√Σx², √epsilon) along `axis`. Named "l2_normalize". @see TensorFlow python/ops/nn_impl.py "l2_normalize" */
export function l2Normalize(x: Output, options: ReduceOptions & { readonly epsilon?: number } = {}): Output {
  const { axis = null, epsilon = 1e-12, name = "l2_normalize" } = options;
  const g = x.graph;
  return g.nameScope(name, (scope) => {
    const sum = reduceSum(apply("Square", x), { axis, keepDims: true });
    const inverse = apply("Rsqrt", apply("Maximum", sum, epsilon));
    return g.add("Mul", [x, inverse], { name: scope });
  });
}
