/** @file Gradients of reductions, built as TensorFlow's Python builds them. Start at `sumGrad`. */

import { type DType, isStatic, sizeOf, tensor, toNumbers } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { add, apply, conj, mul, truediv } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { pythonConstant, reducedShape } from "./reduction.ts";

const gather = (g: Graph, x: Output, indices: Output): Output =>
  g.add("GatherV2", [x, indices, 0], { attrs: { Taxis: "int32" } });

/**
 * dy spread over what was summed: by Tile where the shapes are known, else by BroadcastTo.
 *
 * @see TensorFlow python/ops/math_grad.py "_SumGrad"
 */
export function sumGrad(g: Graph, op: Operation, dy: Output): Output {
  const [x, indices] = op.inputs as [Output, Output];
  const axes = pythonConstant(indices);
  if (x.shape !== null && axes !== null) {
    const rank = x.shape.length;
    const list = toNumbers(axes);
    if (axes.shape.length === 1 && list.length === rank && list.every((axis, i) => axis === i)) {
      const ones = new Array<number>(rank).fill(1);
      const one = rank === 0 ? reshapeToScalar(dy) : pieces.reshape(dy, ones);
      const multiples = isStatic(x.shape) ? g.constant([...x.shape], { dtype: "int32" }) : pieces.shape(x);
      return apply("Tile", one, multiples);
    }
    if (isStatic(x.shape)) return tiled(x.shape, list, dy);
  }
  const shape = pieces.shape(x);
  let grad = dy;
  if (!op.attrs.keep_dims) {
    const kept = g.colocateWith(shape, () => reducedShape(g, shape, indices));
    grad = pieces.reshape(dy, kept);
  }
  return apply("BroadcastTo", grad, shape);
}

/** Python makes an empty list a float32 Const before it looks for an int32 one. */
function reshapeToScalar(x: Output): Output {
  const g = x.graph;
  return g.nameScope("Reshape", (scope) => {
    g.constant([], { dtype: "float32", name: "shape" });
    return g.add("Reshape", [x, g.constant([], { dtype: "int32", name: "shape" })], { name: scope });
  });
}

/** Shapes and axes for which a graph has the sums of `tiled` already. @see TensorFlow python/framework/ops.py "_reduced_shape_cache" */
const known = new WeakMap<Graph, Set<string>>();

function tiled(shape: readonly number[], axes: readonly number[], dy: Output): Output {
  const reduced = axes.map((axis) => (axis < 0 ? axis + shape.length : axis));
  const kept = shape.map((d, i) => (reduced.includes(i) ? 1 : d));
  const scaling = shape.map((d, i) => Math.floor(d / Math.max(kept[i]!, 1)));
  leaveTraces(dy.graph, shape, axes, kept);
  const grad = pieces.reshape(dy, kept);
  return grad.graph.add("Tile", [grad, scaling]);
}

/** TensorFlow finds the multiples by ops that it evaluates at once: nothing reads them, but they stay in the graph, once for each shape. */
function leaveTraces(
  g: Graph,
  shape: readonly number[],
  axes: readonly number[],
  kept: readonly number[],
): void {
  const seen = known.get(g) ?? new Set();
  known.set(g, seen);
  const key = `${shape}|${axes}`;
  if (seen.has(key)) return;
  seen.add(key);
  const divisor = g.add("Maximum", [tensor([...kept], "int32"), 1]);
  g.add("FloorDiv", [tensor([...shape], "int32"), divisor], { name: "floordiv" });
}

/** That of the sum, divided by the number of elements. @see TensorFlow python/ops/math_grad.py "_MeanGrad" */
export function meanGrad(g: Graph, op: Operation, dy: Output): Output {
  const spread = sumGrad(g, op, dy);
  const [x, indices] = op.inputs as [Output, Output];
  const y = op.output(0);
  if (isStatic(x.shape) && isStatic(y.shape)) {
    const factor = Math.floor(sizeOf(x.shape) / Math.max(sizeOf(y.shape), 1));
    return truediv(spread, g.constant(factor, { dtype: spread.dtype }));
  }
  const shape = pieces.shape(x);
  const rank = pieces.size(shape);
  const axes = pieces.cast(indices, rank.dtype);
  const positive = g.add("FloorMod", [add(axes, rank), rank], { name: "mod" });
  const factor = prodOf(g, gather(g, shape, positive));
  return truediv(spread, pieces.cast(factor, spread.dtype));
}

/** Product of an int vector: over axis 0, named "Const". */
const prodOf = (g: Graph, x: Output): Output => {
  const axes =
    x.shape !== null && x.shape.length > 0
      ? g.constant([...x.shape.keys()], { dtype: "int32" })
      : pieces.range(g, 0, pieces.rank(x));
  return g.add("Prod", [x, axes]);
};

/** dy goes to what was chosen, in equal parts to equals. @see TensorFlow python/ops/math_grad.py "_MinOrMaxGrad" */
export function extremeGrad(g: Graph, op: Operation, dy: Output): Output {
  const [x, indices] = op.inputs as [Output, Output];
  const shape = pieces.shape(x);
  let [y, grad] = [op.output(0), dy];
  let kept: readonly number[] | Output;
  if (op.attrs.keep_dims) kept = pieces.shape(y);
  else {
    kept = reducedShape(g, shape, indices);
    y = pieces.reshape(y, kept);
    grad = pieces.reshape(grad, kept);
  }
  const chosen = pieces.cast(apply("Equal", y, x), grad.dtype);
  const count = pieces.reshape(apply("Sum", chosen, indices), kept);
  return mul(truediv(chosen, count), grad);
}

/**
 * dy times the product of all others: of those before and those after, by two running products. A division could not cope with zeros.
 *
 * @see TensorFlow python/ops/math_grad.py "_ProdGrad"
 */
export function prodGrad(g: Graph, op: Operation, dy: Output): Output {
  const [x, axes] = op.inputs as [Output, Output];
  const shape = pieces.shape(x);
  const indices = pieces.reshape(axes, [-1]);
  let grad = dy;
  if (!op.attrs.keep_dims) grad = pieces.reshape(grad, reducedShape(g, shape, axes));
  grad = apply("BroadcastTo", grad, shape);
  const [perm, rows, columns] = g.withDevice("/cpu:0", () => {
    const rank = pieces.rank(x);
    const sameType = pieces.cast(indices, rank.dtype);
    const reduced = g.add("FloorMod", [add(sameType, rank), rank], { name: "mod" });
    const all = pieces.range(g, 0, rank);
    const other = g.add("ListDiff", [all, reduced], { attrs: { out_idx: reduced.dtype } });
    const order = pieces.concat([reduced, other], 0);
    return [order, prodOf(g, gather(g, shape, reduced)), prodOf(g, gather(g, shape, other))] as const;
  });
  const permuted = pieces.transpose(x, perm);
  const permutedShape = pieces.shape(permuted);
  const matrix = pieces.reshape(permuted, [rows, columns]);
  const before = cumprod(matrix, false);
  const after = cumprod(matrix, true);
  const y = pieces.reshape(mul(conj(before), conj(after)), permutedShape);
  const back = g.add("InvertPermutation", [perm]);
  return pieces.reshape(mul(grad, pieces.transpose(y, back)), shape);
}

const cumprod = (x: Output, reverse: boolean): Output =>
  x.graph.add("Cumprod", [x, 0], { attrs: { exclusive: true, reverse, Tidx: "int32" as DType } });

/** x dy / y. @see TensorFlow python/ops/math_grad.py "_EuclideanNormGrad" */
export function normGrad(g: Graph, op: Operation, dy: Output): Output {
  const [x, indices] = op.inputs as [Output, Output];
  let [y, grad] = [op.output(0), dy];
  if (!op.attrs.keep_dims) {
    const kept = reducedShape(g, pieces.shape(x), indices);
    y = pieces.reshape(y, kept);
    grad = pieces.reshape(grad, kept);
  }
  return truediv(x, truediv(y, grad));
}
