/**
 * @file The gradient of Einsum, itself made of Einsums: each input's is the product of dy and the other input, spread over the labels that
 * only this input has. Start at `einsumGrad`.
 *
 * @see TensorFlow python/ops/linalg_grad.py "_EinsumGrad"
 */

import { isComplex, isStatic, type Shape } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { apply, conj } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { reducedShape } from "./reduction.ts";

const ELLIPSIS = "...";

const einsum = (g: Graph, inputs: readonly Output[], equation: string): Output =>
  g.add("Einsum", [inputs], { attrs: { equation } });

/** Labels of `subscripts` that are in none of `others`, each once. */
const onlyIn = (subscripts: string, others: string): string[] =>
  [...new Set(subscripts)].filter((l) => l !== "." && !others.includes(l));

/** Axis of the first occurrence, counted from the end if it stands behind "...". */
function axisOf(subscripts: string, label: string): number {
  const [before, after = ""] = subscripts.split(ELLIPSIS) as [string, string?];
  const at = before.indexOf(label);
  return at >= 0 ? at : after.indexOf(label) - after.length;
}

/** Where "..." begins and, from the end, ends; null for the end. */
function ellipsisOf(subscripts: string): [number, number | null] {
  const start = subscripts.indexOf(ELLIPSIS);
  if (start < 0) return [0, 0];
  const left = subscripts.length - start - ELLIPSIS.length;
  return [start, left > 0 ? -left : null];
}

/** Gradient of a one-input einsum that sums over the labels `reduced`. */
function spread(
  g: Graph,
  dy: Output,
  outputSubs: string,
  inputSubs: string,
  shape: Output,
  reduced: readonly string[],
): Output {
  const labels = reduced.join("");
  const axes = reduced.map((l) => axisOf(inputSubs, l));
  const dims = pieces.pack(
    g,
    axes.map((axis) =>
      pieces.cut(g, shape, [axis], [axis + 1], { shrink: 1, ...(axis === -1 ? { end: 0 } : {}) }),
    ),
    shape.dtype,
    "stack",
  );
  const repeated = new Set(inputSubs).size + new Set(outputSubs).size < inputSubs.length + outputSubs.length;
  const rest = [...inputSubs].filter((l) => !reduced.includes(l)).join("");
  if (!repeated && rest === outputSubs) {
    const kept = reducedShape(g, shape, g.constant(axes, { dtype: "int32" }));
    return apply("BroadcastTo", pieces.reshape(dy, kept), shape);
  }
  const whole = pieces.concat([dims, pieces.shape(dy)], 0);
  const ones = g.nameScope("ones", (scope) => {
    const size = g.constant([reduced.length], { dtype: "int32", name: "shape_as_tensor" });
    return g.add("Fill", [size, g.constant(1, { dtype: "int32" })], { name: scope });
  });
  const kept = pieces.concat([ones, pieces.shape(dy)], 0);
  const broadcast = apply("BroadcastTo", pieces.reshape(dy, kept), whole);
  return einsum(g, [broadcast], `${labels}${outputSubs}->${inputSubs}`);
}

function gradOf(
  g: Graph,
  dy: Output,
  other: Output,
  shape: Output,
  subs: string,
  otherSubs: string,
  outputSubs: string,
): Output {
  const reduced = onlyIn(subs, outputSubs + otherSubs);
  const left = [...subs].filter((l) => !reduced.includes(l)).join("");
  const grad = einsum(g, [dy, other], `${outputSubs},${otherSubs}->${left}`);
  return reduced.length === 0 ? grad : spread(g, grad, left, subs, shape, reduced);
}

/** Gradients for each input. */
export function einsumGrad(g: Graph, op: Operation, dy: Output, equation: string): Output[] {
  const [inputSubs, outputSubs] = equation.split("->") as [string, string];
  if (op.inputs.length === 1) {
    const shape = pieces.shape(op.inputs[0]!);
    const reduced = onlyIn(inputSubs, outputSubs);
    if (reduced.length === 0) return [einsum(g, [dy], `${outputSubs}->${inputSubs}`)];
    return [spread(g, dy, outputSubs, inputSubs, shape, reduced)];
  }
  const dotted = outputSubs.includes(ELLIPSIS);
  const [xSubs, ySubs] = inputSubs
    .split(",")
    .map((s) => (dotted && !s.includes(ELLIPSIS) ? s + ELLIPSIS : s)) as [string, string];
  const complex = isComplex(dy.dtype);
  const [x, y] = op.inputs.map((t) => (complex ? conj(t) : t)) as [Output, Output];
  const [xShape, yShape] = [pieces.shape(x), pieces.shape(y)];
  const gx = gradOf(g, dy, y, xShape, xSubs, ySubs, outputSubs);
  const gy = gradOf(g, dy, x, yShape, ySubs, xSubs, outputSubs);
  if (!dotted) return [gx, gy];
  const [bx, by] = [ellipsisOf(xSubs), ellipsisOf(ySubs)];
  if (isStatic(x.shape) && isStatic(y.shape) && batchOf(x.shape, bx).join() === batchOf(y.shape, by).join())
    return [gx, gy];
  const batches = [batchShape(g, xShape, bx), batchShape(g, yShape, by)];
  const [rx, ry] = g.addOp("BroadcastGradientArgs", batches).outputs;
  const shrink = (grad: Output, start: number, axes: Output, shape: Output): Output => {
    const own = g.add("AddV2", [start, axes], { name: "add" });
    return pieces.reshape(g.add("Sum", [grad, own]), shape);
  };
  return [shrink(gx, bx[0], rx!, xShape), shrink(gy, by[0], ry!, yShape)];
}

const batchOf = (shape: Shape, [start, end]: [number, number | null]): Shape =>
  shape.slice(start, end ?? undefined);

const batchShape = (g: Graph, shape: Output, [start, end]: [number, number | null]): Output =>
  pieces.cut(g, shape, [start], [end ?? 0], { end: end === null ? 1 : 0 });
