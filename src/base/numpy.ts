/**
 * @file Tensors in text, character for character as numpy 2 prints arrays. Start at `formatTensor`.
 *
 * @see numpy _core/arrayprint.py; numpy.org/doc/stable/reference/generated/numpy.set_printoptions.html
 */

import type { DType } from "./dtype.ts";
import { isFloat8 } from "./float8.ts";
import { elementFormat, formatScalar } from "./numpy-elements.ts";
import { sizeOf, stridesOf } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

export interface PrintOptions {
  /** "str": [1 2]; "repr": array([1, 2], dtype=int32). "str" */
  readonly style?: "str" | "repr";
  /** digits after the point, at most: 8 */
  readonly precision?: number;
  /** more elements than this are shortened in the middle: 1000; Infinity prints all */
  readonly threshold?: number;
  /** elements kept at each end of a shortened axis: 3 */
  readonly edgeitems?: number;
  /** characters of a line: 75 */
  readonly linewidth?: number;
  /** no exponents because of small numbers: false */
  readonly suppress?: boolean;
}

/** Text of a tensor as numpy prints it, quantized types as their integers. */
export function formatTensor(t: Tensor, options: PrintOptions = {}): string {
  if (options.style === "repr") return formatRepr(t, options);
  return t.shape.length === 0 ? formatScalar(t) : formatArray(t, options, " ", 0, 0);
}

function formatRepr(t: Tensor, options: PrintOptions): string {
  const { threshold = 1000, linewidth = 75 } = options;
  const text = formatArray(t, options, ", ", "array(".length, 1);
  const size = sizeOf(t.shape);
  const extras: string[] = [];
  const isEmpty = size === 0 && !(t.shape.length === 1);
  if (isEmpty || size > threshold)
    extras.push(`shape=(${t.shape.join(", ")}${t.shape.length === 1 ? "," : ""})`);
  if (size === 0 || !IMPLIED.has(t.dtype)) extras.push(`dtype=${shownDType(t.dtype)}`);
  if (extras.length === 0) return `array(${text})`;
  const start = `array(${text},`;
  const end = `${extras.join(", ")})`;
  const last = start.length - (start.lastIndexOf("\n") + 1);
  return `${start}${last + end.length + 1 > linewidth ? `\n${" ".repeat("array(".length)}` : " "}${end}`;
}

/** A dtype as numpy's repr shows it: those of ml_dtypes that numpy does not know as numbers are quoted. */
function shownDType(dtype: DType): string {
  if (dtype === "string") return "object";
  return isFloat8(dtype) ? `'${dtype}'` : dtype;
}

/** Dtypes that Python's literals give by themselves. */
const IMPLIED: ReadonlySet<DType> = new Set<DType>(["bool", "int64", "float64", "complex128"]);

/** What all levels of an array share. */
interface Layout {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly separator: string;
  /** elements at each end of a long axis; 0: all are printed */
  readonly edge: number;
  readonly element: (index: number) => string;
}

/** Brackets and elements. `indent`: columns before the array; `after`: columns that its last line must leave. */
function formatArray(
  t: Tensor,
  options: PrintOptions,
  separator: string,
  indent: number,
  after: number,
): string {
  const { precision = 8, threshold = 1000, edgeitems = 3, linewidth = 75, suppress = false } = options;
  const size = sizeOf(t.shape);
  if (size === 0) return "[]";
  const edge = size > threshold ? edgeitems : 0;
  const strides = stridesOf(t.shape);
  const shown: number[] = [];
  collect(t.shape, strides, edge, 0, 0, shown);
  const element = elementFormat(t, shown, { precision, suppress });
  const layout = { shape: t.shape, strides, separator, edge, element };
  return formatLevel(layout, 0, 0, " ".repeat(indent + 1), linewidth - after);
}

/** Indices along an axis that are printed; null stands for the dots. */
function along(count: number, edge: number): (number | null)[] {
  const all = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
  if (edge === 0 || count <= 2 * edge) return all(0, count);
  return [...all(0, edge), null, ...all(count - edge, count)];
}

/** Flat indices of the elements that are printed. */
function collect(
  shape: readonly number[],
  strides: readonly number[],
  edge: number,
  axis: number,
  base: number,
  out: number[],
): void {
  if (axis === shape.length) {
    out.push(base);
    return;
  }
  for (const i of along(shape[axis]!, edge)) {
    if (i !== null) collect(shape, strides, edge, axis + 1, base + i * strides[axis]!, out);
  }
}

function formatLevel(layout: Layout, axis: number, base: number, indent: string, width: number): string {
  const { shape, strides, separator, edge, element } = layout;
  const rank = shape.length - axis;
  if (rank === 0) return element(base);
  const indices = along(shape[axis]!, edge);
  const child = (i: number | null): string =>
    i === null ? "..." : formatLevel(layout, axis + 1, base + i * strides[axis]!, `${indent} `, width - 1);
  if (rank === 1) return formatRow(indices.map(child), separator, indent, width);
  const between = `${separator.trimEnd()}${"\n".repeat(rank - 1)}${indent}`;
  return `[${indices.map(child).join(between)}]`;
}

/** A row of words, broken where a line would be longer than `width`. */
function formatRow(words: readonly string[], separator: string, indent: string, width: number): string {
  const most = width - Math.max(separator.trimEnd().length, 1);
  let done = "";
  let line = indent;
  words.forEach((word, i) => {
    if (line.length + word.length > most && line.length > indent.length) {
      done += `${line.trimEnd()}\n`;
      line = indent;
    }
    line += i === words.length - 1 ? word : word + separator;
  });
  return `[${(done + line).slice(indent.length)}]`;
}
