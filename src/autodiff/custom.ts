/**
 * @file Gradients that a model brings along for an op of its functions: which values they need is noted when the function's ops come into the
 * graph. Start at `customRule`.
 *
 * @see TensorFlow python/saved_model/function_deserialization.py "_gen_gradient_func"
 */

import type { CustomGradient, Grad, Graph, Operation, Output } from "../graph/index.ts";
import { GRADIENT_TYPE } from "../graph/index.ts";

/** The gradient of an op, and the values that it needs. */
interface Noted {
  readonly gradient: CustomGradient;
  readonly values: readonly Output[];
}

const noted = new WeakMap<Operation, Noted>();

/** The name of an op's own gradient; undefined where it has none. */
export const gradientType = ({ attrs, def }: Operation): string | undefined =>
  def?.control === undefined ? (attrs[GRADIENT_TYPE] as string | undefined) : undefined;

/** The gradient that an op of a function brings along. */
export function customGradient(graph: Graph, op: Operation): CustomGradient | null {
  const type = gradientType(op);
  return type === undefined ? null : (graph.customGradients.get(type) ?? null);
}

/** Notes that `op` has this gradient. */
export const noteGradient = (op: Operation, gradient: CustomGradient, values: readonly Output[]): void =>
  void noted.set(op, { gradient, values });

/** Calls a function in the context that is open. */
export type Caller = (func: string, args: readonly Output[], at: string) => readonly Output[];

/** The rule of an op that brings its gradient along; null where it is not known. */
export function customRule(
  op: Operation,
  call: Caller,
): ((g: Graph, op: Operation, dys: readonly (Output | null)[]) => (Grad | null)[]) | null {
  const found = noted.get(op);
  if (found === undefined) return null;
  const { gradient, values } = found;
  return (g, _, dys) => {
    const all = op.outputs.map((y, i) => dys[i] ?? g.add("ZerosLike", [y], { name: "zeros_like" }));
    const results = call(gradient.func, [...all, ...values], op.name)[Symbol.iterator]();
    return op.inputs.map((_, i) => (gradient.gives[i] === true ? (results.next().value ?? null) : null));
  };
}
