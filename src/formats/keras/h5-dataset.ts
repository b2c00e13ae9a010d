/**
 * @file Datasets of HDF5 as variables: dtype, checked shape, values by slices. Plain values are read past the library, straight
 * from the source. Start at `h5Variable`.
 */

import {
  allocate,
  type Box,
  copyRegion,
  DTYPES,
  type DType,
  formatShape,
  fromBytes,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import {
  allocated,
  needElements,
  needRunning,
  type ReadOptions,
  rawVariable,
  rowBoxes,
  type StoredVariable,
} from "../collection/index.ts";
import type { H5Dataset, H5File } from "./h5-file.ts";
import type { H5Metadata, H5Type } from "./hdf5.ts";

/** Classes of types. @see HDF5 src/H5Tpublic.h H5T_class_t */
const INTEGER = 0;
const FLOAT = 1;
const STRING = 3;
const OPAQUE = 5;
const COMPOUND = 6;
const ENUM = 8;

const INTEGERS: Readonly<Record<number, readonly [unsigned: DType, signed: DType]>> = {
  1: ["uint8", "int8"],
  2: ["uint16", "int16"],
  4: ["uint32", "int32"],
  8: ["uint64", "int64"],
};
const FLOATS: Readonly<Record<number, DType>> = { 2: "float16", 4: "float32", 8: "float64" };

/** The dtype that numpy sees; undefined where it is none of ours. */
function dtypeOf({ type, size, signed, enum_type, compound_type }: H5Type): DType | undefined {
  if (type === INTEGER) return INTEGERS[size]?.[signed ? 1 : 0];
  if (type === FLOAT) return FLOATS[size];
  if (type === STRING) return "string";
  if (type === ENUM) {
    const names = Object.keys(enum_type?.members ?? {});
    return size === 1 && names.includes("TRUE") && names.includes("FALSE") ? "bool" : undefined;
  }
  const [re, im] = compound_type?.members ?? [];
  if (type !== COMPOUND || compound_type?.members.length !== 2 || re?.type !== FLOAT || im?.type !== FLOAT)
    return undefined;
  if (re.size !== im.size || re.offset !== 0 || im.offset !== re.size || size !== 2 * re.size)
    return undefined;
  return ({ 4: "complex64", 8: "complex128" } as const)[re.size];
}

/** Filters that the library has: deflate, shuffle, fletcher32, nbit, scale-offset. */
const FILTERS = new Set([1, 2, 3, 5, 6]);
/** The most that deflate makes of a byte. */
const DEFLATE_RATIO = 1032;
/** Values of one chunk, unpacked. */
const CHUNK_BYTES = 256 << 20;
/** Values this small are read through the library: where they lie need not be found out. */
const SMALL_BYTES = 64 << 10;
/** Bytes that are read at once. */
const PIECE_BYTES = 4 << 20;

/**
 * A dataset as a variable.
 *
 * @param facts - name, role and the like
 * @throws VarscopeError UNIMPLEMENTED - a type or filter that is not read; DATA_LOSS - a shape beyond the file
 */
export async function h5Variable(
  file: H5File,
  path: string,
  facts: Omit<StoredVariable, "dtype" | "shape" | "bytes" | "read" | "readBox" | "stream">,
): Promise<StoredVariable> {
  const at = `${file.source.name}:${path.slice(1)}`;
  const dataset = await file.dataset(path);
  const { metadata } = dataset;
  const dtype = metadata.type === OPAQUE ? await opaqueDtype(file, path, metadata) : dtypeOf(metadata);
  if (dtype === undefined)
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `a type of class ${metadata.type} and ${metadata.size} bytes, which is no dtype`,
      { at, hint: "remove this dataset from a copy of the file" },
    );
  needReadable(dataset, file.size, at);
  const shape = metadata.shape ?? [0];
  if (dtype === "string") return stringVariable(file, path, metadata, { ...facts, dtype, shape });
  const known = { ...facts, dtype, shape };
  const bytes = sizeOf(shape) * DTYPES[dtype].bytes;
  const through = libraryVariable(file, path, dataset, known, bytes);
  const isPlain = metadata.chunks === null && bytes > SMALL_BYTES && isLittleEndian(metadata);
  return isPlain ? rawWhereFound(file, path, known, bytes, through) : through;
}

const isLittleEndian = ({ type, size, littleEndian, compound_type }: H5Type): boolean =>
  size === 1 ||
  type === OPAQUE ||
  (type === COMPOUND ? (compound_type?.members ?? []).every(isLittleEndian) : littleEndian);

/** Keras marks bfloat16, which HDF5 does not know, by an attribute. @see keras/src/saving/saving_lib.py H5IOStore */
async function opaqueDtype(file: H5File, path: string, { size }: H5Metadata): Promise<DType | undefined> {
  const names = await file.attributeNames(path);
  const said = names.includes("dtype") ? await file.text(path, "dtype") : undefined;
  return size === 2 && said === "bfloat16" ? "bfloat16" : undefined;
}

/** Refuses what leads out of the file, unknown filters and shapes that the file cannot hold. */
function needReadable({ metadata, filters }: H5Dataset, fileBytes: number, at: string): void {
  const { chunks, shape, size, virtual_sources } = metadata;
  if (virtual_sources !== undefined) {
    const from = virtual_sources[0]?.file_name ?? "";
    throw new VarscopeError(
      "PERMISSION_DENIED",
      `its values are those of other files, ${JSON.stringify(from)}`,
      {
        at,
        hint: "copy them into one file (h5py, h5repack)",
      },
    );
  }
  const filter = filters.find((f) => !FILTERS.has(f));
  if (filter !== undefined)
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `its values are packed by filter ${filter}, which is not known`,
      {
        at,
        hint: "pack them with gzip (h5repack -f GZIP=4)",
      },
    );
  const bytes = needElements(shape ?? [0], at) * size;
  const most = chunks === null ? fileBytes : fileBytes * (filters.length > 0 ? DEFLATE_RATIO : 1);
  // A chunk at the edge is stored whole, so a chunked dataset may be smaller than its file, never larger than its chunks.
  if (bytes > most)
    throw new VarscopeError(
      "DATA_LOSS",
      `shape ${formatShape(shape)} needs ${bytes} bytes, the file has ${fileBytes}`,
      { at, hint: "the file is cut short or made to mislead; take it from its origin again" },
    );
  const chunkBytes = (chunks ?? []).reduce((a, b) => a * b, size);
  if (chunks !== null && chunkBytes > CHUNK_BYTES)
    throw new VarscopeError(
      "RESOURCE_EXHAUSTED",
      `chunks of ${chunkBytes} bytes; at most ${CHUNK_BYTES} are read`,
      { at, hint: "write it in smaller chunks (h5repack -l CHUNK)" },
    );
}

type Known = Omit<StoredVariable, "bytes" | "read" | "readBox" | "stream" | "shape"> & {
  readonly shape: readonly number[];
};

/** A variable read through the library, a piece at a time. */
function libraryVariable(
  file: H5File,
  path: string,
  { metadata }: H5Dataset,
  known: Known,
  bytes: number,
): StoredVariable & Required<Pick<StoredVariable, "readBox">> {
  const { dtype, shape, name } = known;
  const piece = async (box: Box): Promise<Tensor> => {
    const size = sizeOf(box.size);
    if (size === 0) return { dtype, shape: box.size, data: allocate(dtype, 0) };
    const h5Box = shape.length === 0 ? null : box;
    return fromBytes(dtype, box.size, await file.bytes(path, size * DTYPES[dtype].bytes, h5Box));
  };
  const readBox = async (box: Box, { signal }: ReadOptions): Promise<Tensor> => {
    needRunning(signal, name);
    if (sizeOf(box.size) * DTYPES[dtype].bytes <= PIECE_BYTES) return piece(box);
    const out = { dtype, shape: box.size, data: allocated(dtype, sizeOf(box.size), name) };
    for (const part of pieces(box.size, metadata)) {
      needRunning(signal, name);
      const from = { start: part.start.map((n, i) => n + box.start[i]!), size: part.size };
      const values = (await piece(from)).data;
      copyRegion(values, part, out.data, wholeBox(box.size), part, DTYPES[dtype].kind === "complex" ? 2 : 1);
    }
    return out;
  };
  return {
    ...known,
    bytes,
    read: (options) => readBox(wholeBox(shape), options),
    readBox,
    async *stream(options) {
      for (const box of pieces(shape, metadata)) {
        needRunning(options.signal, name);
        yield { ...(await piece(box)), shape: [sizeOf(box.size)] };
      }
    },
  };
}

/** Row-major pieces of a shape: where there are chunks, whole rows of chunks, so that each is unpacked once. */
function* pieces(shape: readonly number[], { chunks, size }: H5Metadata): Generator<Box> {
  const rows = chunks?.[0] ?? 0;
  const rowBytes = size * sizeOf(shape.slice(1));
  if (rows === 0 || rows * rowBytes > 16 * PIECE_BYTES || rowBytes === 0) {
    yield* rowBoxes(shape, size, PIECE_BYTES);
    return;
  }
  const step = rows * Math.max(1, Math.floor(PIECE_BYTES / (rows * rowBytes)));
  const rest = shape.slice(1);
  for (let row = 0; row < shape[0]!; row += step)
    yield {
      start: [row, ...rest.map(() => 0)],
      size: [Math.min(step, shape[0]! - row), ...rest],
    };
}

/**
 * A variable that is read straight from the source once it is known where its values lie: the library does not tell, but the
 * place of its reads of the first and of the last value shows it, and the values there must be the same.
 */
function rawWhereFound(
  file: H5File,
  path: string,
  known: Known,
  bytes: number,
  through: StoredVariable & Required<Pick<StoredVariable, "readBox">>,
): StoredVariable {
  let found: Promise<StoredVariable> | undefined;
  const place = async (): Promise<StoredVariable> => {
    const offset = await offsetOf(file, path, known, bytes);
    return offset === undefined ? through : rawVariable(known, { source: file.source, offset });
  };
  const get = (): Promise<StoredVariable> => {
    found ??= place();
    return found;
  };
  return {
    ...known,
    bytes,
    read: async (options) => (await get()).read(options),
    readBox: async (box, options) => ((await get()).readBox ?? through.readBox)(box, options),
    async *stream(options) {
      yield* (await get()).stream!(options);
    },
  };
}

async function offsetOf(
  file: H5File,
  path: string,
  known: Known,
  bytes: number,
): Promise<number | undefined> {
  const { shape, dtype } = known;
  const width = DTYPES[dtype].bytes;
  const one = { start: shape.map(() => 0), size: shape.map(() => 1) };
  const last = { start: shape.map((n) => n - 1), size: one.size };
  const begin = (await file.lastRead(path, width, one))?.offset;
  const end = (await file.lastRead(path, width, last))?.offset;
  if (begin === undefined || end === undefined || end - begin !== bytes - width) return undefined;
  if (end + width > file.size) return undefined;
  for (const [box, offset] of [
    [one, begin],
    [last, end],
  ] as const) {
    const seen = await file.source.read(offset, width);
    const said = await file.bytes(path, width, box);
    if (seen.some((b, i) => b !== said[i])) return undefined;
  }
  return begin;
}

function stringVariable(file: H5File, path: string, metadata: H5Metadata, known: Known): StoredVariable {
  const values = async (box: Box | null, { signal }: ReadOptions): Promise<Tensor> => {
    needRunning(signal, known.name);
    const shape = box?.size ?? known.shape;
    if (sizeOf(shape) === 0) return { dtype: "string", shape, data: [] };
    const data = await file.stringValues(path, metadata, known.shape.length === 0 ? null : box);
    return { dtype: "string", shape, data };
  };
  return {
    ...known,
    bytes: sizeOf(known.shape) * metadata.size,
    read: (options) => values(known.shape.length === 0 ? null : wholeBox(known.shape), options),
    readBox: values,
  };
}
