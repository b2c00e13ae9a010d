/**
 * @file The gradient of ConcatV2 and Concat: dy cut up again. It works on rows at indices too.
 *
 * @see TensorFlow python/ops/array_grad.py "_ConcatGradHelper"
 */

import { type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import {
  constantValue,
  contextOfOutput,
  type Grad,
  type Graph,
  type IndexedSlices,
  type Output,
} from "../graph/index.ts";
import * as pieces from "./pieces.ts";

/** From so many inputs on, TF cuts with one SplitV rather than a Slice for each. */
const MANY = 16;

/** Gradients of `values`, which were put next to each other along `axis`. */
export function concatGrad(g: Graph, dy: Grad, values: readonly Output[], axis: Output): Grad[] {
  if (values.length === 1) return [dy];
  const near = isConstantOfElsewhere(dy, axis)
    ? g.constant(axis.op.attrs.value as Tensor, { name: "Const" })
    : axis;
  const rank = pieces.rank(values[0]!);
  const dim = g.add("FloorMod", [near, rank], { name: "mod" });
  return pieces.isOutput(dy) ? denseParts(g, dy, values, dim) : slicedParts(g, dy, values, axis, dim);
}

/** Of another loop or branch than the gradient: TF makes it anew rather than let it through. */
const isConstantOfElsewhere = (dy: Grad, axis: Output): boolean =>
  axis.op.type === "Const" &&
  contextOfOutput(axis.op) !== contextOfOutput((pieces.isOutput(dy) ? dy : dy.values).op);

function denseParts(g: Graph, dy: Output, values: readonly Output[], dim: Output): Output[] {
  const sizes = inputShapes(values);
  if (sizes.length <= MANY) {
    const offsets = g.addOp("ConcatOffset", [dim, sizes]).outputs;
    return offsets.map((begin, i) => g.add("Slice", [dy, begin, sizes[i]!]));
  }
  const table = g.add("Pack", [sizes], { name: "stack", attrs: { axis: 1 } });
  const row = g.nameScope("Slice", (scope) => {
    const begin = pieces.pack(g, [dim, 0], "int32", "begin");
    return g.add("Slice", [table, begin, g.constant([1, -1], { dtype: "int32", name: "size" })], {
      name: scope,
    });
  });
  const lengths = g.add("Squeeze", [row]);
  return g.addOp("SplitV", [dy, lengths, dim], { name: "split", attrs: { num_split: values.length } })
    .outputs;
}

/** Shapes as Consts where all are known. As in TF, those made before an unknown one is met stay in the graph. */
function inputShapes(values: readonly Output[]): Output[] {
  const sizes: Output[] = [];
  for (const x of values) {
    const size = pieces.shape(x);
    if (size.op.type !== "Const") return pieces.shapeN(values);
    sizes.push(size);
  }
  return sizes;
}

function slicedParts(
  g: Graph,
  dy: IndexedSlices,
  values: readonly Output[],
  axis: Output,
  dim: Output,
): Grad[] {
  const known = constantValue(axis);
  if (known === null) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "Can only compute IndexedSlices gradient with statically-known concat_dim",
    );
  }
  let at = toNumbers(known)[0]!;
  if (at < 0) {
    const rank = pieces.rank(values[0]!);
    const rankValue = constantValue(rank);
    if (rankValue === null) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        "Can only compute IndexedSlices gradient with negative concat_dim when first value rank is statically-known.",
      );
    }
    at += toNumbers(rankValue)[0]!;
  }
  const sizes = values.map((x) => pieces.shape(x));
  return at > 0 ? cutValues(g, dy, sizes, dim) : pickRows(g, dy, sizes, dim);
}

/** Along a later axis: every part has all the indices, and its columns of the values. */
function cutValues(g: Graph, dy: IndexedSlices, sizes: readonly Output[], dim: Output): Grad[] {
  const rank = pieces.shape(sizes[0]!);
  const before = pieces.zeros(g, g.add("ExpandDims", [dim, 0], { attrs: { Tdim: "int32" } }), {
    dtype: "int32",
  });
  const rest = g.add("Sub", [g.add("Sub", [rank, dim], { name: "sub" }), 1], { name: "sub" });
  const after = pieces.zeros(g, rest, { dtype: "int32" });
  const mask = g.add("ConcatV2", [[before, [1], after], 0], { name: "concat", attrs: { Tidx: "int32" } });
  let begin = pieces.zeros(g, rank, { dtype: "int32" });
  return sizes.map((size) => {
    const tail = g.add("Slice", [size, [1], [-1]], { attrs: { Index: "int32" } });
    const extent = g.add("ConcatV2", [[[-1], tail], 0], { name: "concat", attrs: { Tidx: "int32" } });
    const values = g.add("Slice", [dy.values, begin, extent]);
    begin = g.add("Add", [begin, g.add("Mul", [size, mask], { name: "mul" })]);
    return { values, indices: dy.indices, denseShape: size };
  });
}

/** Along axis 0: every part has the indices that fall into it, counted from its start. */
function pickRows(g: Graph, dy: IndexedSlices, sizes: readonly Output[], dim: Output): Grad[] {
  const { dtype } = dy.indices;
  let start = g.constant(0, { dtype });
  return sizes.map((size) => {
    const gather = (from: Output, indices: Output): Output =>
      g.add("GatherV2", [from, indices, 0], { attrs: { Taxis: "int32" } });
    const rows = pieces.cast(gather(size, dim), dtype);
    const end = g.add("AddV2", [start, rows], { name: "add" });
    const low = g.add("GreaterEqual", [dy.indices, start]);
    const high = g.add("Less", [dy.indices, end]);
    const inside = g.add("Where", [g.add("LogicalAnd", [low, high])]);
    const chosen = g.add("Squeeze", [inside], { attrs: { squeeze_dims: [1] } });
    const indices = g.add("Sub", [gather(dy.indices, chosen), start], { name: "sub" });
    const values = gather(dy.values, chosen);
    start = end;
    return { values, indices, denseShape: size };
  });
}
