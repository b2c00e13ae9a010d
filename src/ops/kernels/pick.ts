/** @file Data movement: every element of the result is an element of a source, or a filler. Start at `pickAlong`. */

import { isComplex, sizeOf, stridesOf, type Tensor, zeros } from "../../base/index.ts";

/** Source index that means the filler. */
export const NOTHING = -1;

/**
 * A tensor of `shape` whose element i is element `sources[i]` of `t`.
 * @param filler - scalar for `NOTHING`; zero (false, empty text) by default
 */
export function pick(
  t: Tensor,
  shape: readonly number[],
  sources: ArrayLike<number>,
  filler?: Tensor,
): Tensor {
  const out = zeros(t.dtype, shape);
  const from = t.data as Uint8Array;
  const to = out.data as Uint8Array;
  const width = isComplex(t.dtype) ? 2 : 1;
  const fill = filler === undefined ? null : (filler.data as Uint8Array);
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!;
    for (let k = 0; k < width; k++) {
      if (source >= 0) to[i * width + k] = from[source * width + k]!;
      else if (fill !== null) to[i * width + k] = fill[k]!;
    }
  }
  return out;
}

/**
 * Sources of a result whose axes are independent: result[i, j, ...] comes from index tables[0][i] + tables[1][j] + ...
 * A negative entry of any table is `NOTHING`.
 */
export function sourcesAlong(tables: readonly ArrayLike<number>[]): Int32Array {
  let sources = new Int32Array(1);
  for (const table of tables) {
    const next = new Int32Array(sources.length * table.length);
    let at = 0;
    for (const base of sources) {
      for (let i = 0; i < table.length; i++) {
        const step = table[i]!;
        next[at++] = base < 0 || step < 0 ? NOTHING : base + step;
      }
    }
    sources = next;
  }
  return sources;
}

/** `pick` with independent axes; the shape is the tables' lengths. @see sourcesAlong */
export const pickAlong = (t: Tensor, tables: readonly ArrayLike<number>[], filler?: Tensor): Tensor =>
  pick(
    t,
    tables.map((table) => table.length),
    sourcesAlong(tables),
    filler,
  );

/** `count` sources from `start` in steps of `step`: one axis of a strided view. */
export const ramp = (count: number, start: number, step: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => start + i * step);

/** Sources that repeat `t` to a larger shape, as numpy broadcasts. */
export function broadcastTo(t: Tensor, shape: readonly number[]): Tensor {
  const strides = stridesOf(t.shape);
  const extra = shape.length - t.shape.length;
  const tables = shape.map((d, i) => {
    const axis = i - extra;
    return ramp(d, 0, axis < 0 || t.shape[axis] === 1 ? 0 : strides[axis]!);
  });
  return pickAlong(t, tables);
}

/** A tensor of one value. */
export function filled(value: Tensor, shape: readonly number[]): Tensor {
  return pick(value, shape, new Int32Array(sizeOf(shape)));
}
