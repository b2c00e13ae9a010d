import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { bytesSource, diskFiles, heldFiles } from "#platform";
import { type DType, fromBytes, type Tensor, tensor } from "../../base/index.ts";
import { contentsOf, variableOf } from "../../formats/collection/index.ts";
import { CollectionDefSchema, MetaGraphDefSchema } from "../../proto/index.ts";
import { openGraphCollection } from "./graph-collection.ts";
import { writeGraphCollection } from "./graph-write.ts";

const GOLDENS = new URL("../../../tests/goldens/graph-values/", import.meta.url);
interface Truth {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: string;
}
const { tensors } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly tensors: Readonly<Record<string, Truth>>;
};
const at = (file: string): string => new URL(file, GOLDENS).pathname;
const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const truth = Object.entries(tensors).map(([name, t]): [string, Tensor] => [
  name,
  fromBytes(t.dtype, t.shape, Uint8Array.from(Buffer.from(t.values, "base64"))),
]);
const folder = mkdtempSync(join(tmpdir(), "varscope-graph-"));
const open = async (path: string) => (await openGraphCollection(path)).collection;

describe.each(["frozen.pb", "frozen.pbtxt", "net.ckpt.meta"])("%s", (file) => {
  test("has the net's variables, with roles", async () => {
    const { collection, file: graph } = await openGraphCollection(at(file));
    expect(collection.format).toBe(file.endsWith(".meta") ? "meta-graph" : "graph-def");
    expect(collection.variables.map((v) => [v.name, v.role])).toEqual([
      ["bn/beta", "beta"],
      ["bn/gamma", "gamma"],
      ["bn/moving_mean", "moving-mean"],
      ["bn/moving_variance", "moving-variance"],
      ["dense/bias", "bias"],
      ["dense/kernel", "weight"],
    ]);
    for (const [name, value] of truth) expect(await collection.read(name)).toEqual(value);
    const row = await collection.readBox("dense/kernel", { start: [1, 0], size: [1, 3] });
    expect(row.data).toEqual(
      (truth.find(([name]) => name === "dense/kernel")![1].data as Float32Array).slice(3, 6),
    );
    expect(graph.graph.findOperation("y")).toBeDefined();
    await collection.close();
  });

  test("is written byte for byte where nothing changes", async () => {
    const collection = await open(at(file));
    const path = join(folder, file);
    const constants = contentsOf(collection);
    const { left } = await writeGraphCollection(path, constants);
    expect(Buffer.from(bytes(path)).equals(bytes(at(file)))).toBe(true);
    expect(left.map((l) => l.why)).toEqual(
      file.endsWith(".meta")
        ? truth.map(() => "the graph's VariableV2 holds no value: a checkpoint does")
        : [],
    );
  });
});

test("a MetaGraph alone declares its variables and holds no values", async () => {
  const held = new Map([["m.meta", bytesSource(bytes(at("net.ckpt.meta")), "m.meta")]]);
  const { collection } = await openGraphCollection("m.meta", heldFiles(held));
  await expect(collection.read("bn/gamma")).rejects.toThrow(
    "[FAILED_PRECONDITION] bn/gamma: the graph declares this variable and holds no value of it; ask a checkpoint, or lay it beside the .meta under the same name",
  );
});

test("a collection of variables that holds something else is passed over", async () => {
  const meta = fromBinary(MetaGraphDefSchema, bytes(at("net.ckpt.meta")));
  meta.collectionDef.variables = create(CollectionDefSchema, {
    kind: { case: "nodeList", value: { value: ["x:0"] } },
  });
  const source = bytesSource(toBinary(MetaGraphDefSchema, meta), "m.meta");
  const { collection } = await openGraphCollection("m.meta", heldFiles(new Map([["m.meta", source]])));
  expect(collection.variables.length).toBe(truth.length);
});

test("values are found in files given, too", async () => {
  const names = ["net.ckpt.meta", "net.ckpt.index", "net.ckpt.data-00000-of-00001"];
  const held = new Map(names.map((name) => [name, bytesSource(bytes(at(name)), name)]));
  const { collection } = await openGraphCollection("net.ckpt.meta", heldFiles(held));
  for (const [name, value] of truth) expect(await collection.read(name)).toEqual(value);
});

test("constants are replaced and renamed; the graph follows", async () => {
  const from = await open(at("frozen.pb"));
  const contents = contentsOf(from);
  const kernel = tensor(
    Array.from({ length: 12 }, (_, i) => i),
    "float32",
    [4, 3],
  );
  const variables = contents.variables.map((v) => {
    if (v.name === "dense/kernel") return variableOf("dense/kernel", kernel);
    return v.name === "bn/gamma" ? { ...v, name: "bn/scale", from: "bn/gamma" } : v;
  });
  const path = join(folder, "changed.pb");
  expect(await writeGraphCollection(path, { ...contents, variables })).toEqual({ left: [] });
  const { collection, file } = await openGraphCollection(path);
  expect(await collection.read("dense/kernel")).toEqual(kernel);
  expect(file.graph.findOperation("bn/gamma")).toBeUndefined();
  const users = file.graph.operations.filter((op) => op.inputs.some((x) => x.op.name === "bn/scale"));
  expect(users.length).toBeGreaterThan(0);
  expect(new TextDecoder().decode(bytes(path))).not.toContain("bn/gamma\n");
});

test("what the graph does not allow is refused", async () => {
  const contents = contentsOf(await open(at("frozen.pb")));
  const put = (name: string, t: Tensor) =>
    writeGraphCollection(join(folder, "no.pb"), { ...contents, variables: [variableOf(name, t)] });
  await expect(put("dense/kernel", tensor([1, 2], "float32", [2, 1]))).rejects.toThrow(
    /^\[FAILED_PRECONDITION\] MatMul: the graph does not allow this: .*; keep dtype and shape as they are/,
  );
  await expect(put("dense/kernel", tensor(Array(12).fill(1), "float64", [4, 3]))).rejects.toThrow(
    "the graph does not allow this",
  );
  const taken = contents.variables.map((v) =>
    v.name === "bn/gamma" ? { ...v, name: "y", from: "bn/gamma" } : v,
  );
  await expect(
    writeGraphCollection(join(folder, "no.pb"), { ...contents, variables: taken }),
  ).rejects.toThrow("[INVALID_ARGUMENT] y: the graph has another node of this name; choose another name");
  await expect(diskFiles.exists(join(folder, "no.pb"))).resolves.toBe(false);
});

test("what is not in the graph, or only in the graph, is reported", async () => {
  const contents = contentsOf(await open(at("frozen.pb")));
  const variables = [...contents.variables.slice(1), variableOf("new", tensor([1]))];
  expect((await writeGraphCollection(join(folder, "less.pb"), { ...contents, variables })).left).toEqual([
    { what: "new", why: "the graph has no node of this name" },
    { what: "bn/beta", why: "it stays as it was: the graph needs it" },
  ]);
});

test("without a graph, values are written as constants, as TensorFlow does", async () => {
  const variables = [
    variableOf("a/scalar", tensor(7, "int64", [])),
    variableOf("b", tensor([0, 1, 2], "float16")),
  ];
  const path = join(folder, "constants.pb");
  expect(await writeGraphCollection(path, { variables })).toEqual({ left: [] });
  const collection = await open(path);
  expect(collection.variables.map((v) => v.name)).toEqual(["a/scalar", "b"]);
  const theirs = await open(at("constants.pb"));
  for (const { name } of theirs.variables)
    expect(await collection.read(name)).toEqual(await theirs.read(name));
});
