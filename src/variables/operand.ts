/** @file Variables as inputs of ops: each is read in the op's own name scope, as TensorFlow's conversion does. Start at `addWith`. */

import type { Graph, Input, NodeOptions, OpDef, Operation, Output } from "../graph/index.ts";
import { isPartitionedVariable, isVariable, type PartitionedVariable, type Variable } from "./variable.ts";

/** What an op may take where variables count as their values. */
export type Operand = Input | Variable | PartitionedVariable;

/** The value as an output or literal: of a variable, its `value()`. */
export const toInput = (x: Operand): Input =>
  isVariable(x) || isPartitionedVariable(x) ? x.value() : (x as Input);

/** Adds an op whose inputs may be variables: a resource's read is named `<op>/ReadVariableOp`. */
export function addOpWith(
  graph: Graph,
  type: OpDef | string,
  inputs: readonly Operand[],
  options: NodeOptions = {},
): Operation {
  const name = options.name ?? (typeof type === "string" ? type : type.type);
  if (!inputs.some((x) => isVariable(x) && x.isResource)) {
    return graph.addOp(type, inputs.map(toInput), { ...options, name });
  }
  return graph.nameScope(name, (scope) =>
    graph.addOp(type, inputs.map(toInput), { ...options, name: scope }),
  );
}

/** `addOpWith`, and the op's first output. */
export const addWith = (
  graph: Graph,
  type: OpDef | string,
  inputs: readonly Operand[],
  options: NodeOptions = {},
): Output => addOpWith(graph, type, inputs, options).output(0);
