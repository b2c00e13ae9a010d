/**
 * @file Reductions along axes for every dtype. Floats are folded in double and rounded once, integers wrap, int64 are bigint, complex are
 * pairs. Start at `reduceTensor`.
 */

import {
  allocate,
  type DType,
  isBigInt,
  isComplex,
  isFloat,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import type { Complex } from "./elementwise.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** How elements of one kind are put together. */
export interface Folding<E> {
  readonly start: E | ((dtype: DType) => E);
  readonly fold: (sum: E, x: E) => E;
  /** makes the result of what was folded; `count`: elements in each result */
  readonly finish?: (sum: E, count: number) => E;
}

/** One folding for each kind of element; a kind without one is not supported. */
export interface Reducer {
  readonly float?: Folding<number>;
  /** integers up to 32 bits, and bool as 0 and 1 */
  readonly int?: Folding<number>;
  readonly big?: Folding<bigint>;
  readonly complex?: Folding<Complex>;
}

/** Bits of an integer dtype, and whether it has a sign. */
function rangeOf(dtype: DType): readonly [bigint, bigint] {
  const bits = BigInt(/\d+$/.exec(dtype)?.[0] ?? "8");
  return /^q?u/.test(dtype) ? [0n, (1n << bits) - 1n] : [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n];
}

export const lowestBig = (dtype: DType): bigint => rangeOf(dtype)[0];
export const highestBig = (dtype: DType): bigint => rangeOf(dtype)[1];
export const lowestInt = (dtype: DType): number => Number(rangeOf(dtype)[0]);
export const highestInt = (dtype: DType): number => Number(rangeOf(dtype)[1]);

/** Which result each element goes to. @param axes - from 0 */
export function groupsAlong(shape: readonly number[], axes: readonly number[]): Int32Array {
  let groups = new Int32Array([0]);
  for (const [axis, dim] of shape.entries()) {
    const next = new Int32Array(groups.length * dim);
    const kept = !axes.includes(axis);
    for (let i = 0, at = 0; i < groups.length; i++) {
      const base = kept ? groups[i]! * dim : groups[i]!;
      for (let j = 0; j < dim; j++) next[at++] = kept ? base + j : base;
    }
    groups = next;
  }
  return groups;
}

/** The shape without its reduced axes, or with ones there. */
export const shapeWithout = <D extends number | null>(
  shape: readonly D[],
  axes: readonly number[],
  keepDims: boolean,
): (D | 1)[] => shape.flatMap((d, i): (D | 1)[] => (!axes.includes(i) ? [d] : keepDims ? [1] : []));

/** The tensor folded along `axes`, which count from 0. */
export function reduceTensor(
  t: Tensor,
  axes: readonly number[],
  keepDims: boolean,
  reducer: Reducer,
): Tensor {
  const { dtype } = t;
  const shape = shapeWithout(t.shape, axes, keepDims);
  const size = sizeOf(shape);
  const groups = groupsAlong(t.shape, axes);
  const count = size === 0 ? 0 : groups.length / size;
  if (isComplex(dtype)) return reduceComplex(t, shape, groups, count, reducer.complex ?? noKernel(dtype));
  if (isBigInt(dtype)) {
    const sums = folded(
      t.data as BigInt64Array,
      groups,
      new Array<bigint>(size),
      reducer.big ?? noKernel(dtype),
      dtype,
      count,
    );
    const data = allocate(dtype, size) as BigInt64Array;
    sums.forEach((v, i) => {
      data[i] = v;
    });
    return { dtype, shape, data };
  }
  const folding = (isFloat(dtype) ? reducer.float : reducer.int) ?? noKernel(dtype);
  const sums = folded(numbersOf(t), groups, new Array<number>(size), folding, dtype, count);
  return fromNumbers(dtype, shape, sums);
}

function noKernel(dtype: DType): never {
  throw new VarscopeError("INVALID_ARGUMENT", `No OpKernel was registered to support T=${dtype}`);
}

function folded<E>(
  from: ArrayLike<E>,
  groups: Int32Array,
  sums: E[],
  { start, fold, finish }: Folding<E>,
  dtype: DType,
  count: number,
): E[] {
  sums.fill(typeof start === "function" ? (start as (dtype: DType) => E)(dtype) : start);
  for (let i = 0; i < groups.length; i++) sums[groups[i]!] = fold(sums[groups[i]!]!, from[i]!);
  return finish === undefined ? sums : sums.map((sum) => finish(sum, count));
}

function reduceComplex(
  t: Tensor,
  shape: readonly number[],
  groups: Int32Array,
  count: number,
  folding: Folding<Complex>,
): Tensor {
  const from = t.data as Float64Array;
  const pairs = Array.from(groups, (_, i): Complex => [from[2 * i]!, from[2 * i + 1]!]);
  const sums = folded(pairs, groups, new Array<Complex>(sizeOf(shape)), folding, t.dtype, count);
  const data = allocate(t.dtype, sums.length) as Float64Array;
  sums.forEach(([re, im], i) => {
    data[2 * i] = re;
    data[2 * i + 1] = im;
  });
  return { dtype: t.dtype, shape, data };
}

/** Index along `axis` of the first element that `better` finds better than all before it; NaN never is. */
export function argBest(
  t: Tensor,
  axis: number,
  better: (a: number | bigint, b: number | bigint) => boolean,
  dtype: DType,
): Tensor {
  const { shape } = t;
  const inner = sizeOf(shape.slice(axis + 1));
  const length = shape[axis]!;
  const outer = sizeOf(shape.slice(0, axis));
  const from = numbersOf(t) as ArrayLike<number | bigint>;
  const indices = new Array<number>(outer * inner).fill(0);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const base = o * length * inner + i;
      let best = -1;
      for (let k = 0; k < length; k++) {
        const x = from[base + k * inner]!;
        if (Number.isNaN(x)) continue;
        if (best < 0 || better(x, from[base + best * inner]!)) best = k;
      }
      indices[o * inner + i] = Math.max(best, 0);
    }
  }
  const out = shape.filter((_, i) => i !== axis);
  if (!isBigInt(dtype)) return fromNumbers(dtype, out, indices);
  return { dtype, shape: out, data: BigInt64Array.from(indices, BigInt) };
}
