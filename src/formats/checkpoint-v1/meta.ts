/** @file Which tensors and slices the files of a V1 checkpoint have. Start at `readV1Tensors`. */

import { fromBinary } from "@bufbuild/protobuf";
import type { Source } from "#platform";
import {
  type Box,
  type DType,
  dtypeFromCode,
  formatShape,
  sameShape,
  VarscopeError,
} from "../../base/index.ts";
import {
  type SavedSliceMeta,
  SavedSliceMetaSchema,
  type TensorSliceProto,
  VersionDefSchema,
} from "../../proto/index.ts";
import { readVarint } from "../../wire/index.ts";
import { boxOfSlice, type TensorSlice } from "../checkpoint/slice.ts";
import { needElements } from "../collection/index.ts";
import { openTable, type Table } from "./table.ts";

/** A slice of a tensor, whose values are in one of the files. */
export interface V1Slice {
  readonly box: Box;
  /** as the file spells it, for its key */
  readonly extents: TensorSlice;
  readonly table: Table;
  /** the file's name */
  readonly file: string;
}

export interface V1Tensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly slices: readonly V1Slice[];
}

const loss = (what: string, at: string, hint?: string, cause?: unknown): VarscopeError =>
  new VarscopeError("DATA_LOSS", what, {
    at,
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  });

/** The version of the format that we write, and the least that a reader must know. @see TensorFlow core/public/version.h TF_CHECKPOINT_VERSION */
export const V1_VERSION = 1;

/** Field 1, with a length. */
const META_TAG = 0x0a;
/** What may be under the empty key: names and shapes of 100,000 tensors take 10 MB. */
const MOST_META_BYTES = 256 << 20;
const MOST_ENTRIES = 1_000_000;
/** Of one tensor: 10,000 slices take some 100 KB. */
const MOST_TENSOR_BYTES = 4 << 20;

/**
 * The tensors of a checkpoint's files, sorted as the files have them.
 *
 * @throws VarscopeError DATA_LOSS - a file is damaged, is no V1 checkpoint, or contradicts another; UNIMPLEMENTED - a later version
 */
export async function readV1Tensors(sources: readonly Source[]): Promise<V1Tensor[]> {
  const tensors = new Map<string, V1Tensor & { readonly slices: V1Slice[] }>();
  for (const source of sources) {
    const table = await openTable(source);
    for (const meta of metasIn(await readMeta(table, source.name), source.name)) {
      const at = `${source.name}: ${meta.name}`;
      const dtype = dtypeFromCode(meta.type, at);
      const shape = (meta.shape?.dim ?? []).map(({ size }) => Number(size));
      needElements(shape, at);
      const old = tensors.get(meta.name);
      if (old !== undefined && (old.dtype !== dtype || !sameShape(old.shape, shape))) {
        const sentence = `a slice of ${dtype} ${formatShape(shape)}, those before it are of ${old.dtype} ${formatShape(old.shape)}`;
        throw loss(sentence, at);
      }
      const slices = meta.slice.map((proto): V1Slice => {
        const extents = sliceOf(meta, proto, shape, at);
        return { box: boxOfSlice(shape, extents), extents, table, file: source.name };
      });
      if (old === undefined) tensors.set(meta.name, { name: meta.name, dtype, shape, slices });
      else for (const slice of slices) old.slices.push(slice);
    }
  }
  return [...tensors.values()];
}

async function readMeta(table: Table, file: string): Promise<Uint8Array> {
  const value = await table.find(new Uint8Array(0));
  if (value === undefined) throw noMeta(file);
  if (value.bytes > MOST_META_BYTES)
    throw loss(`a list of tensors of ${value.bytes} bytes; at most ${MOST_META_BYTES} are read`, file);
  const bytes = new Uint8Array(value.bytes);
  let at = 0;
  for await (const chunk of value.chunks()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  if (bytes[0] !== META_TAG) throw noMeta(file); // of a V2 index this is the header, which would pass for an empty list
  return bytes;
}

/** The tensors, one after the other: a record of 2 bytes becomes an object of hundreds, so they are not parsed all at once. */
function* metasIn(bytes: Uint8Array, file: string): Generator<SavedSliceMeta> {
  let count = 0;
  for (const meta of messagesIn(bytes, 1, file)) {
    for (const versions of messagesIn(meta, 2, file)) needVersion(versions, file);
    for (const tensor of messagesIn(meta, 1, file)) {
      if (tensor.length > MOST_TENSOR_BYTES)
        throw loss(`${tensor.length} bytes about one tensor; at most ${MOST_TENSOR_BYTES} are read`, file);
      const parsed = parse(SavedSliceMetaSchema, tensor, file);
      count += 1 + parsed.slice.length;
      if (count > MOST_ENTRIES) throw loss(`over ${MOST_ENTRIES} tensors and slices`, file);
      yield parsed;
    }
  }
}

function needVersion(bytes: Uint8Array, file: string): void {
  const need = parse(VersionDefSchema, bytes, file).minConsumer;
  if (need <= V1_VERSION) return;
  const what = `checkpoint wants a reader of version ${need}, this one has ${V1_VERSION}`;
  throw new VarscopeError("UNIMPLEMENTED", what, { at: file });
}

/** Fields of that number, which have a length. */
function* messagesIn(bytes: Uint8Array, field: number, file: string): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at, bytes.length, file);
    at = tag.next;
    const wire = tag.value % 8;
    if (wire === 2) {
      const length = readVarint(bytes, at, bytes.length, file);
      at = length.next + length.value;
      if (at <= bytes.length && Math.floor(tag.value / 8) === field) yield bytes.subarray(length.next, at);
    } else if (wire === 0) {
      while (at < bytes.length && bytes[at]! >= 0x80) at++;
      at++;
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else throw noMeta(file);
    if (at > bytes.length) throw noMeta(file);
  }
}

function parse<S extends typeof SavedSliceMetaSchema | typeof VersionDefSchema>(
  schema: S,
  bytes: Uint8Array,
  file: string,
): ReturnType<typeof fromBinary<S>> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw noMeta(file, cause);
  }
}

/** The sentence is TensorFlow's. @see core/util/tensor_slice_reader.cc LoadShard */
const noMeta = (file: string, cause?: unknown): VarscopeError =>
  loss(
    "Failed to find the saved tensor slices at the beginning of the checkpoint file",
    file,
    "it is no V1 checkpoint; of a V2 one give the prefix, without .index",
    cause,
  );

function sliceOf(
  { name }: SavedSliceMeta,
  proto: TensorSliceProto,
  shape: readonly number[],
  at: string,
): TensorSlice {
  if (proto.extent.length !== shape.length)
    throw loss(`a slice has ${proto.extent.length} extents, the tensor ${shape.length} dimensions`, at);
  return proto.extent.map(({ start, length }, axis) => {
    if (length === undefined) return { start: 0, length: null };
    const extent = { start: Number(start), length: Number(length) };
    if (extent.start < 0 || extent.length < 0 || extent.start + extent.length > shape[axis]!)
      throw loss(`an extent ${start},${length} of ${name} leaves the ${shape[axis]} of axis ${axis}`, at);
    return extent;
  });
}
