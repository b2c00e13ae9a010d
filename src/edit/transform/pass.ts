/** @file What a pass is: a graph in, a graph out, with a report of what was done, what was left and why. The passes stand in passes.ts. */

import type { Tensor } from "../../base/index.ts";
import { VarscopeError } from "../../base/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import type { Origins } from "./origins.ts";

/** What a pass may be told. Each pass reads what is its own. */
export interface PassOptions {
  /** nodes that the graph is for: they keep their names and values. By default those with results that nobody takes */
  readonly outputs?: readonly string[];
  /** of strip-unused: tensors or nodes that are fed; what computes them goes */
  readonly inputs?: readonly string[];
  /** of placeholders-to-constants: values by name */
  readonly placeholders?: Readonly<Record<string, Tensor>>;
  /** of fold-batch-norm: compute a convolution twice where others take its result, too. Default false: it is left alone */
  readonly clone?: boolean;
  /** of rename: patterns and what takes their place, in order */
  readonly rename?: readonly (readonly [RegExp, string])[];
  /** of round-weights: number of different values that a tensor keeps. Default 256 */
  readonly steps?: number;
  /** where the constants come from; filled by the passes, read by `refold` */
  readonly origins?: Origins;
}

/** Something that a pass did. */
export interface Change {
  readonly at: string;
  readonly what: string;
}

/** Something that a pass found and left as it is. */
export interface Left {
  readonly at: string;
  readonly why: string;
}

export interface PassReport {
  readonly pass: string;
  readonly done: readonly Change[];
  readonly left: readonly Left[];
}

export interface PassResult {
  readonly graph: Graph;
  readonly report: PassReport;
}

/** @throws VarscopeError NOT_FOUND - an output or input that the graph lacks */
export type Pass = (graph: Graph, options?: PassOptions) => PassResult;

/**
 * The outputs, checked; by default all ops that nobody takes, but for constants and variables' own business.
 *
 * @throws VarscopeError NOT_FOUND - no such node
 */
export function outputsOf(graph: Graph, { outputs }: PassOptions): readonly string[] {
  const missing = outputs?.find((name) => graph.findOperation(name) === undefined);
  if (missing !== undefined) throw notInGraph(missing);
  if (outputs !== undefined && outputs.length > 0) return outputs;
  return graph.operations.filter(isEnd).map((op) => op.name);
}

const isEnd = (op: Operation): boolean =>
  op.consumers.size === 0 && op.type !== "Const" && op.def?.variable === undefined;

/** TensorFlow's sentence. @see python/framework/graph_util_impl.py */
export const notInGraph = (name: string): VarscopeError =>
  new VarscopeError("NOT_FOUND", `${name} is not in graph`, {
    at: name,
    ...(name.includes(":") ? { hint: "give the node's name without ':0'" } : {}),
  });
