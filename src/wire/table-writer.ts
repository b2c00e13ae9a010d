/** @file Writing LevelDB's table byte for byte as TensorFlow does. Start at `writeTable`; table.ts has the layout. */

import { crc32c, maskCrc, VarscopeError } from "../base/index.ts";
import { compareBytes, FOOTER_BYTES, type Handle, MAGIC, type TableEntry, TRAILER_BYTES } from "./table.ts";
import { pushVarint } from "./varint.ts";

/** A data block is closed when it reaches this. @see TensorFlow lib/io/table_options.h block_size */
const BLOCK_BYTES = 262_144;
/** Every 16th key of a data block is whole. @see lib/io/table_options.h block_restart_interval */
const RESTART_INTERVAL = 16;

/** One block under construction. */
interface Block {
  readonly interval: number;
  readonly parts: Uint8Array[];
  readonly restarts: number[];
  bytes: number;
  /** keys since the last restart */
  run: number;
  last: Uint8Array;
}

const newBlock = (interval: number): Block => ({
  interval,
  parts: [],
  restarts: [0],
  bytes: 0,
  run: 0,
  last: new Uint8Array(0),
});

function addEntry(block: Block, key: Uint8Array, value: Uint8Array): void {
  let shared = 0;
  if (block.run < block.interval) {
    const most = Math.min(block.last.length, key.length);
    while (shared < most && block.last[shared] === key[shared]) shared++;
  } else {
    block.restarts.push(block.bytes);
    block.run = 0;
  }
  const lengths: number[] = [];
  pushVarint(lengths, shared);
  pushVarint(lengths, key.length - shared);
  pushVarint(lengths, value.length);
  block.parts.push(Uint8Array.from(lengths), key.subarray(shared), value);
  block.bytes += lengths.length + key.length - shared + value.length;
  block.run++;
  block.last = key;
}

/** Block with restarts and trailer, uncompressed. */
function finishBlock(block: Block): Uint8Array {
  const size = block.bytes + 4 * block.restarts.length + 4;
  const out = new Uint8Array(size + TRAILER_BYTES);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of block.parts) {
    out.set(part, at);
    at += part.length;
  }
  for (const offset of [...block.restarts, block.restarts.length]) {
    view.setUint32(at, offset, true);
    at += 4;
  }
  view.setUint32(size + 1, maskCrc(crc32c(out.subarray(0, size + 1))), true);
  return out;
}

/** A short key k with a <= k < b. @see leveldb util/comparator.cc FindShortestSeparator */
export function shortestSeparator(a: Uint8Array, b: Uint8Array): Uint8Array {
  const most = Math.min(a.length, b.length);
  let i = 0;
  while (i < most && a[i] === b[i]) i++;
  if (i < most && a[i]! < 0xff && a[i]! + 1 < b[i]!) {
    const short = a.slice(0, i + 1);
    short[i]!++;
    return short;
  }
  return a; // one is a prefix of the other, or they are neighbours
}

/** A short key k >= a. @see leveldb util/comparator.cc FindShortSuccessor */
export function shortSuccessor(a: Uint8Array): Uint8Array {
  const i = a.findIndex((byte) => byte !== 0xff);
  if (i < 0) return a;
  const short = a.slice(0, i + 1);
  short[i]!++;
  return short;
}

function handleBytes({ offset, size }: Handle): Uint8Array {
  const out: number[] = [];
  pushVarint(out, offset);
  pushVarint(out, size);
  return Uint8Array.from(out);
}

/**
 * A table of `entries`, whose keys must ascend bytewise.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a key is not greater than the one before it
 */
export function writeTable(entries: Iterable<TableEntry>): Uint8Array {
  const written: Uint8Array[] = [];
  let offset = 0;
  const put = (block: Block): Handle => {
    const bytes = finishBlock(block);
    const handle = { offset, size: bytes.length - TRAILER_BYTES };
    written.push(bytes);
    offset += bytes.length;
    return handle;
  };
  const index = newBlock(1);
  let block = newBlock(RESTART_INTERVAL);
  let pending: Handle | undefined; // the block before, whose separator needs the next key
  let last: Uint8Array | undefined;
  for (const { key, value } of entries) {
    if (last !== undefined && compareBytes(last, key) >= 0) {
      const text = new TextDecoder().decode(key);
      throw new VarscopeError("INVALID_ARGUMENT", `table keys must ascend, "${text}" follows a greater one`);
    }
    if (pending !== undefined) addEntry(index, shortestSeparator(last!, key), handleBytes(pending));
    pending = undefined;
    addEntry(block, key, value);
    last = key;
    if (block.bytes + 4 * block.restarts.length + 4 >= BLOCK_BYTES) {
      pending = put(block);
      block = newBlock(RESTART_INTERVAL);
    }
  }
  if (block.bytes > 0) pending = put(block);
  const meta = put(newBlock(RESTART_INTERVAL));
  if (pending !== undefined) addEntry(index, shortSuccessor(last!), handleBytes(pending));
  const footer = new Uint8Array(FOOTER_BYTES);
  const handles = [...handleBytes(meta), ...handleBytes(put(index))];
  footer.set(handles);
  footer.set(MAGIC, FOOTER_BYTES - 8);
  return joined([...written, footer]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
