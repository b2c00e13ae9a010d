/** @file Which variable takes which tensor of a checkpoint, told from names, dtypes and shapes alone. Start at `planRestore`. */

import {
  type DType,
  formatShape,
  groupedBy,
  isCompatible,
  isStatic,
  type Shape,
  sizeOf,
} from "../../base/index.ts";
import { collectionOf, type VariableCollection, type VariableEntry } from "../../formats/collection/index.ts";
import { matchVariables } from "../../formats/matching/index.ts";
import type { KeyMap, MatchedVariable, MismatchedVariable, RestoreReport } from "./report.ts";

/** A variable, or a slice of one, that wants a value. */
export interface Wanted {
  /** the variable's; of a slice the whole variable's */
  readonly name: string;
  /** where its values are looked for */
  readonly key: string;
  readonly dtype: DType;
  /** of the whole variable; null where any will do */
  readonly shape: Shape | null;
  /** empty, or the spec of its slice */
  readonly slice: string;
  /** takes values of any shape that has as many elements */
  readonly reshapes: boolean;
}

/** A wanted value that is there. */
export interface Found<W extends Wanted> {
  readonly wanted: W;
  readonly entry: VariableEntry;
}

export interface RestorePlan<W extends Wanted> {
  readonly found: readonly Found<W>[];
  readonly missing: readonly W[];
  readonly mismatched: readonly (MismatchedVariable & { readonly wanted: W })[];
}

/** What of `wanted` the collection has. @param map - variables by the keys that they are read from instead of their own */
export function planRestore<W extends Wanted>(
  wanted: readonly W[],
  collection: VariableCollection,
  map: KeyMap = {},
): RestorePlan<W> {
  const entries = new Map<string, VariableEntry>();
  for (const v of collection.variables) entries.set(v.name, v);
  for (const v of collection.variables) entries.set(v.key, v);
  const keyOf = new Map(Object.entries(map).map(([key, name]) => [name.replace(/:0$/, ""), key]));
  const found: Found<W>[] = [];
  const missing: W[] = [];
  const mismatched: (MismatchedVariable & { wanted: W })[] = [];
  for (const w of wanted) {
    const key = keyOf.get(w.name) ?? w.key;
    const entry = entries.get(key);
    if (entry === undefined) missing.push({ ...w, key });
    else if (fits(w, entry)) found.push({ wanted: w, entry });
    else mismatched.push({ name: w.name, key, what: difference(w, entry), wanted: w });
  }
  return { found, missing, mismatched };
}

function fits({ dtype, shape, slice, reshapes }: Wanted, entry: VariableEntry): boolean {
  if (dtype !== entry.dtype) return false;
  if (shape === null || entry.shape === null) return true;
  if (!reshapes || slice !== "") return isCompatible(shape, entry.shape);
  return !isStatic(shape) || !isStatic(entry.shape) || sizeOf(shape) === sizeOf(entry.shape);
}

const difference = (w: Wanted, entry: VariableEntry): string =>
  `${w.dtype} ${formatShape(w.shape)} here, ${entry.dtype} ${formatShape(entry.shape)} in the checkpoint`;

/** A plan told to people: each variable once, with candidates for those that are missing. */
export function reportOf<W extends Wanted>(
  plan: RestorePlan<W>,
  wanted: readonly W[],
  collection: VariableCollection,
): RestoreReport {
  const matched = oncePerName(
    plan.found.map(({ wanted: { name }, entry }): MatchedVariable => ({ name, key: entry.key })),
  );
  const keyOf = new Map(collection.variables.map((v) => [v.name, v.key]));
  const used = new Set(matched.map(({ key }) => key));
  for (const { key } of plan.mismatched) used.add(keyOf.get(key) ?? key);
  const free = collection.variables.filter((v) => !used.has(v.key));
  const missing = oncePerName(plan.missing);
  const alike = missing.length === 0 ? NOTHING : alikeOf(wanted, matched, collection);
  const byName = new Map(free.map((v) => [v.name, v]));
  const byMake = groupedBy(free, makeOf);
  const assignments = new Map<string, string>();
  const assign = (key: string, name: string): void => {
    if (!assignments.has(key)) assignments.set(key, name);
  };
  for (const { name, key } of matched) assign(key, name);
  for (const w of missing) {
    const to = byName.get(alike.renames.get(w.name) ?? "");
    if (to !== undefined && fits(w, to)) assign(to.key, w.name);
  }
  return {
    path: collection.path,
    matched,
    missing: missing.map((w) => ({
      name: w.name,
      key: w.key,
      near: (alike.near.get(w.name) ?? []).map((name) => keyOf.get(name)!),
      fitting: (byMake.get(makeOf(w)) ?? []).slice(0, MOST_FITTING).map((v) => v.key),
    })),
    mismatched: oncePerName(plan.mismatched).map(({ name, key, what }) => ({ name, key, what })),
    unused: free.map((v) => v.key),
    assignmentMap: Object.fromEntries(assignments),
  };
}

/** Candidates of the same shape that are listed. */
const MOST_FITTING = 8;

const makeOf = (v: { readonly dtype: DType; readonly shape: Shape | null }): string =>
  `${v.dtype} ${formatShape(v.shape)}`;

/** The slices of a variable are told as one. */
const oncePerName = <T extends { readonly name: string }>(items: readonly T[]): T[] => [
  ...new Map(items.map((item) => [item.name, item])).values(),
];

/** Names of the checkpoint for variables of the graph. */
interface Alike {
  /** the one that is meant, over spellings, layers and roles */
  readonly renames: ReadonlyMap<string, string>;
  /** those that are spelled alike, by name of the variable */
  readonly near: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: Alike = { renames: new Map(), near: new Map() };

function alikeOf(
  wanted: readonly Wanted[],
  matched: readonly MatchedVariable[],
  collection: VariableCollection,
): Alike {
  const variables = oncePerName(wanted).map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    bytes: 0,
    read: () => Promise.reject(new Error("no values here")),
  }));
  const graph = collectionOf({ path: "graph", format: "graph-def", variables });
  const map = new Map(matched.map(({ name, key }) => [name, key]));
  const found = matchVariables(graph.variables, collection.variables, { map, structure: true });
  // of the same name too: where a checkpoint of objects has a variable at another place
  const same = found.pairs.map(({ a, b }) => [a.name, b.name] as const);
  const renames = new Map([...Object.entries(found.renames), ...same]);
  const near = new Map([...renames].map(([name, to]): [string, string[]] => [name, [to]]));
  for (const other of found.onlyInA)
    near.set(other.name, [...new Set([...(near.get(other.name) ?? []), ...other.near])]);
  return { renames, near };
}
