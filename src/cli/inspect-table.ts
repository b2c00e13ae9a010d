/** @file The table of variables of `varscope inspect`: by layer, a batch normalization as one row. Start at `variableLines`. */

import { formatShape, groupedBy, sizeOrNull } from "../base/index.ts";
import { type BatchNorm, batchNormStats, batchNorms, healthOf, variablesOf } from "../edit/batch-norms.ts";
import { formatHistogram } from "../edit/histogram.ts";
import type { Inspection, VariableFacts } from "../edit/inspect.ts";
import type { Stats } from "../edit/stats.ts";
import { ROLES, type VariableCollection } from "../formats/collection/index.ts";
import { type Column, formatCount, formatNumber, formatTable, type Row, type Style } from "./terminal.ts";

const COLUMNS: readonly Column[] = [
  { title: "variable" },
  { title: "role" },
  { title: "dtype" },
  { title: "shape" },
  { title: "elements", right: true },
  { title: "bytes", right: true },
  { title: "health" },
  { title: "min", right: true },
  { title: "max", right: true },
  { title: "mean", right: true },
  { title: "std", right: true },
  { title: "zeros", right: true },
  { title: "nan", right: true },
  { title: "inf", right: true },
  { title: "histogram" },
  { title: "slots" },
];

/** Variables under the name of their layer; slots and shadows beside their variable, or with lines of their own. */
export async function variableLines(
  model: VariableCollection,
  { variables }: Inspection,
  showSlots: boolean,
  style: Style,
): Promise<string[]> {
  const { rows, slots } = withoutSlots(variables, showSlots);
  const shown = new Set(rows.map((v) => v.name));
  const norms = batchNorms(model.variables).filter((norm) =>
    variablesOf(norm).some((v) => shown.has(v.name)),
  );
  const known = variables.some((v) => v.stats !== undefined);
  const stats = known ? new Map<string, Stats>() : await batchNormStats(model, norms);
  for (const v of variables) if (v.stats !== undefined) stats.set(v.name, v.stats);
  const table = new Table(norms, stats, slots, style);
  const layers = groupedBy(rows, (v) => v.layer);
  const lines = [...layers.keys()]
    .sort(COLLATOR.compare)
    .flatMap((layer) => table.layer(layer, layers.get(layer)!));
  return formatTable(COLUMNS, lines, style);
}

/** conv2 before conv10. */
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** Rows of the table, and the last parts of the names of slots and shadows that stand beside their variable instead. */
function withoutSlots(variables: readonly VariableFacts[], showSlots: boolean) {
  const names = new Set(variables.map((v) => v.name));
  const ownerOf = (v: VariableFacts): string | undefined =>
    !showSlots && (v.role === "slot" || v.role === "ema") && v.of !== undefined && names.has(v.of)
      ? v.of
      : undefined;
  const groups = groupedBy(variables, ownerOf);
  const word = (v: VariableFacts): string => v.slot ?? v.name.slice(v.name.lastIndexOf("/") + 1);
  const slots = new Map([...groups].map(([owner, all]) => [owner ?? "", all.map(word)]));
  return { rows: groups.get(undefined) ?? [], slots };
}

/** Makes rows. */
class Table {
  private readonly norms: ReadonlyMap<string, BatchNorm>;
  private readonly stats: ReadonlyMap<string, Stats>;
  private readonly slots: ReadonlyMap<string, readonly string[]>;
  private readonly style: Style;

  constructor(
    norms: readonly BatchNorm[],
    stats: ReadonlyMap<string, Stats>,
    slots: ReadonlyMap<string, readonly string[]>,
    style: Style,
  ) {
    this.norms = new Map(norms.map((norm) => [norm.layer, norm]));
    this.stats = stats;
    this.slots = slots;
    this.style = style;
  }

  layer(layer: string, variables: readonly VariableFacts[]): Row[] {
    const inOrder = [...variables].sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
    const norm = this.norms.get(layer);
    const inNorm = new Set(norm === undefined ? [] : variablesOf(norm).map((v) => v.name));
    const mine = inOrder.filter((v) => inNorm.has(v.name));
    const details = mine.some((v) => v.stats !== undefined) ? mine : [];
    const others = inOrder.filter((v) => !inNorm.has(v.name));
    const title = this.style.bold(layer === "" ? "(no layer)" : layer);
    return [
      title,
      ...(norm === undefined ? [] : [this.normRow(norm, mine)]),
      ...details.map((v) => this.variableRow(v, layer, "    ")),
      ...others.map((v) => this.variableRow(v, layer, "  ")),
    ];
  }

  /** The variables of a batch normalization as one. */
  private normRow(norm: BatchNorm, mine: readonly VariableFacts[]): string[] {
    const { words } = healthOf(norm, (v) => this.stats.get(v.name));
    const slots = [...new Set(mine.flatMap((v) => this.slots.get(v.name) ?? []))];
    const unique = (texts: readonly string[]): string => [...new Set(texts)].join(" ");
    return [
      `  ${mine.map((v) => SHORT[v.role] ?? v.role).join(" ")}`,
      "batch norm",
      unique(mine.map((v) => v.dtype)),
      unique(mine.map((v) => formatShape(v.shape))),
      formatCount(mine.reduce((n, v) => n + (sizeOrNull(v.shape) ?? 0), 0)),
      formatCount(mine.reduce((n, v) => n + v.bytes, 0)),
      words,
      ...["", "", "", "", "", "", "", ""],
      slots.join(", "),
    ];
  }

  private variableRow(v: VariableFacts, layer: string, indent: string): string[] {
    const isInside = layer !== "" && v.name.startsWith(layer) && /[/.]/.test(v.name.charAt(layer.length));
    const name = isInside ? v.name.slice(layer.length + 1) : v.name;
    const elements = sizeOrNull(v.shape);
    const { stats: s } = v;
    return [
      `${indent}${name}`,
      v.role,
      v.dtype,
      formatShape(v.shape),
      elements === null ? "?" : formatCount(elements),
      formatCount(v.bytes),
      "",
      ...(s === undefined ? ["", "", "", ""] : [s.min, s.max, s.mean, s.std].map(formatNumber)),
      ...(s === undefined ? ["", "", ""] : [s.zeros, s.nan, s.inf].map(formatCount)),
      s === undefined || s.histogram === null ? "" : formatHistogram(s.histogram),
      (this.slots.get(v.name) ?? []).join(", "),
    ];
  }
}

const SHORT: Readonly<Record<string, string>> = { "moving-mean": "mean", "moving-variance": "variance" };
