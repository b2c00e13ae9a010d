/**
 * @file Types, extents and attributes as HDF5 encodes them in object headers. Start at `typeBytes`. Pure: bytes out.
 *
 * @see HDF5 File Format Specification 3.0, IV.A.2 "Data Object Header Messages"
 */

import { DTYPES, type DType } from "../../base/index.ts";

/** Bytes of parts, one after another. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const u8 = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
export const u16 = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(Uint16Array.from(values).buffer);
export const u32 = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(values).buffer);
export const u64 = (...values: readonly (number | bigint)[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);
export const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Where nothing is. */
export const UNDEFINED = 0xffff_ffff_ffff_ffffn;

/** `n` up to the next multiple of 8. */
export const padded = (n: number): number => Math.ceil(n / 8) * 8;
/** Bytes with zeros up to the next multiple of 8. */
export const pad8 = (bytes: Uint8Array): Uint8Array =>
  bytes.length % 8 === 0 ? bytes : joined(bytes, new Uint8Array(padded(bytes.length) - bytes.length));
const text0 = (text: string): Uint8Array => pad8(joined(ascii(text), u8(0)));

/** A type of class `type`, version 1. */
const typeHead = (type: number, bits: readonly [number, number, number], size: number): Uint8Array =>
  joined(u8(0x10 | type, ...bits), u32(size));

const integer = (size: number, signed: boolean): Uint8Array =>
  joined(typeHead(0, [signed ? 8 : 0, 0, 0], size), u16(0, 8 * size));

const FLOATS: Readonly<Record<number, readonly [exponentBits: number, mantissaBits: number, bias: number]>> =
  {
    2: [5, 10, 15],
    4: [8, 23, 127],
    8: [11, 52, 1023],
  };

function float(size: number): Uint8Array {
  const [exponent, mantissa, bias] = FLOATS[size]!;
  // 0x20: the mantissa's first bit is implied
  return joined(
    typeHead(1, [0x20, 8 * size - 1, 0], size),
    u16(0, 8 * size),
    u8(mantissa, exponent, 0, mantissa),
    u32(bias),
  );
}

/** As h5py: a compound of `r` and `i`. */
function complex(size: number): Uint8Array {
  const member = (name: string, at: number): Uint8Array =>
    joined(text0(name), u32(at), new Uint8Array(28), float(size / 2));
  return joined(typeHead(6, [2, 0, 0], size), member("r", 0), member("i", size / 2));
}

/** As h5py: an enum over int8. */
const bool = (): Uint8Array =>
  joined(typeHead(8, [2, 0, 0], 1), integer(1, true), text0("FALSE"), text0("TRUE"), u8(0, 1));

/** Text of fixed size, filled up with zeros. */
export const fixedText = (size: number): Uint8Array => typeHead(3, [1, 0, 0], size);
/** Text of any size, in the global heap. */
export const freeText = (isUtf8: boolean): Uint8Array =>
  joined(typeHead(9, [1, isUtf8 ? 1 : 0, 0], 16), integer(1, false));

/** The type that h5py gives a dtype; undefined where HDF5 has none for it. Strings take their size. */
export function typeBytes(dtype: DType, stringBytes = 1): Uint8Array | undefined {
  const { bytes, kind } = DTYPES[dtype];
  if (dtype === "string") return fixedText(stringBytes);
  if (dtype === "bool") return bool();
  if (dtype === "bfloat16") return typeHead(5, [0, 0, 0], 2);
  if (
    dtype.startsWith("int4") ||
    dtype.startsWith("int2") ||
    dtype.startsWith("uint4") ||
    dtype.startsWith("uint2")
  )
    return undefined;
  if (kind === "int" || kind === "uint") return integer(bytes, kind === "int");
  if (kind === "float" && bytes > 1) return float(bytes);
  return kind === "complex" ? complex(bytes) : undefined;
}

/** An extent; [] is a scalar. */
export const extentBytes = (shape: readonly number[]): Uint8Array =>
  joined(u8(1, shape.length, 0, 0), u32(0), u64(...shape));

/** A message of an object header. */
export function message(type: number, data: Uint8Array): Uint8Array {
  const body = pad8(data);
  return joined(u16(type, body.length), u8(0, 0, 0, 0), body);
}

/** Messages' numbers. */
export const MESSAGE = { extent: 1, type: 3, fill: 5, layout: 8, attribute: 12, symbols: 17 } as const;

/** An attribute. */
export const attributeMessage = (
  name: string,
  type: Uint8Array,
  shape: readonly number[],
  data: Uint8Array,
): Uint8Array => {
  const extent = extentBytes(shape);
  const title = joined(ascii(name), u8(0));
  return message(
    MESSAGE.attribute,
    joined(
      u8(1, 0),
      u16(title.length, type.length, extent.length),
      pad8(title),
      pad8(type),
      pad8(extent),
      data,
    ),
  );
};

/** An object header, version 1, of messages. */
export const headerBytes = (messages: readonly Uint8Array[]): Uint8Array => {
  const body = joined(...messages);
  return joined(u8(1, 0), u16(messages.length), u32(1, body.length, 0), body);
};
