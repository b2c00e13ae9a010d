/**
 * @file LevelDB's table: sorted keys with values, as checkpoints' indexes are. Start at `readTable`.
 *
 *   block*  metaindex block  index block  footer
 *   block:  (shared, unshared, value bytes: varints | rest of key | value)*  restarts: u32*  their count: u32
 *           | type: u8 | masked CRC-32C of block and type: u32
 *   footer: metaindex handle, index handle (offset, size: varints), zeros up to 40 bytes, magic: u64
 *
 * @see github.com/google/leveldb doc/table_format.md; TensorFlow lib/io/format.cc, table.cc
 */

import { crc32c, unmaskCrc, VarscopeError } from "../base/index.ts";
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

/**
 * The entries of a block.
 *
 * @param stored - block and trailer
 * @param at - `file@byte` of the block
 * @throws VarscopeError DATA_LOSS - checksum or structure is wrong; UNIMPLEMENTED - compressed
 */
export function readBlock(stored: Uint8Array, at: string): TableEntry[] {
  const block = checkedBlock(stored, at);
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const restarts = block.length < 4 ? 0 : view.getUint32(block.length - 4, true);
  const end = block.length - 4 - 4 * restarts;
  if (block.length < 4 || end < 0) throw loss(`bad block: ${restarts} restarts in ${block.length} bytes`, at);
  const entries: TableEntry[] = [];
  let key: Uint8Array = new Uint8Array(0);
  for (let offset = 0; offset < end; ) {
    const shared = readVarint(block, offset, end, at);
    const unshared = readVarint(block, shared.next, end, at);
    const size = readVarint(block, unshared.next, end, at);
    const valueStart = size.next + unshared.value;
    if (shared.value > key.length || valueStart + size.value > end) throw loss("bad entry in block", at);
    const previous = key;
    key = new Uint8Array(shared.value + unshared.value);
    key.set(previous.subarray(0, shared.value));
    key.set(block.subarray(size.next, valueStart), shared.value);
    offset = valueStart + size.value;
    entries.push({ key, value: block.subarray(valueStart, offset) });
  }
  return entries;
}

function checkedBlock(stored: Uint8Array, at: string): Uint8Array {
  const end = stored.length - TRAILER_BYTES;
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const masked = view.getUint32(end + 1, true);
  const found = crc32c(stored.subarray(0, end + 1));
  if (unmaskCrc(masked) !== found) {
    throw loss(`block checksum mismatch: stored ${unmaskCrc(masked)}, calculated ${found}`, at);
  }
  const type = stored[end];
  if (type === 1) {
    throw new VarscopeError("UNIMPLEMENTED", "block is compressed with SNAPPY", {
      at,
      hint: "save the checkpoint again with a TensorFlow of 2016 or later, which writes it uncompressed",
    });
  }
  if (type !== 0) throw loss(`bad block type ${type}, only 0 and 1 are known`, at);
  return stored.subarray(0, end);
}

/** Bytewise order of keys: negative, 0, positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/**
 * All entries of a table in memory, in order; values are views.
 *
 * @throws VarscopeError DATA_LOSS - damaged, or keys out of order; UNIMPLEMENTED - compressed
 */
export function readTable(bytes: Uint8Array, file = "table"): TableEntry[] {
  const limit = bytes.length - FOOTER_BYTES;
  const index = readFooter(bytes.subarray(Math.max(limit, 0)), bytes.length, file);
  const block = ({ offset, size }: Handle): TableEntry[] =>
    readBlock(bytes.subarray(offset, offset + size + TRAILER_BYTES), `${file}@${offset}`);
  const entries: TableEntry[] = [];
  let start = 0; // blocks stand in order, so that no two entries of a hostile index share one
  for (const { value } of block(index)) {
    const at = `${file}@${index.offset}`;
    const handle = checkHandle(readHandle(value, 0, at), limit, at);
    if (handle.offset < start) throw loss(`block at ${handle.offset} is inside the one before it`, at);
    start = handle.offset + handle.size + TRAILER_BYTES;
    for (const entry of block(handle)) {
      const last = entries.at(-1);
      if (last !== undefined && compareBytes(last.key, entry.key) >= 0) {
        throw loss("keys are out of order", `${file}@${handle.offset}`);
      }
      entries.push(entry);
    }
  }
  return entries;
}
