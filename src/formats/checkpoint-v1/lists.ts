/**
 * @file Values as a V1 checkpoint holds them: the packed lists of a TensorProto, both ways. Start at `listOf`.
 *
 * @see TensorFlow core/util/saved_tensor_slice_util.h
 */

import { bytesOf, DTYPES, type DType, type Tensor, type TensorData } from "../../base/index.ts";
import { pushVarint } from "../../wire/index.ts";

/** How the values of a dtype stand in a TensorProto. */
export interface List {
  /** number of the field */
  readonly field: number;
  /** "fixed": as in memory; "varint": 1 to 10 bytes each; "string": a field each */
  readonly kind: "fixed" | "varint" | "string";
}

const fixed = (field: number): List => ({ field, kind: "fixed" });
const varint = (field: number): List => ({ field, kind: "varint" });

/** @see TensorFlow core/framework/tensor.proto */
const LISTS: Partial<Record<DType, List>> = {
  float32: fixed(5),
  float64: fixed(6),
  string: { field: 8, kind: "string" },
  complex64: fixed(9),
  int64: varint(10),
  bool: varint(11),
  complex128: fixed(12),
  float16: varint(13),
  bfloat16: varint(13),
  uint32: varint(16),
  uint64: varint(17),
  float8_e5m2: fixed(18),
  float8_e4m3fn: fixed(18),
  float8_e4m3fnuz: fixed(18),
  float8_e4m3b11fnuz: fixed(18),
  float8_e5m2fnuz: fixed(18),
};

/** The list of a dtype; smaller integers and the quantized ones share one. */
export const listOf = (dtype: DType): List => LISTS[dtype] ?? varint(7);

/** Fewest bytes that a value takes. */
export const leastBytes = (dtype: DType): number =>
  ({ fixed: DTYPES[dtype].bytes, varint: 1, string: 2 })[listOf(dtype).kind];

/** Elements under construction. */
export interface Filling {
  readonly data: TensorData;
  /** units so far: of fixed lists bytes, else elements */
  filled: number;
  readonly size: number;
}

/** Takes a list's bytes, in whatever chunks they come. */
export interface ListReader {
  /** Fills `target` from `chunk`, from byte `from` on. @returns the byte after those that were taken */
  take(chunk: Uint8Array, from: number, target: Filling): number;
  /** whether the last value has begun and not ended */
  isInside(): boolean;
}

/** Values that stand as in memory. */
export const fixedReader: ListReader = {
  take: (chunk, from, target) => {
    const { buffer, byteOffset, byteLength } = target.data as Uint8Array;
    const part = chunk.subarray(from, from + byteLength - target.filled);
    new Uint8Array(buffer, byteOffset, byteLength).set(part, target.filled);
    target.filled += part.length;
    return from + part.length;
  },
  isInside: () => false,
};

/** Two halves for each element of 64 bits; undefined for smaller ones. */
const wordsOf = (data: TensorData): Uint32Array | undefined =>
  data instanceof BigInt64Array || data instanceof BigUint64Array
    ? new Uint32Array(data.buffer, data.byteOffset, 2 * data.length)
    : undefined;

/** Values as varints; each keeps as many low bits as its dtype has. @param tooLong - makes the error for one of over 10 bytes */
export function varintReader(dtype: DType, tooLong: () => Error): ListReader {
  let [low, high, shift] = [0, 0, 0];
  return {
    take(chunk, from, target) {
      const words = wordsOf(target.data);
      const small = target.data as Int32Array;
      let at = from;
      while (at < chunk.length && target.filled < target.size) {
        const byte = chunk[at++]!;
        if (shift > 63) throw tooLong();
        if (shift < 32) low |= (byte & 0x7f) << shift;
        if (shift === 28) high = (byte & 0x7f) >>> 4;
        else if (shift > 28) high |= (byte & 0x7f) << (shift - 32);
        shift += 7;
        if (byte >= 0x80) continue;
        if (words !== undefined) {
          words[2 * target.filled] = low;
          words[2 * target.filled + 1] = high;
        } else small[target.filled] = dtype === "bool" ? Number((low | high) !== 0) : low;
        target.filled++;
        low = high = shift = 0;
      }
      return at;
    },
    isInside: () => shift > 0,
  };
}

/** The bytes of values in their list; of strings, fields with their tags. */
export function packValues({ dtype, data }: Tensor): Uint8Array {
  const { kind, field } = listOf(dtype);
  if (kind === "fixed") return bytesOf({ dtype, shape: [], data });
  if (kind === "varint") return packVarints(data);
  const parts = (data as readonly Uint8Array[]).flatMap((text) => {
    const head = [8 * field + 2];
    pushVarint(head, text.length);
    return [Uint8Array.from(head), text];
  });
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function packVarints(data: TensorData): Uint8Array {
  const words = wordsOf(data);
  const small = data as Int32Array;
  const out = new Uint8Array(10 * data.length);
  let at = 0;
  for (let i = 0; i < data.length; i++) {
    const value = words === undefined ? small[i]! : 0;
    let low = words === undefined ? value >>> 0 : words[2 * i]!;
    let high = words === undefined ? (value < 0 ? 0xffffffff : 0) : words[2 * i + 1]!; // negative ones have 64 bits
    while (high !== 0 || low > 0x7f) {
      out[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    out[at++] = low;
  }
  return out.subarray(0, at);
}
