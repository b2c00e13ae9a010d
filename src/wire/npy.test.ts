import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type DType, fromBytes, fromData, isVarscopeError, type Tensor, tensor } from "../base/index.ts";
import { readNpy, writeNpy } from "./npy.ts";

interface Case {
  readonly claim: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly same: boolean;
  readonly told?: boolean;
  readonly npy: string;
  readonly values?: string;
  readonly strings?: readonly string[];
}

const manifest = new URL("../../tests/goldens/npy/manifest.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly cases: readonly Case[] };
const bytesFrom = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));
const tensorOf = ({ dtype, shape, values, strings }: Case): Tensor =>
  strings === undefined
    ? fromBytes(dtype, shape, bytesFrom(values!))
    : fromData(dtype, shape, strings.map(bytesFrom));

describe.each(cases)("$claim", (c) => {
  test("is read", () => {
    expect(readNpy(bytesFrom(c.npy), c.told ? { dtype: c.dtype } : {})).toEqual(tensorOf(c));
  });

  test.runIf(c.same)("is written byte for byte as numpy writes it", () => {
    expect(writeNpy(tensorOf(c))).toEqual(bytesFrom(c.npy));
  });
});

/** A version 1 file with this header. */
function file(header: string, values = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  return Uint8Array.from([
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    1,
    0,
    text.length & 0xff,
    text.length >> 8,
    ...text,
    ...new Uint8Array(values),
  ]);
}
const head = (descr: string, shape: string) =>
  `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }\n`;

test.each([
  [new Uint8Array(0), "[DATA_LOSS] x.npy@0: not an .npy file"],
  [file("").subarray(0, 8), "[DATA_LOSS] x.npy@0: the header needs 10 bytes, 8 are there"],
  [file("{}"), "[DATA_LOSS] x.npy@10: the header has no descr, fortran_order and shape"],
  [file(head("'<f4'", "(3,)"), 8), "<f4 [3] needs 12 bytes, 8 are there"],
  [file(head("'<f8'", "(9007199254740993, 2)")), "is beyond 64 dimensions or 2^53 values"],
  [file(head("'<f8'", "(1000000000,)")), "needs 8000000000 bytes, 0 are there"],
  [file(head("'|S0'", "(1000000000,)")), "1000000000 empty strings in 0 bytes"],
  [
    file(head("'|O'", "(1,)"), 8),
    "[UNIMPLEMENTED] x.npy: the array holds pickled Python objects (dtype '|O')",
  ],
  [file(head("[('a', '<f4')]", "(1,)"), 8), "[UNIMPLEMENTED] x.npy: dtype 'a structure' has no counterpart"],
  [
    file(head("'<V1'", "(1,)"), 8),
    "dtype '<V1' has no counterpart here; save it from numpy as an array of numbers, or say its dtype",
  ],
  [file(head("'<m8'", "(1,)"), 8), "[UNIMPLEMENTED] x.npy: dtype '<m8' has no counterpart"],
  [file(head("'<f3'", "(1,)"), 8), "[UNIMPLEMENTED] x.npy: dtype '<f3' has no counterpart"],
  [Uint8Array.from([...file("{}").subarray(0, 6), 9, 0, 0, 0]), "[UNIMPLEMENTED] x.npy@6: .npy version 9"],
])("refuses %#", (bytes, message) => {
  expect(() => readNpy(bytes, { file: "x.npy" })).toThrow(message);
});

test("every truncation and flipped bit of a header is a typed error or a tensor", () => {
  const good = writeNpy(
    tensor([
      [1, 2],
      [3, 4],
    ]),
  );
  for (let i = 0; i < 128 * 8; i++) {
    const bad = good.slice(0, i % 2 === 0 ? good.length : i >> 3);
    if (i >> 3 < bad.length) bad[i >> 3]! ^= 1 << (i & 7);
    try {
      readNpy(bad);
    } catch (e) {
      if (!isVarscopeError(e)) throw e;
    }
  }
});

test("int4 is written as the same numbers in bytes", () => {
  expect(readNpy(writeNpy(tensor([-3, 2], "int4")))).toEqual(tensor([-3, 2], "int8"));
});

test("a string that ends in a zero byte is refused", () => {
  expect(() => writeNpy(tensor(["a\0"]))).toThrow("string 0 ends in a zero byte, which .npy would lose");
});
