/** @file Running sums and products along an axis, and the largest k of each row. */

import {
  allocate,
  type DType,
  getElement,
  isBigInt,
  isComplex,
  isFloat,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { cadd, cmul } from "./complex.ts";
import type { Complex } from "./elementwise.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

export interface ScanOptions {
  /** each element leaves itself out */
  readonly exclusive: boolean;
  /** from the end */
  readonly reverse: boolean;
}

/** Runs along the axis: calls `step(position, first)` for each element in the order of the scan. */
function walk(
  shape: readonly number[],
  axis: number,
  reverse: boolean,
  step: (at: number, first: boolean) => void,
): void {
  const inner = sizeOf(shape.slice(axis + 1));
  const length = shape[axis]!;
  const outer = sizeOf(shape.slice(0, axis));
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const base = o * length * inner + i;
      for (let k = 0; k < length; k++) step(base + (reverse ? length - 1 - k : k) * inner, k === 0);
    }
  }
}

function scanned<E>(
  from: ArrayLike<E>,
  to: { [index: number]: E },
  t: Tensor,
  axis: number,
  options: ScanOptions,
  start: E,
  fold: (sum: E, x: E) => E,
): void {
  let sum = start;
  walk(t.shape, axis, options.reverse, (at, first) => {
    if (first) sum = start;
    const next = fold(sum, from[at]!);
    to[at] = options.exclusive ? sum : next;
    sum = next;
  });
}

/** Running sum or product along `axis`, which counts from 0. */
export function scan(t: Tensor, axis: number, options: ScanOptions, kind: "sum" | "product"): Tensor {
  const { dtype, shape } = t;
  const size = sizeOf(shape);
  const sum = kind === "sum";
  if (isComplex(dtype)) {
    const pairs = Array.from({ length: size }, (_, i) => getElement(t, i) as Complex);
    const out: Complex[] = new Array(size);
    scanned<Complex>(pairs, out, t, axis, options, sum ? [0, 0] : [1, 0], sum ? cadd : cmul);
    const data = allocate(dtype, size) as Float64Array;
    out.forEach(([re, im], i) => {
      data[2 * i] = re;
      data[2 * i + 1] = im;
    });
    return { dtype, shape, data };
  }
  if (isBigInt(dtype)) {
    const data = allocate(dtype, size) as BigInt64Array;
    const fold = sum
      ? (s: bigint, x: bigint) => BigInt.asIntN(64, s + x)
      : (s: bigint, x: bigint) => BigInt.asIntN(64, s * x);
    scanned<bigint>(t.data as BigInt64Array, data as never, t, axis, options, sum ? 0n : 1n, fold);
    return { dtype, shape, data };
  }
  const out = new Float64Array(size);
  const fold = isFloat(dtype)
    ? sum
      ? (s: number, x: number) => s + x
      : (s: number, x: number) => s * x
    : sum
      ? (s: number, x: number) => (s + x) | 0
      : Math.imul;
  scanned<number>(numbersOf(t), out, t, axis, options, sum ? 0 : 1, fold);
  return fromNumbers(dtype, shape, out);
}

/** The k largest of each row and where they stand, largest first; of equals the first. NaN counts as the smallest. */
export function largest(t: Tensor, k: number, indexType: DType): [Tensor, Tensor] {
  const columns = t.shape[t.shape.length - 1]!;
  if (k > columns) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `input must have at least k columns. Had ${columns}, needed ${k}`,
    );
  }
  const rows = sizeOf(t.shape.slice(0, -1));
  const from = numbersOf(t) as ArrayLike<number | bigint>;
  const picked: number[] = [];
  const order = Array.from({ length: columns }, (_, i) => i);
  for (let r = 0; r < rows; r++) {
    const base = r * columns;
    const compare = (i: number, j: number): number => {
      const [a, b] = [from[base + i]!, from[base + j]!];
      return a > b ? -1 : a < b ? 1 : i - j;
    };
    picked.push(...[...order].sort(compare).slice(0, k));
  }
  const shape = [...t.shape.slice(0, -1), k];
  const values = allocate(t.dtype, picked.length) as Record<number, unknown>;
  picked.forEach((column, i) => {
    values[i] = t.data[Math.floor(i / k) * columns + column];
  });
  const indices: Tensor = isBigInt(indexType)
    ? { dtype: indexType, shape, data: BigInt64Array.from(picked, BigInt) }
    : fromNumbers(indexType, shape, picked);
  return [{ dtype: t.dtype, shape, data: values as unknown as Tensor["data"] }, indices];
}

/** Whether the target of each row is finite and fewer than k of its predictions are larger; none where a prediction is not finite. */
export function inLargest(predictions: Tensor, targets: ArrayLike<number>, k: number): Tensor {
  const [rows, columns] = predictions.shape as [number, number];
  const from = numbersOf(predictions);
  const data = new Uint8Array(rows);
  for (let r = 0; r < rows; r++) {
    const target = targets[r]!;
    if (target < 0 || target >= columns) continue;
    const mine = from[r * columns + target]!;
    let larger = 0;
    let known = Number.isFinite(mine);
    for (let c = 0; known && c < columns && larger <= k; c++) {
      const x = from[r * columns + c]!;
      known = Number.isFinite(x);
      if (x > mine) larger++;
    }
    data[r] = known && larger < k ? 1 : 0;
  }
  return { dtype: "bool", shape: [rows], data };
}
