/**
 * @file The index of a V2 checkpoint, both ways: a table of BundleEntryProto by name, and the header under the empty key.
 * No file access; open.ts and save.ts have it. Start at `readIndex`.
 *
 * @see TensorFlow core/util/tensor_bundle/tensor_bundle.h
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DTYPES, type DType, dtypeFromCode, formatShape, VarscopeError } from "../../base/index.ts";
import {
  type BundleEntryProto,
  BundleEntryProtoSchema,
  BundleHeaderProtoSchema,
  type TensorShapeProto,
  type TensorSliceProto,
} from "../../proto/index.ts";
import { compareBytes, readTable, type TableEntry, writeTable } from "../../wire/index.ts";
import { readPlainEntry } from "./plain-entry.ts";
import { formatSliceSpec, sliceKey, sliceShape, type TensorSlice } from "./slice.ts";

/** Where the values of a tensor, or of a part of one, lie. */
export interface Stored {
  readonly shard: number;
  /** byte in the shard's file */
  readonly offset: number;
  readonly bytes: number;
  /** masked CRC-32C of the values */
  readonly crc: number;
}

export interface Part extends Stored {
  readonly slice: TensorSlice;
}

/** A tensor of the index. */
export interface IndexEntry extends Stored {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** parts of a partitioned tensor; none for a whole one, whose values lie at `offset` */
  readonly parts: readonly Part[];
}

export interface BundleIndex {
  readonly shards: number;
  /** sorted by name, bytewise */
  readonly entries: readonly IndexEntry[];
}

/** The version of the format that we write, and the least that a reader must know. @see tensor_bundle.h kTensorBundleVersion */
const PRODUCER = 1;
/** Dims that a shape may have. @see core/framework/tensor_shape.h MaxDimensions */
const MAX_RANK = 254;

const DECODER = new TextDecoder("utf-8", { fatal: true });
const ENCODER = new TextEncoder();

const loss = (what: string, at: string, cause?: unknown): VarscopeError =>
  new VarscopeError("DATA_LOSS", what, cause === undefined ? { at } : { at, cause });

/**
 * The index in the bytes of an .index file.
 *
 * @throws VarscopeError DATA_LOSS - damaged or not an index; UNIMPLEMENTED - written by a later format
 */
export function readIndex(bytes: Uint8Array, file = "index"): BundleIndex {
  const [first, ...rest] = readTable(bytes, file);
  if (first === undefined || first.key.length > 0) throw loss("the index has no header", `${file}@0`);
  const failed = (_: string, e: unknown): never => {
    throw e;
  };
  return readRecords(rest, readHeader(first.value, file), file, failed);
}

/**
 * The index of its records, without the header.
 *
 * @param failed - is told of a tensor that cannot be read; it is left out then
 */
export function readRecords(
  records: readonly TableEntry[],
  shards: number,
  file: string,
  failed: (name: string, e: unknown) => void,
): BundleIndex {
  const parts = new Map<string, TableEntry>(); // by the key's bytes
  const entries: IndexEntry[] = [];
  const partitioned: [IndexEntry, BundleEntryProto][] = [];
  for (const record of records) {
    // Keys of parts begin with a zero byte and sort before all names.
    if (record.key[0] === 0) {
      parts.set(keyText(record.key), record);
      continue;
    }
    try {
      const name = readName(record.key, file);
      const plain = plainEntry(name, record.value, shards, file);
      if (plain !== null) {
        entries.push(plain);
        continue;
      }
      const at = `${file}: ${name}`;
      const proto = parsed(BundleEntryProtoSchema, record.value, at);
      const entry = readEntry(name, proto, at, shards);
      if (proto.slices.length > 0) partitioned.push([entry, proto]);
      entries.push(entry);
    } catch (e) {
      failed(nameOfKey(record.key), e);
    }
  }
  if (partitioned.length === 0) return { shards, entries };
  const joined = new Map<IndexEntry, IndexEntry | null>();
  for (const [entry, { slices }] of partitioned) {
    joined.set(entry, null);
    try {
      joined.set(entry, withParts(entry, slices, parts, shards, `${file}: ${entry.name}`));
    } catch (e) {
      failed(entry.name, e);
    }
  }
  return {
    shards,
    entries: entries.flatMap((entry) => (joined.has(entry) ? (joined.get(entry) ?? []) : entry)),
  };
}

/** The entry of a whole tensor, if nothing about its record is unusual. */
function plainEntry(name: string, record: Uint8Array, shards: number, file: string): IndexEntry | null {
  const plain = readPlainEntry(record);
  if (plain === null || plain.shard >= shards) return null;
  const { shape, shard, offset, bytes, crc } = plain;
  const dtype = dtypeFromCode(plain.dtype, `${file}: ${name}`);
  const width = DTYPES[dtype].bytes;
  const count = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  const fits = width > 0 ? bytes === count * width : dtype === "string" && count <= bytes;
  return fits && Number.isSafeInteger(count)
    ? { name, dtype, shape, shard, offset, bytes, crc, parts: [] }
    : null;
}

/** A key as text, whatever is in it; of a part, the name of its tensor. */
export const nameOfKey = (key: Uint8Array): string =>
  new TextDecoder().decode(key[0] === 0 ? key.subarray(1, key.indexOf(0, 1)) : key);

const keyText = (key: Uint8Array): string => key.reduce((text, byte) => text + String.fromCharCode(byte), "");

function readName(key: Uint8Array, file: string): string {
  try {
    return DECODER.decode(key);
  } catch (cause) {
    throw loss(
      `tensor name is not UTF-8: ${[...key.subarray(0, 32)].map((b) => b.toString(16)).join(" ")}`,
      file,
      cause,
    );
  }
}

/** Number of shards in the header, the record of the empty key. */
export function readHeader(value: Uint8Array, file: string): number {
  const header = parsed(BundleHeaderProtoSchema, value, `${file}: header`);
  const need = header.version?.minConsumer ?? 0;
  if (need > PRODUCER) {
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `checkpoint wants a reader of version ${need}, this one has ${PRODUCER}`,
      { at: file },
    );
  }
  if (header.endianness !== 0) {
    throw new VarscopeError("UNIMPLEMENTED", "checkpoint was written on a big-endian machine", {
      at: file,
      hint: "save it again on a little-endian one",
    });
  }
  if (header.numShards < 1) throw loss(`header says ${header.numShards} shards`, file);
  return header.numShards;
}

function parsed<S extends typeof BundleEntryProtoSchema | typeof BundleHeaderProtoSchema>(
  schema: S,
  value: Uint8Array,
  at: string,
): ReturnType<typeof fromBinary<S>> {
  try {
    return fromBinary(schema, value);
  } catch (cause) {
    throw loss("the record cannot be parsed", at, cause);
  }
}

/** A safe non-negative integer of a file's int64. */
function count(value: bigint, what: string, at: string): number {
  const n = Number(value);
  if (!Number.isSafeInteger(n) || n < 0) throw loss(`${what} ${value} is not in [0, 2^53)`, at);
  return n;
}

function readShape(shape: TensorShapeProto | undefined, at: string): number[] {
  if (shape?.unknownRank) throw loss("shape is unknown", at);
  const dims = (shape?.dim ?? []).map(({ size }) => count(size, "dimension", at));
  if (dims.length > MAX_RANK)
    throw loss(`shape has ${dims.length} dimensions, at most ${MAX_RANK} are allowed`, at);
  return dims;
}

/** Elements of a shape. @throws VarscopeError DATA_LOSS - beyond 2^53 */
function elements(shape: readonly number[], at: string): number {
  const n = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(n)) throw loss(`shape ${formatShape(shape)} has more than 2^53 elements`, at);
  return n;
}

function readEntry(name: string, proto: BundleEntryProto, at: string, shards: number): IndexEntry {
  const dtype = dtypeFromCode(proto.dtype, at);
  const shape = readShape(proto.shape, at);
  const isParent = proto.slices.length > 0;
  const stored = readStored(proto, dtype, isParent ? [] : shape, at, shards, isParent);
  elements(shape, at);
  return { name, dtype, shape, ...stored, parts: [] };
}

function readStored(
  proto: BundleEntryProto,
  dtype: DType,
  shape: readonly number[],
  at: string,
  shards: number,
  isParent = false,
): Stored {
  const { shardId } = proto;
  if (shardId < 0 || shardId >= shards) throw loss(`shard ${shardId} is not one of ${shards}`, at);
  const offset = count(proto.offset, "offset", at);
  const bytes = count(proto.size, "size", at);
  const want = elements(shape, at) * DTYPES[dtype].bytes;
  if (!isParent && DTYPES[dtype].bytes > 0 && bytes !== want) {
    throw loss(`${dtype} ${formatShape(shape)} needs ${want} bytes, the entry has ${bytes}`, at);
  }
  // Each string takes a byte at least: its length.
  if (!isParent && dtype === "string" && elements(shape, at) > bytes) {
    throw loss(`string ${formatShape(shape)} does not fit into ${bytes} bytes`, at);
  }
  return { shard: shardId, offset, bytes, crc: proto.crc32c };
}

function withParts(
  entry: IndexEntry,
  slices: readonly TensorSliceProto[],
  stored: ReadonlyMap<string, TableEntry>,
  shards: number,
  at: string,
): IndexEntry {
  const parts = slices.map((proto): Part => {
    const slice = readSliceProto(proto, entry.shape, at);
    const spec = formatSliceSpec({ fullShape: entry.shape, slice });
    const record = stored.get(keyText(sliceKey(entry.name, slice)));
    if (record === undefined) throw loss(`the values of part '${spec}' are missing`, at);
    const part = parsed(BundleEntryProtoSchema, record.value, `${at} '${spec}'`);
    const shape = readShape(part.shape, at);
    if (
      part.dtype !== DTYPES[entry.dtype].code ||
      formatShape(shape) !== formatShape(sliceShape(entry.shape, slice))
    ) {
      throw loss(`part '${spec}' is stored as ${dtypeFromCode(part.dtype, at)} ${formatShape(shape)}`, at);
    }
    return { ...readStored(part, entry.dtype, shape, at, shards), slice };
  });
  return { ...entry, bytes: parts.reduce((n, part) => n + part.bytes, 0), parts };
}

function readSliceProto(proto: TensorSliceProto, shape: readonly number[], at: string): TensorSlice {
  if (proto.extent.length !== shape.length) {
    throw loss(`a part has ${proto.extent.length} extents, the tensor ${shape.length} dimensions`, at);
  }
  return proto.extent.map(({ start, length }, axis) => {
    if (length === undefined) return { start: 0, length: null };
    const extent = { start: count(start, "start", at), length: count(length, "length", at) };
    if (extent.start + extent.length > shape[axis]!) {
      throw loss(
        `a part's extent ${extent.start},${extent.length} leaves the ${shape[axis]} of axis ${axis}`,
        at,
      );
    }
    return extent;
  });
}

const shapeProto = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size: BigInt(size) })) });

const sliceProto = (slice: TensorSlice) => ({
  extent: slice.map(({ start, length }) =>
    length === null ? {} : { start: BigInt(start), length: BigInt(length) },
  ),
});

function storedBytes(dtype: DType, shape: readonly number[], stored: Stored): Uint8Array {
  const { shard, offset, bytes, crc } = stored;
  const sizes = { shardId: shard, offset: BigInt(offset), size: BigInt(bytes), crc32c: crc };
  const proto = create(BundleEntryProtoSchema, {
    dtype: DTYPES[dtype].code,
    shape: shapeProto(shape),
    ...sizes,
  });
  return toBinary(BundleEntryProtoSchema, proto);
}

/** Bytes of an .index file, as TensorFlow writes them. Entries may stand in any order. */
export function writeIndex({ shards, entries }: BundleIndex): Uint8Array {
  const header = create(BundleHeaderProtoSchema, { numShards: shards, version: { producer: PRODUCER } });
  const records: TableEntry[] = [
    { key: new Uint8Array(0), value: toBinary(BundleHeaderProtoSchema, header) },
  ];
  for (const entry of entries) {
    const key = ENCODER.encode(entry.name);
    if (entry.parts.length === 0) {
      records.push({ key, value: storedBytes(entry.dtype, entry.shape, entry) });
      continue;
    }
    const parent = create(BundleEntryProtoSchema, {
      dtype: DTYPES[entry.dtype].code,
      shape: shapeProto(entry.shape),
      shardId: entry.shard,
      slices: entry.parts.map((part) => sliceProto(part.slice)),
    });
    records.push({ key, value: toBinary(BundleEntryProtoSchema, parent) });
    for (const part of entry.parts) {
      const value = storedBytes(entry.dtype, sliceShape(entry.shape, part.slice), part);
      records.push({ key: sliceKey(entry.name, part.slice), value });
    }
  }
  return writeTable(records.sort((a, b) => compareBytes(a.key, b.key)));
}
