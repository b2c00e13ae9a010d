/** @file Writing LevelDB's table byte for byte as TensorFlow does. Start at `writeTable`; table.ts has the layout. */

import { crc32c, maskCrc, VarscopeError } from "../base/index.ts";
import { compareBytes, FOOTER_BYTES, type Handle, MAGIC, type TableEntry, TRAILER_BYTES } from "./table.ts";
import { pushVarint } from "./varint.ts";

/** A data block is closed when it reaches this. @see TensorFlow lib/io/table_options.h block_size */
const BLOCK_BYTES = 262_144;
/** A record of this length does not join a block that has others. Found by trial with TensorFlow 2.21. */
const LONG_BYTES = 2 * BLOCK_BYTES;
/** Every 16th key of a data block is whole. @see lib/io/table_options.h block_restart_interval */
const RESTART_INTERVAL = 16;

/** One block under construction; its entries have left already. */
interface Block {
  readonly interval: number;
  readonly restarts: number[];
  /** of its entries so far */
  bytes: number;
  /** of these bytes */
  crc: number;
  /** keys since the last restart */
  run: number;
  last: Uint8Array;
}

const newBlock = (interval: number): Block => ({
  interval,
  restarts: [0],
  bytes: 0,
  crc: 0,
  run: 0,
  last: new Uint8Array(0),
});

function pass(block: Block, chunk: Uint8Array, crc = crc32c): Uint8Array {
  block.bytes += chunk.length;
  block.crc = crc(chunk, block.crc);
  return chunk;
}

/** Lengths and key of an entry. */
function entryHead(block: Block, key: Uint8Array, valueBytes: number): Uint8Array {
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
  pushVarint(lengths, valueBytes);
  const head = new Uint8Array(lengths.length + key.length - shared);
  head.set(lengths);
  head.set(key.subarray(shared), lengths.length);
  block.run++;
  block.last = key;
  return pass(block, head);
}

/** Restarts and trailer of a block, uncompressed. */
function blockEnd(block: Block): Uint8Array {
  const { restarts } = block;
  const out = new Uint8Array(4 * restarts.length + 4 + TRAILER_BYTES);
  const view = new DataView(out.buffer);
  for (const [i, offset] of [...restarts, restarts.length].entries()) view.setUint32(4 * i, offset, true);
  const end = out.length - TRAILER_BYTES;
  view.setUint32(end + 1, maskCrc(crc32c(out.subarray(0, end + 1), block.crc)), true);
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
 * The bytes of a table one after the other, so that values larger than memory pass through: for each entry `head`, the value's
 * chunks through `pass`, then `end`; at last `finish`. What they give stands in the file in that order.
 */
export interface TableBuilder {
  /** @throws VarscopeError INVALID_ARGUMENT - a key is not greater than the one before it */
  head(key: Uint8Array, valueBytes: number): Uint8Array;
  pass(chunk: Uint8Array): Uint8Array;
  /** nothing, or the end of a block that is full */
  end(): Uint8Array;
  finish(): Uint8Array;
}

/** A builder of one table. @param crc - CRC-32C; the platform's own is faster */
export function tableBuilder(crc: typeof crc32c = crc32c): TableBuilder {
  const index = newBlock(1);
  const indexed: Uint8Array[] = []; // its entries
  let block = newBlock(RESTART_INTERVAL);
  let start = 0; // of the block
  let pending: Handle | undefined; // the block before, whose separator needs the next key
  let last: Uint8Array | undefined;
  const enter = (key: Uint8Array, handle: Handle): void => {
    const value = handleBytes(handle);
    indexed.push(entryHead(index, key, value.length), pass(index, value));
  };
  const close = (): Uint8Array => {
    const end = blockEnd(block);
    pending = { offset: start, size: block.bytes + end.length - TRAILER_BYTES };
    start += block.bytes + end.length;
    block = newBlock(RESTART_INTERVAL);
    return end;
  };
  return {
    head(key, valueBytes) {
      if (last !== undefined && compareBytes(last, key) >= 0) {
        const text = new TextDecoder().decode(key);
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `table keys must ascend, "${text}" follows a greater one`,
        );
      }
      const before = block.bytes > 0 && key.length + valueBytes >= LONG_BYTES ? close() : new Uint8Array(0);
      if (pending !== undefined) enter(shortestSeparator(last!, key), pending);
      pending = undefined;
      last = key;
      return joined([before, entryHead(block, key, valueBytes)]);
    },
    pass: (chunk) => pass(block, chunk, crc),
    end: () => (block.bytes + 4 * block.restarts.length + 4 >= BLOCK_BYTES ? close() : new Uint8Array(0)),
    finish() {
      const data = block.bytes > 0 ? close() : new Uint8Array(0);
      if (pending !== undefined) enter(shortSuccessor(last!), pending);
      const meta = blockEnd(newBlock(RESTART_INTERVAL));
      const indexEnd = blockEnd(index);
      const metaSize = meta.length - TRAILER_BYTES;
      const handles = [
        ...handleBytes({ offset: start, size: metaSize }),
        ...handleBytes({ offset: start + meta.length, size: index.bytes + indexEnd.length - TRAILER_BYTES }),
      ];
      const footer = new Uint8Array(FOOTER_BYTES);
      footer.set(handles);
      footer.set(MAGIC, FOOTER_BYTES - 8);
      return joined([data, meta, ...indexed, indexEnd, footer]);
    },
  };
}

/**
 * A table of `entries`, whose keys must ascend bytewise.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a key is not greater than the one before it
 */
export function writeTable(entries: Iterable<TableEntry>): Uint8Array {
  const builder = tableBuilder();
  const written: Uint8Array[] = [];
  for (const { key, value } of entries)
    written.push(builder.head(key, value.length), builder.pass(value), builder.end());
  return joined([...written, builder.finish()]);
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
