import { readFileSync } from "node:fs";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { bytesSource } from "#platform";
import { crc32c, isVarscopeError, maskCrc } from "../../base/index.ts";
import { type BundleEntryProto, BundleEntryProtoSchema, BundleHeaderProtoSchema } from "../../proto/index.ts";
import { readTable, writeTable } from "../../wire/index.ts";
import { readIndex } from "./bundle.ts";
import { openCheckpointFrom } from "./index.ts";
import { sliceKey } from "./slice.ts";

const golden = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../tests/goldens/checkpoint/${file}`, import.meta.url)));

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

/** Reads everything; only typed errors may come. @returns whether anything was refused */
async function readAll(index: Uint8Array, data: Uint8Array): Promise<boolean> {
  let refused = false;
  const guarded = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((e: unknown) => {
      if (!isVarscopeError(e)) throw e;
      refused = true;
    });
  };
  await guarded(async () => {
    const sources = { index: bytesSource(index, "i"), shard: () => bytesSource(data, "d") };
    const checkpoint = await openCheckpointFrom("m", sources);
    for (const name of checkpoint.names()) await guarded(() => checkpoint.read(name));
    await guarded(() => checkpoint.readMany(checkpoint.names()));
  });
  return refused;
}

test.each(["shapes", "strings", "parts", "dtypes"])("3000 mutants of %s give typed errors", async (name) => {
  const [index, data] = [golden(`${name}.index`), golden(`${name}.data-00000-of-00001`)];
  const random = randomBelow(2026);
  let refusals = 0;
  for (let i = 0; i < 1500; i++) {
    const mutant = index.slice(0, random(8) === 0 ? random(index.length) : index.length);
    for (let k = random(4); k >= 0 && mutant.length > 0; k--) mutant[random(mutant.length)] = random(256);
    if (await readAll(mutant, data)) refusals++;
  }
  expect(refusals).toBeGreaterThan(1200);
  // The same below the checksums: records changed, the table around them whole.
  const entries = readTable(index);
  for (let i = 0; i < 1500; i++) {
    const changed = entries.map((e) => ({ key: e.key, value: e.value.slice() }));
    for (let k = random(3); k >= 0; k--) {
      const { value } = changed[random(changed.length)]!;
      if (value.length > 0) value[random(value.length)] = random(256);
    }
    await readAll(writeTable(changed), data);
  }
});

type Fields = Partial<Omit<BundleEntryProto, "$typeName" | "$unknown" | "shape" | "slices">> & {
  readonly dims?: readonly bigint[];
  readonly slices?: readonly (readonly [bigint, bigint])[];
};

/** An index of one tensor "w", and further records. */
function indexOf(
  fields: Fields,
  more: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[] = [],
): Uint8Array {
  const header = create(BundleHeaderProtoSchema, { numShards: 1, version: { producer: 1 } });
  return writeTable([
    { key: new Uint8Array(0), value: toBinary(BundleHeaderProtoSchema, header) },
    ...more,
    { key: new TextEncoder().encode("w"), value: record(fields) },
  ]);
}

function record({ dims = [], slices = [], ...fields }: Fields): Uint8Array {
  const extents = slices.map(([start, length]) => ({ extent: [{ start, length }] }));
  const shape = { dim: dims.map((size) => ({ size })) };
  return toBinary(
    BundleEntryProtoSchema,
    create(BundleEntryProtoSchema, { dtype: 1, ...fields, shape, slices: extents }),
  );
}

test.each([
  [{ dims: [1n << 60n], size: 4n }, "i: w: dimension 1152921504606846976 is not in [0, 2^53)"],
  [{ dims: [-1n], size: 4n }, "i: w: dimension -1 is not in [0, 2^53)"],
  [
    { dims: [1n << 30n, 1n << 30n], size: 4n },
    "i: w: shape [1073741824,1073741824] has more than 2^53 elements",
  ],
  [
    { dims: [1n << 40n], size: 4n },
    "i: w: float32 [1099511627776] needs 4398046511104 bytes, the entry has 4",
  ],
  [{ dims: [2n], size: 8n, offset: -8n }, "i: w: offset -8 is not in [0, 2^53)"],
  [{ dims: [2n], size: 8n, shardId: 1 }, "i: w: shard 1 is not one of 1"],
  [{ dims: [2n], size: 8n, dtype: 77 }, "i: w: dtype number 77 is not known"],
  [{ dims: [9n], size: 3n, dtype: 7 }, "i: w: string [9] does not fit into 3 bytes"],
  [
    { dims: Array.from({ length: 300 }, () => 1n), size: 4n },
    "i: w: shape has 300 dimensions, at most 254 are allowed",
  ],
  [{ dims: [4n], slices: [[0n, 5n]] as const }, "i: w: a part's extent 0,5 leaves the 4 of axis 0"],
  [{ dims: [4n], slices: [[0n, 2n]] as const }, "i: w: the values of part '4 0,2' are missing"],
])("an entry is refused before memory is taken %#", (fields: Fields, message) => {
  expect(() => readIndex(indexOf(fields), "i")).toThrow(message);
});

test("values beyond the file are refused before memory is taken", async () => {
  const index = indexOf({ dims: [1n << 33n], size: 1n << 35n });
  const sources = { index: bytesSource(index, "i"), shard: () => bytesSource(new Uint8Array(16), "d") };
  const checkpoint = await openCheckpointFrom("m", sources);
  await expect(checkpoint.read("w")).rejects.toThrow(
    '[DATA_LOSS] d@0: "w" takes 34359738368 bytes, the file has 16 of them',
  );
});

test("parts that overlap or claim the same bytes twice are refused", async () => {
  const part = (start: number, length: number) => ({
    key: sliceKey("w", [{ start, length }]),
    value: record({
      dims: [BigInt(length)],
      size: BigInt(4 * length),
      crc32c: maskCrc(crc32c(new Uint8Array(4 * length))),
    }),
  });
  const open = (
    slices: readonly (readonly [bigint, bigint])[],
    parts: readonly ReturnType<typeof part>[],
  ) => {
    const index = indexOf({ dims: [4n], slices }, parts);
    return openCheckpointFrom("m", {
      index: bytesSource(index, "i"),
      shard: () => bytesSource(new Uint8Array(8), "d"),
    });
  };
  const overlapping = await open(
    [
      [0n, 2n],
      [0n, 2n],
    ],
    [part(0, 2)],
  );
  await expect(overlapping.read("w")).rejects.toThrow("[DATA_LOSS] w: the parts of [4] overlap");
  const claiming = await open(
    [
      [0n, 2n],
      [2n, 2n],
    ],
    [part(0, 2), part(2, 2)],
  );
  await expect(claiming.read("w")).rejects.toThrow(
    '[DATA_LOSS] d: the parts of "w" are more than the file\'s 8 bytes',
  );
});

test("a header of another version or byte order is refused by name", () => {
  const only = (init: object): Uint8Array => {
    const value = toBinary(BundleHeaderProtoSchema, create(BundleHeaderProtoSchema, init));
    return writeTable([{ key: new Uint8Array(0), value }]);
  };
  expect(() => readIndex(only({ numShards: 1, version: { minConsumer: 9 } }), "i")).toThrow(
    "[UNIMPLEMENTED] i: checkpoint wants a reader of version 9",
  );
  expect(() => readIndex(only({ numShards: 1, endianness: 1 }), "i")).toThrow(
    "[UNIMPLEMENTED] i: checkpoint was written on a big-endian machine",
  );
  expect(() => readIndex(only({}), "i")).toThrow("[DATA_LOSS] i: header says 0 shards");
});
