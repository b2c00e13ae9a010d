/**
 * @file TensorProto and TensorShapeProto, to and from values. Both ways of holding elements are read: raw
 * `tensor_content`, and typed lists whose last value repeats. What we write is what Python's
 * make_tensor_proto writes.
 *
 * @see TensorFlow core/framework/tensor.proto; python/framework/tensor_util.py "make_tensor_proto"
 */

import { create } from "@bufbuild/protobuf";
import {
  allocate,
  bytesOf,
  DTYPES,
  type DType,
  dtypeFromCode,
  fromBytes,
  isComplex,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { isFill } from "../../graph/index.ts";
import {
  type TensorProto,
  TensorProtoSchema,
  type TensorShapeProto,
  TensorShapeProtoSchema,
} from "../../proto/tensor.gen.ts";
import { readVarint } from "../../wire/index.ts";

/** @see TensorFlow core/framework/tensor_shape.h "MaxDimensions" */
const MAX_RANK = 254;
/**
 * What a file may make grow by naming a number (a short list that repeats its last value, outputs of a node),
 * in bytes.
 */
export const MAX_EXPANDED_BYTES = 2 ** 30;

/** Bytes that a file may still make grow. */
export interface Budget {
  left: number;
}

/** Dims of a TensorShapeProto; -1 is an unknown dim. @throws VarscopeError INVALID_ARGUMENT - no shape */
export function readShape(proto: TensorShapeProto | undefined, at: string): Shape | null {
  if (proto === undefined) return [];
  if (proto.unknownRank) {
    if (proto.dim.length > 0) fail("a shape of unknown rank has dimensions", at);
    return null;
  }
  if (proto.dim.length > MAX_RANK)
    fail(`shape has ${proto.dim.length} dimensions, at most ${MAX_RANK} are possible`, at);
  return proto.dim.map(({ size }) => {
    if (size < -1n || size > BigInt(Number.MAX_SAFE_INTEGER)) fail(`shape has dimension ${size}`, at);
    return size === -1n ? null : Number(size);
  });
}

/** TensorShapeProto of a shape; unknown dims are -1. */
export const writeShape = (shape: Shape | null): TensorShapeProto =>
  create(
    TensorShapeProtoSchema,
    shape === null ? { unknownRank: true } : { dim: shape.map((d) => ({ size: BigInt(d ?? -1) })) },
  );

type ListField =
  | "floatVal"
  | "doubleVal"
  | "intVal"
  | "scomplexVal"
  | "int64Val"
  | "boolVal"
  | "dcomplexVal"
  | "halfVal"
  | "uint32Val"
  | "uint64Val";

const LIST_FIELDS: Partial<Record<DType, ListField>> = {
  float32: "floatVal",
  float64: "doubleVal",
  complex64: "scomplexVal",
  complex128: "dcomplexVal",
  int64: "int64Val",
  bool: "boolVal",
  float16: "halfVal",
  bfloat16: "halfVal",
  uint32: "uint32Val",
  uint64: "uint64Val",
};

/** Dtypes whose tensors are never written as raw bytes. @see tensor_util.py "_TENSOR_CONTENT_TYPES" */
const LISTED: ReadonlySet<DType> = new Set([
  "bool",
  "uint16",
  "complex64",
  "complex128",
  "int4",
  "uint4",
  "int2",
  "uint2",
]);

const listField = (dtype: DType): ListField => LIST_FIELDS[dtype] ?? "intVal";

/**
 * The value of a TensorProto. Resources and variants have no plain values: their data is empty.
 *
 * @param at - node and attribute, for errors
 * @throws VarscopeError INVALID_ARGUMENT - shape unknown, or content of another size; RESOURCE_EXHAUSTED -
 *   grows beyond the budget
 */
export function readTensorProto(
  proto: TensorProto,
  at: string,
  budget: Budget = { left: MAX_EXPANDED_BYTES },
): Tensor {
  const dtype = dtypeFromCode(proto.dtype, at);
  const dims = readShape(proto.tensorShape, at);
  if (dims === null || dims.includes(null)) fail("tensor has a shape that is not fully known", at);
  const shape = dims as number[];
  const size = sizeOf(shape);
  if (!Number.isSafeInteger(size)) fail(`tensor has ${size} elements`, at);
  if (DTYPES[dtype].kind === "other") return { dtype, shape, data: [] };
  if (dtype === "string") return readStrings(proto, shape, size, at, budget);
  if (proto.tensorContent.length > 0) return readContent(proto, dtype, shape, at);
  return readList(proto, dtype, shape, size, at, budget);
}

function readContent(proto: TensorProto, dtype: DType, shape: number[], at: string): Tensor {
  const want = sizeOf(shape) * DTYPES[dtype].bytes;
  const found = proto.tensorContent.length;
  if (found !== want)
    fail(`tensor_content has ${found} bytes, ${dtype} [${shape.join(",")}] needs ${want}`, at);
  return fromBytes(dtype, shape, proto.tensorContent);
}

function spend(budget: Budget, bytes: number, at: string): void {
  spendOn(budget, bytes, "a tensor written as a short list that repeats its last value", at);
}

/** Takes `bytes` for what a file only names. @throws VarscopeError RESOURCE_EXHAUSTED - nothing is left */
export function spendOn(budget: Budget, bytes: number, what: string, at: string): void {
  budget.left -= bytes;
  if (budget.left >= 0) return;
  throw new VarscopeError("RESOURCE_EXHAUSTED", `${what} takes ${bytes} bytes`, {
    at,
    hint: `what one file makes grow may take ${MAX_EXPANDED_BYTES} bytes in all`,
  });
}

function readStrings(proto: TensorProto, shape: number[], size: number, at: string, budget: Budget): Tensor {
  if (proto.tensorContent.length > 0)
    return { dtype: "string", shape, data: readStringContent(proto.tensorContent, size, at) };
  const values = proto.stringVal;
  if (values.length > size)
    fail(`string_val has ${values.length} values, shape [${shape.join(",")}] has ${size}`, at);
  const bytesPerReference = 8;
  spend(budget, (size - values.length) * bytesPerReference, at);
  const last = values.at(-1) ?? new Uint8Array(0);
  return { dtype: "string", shape, data: Array.from({ length: size }, (_, i) => values[i] ?? last) };
}

/**
 * Strings as a server sends them: their lengths as varints, then their bytes.
 *
 * @see TensorFlow core/platform/tstring_coding "DecodeStringList"
 */
function readStringContent(content: Uint8Array, size: number, at: string): Uint8Array[] {
  if (size > content.length)
    fail(`tensor_content has ${content.length} bytes, too few for ${size} strings`, at);
  let from = 0;
  const lengths = Array.from({ length: size }, () => {
    const { value, next } = readVarint(content, from, content.length, at);
    from = next;
    return value;
  });
  const want = lengths.reduce((a, b) => a + b, from);
  if (want !== content.length)
    fail(`tensor_content has ${content.length} bytes, its strings need ${want}`, at);
  return lengths.map((length) => {
    from += length;
    return content.subarray(from - length, from);
  });
}

function readList(
  proto: TensorProto,
  dtype: DType,
  shape: number[],
  size: number,
  at: string,
  budget: Budget,
): Tensor {
  const parts = isComplex(dtype) ? 2 : 1;
  const values = dtype.startsWith("float8") ? proto.float8Val : proto[listField(dtype)];
  const count = values.length / parts;
  if (count > size || !Number.isInteger(count)) {
    fail(
      `the list of values has ${values.length} numbers, ${dtype} [${shape.join(",")}] has ${size * parts}`,
      at,
    );
  }
  spend(budget, (size - count) * DTYPES[dtype].bytes, at);
  const data = allocate(dtype, size) as Record<number, unknown>;
  for (let i = 0; i < values.length; i++)
    data[i] = typeof values[i] === "boolean" ? Number(values[i]) : values[i];
  if (count > 0 && count < size) repeatLast(data, values.length, size * parts, parts);
  return { dtype, shape, data: data as never };
}

function repeatLast(data: Record<number, unknown>, from: number, to: number, parts: number): void {
  if (parts === 1) (data as unknown as Float32Array).fill(data[from - 1] as never, from, to);
  else for (let i = from; i < to; i++) data[i] = data[i - parts];
}

/**
 * TensorProto of a value: raw bytes for more than one element of most dtypes, else a typed list. A value that
 * was given once for a whole shape is written once.
 */
export function writeTensorProto(t: Tensor): TensorProto {
  const proto = create(TensorProtoSchema, { dtype: DTYPES[t.dtype].code, tensorShape: writeShape(t.shape) });
  const size = sizeOf(t.shape);
  if (DTYPES[t.dtype].kind === "other") {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `a ${t.dtype} tensor has no plain values and cannot be written`,
    );
  }
  const count = isFill(t) ? Math.min(size, 1) : size;
  if (t.dtype === "string") proto.stringVal = (t.data as readonly Uint8Array[]).slice(0, count);
  else if (count > 1 && !LISTED.has(t.dtype)) proto.tensorContent = bytesOf(t);
  else writeList(proto, t, count);
  return proto;
}

function writeList(proto: TensorProto, t: Tensor, count: number): void {
  const parts = isComplex(t.dtype) ? 2 : 1;
  const values = Array.from(t.data.slice(0, count * parts) as ArrayLike<number>);
  if (t.dtype.startsWith("float8")) proto.float8Val = Uint8Array.from(values);
  else if (t.dtype === "bool") proto.boolVal = values.map((v) => v !== 0);
  else (proto[listField(t.dtype)] as unknown[]) = values;
}

function fail(what: string, at: string): never {
  throw new VarscopeError("INVALID_ARGUMENT", what, { at });
}
