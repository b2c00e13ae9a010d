import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { bytesSource } from "../../platform/node.ts";
import { heapCheck } from "./h5-heaps.ts";
import { pagesOf } from "./h5-pages.ts";
import { openKerasH5File } from "./index.ts";

const golden = (): Uint8Array =>
  new Uint8Array(
    gunzipSync(readFileSync(new URL("../../../tests/goldens/keras-files/keras2.h5.gz", import.meta.url))),
  );

/** Heaps by their signature, in the file's order. */
function heapsOf(bytes: Uint8Array, signature: string): number[] {
  const text = Buffer.from(bytes).toString("latin1");
  return [...text.matchAll(new RegExp(signature, "g"))].map((m) => m.index);
}

const setLength = (bytes: Uint8Array, at: number, value: bigint): void =>
  new DataView(bytes.buffer).setBigUint64(at, value, true);
const lengthAt = (bytes: Uint8Array, at: number): number =>
  Number(new DataView(bytes.buffer).getBigUint64(at, true));

async function refusal(bytes: Uint8Array): Promise<string> {
  const said = await openKerasH5File(bytesSource(bytes, "m.h5"), "m.h5").then(
    () => "",
    (e: unknown) => String(e),
  );
  const whole = await openKerasH5File(bytesSource(golden(), "m.h5"), "m.h5"); // the library is as before
  expect(whole.variables.length).toBeGreaterThan(0);
  await whole.close();
  return said;
}

/** The header of an object is 16 bytes: number, references, 4 spare, length. */
const OBJECT = 16;

test.each([
  ["of no bytes", 0, 0n, /an object of 0 bytes where \d+ are left/],
  ["that leads back by 2^32", 1, 0xffff_ffe0n, /an object of 4294967280 bytes where/],
  ["over the end", 1, 0xffff_ffff_ffff_ffffn, /an object of \d+ bytes where/],
])("a global heap with an object %s is refused", async (_, index, length, says) => {
  const bytes = golden();
  const [heap] = heapsOf(bytes, "GCOL\x01");
  const object = heap! + 16;
  bytes[object] = index;
  setLength(bytes, object + OBJECT - 8, length);
  const said = await refusal(bytes);
  expect(said).toMatch(says);
  expect(said).toContain(`[DATA_LOSS] m.h5:model_weights: HDF5's global heap at byte ${heap} has`);
});

test("global heaps that share their objects are refused before they take time", async () => {
  const bytes = new Uint8Array(64 << 10);
  const [heaps, tail] = [100, 32 << 10];
  for (let i = 0; i < heaps; i++) {
    const at = 32 * i;
    bytes.set([0x47, 0x43, 0x4f, 0x4c, 1], at);
    setLength(bytes, at + 8, BigInt(bytes.length - at));
    bytes[at + 16] = 1; // an object up to where the shared ones begin
    setLength(bytes, at + 24, BigInt(tail - at - 32));
  }
  for (let at = tail; at < bytes.length; at += 16) bytes[at] = 1; // objects of no length
  const pages = await pagesOf(bytesSource(bytes, "m.h5"));
  pages.readNow(0, new Uint8Array(1));
  await pages.fetch();
  const check = heapCheck(pages);
  expect(check(0, bytes.subarray(0, 32))).toBe(true);
  expect(() => check(0, bytes)).toThrow("more objects than the file has room for");
});

test("a heap that begins in one read and goes on in the next is found", async () => {
  const bytes = golden();
  const [heap] = heapsOf(bytes, "GCOL\x01");
  setLength(bytes, heap! + 24, 0xffff_ffffn);
  const pages = await pagesOf(bytesSource(bytes, "m.h5"));
  pages.readNow(0, new Uint8Array(1));
  await pages.fetch();
  for (let cut = 1; cut < 5; cut++) {
    const check = heapCheck(pages);
    expect(check(0, bytes.subarray(0, heap! + cut))).toBe(true);
    expect(() => check(heap! + cut, bytes.subarray(heap! + cut, heap! + 8))).toThrow("global heap");
  }
});

test("a local heap whose holes lead in a circle is refused", async () => {
  const bytes = golden();
  const heaps = heapsOf(bytes, "HEAP\0").filter((heap) => lengthAt(bytes, heap + 16) !== 1);
  const [heap] = heaps;
  const hole = lengthAt(bytes, heap! + 24) + lengthAt(bytes, heap! + 16);
  setLength(bytes, hole, BigInt(lengthAt(bytes, heap! + 16)));
  expect(await refusal(bytes)).toBe(
    `VarscopeError: [DATA_LOSS] m.h5: HDF5's local heap at byte ${heap} has a list of holes that leads in a circle; take the file from its origin again`,
  );
});

test("a group whose list of names leads to no names is refused, not empty", async () => {
  const bytes = golden();
  const trees = heapsOf(bytes, "TREE");
  for (const tree of trees) setLength(bytes, tree + 32, BigInt(tree)); // its first child
  expect(await refusal(bytes)).toMatch(
    /\[DATA_LOSS\] m\.h5: HDF5 cannot read it: incorrect cache entry type/,
  );
});

test("a file cut in its superblock is refused", async () => {
  const bytes = golden();
  for (let end = 8; end < 96; end++)
    expect(await openKerasH5File(bytesSource(bytes.slice(0, end), "m.h5"), "m.h5").catch(String)).toMatch(
      /\[DATA_LOSS\]/,
    );
});
