/**
 * @file Values cut, joined and rearranged along an axis while they stream: no more is held than one row of the axis before the one that
 * changes, which is little for inner axes and the variable for the first. Start at `taken` and `joined`.
 */

import {
  allocate,
  formatShape,
  isComplex,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import {
  gatherValues,
  joinPieces,
  type ReadOptions,
  type WritableVariable,
} from "../../formats/collection/index.ts";
import { permuted } from "../../ops/kernels/rearrange.ts";
import { cutFlat, lockstep } from "../compare/lockstep.ts";
import { weightedSum } from "./average.ts";
import { numbersOf } from "./numbers.ts";

/** What pieces are made of: a variable on its way. */
export type Valued = Pick<WritableVariable, "name" | "dtype" | "shape" | "values">;

type Stream = AsyncGenerator<Tensor>;

/** Elements of one piece of some MiB. */
const PIECE = 1 << 20;

/** Sizes before, at and after an axis. */
const around = (shape: readonly number[], axis: number): readonly [number, number, number] => [
  sizeOf(shape.slice(0, axis)),
  shape[axis]!,
  sizeOf(shape.slice(axis + 1)),
];

/** Pieces of `count` elements; of the last, what remains. */
async function* exactly(pieces: AsyncIterable<Tensor>, count: number): Stream {
  let held: Tensor[] = [];
  let have = 0;
  for await (const piece of pieces) {
    const length = piece.shape[0]!;
    let used = 0;
    while (have + length - used >= count) {
      const end = used + count - have;
      held.push(cutFlat(piece, used, end));
      yield joinPieces({ dtype: piece.dtype, shape: [count] }, held);
      [held, have, used] = [[], 0, end];
    }
    if (used === length) continue;
    held.push(cutFlat(piece, used, length));
    have += length - used;
  }
  if (have > 0) yield joinPieces({ dtype: held[0]!.dtype, shape: [have] }, held);
}

/** The values in pieces of whole rows of `length` elements each. */
const rowsOf = (v: Valued, length: number, reading: ReadOptions): Stream =>
  exactly(v.values(reading), length * Math.max(1, Math.floor(PIECE / length)));

/** Copies elements; of few a loop is faster than a view. */
export function copy(from: Tensor, start: number, to: Tensor, at: number, count: number): void {
  const width = isComplex(from.dtype) ? 2 : 1;
  const [source, target] = [from.data as Float32Array, to.data as Float32Array];
  const [first, end, place] = [start * width, (start + count) * width, at * width];
  if (Array.isArray(source) || end - first < 16)
    for (let i = first; i < end; i++) target[place + i - first] = source[i]!;
  else target.set(source.subarray(first, end), place);
}

const emptyPiece = (dtype: Tensor["dtype"], count: number): Tensor => ({
  dtype,
  shape: [count],
  data: allocate(dtype, count),
});

/** Places of an axis that follow each other: the first, and how many. */
export type Run = readonly [number, number];

/** The runs that indexes make up. */
export function runsOf(indexes: readonly number[]): Run[] {
  const runs: Run[] = [];
  let start = 0;
  for (let i = 1; i <= indexes.length; i++) {
    if (i < indexes.length && indexes[i] === indexes[i - 1]! + 1) continue;
    runs.push([indexes[start]!, i - start]);
    start = i;
  }
  return indexes.length === 0 ? [] : runs;
}

/** `v` with, along `axis`, what stood in `runs`. One run of the first axis streams. */
export async function* taken(v: Valued, axis: number, runs: readonly Run[], reading: ReadOptions): Stream {
  const [outer, size, inner] = around(v.shape, axis);
  if (outer === 1 && runs.length === 1) {
    const [start, count] = runs[0]!;
    yield* between(v, start * inner, (start + count) * inner, reading);
    return;
  }
  const row = size * inner;
  const made = runs.reduce((n, [, count]) => n + count, 0) * inner;
  if (row === 0 || made === 0) return;
  for await (const piece of rowsOf(v, row, reading)) {
    const rows = piece.shape[0]! / row;
    const out = emptyPiece(v.dtype, rows * made);
    let at = 0;
    for (let r = 0; r < rows; r++) {
      for (const [start, count] of runs) {
        copy(piece, r * row + start * inner, out, at, count * inner);
        at += count * inner;
      }
    }
    yield out;
  }
}

/** Elements `start` to `end`. */
async function* between(v: Valued, start: number, end: number, reading: ReadOptions): Stream {
  let at = 0;
  for await (const piece of v.values(reading)) {
    const [from, to] = [Math.max(start - at, 0), Math.min(end - at, piece.shape[0]!)];
    if (from < to) yield cutFlat(piece, from, to);
    at += piece.shape[0]!;
    if (at >= end) return;
  }
}

/** Parts one behind the other along `axis`; their other dims are equal. */
export async function* joined(parts: readonly Valued[], axis: number, reading: ReadOptions): Stream {
  const [outer] = around(parts[0]!.shape, axis);
  if (outer === 1) {
    for (const part of parts) yield* part.values(reading);
    return;
  }
  const lengths = parts.map(({ shape }) => sizeOf(shape.slice(axis)));
  const length = lengths.reduce((a, b) => a + b, 0);
  if (length === 0) return;
  const most = Math.max(1, Math.floor(PIECE / length));
  const filled = parts.map((part, i) => ({ part, length: lengths[i]! })).filter((p) => p.length > 0);
  const streams = filled.map((p) => exactly(p.part.values(reading), most * p.length));
  try {
    for (let done = 0; done < outer; done += most) {
      const rows = Math.min(most, outer - done);
      const out = emptyPiece(parts[0]!.dtype, rows * length);
      let at = 0;
      for (const [i, p] of filled.entries()) {
        const { value } = await streams[i]!.next();
        needRows(value, rows * p.length, p.part);
        for (let r = 0; r < rows; r++) copy(value, r * p.length, out, r * length + at, p.length);
        at += p.length;
      }
      yield out;
    }
  } finally {
    for (const stream of streams) await stream.return(undefined);
  }
}

function needRows(piece: Tensor | undefined, count: number, { name, shape }: Valued): void {
  if (piece?.shape[0] === count) return;
  throw new VarscopeError("DATA_LOSS", `the values end before those of the shape ${formatShape(shape)}`, {
    at: name,
  });
}

/** `v` with its axes permuted: axis i of the result is axis `perm[i]`. Holds the variable. */
export async function* transposed(v: Valued, perm: readonly number[], reading: ReadOptions): Stream {
  const t = await gatherValues(v, reading);
  yield permuted(t, v.shape, perm, [sizeOf(v.shape)]);
}

/** `v` with, along `axis`, sums of what stood there: row i of `matrix` has the factors of place i. */
export async function* mixed(
  v: Valued,
  axis: number,
  matrix: readonly (readonly number[])[],
  reading: ReadOptions,
): Stream {
  const [, size, inner] = around(v.shape, axis);
  for await (const piece of rowsOf(v, size * inner, reading)) {
    const from = numbersOf(piece)!;
    const rows = piece.shape[0]! / (size * inner);
    const out = emptyPiece(v.dtype, rows * matrix.length * inner);
    let at = 0;
    for (let r = 0; r < rows; r++) {
      for (const factors of matrix) {
        for (let i = 0; i < inner; i++) {
          let sum = 0;
          factors.forEach((f, c) => {
            if (f !== 0) sum += f * from[(r * size + c) * inner + i]!;
          });
          setElement(out, at++, sum);
        }
      }
    }
    yield out;
  }
}

/** `v` with `by` added to `count` elements from `start` on. */
export async function* shifted(
  v: Valued,
  { start, count, by }: { readonly start: number; readonly count: number; readonly by: number },
  reading: ReadOptions,
): Stream {
  let at = 0;
  for await (const piece of v.values(reading)) {
    const length = piece.shape[0]!;
    const out = emptyPiece(v.dtype, length);
    copy(piece, 0, out, 0, length);
    const numbers = numbersOf(piece)!;
    for (let i = Math.max(0, start - at); i < Math.min(length, start + count - at); i++)
      setElement(out, i, numbers[i]! + by);
    yield out;
    at += length;
  }
}

/** The sum of variables of one dtype and shape. */
export async function* summed(parts: readonly Valued[], reading: ReadOptions): Stream {
  const streams = parts.map((p) => p.values(reading));
  for await (const pieces of lockstep(streams, parts[0]!.name))
    yield weightedSum(
      pieces,
      parts.map(() => 1),
    );
}
