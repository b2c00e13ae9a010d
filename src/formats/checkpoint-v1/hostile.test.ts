import { readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { bytesSource, heldFiles } from "#platform";
import { isVarscopeError, sizeOf } from "../../base/index.ts";
import { SavedTensorSlicesSchema } from "../../proto/index.ts";
import { pushVarint, readTable, type TableEntry, writeTable } from "../../wire/index.ts";
import { openV1Collection } from "../checkpoint/index.ts";
import { sliceKey } from "../checkpoint/slice.ts";
import type { VariableCollection } from "../collection/index.ts";

const GOLDENS = new URL("../../../tests/goldens/checkpoint-v1/", import.meta.url);
const golden = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, GOLDENS)));
const opened = (bytes: Uint8Array): Promise<VariableCollection> =>
  openV1Collection("m", heldFiles(new Map([["m", bytesSource(bytes, "m")]])));

const broken = JSON.parse(new TextDecoder().decode(golden("broken.json"))) as readonly {
  readonly of: string;
  readonly truncate?: number;
  readonly flip?: number;
  readonly garbage?: number;
  readonly error: string;
}[];

test.each(broken)("$of, cut to $truncate, byte $flip turned, garbage $garbage", async (c) => {
  const bytes =
    c.garbage === undefined
      ? golden(c.of).slice(0, c.truncate)
      : new TextEncoder().encode("garbage ".repeat(c.garbage));
  if (c.flip !== undefined) bytes[c.flip]! ^= 0xff;
  const reading = opened(bytes).then(async (m) => {
    for (const v of m.variables) await m.read(v.name);
  });
  await expect(reading).rejects.toThrow(c.error);
});

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
async function readAll(bytes: Uint8Array): Promise<boolean> {
  await new Promise((resolve) => setImmediate(resolve)); // the runner's own messages pass
  let refused = false;
  const guarded = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((e: unknown) => {
      if (!isVarscopeError(e)) throw e;
      refused = true;
    });
  };
  await guarded(async () => {
    const m = await opened(bytes);
    for (const { name, shape } of m.variables) {
      await guarded(() => m.read(name));
      const box = { start: shape!.map(() => 0), size: shape!.map((n) => Math.min(n!, 2)) };
      await guarded(() => m.readBox(name, box));
      await guarded(async () => {
        let values = 0;
        for await (const piece of m.stream(name)) values += piece.shape[0]!;
        if (values !== sizeOf(shape as number[])) throw new Error(`${name} streamed ${values} values`);
      });
    }
  });
  return refused;
}

test.each(["dtypes", "shapes", "parts", "snappy"])(
  "800 mutants of %s give values or typed errors",
  async (name) => {
    const whole = golden(name);
    const random = randomBelow(2026);
    let refusals = 0;
    for (let i = 0; i < 400; i++) {
      const mutant = whole.slice(0, random(8) === 0 ? random(whole.length) : whole.length);
      for (let k = random(4); k >= 0 && mutant.length > 0; k--) mutant[random(mutant.length)] = random(256);
      if (await readAll(mutant)) refusals++;
    }
    expect(refusals).toBeGreaterThan(320);
    // The same below the checksums: records changed, the table around them whole.
    const entries = readTable(whole);
    for (let i = 0; i < 400; i++) {
      const changed = entries.map((e) => ({ key: e.key, value: e.value.slice() }));
      for (let k = random(3); k >= 0; k--) {
        const { value } = changed[random(changed.length)]!;
        if (value.length > 0) value[random(Math.min(value.length, 200))] = random(256);
      }
      await readAll(writeTable(changed));
    }
  },
);

const EMPTY = new Uint8Array(0);
const record = (init: MessageInitShape<typeof SavedTensorSlicesSchema>): Uint8Array =>
  toBinary(SavedTensorSlicesSchema, create(SavedTensorSlicesSchema, init));

/** A table of one tensor "w" of floats, in slices along its first axis. */
function tableOf(
  dims: readonly bigint[],
  extents: readonly (readonly [bigint, bigint] | null)[],
  values: readonly (readonly number[])[],
  type = 1,
): Uint8Array {
  const slice = extents.map((extent) => ({
    extent: dims.map((_, axis) =>
      axis > 0 || extent === null ? {} : { start: extent[0], length: extent[1] },
    ),
  }));
  const shape = { dim: dims.map((size) => ({ size })) };
  const meta = { tensor: [{ name: "w", shape, type, slice }], versions: { producer: 1 } };
  const entries: TableEntry[] = [{ key: EMPTY, value: record({ meta }) }];
  for (const [i, floatVal] of values.entries()) {
    const extent = extents[i]!;
    const place = dims.map((_, axis) =>
      axis > 0 || extent === null
        ? { start: 0, length: null }
        : { start: Number(extent[0]), length: Number(extent[1]) },
    );
    const data = { data: { floatVal: [...floatVal] } };
    entries.push({ key: sliceKey("w", place), value: record({ data }) });
  }
  return writeTable(entries);
}

test.each([
  [[1n << 60n], [null], "m: w: dimension 1152921504606847000 is not in [0, 2^53)"],
  [[-1n], [null], "m: w: dimension -1 is not in [0, 2^53)"],
  [[1n << 30n, 1n << 30n], [null], "m: w: shape [1073741824,1073741824] has more than 2^53 elements"],
  [Array.from({ length: 300 }, () => 1n), [null], "m: w: a shape of 300 dimensions; at most 254 are read"],
  [[4n], [[0n, 5n]] as const, "m: w: an extent 0,5 of w leaves the 4 of axis 0"],
  [[4n], [[-1n, 2n]] as const, "m: w: an extent -1,2 of w leaves the 4 of axis 0"],
])("a tensor is refused when the file is opened %#", async (dims, extents, message) => {
  await expect(opened(tableOf(dims, extents, []))).rejects.toThrow(message);
});

test.each([
  [[1n << 40n], [null], [[1]], "1099511627776 values of float32 need 4398046511104 bytes, the record has 10"],
  [[4n], [null], [], "[DATA_LOSS] m: w: the values at [0] are missing"],
  [[2n], [null], [[1, 2, 3]], "[DATA_LOSS] m: w: the record has more than 2 values"],
  [[4n], [[0n, 2n]] as const, [[1, 2]], "[DATA_LOSS] w: the slices of [4] have 2 of 4 values"],
  [
    [4n],
    [
      [0n, 3n],
      [1n, 1n],
    ] as const,
    [[1, 2, 3], [1]],
    "[DATA_LOSS] w: the slices of [4] overlap",
  ],
])("values are refused before memory is taken for them %#", async (dims, extents, values, message) => {
  const m = await opened(tableOf(dims as bigint[], extents as never, values as number[][]));
  await expect(m.read("w")).rejects.toThrow(message);
});

test("a record of too few values is refused", async () => {
  // Long enough for its values, if half of them were not another field.
  const meta = fromBinary(SavedTensorSlicesSchema, readTable(tableOf([4n], [null], []))[0]!.value).meta!;
  const data = { name: "w".repeat(40), data: { floatVal: [1, 2] } };
  const table = writeTable([
    { key: EMPTY, value: record({ meta }) },
    { key: sliceKey("w", [{ start: 0, length: null }]), value: record({ data }) },
  ]);
  await expect((await opened(table)).read("w")).rejects.toThrow("the record has fewer than 4 values");
});

test("a later version, an unknown dtype and slices of two shapes are refused by name", async () => {
  const tensor = (size: bigint) => ({ name: "w", type: 1, shape: { dim: [{ size }] }, slice: [] });
  const only = (init: MessageInitShape<typeof SavedTensorSlicesSchema>): Uint8Array =>
    writeTable([{ key: EMPTY, value: record(init) }]);
  await expect(opened(only({ meta: { versions: { minConsumer: 9 } } }))).rejects.toThrow(
    "[UNIMPLEMENTED] m: checkpoint wants a reader of version 9, this one has 1",
  );
  await expect(opened(tableOf([1n], [null], [[1]], 77))).rejects.toThrow(
    "m: w: dtype number 77 is not known",
  );
  await expect(opened(only({ meta: { tensor: [tensor(1n), tensor(2n)] } }))).rejects.toThrow(
    "m: w: a slice of float32 [2], those before it are of float32 [1]",
  );
});

test("records that would grow in memory are counted", async () => {
  /** A field 1 of that many bytes. */
  const field = (content: Uint8Array): Uint8Array => {
    const head = [0x0a];
    pushVarint(head, content.length);
    return Buffer.concat([Uint8Array.from(head), content]);
  };
  const many = field(Uint8Array.from({ length: 2_000_004 }, (_, i) => (i % 2 === 0 ? 0x0a : 0))); // tensors of no bytes
  await expect(opened(writeTable([{ key: EMPTY, value: many }]))).rejects.toThrow(
    "[DATA_LOSS] m: over 1000000 tensors and slices",
  );
  const fat = field(field(new Uint8Array(4_194_305)));
  await expect(opened(writeTable([{ key: EMPTY, value: fat }]))).rejects.toThrow(
    "bytes about one tensor; at most 4194304 are read",
  );
});
