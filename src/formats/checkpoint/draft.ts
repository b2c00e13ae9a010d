/** @file The data files of a V2 checkpoint as they come to be, and the index that grows with them. Start at `dataChunks`. */

import { crc32c } from "#platform";
import {
  bytesOf,
  DTYPES,
  type DType,
  formatShape,
  maskCrc,
  sameShape,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import type { IndexEntry, Part, Stored } from "./bundle.ts";
import { formatSliceSpec, isWhole, type SliceSpec, sliceShape, type TensorSlice } from "./slice.ts";
import { writeStrings } from "./strings.ts";

/** A tensor to write, or a part of one. */
export interface Item {
  readonly name: string;
  readonly dtype: DType;
  /** of the values that `pieces` have */
  readonly shape: readonly number[];
  /** where it is a part: its place in the whole */
  readonly slice?: SliceSpec;
  /** its values, row-major; taken before the next item is asked for */
  readonly pieces: Iterable<Tensor> | AsyncIterable<Tensor>;
}

type Draft = IndexEntry & { readonly parts: Part[] };

/** What was written so far, by name. */
export type Drafts = Map<string, Draft>;

/** Checksums run over this much, then it is written while the next is summed. */
const CHUNK_BYTES = 4 << 20;

/**
 * The bytes of a data file; enters each item as it passes.
 *
 * @throws VarscopeError INVALID_ARGUMENT - an empty name, a name twice, a dtype without values, a part of another shape
 */
export async function* dataChunks(
  drafts: Drafts,
  items: Iterable<Item> | AsyncIterable<Item>,
  shard: number,
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const item of items) {
    const enter = prepared(drafts, item);
    const start = offset;
    let crc = 0;
    if (item.dtype === "string") {
      const elements: Uint8Array[] = [];
      for await (const { data } of item.pieces)
        for (const element of data as readonly Uint8Array[]) elements.push(element);
      const stored = writeStrings(elements);
      yield* stored.chunks;
      offset += stored.bytes;
      crc = stored.crc;
    } else {
      for await (const piece of item.pieces) {
        const bytes = bytesOf(piece);
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
          const chunk = bytes.subarray(at, at + CHUNK_BYTES);
          crc = crc32c(chunk, crc);
          yield chunk;
        }
        offset += bytes.length;
      }
    }
    enter({ shard, offset: start, bytes: offset - start, crc: maskCrc(crc) });
  }
}

/** Checks an item; the function enters it, once its place is known. */
function prepared(drafts: Drafts, item: Item): (stored: Stored) => void {
  const { name, dtype, shape, slice: part } = item;
  if (name === "" || name.startsWith("\0")) {
    throw new VarscopeError("INVALID_ARGUMENT", `tensor name ${JSON.stringify(name)} cannot be a key`, {
      hint: "give each tensor a name of one character at least",
    });
  }
  if (!hasValues(dtype)) {
    throw new VarscopeError("INVALID_ARGUMENT", `a ${dtype} tensor has no values to save`, { at: name });
  }
  const old = drafts.get(name);
  if (part !== undefined) needShape(item, part);
  if (part === undefined || isWhole(part.fullShape, part.slice)) {
    if (old !== undefined) throw twice(name);
    return (stored) => drafts.set(name, { name, dtype, shape, ...stored, parts: [] });
  }
  if (old !== undefined) needPartOf(old, dtype, part.fullShape, part.slice);
  const none = { shard: 0, offset: 0, bytes: 0, crc: 0 };
  const parent = old ?? { name, dtype, shape: part.fullShape, ...none, parts: [] };
  drafts.set(name, parent);
  return (stored) => parent.parts.push({ ...stored, slice: part.slice });
}

/** Whether tensors of a dtype can be saved: all but resources and variants. */
export const hasValues = (dtype: DType): boolean => dtype === "string" || DTYPES[dtype].bytes > 0;

const twice = (name: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `Adding duplicate key: ${name}`);

function needShape({ name, shape: found }: Item, spec: SliceSpec): void {
  const want = sliceShape(spec.fullShape, spec.slice);
  if (sameShape(found, want)) return;
  const what = `slice '${formatSliceSpec(spec)}' has shape ${formatShape(want)}, the tensor ${formatShape(found)}`;
  throw new VarscopeError("INVALID_ARGUMENT", what, { at: name });
}

function needPartOf(old: Draft, dtype: DType, fullShape: readonly number[], slice: TensorSlice): void {
  if (old.parts.length === 0) throw twice(old.name);
  if (old.dtype !== dtype || !sameShape(old.shape, fullShape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `a part of ${dtype} ${formatShape(fullShape)}, those before it are of ${old.dtype} ${formatShape(old.shape)}`,
      { at: old.name },
    );
  }
  const spec = (s: TensorSlice): string => formatSliceSpec({ fullShape, slice: s });
  if (old.parts.some((part) => spec(part.slice) === spec(slice))) throw twice(old.name);
}
