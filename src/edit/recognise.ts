/**
 * @file What a file is, by its bytes and not its name; of a large file, its ends are enough. Start at `recognise`.
 *
 * @see TensorFlow core/framework/graph.proto, core/protobuf/{meta_graph,saved_model}.proto; onnx.proto; the magic numbers below
 */

import type { Source } from "#platform";
import type { Format } from "../formats/collection/index.ts";

/** What a single file is: a container, in binary or as text; a table (an index, or a V1 checkpoint); a state file; one array. */
export type FileKind =
  | Format
  | "graph-def-text"
  | "meta-graph-text"
  | "saved-model-text"
  | "table"
  | "state"
  | "npy"
  | "hdf5";

/** The ends of a file. */
export interface Ends {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** bytes of the whole file */
  readonly size: number;
}

/** Enough to see the first fields of a message, of which the second may be far behind. */
const HEAD_BYTES = 1 << 16;
/** A zip archive's list of members is at its end. */
const TAIL_BYTES = 1 << 16;

/** What the bytes of a source are; null where they are nothing that is known here. Reads its ends only. */
export async function recogniseSource(source: Source): Promise<FileKind | null> {
  const size = await source.size();
  const head = await source.read(0, Math.min(size, HEAD_BYTES));
  const tail =
    size <= HEAD_BYTES ? head.subarray(-TAIL_BYTES) : await source.read(size - TAIL_BYTES, TAIL_BYTES);
  return recogniseEnds({ head, tail, size });
}

/** What the bytes of a whole file are. */
export const recognise = (bytes: Uint8Array): FileKind | null =>
  recogniseEnds({ head: bytes, tail: bytes.subarray(-TAIL_BYTES), size: bytes.length });

/** Last 8 bytes of every LevelDB table. @see LevelDB table/format.h kTableMagicNumber */
const TABLE_MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
const FOOTER_BYTES = 48;

const startsWith = (bytes: Uint8Array, ...wanted: number[]): boolean =>
  wanted.every((b, i) => bytes[i] === b);

function recogniseEnds({ head, tail, size }: Ends): FileKind | null {
  if (size === 0) return null;
  if (size >= FOOTER_BYTES && startsWith(tail.subarray(-8), ...TABLE_MAGIC)) return "table";
  if (startsWith(head, 0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) return "npy"; // \x93NUMPY
  if (startsWith(head, 0x89, 0x48, 0x44, 0x46)) return "hdf5"; // \x89HDF
  if (startsWith(head, 0x50, 0x4b, 0x03, 0x04) || startsWith(head, 0x50, 0x4b, 0x05, 0x06))
    return zipKind(tail);
  if (startsWith(head.subarray(4), 0x54, 0x46, 0x4c, 0x33)) return "tflite"; // flatbuffer's identifier TFL3
  if (isSafetensors(head, size)) return "safetensors";
  return textKind(head) ?? messageKind(head, size);
}

/** An archive by its members' names. */
function zipKind(tail: Uint8Array): FileKind {
  const names = new TextDecoder("latin1").decode(tail);
  return names.includes("model.weights.h5") || names.includes("config.json") ? "keras-v3" : "npz";
}

/** A u64 length, then that many bytes of JSON. */
function isSafetensors(head: Uint8Array, size: number): boolean {
  if (head.length < 10 || head[8] !== 0x7b) return false;
  const length = new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true);
  return length <= BigInt(size - 8) || length >> 40n === 0n; // cut short, it is one still, and its reader says so
}

function textKind(head: Uint8Array): FileKind | null {
  const text = new TextDecoder("latin1").decode(head.subarray(0, 4096)).replace(/^(\s|#[^\n]*\n)+/, "");
  if (/^(model_checkpoint_path|all_model_checkpoint_paths)\s*:/.test(text)) return "state";
  if (/^saved_model_schema_version\s*:/.test(text) || /^meta_graphs\s*[{<]/.test(text))
    return "saved-model-text";
  if (/^(meta_info_def|graph_def|saver_def|collection_def|signature_def)\s*[{<]/.test(text))
    return "meta-graph-text";
  if (/^(node|versions|library)\s*[{<]/.test(text) || /^version\s*:/.test(text)) return "graph-def-text";
  return null;
}

interface Field {
  readonly number: number;
  /** of a field with a length, as much as is here; else null */
  readonly bytes: Uint8Array | null;
  /** whether all of it is here */
  readonly whole: boolean;
}

/** Varint at `at`, as a number, with the next byte; null where it is cut or longer than 10 bytes. */
function varintAt(bytes: Uint8Array, at: number): readonly [number, number] | null {
  let value = 0;
  for (let i = 0; i < 10 && at + i < bytes.length; i++) {
    value += (bytes[at + i]! & 0x7f) * 2 ** (7 * i);
    if (bytes[at + i]! < 0x80) return [value, at + i + 1];
  }
  return null;
}

/**
 * Fields of the message of which `bytes` is the beginning and `size` the length. What is no field ends them with number 0.
 */
function* fieldsOf(bytes: Uint8Array, size: number): Generator<Field> {
  const bad: Field = { number: 0, bytes: null, whole: false };
  for (let at = 0; at < bytes.length; ) {
    const tag = varintAt(bytes, at);
    if (tag === null || tag[0] < 8) return yield bad;
    const [number, wire] = [Math.floor(tag[0] / 8), tag[0] % 8];
    at = tag[1];
    if (wire === 2) {
      const length = varintAt(bytes, at);
      if (length === null || length[1] + length[0] > size) return yield bad;
      at = length[1];
      const end = at + length[0];
      yield { number, bytes: bytes.subarray(at, end), whole: end <= bytes.length };
      at = end;
    } else if (wire === 0) {
      const value = varintAt(bytes, at);
      if (value === null) return yield bad;
      at = value[1];
      yield { number, bytes: null, whole: true };
    } else if (wire === 1 || wire === 5) {
      at += wire === 1 ? 8 : 4;
      yield { number, bytes: null, whole: at <= bytes.length };
    } else return yield bad;
  }
}

const find = (bytes: Uint8Array, number: number): Uint8Array | null => {
  for (const field of fieldsOf(bytes, Number.POSITIVE_INFINITY))
    if (field.number === number) return field.bytes;
  return null;
};

/** Whether this begins a NodeDef: its second field is an op type, a word. */
function isNode(bytes: Uint8Array): boolean {
  const op = find(bytes, 2);
  return op !== null && /^[A-Z_][A-Za-z0-9_>.]*$/.test(new TextDecoder("latin1").decode(op));
}

const beginsGraph = (bytes: Uint8Array): boolean => {
  const first = find(bytes, 1);
  return first !== null && isNode(first);
};

/** GraphDef, MetaGraphDef, SavedModel and ONNX's ModelProto have no magic: their fields tell them apart. */
function messageKind(head: Uint8Array, size: number): FileKind | null {
  let fields = 0;
  let startsWithNumber = false;
  let startsWithInfo = false;
  for (const { number, bytes, whole } of fieldsOf(head, size)) {
    fields++;
    if (startsWithInfo)
      return number === 2 && bytes !== null && (beginsGraph(bytes) || bytes.length === 0)
        ? "meta-graph"
        : null;
    if (number === 1 && bytes === null) {
      startsWithNumber = true; // a version: SavedModel's or ONNX's
    } else if (startsWithNumber) {
      if (number === 2 && bytes !== null && find(bytes, 2) !== null) return "saved-model";
      if (number >= 7) return "onnx";
    } else if (number === 1 && bytes !== null) {
      if (isNode(bytes)) return "graph-def";
      if (!whole) return find(bytes, 2) === null ? null : "meta-graph"; // a MetaInfoDef longer than what is here
      startsWithInfo = true;
    } else if (number === 2 && bytes !== null)
      return beginsGraph(bytes) ? "meta-graph" : "graph-def"; // else a library of functions
    else if (number === 4 && bytes !== null && fields === 1)
      return "graph-def"; // versions alone: an empty graph
    else return null;
  }
  return null;
}
