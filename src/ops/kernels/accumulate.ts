/** @file Variables plus or minus something, whole or by rows, in every dtype: integers wrap, half floats round once. Start at `addTo`. */

import {
  getElement,
  isComplex,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
  zeros,
} from "../../base/index.ts";

type Numbers = Float64Array;
type BigInts = BigInt64Array;

const isHalf = (t: Tensor): boolean => t.dtype === "float16" || t.dtype === "bfloat16";

/** What is done to the elements of a row. */
export type RowUpdate = "add" | "sub" | "set";

/** target + update or target - update; the target is left alone. Both have one shape. */
export function addTo(target: Tensor, update: Tensor, kind: "add" | "sub"): Tensor {
  const out = copyOf(target);
  accumulate(out, 0, update, 0, elementsOf(target), kind);
  return out;
}

/** A copy whose elements may be changed. */
export function copyOf(t: Tensor): Tensor {
  const data = ArrayBuffer.isView(t.data)
    ? (t.data as Numbers).slice()
    : [...(t.data as readonly Uint8Array[])];
  return { ...t, data };
}

const elementsOf = (t: Tensor): number => sizeOf(t.shape);

/** Elements of `update` from `from` on, combined into `count` elements of `out` from `at` on. */
function accumulate(
  out: Tensor,
  at: number,
  update: Tensor,
  from: number,
  count: number,
  kind: RowUpdate,
): void {
  const width = isComplex(out.dtype) ? 2 : 1;
  if (isHalf(out) && kind !== "set") {
    accumulateHalf(out, at, update, from, count, kind);
    return;
  }
  // One loop serves numbers and bigints: the arrays of both tensors are of the same type.
  const to = out.data as Numbers;
  const by = update.data as Numbers;
  const [a, b, n] = [at * width, from * width, count * width];
  if (kind === "add") for (let i = 0; i < n; i++) to[a + i]! += by[b + i]!;
  else if (kind === "sub") for (let i = 0; i < n; i++) to[a + i]! -= by[b + i]!;
  else for (let i = 0; i < n; i++) to[a + i] = by[b + i]!;
}

function accumulateHalf(
  out: Tensor,
  at: number,
  update: Tensor,
  from: number,
  count: number,
  kind: RowUpdate,
): void {
  const sign = kind === "sub" ? -1 : 1;
  for (let i = 0; i < count; i++) {
    const sum = (getElement(out, at + i) as number) + sign * (getElement(update, from + i) as number);
    setElement(out, at + i, sum);
  }
}

/**
 * `params` with its rows at `indices` combined with `updates`, one index after the other; a scalar update serves every row.
 * @throws VarscopeError INVALID_ARGUMENT - an index outside, or updates of another shape
 */
export function scatterRows(params: Tensor, indices: Tensor, updates: Tensor, kind: RowUpdate): Tensor {
  const want = [...indices.shape, ...params.shape.slice(1)];
  const isScalar = updates.shape.length === 0;
  if (!isScalar && want.join() !== updates.shape.join()) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Must have updates.shape = indices.shape + params.shape[1:] or updates.shape = [], got updates.shape [${updates.shape}], indices.shape [${indices.shape}], params.shape [${params.shape}]`,
    );
  }
  const rows = rowsOf(indices, params.shape[0]!);
  const width = sizeOf(params.shape.slice(1));
  const out = copyOf(params);
  const source = isScalar ? repeated(updates, width) : updates;
  rows.forEach((row, i) => {
    accumulate(out, row * width, source, isScalar ? 0 : i * width, width, kind);
  });
  return out;
}

/** Indices as numbers, each below `limit`. @throws VarscopeError INVALID_ARGUMENT - as TensorFlow says it */
export function rowsOf(indices: Tensor, limit: number): Int32Array {
  const { data } = indices as { data: Int32Array | BigInts };
  return Int32Array.from({ length: data.length }, (_, i) => {
    const row = Number(data[i]!);
    if (row >= 0 && row < limit) return row;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `indices${placeOf(i, indices.shape)} = ${row} is not in [0, ${limit})`,
    );
  });
}

/** `[1,1]` of a flat position; nothing for a scalar. */
function placeOf(flat: number, shape: readonly number[]): string {
  const at: number[] = [];
  let rest = flat;
  for (const d of [...shape].reverse()) {
    at.unshift(rest % d);
    rest = Math.floor(rest / d);
  }
  return at.length === 0 ? "" : `[${at.join(",")}]`;
}

function repeated(value: Tensor, count: number): Tensor {
  const out = zeros(value.dtype, [count]);
  for (let i = 0; i < count; i++) setElement(out, i, getElement(value, 0));
  return out;
}
