/** Hashes against TensorFlow's, for every length at which they change their way. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fingerprint64, hash64, sipHash } from "./fingerprint.ts";

const file = new URL("../../../tests/goldens/fingerprints/manifest.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as {
  readonly lengths: readonly number[];
  readonly fast: readonly string[];
  readonly legacy: readonly string[];
  readonly strong: readonly { readonly key: readonly [string, string]; readonly hashes: readonly string[] }[];
  readonly fingerprint: readonly string[];
  readonly buckets: string;
};
const buckets = BigInt(golden.buckets);

const textOf = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => 7 * i + Math.floor((i * i) / 3));

const mod = (x: bigint): string => String(x % buckets);

describe.each(golden.lengths.map((size, i) => [size, i] as const))("of %i bytes", (size, i) => {
  const text = textOf(size);

  test("FarmHash's fingerprint", () => {
    expect(mod(fingerprint64(text))).toBe(golden.fast[i]);
  });

  test("TensorFlow's own", () => {
    expect(mod(hash64(text))).toBe(golden.legacy[i]);
  });

  test("SipHash under keys", () => {
    for (const { key, hashes } of golden.strong)
      expect(mod(sipHash(text, [BigInt(key[0]), BigInt(key[1])]))).toBe(hashes[i]);
  });
});
