/** @file Values of one slice of a V1 checkpoint: from its record to boxes of elements, as a stream. Start at `readSlice`. */

import {
  allocate,
  type Box,
  DTYPES,
  type DType,
  sizeOf,
  type TensorData,
  VarscopeError,
} from "../../base/index.ts";
import { rowBoxes } from "../collection/index.ts";
import { type Filling, fixedReader, type ListReader, leastBytes, listOf, varintReader } from "./lists.ts";
import type { TableValue } from "./table.ts";

/** Elements of a slice: a run of them in row-major order. */
export interface SlicePiece {
  /** inside the slice */
  readonly box: Box;
  readonly data: TensorData;
}

const loss = (what: string, at: string): VarscopeError => new VarscopeError("DATA_LOSS", what, { at });

/** Checks, before memory is taken, that a record is long enough for `count` values. @throws VarscopeError DATA_LOSS - it is not */
export function needValues(value: TableValue, dtype: DType, count: number, at: string): void {
  const least = count * leastBytes(dtype);
  if (least > value.bytes)
    throw loss(`${count} values of ${dtype} need ${least} bytes, the record has ${value.bytes}`, at);
}

/** Bytes of a piece that a string counts for: its reference, and some text. */
const STRING_BYTES = 64;

/**
 * The values of a slice, in pieces of some MiB.
 *
 * @param shape - of the slice
 * @throws VarscopeError DATA_LOSS - the record is damaged, or has more or fewer values
 */
export async function* readSlice(
  value: TableValue,
  dtype: DType,
  shape: readonly number[],
  at: string,
): AsyncGenerator<SlicePiece> {
  const count = sizeOf(shape);
  needValues(value, dtype, count, at);
  const boxes = count === 0 ? [] : rowBoxes(shape, DTYPES[dtype].bytes || STRING_BYTES);
  const pieces = fillings(boxes, dtype);
  let piece = pieces.next().value;
  const reader = readerOf(dtype, at);
  let done = 0;
  for await (const chunk of listChunks(new Cursor(value, at), dtype)) {
    let from = 0;
    do {
      if (piece === undefined) throw loss(`the record has more than ${count} values`, at);
      from = reader.take(chunk, from, piece.filling);
      if (piece.filling.filled < piece.filling.size) continue;
      done += sizeOf(piece.box.size);
      yield { box: piece.box, data: piece.filling.data };
      piece = pieces.next().value;
    } while (from < chunk.length); // an empty chunk is an empty string
  }
  if (piece === undefined && !reader.isInside()) return;
  throw loss(`the record has fewer than ${count} values, ${done} and some of the next`, at);
}

interface Piece {
  readonly box: Box;
  readonly filling: Filling;
}

function* fillings(boxes: Iterable<Box>, dtype: DType): Generator<Piece, undefined> {
  for (const box of boxes) {
    const count = sizeOf(box.size);
    const data = dtype === "string" ? new Array<Uint8Array>(count) : allocate(dtype, count);
    const size = listOf(dtype).kind === "fixed" ? (data as Uint8Array).byteLength : count;
    yield { box, filling: { data, filled: 0, size } };
  }
}

function readerOf(dtype: DType, at: string): ListReader {
  const { kind } = listOf(dtype);
  if (kind === "fixed") return fixedReader;
  if (kind === "varint") return varintReader(dtype, () => loss("a value has over 10 bytes", at));
  return {
    // A chunk is a string.
    take: (chunk, _, target) => {
      (target.data as Uint8Array[])[target.filled++] = chunk;
      return chunk.length;
    },
    isInside: () => false,
  };
}

/** The bytes of a record, taken in order. */
class Cursor {
  /** of the byte that is next */
  position = 0;
  readonly bytes: number;
  readonly at: string;
  private readonly chunks: AsyncIterator<Uint8Array>;
  private held: Uint8Array = new Uint8Array(0);

  constructor(value: TableValue, at: string) {
    this.bytes = value.bytes;
    this.at = at;
    this.chunks = value.chunks()[Symbol.asyncIterator]();
  }

  /** 1 to `most` bytes. */
  async some(most: number): Promise<Uint8Array> {
    while (this.held.length === 0) {
      const { value, done } = await this.chunks.next();
      if (done) throw loss("the record ends inside a field", this.at);
      this.held = value;
    }
    const taken = this.held.subarray(0, most);
    this.held = this.held.subarray(taken.length);
    this.position += taken.length;
    return taken;
  }

  async varint(): Promise<number> {
    let [value, scale] = [0, 1];
    for (let i = 0; i < 10; i++) {
      const byte = (await this.some(1))[0]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw loss("bad varint", this.at);
  }

  /** The byte after a field of that length, which must not leave `end`. */
  async endOfField(end: number): Promise<number> {
    const length = await this.varint();
    if (this.position + length > end) throw loss(`a field of ${length} bytes leaves the record`, this.at);
    return this.position + length;
  }

  async *until(end: number): AsyncGenerator<Uint8Array> {
    while (this.position < end) yield await this.some(end - this.position);
  }

  async all(end: number): Promise<Uint8Array> {
    const out = new Uint8Array(end - this.position);
    for (let done = 0; this.position < end; ) {
      const part = await this.some(end - this.position);
      out.set(part, done);
      done += part.length;
    }
    return out;
  }

  async skip(end: number): Promise<void> {
    while (this.position < end) await this.some(end - this.position);
  }

  /** To the end of the chunks, where a checksum is compared. */
  async finish(): Promise<void> {
    while (!(await this.chunks.next()).done);
  }
}

/** Wire types of protobuf's encoding. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Field numbers down to the values: SavedTensorSlices.data, SavedSlice.data. */
const PATH = [2, 3];

/** What the list of a dtype holds, in chunks; of strings, one a chunk. */
async function* listChunks(cursor: Cursor, dtype: DType): AsyncGenerator<Uint8Array> {
  const { field, kind } = listOf(dtype);
  const ends = [cursor.bytes]; // of the messages around
  while (ends.length > 0) {
    const end = ends.at(-1)!;
    if (cursor.position > end) throw loss("a field leaves its message", cursor.at);
    if (cursor.position === end) {
      ends.pop();
      continue;
    }
    const tag = await cursor.varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const isList = ends.length > PATH.length && number === field;
    if (wire === WIRE.bytes) {
      const fieldEnd = await cursor.endOfField(end);
      if (number === PATH[ends.length - 1]) ends.push(fieldEnd);
      else if (!isList) await cursor.skip(fieldEnd);
      else if (kind === "string") yield await cursor.all(fieldEnd);
      else yield* cursor.until(fieldEnd);
    } else if (wire === WIRE.varint) {
      const isValue = isList && kind === "varint"; // a list that is not packed
      for (let more = true; more; ) {
        const byte = await cursor.some(1);
        more = byte[0]! >= 0x80;
        if (isValue) yield byte;
      }
    } else if (wire === WIRE.fixed32 || wire === WIRE.fixed64) {
      const fieldEnd = cursor.position + (wire === WIRE.fixed32 ? 4 : 8);
      if (isList && kind === "fixed") yield* cursor.until(fieldEnd);
      else await cursor.skip(fieldEnd);
    } else throw loss(`a field of wire type ${wire}`, cursor.at);
  }
  await cursor.finish();
}
