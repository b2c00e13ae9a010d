/** @file Inverses of square matrices, real or complex, by elimination with row pivots, computed in double. Start at `inverses`. */

import { isComplex, sizeOf, type Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** Matrices [rows, 2 n]: the given one with the identity to its right, real and imaginary parts apart. */
interface Work {
  readonly n: number;
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Row `to` minus a complex multiple of row `from`. */
function subtract({ n, re, im }: Work, to: number, from: number, a: number, b: number): void {
  const width = 2 * n;
  for (let j = 0; j < width; j++) {
    const [x, y] = [re[from * width + j]!, im[from * width + j]!];
    re[to * width + j]! -= a * x - b * y;
    im[to * width + j]! -= a * y + b * x;
  }
}

function swap({ n, re, im }: Work, a: number, b: number): void {
  const width = 2 * n;
  for (const part of [re, im]) {
    const row = part.slice(a * width, (a + 1) * width);
    part.copyWithin(a * width, b * width, (b + 1) * width);
    part.set(row, b * width);
  }
}

/** Divides a row by a complex number. */
function divide({ n, re, im }: Work, row: number, a: number, b: number): void {
  const size = a * a + b * b;
  for (let j = row * 2 * n; j < (row + 1) * 2 * n; j++) {
    const [x, y] = [re[j]!, im[j]!];
    re[j] = (x * a + y * b) / size;
    im[j] = (y * a - x * b) / size;
  }
}

/** Eliminates; false where a pivot is 0. */
function eliminate(work: Work): boolean {
  const { n, re, im } = work;
  const at = (i: number, j: number): number => i * 2 * n + j;
  for (let k = 0; k < n; k++) {
    let best = k;
    const size = (i: number): number => Math.hypot(re[at(i, k)]!, im[at(i, k)]!);
    for (let i = k + 1; i < n; i++) if (size(i) > size(best)) best = i;
    if (size(best) === 0) return false;
    if (best !== k) swap(work, best, k);
    divide(work, k, re[at(k, k)]!, im[at(k, k)]!);
    for (let i = 0; i < n; i++) if (i !== k) subtract(work, i, k, re[at(i, k)]!, im[at(i, k)]!);
  }
  return true;
}

/** Inverses of matrices [..., n, n], or of their conjugate transposes; null where one has none. */
export function inverses(t: Tensor, adjoint: boolean): Tensor | null {
  const n = t.shape[t.shape.length - 1]!;
  const step = isComplex(t.dtype) ? 2 : 1;
  const from = numbersOf(t);
  const out = new Float64Array(from.length);
  const size = n * n * step;
  for (let start = 0; start < sizeOf(t.shape) * step; start += size) {
    const work: Work = { n, re: new Float64Array(2 * n * n), im: new Float64Array(2 * n * n) };
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const source = start + (adjoint ? j * n + i : i * n + j) * step;
        work.re[i * 2 * n + j] = from[source]!;
        if (step === 2) work.im[i * 2 * n + j] = (adjoint ? -1 : 1) * from[source + 1]!;
      }
      work.re[i * 2 * n + n + i] = 1;
    }
    if (!eliminate(work)) return null;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const to = start + (i * n + j) * step;
        out[to] = work.re[i * 2 * n + n + j]!;
        if (step === 2) out[to + 1] = work.im[i * 2 * n + n + j]!;
      }
    }
  }
  if (step === 1) return fromNumbers(t.dtype, t.shape, out);
  const data = t.dtype === "complex64" ? Float32Array.from(out) : out;
  return { dtype: t.dtype, shape: t.shape, data };
}
