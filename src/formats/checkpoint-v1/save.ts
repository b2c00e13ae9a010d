/**
 * @file Writing V1 checkpoints, byte for byte as TensorFlow's SaveSlices. Start at `writeV1Collection`.
 *
 * @see TensorFlow core/util/tensor_slice_writer.cc
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { crc32c, type Staged, stageFile } from "#platform";
import { type Box, compareText, DTYPES, type DType, sizeOf, VarscopeError } from "../../base/index.ts";
import { SavedTensorSlicesSchema, TensorSliceProtoSchema } from "../../proto/index.ts";
import { compareBytes, pushVarint, tableBuilder } from "../../wire/index.ts";
import { shardedFilename } from "../checkpoint/files.ts";
import { sliceKey, type TensorSlice } from "../checkpoint/slice.ts";
import type { CollectionWriter, WritableVariable, WriteCollectionOptions } from "../collection/index.ts";
import { listOf, packValues } from "./lists.ts";
import { V1_VERSION } from "./meta.ts";
import { slicePieces } from "./pieces.ts";

/** Bytes that TensorFlow reckons with for a value; what is not here it cannot save. @see tensor_slice_writer.cc MaxBytesPerElement */
const MOST_VALUE_BYTES: Partial<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  int32: 10,
  uint8: 2,
  int16: 10,
  int8: 10,
  string: 0,
  complex64: 8,
  int64: 10,
  bool: 1,
  qint8: 10,
  quint8: 2,
  qint32: 10,
  uint16: 3,
  complex128: 16,
  float16: 3,
};
/** @see tensor_slice_writer.cc kMaxMessageBytes; the rest is for names and shapes */
const MOST_SLICE_BYTES = 2 ** 31 - 2 ** 16;

/**
 * Writes a V1 checkpoint: one file, or with `shards` several of the name `<path>-00000-of-00003`, which take their places one after
 * the other. Partitioned variables stay so. Memory stays small, save for variables that are partitioned along another axis than the first.
 *
 * @returns the variables that V1 cannot hold: bfloat16, uint32, uint64 and others without a list in it, slices of over 2 GiB
 * @throws VarscopeError INVALID_ARGUMENT - a name twice, or fewer values than the shape has; CANCELLED - aborted
 */
export const writeV1Collection: CollectionWriter = async (path, { variables }, options = {}) => {
  const { shards = 1 } = options;
  if (!Number.isInteger(shards) || shards < 1 || shards > 99_999)
    throw new VarscopeError("INVALID_ARGUMENT", `${shards} shards; 1 to 99999 are possible`, { at: path });
  const left = variables.flatMap((v) => {
    const why = whyNot(v);
    return why === undefined ? [] : [{ what: v.name, why }];
  });
  const out = new Set(left.map(({ what }) => what));
  const kept = variables.filter((v) => !out.has(v.name));
  const staged: Staged[] = [];
  let done = 0;
  const progress = (bytes: number): void => {
    done += bytes;
    options.onProgress?.(done);
  };
  try {
    for (const [i, group] of spread(kept, shards).entries()) {
      const file = shards === 1 ? path : shardedFilename(path, i, shards);
      staged.push(await stageFile(file, fileChunks(group, options, progress), options));
    }
    for (const file of staged) await file.commit();
  } catch (e) {
    await Promise.allSettled(staged.map((file) => file.discard()));
    throw e;
  }
  return { left };
};

function whyNot({ dtype, shape, parts }: WritableVariable): string | undefined {
  const most = MOST_VALUE_BYTES[dtype];
  if (most === undefined) return `V1 has no place for ${dtype}; cast it, or write a V2 checkpoint`;
  const count = Math.max(...(parts ?? [{ size: shape }]).map(({ size }) => sizeOf(size)));
  return count * most > MOST_SLICE_BYTES
    ? `${count} values of ${dtype} in one slice, V1 holds 2 GiB; write a V2 checkpoint`
    : undefined;
}

/** Runs of variables of about equal bytes. */
function spread(variables: readonly WritableVariable[], shards: number): WritableVariable[][] {
  const groups = Array.from({ length: shards }, (): WritableVariable[] => []);
  const sizes = variables.map(({ shape, dtype }) => 1 + sizeOf(shape) * DTYPES[dtype].bytes);
  const total = sizes.reduce((n, size) => n + size, 0);
  let before = 0;
  for (const [i, v] of variables.entries()) {
    groups[Math.min(shards - 1, Math.floor(((before + sizes[i]! / 2) / total) * shards))]!.push(v);
    before += sizes[i]!;
  }
  return groups;
}

/** A variable and its slices, in the order of their keys. */
interface Sliced {
  readonly variable: WritableVariable;
  readonly slices: readonly TensorSlice[];
  readonly boxes: readonly Box[];
}

function slicedOf(variable: WritableVariable): Sliced {
  const { shape, parts = [] } = variable;
  const whole: TensorSlice = shape.map(() => ({ start: 0, length: null }));
  if (parts.length === 0)
    return { variable, slices: [whole], boxes: [{ start: shape.map(() => 0), size: shape }] };
  const of = (box: Box): TensorSlice => box.start.map((start, axis) => ({ start, length: box.size[axis]! }));
  const boxes = [...parts].sort((a, b) => compareBytes(sliceKey("", of(a)), sliceKey("", of(b))));
  return { variable, slices: boxes.map(of), boxes };
}

async function* fileChunks(
  variables: readonly WritableVariable[],
  options: WriteCollectionOptions,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  // TensorFlow lists the tensors by name; their keys stand in the same order.
  const sorted = variables.map(slicedOf).sort((a, b) => compareText(a.variable.name, b.variable.name));
  const table = tableBuilder(crc32c);
  const twice = sorted.find((s, i) => s.variable.name === sorted[i + 1]?.variable.name);
  if (twice !== undefined)
    throw new VarscopeError("INVALID_ARGUMENT", `Adding duplicate key: ${twice.variable.name}`);
  const meta = metaOf(sorted);
  yield table.head(new Uint8Array(0), meta.length);
  yield table.pass(meta);
  yield table.end();
  for (const sliced of sorted) {
    const { variable, slices } = sliced;
    const sizes = await listBytes(sliced, options);
    for await (const { slice, pieces } of slicePieces(variable, sliced.boxes, options)) {
      const head = recordHead(variable, slices[slice]!, sizes[slice]!);
      yield table.head(sliceKey(variable.name, slices[slice]!), head.length + sizes[slice]!);
      yield table.pass(head);
      for await (const piece of pieces) {
        const packed = packValues(piece);
        yield table.pass(packed);
        progress(packed.length);
      }
      yield table.end();
    }
  }
  yield table.finish();
}

/** Bytes of each slice's list. Where values have no fixed size, they are gone through once for that. */
async function listBytes({ variable, boxes }: Sliced, options: WriteCollectionOptions): Promise<number[]> {
  const { dtype } = variable;
  if (listOf(dtype).kind === "fixed") return boxes.map((box) => sizeOf(box.size) * DTYPES[dtype].bytes);
  const sizes = boxes.map(() => 0);
  for await (const { slice, pieces } of slicePieces(variable, boxes, options)) {
    for await (const piece of pieces) sizes[slice]! += packValues(piece).length;
    if (sizes[slice]! > MOST_SLICE_BYTES)
      throw new VarscopeError("RESOURCE_EXHAUSTED", `a slice of ${sizes[slice]} bytes; V1 holds 2 GiB`, {
        at: variable.name,
        hint: "write a V2 checkpoint",
      });
  }
  return sizes;
}

const sliceProto = (slice: TensorSlice) => ({
  extent: slice.map(({ start, length }) =>
    length === null ? {} : { start: BigInt(start), length: BigInt(length) },
  ),
});

function metaOf(all: readonly Sliced[]): Uint8Array {
  const tensor = all.map(({ variable: { name, shape, dtype }, slices }) => ({
    name,
    shape: { dim: shape.map((size) => ({ size: BigInt(size) })) },
    type: DTYPES[dtype].code,
    slice: slices.map(sliceProto),
  }));
  return toBinary(
    SavedTensorSlicesSchema,
    create(SavedTensorSlicesSchema, { meta: { tensor, versions: { producer: V1_VERSION } } }),
  );
}

/** All of a record that goes before its list. */
function recordHead({ name, dtype }: WritableVariable, slice: TensorSlice, bytes: number): Uint8Array {
  const { field, kind } = listOf(dtype);
  const list: number[] = [];
  if (kind !== "string" && bytes > 0) {
    list.push(8 * field + 2);
    pushVarint(list, bytes);
  }
  const text = new TextEncoder().encode(name);
  const place = toBinary(TensorSliceProtoSchema, create(TensorSliceProtoSchema, sliceProto(slice)));
  const saved: number[] = [];
  if (text.length > 0) pushField(saved, 1, text);
  pushField(saved, 2, place);
  saved.push(8 * 3 + 2);
  pushVarint(saved, list.length + bytes);
  saved.push(...list);
  const head = [8 * 2 + 2];
  pushVarint(head, saved.length + bytes);
  return Uint8Array.from([...head, ...saved]);
}

function pushField(out: number[], field: number, bytes: Uint8Array): void {
  out.push(8 * field + 2);
  pushVarint(out, bytes.length);
  out.push(...bytes);
}
