/**
 * @file Loops as TensorFlow 1 builds them: each value enters a frame, meets its next self in a Merge, and leaves by a Switch. Start at
 * `whileLoop`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "WhileContext.BuildLoop"; python/ops/while_loop.py "while_loop"
 */

import {
  formatPyShape,
  isCompatible,
  type Nested,
  type Shape,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import { mergeOf, switchOf } from "./cond.ts";
import type { Graph } from "./graph.ts";
import { Output } from "./operation.ts";
import { enterFrame, type LoopFacts, WHILE_CONTEXT, WhileContext } from "./while-context.ts";

/** A value of a loop: an output, or what becomes a constant. */
export type LoopValue = Output | Tensor | Nested;

export interface WhileLoopOptions {
  readonly name?: string; // "while"
  readonly parallelIterations?: number; // 10
  /** no more rounds than this; by default any number */
  readonly maximumIterations?: LoopValue;
  /** for values whose shape changes from round to round: what stays of it */
  readonly shapeInvariants?: readonly (Shape | null)[];
  readonly backProp?: boolean; // true
  readonly swapMemory?: boolean; // false
}

/**
 * `body` of the values, over and over, while `cond` of them is true. Ops that the two functions make run in every round; all others once.
 *
 * @param cond - gives bool []
 * @returns the last values, one for each of `values`
 * @throws VarscopeError INVALID_ARGUMENT - no values, another number or dtype of values after a round, or another shape than
 *   `shapeInvariants` allows
 */
export function whileLoop(
  graph: Graph,
  cond: (...values: Output[]) => Output,
  body: (...values: Output[]) => LoopValue | readonly LoopValue[],
  values: readonly LoopValue[],
  options: WhileLoopOptions = {},
): Output[] {
  if (values.length === 0) throw new VarscopeError("INVALID_ARGUMENT", "No loop variables provided.");
  return graph.nameScope(options.name ?? "while", (scope) => {
    if (options.maximumIterations === undefined) return build(graph, cond, body, values, options, null);
    const most = toOutput(graph, options.maximumIterations, "maximum_iterations");
    const counter = graph.constant(0, { dtype: most.dtype, name: "iteration_counter" });
    const counted = (i: Output, rest: Output[]): Output => {
      const isFew = graph.add("Less", [i, most]);
      return graph.add("LogicalAnd", [isFew, cond(...rest)]);
    };
    const shapeInvariants = options.shapeInvariants && [[], ...options.shapeInvariants];
    const result = build(
      graph,
      (i, ...rest) => counted(i!, rest),
      (i, ...rest) => [graph.add("AddV2", [i!, 1], { name: "add" }), ...asList(body(...rest))],
      [counter, ...values.map((v) => toOutput(graph, v))],
      { ...options, name: scope, ...(shapeInvariants && { shapeInvariants }) },
      most,
    );
    return result.slice(1);
  });
}

const toOutput = (graph: Graph, value: LoopValue, name = "Const"): Output =>
  value instanceof Output ? value : graph.constant(value, { name });

const asList = (given: LoopValue | readonly LoopValue[]): readonly LoopValue[] =>
  Array.isArray(given) && given.some((x) => x instanceof Output) ? given : [given as LoopValue];

function build(
  graph: Graph,
  cond: (...values: Output[]) => Output,
  body: (...values: Output[]) => LoopValue | readonly LoopValue[],
  given: readonly LoopValue[],
  options: WhileLoopOptions,
  maximumIterations: Output | null,
): Output[] {
  const start = given.map((v) => toOutput(graph, v));
  const context = newContext(graph, options, maximumIterations);
  const complete = (facts: Partial<LoopFacts>): void => {
    context.facts = { ...context.facts, ...facts };
  };
  const { outer } = context;
  const real = outer === null ? start : start.map((x) => outer.addValue(x));
  const enters = real.map((x) => enterFrame(x, context, false));
  for (const [i, x] of enters.entries()) {
    const invariant = options.shapeInvariants?.[i];
    if (invariant !== undefined) x.shape = checkInvariant(start[i]!, invariant);
  }
  const exits = context.within(graph, () => {
    const merges = enters.map((x) => mergeOf([x, x]));
    complete({ enters, pivotForPred: merges[0]! });
    const pivot = graph.add("LoopCond", [asScalarBool(cond(...merges))], { name: "LoopCond" });
    complete({ pivot });
    const turns = merges.map((m) => switchOf(m, pivot));
    const inside = turns.map(([, x]) => graph.add("Identity", [x], { name: "Identity" }));
    complete({ pivotForBody: inside[0]! });
    const after = asList(body(...inside)).map((v) => toOutput(graph, v));
    checkRound(enters, after);
    const nexts = after.map((x, i) => nextRound(x, merges[i]!.isRef));
    for (const [i, m] of merges.entries()) m.op.replaceInput(1, nexts[i]!);
    return turns.map(([x]) => exitOf(x));
  });
  complete({ exits });
  for (const x of exits) outer?.values.add(x.name);
  if (outer === null) graph.addToCollection(WHILE_CONTEXT, context);
  return exits;
}

/** `x` of the next round. */
export const nextRound = (x: Output, isRef = false): Output =>
  x.graph.add(isRef ? "RefNextIteration" : "NextIteration", [x], { name: "NextIteration" });

/** `x` of the last round, outside. */
export const exitOf = (x: Output, name = "Exit"): Output =>
  x.graph.add(x.isRef ? "RefExit" : "Exit", [x], { name });

function newContext(graph: Graph, options: WhileLoopOptions, maximumIterations: Output | null): WhileContext {
  const unknown = undefined as unknown as Output; // until it is built
  const facts = {
    parallelIterations: options.parallelIterations ?? 10,
    backProp: options.backProp ?? true,
    swapMemory: options.swapMemory ?? false,
    maximumIterations,
    pivot: unknown,
    pivotForPred: unknown,
    pivotForBody: unknown,
    enters: [],
    exits: [],
  };
  return new WhileContext(graph.uniqueName("while_context"), facts, graph.context);
}

function checkInvariant(x: Output, invariant: Shape | null): Shape | null {
  const holds =
    invariant === null ||
    (x.shape !== null &&
      x.shape.length === invariant.length &&
      invariant.every((d, i) => d === null || d === x.shape![i]));
  if (holds) return invariant;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `The shape invariant specified for ${x.name} is not compatible with the initial shape of the loop variable. It enters the loop with shape ${formatPyShape(x.shape)}, but the specified shape invariant is ${formatPyShape(invariant)}.`,
    { at: x.name },
  );
}

function asScalarBool(x: Output): Output {
  if (x.dtype === "bool" && (x.shape === null || x.shape.length === 0)) return x;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `the condition of a loop is bool [], this one is ${x.dtype} ${formatPyShape(x.shape)}`,
    { at: x.name },
  );
}

function checkRound(before: readonly Output[], after: readonly Output[]): void {
  if (before.length !== after.length) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `The number of inputs and outputs of a loop must be the same: ${before.length} and ${after.length}`,
    );
  }
  for (const [i, x] of before.entries()) {
    const y = after[i]!;
    if (x.dtype !== y.dtype) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `loop variable ${i} enters as ${x.dtype} and is ${y.dtype} after one iteration`,
        { at: x.name },
      );
    }
    if (!allows(x.shape, y.shape)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Input tensor '${x.op.inputs[0]!.name}' enters the loop with shape ${formatPyShape(x.shape)}, but has shape ${formatPyShape(y.shape)} after one iteration. To allow the shape to vary across iterations, use the \`shapeInvariants\` option to specify a less-specific shape.`,
        { at: x.name },
      );
    }
  }
}

/** Whether every value of shape `got` is one of shape `wanted`. */
const allows = (wanted: Shape | null, got: Shape | null): boolean =>
  wanted === null ||
  (got !== null && isCompatible(wanted, got) && wanted.every((d, i) => d === null || got[i] === d));
