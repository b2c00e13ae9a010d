/** @file Two files compared. Start at `Compare`. */

import { useMemo, useState } from "preact/hooks";
import type { DiffReport } from "../edit/compare/diff.ts";
import { type ComparisonRow, type ComparisonSort, comparisonRows } from "./comparison.ts";
import { Cell, GridRow, VirtualList } from "./list.tsx";
import { Choose } from "./start.tsx";
import type { Inspector, State } from "./state.ts";
import { Path } from "./table.tsx";
import { count, number } from "./words.ts";

interface CompareProps {
  readonly inspector: Inspector;
  readonly state: State;
  readonly pattern: RegExp | null;
}

/** The comparison with the file of side B, or where to give that file. */
export function Compare({ inspector, state, pattern }: CompareProps) {
  const { b, comparison } = state;
  if (b.opened.state === "idle" || b.opened.state === "failed") {
    return (
      <section class="compare empty" aria-label="Comparison">
        <h2>Compare with another file</h2>
        <p>Drop it anywhere on this page. Formats may differ: names are matched over their spelling.</p>
        <Choose onGive={(given) => void inspector.open("b", given)} />
        {b.opened.state === "failed" && (
          <p class="error" role="alert">
            {b.opened.error}
          </p>
        )}
      </section>
    );
  }
  if (comparison.state === "failed") return <p class="error">{comparison.error}</p>;
  if (comparison.state !== "done") {
    const progress = comparison.state === "running" ? comparison.progress : null;
    return (
      <section class="compare empty" aria-label="Comparison">
        <p>Comparing…</p>
        <progress {...(progress === null ? {} : { value: progress.done, max: Math.max(1, progress.all) })} />
      </section>
    );
  }
  return <Differences inspector={inspector} state={state} report={comparison.value} pattern={pattern} />;
}

type Kind = "changed" | "only-a" | "only-b";

function Differences({ inspector, state, report, pattern }: CompareProps & { readonly report: DiffReport }) {
  const [sort, setSort] = useState<ComparisonSort>("maxAbs");
  const [kind, setKind] = useState<Kind | null>(null);
  const rows = useMemo(() => {
    const all = comparisonRows(report, sort);
    return all.filter(
      (r) =>
        (kind === null || (r.kind === "shape" ? "changed" : r.kind) === kind) &&
        (pattern === null || pattern.test(r.name)),
    );
  }, [report, sort, kind, pattern]);
  const { selection } = state;
  const active = rows.findIndex((r) => selection?.kind === "variable" && selection.name === r.name);
  const width = useMemo(() => widths(rows), [rows]);
  return (
    <section class="compare" aria-label="Comparison">
      <Counts report={report} kind={kind} onKind={setKind} />
      {rows.length === 0 && kind === null && pattern === null ? (
        <div class="empty healthy">
          <span class="mark">✓</span>
          <h2>Equal</h2>
          <p>Names, shapes, dtypes and all values are the same.</p>
        </div>
      ) : (
        <VirtualList
          label="Differences"
          about={`${sort} ${kind}`}
          length={rows.length}
          active={active}
          header={<Head sort={sort} onSort={setSort} />}
          onActive={(i) => choose(inspector, rows[i]!)}
          row={(i) => (
            <DifferenceRow
              key={`${rows[i]!.kind} ${rows[i]!.name}`}
              row={rows[i]!}
              width={width(rows[i]!)}
              isActive={i === active}
              onChoose={() => choose(inspector, rows[i]!)}
            />
          )}
        />
      )}
    </section>
  );
}

const choose = (inspector: Inspector, { name, nameInB }: ComparisonRow): void =>
  inspector.select({ kind: "variable", name, ...(nameInB === undefined ? {} : { nameInB }) });

function Counts({
  report,
  kind,
  onKind,
}: {
  readonly report: DiffReport;
  readonly kind: Kind | null;
  onKind(kind: Kind | null): void;
}) {
  const filters: readonly (readonly [Kind, string, number])[] = [
    ["changed", "changed", report.changed.length],
    ["only-a", "only in A", report.onlyInA.length],
    ["only-b", "only in B", report.onlyInB.length],
  ];
  return (
    <div class="counts">
      {filters.map(([key, title, n]) => (
        <button
          type="button"
          key={key}
          aria-pressed={kind === key}
          disabled={n === 0}
          onClick={() => onKind(kind === key ? null : key)}
        >
          <b>{count(n)}</b> {title}
        </button>
      ))}
      <span>
        <b>{count(report.equal)}</b> equal
      </span>
      {report.renamed.length > 0 && (
        <span title="names that differ in spelling only">
          <b>{count(report.renamed.length)}</b> matched over their spelling
        </span>
      )}
    </div>
  );
}

function Head({ sort, onSort }: { readonly sort: ComparisonSort; onSort(sort: ComparisonSort): void }) {
  const columns = [
    ["Name", "name", "name"],
    ["What", null, "what"],
    ["Elements", null, "part"],
    ["max |a − b|", "maxAbs", "num"],
    ["relative", "maxRel", "num"],
  ] as const;
  return (
    <GridRow class="head difference">
      {columns.map(([title, key, name]) => (
        <Cell role="columnheader" key={title} class={name}>
          {key === null ? (
            title
          ) : (
            <button type="button" tabIndex={-1} onClick={() => onSort(key)}>
              {title}
              {sort === key && <span aria-hidden="true">{key === "name" ? " ↑" : " ↓"}</span>}
            </button>
          )}
        </Cell>
      ))}
    </GridRow>
  );
}

interface RowProps {
  readonly row: ComparisonRow;
  /** of its bar, 0 to 1 */
  readonly width: number;
  readonly isActive: boolean;
  onChoose(): void;
}

function DifferenceRow({ row, width, isActive, onChoose }: RowProps) {
  const { kind, name, nameInB, what, maxAbs, maxRel, part } = row;
  return (
    <GridRow class={`difference ${kind}`} isActive={isActive} onChoose={onChoose}>
      <Cell class="name" title={nameInB === undefined ? name : `${name} → ${nameInB}`}>
        <span class={`dot ${kind}`} />
        <Path text={name} />
        {nameInB !== undefined && <span class="partner">→ {nameInB}</span>}
      </Cell>
      <Cell class="what">{what}</Cell>
      <Cell class="part">{kind === "changed" && maxAbs !== null ? percent(part) : ""}</Cell>
      <Cell class="num bar">
        <i style={{ width: `${width * 100}%` }} />
        <span>{maxAbs === null ? "" : number(maxAbs)}</span>
      </Cell>
      <Cell class="num">{maxRel === null ? "" : number(maxRel)}</Cell>
    </GridRow>
  );
}

/** Bars are logarithms, since differences are of all sizes: the least has a twentieth of the largest. */
function widths(rows: readonly ComparisonRow[]): (row: ComparisonRow) => number {
  const sizes = rows.map((r) => r.maxAbs ?? 0).filter((x) => x > 0 && Number.isFinite(x));
  const low = sizes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = sizes.reduce((a, b) => Math.max(a, b), 0);
  const range = Math.log(high / low) || 1;
  return ({ maxAbs }) => {
    if (maxAbs === null || maxAbs === 0) return 0;
    return Number.isFinite(maxAbs) ? 0.05 + 0.95 * (high === low ? 1 : Math.log(maxAbs / low) / range) : 1;
  };
}

/** 100 % only where it is all, 0 % only where it is none. */
function percent(part: number): string {
  if (part === 1 || part === 0) return `${part * 100} %`;
  return part < 0.001 ? "< 0.1 %" : `${Math.min(99.9, part * 100).toFixed(1)} %`;
}
