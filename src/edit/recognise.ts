/**
 * @file What a file is, by its bytes and not its name. Start at `recognise`.
 *
 * @see TensorFlow core/framework/graph.proto, core/protobuf/{meta_graph,saved_model}.proto; onnx.proto; the magic numbers below
 */

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Format } from "../formats/collection/index.ts";

/** What a single file is: a container, in binary or as text; a table (an index, or a V1 checkpoint); a state file; one array. */
export type FileKind = Format | "graph-def-text" | "meta-graph-text" | "table" | "state" | "npy" | "hdf5";

const startsWith = (bytes: Uint8Array, ...wanted: number[]): boolean =>
  wanted.every((b, i) => bytes[i] === b);

/** Last 8 bytes of every LevelDB table. @see LevelDB table/format.h kTableMagicNumber */
const TABLE_MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];

/** What the bytes of a whole file are; null where they are nothing that is known here. */
export function recognise(bytes: Uint8Array): FileKind | null {
  if (bytes.length === 0) return null;
  if (bytes.length >= 48 && startsWith(bytes.subarray(-8), ...TABLE_MAGIC)) return "table";
  if (startsWith(bytes, 0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) return "npy"; // \x93NUMPY
  if (startsWith(bytes, 0x89, 0x48, 0x44, 0x46)) return "hdf5"; // \x89HDF
  if (startsWith(bytes, 0x50, 0x4b, 0x03, 0x04)) return zipKind(bytes);
  if (startsWith(bytes.subarray(4), 0x54, 0x46, 0x4c, 0x33)) return "tflite"; // flatbuffer's identifier TFL3
  if (isSafetensors(bytes)) return "safetensors";
  return textKind(bytes) ?? messageKind(bytes);
}

/** An archive by its members' names, which stand in its central directory at the end. */
function zipKind(bytes: Uint8Array): FileKind | null {
  const tail = new TextDecoder("latin1").decode(bytes.subarray(-65_536));
  if (tail.includes("model.weights.h5")) return "keras-v3";
  return tail.includes(".npy") ? "npz" : null;
}

/** A u64 length, then that many bytes of JSON. */
function isSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length < 10 || bytes[8] !== 0x7b) return false;
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  return length <= BigInt(bytes.length - 8);
}

function textKind(bytes: Uint8Array): FileKind | null {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  const text = head.replace(/^(\s|#[^\n]*\n)+/, "");
  if (/^(model_checkpoint_path|all_model_checkpoint_paths)\s*:/.test(text)) return "state";
  if (/^(meta_info_def|graph_def|saver_def|collection_def|signature_def)\s*[{<]/.test(text))
    return "meta-graph-text";
  if (/^(node|versions|library)\s*[{<]/.test(text) || /^version\s*:/.test(text)) return "graph-def-text";
  return null;
}

interface Field {
  readonly number: number;
  readonly type: WireType;
  /** of a field with a length */
  readonly bytes: Uint8Array | null;
}

/** Fields of a message in order; stops at the first that is no field. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    try {
      const [number, type] = reader.tag();
      const start = reader.pos;
      if (type === WireType.LengthDelimited) yield { number, type, bytes: reader.bytes() };
      else {
        reader.skip(type, number);
        if (reader.pos <= start) return;
        yield { number, type, bytes: null };
      }
    } catch {
      yield { number: 0, type: WireType.Varint, bytes: null }; // damaged from here on
      return;
    }
  }
}

const find = (bytes: Uint8Array, number: number): Uint8Array | null => {
  for (const field of fieldsOf(bytes)) if (field.number === number) return field.bytes;
  return null;
};

/** Whether this is a NodeDef: its second field is an op type, a word. */
function isNode(bytes: Uint8Array): boolean {
  const op = find(bytes, 2);
  return op !== null && /^[A-Z_][A-Za-z0-9_>.]*$/.test(new TextDecoder("latin1").decode(op));
}

/** GraphDef, MetaGraphDef, SavedModel and ONNX's ModelProto have no magic: their fields tell them apart. */
function messageKind(bytes: Uint8Array): FileKind | null {
  let fields = 0;
  let startsWithNumber = false;
  for (const { number, type, bytes: inner } of fieldsOf(bytes)) {
    fields++;
    if (number === 1 && type === WireType.Varint)
      startsWithNumber = true; // a version: SavedModel's or ONNX's
    else if (startsWithNumber) {
      if (number === 2 && inner !== null && find(inner, 2) !== null) return "saved-model";
      if (number >= 7) return "onnx";
    } else if (number === 1 && inner !== null) return isNode(inner) ? "graph-def" : metaOrNull(bytes);
    else if (number === 2 && inner !== null) {
      const first = find(inner, 1);
      return first !== null && isNode(first) ? "meta-graph" : "graph-def"; // else a library of functions
    } else if (number === 4 && inner !== null && fields === 1)
      return "graph-def"; // versions alone: an empty graph
    else return null;
  }
  return null;
}

/** What begins with a message that is no node: a MetaInfoDef, if a graph follows. */
function metaOrNull(bytes: Uint8Array): FileKind | null {
  const graph = find(bytes, 2);
  const first = graph === null ? null : find(graph, 1);
  return first !== null && isNode(first) ? "meta-graph" : null;
}
