/** @file Elements of pieces as numbers, quickly: half floats through a table. Start at `numbersOf`. */

import { DTYPES, type DType, getElement, halfToFloat, type Tensor } from "../../base/index.ts";

/** Dtypes whose storage is the number itself. */
const PLAIN: ReadonlySet<string> = new Set(
  "float32 float64 int8 int16 int32 uint8 uint16 uint32 bool qint8 quint8 qint16 quint16 qint32".split(" "),
);

/** Whether the storage of a dtype is the number itself. */
export const isPlain = (dtype: DType): boolean => PLAIN.has(dtype);

let halves: Float32Array | undefined;

/** The number of each half float. */
function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => halfToFloat(bits));
  return halves;
}

/**
 * The elements as numbers: a view where they are stored so. Null of dtypes whose elements are no plain numbers: 64-bit integers,
 * complex numbers, strings.
 */
export function numbersOf(t: Tensor): ArrayLike<number> | null {
  if (PLAIN.has(t.dtype)) return t.data as Float32Array;
  if (t.dtype === "float16") {
    const [bits, table] = [t.data as Uint16Array, halfTable()];
    const values = new Float32Array(bits.length);
    for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
    return values;
  }
  if (t.dtype === "bfloat16") {
    const bits = t.data as Uint16Array;
    const words = new Uint32Array(bits.length);
    for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
    return new Float32Array(words.buffer);
  }
  const { kind } = DTYPES[t.dtype];
  if (t.dtype === "int64" || t.dtype === "uint64" || kind === "complex" || kind === "string") return null;
  return Float64Array.from({ length: t.data.length }, (_, i) => Number(getElement(t, i)));
}

/** Bits of float16 of the bits of a float32, rounded to nearest even. */
function halfBits(b: number): number {
  const sign = (b >>> 16) & 0x8000;
  const m = b & 0x7fffffff;
  if (m >= 0x477ff000) return m > 0x7f800000 ? 0x7e00 : sign | 0x7c00; // 65520 is half way to what is no half
  if (m >= 0x38800000) {
    const r = m - 0x38000000; // the exponent's bias is 15, not 127
    return sign | ((r + 0xfff + ((r >>> 13) & 1)) >>> 13);
  }
  if (m <= 0x33000000) return sign; // 2^-25, half of the smallest
  const shift = 126 - (m >>> 23);
  const digits = (m & 0x7fffff) | 0x800000;
  const rest = digits & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  const steps = digits >>> shift;
  return sign | (steps + (rest > half || (rest === half && (steps & 1) === 1) ? 1 : 0));
}

/** Bits of bfloat16 of the bits of a float32, rounded to nearest even. */
const bfloatBits = (b: number): number =>
  (b & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : ((b + 0x7fff + ((b >>> 16) & 1)) >>> 16) & 0xffff;

/** Floats of 32 bits as half floats, into `out`. */
export function narrow(values: Float32Array, to: "float16" | "bfloat16", out: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (to === "float16") for (let i = 0; i < bits.length; i++) out[i] = halfBits(bits[i]!);
  else for (let i = 0; i < bits.length; i++) out[i] = bfloatBits(bits[i]!);
}

/** Whether two pieces have the same bytes. */
export function sameBytes(a: Tensor, b: Tensor): boolean {
  const [x, y] = [a.data as Uint8Array, b.data as Uint8Array];
  if (x.byteLength !== y.byteLength) return false;
  const words = x.byteOffset % 4 === 0 && y.byteOffset % 4 === 0 ? x.byteLength >> 2 : 0;
  const [p, q] = [
    new Int32Array(x.buffer, x.byteOffset * (words && 1), words),
    new Int32Array(y.buffer, y.byteOffset * (words && 1), words),
  ];
  for (let i = 0; i < words; i++) if (p[i] !== q[i]) return false;
  const [s, t] = [x, y].map((d) => new Uint8Array(d.buffer, d.byteOffset, d.byteLength));
  for (let i = words * 4; i < s!.length; i++) if (s![i] !== t![i]) return false;
  return true;
}
