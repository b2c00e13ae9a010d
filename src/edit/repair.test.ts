import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesOf, fromData, type Tensor } from "../base/index.ts";
import {
  openCheckpoint,
  openCheckpointCollection,
  saveCheckpoint,
  shardedFilename,
} from "../formats/checkpoint/index.ts";
import { FOOTER_BYTES, readBlockPlaces, readFooter } from "../wire/index.ts";
import { salvageCheckpoint } from "./repair.ts";

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-repair-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const LENGTH = 64;
const valuesOf = (i: number): Tensor =>
  fromData(
    "float32",
    [LENGTH],
    Float32Array.from({ length: LENGTH }, (_, k) => i * LENGTH + k),
  );
/** So long that few names fill a block of the index; keys share only how they begin. */
const nameOf = (i: number): string => `layer/${String(i).padStart(5, "0")}/${"long".repeat(40)}/weights`;

async function made(name: string, count: number, shards = 1): Promise<string> {
  const prefix = join(folder, name);
  const tensors = Array.from({ length: count }, (_, i) => ({ name: nameOf(i), tensor: valuesOf(i) }));
  await saveCheckpoint(prefix, tensors, { shards });
  return prefix;
}

const DATA = ".data-00000-of-00001";

function change(file: string, work: (bytes: Buffer) => Uint8Array): void {
  fs.writeFileSync(file, work(fs.readFileSync(file)));
}

const flipped = (at: number) => (bytes: Buffer) => {
  bytes[at]! ^= 0x40;
  return bytes;
};

/** Repairs; what is saved has the right values, what is lost is not there. */
async function repaired(prefix: string) {
  const out = `${prefix}-repaired`;
  const repair = await salvageCheckpoint(prefix, out);
  const checkpoint = await openCheckpoint(out);
  expect(checkpoint.names()).toEqual(repair.saved);
  const values = await checkpoint.readMany(repair.saved);
  for (const [i, name] of repair.saved.entries())
    expect(values[i], name).toEqual(valuesOf(Number(name.split("/")[1])));
  await checkpoint.close();
  return repair;
}

describe("data", () => {
  test("a flipped byte loses one tensor of 39", async () => {
    const prefix = await made("flip", 39);
    change(prefix + DATA, flipped(7 * LENGTH * 4 + 9));
    const { saved, lost, damages } = await repaired(prefix);
    expect([saved.length, lost.map((l) => l.name), damages]).toEqual([38, [nameOf(7)], []]);
    expect(lost[0]!.why).toMatch(/^Checksum does not match: stored \d+ vs\. calculated/);
  });

  test("data cut in half lose what is beyond", async () => {
    const prefix = await made("half", 39);
    change(prefix + DATA, (bytes) => bytes.subarray(0, bytes.length / 2));
    const { saved, lost } = await repaired(prefix);
    expect([saved.length, lost.length, lost[0]!.name]).toEqual([19, 20, nameOf(19)]);
    expect(lost[0]!.why).toMatch(/takes 256 bytes, the file has 128 of them/);
  });

  test("a missing shard loses its own", async () => {
    const prefix = await made("shards", 8, 4);
    fs.rmSync(shardedFilename(`${prefix}.data`, 1, 4));
    const { saved, lost } = await repaired(prefix);
    expect([saved.length, lost.map((l) => l.name)]).toEqual([6, [nameOf(2), nameOf(3)]]);
    expect(lost[0]!.why).toMatch(/^the data file of "layer\/00002\/.*" is missing/);
  });

  test("of a partitioned variable no half is saved", async () => {
    const prefix = join(folder, "parts");
    const [a, b] = [valuesOf(0), valuesOf(1)];
    await saveCheckpoint(prefix, [
      { name: "p", tensor: a, slice: "128 0,64" },
      { name: nameOf(1), tensor: b },
      { name: "p", tensor: b, slice: "128 64,64" },
    ]);
    change(prefix + DATA, flipped(3));
    expect(await repaired(prefix)).toMatchObject({ saved: [nameOf(1)], lost: [{ name: "p" }] });
  });

  test("where nothing is intact nothing is written", async () => {
    const prefix = await made("none", 2);
    fs.rmSync(prefix + DATA);
    await expect(salvageCheckpoint(prefix, `${prefix}-repaired`)).rejects.toThrow(
      "none of 2 tensors is intact",
    );
    expect(fs.readdirSync(folder).filter((f) => f.startsWith("none-"))).toEqual([]);
  });
});

test("the lost of an object-based checkpoint go out of its graph; the rest keeps keys, names and slots", async () => {
  const golden = new URL("../../tests/goldens/object-checkpoint/k2-seq-adam", import.meta.url).pathname;
  const prefix = join(folder, "objects");
  for (const suffix of [".index", DATA]) fs.copyFileSync(golden + suffix, prefix + suffix);
  const before = await openCheckpointCollection(golden);
  const checkpoint = await openCheckpoint(golden);
  const victim = before.variables.find((v) => v.role === "weight")!;
  // Its bytes are found by what they are, since an open checkpoint keeps places to itself.
  const bytes = Buffer.from(bytesOf(await checkpoint.read(victim.key)));
  change(prefix + DATA, (data) => flipped(data.indexOf(bytes))(data));
  const { saved, lost } = await salvageCheckpoint(prefix, `${prefix}-repaired`);
  expect(lost.map((l) => l.name)).toEqual([victim.key]);
  expect(saved).toHaveLength(checkpoint.names().length - 1);
  const after = await openCheckpointCollection(`${prefix}-repaired`);
  expect(after.format).toBe("checkpoint-object");
  const graph = (b: typeof before): string => new TextDecoder().decode(b.extras.objectGraph);
  expect([graph(before).includes(victim.key), graph(after).includes(victim.key)]).toEqual([true, false]);
  expect(new Set(after.variables.map((v) => v.key))).toEqual(
    new Set(before.variables.map((v) => v.key).filter((k) => k !== victim.key)),
  );
  for (const v of after.variables) expect(await after.read(v.name), v.name).toEqual(await before.read(v.key));
  await Promise.all([before, after, checkpoint].map((c) => c.close()));
});

describe("an index of several blocks", () => {
  const COUNT = 3000;
  let whole = "";
  let blocks: { readonly offset: number; readonly size: number }[] = [];
  beforeAll(async () => {
    whole = await made("whole", COUNT);
    const bytes = new Uint8Array(fs.readFileSync(`${whole}.index`));
    const limit = bytes.length - FOOTER_BYTES;
    const index = readFooter(bytes.subarray(limit), bytes.length, "");
    blocks = readBlockPlaces(bytes.subarray(index.offset, limit), index, limit, "");
    expect(blocks.length).toBe(3);
  });

  function damaged(name: string, work: (bytes: Buffer) => Uint8Array): string {
    const prefix = join(folder, name);
    for (const suffix of [".index", DATA]) fs.copyFileSync(whole + suffix, prefix + suffix);
    change(`${prefix}.index`, work);
    return prefix;
  }

  test("without footer is rebuilt whole", async () => {
    const prefix = damaged("footer", (bytes) => bytes.subarray(0, bytes.length - FOOTER_BYTES));
    const { saved, lost, damages } = await repaired(prefix);
    expect([saved.length, lost]).toEqual([COUNT, []]);
    expect(damages).toEqual(["the footer or the index of the index's blocks is lost"]);
  });

  test("with a broken index block is rebuilt whole", async () => {
    const prefix = damaged("blocks", (bytes) => flipped(bytes.length - FOOTER_BYTES - 20)(bytes));
    const { saved, lost } = await repaired(prefix);
    expect([saved.length, lost]).toEqual([COUNT, []]);
  });

  test.each([
    ["its footer", 0],
    ["no footer", FOOTER_BYTES],
  ])("with one broken block and %s loses that block, by name", async (name, cut) => {
    const { offset, size } = blocks[1]!;
    const broken = (bytes: Buffer): Uint8Array =>
      flipped(offset + size - 9000)(bytes).subarray(0, bytes.length - cut);
    const { saved, lost, damages } = await repaired(damaged(`one ${name}`, broken));
    expect(saved.length).toBeGreaterThan(COUNT - 1500);
    expect(saved.length + lost.length).toBeGreaterThanOrEqual(COUNT - 100);
    expect(lost[0]!.why).toBe(`its record stands in a damaged block of the index, at byte ${offset}`);
    expect(damages.at(-1)).toBe(`${size + 5} bytes of the index at ${offset} are damaged`);
  });

  test("with its first block broken still knows its shards", async () => {
    const { saved } = await repaired(
      damaged("first", (bytes) => flipped(10)(bytes).subarray(0, -FOOTER_BYTES)),
    );
    expect(saved.length).toBeGreaterThan(COUNT - 1500);
  });

  test("cut in the middle keeps the blocks before", async () => {
    const prefix = damaged("middle", (bytes) => bytes.subarray(0, blocks[2]!.offset + 1000));
    const { saved, lost } = await repaired(prefix);
    expect(saved.length).toBeGreaterThan(2000);
    expect(lost.length).toBeGreaterThan(3);
  });

  test("of noise is refused, in bounded time", async () => {
    const prefix = damaged("noise", (bytes) => bytes.fill(0));
    await expect(salvageCheckpoint(prefix, `${prefix}-repaired`)).rejects.toThrow(
      "no block of the index is whole",
    );
  });
});
