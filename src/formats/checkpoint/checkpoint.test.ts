import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DType, fromBytes, fromData, type Tensor, tensor } from "../../base/index.ts";
import {
  mergeCheckpoints,
  type NamedTensor,
  openCheckpoint,
  parseSliceSpec,
  saveCheckpoint,
  shardedFilename,
} from "./index.ts";

interface Golden {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly slice: string;
  readonly base64?: string;
  readonly strings?: readonly string[];
}

const GOLDENS = new URL("../../../tests/goldens/checkpoint/", import.meta.url);
const golden = (file: string): Buffer => fs.readFileSync(new URL(file, GOLDENS));
const manifest = JSON.parse(golden("manifest.json").toString()) as {
  readonly checkpoints: Readonly<Record<string, { readonly tensors: readonly Golden[] }>>;
  readonly many: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
  readonly merged: readonly (readonly Golden[])[];
};
const broken = JSON.parse(golden("broken.json").toString()) as readonly {
  readonly of: string;
  readonly file: string;
  readonly truncate?: number;
  readonly flip?: number;
  readonly garbage?: number;
  readonly remove?: boolean;
  readonly error: string;
}[];

const bytesFrom = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));
const tensorOf = ({ dtype, shape, base64, strings }: Golden): Tensor =>
  strings === undefined
    ? fromBytes(dtype, shape, bytesFrom(base64!))
    : fromData(dtype, shape, strings.map(bytesFrom));
const named = (g: Golden): NamedTensor => ({ name: g.name, tensor: tensorOf(g), slice: g.slice });

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-checkpoint-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));
const read = (file: string): Buffer => fs.readFileSync(join(folder, file));

describe.each(Object.keys(manifest.checkpoints))("%s", (name) => {
  const tensors = manifest.checkpoints[name]!.tensors;

  test("is written byte for byte as TensorFlow writes it", async () => {
    await saveCheckpoint(join(folder, name), tensors.map(named));
    for (const file of [`${name}.index`, `${name}.data-00000-of-00001`])
      expect(read(file), file).toEqual(golden(file));
    expect(fs.readdirSync(folder).filter((f) => f.includes("tmp"))).toEqual([]);
  });

  test("is read as it was written, one by one and together", async () => {
    const checkpoint = await openCheckpoint(new URL(`${name}`, GOLDENS).pathname);
    const whole = tensors.filter((t) => t.slice === "").map(named);
    for (const { name, tensor } of whole) expect(await checkpoint.read(name)).toEqual(tensor);
    expect(await checkpoint.readMany(whole.map((t) => t.name))).toEqual(whole.map((t) => t.tensor));
    for (const part of tensors.filter((t) => t.slice !== "")) {
      expect(await checkpoint.readSlice(part.name, part.slice), part.slice).toEqual(tensorOf(part));
    }
    const bytewise = [...new Set(tensors.map((t) => t.name))].sort((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    expect(checkpoint.names()).toEqual(bytewise);
    await checkpoint.close();
  });
});

test("6000 names give TensorFlow's bytes: several blocks, separators, restarts", async () => {
  const many = Array.from({ length: 6000 }, (_, i): NamedTensor => {
    const values = Array.from({ length: i % 4 }, (_, k) => k + i);
    return {
      name: `scope_${i % 97}/block${Math.floor(i / 97)}/w`,
      tensor: tensor(values, "float32", [i % 4]),
    };
  });
  await saveCheckpoint(join(folder, "many"), many);
  for (const [suffix, { bytes, sha256 }] of Object.entries(manifest.many)) {
    const found = read(`many${suffix}`);
    expect([found.length, createHash("sha256").update(found).digest("hex")]).toEqual([bytes, sha256]);
  }
  const checkpoint = await openCheckpoint(join(folder, "many"));
  const some = many.filter((_, i) => i % 7 === 0);
  expect(await checkpoint.readMany(some.map((t) => t.name))).toEqual(some.map((t) => t.tensor));
  await checkpoint.close();
});

test("sharded saves merge as MergeV2Checkpoints merges them", async () => {
  const prefixes: string[] = [];
  for (const [i, tensors] of manifest.merged.entries()) {
    fs.mkdirSync(join(folder, `shard${i}`));
    prefixes.push(join(folder, `shard${i}`, "part"));
    await saveCheckpoint(prefixes.at(-1)!, tensors.map(named));
  }
  await mergeCheckpoints(prefixes, join(folder, "merged"));
  const files = ["merged.index", ...[0, 1, 2].map((i) => shardedFilename("merged.data", i, 3))];
  for (const file of files) expect(read(file), file).toEqual(golden(file));
  expect(fs.readdirSync(folder).filter((f) => f.startsWith("shard"))).toEqual([]);
});

test("a whole tensor in two shards is refused", async () => {
  const one = [{ name: "w", tensor: tensor([1]) }];
  for (const name of ["twice0", "twice1"]) await saveCheckpoint(join(folder, name), one);
  const merging = mergeCheckpoints([join(folder, "twice0"), join(folder, "twice1")], join(folder, "twice"));
  await expect(merging).rejects.toThrow("Duplicate tensor keyed by w encountered");
});

describe("parts", () => {
  const open = () => openCheckpoint(new URL("parts", GOLDENS).pathname);

  test("read whole, and across parts", async () => {
    const checkpoint = await open();
    const table = Array.from({ length: 10 }, (_, r) => Array.from({ length: 4 }, (_, c) => 4 * r + c));
    expect(await checkpoint.read("emb")).toEqual(tensor(table));
    const middle = table.slice(2, 7).map((row) => row.slice(1, 3));
    expect(await checkpoint.readSlice("emb", "10 4 2,5:1,2")).toEqual(tensor(middle));
    expect(await checkpoint.readSlice("whole", "10 4 2,5:1,2")).toEqual(tensor(middle));
    expect(await checkpoint.readSlice("grid", "4 6 1,2:2,3")).toEqual(
      tensor(
        [
          [8, 9, 10],
          [14, 15, 16],
        ],
        "int64",
      ),
    );
    expect(await checkpoint.readSlice("words", "4 0,2")).toEqual(tensor(["one", "two"]));
    expect(checkpoint.entries.get("emb")).toEqual({
      dtype: "float32",
      shape: [10, 4],
      bytes: 160,
      slices: [
        [
          { start: 0, length: 4 },
          { start: 0, length: 4 },
        ],
        [
          { start: 4, length: 3 },
          { start: 0, length: 4 },
        ],
        [
          { start: 7, length: 3 },
          { start: 0, length: null },
        ],
      ],
    });
    await checkpoint.close();
  });

  test("a spec of another shape is refused as TensorFlow refuses it", async () => {
    const reading = (await open()).readSlice("emb", "9 4 0,1:-");
    await expect(reading).rejects.toThrow(
      "[INVALID_ARGUMENT] emb: shape in shape_and_slice spec [9,4] does not match the shape stored in checkpoint: [10,4]",
    );
  });

  test("a missing part is a loss, not zeros", async () => {
    const half = { name: "emb", tensor: tensor([[1], [2]]), slice: "4 1 0,2:-" };
    await saveCheckpoint(join(folder, "half"), [half]);
    const checkpoint = await openCheckpoint(join(folder, "half"));
    await expect(checkpoint.read("emb")).rejects.toThrow(
      "[DATA_LOSS] emb: the parts of [4,1] have 2 of 4 values",
    );
    expect(await checkpoint.readSlice("emb", "4 1 1,1:-")).toEqual(tensor([[2]]));
    await checkpoint.close();
  });

  test.each(["", "4", "4 0,2:1", "4 0,0", "4 3,2", "x 0,1", "4 -1,2", "4  0,1"])(
    "spec %j is refused",
    (spec) => {
      expect(() => parseSliceSpec(spec)).toThrow("[INVALID_ARGUMENT] slice spec");
    },
  );
});

describe("damage", () => {
  test.each(broken)("$of $file truncate $truncate flip $flip", async (damage) => {
    const place = fs.mkdtempSync(join(folder, "broken-"));
    for (const suffix of [".index", ".data-00000-of-00001"]) {
      fs.writeFileSync(join(place, `m${suffix}`), golden(damage.of + suffix));
    }
    const file = join(place, `m${damage.file}`);
    let bytes = fs.readFileSync(file);
    if (damage.truncate !== undefined) bytes = bytes.subarray(0, damage.truncate);
    if (damage.flip !== undefined) bytes[damage.flip]! ^= 0xff;
    if (damage.garbage !== undefined) bytes = Buffer.from("garbage ".repeat(damage.garbage));
    if (damage.remove) fs.rmSync(file);
    else fs.writeFileSync(file, bytes);
    const readAll = async () => {
      const checkpoint = await openCheckpoint(join(place, "m"));
      for (const name of checkpoint.names()) await checkpoint.read(name);
    };
    const error = await readAll().catch((e: Error) => e);
    expect(String((error as Error).message).replaceAll(`${place}/`, "")).toBe(damage.error);
  });
});

test.each(["", ".index", ".data-00000-of-00001", ".meta"])("opens by prefix%s", async (suffix) => {
  await saveCheckpoint(join(folder, "named-7"), [{ name: "w", tensor: tensor([1, 2]) }]);
  fs.writeFileSync(join(folder, "named-7.meta"), "");
  const checkpoint = await openCheckpoint(join(folder, `named-7${suffix}`));
  expect([checkpoint.prefix, checkpoint.names()]).toEqual([join(folder, "named-7"), ["w"]]);
  await checkpoint.close();
});

test("a missing tensor is named, with the nearest", async () => {
  const checkpoint = await openCheckpoint(new URL("shapes", GOLDENS).pathname);
  await expect(checkpoint.read("q")).rejects.toThrow("Key q not found in checkpoint");
  await expect(checkpoint.read("other/scalar")).rejects.toThrow(
    "Key other/scalar not found in checkpoint; it has z/scalar",
  );
  await checkpoint.close();
});

describe("saving", () => {
  const w = { name: "w", tensor: tensor([1, 2, 3]) };

  test.each([
    [[w, w], "Adding duplicate key: w"],
    [[{ ...w, name: "" }], 'tensor name "" cannot be a key'],
    [[{ ...w, slice: "9 0,4" }], "slice '9 0,4' has shape [4], the tensor [3]"],
    [
      [
        { ...w, slice: "9 0,3" },
        { ...w, slice: "8 0,3" },
      ],
      "a part of float32 [8], those before it are of float32 [9]",
    ],
    [[{ ...w, slice: "9 0,3" }, w], "Adding duplicate key: w"],
  ])("refuses %#", async (tensors: readonly NamedTensor[], message) => {
    const before = fs.readdirSync(folder).length;
    await expect(saveCheckpoint(join(folder, "refused"), tensors)).rejects.toThrow(message);
    expect(fs.readdirSync(folder).length).toBe(before);
  });

  test("a failure or an abort leaves the old checkpoint, and nothing else", async () => {
    const prefix = join(folder, "kept");
    await saveCheckpoint(prefix, [w]);
    const before = fs.readdirSync(folder).sort();
    const failing = async function* () {
      yield { ...w, name: "v" };
      throw new Error("no more");
    };
    await expect(saveCheckpoint(prefix, failing())).rejects.toThrow("no more");
    const abort = new AbortController();
    abort.abort();
    await expect(saveCheckpoint(prefix, [w], { signal: abort.signal })).rejects.toThrow("[CANCELLED]");
    expect(fs.readdirSync(folder).sort()).toEqual(before);
    const checkpoint = await openCheckpoint(prefix);
    expect(await checkpoint.read("w")).toEqual(w.tensor);
    await checkpoint.close();
  });

  test("replaces a checkpoint of other shards, and removes those", async () => {
    const prefix = join(folder, "shards");
    const tensors = Array.from({ length: 7 }, (_, i) => ({ name: `t${i}`, tensor: tensor([i]) }));
    for (const shards of [3, 1, 2]) {
      await saveCheckpoint(prefix, tensors, { shards });
      const files = fs.readdirSync(folder).filter((f) => f.startsWith("shards."));
      const data = Array.from({ length: shards }, (_, i) => shardedFilename("shards.data", i, shards));
      expect(files.sort()).toEqual([...data, "shards.index"]);
      const checkpoint = await openCheckpoint(prefix);
      expect(await checkpoint.readMany(tensors.map((t) => t.name))).toEqual(tensors.map((t) => t.tensor));
      await checkpoint.close();
    }
  });

  test("a crash between the renamings of a replacement loses neither checkpoint", async () => {
    const [prefix, fresh] = [join(folder, "crash"), join(folder, "fresh")];
    const move = (file: string, from = "fresh", to = "crash.pending") =>
      fs.copyFileSync(
        join(folder, from + file),
        join(folder, to.replace(".pending", "") + file + (to.includes("pending") ? ".pending" : "")),
      );
    const value = async () => {
      const checkpoint = await openCheckpoint(prefix);
      const [found] = await checkpoint.readMany(["w"]);
      await checkpoint.close();
      return found;
    };
    await saveCheckpoint(prefix, [w]);
    const next = { name: "w", tensor: tensor([7, 8, 9]) };
    await saveCheckpoint(fresh, [next]);
    move(".data-00000-of-00001"); // the new data wait, the index is not there yet
    expect(await value()).toEqual(w.tensor);
    move(".index");
    expect(await value()).toEqual(next.tensor);
    fs.renameSync(`${prefix}.data-00000-of-00001.pending`, `${prefix}.data-00000-of-00001`);
    expect(await value()).toEqual(next.tensor);
    await saveCheckpoint(prefix, [w]);
    expect(await value()).toEqual(w.tensor);
    expect(
      fs
        .readdirSync(folder)
        .filter((f) => f.startsWith("crash"))
        .sort(),
    ).toEqual(["crash.data-00000-of-00001", "crash.index"]);
  });

  test("a folder that is not there is named", async () => {
    const saving = saveCheckpoint(join(folder, "no", "m"), [w]);
    await expect(saving).rejects.toThrow(/\[NOT_FOUND\] Parent directory of .*m doesn't exist, can't save\./);
  });
});
