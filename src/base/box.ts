/** @file Boxes of arrays, and copying a box of one array into another. Start at `copyRegion`. */

import { stridesOf } from "./shape.ts";
import type { TensorData } from "./tensor.ts";

/** A box of an array: first index and count of each axis. */
export interface Box {
  readonly start: readonly number[];
  readonly size: readonly number[];
}

/** All of an array. */
export const wholeBox = (shape: readonly number[]): Box => ({ start: shape.map(() => 0), size: shape });

/** Whether two boxes share an element. */
export function overlap(a: Box, b: Box): boolean {
  for (let axis = 0; axis < a.size.length; axis++) {
    const [p, q] = [a.start[axis]!, b.start[axis]!];
    if (p + a.size[axis]! <= q || q + b.size[axis]! <= p) return false;
  }
  return true;
}

/** The part that two boxes share, or null. */
export function intersect(a: Box, b: Box): Box | null {
  const start = a.start.map((s, axis) => Math.max(s, b.start[axis]!));
  const size = start.map(
    (s, axis) => Math.min(a.start[axis]! + a.size[axis]!, b.start[axis]! + b.size[axis]!) - s,
  );
  return size.some((n) => n <= 0) ? null : { start, size };
}

/** First flat element of the box `inner` in the box `outer`, where it is one run there; else -1. */
export function runOf(outer: Box, inner: Box): number {
  // One run: from some axis on the box is whole, and before that axis all counts but the nearest are 1.
  let axis = outer.size.length - 1;
  while (axis >= 0 && inner.size[axis] === outer.size[axis]) axis--;
  for (let a = 0; a < axis; a++) if (inner.size[a] !== 1) return -1;
  return flatStart(outer, inner);
}

/** First flat element of the box `inner` in the box `outer`. */
export function flatStart(outer: Box, inner: Box): number {
  const strides = stridesOf(outer.size);
  return inner.start.reduce((at, s, axis) => at + (s - outer.start[axis]!) * strides[axis]!, 0);
}

/**
 * Copies `region` from the array that covers the box `from` into the one that covers the box `to`.
 *
 * @param width - values of the data an element takes: 2 for complex numbers
 */
export function copyRegion(
  source: TensorData,
  from: Box,
  target: TensorData,
  to: Box,
  region: Box,
  width: number,
): void {
  const rank = region.size.length;
  const [fromStrides, toStrides] = [stridesOf(from.size), stridesOf(to.size)];
  const run = (rank === 0 ? 1 : region.size[rank - 1]!) * width;
  const rows = region.size.slice(0, -1).reduce((n, d) => n * d, 1);
  const index = new Array<number>(Math.max(rank - 1, 0)).fill(0);
  let [read, write] = [flatStart(from, region), flatStart(to, region)];
  for (let row = 0; row < rows; row++) {
    copyRun(source, read * width, target, write * width, run);
    for (let axis = rank - 2; axis >= 0; axis--) {
      read += fromStrides[axis]!;
      write += toStrides[axis]!;
      if (++index[axis]! < region.size[axis]!) break;
      read -= fromStrides[axis]! * region.size[axis]!;
      write -= toStrides[axis]! * region.size[axis]!;
      index[axis] = 0;
    }
  }
}

function copyRun(source: TensorData, read: number, target: TensorData, write: number, run: number): void {
  if (ArrayBuffer.isView(source)) {
    (target as Float32Array).set((source as Float32Array).subarray(read, read + run), write);
    return;
  }
  const strings = target as Uint8Array[];
  for (let i = 0; i < run; i++) strings[write + i] = (source as readonly Uint8Array[])[read + i]!;
}
