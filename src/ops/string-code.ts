/**
 * @file Strings that stand for bytes of something else: base64, and the memory of numbers.
 *
 * @see TensorFlow core/ops/string_ops.cc "EncodeBase64", parsing_ops.cc "DecodeRaw"; core/platform/base64.cc, core/kernels/decode_raw_op.cc,
 * decode_padded_raw_op.cc
 */

import {
  DTYPES,
  type DType,
  dtypeCppName,
  fromBytes,
  joinBytes,
  type Tensor,
  toNumbers,
} from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import { bytesIn, invalid, mapBytes, needRank, onText, sameShape, stopped } from "./host-facts.ts";
import { COMPLEX, FLOATS, INTS } from "./signatures.ts";

/** Safe in addresses of the web. @see RFC 4648, section 5 */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function toBase64(bytes: Uint8Array, pad: boolean): Uint8Array {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const word = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const letters = [18, 12, 6, 0].map((shift) => LETTERS[(word >> shift) & 63]).join("");
    const used = Math.min(3, bytes.length - at) + 1;
    text += letters.slice(0, used) + (pad ? "=".repeat(4 - used) : "");
  }
  return new TextEncoder().encode(text);
}

function fromBase64(text: Uint8Array): Uint8Array {
  let size = text.length;
  if (size % 4 === 0) while (size > text.length - 2 && text[size - 1] === 0x3d) size--;
  if (size % 4 === 1) throw invalid("Base64 string length cannot be 1 modulo 4.");
  const out = new Uint8Array(Math.floor((size * 3) / 4));
  let [word, bits, at] = [0, 0, 0];
  for (let i = 0; i < size; i++) {
    const value = LETTERS.indexOf(String.fromCharCode(text[i]!));
    if (value < 0) throw invalid("Invalid character found in base64.");
    word = ((word << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[at++] = (word >> bits) & 0xff;
  }
  return out;
}

/** base64 as the web writes it; `pad`: with = at the end. */
export const EncodeBase64 = defineOp("EncodeBase64", {
  ...stopped,
  inputs: { input: "string" },
  outputs: { output: "string" },
  attrs: { pad: attr.bool({ default: false }) },
  infer: sameShape,
  host: ({ input }, { pad }) => [mapBytes(input, (bytes) => toBase64(bytes, pad))],
});

/** Bytes of base64, with = at the end or without. */
export const DecodeBase64 = defineOp("DecodeBase64", {
  ...stopped,
  inputs: { input: "string" },
  outputs: { output: "string" },
  infer: sameShape,
  host: ({ input }) => [mapBytes(input, fromBase64)],
});

/** Bytes of numbers in the order of this machine. */
function ordered(bytes: Uint8Array, dtype: DType, little: boolean): Uint8Array {
  const { bytes: size, kind } = DTYPES[dtype];
  const part = kind === "complex" ? size / 2 : size;
  if (little || part === 1) return bytes;
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += part) out.set(bytes.slice(at, at + part).reverse(), at);
  return out;
}

function numbersOf(
  rows: readonly Uint8Array[],
  shape: readonly number[],
  dtype: DType,
  little: boolean,
): Tensor {
  const out = fromBytes(dtype, shape, ordered(joinBytes(rows), dtype, little));
  if (dtype !== "bool") return out;
  return { ...out, data: (out.data as Uint8Array).map((b) => Number(b !== 0)) };
}

const RAW = [...FLOATS, ...INTS, "uint8", "uint16"] as const;

/** Numbers in the bytes of strings, all of one length: one more axis. */
export const DecodeRaw = defineOp("DecodeRaw", {
  ...stopped,
  inputs: { bytes: "string" },
  outputs: { output: "out_type" },
  attrs: {
    out_type: attr.type(...RAW, ...COMPLEX, "bool"),
    little_endian: attr.bool({ default: true }),
  },
  infer: ({ bytes }) => [{ shape: bytes.shape === null ? null : [...bytes.shape, null] }],
  host: ({ bytes }, { out_type, little_endian }) => {
    const rows = bytesIn(bytes);
    const [length, size] = [rows[0]?.length ?? 0, DTYPES[out_type].bytes];
    const other = rows.findIndex((row) => row.length !== length);
    if (other >= 0) {
      throw invalid(
        `DecodeRaw requires input strings to all be the same size, but element ${other} has size ${length} != ${rows[other]!.length}`,
      );
    }
    if (length % size !== 0)
      throw invalid(
        `Input to DecodeRaw has length ${length} that is not a multiple of ${size}, the size of ${dtypeCppName(out_type)}`,
      );
    return [numbersOf(rows, [...bytes.shape, length / size], out_type, little_endian)];
  },
});

/** Numbers in the first `fixed_length` bytes of strings; those that are missing are 0. */
export const DecodePaddedRaw = defineOp("DecodePaddedRaw", {
  ...onText,
  grad: stopped.grad,
  inputs: { input_bytes: "string", fixed_length: "int32" },
  outputs: { output: "out_type" },
  attrs: {
    out_type: attr.type(...RAW),
    little_endian: attr.bool({ default: true }),
  },
  infer: ({ input_bytes, fixed_length }, { out_type }) => {
    needRank(fixed_length, 0);
    if (input_bytes.shape === null) return [{ shape: null }];
    const length = fixed_length.value === null ? null : toNumbers(fixed_length.value)[0]!;
    if (length !== null) needMultiple(length, out_type);
    return [{ shape: [...input_bytes.shape, length === null ? null : length / DTYPES[out_type].bytes] }];
  },
  host: ({ input_bytes, fixed_length }, { out_type, little_endian }) => {
    const length = toNumbers(fixed_length)[0]!;
    needMultiple(length, out_type);
    const rows = bytesIn(input_bytes).map((bytes) => {
      const row = new Uint8Array(length);
      row.set(bytes.subarray(0, length));
      return row;
    });
    return [
      numbersOf(rows, [...input_bytes.shape, length / DTYPES[out_type].bytes], out_type, little_endian),
    ];
  },
});

function needMultiple(length: number, dtype: DType): void {
  const size = DTYPES[dtype].bytes;
  if (length <= 0) throw invalid(`fixed_length (${length}) must be greater than zero.`);
  if (length % size !== 0)
    throw invalid(`fixed_length (${length}) must be a multiple of the size of out_type (${size})`);
}

/** base64 as the web writes it: string, any shape. Named "EncodeBase64". */
export const encodeBase64 = (
  input: Output,
  { pad = false }: { readonly pad?: boolean } = {},
  name = "EncodeBase64",
): Output => input.graph.add(EncodeBase64, [input], { name, attrs: { pad } });

/** Bytes of base64: string, any shape. Named "DecodeBase64". */
export const decodeBase64 = (input: Output, name = "DecodeBase64"): Output =>
  input.graph.add(DecodeBase64, [input], { name });

/** Numbers in the bytes of strings of one length: `outType`, one axis more. Named "DecodeRaw". */
export const decodeRaw = (
  bytes: Output,
  outType: DType,
  { littleEndian = true }: { readonly littleEndian?: boolean } = {},
  name = "DecodeRaw",
): Output =>
  bytes.graph.add(DecodeRaw, [bytes], { name, attrs: { out_type: outType, little_endian: littleEndian } });
