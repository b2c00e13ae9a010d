/** @file Tensor: a concrete n-dimensional array. Start at `tensor()`; printing is in `numpy.ts`. */

import { DTYPES, type DType } from "./dtype.ts";
import { VarscopeError } from "./errors.ts";
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from "./half.ts";
import { formatShape, sizeOf } from "./shape.ts";

export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

/** Typed array of the storage type; int64 as bigint; string elements as bytes; complex as (re, im) pairs. */
export type TensorData = NumericArray | BigInt64Array | BigUint64Array | readonly Uint8Array[];

/** A value: dtype, static shape, row-major data. Treat as immutable. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** float16 and bfloat16 keep their bits (Uint16Array), bool is 0 or 1 (Uint8Array), complex has 2 numbers an element */
  readonly data: TensorData;
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int8: Int8Array,
  complex64: Float32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  qint8: Int8Array,
  quint8: Uint8Array,
  qint32: Int32Array,
  bfloat16: Uint16Array,
  qint16: Int16Array,
  quint16: Uint16Array,
  uint16: Uint16Array,
  complex128: Float64Array,
  float16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float8_e5m2: Uint8Array,
  float8_e4m3fn: Uint8Array,
  float8_e4m3fnuz: Uint8Array,
  float8_e4m3b11fnuz: Uint8Array,
  float8_e5m2fnuz: Uint8Array,
  int4: Int8Array,
  uint4: Uint8Array,
  int2: Int8Array,
  uint2: Uint8Array,
} as const;

const perElement = (dtype: DType): number => (DTYPES[dtype].kind === "complex" ? 2 : 1);

/** Zeroed storage for `size` elements of `dtype`; strings are empty. @throws VarscopeError INVALID_ARGUMENT - handles */
export function allocate(dtype: DType, size: number): TensorData {
  if (dtype === "string") return Array.from({ length: size }, () => new Uint8Array(0));
  const type = ARRAYS[dtype as keyof typeof ARRAYS];
  if (type === undefined)
    throw new VarscopeError("INVALID_ARGUMENT", `a ${dtype} tensor has no plain values`);
  return new type(size * perElement(dtype));
}

/** A tensor over existing data. @throws VarscopeError INVALID_ARGUMENT - data and shape disagree */
export function fromData(dtype: DType, shape: readonly number[], data: TensorData): Tensor {
  const want = sizeOf(shape) * perElement(dtype);
  if (data.length !== want) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `shape ${formatShape(shape)} wants ${want} values, data has ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

/** A tensor of zeros (false, empty strings). */
export const zeros = (dtype: DType, shape: readonly number[]): Tensor => ({
  dtype,
  shape,
  data: allocate(dtype, sizeOf(shape)),
});

/** One element: number, bigint for 64-bit integers, boolean, bytes for strings, [re, im] for complex. */
export type Element = number | bigint | boolean | Uint8Array | readonly [number, number];

/** Nested arrays of elements; strings are encoded as UTF-8. */
export type Nested = Element | string | readonly Nested[];

const ENCODER = new TextEncoder();

function shapeOfNested(value: Nested): number[] {
  const shape: number[] = [];
  for (let v = value; Array.isArray(v); v = v[0] as Nested) {
    shape.push(v.length);
    if (v.length === 0) break;
  }
  return shape;
}

function flatten(value: Nested, shape: readonly number[], depth: number, out: Nested[]): void {
  if (depth === shape.length) {
    if (Array.isArray(value))
      throw new VarscopeError("INVALID_ARGUMENT", `values are nested deeper than ${formatShape(shape)}`);
    out.push(value);
    return;
  }
  if (!Array.isArray(value) || value.length !== shape[depth]) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `values are ragged: axis ${depth} has ${Array.isArray(value) ? value.length : "a scalar"} where ${shape[depth]} were first`,
    );
  }
  for (const v of value) flatten(v as Nested, shape, depth + 1, out);
}

/** The dtype a JavaScript value has where none is said: float32, int64 for bigint, bool, string. */
export function naturalDType(value: unknown): DType {
  let v = value;
  while (Array.isArray(v) && v.length > 0) v = v[0];
  if (typeof v === "bigint") return "int64";
  if (typeof v === "boolean") return "bool";
  if (typeof v === "string" || v instanceof Uint8Array) return "string";
  return "float32";
}

/**
 * A tensor of nested arrays, or of flat values with a shape.
 *
 * @param dtype - by default float32, int64 for bigint, bool for booleans, string for strings
 * @param shape - by default the nesting; a flat list may take any shape of its size
 * @throws VarscopeError INVALID_ARGUMENT - ragged values, or a shape of another size
 */
export function tensor(
  values: Nested,
  dtype: DType = naturalDType(values),
  shape?: readonly number[],
): Tensor {
  const complexLeaf = DTYPES[dtype].kind === "complex";
  const nested = shapeOfNested(values);
  if (complexLeaf && nested.length > 0) nested.pop();
  const flat: Nested[] = [];
  if (complexLeaf) flattenComplex(values, nested.length, flat);
  else flatten(values, nested, 0, flat);
  const dims = shape ?? nested;
  if (flat.length !== sizeOf(dims)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `shape ${formatShape(dims)} wants ${sizeOf(dims)} values, ${flat.length} given`,
    );
  }
  const out = { dtype, shape: dims, data: allocate(dtype, flat.length) };
  for (const [i, v] of flat.entries())
    setElement(out, i, typeof v === "string" ? ENCODER.encode(v) : (v as Element));
  return out;
}

function flattenComplex(value: Nested, depth: number, out: Nested[]): void {
  if (depth === 0) out.push(Array.isArray(value) ? value : [Number(value), 0]);
  else for (const v of value as readonly Nested[]) flattenComplex(v, depth - 1, out);
}

/** Shape [] tensor of one element. */
export const scalar = (value: Element | string, dtype?: DType): Tensor =>
  tensor(value as Nested, dtype ?? naturalDType(value), []);

/** Element at a flat index, in JavaScript's terms (float16 as number, int64 as bigint). */
export function getElement(t: Tensor, index: number): Element {
  const { dtype, data } = t;
  const v = data[index]!;
  if (dtype === "float16") return halfToFloat(v as number);
  if (dtype === "bfloat16") return bfloat16ToFloat(v as number);
  if (dtype === "bool") return v !== 0;
  if (dtype in SMALL_BITS) return fromSmall(dtype, v as number);
  if (perElement(dtype) === 2) return [data[2 * index] as number, data[2 * index + 1] as number];
  return v as Element;
}

/** Sets an element of a tensor under construction; numbers are rounded or wrapped as the storage does. */
export function setElement(t: Tensor, index: number, value: Element): void {
  const { dtype } = t;
  const data = t.data as Record<number, unknown>;
  if (dtype === "string") data[index] = value;
  else if (dtype === "float16") data[index] = floatToHalf(Number(value));
  else if (dtype === "bfloat16") data[index] = floatToBfloat16(Number(value));
  else if (dtype === "int64" || dtype === "uint64") data[index] = toBigInt(value);
  else if (perElement(dtype) === 2) {
    const [re, im] = Array.isArray(value) ? value : [Number(value), 0];
    data[2 * index] = re;
    data[2 * index + 1] = im;
  } else if (dtype in SMALL_BITS) data[index] = Number(value) & (2 ** SMALL_BITS[dtype]! - 1);
  else data[index] = Number(value);
}

/** Bits of the dtypes that take a byte but not all of it; the upper bits are zero in files, also for negative numbers. */
const SMALL_BITS: Partial<Record<DType, number>> = { int4: 4, uint4: 4, int2: 2, uint2: 2 };

function fromSmall(dtype: DType, byte: number): number {
  const unused = 32 - SMALL_BITS[dtype]!;
  return DTYPES[dtype].kind === "int" ? (byte << unused) >> unused : (byte << unused) >>> unused;
}

const toBigInt = (value: Element): bigint =>
  typeof value === "bigint" ? value : BigInt(Math.trunc(Number(value)));

/** All elements as numbers: for small integer tensors (shapes, axes). int64 must be a safe integer. */
export function toNumbers(t: Tensor): number[] {
  return Array.from({ length: sizeOf(t.shape) }, (_, i) => {
    const n = Number(getElement(t, i));
    if (DTYPES[t.dtype].kind !== "float" && !Number.isSafeInteger(n)) {
      throw new VarscopeError("OUT_OF_RANGE", `${getElement(t, i)} is beyond 2^53`);
    }
    return n;
  });
}

/** The same data under another shape of the same size. */
export const reshaped = (t: Tensor, shape: readonly number[]): Tensor => fromData(t.dtype, shape, t.data);

/** The bytes of a fixed-size tensor, little-endian; a view, not a copy. @throws VarscopeError INVALID_ARGUMENT - strings */
export function bytesOf(t: Tensor): Uint8Array {
  if (!ArrayBuffer.isView(t.data))
    throw new VarscopeError("INVALID_ARGUMENT", `${t.dtype} has no fixed-size bytes`);
  return new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);
}

/** A tensor over little-endian bytes: a view where they are aligned, else a copy. */
export function fromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  const type = ARRAYS[dtype as keyof typeof ARRAYS];
  const want = sizeOf(shape) * DTYPES[dtype].bytes;
  if (type === undefined || bytes.byteLength !== want) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${dtype} ${formatShape(shape)} wants ${want} bytes, ${bytes.byteLength} given`,
    );
  }
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes); // a Buffer's slice() would not copy
  return {
    dtype,
    shape,
    data: new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, want / type.BYTES_PER_ELEMENT),
  };
}

/** Nested arrays of the elements. */
export function toNested(t: Tensor): Nested {
  let next = 0;
  const level = (axis: number): Nested =>
    axis === t.shape.length
      ? getElement(t, next++)
      : Array.from({ length: t.shape[axis]! }, () => level(axis + 1));
  return level(0);
}
