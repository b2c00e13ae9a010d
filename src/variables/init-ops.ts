/** @file Ops that initialise variables and report those without a value. @see TensorFlow python/ops/variables.py */

import { type Graph, group, type Operation, type Output } from "../graph/index.ts";
import { globalVariables, localVariables } from "./collections.ts";
import type { Variable } from "./variable.ts";

/** Gives each of `variables` its initial value. A NoOp with control edges, named "init". */
export function variablesInitializer(graph: Graph, variables: readonly Variable[], name = "init"): Operation {
  if (variables.length === 0) return graph.addOp("NoOp", [], { name });
  return group(
    graph,
    variables.map((v) => v.initializer),
    name,
  );
}

/** Initialises all variables of the collection `variables`. */
export const globalVariablesInitializer = (graph: Graph): Operation =>
  variablesInitializer(graph, globalVariables(graph));

/** Initialises all variables of the collection `local_variables`. */
export const localVariablesInitializer = (graph: Graph): Operation =>
  variablesInitializer(graph, localVariables(graph));

/** Whether a variable has a value. bool [] */
export const isVariableInitialized = (v: Variable, name?: string): Output =>
  v.isResource
    ? v.graph.add("VarIsInitializedOp", [v.handle], { name })
    : v.graph.add("IsVariableInitialized", [v.handle], { name });

/** Names of the variables that have no value yet: string [n]. By default of all global and local variables. */
export function reportUninitializedVariables(
  graph: Graph,
  variables: readonly Variable[] = [...globalVariables(graph), ...localVariables(graph)],
  name = "report_uninitialized_variables",
): Output {
  return graph.nameScope(name, () => {
    const initialized = variables.map((v) => isVariableInitialized(v));
    return graph.withDevice("/cpu:0", () => {
      if (initialized.length === 0) return graph.constant([], { dtype: "string", shape: [0] });
      const stacked = graph.add("Pack", [initialized], { name: "stack" });
      const mask = graph.add("LogicalNot", [stacked]);
      const names = graph.constant(
        variables.map((v) => v.op.name),
        { dtype: "string" },
      );
      return booleanMask(graph, names, mask);
    });
  });
}

/** tf.boolean_mask of two vectors of the same static length, with its nodes. */
function booleanMask(graph: Graph, tensor: Output, mask: Output): Output {
  const int32 = (value: number[], name: string): Output =>
    graph.constant(value, { dtype: "int32", shape: [value.length], name });
  return graph.nameScope("boolean_mask", () => {
    const n = tensor.shape![0]!;
    const slice = (x: Output, begin: number[], end: number[], mask: number): Output =>
      graph.nameScope("strided_slice", (scope) => {
        const bounds = [int32(begin, "stack"), int32(end, "stack_1"), int32([1], "stack_2")];
        const attrs = mask === 0 ? {} : mask === 1 ? { begin_mask: 1 } : { end_mask: 1 };
        return graph.add("StridedSlice", [x, ...bounds], { name: scope, attrs });
      });
    const dims = (name: string): Output => int32([n], name);
    const leading = slice(dims("Shape"), [0], [1], 0);
    const size = graph.add("Prod", [leading, int32([0], "Prod/reduction_indices")], { name: "Prod" });
    const head = slice(dims("Shape_1"), [0], [0], 1);
    const tail = slice(dims("Shape_2"), [1], [0], 2);
    const packed = graph.add("Pack", [[size]], { name: "concat/values_1" });
    const axis = graph.constant(0, { dtype: "int32", name: "concat/axis" });
    const shape = graph.add("ConcatV2", [[head, packed, tail], axis], { name: "concat" });
    const flat = graph.add("Reshape", [tensor, shape], { name: "Reshape" });
    const flatMask = graph.add("Reshape", [mask, int32([-1], "Reshape_1/shape")], { name: "Reshape_1" });
    const where = graph.add("Where", [flatMask], { name: "Where" });
    const indices = graph.add("Squeeze", [where], { name: "Squeeze", attrs: { squeeze_dims: [1] } });
    return graph.nameScope("GatherV2", (scope) =>
      graph.add("GatherV2", [flat, indices, graph.constant(0, { dtype: "int32", name: "axis" })], {
        name: scope,
      }),
    );
  });
}
