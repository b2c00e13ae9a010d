import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { DType } from "./dtype.ts";
import { formatTensor, type PrintOptions } from "./numpy.ts";
import { fromBytes, fromData } from "./tensor.ts";

interface Case {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64?: string;
  readonly strings?: readonly string[];
  readonly options: PrintOptions;
  readonly str: string;
  readonly repr: string;
}

const file = new URL("../../tests/goldens/numpy/manifest.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: readonly Case[] };
const bytesFrom = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));

describe.each([...new Set(cases.map((c) => c.dtype))])("%s prints as numpy prints it", (dtype) => {
  const own = cases.filter((c) => c.dtype === dtype).map((c, i) => [`${i} [${c.shape}]`, c] as const);
  test.each(own)("case %s", (_, { shape, base64, strings, options, str, repr }) => {
    const t =
      strings === undefined
        ? fromBytes(dtype, shape, bytesFrom(base64!))
        : fromData(dtype, shape, strings.map(bytesFrom));
    expect(formatTensor(t, options)).toBe(str);
    expect(formatTensor(t, { ...options, style: "repr" })).toBe(repr);
  });
});
