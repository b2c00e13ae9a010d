/** @file `varscope inspect`: prints what edit/inspect.ts finds. Start at `inspectCommand`. */

import { formatShape } from "../base/index.ts";
import type { GraphFacts, TensorFact } from "../edit/graph/graph-facts.ts";
import { chosenOf, type Inspection, inspectModel } from "../edit/inspect.ts";
import { openModel } from "../edit/open-model.ts";
import { ROLES, type VariableCollection } from "../formats/collection/index.ts";
import { variableLines } from "./inspect-table.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import { statsInThreads } from "./stats-pool.ts";
import {
  type Column,
  formatBytes,
  formatCount,
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
  { stdout, stderr, signal }: Streams,
): Promise<void> {
  const { stats = false, filter } = flags;
  const progress = progressOn(stderr, "reading");
  const model = await openModel(path);
  try {
    const common = { onProgress: progress.report, ...(filter && { filter }), ...(signal && { signal }) };
    const numbers = stats ? await statsInThreads(path, chosenOf(model, filter), common) : null;
    const found = await inspectModel(model, { ...common, stats: numbers ?? stats });
    progress.end();
    const text = flags.json
      ? `${formatJson(found, 2)}\n`
      : await inspectionText(model, found, flags, styleFor(stdout));
    stdout.write(text);
  } finally {
    progress.end();
    await model.close();
  }
}

async function inspectionText(
  model: VariableCollection,
  found: Inspection,
  flags: InspectFlags,
  style: Style,
): Promise<string> {
  const lines = [`${style.bold(found.format)}  ${found.path}`, totalsLine(found), ""];
  if (found.variables.length > 0) {
    lines.push(...(await variableLines(model, found, flags.slots ?? false, style)), "");
  }
  lines.push(...roleLines(found, style));
  if (found.graph !== undefined) lines.push("", ...graphLines(found.graph, style));
  return `${lines.join("\n").trimEnd()}\n`;
}

const plural = (n: number, what: string): string => `${formatCount(n)} ${what}${n === 1 ? "" : "s"}`;

const totalsLine = ({ totals }: Inspection): string =>
  `${plural(totals.tensors, "tensor")}, ${plural(totals.parameters, "element")}, ${plural(totals.modelParameters, "parameter")} of the model, ${formatBytes(totals.bytes)}`;

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
  const scopes = Object.entries(totals.byScope);
  const byScope = scopes
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST_SCOPES)
    .map(([scope, n]): Row => [`${scope === "" ? "(none)" : scope}`, "", formatCount(n), ""]);
  const scopeRows: Row[] =
    scopes.length < 2 ? [] : ["", style.dim("scope"), ...byScope, ...moreRow(scopes.length - MOST_SCOPES)];
  const columns: Column[] = [
    { title: "role, dtype" },
    { title: "tensors", right: true },
    { title: "elements", right: true },
    { title: "bytes", right: true },
  ];
  return formatTable(columns, [...byRole, "", ...byDtype, ...scopeRows], style);
}

/** Scopes of the largest parts of the model that are shown. */
const MOST_SCOPES = 12;

const moreRow = (n: number): string[] => (n > 0 ? [`... and ${formatCount(n)} more`] : []);

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
  // Where signatures say what the graph is for, its loose ends are machinery of saving.
  const isSigned = Object.keys(graph.signatures).length > 0;
  if (!isSigned) {
    tensors("input", graph.inputs);
    tensors("output", graph.outputs);
  }
  if (!isSigned && graph.targets.length > 0) {
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
