/** @file Text for terminals: streams, colours, aligned tables, counts and bytes in words. Start at `formatTable`. */

/** Where text goes: a stream of Node, or a test's own. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** What a command may write to, and what ends it. */
export interface Streams {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Ctrl-C */
  readonly signal?: AbortSignal;
}

/** Marks text; leaves it alone where the stream is no terminal. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** @see ECMA-48 "SGR"; no-color.org */
export function styleFor(sink: Sink): Style {
  const isColoured = sink.isTTY === true && (process.env.NO_COLOR ?? "") === "";
  const mark =
    (on: number, off: number) =>
    (text: string): string =>
      isColoured ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    bold: mark(1, 22),
    dim: mark(2, 22),
    red: mark(31, 39),
    yellow: mark(33, 39),
    cyan: mark(36, 39),
  };
}

export interface Column {
  readonly title: string;
  /** numbers stand at the right */
  readonly right?: boolean;
}

/** A row of cells, or a line that stands alone. */
export type Row = readonly string[] | string;

/** Lines of a table with its header. Columns that are empty in all rows are left out. */
export function formatTable(columns: readonly Column[], rows: readonly Row[], style: Style): string[] {
  const cells = rows.filter((row): row is readonly string[] => typeof row !== "string");
  const shown = columns.map((_, i) => i).filter((i) => cells.some((row) => (row[i] ?? "") !== ""));
  const widths = columns.map(({ title }, i) =>
    cells.reduce((width, row) => Math.max(width, (row[i] ?? "").length), title.length),
  );
  const line = (row: readonly string[]): string =>
    shown
      .map((i) =>
        columns[i]!.right ? (row[i] ?? "").padStart(widths[i]!) : (row[i] ?? "").padEnd(widths[i]!),
      )
      .join("  ")
      .trimEnd();
  const header = style.dim(line(columns.map((c) => c.title)));
  return [header, ...rows.map((row) => (typeof row === "string" ? row : line(row)))];
}

/** 12345 as 12,345. */
export const formatCount = (n: number): string => n.toLocaleString("en-US");

/** 4936 as "4.8 KiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [n, unit] = [bytes, 0];
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A number in four digits. */
export function formatNumber(x: number | bigint): string {
  if (typeof x === "bigint" || Number.isInteger(x)) return String(x);
  if (!Number.isFinite(x)) return String(x);
  const size = Math.abs(x);
  return size >= 1e-4 && size < 1e6 ? String(Number(x.toPrecision(4))) : x.toExponential(3);
}
