/**
 * @file Characters of strings: decoded to ragged rows of code points, encoded, and carried over to other encodings.
 *
 * @see TensorFlow core/ops/string_ops.cc; core/kernels/unicode_ops.cc
 */

import { sizeOrNull, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import { attr, defineOp } from "../graph/index.ts";
import {
  bytesIn,
  invalid,
  longs,
  mapBytes,
  needRank,
  onText,
  sameShape,
  splitsOf,
  strings,
} from "./host-facts.ts";
import { type Decoder, decoderOf, encodeRunes, isScalar, NO_RUNE } from "./kernels/utf8.ts";

const ENCODINGS = ["UTF-8", "UTF-16-BE", "UTF-32-BE"];
const reading = {
  input_encoding: attr.string(),
  errors: attr.string({ default: "replace", allowed: ["strict", "replace", "ignore"] }),
  replacement_char: attr.int({ default: 65533 }),
  replace_control_characters: attr.bool({ default: false }),
};

interface Reading {
  readonly input_encoding: string;
  readonly errors: string;
  readonly replacement_char: number;
  readonly replace_control_characters: boolean;
}

/** @throws VarscopeError UNIMPLEMENTED - an encoding that is neither Unicode nor its first 256 letters */
function readerOf(encoding: string): Decoder {
  const decoder = decoderOf(encoding);
  if (decoder !== null) return decoder;
  throw new VarscopeError("UNIMPLEMENTED", `encoding ${encoding}`, {
    hint: "use UTF-8, UTF-16-BE, UTF-32-BE, US-ASCII or ISO-8859-1",
  });
}

/** Code points of one string, and where they begin. */
function decoded(bytes: Uint8Array, a: Reading): { codes: number[]; starts: number[] } {
  const read = readerOf(a.input_encoding);
  const [codes, starts]: [number[], number[]] = [[], []];
  for (let at = 0; at < bytes.length; ) {
    const [code, length] = read(bytes, at);
    const isBad = code === NO_RUNE;
    if (isBad && a.errors === "strict") throw invalid("Invalid formatting on input string");
    const isReplaced = isBad || (a.replace_control_characters && code <= 0x1f);
    if (!isReplaced || a.errors !== "ignore") {
      codes.push(isReplaced ? a.replacement_char : code);
      starts.push(at);
    }
    at += length;
  }
  return { codes, starts };
}

function rowsOf(input: Tensor, a: Reading & { readonly Tsplits: string }): Tensor[] {
  needCode(a.replacement_char);
  const rows = bytesIn(input).map((bytes) => decoded(bytes, a));
  const ends = [0];
  for (const { codes } of rows) ends.push(ends.at(-1)! + codes.length);
  const codes = Int32Array.from(rows.flatMap((row) => row.codes));
  const starts = rows.flatMap((row) => row.starts);
  return [
    splitsOf(a.Tsplits as "int32" | "int64", ends),
    { dtype: "int32", shape: [codes.length], data: codes },
    longs([starts.length], starts),
  ];
}

/** @throws VarscopeError INVALID_ARGUMENT - no code point */
function needCode(code: number): void {
  if (code < 0 || code > 0x10ffff) throw invalid("replacement_char out of unicode codepoint range");
}

const decodeShapes = (size: number | null): { shape: (number | null)[] }[] => [
  { shape: [size === null ? null : size + 1] },
  { shape: [null] },
  { shape: [null] },
];
const Tsplits = attr.typeOr("int64", "int32", "int64");

/** Code points of strings, as a ragged matrix. */
export const UnicodeDecode = defineOp("UnicodeDecode", {
  ...onText,
  inputs: { input: "string" },
  outputs: { row_splits: "Tsplits", char_values: "int32" },
  attrs: { ...reading, Tsplits },
  infer: ({ input }) => decodeShapes(sizeOrNull(input.shape)).slice(0, 2),
  host: ({ input }, attrs) => rowsOf(input, attrs).slice(0, 2),
});

/** Code points of strings, and the bytes where they begin. */
export const UnicodeDecodeWithOffsets = defineOp("UnicodeDecodeWithOffsets", {
  ...onText,
  inputs: { input: "string" },
  outputs: { row_splits: "Tsplits", char_values: "int32", char_to_byte_starts: "int64" },
  attrs: { ...reading, Tsplits },
  infer: ({ input }) => decodeShapes(sizeOrNull(input.shape)),
  host: ({ input }, attrs) => rowsOf(input, attrs),
});

/** Ragged rows of code points as strings. */
export const UnicodeEncode = defineOp("UnicodeEncode", {
  ...onText,
  inputs: { input_values: "int32", input_splits: "Tsplits" },
  outputs: { output: "string" },
  attrs: {
    errors: attr.string({ default: "replace", allowed: ["ignore", "replace", "strict"] }),
    output_encoding: attr.string({ allowed: ENCODINGS }),
    replacement_char: attr.int({ default: 65533 }),
    Tsplits,
  },
  infer: ({ input_values, input_splits }) => {
    needRank(input_values, 1);
    needRank(input_splits, 1);
    const rows = input_splits.shape?.[0] ?? null;
    return [{ shape: [rows === null ? null : rows - 1] }];
  },
  host: ({ input_values, input_splits }, { errors, output_encoding, replacement_char }) => {
    needCode(replacement_char);
    const codes = toNumbers(input_values);
    const splits = toNumbers(input_splits);
    if (splits.length === 0) throw invalid("Input_splits must have 1 or more elements");
    if (splits[0] !== 0) throw invalid("First value in input_splits must be zero.");
    if (splits.at(-1) !== codes.length)
      throw invalid("Last value in input_splits must be equal to length of input_tensor.");
    const data = splits.slice(1).map((end, i) => {
      if (end < splits[i]!) throw invalid("Values in input_splits must be equal or in ascending order.");
      const whole = codes.slice(splits[i], end).flatMap((code) => {
        if (isScalar(code)) return [code];
        if (errors === "strict") throw invalid("Code point is out of range for Unicode, or is a surrogate.");
        return errors === "replace" ? [replacement_char] : [];
      });
      return encodeRunes(whole, output_encoding);
    });
    return [strings([data.length], data)];
  },
});

/** Strings in another encoding. */
export const UnicodeTranscode = defineOp("UnicodeTranscode", {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "string" },
  attrs: { ...reading, output_encoding: attr.string({ allowed: ENCODINGS }) },
  infer: sameShape,
  host: ({ input }, attrs) => {
    needCode(attrs.replacement_char);
    return [mapBytes(input, (bytes) => encodeRunes(decoded(bytes, attrs).codes, attrs.output_encoding))];
  },
});
