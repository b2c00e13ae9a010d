import { describe, expect, test } from "vitest";
import { crc32c, maskCrc } from "../base/index.ts";
import { compareBytes, readTable } from "./table.ts";
import { shortestSeparator, shortSuccessor, writeTable } from "./table-writer.ts";
import { pushVarint, readVarint, varintLength } from "./varint.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

test("an empty table is two empty blocks and the footer", () => {
  const bytes = writeTable([]);
  expect(bytes.length).toBe(2 * (8 + 5) + 48);
  expect(readTable(bytes)).toEqual([]);
});

test("entries of many blocks come back in order", () => {
  const entries = Array.from({ length: 3000 }, (_, i) => ({
    key: ascii(`key/${String(i).padStart(6, "0")}`),
    value: new Uint8Array(i % 700).fill(i),
  }));
  const bytes = writeTable(entries);
  expect(bytes.length).toBeGreaterThan(3 * 262_144);
  expect(readTable(bytes).map((e) => [text(e.key), e.value.length])).toEqual(
    entries.map((e) => [text(e.key), e.value.length]),
  );
});

test("keys that do not ascend are refused", () => {
  const entry = (key: string) => ({ key: ascii(key), value: new Uint8Array(0) });
  expect(() => writeTable([entry("b"), entry("a")])).toThrow(
    'table keys must ascend, "a" follows a greater one',
  );
  expect(() => writeTable([entry("a"), entry("a")])).toThrow("table keys must ascend");
});

test.each([
  ["abc", "abe", "abd"],
  ["abc", "abd", "abc"], // neighbours
  ["abc", "abcd", "abc"], // a prefix
  ["a", "zz", "b"],
  ["9413/x", "a", ":"],
])("the separator of %s and %s is %s", (a, b, want) => {
  expect(text(shortestSeparator(ascii(a), ascii(b)))).toBe(want);
});

test("the successor raises the first byte that can be raised", () => {
  expect(text(shortSuccessor(ascii("zoo")))).toBe("{");
  expect(shortSuccessor(Uint8Array.of(0xff, 0xff))).toEqual(Uint8Array.of(0xff, 0xff));
  expect(shortSuccessor(Uint8Array.of(0xff, 1, 2))).toEqual(Uint8Array.of(0xff, 2));
});

describe("hostile tables", () => {
  const good = writeTable([
    { key: ascii("a"), value: ascii("1") },
    { key: ascii("b"), value: ascii("2") },
  ]);

  /** The good table with its first block changed and its checksum right again. */
  function changed(change: (block: Uint8Array) => void): Uint8Array {
    const bytes = good.slice();
    const end = 5 + 5 + 4 + 4; // two entries, one restart, the count
    change(bytes.subarray(0, end + 1));
    new DataView(bytes.buffer).setUint32(end + 1, maskCrc(crc32c(bytes.subarray(0, end + 1))), true);
    return bytes;
  }

  test.each([
    [
      "a block that only says that it is compressed",
      (b: Uint8Array) => b.set([1], 18),
      "[DATA_LOSS] t@0: corrupted compressed block contents: a copy leaves the block",
    ],
    ["an unknown block type", (b: Uint8Array) => b.set([7], 18), "[DATA_LOSS] t@0: bad block type 7"],
    ["more restarts than bytes", (b: Uint8Array) => b.set([255], 17), "restarts in 18 bytes"],
    ["a shared prefix longer than the key", (b: Uint8Array) => b.set([9], 5), "bad entry in block"],
    ["a value beyond the block", (b: Uint8Array) => b.set([99], 2), "bad entry in block"],
    ["keys out of order", (b: Uint8Array) => b.set([0x61], 8), "keys are out of order"],
  ])("%s is refused", (_, change, message) => {
    expect(() => readTable(changed(change), "t")).toThrow(message);
  });

  test("a handle out of the file is refused before it is read", () => {
    const bytes = good.slice();
    const footer = bytes.length - 48;
    bytes.set([0, 0, 0xff, 0xff, 0xff, 0x7f, 1], footer);
    expect(() => readTable(bytes, "t")).toThrow(
      `block of 1 bytes at 268435455 does not end before byte ${footer}`,
    );
  });
});

test("bytes compare as unsigned, shorter first", () => {
  const sorted = ["", "A", "a", "a/b", "a_b", "\u00e9"].map(ascii);
  expect([...sorted].reverse().sort(compareBytes)).toEqual(sorted);
});

test.each([0, 1, 127, 128, 300, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER])("varint %d", (value) => {
  const out: number[] = [];
  pushVarint(out, value);
  expect(out.length).toBe(varintLength(value));
  expect(readVarint(Uint8Array.from(out), 0, out.length, "v")).toEqual({ value, next: out.length });
  expect(() => readVarint(Uint8Array.from(out), 0, out.length - 1, "v@3")).toThrow(
    "[DATA_LOSS] v@3: bad varint",
  );
});

test("a varint beyond 2^53 is refused", () => {
  expect(() => readVarint(new Uint8Array(10).fill(0xff), 0, 10, "v")).toThrow("bad varint");
});
