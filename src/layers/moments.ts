/** @file Mean and variance, and normalization by them. @see TensorFlow python/ops/nn_impl.py */

import type { Output } from "../graph/index.ts";
import { zerosLike } from "../ops/index.ts";
import { addWith, isVariable, type Variable } from "../variables/index.ts";

const cast = (x: Output, dtype: Output["dtype"]): Output =>
  x.dtype === dtype ? x : x.graph.add("Cast", [x], { attrs: { DstT: dtype } });

/** Mean and population variance of `x` over axes. float16 is computed in float32. @returns both without those axes, or with 1 there */
export function moments(
  x: Output,
  axes: readonly number[],
  options: { readonly keepDims?: boolean; readonly name?: string } = {},
): [Output, Output] {
  const { graph: g } = x;
  return g.nameScope(options.name ?? "moments", () => {
    const y = x.dtype === "float16" ? cast(x, "float32") : x;
    const mean = (of: Output, name: string): Output =>
      g.nameScope(name, (scope) => {
        const over = g.constant([...axes], {
          dtype: "int32",
          shape: [axes.length],
          name: "reduction_indices",
        });
        return g.add("Mean", [of, over], { name: scope, attrs: { keep_dims: true } });
      });
    const center = mean(y, "mean");
    const still = g.add("StopGradient", [center]);
    const spread = mean(g.add("SquaredDifference", [y, still]), "variance");
    const results = [center, spread].map((m) =>
      options.keepDims ? m : g.add("Squeeze", [m], { attrs: { squeeze_dims: [...axes] } }),
    );
    return results.map((m) => cast(m, x.dtype)) as [Output, Output];
  });
}

/**
 * Mean and population variance of `x` over axes, where each element counts as if it came `weights` times. float16 is computed in float32. Where all
 * weights are 0, both are 0.
 *
 * @param weights - any numbers that broadcast against x, as `[batch, 1, 1, 1]`
 * @returns both without those axes, or with 1 there
 */
export function weightedMoments(
  x: Output,
  axes: number | readonly number[],
  weights: Output | number,
  options: { readonly keepDims?: boolean; readonly name?: string } = {},
): [Output, Output] {
  const { graph: g } = x;
  const over = typeof axes === "number" ? [axes] : [...axes];
  return g.nameScope(options.name ?? "weighted_moments", () => {
    const given =
      typeof weights === "number"
        ? g.constant(weights, { dtype: "float32", name: "frequency_weights" })
        : weights;
    const y = x.dtype === "float16" ? cast(x, "float32") : x;
    const w = cast(given, y.dtype);
    const sum = (of: Output, name: string): Output =>
      g.nameScope(name, (scope) => {
        const shape = typeof axes === "number" ? [] : [over.length];
        const indices = g.constant(over, { dtype: "int32", shape, name: "reduction_indices" });
        return g.add("Sum", [of, indices], { name: scope, attrs: { keep_dims: true } });
      });
    const all = sum(g.add("Mul", [w, y], { name: "mul" }), "weighted_input_sum");
    const each = g.add("AddV2", [w, zerosLike(y)], { name: "add" });
    const count = sum(each, "sum_of_weights");
    const mean = g.add("DivNoNan", [all, count], { name: "div_no_nan" });
    const squares = g.add("Mul", [w, g.add("SquaredDifference", [y, mean])], { name: "mul" });
    const variance = g.add("DivNoNan", [sum(squares, "weighted_distsq"), count], { name: "div_no_nan" });
    const results = [mean, variance].map((m) =>
      options.keepDims ? m : g.add("Squeeze", [m], { attrs: { squeeze_dims: over } }),
    );
    return results.map((m) => cast(m, x.dtype)) as [Output, Output];
  });
}

export interface NormalizeOptions {
  readonly mean: Output | Variable;
  readonly variance: Output | Variable;
  readonly offset: Output | Variable | null;
  readonly scale: Output | Variable | null;
  /** added to the variance */
  readonly epsilon: number;
}

/** scale · (x - mean) / √(variance + epsilon) + offset, as x · s + (offset - mean · s). Named "batchnorm". */
export function normalize(x: Output, o: NormalizeOptions): Output {
  const { graph: g } = x;
  // where TensorFlow writes an operator, a variable on its left is read before the op has its name, one on its right after
  const left = (v: Output | Variable): Output => (isVariable(v) ? v.value() : v);
  return g.nameScope("batchnorm", () => {
    let inverse = g.add("Rsqrt", [g.add("AddV2", [left(o.variance), o.epsilon], { name: "add" })]);
    if (o.scale !== null) inverse = addWith(g, "Mul", [inverse, o.scale], { name: "mul" });
    const scaled = g.add("Mul", [x, cast(inverse, x.dtype)], { name: "mul" });
    let shift: Output;
    if (o.offset === null) {
      shift = g.add("Mul", [g.add("Neg", [left(o.mean)]), inverse], { name: "mul" });
    } else {
      const drift = g.add("Mul", [left(o.mean), inverse], { name: "mul" });
      shift = g.add("Sub", [left(o.offset), drift], { name: "sub" });
    }
    return g.add("AddV2", [scaled, cast(shift, x.dtype)], { name: "add" });
  });
}
