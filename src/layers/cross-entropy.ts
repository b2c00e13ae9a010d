/**
 * @file Softmax cross entropy as Python builds it: logits and labels as matrices, the losses back in shape.
 *
 * @see TensorFlow python/ops/nn_ops.py "softmax_cross_entropy_with_logits_v2", "_flatten_outer_dims"
 */

import { mergeShapes } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { cast, rank, shape as shapeOf } from "../ops/index.ts";

/**
 * Cross entropy of each row of the last axis.
 *
 * @param labels - distributions, shaped as logits
 * @returns the shape without the last axis
 */
export function flattenedCrossEntropy(labels: Output, logits: Output, name: string): Output {
  const { graph: g } = logits;
  return g.nameScope(name, (scope) => {
    const isHalf = logits.dtype === "float16" || logits.dtype === "bfloat16";
    const precise = isHalf ? cast(logits, "float32") : logits;
    const target = cast(labels, precise.dtype);
    const inputRank = rank(precise);
    const inputShape = shapeOf(precise);
    const rows = [precise, target].map(asMatrix) as [Output, Output];
    const cost = g.add("SoftmaxCrossEntropyWithLogits", rows, { name: scope });
    const outer = g.add("Sub", [inputRank, 1]);
    const dims = g.nameScope("Slice", (at) => {
      const begin = g.constant([0], { dtype: "int32", name: "begin" });
      return g.add("Slice", [inputShape, begin, g.add("Pack", [[outer]], { name: "size" })], { name: at });
    });
    const out = g.add("Reshape", [cost, dims]);
    if (logits.shape !== null) out.shape = mergeShapes(out.shape, logits.shape.slice(0, -1));
    return isHalf ? cast(out, logits.dtype) : out;
  });
}

/** All axes but the last as one. */
function asMatrix(x: Output): Output {
  const { graph: g } = x;
  const r = rank(x);
  const dims = shapeOf(x);
  const before = g.add("Sub", [r, 1]);
  const last = g.nameScope("Slice", (at) => {
    const begin = g.add("Pack", [[before]], { name: "begin" });
    const size = g.constant([1], { dtype: "int32", name: "size" });
    return g.add("Slice", [dims, begin, size], { name: at });
  });
  const shape = g.nameScope("concat", (at) => {
    const rest = g.constant([-1], { dtype: "int32", name: "values_0" });
    const axis = g.constant(0, { dtype: "int32", name: "axis" });
    return g.add("ConcatV2", [[rest, last], axis], { name: at });
  });
  const y = g.add("Reshape", [x, shape]);
  const outer = x.shape?.slice(0, -1);
  if (outer?.every((d) => d !== null)) {
    y.shape = mergeShapes(y.shape, [(outer as number[]).reduce((a, b) => a * b, 1), x.shape!.at(-1)!]);
  }
  return y;
}
