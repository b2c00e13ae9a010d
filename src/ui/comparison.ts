/** @file Rows of a comparison of two containers, the largest differences first. Start at `comparisonRows`. */

import { formatShape, sameShape } from "../base/index.ts";
import type { Difference, DiffReport } from "../edit/compare/diff.ts";

/** A variable of one or both containers. */
export interface ComparisonRow {
  readonly kind: "changed" | "shape" | "only-a" | "only-b";
  readonly name: string;
  /** in B, where it is another */
  readonly nameInB?: string;
  /** what differs beside values, dtypes and shapes; else the shape */
  readonly what: string;
  /** null where values cannot be compared, or are texts */
  readonly maxAbs: number | null;
  readonly maxRel: number | null;
  /** part of the elements that differ, 0 to 1 */
  readonly part: number;
}

export type ComparisonSort = "maxAbs" | "maxRel" | "name";

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** All that differs: other shapes first, then by size of the difference (NaN is the largest), then what has no partner. */
export function comparisonRows(report: DiffReport, sort: ComparisonSort): ComparisonRow[] {
  const changed = report.changed.map(rowOf).sort((a, b) => COLLATOR.compare(a.name, b.name));
  if (sort !== "name") changed.sort((a, b) => weight(b, sort) - weight(a, sort));
  const lone = (kind: "only-a" | "only-b", names: readonly string[]): ComparisonRow[] =>
    names.map((name) => ({
      kind,
      name,
      what: kind === "only-a" ? "only in A" : "only in B",
      maxAbs: null,
      maxRel: null,
      part: 0,
    }));
  return [...changed, ...lone("only-a", report.onlyInA), ...lone("only-b", report.onlyInB)];
}

function rowOf({
  name,
  nameInB,
  dtype,
  shape,
  maxAbs,
  maxRel,
  different,
  elements,
}: Difference): ComparisonRow {
  const isShape = !sameShape(shape[0], shape[1]);
  const what = [
    dtype[0] === dtype[1] ? "" : `${dtype[0]} → ${dtype[1]}`,
    isShape ? `${formatShape(shape[0])} → ${formatShape(shape[1])}` : "",
  ].filter((text) => text !== "");
  const part = elements === 0 ? 0 : different / elements;
  return {
    kind: isShape ? "shape" : "changed",
    name,
    ...(nameInB === undefined ? {} : { nameInB }),
    what: what.length > 0 ? what.join(", ") : formatShape(shape[0]),
    maxAbs,
    maxRel,
    part,
  };
}

const LARGEST = Number.MAX_VALUE;

function weight(row: ComparisonRow, sort: "maxAbs" | "maxRel"): number {
  if (row.kind === "shape") return Number.POSITIVE_INFINITY;
  const x = row[sort];
  return x === null ? -1 : Number.isFinite(x) ? x : LARGEST;
}
