/**
 * @file Freezing a graph file with values from a container: what TensorFlow's freeze_graph does, with functions inlined, passes run and the
 * result shown equal. Start at `freezeFile`.
 *
 * @see TensorFlow python/tools/freeze_graph.py
 */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import { Session, variableKey } from "../../run/index.ts";
import { setInference } from "../transform/inference.ts";
import { inlineFunctions } from "../transform/inline.ts";
import type { VariablePlace } from "../transform/origins.ts";
import type { PassOptions, PassReport } from "../transform/pass.ts";
import { type Transformed, transformGraph } from "../transform/pipeline.ts";
import { namedPlace } from "../transform/provenance.ts";
import { type FreezeOptions, freezeGraph } from "./freeze.ts";
import type { GraphFile } from "./open-graph.ts";
import { reachable, sameVariables } from "./prove.ts";
import { checkedValue, variableOps } from "./values.ts";
import { openVariableSource, placesOf, type VariableSource } from "./variable-source.ts";

export interface FreezeFileOptions extends FreezeOptions, Omit<PassOptions, "outputs" | "origins"> {
  /** container of the variables' values: checkpoint, SavedModel or another; by default the checkpoint beside the graph */
  readonly checkpoint?: string;
  /** nodes to run first: they initialise what the checkpoint lacks */
  readonly initializerNodes?: readonly string[];
  /** batch normalization takes its moving statistics, also where the graph was built for training */
  readonly setInference?: boolean;
  /** passes to run over the frozen graph */
  readonly passes?: readonly string[];
  /** run the graphs, to show them equal. Default true */
  readonly prove?: boolean;
  readonly signal?: AbortSignal;
}

export interface FrozenFile {
  readonly graph: Graph;
  readonly outputs: readonly string[];
  /** variables that became constants */
  readonly variables: readonly string[];
  /** what was done before the variables became constants */
  readonly before: readonly PassReport[];
  /** passes and proofs: `transformed.proof` is that of the frozen graph, after all passes, against the graph with variables */
  readonly transformed: Transformed;
}

/**
 * Freezes a graph file.
 *
 * @param outputs - node names; `:0` may follow
 * @throws VarscopeError NOT_FOUND - no such output, no such checkpoint, or a variable that it lacks; FAILED_PRECONDITION - no values, or the outputs
 *   depend on assignments; INTERNAL - the frozen graph differs
 */
export async function freezeFile(
  file: GraphFile,
  outputs: readonly string[],
  options: FreezeFileOptions = {},
): Promise<FrozenFile> {
  if (outputs.length === 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "You need to supply the name of a node to --output_node_names.",
      {
        at: file.path,
        hint: "name nodes with --outputs, or a signature with --signature; 'varscope inspect' lists both",
      },
    );
  }
  const names = [...new Set(outputs.map((name) => name.replace(/:\d+$/, "")))];
  const before: PassReport[] = [];
  let { graph } = file;
  for (const pass of [inlineFunctions, ...(options.setInference ? [setInference] : [])]) {
    const result = pass(graph, { outputs: names });
    graph = result.graph;
    if (result.report.done.length + result.report.left.length > 0) before.push(result.report);
  }
  const used = variableOps(reachable(names.map((name) => graph.operation(name))));
  const kept = new Set(used.filter((op) => !isFrozen(op, options)));
  const { values, places } = await valuesOf(file, used, options, kept);
  // a graph without variables was frozen before: its weights go by their names
  const wasFrozen = variableOps(graph.operations).length === 0;
  const byName = new Map([...values].map(([op, value]) => [op.name, value]));
  const frozen = freezeGraph(graph, names, (name) => byName.get(name) ?? null, options);
  const original = options.setInference === true ? graph : file.graph;
  const transformed = await transformGraph(frozen, {
    ...options,
    outputs: names,
    passes: options.passes ?? [],
    placeOf: (constant) => places.get(constant.name) ?? (wasFrozen ? namedPlace(constant) : null),
    original,
    variables: sameVariables(values, original),
  });
  const variables = used.filter((op) => !kept.has(op)).map((op) => op.name);
  return { graph: transformed.graph, outputs: names, variables, before, transformed };
}

const isFrozen = (op: Operation, { allow, deny }: FreezeOptions): boolean =>
  (allow?.includes(op.name) ?? true) && !deny?.includes(op.name);

/** Values, and their places. */
export interface Found {
  readonly values: Map<Operation, Tensor>;
  /** where each was found, by the variable's op */
  readonly places: Map<string, VariablePlace>;
}

/**
 * Values of variables, from the container that the options or the file name, and where each was found.
 *
 * @param optional - variables that may have none
 * @throws VarscopeError FAILED_PRECONDITION - no container; NOT_FOUND - it lacks one; INVALID_ARGUMENT - another dtype or shape
 */
export async function valuesOf(
  file: GraphFile,
  variables: readonly Operation[],
  options: Pick<FreezeFileOptions, "checkpoint" | "initializerNodes" | "signal"> = {},
  optional: ReadonlySet<Operation> = new Set(),
): Promise<Found> {
  const found: Found = { values: new Map(), places: new Map() };
  const initializers = options.initializerNodes ?? [];
  const path = options.checkpoint ?? file.checkpoint;
  if (variables.length === 0) return found;
  if (path === null && initializers.length === 0) {
    throw new VarscopeError("FAILED_PRECONDITION", `no values for ${variables.length} variables`, {
      at: file.path,
      hint: "name their checkpoint with --checkpoint",
    });
  }
  if (path !== null) {
    const source = await openVariableSource(path, options.signal);
    try {
      await readAll(file, variables, source, found, (op) => initializers.length > 0 || optional.has(op));
    } finally {
      await source.close();
    }
  }
  if (initializers.length > 0) await initialize(file.graph, variables, initializers, found);
  return found;
}

async function readAll(
  file: GraphFile,
  variables: readonly Operation[],
  source: VariableSource,
  { values, places }: Found,
  mayLack: (op: Operation) => boolean,
): Promise<void> {
  const placeOf = placesOf(file);
  for (const op of variables) {
    const place = placeOf(op);
    const value = mayLack(op) ? await source.find(place) : await source.read(place);
    if (value === null) continue;
    values.set(op, checkedValue(op, value, place.key));
    places.set(op.name, place);
  }
}

/** Runs initializer nodes, with what was restored as it is; their results go before. */
async function initialize(
  original: Graph,
  variables: readonly Operation[],
  nodes: readonly string[],
  { values, places }: Found,
): Promise<void> {
  const session = new Session(original, { warn: () => {} });
  try {
    for (const [op, value] of values) {
      const same = original.findOperation(op.name);
      if (same !== undefined) session.variables.commit(variableKey(same), value, false);
    }
    await session.run([], { targets: nodes.map((name) => original.operation(name)) });
    for (const op of variables) {
      const same = original.findOperation(op.name);
      const value = same === undefined ? null : session.variables.get(variableKey(same));
      if (value === null) continue;
      if (values.get(op)?.data !== value.data) places.delete(op.name); // the checkpoint does not have this value
      values.set(op, value);
    }
  } finally {
    await session.close();
  }
}
