/**
 * @file What is left of a damaged table: blocks that are whole, found by the table's index or, where that is lost, by their structure
 * and checksum. Start at `scanTable`.
 */

import { isVarscopeError } from "../base/index.ts";
import {
  type BlockPlace,
  compareBytes,
  FOOTER_BYTES,
  readBlockPlaces,
  readEntryHead,
  readFooter,
  readOrdered,
  type TableEntry,
  TRAILER_BYTES,
} from "./table.ts";
import { readVarint } from "./varint.ts";

/** A stretch of a table that is no whole block. */
export interface Damage {
  readonly start: number;
  readonly end: number;
  /** keys that can be made out in it; one that is damaged may be among them */
  readonly keys: readonly Uint8Array[];
}

export interface ScannedTable {
  /** of all whole blocks, in order */
  readonly entries: readonly TableEntry[];
  readonly damages: readonly Damage[];
  /** whether the table's own index was lost */
  readonly rebuilt: boolean;
}

/** Entries that a search looks at, in all: some seconds. What is beyond is given up. */
const MOST_STEPS = 50_000_000;

/** Whole blocks of a table, whatever else of it is damaged. */
export function scanTable(bytes: Uint8Array, file = "table"): ScannedTable {
  const places = placesOf(bytes, file);
  return places === null ? searched(bytes, file) : placed(bytes, places, file);
}

/** The blocks that the table's index names; null where it is lost. */
function placesOf(bytes: Uint8Array, file: string): BlockPlace[] | null {
  const limit = bytes.length - FOOTER_BYTES;
  try {
    const index = readFooter(bytes.subarray(Math.max(limit, 0)), bytes.length, file);
    const stored = bytes.subarray(index.offset, index.offset + index.size + TRAILER_BYTES);
    return readBlockPlaces(stored, index, limit, file);
  } catch (e) {
    if (isVarscopeError(e)) return null;
    throw e;
  }
}

function placed(bytes: Uint8Array, places: readonly BlockPlace[], file: string): ScannedTable {
  const entries: TableEntry[] = [];
  const damages: Damage[] = [];
  for (const { offset, size } of places) {
    const end = offset + size + TRAILER_BYTES;
    const found = wholeBlock(bytes, offset, end, file, entries.at(-1)?.key);
    if (found !== null) for (const entry of found) entries.push(entry);
    else damages.push({ start: offset, end, keys: keysIn(bytes, offset, end) });
  }
  return { entries, damages, rebuilt: false };
}

/** Blocks follow each other from byte 0; after a damaged one, the next start whose block is whole. */
function searched(bytes: Uint8Array, file: string): ScannedTable {
  const entries: TableEntry[] = [];
  const damages: Damage[] = [];
  const steps = { left: MOST_STEPS };
  let good = 0; // end of the last whole block
  for (let start = 0; start < bytes.length && steps.left > 0; ) {
    // A block begins with a whole key.
    const end = bytes[start] === 0 ? blockEnd(bytes, start, steps) : null;
    const found = end === null ? null : wholeBlock(bytes, start, end, file, entries.at(-1)?.key);
    if (found === null) {
      start++;
      continue;
    }
    if (start > good) damages.push({ start: good, end: start, keys: keysIn(bytes, good, start) });
    good = end!;
    start = end!;
    // The metaindex is empty, and the index has handles: their first byte, an offset's, is 0 here or there.
    if (found.length === 0 || found.some(({ value }) => value[0] === 0))
      return { entries, damages, rebuilt: true };
    for (const entry of found) entries.push(entry);
  }
  if (good < bytes.length)
    damages.push({ start: good, end: bytes.length, keys: keysIn(bytes, good, bytes.length) });
  return { entries, damages, rebuilt: true };
}

function wholeBlock(
  bytes: Uint8Array,
  start: number,
  end: number,
  file: string,
  last: Uint8Array | undefined,
): TableEntry[] | null {
  try {
    return readOrdered(bytes.subarray(start, end), `${file}@${start}`, last);
  } catch (e) {
    if (isVarscopeError(e)) return null;
    throw e;
  }
}

/**
 * Where a block that begins at `start` ends, by its structure: entries up to one that is empty, which is the first restart, then
 * restarts up to their own count. Null where nothing like it stands there.
 */
function blockEnd(bytes: Uint8Array, start: number, steps: { left: number }): number | null {
  let offset = start;
  let keyBytes = 0;
  try {
    while (steps.left-- > 0) {
      const shared = readVarint(bytes, offset, bytes.length, "");
      const unshared = readVarint(bytes, shared.next, bytes.length, "");
      const size = readVarint(bytes, unshared.next, bytes.length, "");
      if (shared.value + unshared.value + size.value === 0) break;
      if (shared.value > keyBytes) return null;
      keyBytes = shared.value + unshared.value;
      offset = size.next + unshared.value + size.value;
      if (offset > bytes.length) return null;
    }
  } catch (e) {
    if (isVarscopeError(e)) return null;
    throw e;
  }
  return restartsEnd(bytes, start, offset);
}

function restartsEnd(bytes: Uint8Array, start: number, first: number): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let before = -1;
  for (let count = 0; first + 4 * count + 4 + TRAILER_BYTES <= bytes.length; count++) {
    const value = view.getUint32(first + 4 * count, true);
    // Restarts ascend, and none is so small that it could be the count: the first entries take more bytes than they are.
    if (count > 0 && value === count) return first + 4 * count + 4 + TRAILER_BYTES;
    if (value <= before || value >= Math.max(1, first - start)) return null;
    before = value;
  }
  return null;
}

/** Keys of entries that can be decoded from `start` on, ascending. */
function keysIn(bytes: Uint8Array, start: number, end: number): Uint8Array[] {
  const keys: Uint8Array[] = [];
  let key: Uint8Array = new Uint8Array(0);
  try {
    for (let offset = start; offset < end; ) {
      const head = readEntryHead(bytes, offset, end, key, "");
      const empty = head.key.length + head.size === 0;
      if (empty || (keys.length > 0 && compareBytes(key, head.key) >= 0)) break;
      key = head.key;
      keys.push(key);
      offset = head.start + head.size;
    }
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
  }
  return keys;
}
