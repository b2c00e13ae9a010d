/**
 * @file Reading safetensors: a u64 length, that many bytes of JSON, then the values in one run without holes. Start at `openSafetensors`.
 *
 * @see github.com/huggingface/safetensors README.md "Format"; safetensors/src/tensor.rs
 */

import type { Source } from "#platform";
import { DTYPES, type DType, formatShape, VarscopeError } from "../../base/index.ts";
import {
  collectionOf,
  type Extras,
  needElements,
  rawVariable,
  type VariableCollection,
} from "../collection/index.ts";
import { placeOf } from "./dotted.ts";
import { isJsonObject, type Json, type JsonObject, readJson } from "./json.ts";

/** A longer header is refused, as by the library. @see tensor.rs MAX_HEADER_SIZE */
const MAX_HEADER_BYTES = 100_000_000;
export const METADATA = "__metadata__";

/** Dtypes in the order of the library's enum, by which it sorts what it writes. @see tensor.rs Dtype */
export const SAFETENSORS_DTYPES: Readonly<Record<string, DType>> = {
  BOOL: "bool",
  U8: "uint8",
  I8: "int8",
  F8_E5M2: "float8_e5m2",
  F8_E4M3: "float8_e4m3fn",
  F8_E4M3FNUZ: "float8_e4m3fnuz",
  F8_E5M2FNUZ: "float8_e5m2fnuz",
  I16: "int16",
  U16: "uint16",
  F16: "float16",
  BF16: "bfloat16",
  I32: "int32",
  U32: "uint32",
  F32: "float32",
  C64: "complex64",
  F64: "float64",
  I64: "int64",
  U64: "uint64",
};

interface Info {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/**
 * A safetensors file as a collection; `__metadata__` is in its extras.
 *
 * @throws VarscopeError DATA_LOSS - damaged, or against the specification; UNIMPLEMENTED - a dtype that is not read
 */
export async function openSafetensors(source: Source, path: string): Promise<VariableCollection> {
  const at = source.name;
  const { header, bytes } = await readHeader(source);
  const values = await source.size().then((size) => size - bytes);
  const infos = [...header]
    .filter(([name]) => name !== METADATA)
    .map(([name, info]) => readInfo(name, info, at));
  needOneRun(infos, values, at);
  const names = new Set(infos.map((info) => info.name));
  const variables = infos.map(({ name, dtype, shape, start }) =>
    rawVariable(
      { name, dtype, shape, ...placeOf(name, shape, (n) => names.has(n)) },
      { source, offset: bytes + start },
    ),
  );
  return collectionOf({
    path,
    format: "safetensors",
    variables,
    extras: extrasOf(header, at),
    close: () => source.close(),
  });
}

/** The header, and the bytes before the values. */
async function readHeader(source: Source): Promise<{ readonly header: JsonObject; readonly bytes: number }> {
  const bad = (what: string, at = 0): VarscopeError =>
    new VarscopeError("DATA_LOSS", what, {
      at: `${source.name}@${at}`,
      hint: "it is cut short or another file; take it from its origin again",
    });
  const size = await source.size();
  if (size < 8) throw bad(`the header's length needs 8 bytes, the file has ${size}`);
  const prefix = await source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES)
    throw bad(`a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are read`);
  if (8 + length > size) throw bad(`the header needs ${8 + length} bytes, the file has ${size}`);
  const bytes = await source.read(8, length);
  if (bytes[0] !== 0x7b) throw bad("the header does not begin with {", 8);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw bad("the header is not UTF-8", 8);
  }
  return { header: readJson(text, source.name, 8) as JsonObject, bytes: 8 + length };
}

function extrasOf(header: JsonObject, at: string): Extras {
  const metadata = header.get(METADATA);
  if (metadata === undefined) return {};
  if (!isJsonObject(metadata) || [...metadata.values()].some((value) => typeof value !== "string"))
    throw new VarscopeError("DATA_LOSS", `${METADATA} is no object of strings`, { at });
  return { metadata: Object.fromEntries(metadata as ReadonlyMap<string, string>) };
}

function readInfo(name: string, info: Json, file: string): Info {
  const at = `${file}:${name.slice(0, 200)}`;
  const bad = (what: string): VarscopeError => new VarscopeError("DATA_LOSS", what, { at });
  const fields = isJsonObject(info) ? info : new Map<string, Json>();
  const [dtypeName, shape, offsets] = ["dtype", "shape", "data_offsets"].map((key) => fields.get(key));
  if (typeof dtypeName !== "string" || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2)
    throw bad("its entry has no dtype, shape and data_offsets as they must be");
  const count = needElements(shape, at);
  if (!Object.hasOwn(SAFETENSORS_DTYPES, dtypeName)) {
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `dtype ${JSON.stringify(dtypeName.slice(0, 40))} has no counterpart here`,
      {
        at,
        hint: `known are ${Object.keys(SAFETENSORS_DTYPES).join(", ")}`,
      },
    );
  }
  const dtype = SAFETENSORS_DTYPES[dtypeName]!;
  const [start, end] = offsets as [number, number];
  const want = count * DTYPES[dtype].bytes;
  if (end - start !== want)
    throw bad(`${dtypeName} ${formatShape(shape)} takes ${want} bytes, data_offsets give it ${end - start}`);
  return { name, dtype, shape, start, end };
}

const isCounts = (value: Json | undefined): value is readonly number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));

/** The values of all tensors follow one another, from the header's end to the file's. */
function needOneRun(infos: readonly Info[], bytes: number, at: string): void {
  let reached = 0;
  for (const { name, start, end } of [...infos].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== reached) {
      const what = start < reached ? "overlap those before them" : "leave a hole before them";
      throw new VarscopeError(
        "DATA_LOSS",
        `its values begin at ${start} and ${what}, which end at ${reached}`,
        { at: `${at}:${name.slice(0, 200)}` },
      );
    }
    reached = end;
  }
  if (reached === bytes) return;
  throw new VarscopeError(
    "DATA_LOSS",
    `the values take ${reached} bytes, the file has ${bytes} after its header`,
    {
      at,
      hint: "it is cut short or another file; take it from its origin again",
    },
  );
}
