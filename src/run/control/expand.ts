/**
 * @file A graph without calls: what a session runs in place of one that has functions or loops, and what a frozen graph is made of. Start at
 * `expand`, or at `inlineCalls` for a graph to keep.
 */

import { Graph, type Operation, type Output } from "../../graph/index.ts";
import { findFrames } from "./frames.ts";
import { Inliner, Level, type LoopStyle } from "./inline.ts";

/** A graph, and what of it stands for the outputs and ops of the original. */
export interface Expansion {
  readonly graph: Graph;
  /** whether `graph` is another one than the original */
  readonly isCopy: boolean;
  /** @throws VarscopeError INVALID_ARGUMENT - it lies inside a loop */
  output(x: Output): Output;
  /** What runs when the op is a target. */
  operations(op: Operation): readonly Operation[];
}

const FLOW = new Set(["call", "if", "case", "loop", "enter"]);

const hasFlow = (graph: Graph): boolean =>
  graph.operations.some((op) =>
    op.def === undefined ? graph.functions.has(op.type) : FLOW.has(op.def.control ?? ""),
  );

/** For runs: only what is asked for is copied, when it is asked for. The graph itself where it has neither functions nor loops. */
export function expand(graph: Graph): Expansion {
  if (!hasFlow(graph)) return { graph, isCopy: false, output: (x) => x, operations: (op) => [op] };
  const target = emptyLike(graph);
  const level = topLevel(graph, target, "run");
  return {
    graph: target,
    isCopy: true,
    output(x) {
      level.emit([x.op]);
      return level.output(x);
    },
    operations(op) {
      level.emit([op]);
      return level.operations(op);
    },
  };
}

export interface InlineOptions {
  /** "keep": functional loops stay, and so do their functions; "lower": they become frames of TensorFlow 1 */
  readonly loops?: "keep" | "lower"; // "lower"
}

/**
 * The graph with the ops of functions in the place of their calls; conditionals become Switch and Merge, as TensorFlow lowers them. Ops keep
 * their names; those of a call are named `<call>/<op>`.
 *
 * @throws VarscopeError NOT_FOUND - a function or op that is not there; INVALID_ARGUMENT - one that does not fit its call; UNIMPLEMENTED - one that
 *   calls itself; RESOURCE_EXHAUSTED - calls that make too many ops
 */
export function inlineCalls(graph: Graph, options: InlineOptions = {}): Expansion {
  const target = emptyLike(graph);
  const style = options.loops ?? "lower";
  if (style === "keep") for (const [name, bytes] of graph.functions) target.functions.set(name, bytes);
  const level = topLevel(graph, target, style);
  level.emit(graph.operations);
  return {
    graph: target,
    isCopy: true,
    output: (x) => level.output(x),
    operations: (op) => level.operations(op),
  };
}

function emptyLike(graph: Graph): Graph {
  const target = new Graph(graph.registry);
  target.versions = graph.versions;
  return target;
}

const topLevel = (graph: Graph, target: Graph, style: LoopStyle): Level =>
  new Level(new Inliner(target, graph, style), findFrames(graph), null, {
    prefix: "",
    pivot: null,
    controls: [],
    depth: 0,
  });
