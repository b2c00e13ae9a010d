import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesSource, heldFiles, type Source } from "#platform";
import { type Box, type DType, fromBytes, fromData, sizeOf, type Tensor, tensor } from "../../base/index.ts";
import { openV1Collection, parseSliceSpec, writeV1Collection } from "../checkpoint/index.ts";
import { boxOfSlice } from "../checkpoint/slice.ts";
import { cutBox, joinPieces, variableOf, type WritableVariable } from "../collection/index.ts";

interface Golden {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly slice: string;
  readonly base64?: string;
  readonly strings?: readonly string[];
}

interface Checksum {
  readonly bytes: number;
  readonly sha256: string;
}

const GOLDENS = new URL("../../../tests/goldens/checkpoint-v1/", import.meta.url);
const place = (name: string): string => join(GOLDENS.pathname, name);
const golden = (file: string): Buffer => fs.readFileSync(place(file));
const manifest = JSON.parse(golden("manifest.json").toString()) as {
  readonly checkpoints: Readonly<Record<string, readonly Golden[]>>;
  readonly many: Checksum;
  readonly large: Checksum;
};

const bytesFrom = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));
const tensorOf = ({ dtype, shape, base64, strings }: Golden): Tensor =>
  strings === undefined
    ? fromBytes(dtype, shape, bytesFrom(base64!))
    : fromData(dtype, shape, strings.map(bytesFrom));

/** Whole tensors of a golden, those of parts put together. */
function wholes(goldens: readonly Golden[]): Map<string, { readonly whole: Tensor; readonly parts: Box[] }> {
  const out = new Map<string, { readonly whole: Tensor; readonly parts: Box[] }>();
  for (const name of new Set(goldens.map((g) => g.name))) {
    const own = goldens.filter((g) => g.name === name);
    const first = tensorOf(own[0]!);
    if (own[0]!.slice === "") {
      out.set(name, { whole: first, parts: [] });
      continue;
    }
    const { fullShape } = parseSliceSpec(own[0]!.slice);
    const parts = own.map((g) => boxOfSlice(fullShape, parseSliceSpec(g.slice).slice));
    const data = first.dtype === "string" ? new Array<Uint8Array>(sizeOf(fullShape)) : first.data.slice(0, 0);
    const flat = (
      Array.isArray(data) ? data : new (data.constructor as Float32ArrayConstructor)(sizeOf(fullShape))
    ) as Float32Array;
    own.forEach((g, i) => {
      const t = tensorOf(g);
      const [rows, columns] = [parts[i]!.size[0]!, parts[i]!.size[1] ?? 1];
      const width = fullShape[1] ?? 1;
      for (let k = 0; k < rows * columns; k++) {
        const [row, column] = [Math.floor(k / columns), k % columns];
        flat[(parts[i]!.start[0]! + row) * width + (parts[i]!.start[1] ?? 0) + column] = t.data[k] as number;
      }
    });
    out.set(name, { whole: { dtype: first.dtype, shape: fullShape, data: flat }, parts });
  }
  return out;
}

async function* piecesOf(t: Tensor, length: number): AsyncGenerator<Tensor> {
  const width = t.dtype.startsWith("complex") ? 2 : 1;
  for (let i = 0; i < t.data.length; i += length * width) {
    const data = t.data.slice(i, i + length * width) as Float32Array;
    yield { dtype: t.dtype, shape: [data.length / width], data };
  }
}

/** A variable that gives its values a few at a time. */
const writable = (name: string, t: Tensor, parts: readonly Box[] = [], length = 7): WritableVariable => ({
  name,
  dtype: t.dtype,
  shape: t.shape,
  ...(parts.length > 0 ? { parts } : {}),
  values: () => piecesOf(t, length),
});

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-v1-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe.each(Object.keys(manifest.checkpoints))("%s", (name) => {
  const tensors = wholes(manifest.checkpoints[name]!);

  test("is read: whole, as a stream, and by boxes", async () => {
    const c = await openV1Collection(place(name));
    expect(c.format).toBe("checkpoint-v1");
    expect(new Set(c.variables.map((v) => v.name))).toEqual(new Set(tensors.keys()));
    for (const [key, { whole, parts }] of tensors) {
      const entry = c.find(key);
      expect({ dtype: entry.dtype, shape: entry.shape }).toEqual({ dtype: whole.dtype, shape: whole.shape });
      expect(await c.read(key), key).toEqual(whole);
      const pieces: Tensor[] = [];
      for await (const piece of c.stream(key)) pieces.push(piece);
      expect(joinPieces(whole, pieces).data, key).toEqual(whole.data);
      expect(entry.parts ?? []).toEqual(parts.length > 0 ? expect.arrayContaining(parts) : []);
      const box = {
        start: whole.shape.map((n) => Math.floor(n / 3)),
        size: whole.shape.map((n) => Math.ceil(n / 2)),
      };
      expect(await c.readBox(key, box), key).toEqual(cutBox(whole, box));
    }
    await c.close();
  });

  test("is written byte for byte as TensorFlow writes it", async () => {
    const variables = [...tensors].map(([key, { whole, parts }]) => writable(key, whole, parts));
    expect(await writeV1Collection(join(folder, name), { variables })).toEqual({ left: [] });
    expect(fs.readFileSync(join(folder, name))).toEqual(golden(name));
    expect(fs.readdirSync(folder).filter((f) => f.includes("tmp"))).toEqual([]);
  });
});

test("roles, slots and steps are told by the names", async () => {
  const c = await openV1Collection(place("shapes"));
  const facts = (name: string) => {
    const { role, layer, of, slot, optimizer } = c.find(name);
    return { role, layer, of, slot, optimizer };
  };
  expect(facts("conv/kernel")).toMatchObject({ role: "weight", layer: "conv" });
  expect(facts("conv/kernel/Adam_1")).toEqual({
    role: "slot",
    layer: "conv",
    of: "conv/kernel",
    slot: "v",
    optimizer: "Adam",
  });
  expect(facts("global_step").role).toBe("step");
  await c.close();
});

test("a table with snappy blocks is read as the one without", async () => {
  expect(golden("snappy").length).toBeLessThan(golden("parts").length / 5);
  const [a, b] = [await openV1Collection(place("snappy")), await openV1Collection(place("parts"))];
  expect(a.variables).toEqual(b.variables);
  for (const v of b.variables) expect(await a.read(v.name)).toEqual(await b.read(v.name));
  await a.close();
  await b.close();
});

const SHARDS = ["sharded-00000-of-00003", "sharded-00001-of-00003", "sharded-00002-of-00003"];
const table = tensor(
  Array.from({ length: 40 }, (_, i) => i),
  "float32",
  [10, 4],
);

test.each(["sharded-?????-of-00003", "sharded-*", "sharded", SHARDS[1]!])(
  "shards are found by %s",
  async (path) => {
    const c = await openV1Collection(place(path));
    expect(c.variables.map((v) => v.name)).toEqual(["a", "emb", "global_step"]);
    expect(await c.read("emb")).toEqual(table);
    expect(c.find("emb").parts).toHaveLength(3);
    const box = { start: [3, 1], size: [5, 2] };
    expect(await c.readBox("emb", box)).toEqual(cutBox(table, box));
    await c.close();
  },
);

test("shards are found among held files, and missing ones are named", async () => {
  const held = (names: readonly string[]) =>
    heldFiles(new Map(names.map((n) => [n, bytesSource(new Uint8Array(golden(n)), n)] as const)));
  const c = await openV1Collection(SHARDS[0]!, held(SHARDS));
  expect(await c.read("emb")).toEqual(table);
  await expect(openV1Collection(SHARDS[0]!, held(SHARDS.slice(0, 2)))).rejects.toThrow(
    "[NOT_FOUND] sharded-00000-of-00003: 2 of 3 shards are there: sharded-00000-of-00003, sharded-00001-of-00003; copy the missing ones beside them",
  );
  await expect(openV1Collection("nope", held(SHARDS))).rejects.toThrow(
    "[NOT_FOUND] Unsuccessful TensorSliceReader constructor: Failed to find any matching files for nope; its folder has sharded-00000-of-00003",
  );
  const two = held([...SHARDS, "parts"]);
  const mixed = { ...two, list: async () => [...SHARDS, "sharded-00000-of-00001"] };
  await expect(openV1Collection("sharded", mixed)).rejects.toThrow(
    "shards of 2 checkpoints are there; give one of sharded-?????-of-00003, sharded-?????-of-00001",
  );
});

test("shards are written, and the whole is read from them", async () => {
  const variables = [...wholes(manifest.checkpoints.parts!)].map(([key, { whole }]) => writable(key, whole));
  const path = join(folder, "spread");
  await writeV1Collection(path, { variables }, { shards: 3 });
  expect(fs.readdirSync(folder).filter((f) => f.startsWith("spread"))).toEqual(
    [0, 1, 2].map((i) => `spread-0000${i}-of-00003`),
  );
  const c = await openV1Collection(path);
  for (const v of variables)
    expect(await c.read(v.name)).toEqual(wholes(manifest.checkpoints.parts!).get(v.name)!.whole);
  await c.close();
});

const sumOf = (file: string): Checksum => {
  const data = fs.readFileSync(join(folder, file));
  return { bytes: data.length, sha256: createHash("sha256").update(data).digest("hex") };
};

test("4000 names in several blocks are the bytes that TensorFlow writes, and open", async () => {
  const variables = Array.from({ length: 4000 }, (_, i) => {
    const values = Float32Array.from({ length: i % 90 }, (_, k) => k + i);
    return variableOf(`scope_${i % 97}/block${Math.floor(i / 97)}/w`, fromData("float32", [i % 90], values));
  });
  await writeV1Collection(join(folder, "many"), { variables });
  expect(sumOf("many")).toEqual(manifest.many);
  const c = await openV1Collection(join(folder, "many"));
  expect(c.variables).toHaveLength(4000);
  for (const i of [0, 89, 1234, 3999]) {
    const { name, shape } = variables[i]!;
    const values = Float32Array.from({ length: i % 90 }, (_, k) => k + i);
    expect(await c.read(name)).toEqual(fromData("float32", shape, values));
  }
  await c.close();
});

/** A source that counts what is read of it. */
function counted(bytes: Uint8Array): Source & { read: Source["read"]; most: number; total: number } {
  const inner = bytesSource(bytes, "large");
  const out = {
    ...inner,
    most: 0,
    total: 0,
    read: (offset: number, length: number) => {
      out.most = Math.max(out.most, length);
      out.total += length;
      return inner.read(offset, length);
    },
  };
  return out;
}

test("long values pass in pieces, both ways", async () => {
  const kernel = fromData(
    "float32",
    [2500, 1000],
    Float32Array.from({ length: 2_500_000 }, (_, i) => i * 0.5),
  );
  const steps = BigInt64Array.from({ length: 1_500_000 }, (_, i) => BigInt(i) * 1_000_003n - 7_000_000n);
  const variables = [
    variableOf("before", tensor([0, 1, 2, 3, 4, 5, 6], "int32")),
    writable("kernel", kernel, [], 1_000_000),
    writable("steps", fromData("int64", [1_500_000], steps), [], 1_000_000),
    variableOf("w", tensor(2 as never, "float32", [])),
  ];
  let written = 0;
  await writeV1Collection(join(folder, "large"), { variables }, { onProgress: (bytes) => (written = bytes) });
  expect(sumOf("large")).toEqual(manifest.large);
  expect(written).toBeGreaterThan(10_000_000);
  const source = counted(new Uint8Array(fs.readFileSync(join(folder, "large"))));
  const c = await openV1Collection("large", heldFiles(new Map([["large", source]])));
  expect(source.total).toBeLessThan(10_000);
  let at = 0;
  for await (const piece of c.stream("kernel")) {
    expect(piece.data.length).toBeLessThanOrEqual(1 << 20);
    expect((piece.data as Float32Array).every((x, i) => x === (at + i) * 0.5)).toBe(true);
    at += piece.data.length;
  }
  expect(at).toBe(2_500_000);
  expect(source.most).toBeLessThanOrEqual(4 << 20);
  const box = { start: [1200, 10], size: [1, 3] };
  expect(await c.readBox("kernel", box)).toEqual(cutBox(kernel, box));
  expect((await c.read("steps")).data).toEqual(steps);
  expect(await c.read("w")).toEqual(tensor(2 as never, "float32", []));
});

test("a flipped bit in a long value is found when its stream ends", async () => {
  const bytes = new Uint8Array(fs.readFileSync(join(folder, "large")));
  bytes[5_000_000]! ^= 1;
  const c = await openV1Collection("large", heldFiles(new Map([["large", bytesSource(bytes, "large")]])));
  await expect(c.read("kernel")).rejects.toThrow("[DATA_LOSS] large@149: block checksum mismatch");
  await expect(c.read("steps")).resolves.toBeDefined();
});

test("what V1 cannot hold is named and left", async () => {
  const empty = (name: string, dtype: DType, shape: readonly number[]): WritableVariable => ({
    name,
    dtype,
    shape,
    async *values() {},
  });
  const variables = [
    empty("brain", "bfloat16", [2]),
    empty("counts", "uint64", [2]),
    empty("huge", "float32", [40_000, 40_000]),
    variableOf("w", tensor([1], "float32")),
  ];
  expect(await writeV1Collection(join(folder, "left"), { variables })).toEqual({
    left: [
      { what: "brain", why: "V1 has no place for bfloat16; cast it, or write a V2 checkpoint" },
      { what: "counts", why: "V1 has no place for uint64; cast it, or write a V2 checkpoint" },
      {
        what: "huge",
        why: "1600000000 values of float32 in one slice, V1 holds 2 GiB; write a V2 checkpoint",
      },
    ],
  });
  const c = await openV1Collection(join(folder, "left"));
  expect(c.variables.map((v) => v.name)).toEqual(["w"]);
  await c.close();
});

test("a write that cannot be completed leaves the file that was there", async () => {
  const path = join(folder, "kept");
  await writeV1Collection(path, { variables: [variableOf("w", tensor([1], "float32"))] });
  const before = fs.readFileSync(path);
  const short = { ...variableOf("v", tensor([1], "float32")), shape: [2] };
  await expect(writeV1Collection(path, { variables: [short] })).rejects.toThrow(
    "[INVALID_ARGUMENT] v: it gives fewer values than [2] has",
  );
  const long = { ...variableOf("v", tensor([1, 2], "float32")), shape: [1] };
  await expect(writeV1Collection(path, { variables: [long] })).rejects.toThrow("it gives more values");
  const twice = [variableOf("w", tensor([1], "float32")), variableOf("w", tensor([1], "float32"))];
  await expect(writeV1Collection(path, { variables: twice })).rejects.toThrow("Adding duplicate key: w");
  expect(fs.readFileSync(path)).toEqual(before);
  expect(fs.readdirSync(folder).filter((f) => f.startsWith("kept"))).toEqual(["kept"]);
});
