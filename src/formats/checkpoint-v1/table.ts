/** @file A table in a file of any size: its index at once, blocks as they are wanted, long values as streams. Start at `openTable`. */

import { crc32c, type Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import {
  type BlockPlace,
  COMPRESSION,
  checkTrailer,
  compareBytes,
  entriesEnd,
  FOOTER_BYTES,
  readBlockPlaces,
  readEntryHead,
  readFooter,
  readOrdered,
  type TableEntry,
  TRAILER_BYTES,
} from "../../wire/index.ts";

/** A value of a table. */
export interface TableValue {
  readonly bytes: number;
  /** Its bytes in order. @throws VarscopeError DATA_LOSS - the block's checksum is wrong, which the last chunk shows */
  chunks(): AsyncIterable<Uint8Array>;
}

export interface Table {
  /** The value of a key; undefined where there is none. @throws VarscopeError DATA_LOSS - damaged */
  find(key: Uint8Array): Promise<TableValue | undefined>;
}

/** Blocks up to this are read whole; a longer one holds a long value, which streams. */
const WHOLE_BYTES = 8 << 20;
/** One read of a long block. */
const CHUNK_BYTES = 4 << 20;
/** Blocks kept, since neighbours in the table are read one after the other. */
const KEPT_BLOCKS = 4;
/** What a compressed block may grow to: a V1 slice has 2 GiB at most. @see TensorFlow core/util/tensor_slice_writer.cc kMaxMessageBytes */
const MOST_BYTES = 2 ** 31 + 2 ** 20;
/** Bytes of an index block: of 5 GB in blocks of 256 KiB it has 1 MB. */
const MOST_INDEX_BYTES = 64 << 20;

/**
 * Opens the table in a source; reads its footer and its index.
 *
 * @throws VarscopeError DATA_LOSS - not a table, or its index is damaged
 */
export async function openTable(source: Source): Promise<Table> {
  const size = await source.size();
  const limit = Math.max(0, size - FOOTER_BYTES);
  const index = readFooter(await source.read(limit, size - limit), size, source.name);
  if (index.size > MOST_INDEX_BYTES) {
    throw new VarscopeError(
      "DATA_LOSS",
      `an index of ${index.size} bytes; at most ${MOST_INDEX_BYTES} are read`,
      { at: `${source.name}@${index.offset}` },
    );
  }
  const stored = await source.read(index.offset, index.size + TRAILER_BYTES);
  const places = readBlockPlaces(stored, index, limit, source.name);
  const kept = new Map<BlockPlace, Promise<TableEntry[]>>();
  const entriesOf = (place: BlockPlace): Promise<TableEntry[]> => {
    const entries = kept.get(place) ?? readEntries(source, place);
    kept.delete(place); // so that the one asked for last is the last of the map
    kept.set(place, entries);
    if (kept.size > KEPT_BLOCKS) kept.delete(kept.keys().next().value!);
    return entries;
  };
  return {
    find: async (key) => {
      const place = placeOf(places, key);
      if (place === undefined) return undefined;
      const isLong = place.size > WHOLE_BYTES && (await typeOf(source, place)) === COMPRESSION.none;
      const long = isLong ? await findLong(source, place, key) : null;
      if (long !== null) return long;
      const value = valueIn(await entriesOf(place), key);
      return value === undefined ? undefined : { bytes: value.length, chunks: () => once(value) };
    },
  };
}

async function* once(value: Uint8Array): AsyncGenerator<Uint8Array> {
  yield value;
}

/** The first block whose keys may reach `key`. */
function placeOf(places: readonly BlockPlace[], key: Uint8Array): BlockPlace | undefined {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(places[middle]!.last, key) < 0) low = middle + 1;
    else high = middle;
  }
  return places[low];
}

function valueIn(entries: readonly TableEntry[], key: Uint8Array): Uint8Array | undefined {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(entries[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  const found = entries[low];
  return found !== undefined && compareBytes(found.key, key) === 0 ? found.value : undefined;
}

async function readEntries(source: Source, { offset, size }: BlockPlace): Promise<TableEntry[]> {
  const stored = await source.read(offset, size + TRAILER_BYTES);
  return readOrdered(stored, `${source.name}@${offset}`, undefined, MOST_BYTES);
}

const typeOf = async (source: Source, { offset, size }: BlockPlace): Promise<number> =>
  (await source.read(offset + size, 1))[0]!;

/** Of a long block, the bytes in which its long value begins: what is before it would else have closed the block at 256 KiB. */
const HEAD_BYTES = 512 << 10;
/** Three varints. */
const LENGTHS_BYTES = 30;

/** The long value of a block without reading it; null where the key is not among the block's first ones. */
async function findLong(source: Source, place: BlockPlace, key: Uint8Array): Promise<TableValue | null> {
  const at = `${source.name}@${place.offset}`;
  const end = entriesEnd(place.size, await source.read(place.offset + place.size - 4, 4), at);
  const window = await source.read(place.offset, Math.min(HEAD_BYTES, end));
  let previous: Uint8Array = new Uint8Array(0);
  for (let offset = 0; offset + LENGTHS_BYTES <= window.length; ) {
    const { start, size, key: found } = readEntryHead(window, offset, end, previous, at);
    if (start > window.length) return null;
    if (compareBytes(found, key) === 0)
      return { bytes: size, chunks: () => valueChunks(source, place, start, size) };
    previous = found;
    offset = start + size;
  }
  return null;
}

/** A value of a long block. All of the block is read, for its checksum. */
async function* valueChunks(
  source: Source,
  { offset, size }: BlockPlace,
  start: number,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  const whole = size + 1; // and the type, which the checksum covers
  let crc = 0;
  let next = source.read(offset, Math.min(CHUNK_BYTES, whole));
  for (let done = 0; done < whole; ) {
    const chunk = await next;
    const after = done + chunk.length;
    if (after < whole) {
      next = source.read(offset + after, Math.min(CHUNK_BYTES, whole - after));
      next.catch(() => {}); // its error is met when its turn comes
    }
    crc = crc32c(chunk, crc);
    const [from, to] = [Math.max(start, done), Math.min(start + bytes, after)];
    if (from < to) yield chunk.subarray(from - done, to - done);
    done = after;
  }
  checkTrailer(await source.read(offset + size, TRAILER_BYTES), crc, `${source.name}@${offset}`);
}
