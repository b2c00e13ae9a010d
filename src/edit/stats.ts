/** @file Numbers that tell a tensor's health. Start at `statsOf`. */

import { DTYPES, type Element, getElement, isBigInt, sizeOf, type Tensor } from "../base/index.ts";

/** Least, largest, mean and standard deviation are of the finite values; NaN where there are none. */
export interface Stats {
  /** bigint where a 64-bit integer is beyond 2^53 */
  readonly min: number | bigint;
  readonly max: number | bigint;
  readonly mean: number;
  /** of the population, as numpy's */
  readonly std: number;
  /** elements that are zero */
  readonly zeros: number;
  readonly nan: number;
  readonly inf: number;
}

/** Statistics of a tensor; false is 0 and true 1; of complex numbers their absolute values. null for strings. */
export function statsOf(t: Tensor): Stats | null {
  if (t.dtype === "string" || DTYPES[t.dtype].bytes === 0) return null;
  const at = numberAt(t);
  const count = sizeOf(t.shape);
  let [min, max, sum, finite, zeros, nan] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const x = at(i);
    if (Number.isFinite(x)) {
      if (x < min) min = x;
      if (x > max) max = x;
      sum += x;
      finite++;
      if (x === 0) zeros++;
    } else if (Number.isNaN(x)) nan++;
  }
  const mean = finite === 0 ? Number.NaN : sum / finite;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const x = at(i);
    if (Number.isFinite(x)) squares += (x - mean) ** 2;
  }
  const none = finite === 0;
  const exact = isBigInt(t.dtype) && !none ? limits(t.data as BigInt64Array) : null;
  return {
    min: none ? Number.NaN : (exact?.[0] ?? min),
    max: none ? Number.NaN : (exact?.[1] ?? max),
    mean,
    std: none ? Number.NaN : Math.sqrt(squares / finite),
    zeros,
    nan,
    inf: count - finite - nan,
  };
}

/** Dtypes whose storage is the number itself. */
const PLAIN: ReadonlySet<string> = new Set([
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "uint8",
  "uint16",
  "uint32",
  "bool",
]);

function numberAt(t: Tensor): (i: number) => number {
  if (PLAIN.has(t.dtype)) {
    const data = t.data as Float32Array;
    return (i) => data[i]!;
  }
  return (i) => asNumber(getElement(t, i));
}

function asNumber(x: Element): number {
  if (Array.isArray(x)) return Math.hypot(x[0] as number, x[1] as number);
  return Number(x);
}

/** Least and largest 64-bit integer, as numbers where they are exact. */
function limits(data: BigInt64Array): [number | bigint, number | bigint] {
  let [min, max] = [data[0]!, data[0]!];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
  }
  const plain = (x: bigint): number | bigint => (Number.isSafeInteger(Number(x)) ? Number(x) : x);
  return [plain(min), plain(max)];
}
