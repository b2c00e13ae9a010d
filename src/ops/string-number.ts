/**
 * @file Numbers of texts and texts of numbers.
 *
 * @see TensorFlow core/ops/parsing_ops.cc "StringToNumber", string_ops.cc "AsString"; core/kernels/string_to_number_op.cc, as_string_op.cc
 */

import {
  DTYPES,
  type DType,
  dtypeCppName,
  type Element,
  getElement,
  isFloat,
  setElement,
  sizeOf,
  type Tensor,
  zeros,
} from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import { bytesIn, invalid, sameShape, shownBytes, stopped, strings } from "./host-facts.ts";
import { type NumberFormat, printNumber } from "./kernels/printf.ts";
import { COMPLEX, REAL_TYPES } from "./signatures.ts";

const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** The number that a text says, white space around it or not; null where it says none that fits the dtype. */
export function parseNumber(text: string, dtype: DType): number | bigint | null {
  const bare = text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, "");
  const range = RANGES[dtype];
  if (range !== undefined) {
    if (!/^[+-]?\d+$/.test(bare) || bare.length > 4000) return null;
    if (range[0] === 0n && bare.startsWith("-")) return null;
    const value = BigInt(bare.replace(/^\+/, ""));
    if (value < range[0] || value > range[1]) return null;
    return dtype.endsWith("64") ? value : Number(value);
  }
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(bare);
  if (special !== null) {
    const size = special[2]!.toLowerCase() === "nan" ? Number.NaN : Number.POSITIVE_INFINITY;
    return special[1] === "-" ? -size : size;
  }
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(bare)) return Number(bare);
  return hexNumber(bare);
}

/** 0x1.8p3 */
function hexNumber(text: string): number | null {
  const found = /^([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?\d+))?$/i.exec(text);
  const digits = (found?.[2] ?? "") + (found?.[3] ?? "");
  if (found === null || digits === "" || digits.length > 200) return null;
  const size = Number(BigInt(`0x${digits}`)) * 2 ** (Number(found[4] ?? 0) - 4 * found[3]!.length);
  return found[1] === "-" ? -size : size;
}

/** The number that each string says. */
export const StringToNumber = defineOp("StringToNumber", {
  ...stopped,
  inputs: { string_tensor: "string" },
  outputs: { output: "out_type" },
  attrs: {
    out_type: attr.typeOr("float32", "float32", "float64", "int32", "int64", "uint32", "uint64"),
  },
  infer: ({ string_tensor }) => [{ shape: string_tensor.shape }],
  host: ({ string_tensor }, { out_type }) => {
    const out = zeros(out_type, string_tensor.shape);
    for (const [i, bytes] of bytesIn(string_tensor).entries()) {
      const value = parseNumber(shownBytes(bytes), out_type);
      if (value === null)
        throw invalid(`StringToNumberOp could not correctly convert string: ${shownBytes(bytes)}`);
      setElement(out, i, value);
    }
    return [out];
  },
});

interface AsStringAttrs {
  readonly T: DType;
  readonly precision: number;
  readonly scientific: boolean;
  readonly shortest: boolean;
  readonly width: number;
  readonly fill: string;
}

/** @throws VarscopeError INVALID_ARGUMENT - attributes that go not together, as TensorFlow says it */
function formatOf({ T, precision, scientific, shortest, width, fill }: AsStringAttrs): NumberFormat {
  const isReal = isFloat(T) || DTYPES[T].kind === "complex";
  if (scientific && shortest) throw invalid("Cannot select both scientific and shortest notation");
  if (!isReal && (scientific || shortest || precision > -1)) {
    if (scientific || shortest)
      throw invalid(`scientific and shortest format not supported for datatype ${dtypeCppName(T)}`);
    throw invalid(`precision not supported for datatype ${dtypeCppName(T)}`);
  }
  if (fill.length > 1) throw invalid(`Fill string must be one or fewer characters: ${fill}`);
  if (!["", " ", "+", "-", "0", "#"].includes(fill)) throw invalid(`Fill argument not supported: ${fill}`);
  const kind = !isReal ? "d" : scientific ? "e" : shortest ? "g" : "f";
  return { kind, precision, width, flag: fill };
}

function shown(value: Element, format: NumberFormat): string {
  if (typeof value === "boolean") return value ? "true" : "false";
  if (Array.isArray(value)) return `(${value.map((x) => printNumber(x, format)).join(",")})`;
  return printNumber(value as number | bigint, format);
}

/** Numbers as C's printf writes them; strings padded. */
export const AsString = defineOp("AsString", {
  ...stopped,
  inputs: { input: "T" },
  outputs: { output: "string" },
  attrs: {
    T: attr.type(...REAL_TYPES, ...COMPLEX, "bool", "variant", "string"),
    precision: attr.int({ default: -1 }),
    scientific: attr.bool({ default: false }),
    shortest: attr.bool({ default: false }),
    width: attr.int({ default: -1 }),
    fill: attr.string({ default: "" }),
  },
  infer: sameShape,
  host: ({ input }, attrs) => {
    const format = formatOf(attrs);
    if (Math.max(attrs.width, attrs.precision) > MOST_DIGITS)
      throw invalid(`width or precision over ${MOST_DIGITS}: ${Math.max(attrs.width, attrs.precision)}`);
    return [strings(input.shape, textsOf(input, attrs.T, format))];
  },
});

/** More than any number has. */
const MOST_DIGITS = 4096;

function textsOf(input: Tensor, dtype: DType, format: NumberFormat): readonly Uint8Array[] {
  const encoder = new TextEncoder();
  if (dtype === "string") {
    const pad = (bytes: Uint8Array): Uint8Array => {
      const blank = new Uint8Array(Math.max(0, format.width - bytes.length)).fill(0x20);
      return Uint8Array.from(format.flag === "-" ? [...bytes, ...blank] : [...blank, ...bytes]);
    };
    return bytesIn(input).map(pad);
  }
  if (dtype === "variant") throw invalid("a variant has no text here");
  return Array.from({ length: sizeOf(input.shape) }, (_, i) =>
    encoder.encode(shown(getElement(input, i), format)),
  );
}

/** The number that each string says: of `outType`, the strings' shape. Named "StringToNumber". */
export const stringToNumber = (input: Output, outType: DType = "float32", name = "StringToNumber"): Output =>
  input.graph.add(StringToNumber, [input], { name, attrs: { out_type: outType } });

/** Options of `asString`, as of C's printf. */
export interface AsStringOptions {
  /** digits after the point: 6 */
  readonly precision?: number;
  /** with an exponent: false */
  readonly scientific?: boolean;
  /** the shorter of both ways: false */
  readonly shortest?: boolean;
  readonly width?: number;
  /** "0", " ", "+", "-" or "#" */
  readonly fill?: string;
}

/** Numbers as text: string, any shape. Named "AsString". */
export const asString = (
  input: Output,
  { precision = -1, scientific = false, shortest = false, width = -1, fill = "" }: AsStringOptions = {},
  name = "AsString",
): Output =>
  input.graph.add(AsString, [input], { name, attrs: { precision, scientific, shortest, width, fill } });
