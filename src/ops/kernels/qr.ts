/** @file QR decomposition by Householder reflections, as LAPACK's geqrf and Eigen do it, with their signs. */

import { sizeOf, type Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/**
 * target -= factor · v · (vᵀ target) in columns `begin` and on. v is 1 in row k, and below it column k of `a`; rows are walked in memory's
 * order.
 */
function reflect(
  a: Float64Array,
  n: number,
  k: number,
  factor: number,
  target: Float64Array,
  width: number,
  begin: number,
): void {
  const m = a.length / n;
  const dots = target.slice(k * width, (k + 1) * width);
  for (let i = k + 1; i < m; i++) {
    const v = a[i * n + k]!;
    for (let j = begin; j < width; j++) dots[j]! += v * target[i * width + j]!;
  }
  for (let j = begin; j < width; j++) target[k * width + j]! -= factor * dots[j]!;
  for (let i = k + 1; i < m; i++) {
    const v = factor * a[i * n + k]!;
    for (let j = begin; j < width; j++) target[i * width + j]! -= v * dots[j]!;
  }
}

/**
 * Turns column k of `a` [m, n] into a multiple of a unit vector, and the columns right of it with it. The reflector stays below the
 * diagonal, its first element being 1. @returns its factor
 */
function reflectColumn(a: Float64Array, m: number, n: number, k: number): number {
  let tail = 0;
  for (let i = k + 1; i < m; i++) tail += a[i * n + k]! ** 2;
  if (tail === 0) return 0;
  const head = a[k * n + k]!;
  const length = Math.sqrt(head * head + tail);
  const beta = head >= 0 ? -length : length;
  for (let i = k + 1; i < m; i++) a[i * n + k]! /= head - beta;
  a[k * n + k] = beta;
  const factor = (beta - head) / beta;
  reflect(a, n, k, factor, a, n, k + 1);
  return factor;
}

/** Q [m, columns] from the reflectors below the diagonal of `a` [m, n]. */
function orthogonal(
  a: Float64Array,
  m: number,
  n: number,
  factors: readonly number[],
  columns: number,
): Float64Array {
  const q = new Float64Array(m * columns);
  for (let i = 0; i < Math.min(m, columns); i++) q[i * columns + i] = 1;
  for (let k = factors.length - 1; k >= 0; k--)
    if (factors[k] !== 0) reflect(a, n, k, factors[k]!, q, columns, k);
  return q;
}

/** Q and R of real matrices [..., m, n], computed in double. @param full - Q is [m, m], not [m, min(m, n)] */
export function qr(t: Tensor, full: boolean): [Tensor, Tensor] {
  const [m, n] = t.shape.slice(-2) as [number, number];
  const batch = t.shape.slice(0, -2);
  const p = full ? m : Math.min(m, n);
  const from = numbersOf(t);
  const count = sizeOf(batch);
  const qs = new Float64Array(count * m * p);
  const rs = new Float64Array(count * p * n);
  for (let b = 0; b < count; b++) {
    const a = Float64Array.from({ length: m * n }, (_, i) => from[b * m * n + i]!);
    const factors = Array.from({ length: Math.min(m, n) }, (_, k) => reflectColumn(a, m, n, k));
    qs.set(orthogonal(a, m, n, factors, p), b * m * p);
    for (let i = 0; i < p; i++) for (let j = i; j < n; j++) rs[b * p * n + i * n + j] = a[i * n + j]!;
  }
  return [fromNumbers(t.dtype, [...batch, m, p], qs), fromNumbers(t.dtype, [...batch, p, n], rs)];
}
