/** @file What is inside a container: variables with role and layer, totals, the graph's face. Start at `inspect`. */

import { sizeOrNull, VarscopeError } from "../base/index.ts";
import type { Format, Role, VariableEntry } from "../formats/collection/index.ts";
import type { GraphFacts } from "./graph/graph-facts.ts";
import { type Model, type OpenOptions, openModel, type Where } from "./open-model.ts";
import { hasStats, type Stats, streamStats } from "./stats.ts";

export interface InspectOptions extends OpenOptions {
  /** statistics of each tensor, which reads all values: false; or the statistics themselves, by name */
  readonly stats?: boolean | ReadonlyMap<string, Stats>;
  /** only variables whose name has this in it */
  readonly filter?: RegExp;
  readonly signal?: AbortSignal;
  /** told of the bytes of values read so far, and of those to read in all */
  onProgress?(done: number, all: number): void;
}

export interface VariableFacts extends Omit<VariableEntry, "key" | "parts" | "aliases"> {
  /** as the container spells it, where that differs */
  readonly key?: string;
  /** parts of a partitioned variable */
  readonly parts?: number;
  /** where asked; not of strings */
  readonly stats?: Stats;
}

export interface Totals {
  readonly tensors: number;
  /** elements of all tensors */
  readonly parameters: number;
  /** elements of the model alone: no slots, shadows, counters, strings */
  readonly modelParameters: number;
  readonly bytes: number;
  /** elements by role */
  readonly byRole: { readonly [role: string]: number };
  /** elements by dtype */
  readonly byDtype: { readonly [dtype: string]: number };
  /** elements of the model by the first part of their layer's name */
  readonly byScope: { readonly [scope: string]: number };
}

/** What `varscope inspect --json` prints. */
export interface Inspection {
  readonly path: string;
  readonly format: Format;
  /** sorted by name, bytewise */
  readonly variables: readonly VariableFacts[];
  readonly totals: Totals;
  readonly graph?: GraphFacts;
}

/**
 * Looks into the container at `path`.
 *
 * @throws VarscopeError as `openModel`; FAILED_PRECONDITION - statistics of a graph whose values are nowhere
 */
export async function inspect(path: Where, options: InspectOptions = {}): Promise<Inspection> {
  const model = await openModel(path, options);
  try {
    return await inspectModel(model, options);
  } finally {
    await model.close();
  }
}

/** The same of an open container. */
export async function inspectModel(model: Model, options: InspectOptions = {}): Promise<Inspection> {
  const { stats = false, filter } = options;
  const chosen = chosenOf(model, filter);
  const computed = stats === true ? await statsOfAll(model, chosen, options) : new Map<string, Stats>();
  const numbers = typeof stats === "boolean" ? computed : stats;
  const variables = chosen.map((v) => factsOf(v, numbers.get(v.name)));
  const result = { path: model.path, format: model.format, variables, totals: totalsOf(variables) };
  const graph = await model.graph();
  if (graph === null) return result;
  const { graphFacts } = await import("./graph/graph-facts.ts");
  return { ...result, graph: graphFacts(graph) };
}

/** Variables whose name has `filter` in it. */
export const chosenOf = (model: Pick<Model, "variables">, filter: RegExp | undefined): VariableEntry[] =>
  model.variables.filter(({ name }) => filter === undefined || filter.test(name));

function factsOf({ key, parts, aliases, ...entry }: VariableEntry, stats: Stats | undefined): VariableFacts {
  return {
    ...entry,
    ...(key === entry.name ? {} : { key }),
    ...(parts === undefined ? {} : { parts: parts.length }),
    ...(stats === undefined ? {} : { stats }),
  };
}

/** Tensors under way at once: while one is counted, others are read. */
const READERS = 4;

/**
 * Statistics of variables by name, in one pass each; strings have none.
 *
 * @throws VarscopeError CANCELLED; and as `VariableCollection.read`
 */
export async function statsOfAll(
  model: Pick<Model, "stream">,
  variables: readonly VariableEntry[],
  { signal, onProgress }: Pick<InspectOptions, "signal" | "onProgress"> = {},
): Promise<Map<string, Stats>> {
  const wanted = variables.filter((v) => hasStats(v.dtype));
  const all = wanted.reduce((n, v) => n + v.bytes, 0);
  const found = new Map<string, Stats>();
  let [next, done] = [0, 0];
  const counted = async function* (v: VariableEntry) {
    for await (const piece of model.stream(v.name, signal === undefined ? {} : { signal })) {
      if (signal?.aborted) throw new VarscopeError("CANCELLED", "inspecting was aborted", { at: v.name });
      yield piece;
      done += (piece.data as Float32Array).byteLength;
      onProgress?.(done, all);
    }
  };
  const reader = async (): Promise<void> => {
    while (next < wanted.length) {
      const v = wanted[next++]!;
      found.set(v.name, (await streamStats(v.dtype, counted(v)))!);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  return found;
}

/** Roles whose elements are not the model's. */
const BESIDE: ReadonlySet<Role> = new Set<Role>(["slot", "ema", "step"]);

function totalsOf(variables: readonly VariableFacts[]): Totals {
  const byRole: Record<string, number> = {};
  const byDtype: Record<string, number> = {};
  const byScope: Record<string, number> = {};
  let [parameters, modelParameters, bytes] = [0, 0, 0];
  for (const v of variables) {
    const size = sizeOrNull(v.shape) ?? 0;
    parameters += size;
    bytes += v.bytes;
    byRole[v.role] = (byRole[v.role] ?? 0) + size;
    byDtype[v.dtype] = (byDtype[v.dtype] ?? 0) + size;
    if (!isParameter(v)) continue;
    modelParameters += size;
    const scope = v.layer.split("/")[0]!;
    byScope[scope] = (byScope[scope] ?? 0) + size;
  }
  return { tensors: variables.length, parameters, modelParameters, bytes, byRole, byDtype, byScope };
}

/** Whether a variable is a part of the model, not of its training. */
export const isParameter = (v: Pick<VariableEntry, "role" | "dtype" | "optimizer">): boolean =>
  !BESIDE.has(v.role) && v.dtype !== "string" && v.optimizer === undefined;
