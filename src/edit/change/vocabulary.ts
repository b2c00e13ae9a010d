/** @file Rows of an embedding, or columns of a head, that follow their entries from one vocabulary to another. Start at `remapRows`. */

import { readFile } from "#platform";
import {
  allocate,
  formatShape,
  normalizeAxis,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { gatherValues, type ReadOptions } from "../../formats/collection/index.ts";
import { Philox } from "../../ops/kernels/philox.ts";
import { normal } from "../../ops/kernels/random.ts";
import { remapVocab } from "../../ops/vocab.ts";
import { change } from "./family.ts";
import { numbersOf } from "./numbers.ts";
import { needFloat } from "./parts.ts";
import { copy, type Valued } from "./pieces.ts";
import type { Draft } from "./plan.ts";
import type { Step } from "./surgery.ts";

/** Values of entries that are new: a number, the mean of the old entries, or random ones of the old ones' mean and deviation. */
export type NewEntries = number | "mean" | { readonly seed: number; readonly stddev?: number };

/** What slots start from, where that is not 0. @see TensorFlow python/training/{adagrad,ftrl,rmsprop}.py */
const START: Readonly<Record<string, number>> = { accumulator: 0.1 };
const startOf = ({ slot = "", optimizer }: Draft["entry"]): number =>
  slot === "rms" && optimizer === "RMSProp" ? 1 : (START[slot] ?? 0);

/**
 * Rows (or places of another axis) in the order of the new vocabulary. Rows behind the old one, such as buckets for unknown words, stay behind
 * the new one. Slots of new entries are as the optimizer begins.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no float, fewer rows than entries, and what `remapVocab` says of the files
 */
export async function remapRows(family: readonly Draft[], step: Step<"vocabulary">): Promise<void> {
  const [head] = family as [Draft];
  const { oldFile, newFile, fill = 0 } = step;
  needFloat(head);
  const axis = normalizeAxis(step.axis, head.shape.length);
  const sizes = { offset: 0, count: -1, oldSize: -1 };
  const { remapping, present, oldCount } = await remapVocab({ readFile }, { oldFile, newFile }, sizes);
  const size = head.shape[axis]!;
  if (oldCount > size) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${oldFile} has ${oldCount} entries, axis ${axis} of ${formatShape(head.shape)} has ${size}`,
      { at: head.name, hint: "give the vocabulary that the model was trained with" },
    );
  }
  const behind = Array.from({ length: size - oldCount }, (_, i) => oldCount + i);
  const places = { axis, sources: [...remapping, ...behind], oldCount };
  const added = remapping.length - present;
  for (const d of family) {
    const before = { ...d };
    const own = d.entry.role === "slot" ? startOf(d.entry) : fill;
    change(d, `${present} of ${oldCount} entries along axis ${axis}, ${added} new`, {
      shape: d.shape.with(axis, places.sources.length),
      values: (reading) => remapped(before, places, own, reading),
    });
  }
}

interface Places {
  readonly axis: number;
  /** old place of each new one, -1 of new entries */
  readonly sources: readonly number[];
  readonly oldCount: number;
}

async function* remapped(
  v: Valued,
  { axis, sources, oldCount }: Places,
  fill: NewEntries,
  reading: ReadOptions,
): AsyncGenerator<Tensor> {
  const t = await gatherValues(v, reading);
  const [rows, inner] = [sizeOf(v.shape.slice(0, axis)), sizeOf(v.shape.slice(axis + 1))];
  const size = v.shape[axis]!;
  const old = numbersOf(t)!;
  const count = rows * sources.length * inner;
  const out = { dtype: t.dtype, shape: [count], data: allocate(t.dtype, count) };
  const added = rows * inner * sources.filter((source) => source < 0).length;
  const fresh = freshValues(old, { rows, size, inner, oldCount, added }, fill);
  let at = 0;
  for (let r = 0; r < rows; r++) {
    for (const source of sources) {
      if (source >= 0) copy(t, (r * size + source) * inner, out, at, inner);
      else for (let i = 0; i < inner; i++) setElement(out, at + i, fresh(r, i));
      at += inner;
    }
  }
  yield out;
}

interface Extent {
  readonly rows: number;
  readonly size: number;
  readonly inner: number;
  readonly oldCount: number;
  /** elements of new entries */
  readonly added: number;
}

/** The next value of a new entry, by where it lies beside the axis. */
function freshValues(
  old: ArrayLike<number>,
  { rows, size, inner, oldCount, added }: Extent,
  fill: NewEntries,
): (row: number, i: number) => number {
  if (typeof fill === "number") return () => fill;
  const sums = new Float64Array(rows * inner);
  let squares = 0;
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < oldCount * inner; k++) {
      const x = old[r * size * inner + k]!;
      sums[r * inner + (k % inner)]! += x;
      squares += x * x;
    }
  }
  if (fill === "mean") return (r, i) => sums[r * inner + i]! / Math.max(1, oldCount);
  const all = Math.max(1, rows * oldCount * inner);
  const mean = sums.reduce((a, b) => a + b, 0) / all;
  const stddev = fill.stddev ?? Math.sqrt(Math.max(0, squares / all - mean * mean));
  const center = fill.stddev === undefined ? mean : 0;
  const noise = normal(Philox.seeded(fill.seed, 0), "float32", [added]).data as Float32Array;
  let next = 0;
  return () => center + stddev * noise[next++]!;
}
