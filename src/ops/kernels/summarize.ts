/**
 * @file Tensors as TensorFlow's messages and prints show them: numbers in C's short decimals, long tensors with dots. Start at `summarize`.
 *
 * @see TensorFlow core/framework/tensor.cc "SummarizeValue"; core/lib/strings/numbers.cc "FloatToBuffer"
 */

import { getElement, isFloat, sizeOf, type Tensor } from "../../base/index.ts";

/** C's `%.<precision>g`. */
function percentG(value: number, precision: number): string {
  const [digits, power] = value.toExponential(precision - 1).split("e") as [string, string];
  const exponent = Number(power);
  const trimmed = (s: string): string => (s.includes(".") ? s.replace(/\.?0+$/, "") : s);
  if (exponent >= -4 && exponent < precision) return trimmed(value.toFixed(precision - 1 - exponent));
  const sign = exponent < 0 ? "-" : "+";
  return `${trimmed(digits)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** The shorter of two precisions that gives the same number again. */
function floatText(value: number, isDouble: boolean): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0";
  const [short, long] = isDouble ? [15, 17] : [6, 9];
  const text = percentG(value, short!);
  const read = isDouble ? Number(text) : Math.fround(Number(text));
  return read === value ? text : percentG(value, long!);
}

const DECODER = new TextDecoder();
const quoted = (s: string): string => `"${s.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;

function elementText(t: Tensor, index: number, quotes: boolean): string {
  if (t.dtype === "variant" || t.dtype === "resource") return "?";
  const v = getElement(t, index);
  if (v instanceof Uint8Array) return quotes ? quoted(DECODER.decode(v)) : DECODER.decode(v);
  if (typeof v === "boolean") return v ? "1" : "0";
  if (typeof v === "object") return "?";
  return isFloat(t.dtype) ? floatText(v as number, t.dtype === "float64") : String(v);
}

/** The first `most` elements, rows in brackets: what Assert and Print say. Negative: all. */
export function summarize(t: Tensor, most: number): string {
  const size = sizeOf(t.shape);
  const limit = most < 0 ? size : most;
  let shown = 0;
  const print = (axis: number): string => {
    if (shown >= limit) return "";
    const count = t.shape[axis] ?? 1;
    let out = "";
    for (let i = 0; i < count; i++) {
      if (axis < t.shape.length - 1) {
        if (shown < limit) out += `[${print(axis + 1)}]`;
        continue;
      }
      if (shown >= limit) return axis > 0 ? `${out}...` : out;
      out += `${i > 0 ? " " : ""}${elementText(t, shown++, false)}`;
    }
    return out;
  };
  return `[${print(0)}${size > limit ? "..." : ""}]`;
}

/** Rows on lines of their own; of each axis the first and last `edge`: what tf.print says. Negative: all. */
export function summarizeRows(t: Tensor, edge: number): string {
  const rank = t.shape.length;
  if (rank === 0) return elementText(t, 0, true);
  if (t.shape[0] === 0) return "[]";
  const print = (axis: number, start: number): string => {
    if (axis === rank) return elementText(t, start, true);
    const count = t.shape[axis]!;
    const step = sizeOf(t.shape.slice(axis + 1));
    const between = axis === rank - 1 ? " " : "\n".repeat(rank - 1 - axis) + " ".repeat(axis + 1);
    const all = edge < 0 || count <= 2 * edge;
    const part = (from: number, to: number): string[] =>
      Array.from({ length: to - from }, (_, i) => print(axis + 1, start + (from + i) * step));
    const items = all ? part(0, count) : [...part(0, edge), "...", ...part(count - edge, count)];
    return `[${items.join(between)}]`;
  };
  return print(0, 0);
}
