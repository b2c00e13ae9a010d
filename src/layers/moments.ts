/** @file Mean and variance, and normalization by them. @see TensorFlow python/ops/nn_impl.py */

import type { Output } from "../graph/index.ts";
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
