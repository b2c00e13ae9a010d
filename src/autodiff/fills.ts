/**
 * @file Ones to begin with, and zeros where nothing arrives: in the untaken branch of a conditional, behind
 * its own Switch. Start at `zerosForOutput`.
 *
 * @see TensorFlow python/ops/control_flow_state.py "ZerosLike"; python/ops/array_ops.py "zeros", "zeros_like"
 */

import { type DType, isStatic, sizeOf, VarscopeError } from "../base/index.ts";
import { CondContext, type Graph, type Operation, type Output } from "../graph/index.ts";

/** Below this many elements a tensor of zeros is a Const. @see array_ops.py "_constant_if_small" */
const SMALL = 1000;

/** A tensor of one value; `shape` is an int vector. */
export function filled(shape: Output, value: 0 | 1, dtype: DType, name: string): Output {
  const { graph } = shape;
  return graph.nameScope(name, (scope) => {
    const one = graph.constant(value, { dtype, name: "Const" });
    return graph.add("Fill", [shape, one], { name: scope });
  });
}

/** Shape of `y` as a vector: a Const where it is known. */
const shapeOf = (y: Output): Output =>
  isStatic(y.shape)
    ? y.graph.constant([...y.shape], { dtype: "int32", name: "Shape" })
    : y.graph.add("Shape", [y], { name: "Shape" });

/** Ones of the shape of `y`: the gradient of ys where the caller gives none. */
export const onesFor = (y: Output, name: string): Output => filled(shapeOf(y), 1, y.dtype, name);

/** What the gradient of a value is: its own dtype, or that of the variable behind a resource. */
function zerosDType(x: Output): DType {
  if (x.dtype !== "resource") return x.dtype;
  if (x.handle !== null) return x.handle.dtype;
  throw new VarscopeError("INTERNAL", "the dtype of the variable behind this resource is not known", {
    at: x.name,
  });
}

/** Zeros of a known shape, named `name`. */
export function zeros(graph: Graph, shape: readonly number[], dtype: DType, name = "zeros"): Output {
  if (sizeOf(shape) < SMALL) return graph.constant(0, { dtype, shape, name });
  return graph.nameScope(name, (scope) =>
    filled(graph.constant([...shape], { dtype: "int32", name: "shape_as_tensor" }), 0, dtype, scope),
  );
}

/** Zeros of the shape of the variable behind a resource; `isKnown`: the shape is a Const, if it is known. */
export function zerosOfVariable(x: Output, isKnown = false): Output {
  const known = isKnown ? (x.handle?.shape ?? null) : null;
  const shape = isStatic(known) ? x.graph.constant([...known], { dtype: "int32" }) : variableShape(x);
  return filled(shape, 0, zerosDType(x), "zeros");
}

/** Shape of the variable behind a resource, as a vector. */
const variableShape = (x: Output): Output => x.graph.add("VariableShape", [x], { name: "VariableShape" });

/**
 * Zeros for an output that the loss does not depend on. For a Switch they must be alive when its other side
 * is, so they are made behind a Switch of their own.
 *
 * @returns null for a resource of unknown content
 */
export function zerosForOutput(op: Operation, index: number): Output | null {
  const y = op.output(index);
  if (y.dtype === "resource" && y.handle === null) return null;
  const { context, graph } = op;
  if (op.def?.control === "switch" && context instanceof CondContext)
    return zerosForBranch(graph, op, index, context);
  if (y.dtype === "resource") return zerosOfVariable(y);
  return graph.add("ZerosLike", [y], { name: "zeros_like" });
}

function zerosForBranch(graph: Graph, op: Operation, index: number, { pred, branch }: CondContext): Output {
  const y = op.output(index);
  const other = graph.addOp("Switch", [op.inputs[0]!, pred], { name: "Switch" }).output(1 - branch);
  const pivot = graph.add("Identity", [other], { name: "Identity" });
  if (y.dtype === "resource") {
    return graph.controlDependencies([pivot], () => filled(variableShape(other), 0, zerosDType(y), "zeros"));
  }
  if (y.dtype === "variant") return graph.add("ZerosLike", [other], { name: "zeros_like" });
  const shape = graph.add("Shape", [other], { name: "Shape" });
  return graph.controlDependencies([pivot], () => filled(shape, 0, y.dtype, "zeros"));
}

/** Zeros of the shape of `x`: the gradient of an x that nothing leads to, if asked for. */
export function zerosForInput(x: Output): Output {
  const { graph } = x;
  if (x.dtype === "resource") return zerosOfVariable(x);
  const name = "zeros_like";
  if (!isStatic(x.shape) || x.dtype === "variant") return graph.add("ZerosLike", [x], { name });
  return zeros(graph, x.shape, x.dtype, name);
}
