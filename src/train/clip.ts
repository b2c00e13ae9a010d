/** @file Clipping of tensors and gradients, by value and by norm. @see TensorFlow python/ops/clip_ops.py */

import { VarscopeError } from "../base/index.ts";
import { type Grad, type IndexedSlices, isIndexedSlices, Output } from "../graph/index.ts";
import { onesLike, range, rank } from "../ops/index.ts";

const valuesOf = (x: Grad): Output => (isIndexedSlices(x) ? x.values : x);
const like = <X extends Grad>(x: X, values: Output): X =>
  (isIndexedSlices(x) ? { ...(x as IndexedSlices), values } : values) as X;

/** All axes of `x`, as Python's reductions make them: a Const "Const", or a range of the rank where that is unknown or 0. */
function allAxes(x: Output): Output {
  const { graph } = x;
  if (!x.shape?.length) return range(graph, 0, rank(x));
  return graph.constant([...x.shape.keys()], { dtype: "int32", shape: [x.shape.length] });
}

/** max(min(x, max), min), element by element. Of IndexedSlices: their values. */
export function clipByValue<X extends Grad>(
  x: X,
  min: number | Output,
  max: number | Output,
  options: { readonly name?: string } = {},
): X {
  const values = valuesOf(x);
  const { graph } = values;
  const clipped = graph.nameScope(options.name ?? "clip_by_value", (scope) =>
    graph.add("Maximum", [graph.add("Minimum", [values, max]), min], { name: scope }),
  );
  return like(x, clipped);
}

/** x · clipNorm / max(‖x‖, clipNorm): the L2 norm over `axes` (all by default) is at most `clipNorm`. */
export function clipByNorm<X extends Grad>(
  x: X,
  clipNorm: number | Output,
  options: { readonly axes?: readonly number[]; readonly name?: string } = {},
): X {
  const values = valuesOf(x);
  const { graph } = values;
  const clipped = graph.nameScope(options.name ?? "clip_by_norm", (scope) => {
    const limit = clipNorm instanceof Output ? graph.add("Maximum", [clipNorm, 0]) : Math.max(clipNorm, 0);
    const squares = graph.add("Mul", [values, values], { name: "mul" });
    const axes = options.axes === undefined ? allAxes(values) : axesOf(options.axes, values);
    const sum = graph.add("Sum", [squares, axes], { attrs: { keep_dims: true } });
    const positive = graph.add("Greater", [sum, 0]);
    // so that the gradient at zero is zero, not NaN
    const safe = graph.add("Select", [positive, sum, onesLike(sum)]);
    const norm = graph.add("Select", [positive, graph.add("Sqrt", [safe]), sum]);
    const scaled = graph.add("Mul", [values, limit], { name: "mul" });
    const divided = graph.add("RealDiv", [scaled, graph.add("Maximum", [norm, limit])], { name: "truediv" });
    return graph.add("Identity", [divided], { name: scope });
  });
  return like(x, clipped);
}

const axesOf = (axes: readonly number[], x: Output): Output =>
  x.graph.constant([...axes], { dtype: "int32", name: "Sum/reduction_indices" });

/** √(Σ ‖x‖²) over all tensors; nulls do not count. @throws VarscopeError INVALID_ARGUMENT - there is none */
export function globalNorm(xs: readonly (Grad | null)[], options: { readonly name?: string } = {}): Output {
  const given = xs.filter((x) => x !== null).map(valuesOf);
  if (given.length === 0)
    throw new VarscopeError("INVALID_ARGUMENT", "a global norm needs at least one tensor");
  const { graph } = given[0]!;
  return graph.nameScope(options.name ?? "global_norm", () => {
    const halves = given.map((x) => graph.colocateWith(x, () => graph.add("L2Loss", [x])));
    const stacked = graph.add("Pack", [halves], { name: "stack" });
    const half = graph.add("Sum", [stacked, allAxes(stacked)]);
    const doubled = graph.add("Mul", [half, graph.constant(2, { dtype: half.dtype })], { name: "mul" });
    return graph.add("Sqrt", [doubled], { name: "global_norm" });
  });
}

/**
 * All tensors scaled by clipNorm / max(globalNorm, clipNorm). A norm that is not finite makes all results NaN.
 *
 * @returns the tensors, nulls in place, and the norm before clipping
 */
export function clipByGlobalNorm<X extends Grad | null>(
  xs: readonly X[],
  clipNorm: number | Output,
  options: { readonly useNorm?: Output; readonly name?: string } = {},
): readonly [X[], Output] {
  const named = options.name === undefined ? {} : { name: options.name };
  const norm = options.useNorm ?? globalNorm(xs, named);
  const { graph } = norm;
  const clipped = graph.nameScope(options.name ?? "clip_by_global_norm", (scope) => {
    const inverse = graph.add("RealDiv", [1, norm], { name: "truediv" });
    const one = graph.constant(1, { dtype: norm.dtype });
    const least = graph.add("Minimum", [inverse, graph.add("RealDiv", [one, clipNorm], { name: "truediv" })]);
    const finite = graph.add("Mul", [clipNorm, least], { name: "mul" });
    const scale = graph.add("AddV2", [finite, graph.add("Sub", [norm, norm], { name: "sub" })], {
      name: "add",
    });
    return xs.map((x, i) => {
      if (x === null) return x;
      const values = valuesOf(x);
      return graph.colocateWith(values, () => {
        const factor =
          values.dtype === scale.dtype
            ? scale
            : graph.add("Cast", [scale], { attrs: { DstT: values.dtype } });
        const scaled = graph.add("Mul", [values, factor], { name: "mul" });
        return like(x, graph.add("Identity", [scaled], { name: `${scope}_${i}` }));
      });
    });
  });
  return [clipped, norm];
}
