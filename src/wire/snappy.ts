/**
 * @file Snappy's raw format, reading only: the length (varint), then literals and copies of what was written before. Start at
 * `readSnappy`.
 *
 * @see github.com/google/snappy format_description.txt
 */

import { VarscopeError } from "../base/index.ts";
import { readVarint } from "./varint.ts";

/** A copy of 64 bytes takes 3: no stream grows more. */
const MAX_RATIO = 22;

/**
 * The bytes that `stored` was made of.
 *
 * @param most - bytes that may come out
 * @param at - `file@byte`, for messages
 * @throws VarscopeError DATA_LOSS - damaged, or more than `most`
 */
export function readSnappy(stored: Uint8Array, most: number, at: string): Uint8Array {
  const { value: length, next } = readVarint(stored, 0, Math.min(stored.length, 5), at);
  if (length > most || length > MAX_RATIO * stored.length)
    throw corrupted(`${stored.length} bytes claim to hold ${length}`, at);
  const out = new Uint8Array(length);
  let to = 0;
  for (let from = next; from < stored.length; ) {
    const tag = stored[from]!;
    const kind = tag & 3;
    // Bytes after the tag: a copy's offset, or the length of a literal that is longer than 60.
    const width = kind === 0 ? Math.max(0, (tag >>> 2) - 59) : kind === 3 ? 4 : kind;
    if (from + 1 + width > stored.length) throw corrupted("a tag is cut short", at);
    let number = 0;
    for (let i = width; i > 0; i--) number = number * 256 + stored[from + i]!;
    from += 1 + width;
    if (kind === 0) {
      const size = 1 + (width > 0 ? number : tag >>> 2);
      if (from + size > stored.length || to + size > length) throw corrupted("a literal is too long", at);
      out.set(stored.subarray(from, from + size), to);
      from += size;
      to += size;
      continue;
    }
    const size = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const offset = kind === 1 ? number + ((tag >>> 5) << 8) : number;
    if (offset === 0 || offset > to || to + size > length) throw corrupted("a copy leaves the block", at);
    // A copy may run into its own bytes, and then repeats them.
    for (let i = 0; i < size; i++, to++) out[to] = out[to - offset]!;
  }
  if (to < length) throw corrupted(`${to} of ${length} bytes are there`, at);
  return out;
}

/** The sentence is TensorFlow's. @see lib/io/format.cc ReadBlock */
const corrupted = (what: string, at: string): VarscopeError =>
  new VarscopeError("DATA_LOSS", `corrupted compressed block contents: ${what}`, { at });
