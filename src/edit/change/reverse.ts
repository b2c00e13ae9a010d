/** @file An axis of a variable the other way round. Start at `reversed`. */

import { allocate, isComplex, sizeOf, type Tensor } from "../../base/index.ts";
import { gatherValues, type ReadOptions, type WritableVariable } from "../../formats/collection/index.ts";

/** The values of `v` with one axis reversed, as one tensor of rank 1. */
export async function* reversed(
  v: WritableVariable,
  axis: number,
  reading: ReadOptions,
): AsyncGenerator<Tensor> {
  const t = await gatherValues(v, reading);
  const width = isComplex(t.dtype) ? 2 : 1;
  const inner = sizeOf(v.shape.slice(axis + 1)) * width;
  const rows = v.shape[axis]!;
  const data = allocate(t.dtype, sizeOf(v.shape)) as Float32Array;
  const from = t.data as Float32Array;
  for (let at = 0; at < data.length; at += rows * inner) {
    for (let row = 0; row < rows; row++) {
      const source = at + (rows - 1 - row) * inner;
      if (Array.isArray(from)) for (let i = 0; i < inner; i++) data[at + row * inner + i] = from[source + i]!;
      else data.set(from.subarray(source, source + inner), at + row * inner);
    }
  }
  yield { dtype: t.dtype, shape: [sizeOf(v.shape)], data };
}
