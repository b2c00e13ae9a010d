import { expect, test } from "vitest";
import { combineCrc, crc32c, maskCrc, unmaskCrc } from "./crc32c.ts";

const ascii = (s: string) => new TextEncoder().encode(s);

test("is CRC-32C: the check values of RFC 3720", () => {
  expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(new Uint8Array(0))).toBe(0);
});

test("goes on from a CRC, and joins two, at every cut", () => {
  const bytes = Uint8Array.from({ length: 41 }, (_, i) => (i * 37) % 251);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const [a, b] = [bytes.subarray(0, cut), bytes.subarray(cut)];
    expect(crc32c(b, crc32c(a))).toBe(crc32c(bytes));
    expect(combineCrc(crc32c(a), crc32c(b), b.length)).toBe(crc32c(bytes));
  }
});

test("masks as TensorFlow: the empty tensor's stored CRC", () => {
  expect(maskCrc(0)).toBe(2726488792);
  for (const crc of [0, 1, 0x7fffffff, 0xffffffff, 0xe3069283]) expect(unmaskCrc(maskCrc(crc))).toBe(crc);
});
