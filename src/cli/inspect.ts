/** @file `varscope inspect`: prints what edit/inspect.ts finds. Start at `inspectCommand`. */

import { formatShape } from "../base/index.ts";
import type { GraphFacts, TensorFact } from "../edit/graph-facts.ts";
import { type Inspection, inspect, type VariableFacts } from "../edit/inspect.ts";
import { ROLES, roleOf } from "../formats/collection/index.ts";
import { formatJson } from "./json.ts";
import {
  type Column,
  formatBytes,
  formatCount,
  formatNumber,
  formatTable,
  type Row,
  type Streams,
  type Style,
  styleFor,
} from "./terminal.ts";

export interface InspectFlags {
  readonly stats?: boolean;
  readonly filter?: RegExp;
  readonly slots?: boolean;
  readonly json?: boolean;
}

/** Prints a container's contents. @throws VarscopeError as `inspect` */
export async function inspectCommand(
  path: string,
  flags: InspectFlags,
  { stdout, signal }: Streams,
): Promise<void> {
  const { stats = false, filter } = flags;
  const found = await inspect(path, { stats, ...(filter && { filter }), ...(signal && { signal }) });
  if (flags.json) {
    stdout.write(`${formatJson(found, 2)}\n`);
    return;
  }
  const style = styleFor(stdout);
  const lines = [`${style.bold(found.format)}  ${found.path}`, totalsLine(found), ""];
  if (found.variables.length > 0) lines.push(...variableLines(found, flags.slots ?? false, style), "");
  lines.push(...roleLines(found, style));
  if (found.graph !== undefined) lines.push("", ...graphLines(found.graph, style));
  stdout.write(`${lines.join("\n").trimEnd()}\n`);
}

const plural = (n: number, what: string): string => `${formatCount(n)} ${what}${n === 1 ? "" : "s"}`;

const totalsLine = ({ totals }: Inspection): string =>
  `${plural(totals.tensors, "tensor")}, ${plural(totals.parameters, "element")}, ${formatBytes(totals.bytes)}`;

const COLUMNS: readonly Column[] = [
  { title: "variable" },
  { title: "role" },
  { title: "dtype" },
  { title: "shape" },
  { title: "elements", right: true },
  { title: "bytes", right: true },
  { title: "min", right: true },
  { title: "max", right: true },
  { title: "mean", right: true },
  { title: "std", right: true },
  { title: "zeros", right: true },
  { title: "nan", right: true },
  { title: "inf", right: true },
  { title: "slots" },
];

/** Variables under the name of their layer; slots and shadows beside their variable, or with lines of their own. */
function variableLines({ variables }: Inspection, showSlots: boolean, style: Style): string[] {
  const byName = new Map(variables.map((v) => [v.name, v]));
  const ownerOf = (v: VariableFacts): string | undefined =>
    v.role === "slot" || v.role === "ema"
      ? roleOf(v.name, v.shape, (n) => byName.get(n)?.shape).of
      : undefined;
  const slots = new Map<string, string[]>();
  const rows: VariableFacts[] = [];
  for (const v of variables) {
    const owner = ownerOf(v);
    if (showSlots || owner === undefined || !byName.has(owner)) rows.push(v);
    else slots.set(owner, [...(slots.get(owner) ?? []), v.name.slice(v.name.lastIndexOf("/") + 1)]);
  }
  const layers = new Map<string, VariableFacts[]>();
  for (const v of rows) layers.set(v.layer, [...(layers.get(v.layer) ?? []), v]);
  const lines: Row[] = [];
  for (const layer of [...layers.keys()].sort(COLLATOR.compare)) {
    lines.push(style.bold(layer === "" ? "(no layer)" : layer));
    const inOrder = layers.get(layer)!.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
    lines.push(...inOrder.map((v) => variableRow(v, layer, slots.get(v.name) ?? [])));
  }
  return formatTable(COLUMNS, lines, style);
}

/** conv2 before conv10. */
const COLLATOR = new Intl.Collator("en", { numeric: true });

function variableRow(v: VariableFacts, layer: string, slots: readonly string[]): string[] {
  const name = layer !== "" && v.name.startsWith(`${layer}/`) ? v.name.slice(layer.length + 1) : v.name;
  const elements =
    v.shape?.reduce<number | null>((n, d) => (n === null || d === null ? null : n * d), 1) ?? null;
  const { stats: s } = v;
  return [
    `  ${name}`,
    v.role,
    v.dtype,
    formatShape(v.shape),
    elements === null ? "?" : formatCount(elements),
    formatCount(v.bytes),
    ...(s === undefined ? ["", "", "", ""] : [s.min, s.max, s.mean, s.std].map(formatNumber)),
    ...(s === undefined ? ["", "", ""] : [s.zeros, s.nan, s.inf].map(formatCount)),
    slots.join(", "),
  ];
}

function roleLines({ variables, totals }: Inspection, style: Style): string[] {
  if (variables.length === 0) return [];
  const byRole = ROLES.filter((role) => role in totals.byRole).map((role): Row => {
    const mine = variables.filter((v) => v.role === role);
    const bytes = mine.reduce((n, v) => n + v.bytes, 0);
    return [role, formatCount(mine.length), formatCount(totals.byRole[role]!), formatCount(bytes)];
  });
  const byDtype = Object.entries(totals.byDtype).map(([dtype, n]): Row => {
    const mine = variables.filter((v) => v.dtype === dtype);
    const bytes = mine.reduce((sum, v) => sum + v.bytes, 0);
    return [dtype, formatCount(mine.length), formatCount(n), formatCount(bytes)];
  });
  const columns: Column[] = [
    { title: "role, dtype" },
    { title: "tensors", right: true },
    { title: "elements", right: true },
    { title: "bytes", right: true },
  ];
  return formatTable(columns, [...byRole, "", ...byDtype], style);
}

/** A graph of training has very many ends; these are shown. */
const MOST_ENDS = 20;

function graphLines(graph: GraphFacts, style: Style): string[] {
  const lines: string[] = [];
  const tensors = (title: string, facts: readonly TensorFact[]): void => {
    if (facts.length === 0) return;
    const columns: Column[] = [{ title }, { title: "dtype" }, { title: "shape" }];
    const rows = facts.slice(0, MOST_ENDS).map((t): Row => [t.name, t.dtype, formatShape(t.shape)]);
    lines.push(...formatTable(columns, rows, style), ...more(facts.length), "");
  };
  tensors("input", graph.inputs);
  tensors("output", graph.outputs);
  if (graph.targets.length > 0) {
    lines.push(style.dim("target"), ...graph.targets.slice(0, MOST_ENDS), ...more(graph.targets.length), "");
  }
  for (const [name, { method, inputs, outputs }] of Object.entries(graph.signatures)) {
    lines.push(`${style.bold(name)}  ${method}`);
    const rows = [
      ...Object.entries(inputs).map(([key, t]): Row => ["input", key, t.name, t.dtype, formatShape(t.shape)]),
      ...Object.entries(outputs).map(
        ([key, t]): Row => ["output", key, t.name, t.dtype, formatShape(t.shape)],
      ),
    ];
    const columns = ["signature", "name", "tensor", "dtype", "shape"].map((title) => ({ title }));
    lines.push(...formatTable(columns, rows, style), "");
  }
  const ops = Object.entries(graph.ops).sort(([, a], [, b]) => b - a);
  const rows = ops.map(([type, n]): Row => [type, formatCount(n)]);
  lines.push(...formatTable([{ title: "op" }, { title: "nodes", right: true }], rows, style));
  return lines;
}

const more = (n: number): string[] =>
  n > MOST_ENDS ? [`... and ${formatCount(n - MOST_ENDS)} more; --json has all`] : [];
