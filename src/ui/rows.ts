/** @file Rows of the table: layers with their variables, or variables alone; filtered and sorted. Start at `rowsOf`. */

import { sizeOrNull } from "../base/index.ts";
import { type BatchNorm, batchNorms } from "../edit/batch-norms.ts";
import { ROLES, type VariableEntry } from "../formats/collection/index.ts";
import type { Numbers } from "./health.ts";

/** A layer and what belongs to it. */
export interface Group {
  readonly layer: string;
  /** the variables of the layer itself, in the order of roles */
  readonly members: readonly VariableEntry[];
  /** slots and shadows of its variables */
  readonly beside: readonly VariableEntry[];
  /** its batch normalization, if it is one */
  readonly norm: BatchNorm | null;
  readonly parameters: number;
  readonly bytes: number;
}

/** A row of the table. */
export type Row =
  | { readonly kind: "group"; readonly id: string; readonly group: Group; readonly isOpen: boolean }
  | {
      readonly kind: "variable";
      readonly id: string;
      readonly variable: VariableEntry;
      readonly depth: 0 | 1 | 2;
    };

export const SORTS = ["name", "parameters", "bytes", "min", "max", "mean", "std"] as const;
export type Sort = (typeof SORTS)[number];

/** What the user chose. */
export interface View {
  readonly grouped: boolean;
  /** null: the text is no pattern */
  readonly pattern: RegExp | null;
  readonly roles: ReadonlySet<string>;
  readonly dtypes: ReadonlySet<string>;
  readonly scopes: ReadonlySet<string>;
  readonly sort: Sort;
  readonly isDescending: boolean;
  readonly open: ReadonlySet<string>;
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
const isBeside = (v: VariableEntry): boolean => v.role === "slot" || v.role === "ema";

export const sizeOfEntry = (v: VariableEntry): number => sizeOrNull(v.shape) ?? 0;
export const scopeOf = (v: VariableEntry): string => v.layer.split("/")[0]!;

/** Layers in natural order (conv2 before conv10). */
export function groupsOf(variables: readonly VariableEntry[]): Group[] {
  const layers = new Map<string, VariableEntry[]>();
  for (const v of variables) {
    const list = layers.get(v.layer);
    if (list === undefined) layers.set(v.layer, [v]);
    else list.push(v);
  }
  const norms = new Map(batchNorms(variables).map((n) => [n.layer, n]));
  return [...layers].map(([layer, all]) => {
    const members = all
      .filter((v) => !isBeside(v))
      .sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
    const beside = all.filter(isBeside);
    const own = members.length > 0 ? members : beside;
    const sum = (of: (v: VariableEntry) => number): number => own.reduce((n, v) => n + of(v), 0);
    return {
      layer,
      members,
      beside,
      norm: norms.get(layer) ?? null,
      parameters: sum(sizeOfEntry),
      bytes: all.reduce((n, v) => n + v.bytes, 0),
    };
  });
}

/** Whether a variable passes the filters. */
export function passes(v: VariableEntry, { pattern, roles, dtypes, scopes }: View): boolean {
  return (
    (roles.size === 0 || roles.has(v.role)) &&
    (dtypes.size === 0 || dtypes.has(v.dtype)) &&
    (scopes.size === 0 || scopes.has(scopeOf(v))) &&
    (pattern === null || pattern.test(v.name) || (v.key !== v.name && pattern.test(v.key)))
  );
}

/** The table's rows. */
export function rowsOf(variables: readonly VariableEntry[], view: View, numbers: Numbers): Row[] {
  const shown = variables.filter((v) => passes(v, view));
  return view.grouped ? groupRows(shown, view) : variableRows(shown, view, numbers);
}

function variableRows(
  shown: readonly VariableEntry[],
  { sort, isDescending }: View,
  numbers: Numbers,
): Row[] {
  const sign = isDescending ? -1 : 1;
  const key = (v: VariableEntry): number => {
    if (sort === "parameters") return sizeOfEntry(v);
    if (sort === "bytes") return v.bytes;
    const s = numbers.get(v.name);
    return s === undefined || s === null || sort === "name" ? Number.NaN : Number(s[sort]);
  };
  const keyed = shown.map((v) => ({ v, k: sort === "name" ? 0 : key(v) }));
  // What has no number stands last, whatever the direction.
  keyed.sort(
    (a, b) =>
      compareLast(a.k, b.k, sign) || (sort === "name" ? sign : 1) * COLLATOR.compare(a.v.name, b.v.name),
  );
  return keyed.map(({ v }) => ({ kind: "variable", id: v.name, variable: v, depth: 0 }));
}

function compareLast(a: number, b: number, sign: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a === b ? 0 : sign * (a - b);
}

function groupRows(shown: readonly VariableEntry[], { sort, isDescending, open }: View): Row[] {
  const sign = isDescending ? -1 : 1;
  const size = (g: Group): number => (sort === "parameters" ? g.parameters : sort === "bytes" ? g.bytes : 0);
  const groups = groupsOf(shown).sort(
    (a, b) => sign * (size(a) - size(b)) || (sort === "name" ? sign : 1) * COLLATOR.compare(a.layer, b.layer),
  );
  return groups.flatMap((group): Row[] => {
    const { layer, members, beside } = group;
    const only = members.length === 1 && beside.length === 0 ? members[0]! : null;
    if (only !== null) return [{ kind: "variable", id: only.name, variable: only, depth: 0 }];
    const id = `layer:${layer}`;
    const head: Row = { kind: "group", id, group, isOpen: open.has(id) };
    return open.has(id) ? [head, ...inside(group)] : [head];
  });
}

/** A layer's variables, each with what belongs to it. */
function inside({ members, beside }: Group): Row[] {
  const owned = new Map<string | undefined, VariableEntry[]>();
  for (const v of beside) owned.set(v.of, [...(owned.get(v.of) ?? []), v]);
  const row = (variable: VariableEntry, depth: 1 | 2): Row => ({
    kind: "variable",
    id: variable.name,
    variable,
    depth,
  });
  const names = new Set(members.map((v) => v.name));
  const lost = beside.filter((v) => v.of === undefined || !names.has(v.of));
  return [
    ...members.flatMap((v) => [row(v, 1), ...(owned.get(v.name) ?? []).map((s) => row(s, 2))]),
    ...lost.map((v) => row(v, 1)),
  ];
}
