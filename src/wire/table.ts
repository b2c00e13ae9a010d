/**
 * @file LevelDB's table: sorted keys with values, as checkpoints' indexes are. Start at `readTable`.
 *
 *   block*  metaindex block  index block  footer
 *   block:  (shared, unshared, value bytes: varints | rest of key | value)*  restarts: u32*  their count: u32
 *           | type: u8 (0 plain, 1 snappy) | masked CRC-32C of block and type: u32
 *   footer: metaindex handle, index handle (offset, size: varints), zeros up to 40 bytes, magic: u64
 *
 * @see github.com/google/leveldb doc/table_format.md; TensorFlow lib/io/format.cc, table.cc
 */

import { crc32c, unmaskCrc, VarscopeError } from "../base/index.ts";
import { readSnappy } from "./snappy.ts";
import { readVarint } from "./varint.ts";

/** Bytes of the footer. */
export const FOOTER_BYTES = 48;
/** Type and checksum after each block. */
export const TRAILER_BYTES = 5;
/** The last 8 bytes of a table. */
export const MAGIC: readonly number[] = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];

/** Where a block lies: its size does not count the trailer. */
export interface Handle {
  readonly offset: number;
  readonly size: number;
}

export interface TableEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const loss = (what: string, at: string, hint?: string): VarscopeError =>
  new VarscopeError("DATA_LOSS", what, hint === undefined ? { at } : { at, hint });

/**
 * Handle of the index block.
 *
 * @param footer - the last 48 bytes of the file
 * @param fileBytes - length of the file
 * @throws VarscopeError DATA_LOSS - not a table, or its handle leads out of it
 */
export function readFooter(footer: Uint8Array, fileBytes: number, file: string): Handle {
  if (footer.length < FOOTER_BYTES) {
    throw loss(
      `file is too short to be an sstable: its footer needs ${FOOTER_BYTES} bytes, ${fileBytes} are there`,
      `${file}@0`,
    );
  }
  const start = fileBytes - FOOTER_BYTES;
  if (MAGIC.some((byte, i) => footer[FOOTER_BYTES - 8 + i] !== byte)) {
    throw loss(
      "not an sstable (bad magic number)",
      `${file}@${start + 40}`,
      "the file is cut short, or no table such as an .index; copy it again",
    );
  }
  const meta = readHandle(footer, 0, `${file}@${start}`);
  return checkHandle(readHandle(footer, meta.next, `${file}@${start}`), start, `${file}@${start}`);
}

function readHandle(bytes: Uint8Array, from: number, at: string): Handle & { readonly next: number } {
  const offset = readVarint(bytes, from, bytes.length, at);
  const size = readVarint(bytes, offset.next, bytes.length, at);
  return { offset: offset.value, size: size.value, next: size.next };
}

/** `handle`, if its block ends before `limit`. */
function checkHandle(handle: Handle, limit: number, at: string): Handle {
  if (handle.offset + handle.size + TRAILER_BYTES > limit) {
    throw loss(`block of ${handle.size} bytes at ${handle.offset} does not end before byte ${limit}`, at);
  }
  return { offset: handle.offset, size: handle.size };
}

/** What a compressed block may grow to: far beyond the 256 KiB at which TensorFlow closes one. */
const MOST_BYTES = 64 << 20;

/**
 * The entries of a block; values are views.
 *
 * @param stored - block and trailer
 * @param at - `file@byte` of the block
 * @param most - bytes that a compressed block may grow to: 64 MiB
 * @throws VarscopeError DATA_LOSS - checksum or structure is wrong
 */
export function readBlock(stored: Uint8Array, at: string, most = MOST_BYTES): TableEntry[] {
  const block = checkedBlock(stored, at, most);
  const end = entriesEnd(block.length, block.subarray(-4), at);
  const entries: TableEntry[] = [];
  let key: Uint8Array = new Uint8Array(0);
  for (let offset = 0; offset < end; ) {
    const head = readEntryHead(block, offset, end, key, at);
    key = head.key;
    offset = head.start + head.size;
    entries.push({ key, value: block.subarray(head.start, offset) });
  }
  return entries;
}

/** Byte of a block where its entries end and the restarts begin. @param last - its last 4 bytes: their count */
export function entriesEnd(blockBytes: number, last: Uint8Array, at: string): number {
  const restarts = last.length < 4 ? 0 : littleEndian(last);
  const end = blockBytes - 4 - 4 * restarts;
  if (end < 0) throw loss(`bad block: ${restarts} restarts in ${blockBytes} bytes`, at);
  return end;
}

/** An entry without its value, which is `size` bytes from `start`. */
export interface EntryHead {
  readonly key: Uint8Array;
  readonly start: number;
  readonly size: number;
}

/** The entry at `offset`, whose key goes on from `previous`, and which ends at `end` or before. */
export function readEntryHead(
  block: Uint8Array,
  offset: number,
  end: number,
  previous: Uint8Array,
  at: string,
): EntryHead {
  let next = offset;
  const length = (): number => {
    const byte = next < end ? block[next]! : 0x80;
    if (byte < 0x80) {
      next++;
      return byte; // nearly all are short
    }
    const varint = readVarint(block, next, end, at);
    next = varint.next;
    return varint.value;
  };
  const [shared, unshared, size] = [length(), length(), length()];
  const start = next + unshared;
  if (shared > previous.length || start + size > end) throw loss("bad entry in block", at);
  const key = new Uint8Array(shared + unshared);
  // Keys are short: a loop costs less than two calls of set().
  for (let i = 0; i < shared; i++) key[i] = previous[i]!;
  for (let i = 0; i < unshared; i++) key[shared + i] = block[next + i]!;
  return { key, start, size };
}

const littleEndian = (bytes: Uint8Array): number =>
  bytes[0]! + bytes[1]! * 2 ** 8 + bytes[2]! * 2 ** 16 + bytes[3]! * 2 ** 24;

/** How a block is stored; the byte after it says so. */
export const COMPRESSION = { none: 0, snappy: 1 } as const;

/** Compares the checksum of a trailer with that of its block and type. @throws VarscopeError DATA_LOSS - they differ */
export function checkTrailer(trailer: Uint8Array, found: number, at: string): void {
  const stored = unmaskCrc(littleEndian(trailer.subarray(1)));
  if (stored !== found) throw loss(`block checksum mismatch: stored ${stored}, calculated ${found}`, at);
}

function checkedBlock(stored: Uint8Array, at: string, most: number): Uint8Array {
  const end = stored.length - TRAILER_BYTES;
  checkTrailer(stored.subarray(end), crc32c(stored.subarray(0, end + 1)), at);
  const type = stored[end];
  const block = stored.subarray(0, end);
  if (type === COMPRESSION.snappy) return readSnappy(block, most, at);
  if (type !== COMPRESSION.none) throw loss(`bad block type ${type}, only 0 and 1 are known`, at);
  return block;
}

/** Bytewise order of keys: negative, 0, positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** A data block as the index has it: no key in it is greater than `last`. */
export interface BlockPlace extends Handle {
  readonly last: Uint8Array;
}

/**
 * The data blocks that an index block names.
 *
 * @param stored - the index block with its trailer
 * @param index - where it lies
 * @param limit - byte where the footer begins
 * @throws VarscopeError DATA_LOSS - damaged, blocks that leave the file or overlap
 */
export function readBlockPlaces(
  stored: Uint8Array,
  index: Handle,
  limit: number,
  file: string,
): BlockPlace[] {
  const at = `${file}@${index.offset}`;
  let start = 0; // blocks stand in order, so that no two entries of a hostile index share one
  return readBlock(stored, at).map(({ key, value }) => {
    const handle = checkHandle(readHandle(value, 0, at), limit, at);
    if (handle.offset < start) throw loss(`block at ${handle.offset} is inside the one before it`, at);
    start = handle.offset + handle.size + TRAILER_BYTES;
    return { ...handle, last: key };
  });
}

/** The entries of a block, which must go on from the key `last`. @throws VarscopeError DATA_LOSS - they do not */
export function readOrdered(stored: Uint8Array, at: string, last?: Uint8Array, most?: number): TableEntry[] {
  const entries = readBlock(stored, at, most);
  let before = last;
  for (const { key } of entries) {
    if (before !== undefined && compareBytes(before, key) >= 0) throw loss("keys are out of order", at);
    before = key;
  }
  return entries;
}

/**
 * All entries of a table in memory, in order; values are views.
 *
 * @throws VarscopeError DATA_LOSS - damaged, or keys out of order
 */
export function readTable(bytes: Uint8Array, file = "table"): TableEntry[] {
  const limit = bytes.length - FOOTER_BYTES;
  const index = readFooter(bytes.subarray(Math.max(limit, 0)), bytes.length, file);
  const stored = ({ offset, size }: Handle): Uint8Array =>
    bytes.subarray(offset, offset + size + TRAILER_BYTES);
  const entries: TableEntry[] = [];
  for (const place of readBlockPlaces(stored(index), index, limit, file)) {
    const at = `${file}@${place.offset}`;
    for (const entry of readOrdered(stored(place), at, entries.at(-1)?.key)) entries.push(entry);
  }
  return entries;
}
