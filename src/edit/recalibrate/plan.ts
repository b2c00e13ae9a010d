/**
 * @file Statistics estimated anew for files: the values of one container in a graph, and the container with the new statistics in it. Start at
 * `planRecalibration`; what it gives is written by `writeModel`.
 */

import { sameShape, type Tensor, VarscopeError } from "../../base/index.ts";
import { parseSliceSpec } from "../../formats/checkpoint/index.ts";
import {
  type Contents,
  contentsOf,
  type VariableCollection,
  variableOf,
} from "../../formats/collection/index.ts";
import { matchVariables } from "../../formats/matching/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { inlineCalls } from "../../run/control/expand.ts";
import { Session, variableKey } from "../../run/index.ts";
import { storedAt, variableOps } from "../graph/values.ts";
import type { Model } from "../open-model.ts";
import { type ConventionName, detectConvention, type KnownConvention } from "./convention.ts";
import { type RecalibrateOptions, type Recalibration, recalibrate } from "./recalibrate.ts";

export interface RecalibrationPlanOptions extends Omit<RecalibrateOptions, "write" | "convention"> {
  /** "detect": that of the container's maker, where a Keras file or the objects of a checkpoint tell; else as written: "detect" */
  readonly convention?: ConventionName | "detect";
}

export interface RecalibrationPlan extends Recalibration {
  readonly convention: KnownConvention;
  /** all of the container, with the new statistics */
  readonly contents: Contents;
}

/**
 * Estimates the statistics of a graph whose values are in a container of any format: by the names of its variables, or by their spelling, layers
 * and shapes where a container of another kind spells them otherwise.
 *
 * @param graph - a model that has a graph; a frozen one is its own container
 * @throws VarscopeError FAILED_PRECONDITION - no graph; NOT_FOUND - no values for a variable that a normalization needs; and as `recalibrate`
 */
export async function planRecalibration(
  graph: Model,
  values: VariableCollection,
  options: RecalibrationPlanOptions,
): Promise<RecalibrationPlan> {
  const file = await graph.graph();
  if (file === null) {
    throw new VarscopeError("FAILED_PRECONDITION", `${graph.format} has no graph`, {
      at: graph.path,
      hint: "give a MetaGraph (.meta), a GraphDef or a SavedModel, and this as --checkpoint",
    });
  }
  const { convention: asked = "detect" } = options;
  const convention = asked === "detect" ? detectConvention(values) : { convention: asked, why: null };
  const flat = file.graph.functions.size > 0 ? inlineCalls(file.graph).graph : file.graph;
  const session = new Session(flat, { warn: () => {} });
  try {
    const names = namesIn(graph, flat, values);
    await load(session, flat, storedAt(file.graph), values, names, options.signal);
    const result = await recalibrate(session, {
      ...options,
      convention: convention.convention,
      write: false,
    });
    const changed = new Map<string, Tensor>();
    for (const { names: of, mean, variance } of result.layers) {
      for (const [name, value] of [
        [of.mean, mean],
        [of.variance, variance],
      ] as const)
        changed.set(names(name) ?? name, value);
    }
    return { ...result, convention, contents: withValues(values, changed) };
  } finally {
    await session.close();
  }
}

/** Name of a variable's op (or of its whole) in the graph -> name in the container. */
function namesIn(
  graph: VariableCollection,
  flat: Graph,
  values: VariableCollection,
): (name: string) => string | undefined {
  const keys = graph.format === "saved-model" ? restoredKeys(flat) : new Map<string, string>();
  const other = new Map<string, string>();
  if (graph.path !== values.path) {
    const { pairs } = matchVariables(graph.variables, values.variables, { structure: true });
    for (const { a, b } of pairs) if (sameShape(a.shape, b.shape)) other.set(a.name, b.name);
  }
  const own = new Set(graph.variables.map((v) => v.name));
  return (name) => {
    const key = keys.get(name);
    const entry = key === undefined ? name : graph.find(key).name;
    return other.get(entry) ?? (graph.path === values.path && own.has(entry) ? entry : undefined);
  };
}

/** Keys of the variables that a SavedModel's own restore op fills: their names in the graph may be others. */
function restoredKeys(graph: Graph): Map<string, string> {
  const keys = new Map<string, string>();
  for (const op of graph.operations) {
    if (op.type !== "AssignVariableOp") continue;
    const value = behind(op.inputs[1]!);
    const keyed = value.op.type === "RestoreV2" ? behind(value.op.inputs[1]!).op : null;
    const key = (keyed?.attrs.value as unknown as Tensor | undefined)?.data[value.index];
    if (key instanceof Uint8Array) keys.set(behind(op.inputs[0]!).op.name, new TextDecoder().decode(key));
  }
  return keys;
}

/** What Identities stand for; a long chain of them is none that TensorFlow makes. */
function behind(x: Output): Output {
  let y = x;
  for (let hops = 0; hops < 16 && y.op.type === "Identity"; hops++) y = y.op.inputs[0]!;
  return y;
}

/** Gives the session's variables the values of the container, as far as it has them. */
async function load(
  session: Session,
  graph: Graph,
  place: ReturnType<typeof storedAt>,
  values: VariableCollection,
  names: (name: string) => string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const reading = signal === undefined ? {} : { signal };
  for (const op of variableOps(graph.operations)) {
    const name = names(place(op).key);
    if (name === undefined) continue; // a slot or a counter: a run that needs it says so
    session.variables.commit(variableKey(op), await stored(place(op).slice, name, values, reading), false);
  }
}

/** A variable's value, or the part of it that the op holds. */
function stored(
  slice: string,
  name: string,
  values: VariableCollection,
  reading: { readonly signal?: AbortSignal },
): Promise<Tensor> {
  if (slice === "") return values.read(name, reading);
  const { fullShape, slice: part } = parseSliceSpec(slice);
  const box = { start: part.map((e) => e.start), size: part.map((e, i) => e.length ?? fullShape[i]!) };
  return values.readBox(name, box, reading);
}

/** The container with other values for some of its variables. */
function withValues(values: VariableCollection, changed: ReadonlyMap<string, Tensor>): Contents {
  const contents = contentsOf(values);
  for (const name of changed.keys()) {
    if (contents.variables.some((v) => v.name === name)) continue;
    throw new VarscopeError("NOT_FOUND", `the container has no variable ${name}`, {
      at: values.path,
      hint: "the statistics of the graph have another name, or are parts of a partitioned variable",
    });
  }
  const variables = contents.variables.map((v) => {
    const value = changed.get(v.name);
    return value === undefined ? v : { ...v, ...variableOf(v.name, { ...value, shape: v.shape }) };
  });
  return { ...contents, variables };
}
