/** @file Several streams of values read side by side, in pieces of the same place and length. Start at `lockstep`. */

import { isComplex, type Tensor, VarscopeError } from "../../base/index.ts";

/** Elements of a tensor of rank 1. */
const lengthOf = (t: Tensor): number => t.shape[0]!;

/** Elements `from` to `to` of a tensor of rank 1, a view. */
export function cutFlat(t: Tensor, from: number, to: number): Tensor {
  if (from === 0 && to === lengthOf(t)) return t;
  const width = isComplex(t.dtype) ? 2 : 1;
  const data = Array.isArray(t.data)
    ? (t.data as readonly Uint8Array[]).slice(from, to)
    : (t.data as Float32Array).subarray(from * width, to * width);
  return { dtype: t.dtype, shape: [to - from], data };
}

interface Held {
  readonly pieces: AsyncIterator<Tensor>;
  piece: Tensor | null;
  used: number;
}

/**
 * Pieces of the streams that lie at the same place: one tensor of rank 1 of each.
 *
 * @param at - for messages
 * @throws VarscopeError DATA_LOSS - one stream ends before another
 */
export async function* lockstep(
  streams: readonly AsyncIterable<Tensor>[],
  at: string,
): AsyncGenerator<Tensor[]> {
  const held = streams.map((s): Held => ({ pieces: s[Symbol.asyncIterator](), piece: null, used: 0 }));
  try {
    for (;;) {
      await Promise.all(held.map(refill));
      const ended = held.filter((h) => h.piece === null).length;
      if (ended === held.length) return;
      if (ended > 0)
        throw new VarscopeError("DATA_LOSS", "the values end before those of the other file", { at });
      const count = Math.min(...held.map((h) => lengthOf(h.piece!) - h.used));
      yield held.map((h) => cutFlat(h.piece!, h.used, h.used + count));
      for (const h of held) h.used += count;
    }
  } finally {
    await Promise.all(held.map((h) => h.pieces.return?.()));
  }
}

async function refill(h: Held): Promise<void> {
  while (h.piece === null || h.used >= lengthOf(h.piece)) {
    const next = await h.pieces.next();
    h.used = 0;
    h.piece = next.done ? null : next.value;
    if (next.done) return;
  }
}

/** Runs `work` on each item, some at a time; results in order. */
export async function eachOf<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
  return results;
}
