/** @file Varints: little-endian groups of 7 bits, the high bit says that more follow. Start at `readVarint`. */

import { VarscopeError } from "../base/index.ts";

/** A number and the offset of the byte after it. */
export interface Varint {
  readonly value: number;
  readonly next: number;
}

/**
 * The varint at `offset`, not beyond `end`.
 *
 * @param at - offset of `bytes` in its file, with the file's name: for messages
 * @throws VarscopeError DATA_LOSS - cut short, or beyond 2^53
 */
export function readVarint(bytes: Uint8Array, offset: number, end: number, at: string): Varint {
  let value = 0;
  let scale = 1;
  for (let i = offset; i < end; i++) {
    const byte = bytes[i]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (!Number.isSafeInteger(value)) break;
      return { value, next: i + 1 };
    }
    scale *= 128;
    if (i - offset === 9) break;
  }
  throw new VarscopeError("DATA_LOSS", "bad varint", { at });
}

/** Appends the varint of a safe non-negative integer to `out`. */
export function pushVarint(out: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  out.push(rest);
}

/** Bytes that the varint of `value` takes. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}
