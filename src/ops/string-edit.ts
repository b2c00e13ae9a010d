/**
 * @file Strings changed one by one: case, white space, pieces, lengths.
 *
 * @see TensorFlow core/ops/string_ops.cc; core/kernels/string_lower_op.cc, string_strip_op.cc, string_length_op.cc, substr_op.cc
 */

import { broadcastShapes, mergeShapes, sizeOf, type Tensor, toNumbers } from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import {
  broadcastIndex,
  bytesIn,
  invalid,
  mapBytes,
  needRank,
  onText,
  sameShape,
  shownBytes,
  strings,
} from "./host-facts.ts";
import { isTrail, utf8Length } from "./kernels/utf8.ts";

const inCase = {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "string" },
  attrs: { encoding: attr.string({ default: "" }) },
  infer: sameShape,
} as const;

/** Letters A to Z alone, or with encoding "utf-8" those of Unicode. */
function recased(
  input: Tensor,
  encoding: string,
  [from, to]: readonly [number, number],
  whole: (s: string) => string,
): Tensor {
  if (encoding !== "" && encoding !== "utf-8")
    throw invalid(`only utf-8 or '' (no encoding) is supported, received ${encoding}`);
  if (encoding === "utf-8") {
    return mapBytes(input, (bytes) =>
      new TextEncoder().encode(whole(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes))),
    );
  }
  return mapBytes(input, (bytes) => bytes.map((b) => (b >= from && b <= to ? b ^ 0x20 : b)));
}

/** Strings in small letters. */
export const StringLower = defineOp("StringLower", {
  ...inCase,
  host: ({ input }, { encoding }) => [recased(input, encoding, [0x41, 0x5a], (s) => s.toLowerCase())],
});

/** Strings in capitals. */
export const StringUpper = defineOp("StringUpper", {
  ...inCase,
  host: ({ input }, { encoding }) => [recased(input, encoding, [0x61, 0x7a], (s) => s.toUpperCase())],
});

/** Whether a byte is white space of ASCII. */
export const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 9 && byte <= 13);

/** Bytes without white space at both ends. */
export function stripped(bytes: Uint8Array): Uint8Array {
  let [from, to] = [0, bytes.length];
  while (from < to && isSpace(bytes[from]!)) from++;
  while (to > from && isSpace(bytes[to - 1]!)) to--;
  return bytes.subarray(from, to);
}

/** Strings without white space at both ends. */
export const StringStrip = defineOp("StringStrip", {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "string" },
  infer: sameShape,
  host: ({ input }) => [mapBytes(input, stripped)],
});

const unit = attr.string({ default: "BYTE", allowed: ["BYTE", "UTF8_CHAR"] });

/** Number of bytes, or of UTF-8's characters. */
export const StringLength = defineOp("StringLength", {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "int32" },
  attrs: { unit },
  infer: sameShape,
  host: ({ input }, attrs) => {
    const lengthOf = attrs.unit === "BYTE" ? (b: Uint8Array) => b.length : utf8Length;
    return [{ dtype: "int32", shape: input.shape, data: Int32Array.from(bytesIn(input), lengthOf) }];
  },
});

/** Where each of UTF-8's characters begins, and the end. */
function charStarts(bytes: Uint8Array): number[] {
  const starts = [...bytes.keys()].filter((i) => i === 0 || !isTrail(bytes[i]!));
  return [...starts, bytes.length];
}

/** `len` bytes or characters from `pos`; a negative `pos` counts from the end. */
function piece(bytes: Uint8Array, pos: number, len: number, inChars: boolean, index: number): Uint8Array {
  const starts = inChars ? charStarts(bytes) : null;
  const size = starts === null ? bytes.length : starts.length - 1;
  const from = pos < 0 ? size + pos : pos;
  if (from < 0 || from > size)
    throw invalid(`pos ${pos} out of range for string b'${shownBytes(bytes)}' at index ${index}`);
  // TensorFlow takes a negative number of bytes for a very large one
  const to = len < 0 && !inChars ? size : Math.min(size, from + Math.max(0, len));
  return starts === null ? bytes.subarray(from, to) : bytes.subarray(starts[from], starts[to]);
}

/** Pieces of strings. `pos` and `len` broadcast with the strings. */
export const Substr = defineOp("Substr", {
  ...onText,
  inputs: { input: "string", pos: "T", len: "T" },
  outputs: { output: "string" },
  attrs: { T: attr.type("int32", "int64"), unit },
  infer: ({ input, pos, len }) => {
    if (len.shape !== null) needRank(pos, len.shape.length);
    mergeShapes(pos.shape, len.shape);
    return [{ shape: broadcastShapes(input.shape, pos.shape) }];
  },
  host: ({ input, pos, len }, attrs) => {
    const shape = broadcastShapes(input.shape, pos.shape) as readonly number[];
    const [froms, sizes, texts] = [toNumbers(pos), toNumbers(len), bytesIn(input)];
    const data = Array.from({ length: sizeOf(shape) }, (_, i) => {
      const at = broadcastIndex(i, shape, pos.shape);
      return piece(
        texts[broadcastIndex(i, shape, input.shape)]!,
        froms[at]!,
        sizes[at]!,
        attrs.unit !== "BYTE",
        i,
      );
    });
    return [strings(shape, data)];
  },
});

/** Options of ops that know bytes and characters. */
export interface UnitOptions {
  /** "BYTE", or "UTF8_CHAR" */
  readonly unit?: "BYTE" | "UTF8_CHAR";
}

/** Small letters: string, any shape. `encoding`: "" for ASCII's letters, "utf-8" for all. Named "StringLower". */
export const stringLower = (input: Output, encoding = "", name = "StringLower"): Output =>
  input.graph.add(StringLower, [input], { name, attrs: { encoding } });

/** Capitals: string, any shape. `encoding`: "" for ASCII's letters, "utf-8" for all. Named "StringUpper". */
export const stringUpper = (input: Output, encoding = "", name = "StringUpper"): Output =>
  input.graph.add(StringUpper, [input], { name, attrs: { encoding } });

/** Without white space at both ends: string, any shape. Named "StringStrip". */
export const stringStrip = (input: Output, name = "StringStrip"): Output =>
  input.graph.add(StringStrip, [input], { name });

/** Lengths: int32, the strings' shape. Named "StringLength". */
export const stringLength = (
  input: Output,
  { unit = "BYTE" }: UnitOptions = {},
  name = "StringLength",
): Output => input.graph.add(StringLength, [input], { name, attrs: { unit } });

/** Pieces of `len` bytes from `pos`, both int32 or int64 of one shape that broadcasts with the strings'. Named "Substr". */
export const substr = (
  input: Output,
  pos: Output | number,
  len: Output | number,
  { unit = "BYTE" }: UnitOptions = {},
  name = "Substr",
): Output => input.graph.add(Substr, [input, pos, len], { name, attrs: { unit } });
