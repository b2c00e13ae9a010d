/** @file JSON as the command line prints and reads it: what JSON lacks are strings. Start at `formatJson`. */

import {
  DTYPES,
  type DType,
  type Element,
  type Nested,
  type Tensor,
  tensor,
  toNested,
  VarscopeError,
} from "../base/index.ts";

/** A document: NaN and infinities as strings, integers beyond 2^53 too. `indent`: 0 is one line. */
export const formatJson = (value: unknown, indent = 0): string => JSON.stringify(value, plain, indent);

function plain(_: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value;
}

/** Values of a tensor as nested arrays; bytes that are no UTF-8 are `{"base64": "..."}`. */
export function tensorToJson(t: Tensor): unknown {
  const level = (x: unknown): unknown =>
    x instanceof Uint8Array ? textOf(x) : Array.isArray(x) ? x.map(level) : x;
  return level(toNested(t));
}

function textOf(bytes: Uint8Array): unknown {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString("base64") };
  }
}

/**
 * A tensor of JSON text. Strings stand for NaN, Infinity and integers beyond 2^53 where numbers are wanted.
 *
 * @param at - for messages
 * @throws VarscopeError INVALID_ARGUMENT - no JSON, ragged, or of another kind than the dtype
 */
export function tensorFromJson(text: string, dtype: DType, at: string): Tensor {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", `${JSON.stringify(text)} is no JSON`, {
      at,
      hint: `write a value as [[1,2]] or "text", or a file as @values.npy`,
      cause,
    });
  }
  return tensor(elementsOf(value, dtype, at), dtype);
}

function elementsOf(value: unknown, dtype: DType, at: string): Nested {
  if (Array.isArray(value)) return value.map((x) => elementsOf(x, dtype, at));
  const { kind } = DTYPES[dtype];
  if (dtype === "string" && typeof value === "string") return value;
  if (dtype === "bool" && typeof value === "boolean") return value;
  if (kind === "float" || kind === "complex") {
    const x = typeof value === "string" && /^(NaN|-?Infinity)$/.test(value) ? Number(value) : value;
    if (typeof x === "number") return x;
  }
  if (["int", "uint"].includes(kind)) {
    if (typeof value === "string" && /^-?\d+$/.test(value)) return inRange(BigInt(value), dtype, at);
    if (typeof value === "number" && Number.isSafeInteger(value)) return inRange(BigInt(value), dtype, at);
  }
  throw new VarscopeError("INVALID_ARGUMENT", `${JSON.stringify(value)} is no ${dtype}`, {
    at,
    ...(typeof value === "number" && kind === "int"
      ? { hint: "write an integer beyond 2^53 as a string" }
      : {}),
  });
}

/** An integer that the dtype holds. */
export function inRange(x: bigint, dtype: DType, at: string): Element {
  const { kind, bytes } = DTYPES[dtype];
  const bits = BigInt(8 * bytes);
  const [low, high] =
    kind === "uint" ? [0n, (1n << bits) - 1n] : [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n];
  if (x < low || x > high) {
    throw new VarscopeError("OUT_OF_RANGE", `${x} is no ${dtype}, which holds ${low} to ${high}`, { at });
  }
  return bytes === 8 ? x : Number(x);
}
