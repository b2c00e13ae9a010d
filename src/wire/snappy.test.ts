import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { isVarscopeError } from "../base/index.ts";
import { readSnappy } from "./snappy.ts";

/** It has no types. */
const snappyjs = createRequire(import.meta.url)("snappyjs") as { compress(bytes: Uint8Array): Uint8Array };

const MOST = 1 << 20;

/** Small, fast, and the same everywhere. @see mulberry32, github.com/bryc/code */
function randomBelow(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
}

test.each([0, 1, 60, 61, 255, 256, 257, 70_000, 200_000])("%d bytes come back from snappyjs", (length) => {
  const random = randomBelow(length);
  const kinds = [
    () => new Uint8Array(length).fill(7),
    () => Uint8Array.from({ length }, () => random(256)),
    () => Uint8Array.from({ length }, (_, i) => (i % 1000 < 500 ? random(256) : i)),
  ];
  for (const bytes of kinds.map((make) => make()))
    expect(readSnappy(snappyjs.compress(bytes), MOST, "s")).toEqual(bytes);
});

test("literals with a length of 1 to 4 bytes, copies with offsets of 1, 2 and 4", () => {
  const text = (stored: readonly number[]): string =>
    new TextDecoder().decode(readSnappy(Uint8Array.from(stored), MOST, "s"));
  const [a, b] = [0x61, 0x62];
  for (const tag of [
    [60 << 2, 1],
    [61 << 2, 1, 0],
    [62 << 2, 1, 0, 0],
    [63 << 2, 1, 0, 0, 0],
  ])
    expect(text([2, ...tag, a, b])).toBe("ab");
  for (const copy of [
    [1 | (1 << 2), 2],
    [2 | (4 << 2), 2, 0],
    [3 | (4 << 2), 2, 0, 0, 0],
  ])
    expect(text([7, 1 << 2, a, b, ...copy])).toBe("abababa");
});

test.each([
  ["no length", [], "[DATA_LOSS] s: bad varint"],
  ["a length that is too long", [0xff, 0xff, 0xff, 0xff, 0xff, 1], "[DATA_LOSS] s: bad varint"],
  ["more than may come out", [0x81, 0x80, 0x40, 0], "4 bytes claim to hold 1048577"],
  ["more than the bytes can grow to", [100, 0, 0x61], "3 bytes claim to hold 100"],
  ["a literal beyond the bytes", [9, 8 << 2, 0x61], "a literal is too long"],
  ["a literal beyond the length", [1, 1 << 2, 0x61, 0x62], "a literal is too long"],
  // snappyjs 0.7 takes this length for a negative one, goes back 2^31 bytes and does not end
  ["a literal of 2^31 bytes", [9, 63 << 2, 0xff, 0xff, 0xff, 0x80, 0x61], "a literal is too long"],
  ["a tag without its offset", [9, 0, 0x61, 2, 1], "a tag is cut short"],
  ["an offset of 0", [9, 0, 0x61, 1 | (1 << 2), 0], "a copy leaves the block"],
  ["an offset before the start", [9, 0, 0x61, 1 | (1 << 2), 2], "a copy leaves the block"],
  ["an offset of 2^31", [9, 0, 0x61, 3 | (4 << 2), 0, 0, 0, 0x80], "a copy leaves the block"],
  ["a copy beyond the length", [3, 0, 0x61, 1 | (1 << 2), 1], "a copy leaves the block"],
  ["less than the length", [9, 0, 0x61], "1 of 9 bytes are there"],
])("%s is refused", (_, stored, message) => {
  expect(() => readSnappy(Uint8Array.from(stored), MOST, "s")).toThrow(message);
});

test("20,000 mutants give bytes or DATA_LOSS", () => {
  const random = randomBelow(1);
  const plain = Uint8Array.from({ length: 400 }, (_, i) => (i % 90 < 40 ? random(256) : i % 7));
  const good = snappyjs.compress(plain);
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    const mutant = good.slice(0, random(8) === 0 ? random(good.length) : good.length);
    for (let k = random(4); k >= 0 && mutant.length > 0; k--) mutant[random(mutant.length)] = random(256);
    try {
      const { length } = readSnappy(mutant, MOST, "s");
      if (length > 22 * mutant.length) throw new Error(`${mutant.length} bytes gave ${length}`);
    } catch (e) {
      if (!isVarscopeError(e, "DATA_LOSS")) throw e;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(5_000);
});
