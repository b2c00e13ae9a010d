/** @file `varscope diff`: prints what edit/diff.ts finds. Start at `diffCommand`. */

import { formatShape, groupedBy } from "../base/index.ts";
import { type Difference, type DiffReport, diffModels } from "../edit/compare/diff.ts";
import { openModel } from "../edit/open-model.ts";
import type { Unmatched } from "../formats/matching/index.ts";
import { formatJson } from "./json.ts";
import { readNameMap } from "./name-map.ts";
import { progressOn } from "./progress.ts";
import {
  type Column,
  formatCount,
  formatNumber,
  formatTable,
  type Row,
  type Streams,
  type Style,
  styleFor,
} from "./terminal.ts";

export interface DiffFlags {
  readonly atol?: number;
  readonly rtol?: number;
  readonly filter?: RegExp;
  readonly map?: string;
  readonly json?: boolean;
}

/** Prints what differs. @returns whether anything does. @throws VarscopeError as `openModel` and `diffModels` */
export async function diffCommand(
  pathA: string,
  pathB: string,
  { atol = 0, rtol = 0, filter, map, json }: DiffFlags,
  { stdout, stderr, signal }: Streams,
): Promise<boolean> {
  const given = map === undefined ? undefined : await readNameMap(map);
  const a = await openModel(pathA);
  const progress = progressOn(stderr, "comparing");
  try {
    const b = await openModel(pathB);
    try {
      const all = a.variables.reduce((n, v) => n + v.bytes, 0);
      const found = await diffModels(a, b, {
        atol,
        rtol,
        ...(given && { map: given }),
        ...(filter && { filter: (name) => filter.test(name) }),
        ...(signal && { signal }),
        onProgress: (done) => progress.report(done, all),
      });
      progress.end();
      const lines = json
        ? [formatJson(found, 2)]
        : [`A  ${a.format}  ${pathA}`, `B  ${b.format}  ${pathB}`, "", ...diffLines(found, styleFor(stdout))];
      stdout.write(`${lines.join("\n").trimEnd()}\n`);
      return found.onlyInA.length + found.onlyInB.length + found.changed.length > 0;
    } finally {
      await b.close();
    }
  } finally {
    progress.end();
    await a.close();
  }
}

const COLUMNS: readonly Column[] = [
  { title: "changed" },
  { title: "dtype" },
  { title: "shape" },
  { title: "max |a-b|", right: true },
  { title: "max relative", right: true },
  { title: "elements", right: true },
];

function diffLines(found: DiffReport, style: Style): string[] {
  const lines: string[] = [];
  const { onlyInA, onlyInB, changed, renamed, equal } = found;
  if (changed.length > 0) lines.push(...formatTable(COLUMNS, changedRows(changed, style), style), "");
  const candidates = new Map(found.candidates.map((c) => [c.name, c]));
  if (onlyInA.length > 0)
    lines.push(...listOf("only in A", onlyInA, style, (n) => hintOf(candidates.get(n))), "");
  if (onlyInB.length > 0) lines.push(...listOf("only in B", onlyInB, style, () => ""), "");
  if (renamed.length > 0)
    lines.push(
      style.dim(`${formatCount(renamed.length)} under another name in B`),
      ...renamed.slice(0, MOST_NAMES).map((r) => `  ${r.a} = ${r.b}`),
      ...more(renamed.length),
      "",
    );
  const counts = [
    `${formatCount(equal)} equal`,
    `${formatCount(changed.length)} changed`,
    `${formatCount(onlyInA.length)} only in A`,
    `${formatCount(onlyInB.length)} only in B`,
  ];
  return [...lines, style.bold(counts.join(", "))];
}

/** Names in a list that are printed. */
const MOST_NAMES = 40;

const more = (n: number): string[] =>
  n > MOST_NAMES ? [`  and ${formatCount(n - MOST_NAMES)} more; --json lists all`] : [];

const listOf = (
  title: string,
  names: readonly string[],
  style: Style,
  hint: (name: string) => string,
): string[] => [
  style.dim(`${formatCount(names.length)} ${title}`),
  ...names.slice(0, MOST_NAMES).map((name) => `  ${name}${hint(name)}`),
  ...more(names.length),
];

const hintOf = (c: Unmatched | undefined): string => {
  if (c === undefined) return "";
  const near = [...new Set([...c.near, ...c.sameShape])].slice(0, 2);
  return `  (in B perhaps ${near.join(" or ")})`;
};

/** NaN and another shape first. */
const weightOf = (d: Difference): number =>
  d.maxAbs === null || Number.isNaN(d.maxAbs) ? Number.POSITIVE_INFINITY : d.maxAbs;

/** Under their layers, the largest difference first; slots and shadows last. */
function changedRows(changed: readonly Difference[], style: Style): Row[] {
  const owned = (d: Difference): boolean => d.role === "slot" || d.role === "ema";
  const sorted = [...changed].sort((x, y) => Number(owned(x)) - Number(owned(y)) || byWeight(x, y));
  const title = (d: Difference): string =>
    owned(d) ? "slots and averages" : d.layer === "" ? "(no layer)" : d.layer;
  return [...groupedBy(sorted, title)].flatMap(([title, all]): Row[] => [
    style.bold(title),
    ...all.map(rowOf),
  ]);
}

const byWeight = (x: Difference, y: Difference): number => {
  const [wx, wy] = [weightOf(x), weightOf(y)];
  return wx === wy ? (x.name < y.name ? -1 : 1) : wy - wx;
};

const bothOf = (x: string, y: string): string => (x === y ? x : `${x} -> ${y}`);

function rowOf(d: Difference): string[] {
  const number = (x: number | null): string => (x === null ? "" : formatNumber(x));
  return [
    `  ${d.name}`,
    bothOf(...d.dtype),
    bothOf(formatShape(d.shape[0]), formatShape(d.shape[1])),
    number(d.maxAbs),
    number(d.maxRel),
    d.different === 0 ? "" : `${formatCount(d.different)} of ${formatCount(d.elements)}`,
  ];
}
