/** @file Small ops as TensorFlow's Python functions name them, for the programs beside. */

import type { DType, Shape } from "../../../src/base/index.ts";
import type { Graph, Output } from "../../../src/graph/index.ts";
import {
  addWith,
  getVariableScope,
  isVariable,
  type Operand,
  type Variable,
} from "../../../src/variables/index.ts";

export type Program = (g: Graph) => void;

export const holder = (g: Graph, name: string, shape: Shape | null, dtype: DType = "float32"): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: shape } } });

export const use = (g: Graph, resource: boolean): void => {
  getVariableScope(g).useResource = resource;
};

/** Registers a program once for references and once for resources. */
export const both = (
  name: string,
  build: (g: Graph, resource: boolean) => void,
): Record<string, Program> => ({
  [`${name}_ref`]: (g) => build(g, false),
  [`${name}_resource`]: (g) => build(g, true),
});

export const graphOf = (x: Operand): Graph => (x as Output | Variable).graph;

/** A function of one tensor, named after its op. */
export const unary =
  (type: string) =>
  (x: Operand, name = type): Output =>
    addWith(graphOf(x), type, [x], { name });
export const identity = unary("Identity");
export const square = unary("Square");
export const l2Loss = unary("L2Loss");
export const tanh = unary("Tanh");
export const relu = unary("Relu");

/** A Python operator: a variable on its left is read before the op has its name, one on its right after. */
export const operator =
  (type: string, name: string) =>
  (x: Operand | number, y: Operand | number): Output => {
    const left = isVariable(x) ? x.value() : x;
    return addWith(graphOf(typeof left === "number" ? (y as Operand) : left), type, [left, y], { name });
  };
export const mul = operator("Mul", "mul");
export const sub = operator("Sub", "sub");
export const add = operator("AddV2", "add");

/** tf.reduce_sum, tf.reduce_mean over all axes. */
export const reduceAll = (type: "Sum" | "Mean", x: Output, name: string = type): Output => {
  const axes = x.shape!.map((_, i) => i);
  return x.graph.add(type, [x, x.graph.constant(axes, { dtype: "int32", shape: [axes.length] })], { name });
};

export const gather = (table: Operand, ids: Output): Output => {
  const g = ids.graph;
  if ((table as Variable).isResource) {
    return g.nameScope("Gather", (scope) => {
      const v = table as Variable;
      const attrs = { dtype: v.dtype };
      return g.add("ResourceGather", [v.handle, ids], { name: scope, attrs });
    });
  }
  return g.nameScope("GatherV2", (scope) => {
    const axis = g.constant(0, { dtype: "int32", name: "axis" });
    return addWith(g, "GatherV2", [table, ids, axis], { name: scope });
  });
};
