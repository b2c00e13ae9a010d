/** SavedModels of TF1, TF2 and Keras against what TensorFlow says of them; copies with other values; broken ones. */
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bytesOf, type DType, type Tensor } from "../../base/index.ts";
import { bytesSource, heldFiles, readFile, type Source } from "../../platform/node.ts";
import { contentsOf, variableOf } from "../collection/index.ts";
import {
  chooseMetaGraph,
  openSavedModel,
  readSavedModelMeta,
  tagsOf,
  writeSavedModelVariables,
} from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "saved-model");

interface Case {
  readonly name: string;
  readonly tags: readonly (readonly string[])[];
  readonly variables: Readonly<Record<string, { dtype: DType; shape: number[]; base64: string }>>;
}
const { cases } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as {
  cases: readonly Case[];
};
const folder = await mkdtemp(join(tmpdir(), "varscope-saved-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const at = (name: string): string => join(GOLDENS, name);
const encoded = (t: Tensor) => ({
  dtype: t.dtype,
  shape: t.shape,
  base64: Buffer.from(bytesOf(t)).toString("base64"),
});

describe.each(cases)("$name", ({ name, tags, variables }) => {
  test("has its variables once, with their values", async () => {
    const model = await openSavedModel(at(name));
    expect(model.format).toBe("saved-model");
    expect(model.path).toBe(at(name));
    expect(model.variables.map((v) => v.name)).toEqual(Object.keys(variables).sort());
    for (const [v, truth] of Object.entries(variables)) expect(encoded(await model.read(v))).toEqual(truth);
    await model.close();
  });

  test("has MetaGraphs by their tags", async () => {
    const saved = await readSavedModelMeta(at(name));
    expect(saved.metaGraphs.map(tagsOf)).toEqual(tags);
    expect(Object.keys(chooseMetaGraph(saved).signatureDef)).toContain("serving_default");
  });
});

test("the second key of what Keras exports twice is an alias", async () => {
  const model = await openSavedModel(at("keras3"));
  const kernel = model.find("net/d/kernel");
  expect(kernel).toMatchObject({
    key: "variables/0/.ATTRIBUTES/VARIABLE_VALUE",
    role: "weight",
    layer: "net/d",
  });
  expect(kernel.aliases).toEqual(["_all_variables/0/.ATTRIBUTES/VARIABLE_VALUE"]);
  expect(model.find(kernel.aliases![0]!)).toBe(kernel);
  expect(model.variables.flatMap((v) => v.aliases ?? []).length).toBe(6);
  await model.close();
});

test("a partitioned variable is whole", async () => {
  const model = await openSavedModel(at("tf1"));
  expect(model.find("emb")).toMatchObject({ shape: [5, 2] });
  expect(model.find("emb").parts?.length).toBe(2);
  await model.close();
});

test("opens from files that were dropped", async () => {
  const held = new Map<string, Source>();
  for (const file of await readdir(at("tf2"), { recursive: true }))
    if (/\./.test(file)) held.set(`m/${file}`, bytesSource(await readFile(join(at("tf2"), file)), file));
  const model = await openSavedModel("m", heldFiles(held));
  expect(model.variables.map((v) => v.name)).toEqual(["scale"]);
});

test("an unknown tag gets those that there are", async () => {
  const saved = await readSavedModelMeta(at("tf1"));
  expect(tagsOf(chooseMetaGraph(saved, ["serve", "gpu"]))).toEqual(["gpu", "serve"]);
  expect(() => chooseMetaGraph(saved, ["train"], "m")).toThrow(
    "[NOT_FOUND] m: MetaGraphDef associated with tags 'train' could not be found in SavedModel, with available tags '[{'serve'}, {'gpu', 'serve'}]'.; give the tags of one of them",
  );
});

describe("broken", () => {
  test("variables that are not there", async () => {
    const lost = join(folder, "lost");
    await cp(at("keras3"), lost, { recursive: true });
    await rm(join(lost, "variables"), { recursive: true });
    await expect(openSavedModel(lost)).rejects.toThrow(
      `[NOT_FOUND] ${lost}: its graph has 6 variables (net/d/kernel, net/d/bias, net/bn/gamma, ...), but variables/variables.index is missing; copy the whole folder: saved_model.pb holds no values`,
    );
  });

  test("values that are not there", async () => {
    const lost = join(folder, "no-data");
    await cp(at("tf2"), lost, { recursive: true });
    await rm(join(lost, "variables", "variables.data-00000-of-00001"));
    const model = await openSavedModel(lost);
    await expect(model.read(model.variables[0]!.name)).rejects.toThrow("NOT_FOUND");
    await model.close();
  });

  test("no SavedModel", async () => {
    await expect(openSavedModel(folder)).rejects.toThrow(
      `[NOT_FOUND] ${folder}: no SavedModel: neither saved_model.pb nor saved_model.pbtxt is there; give the folder that tf.saved_model.save or model.export made`,
    );
  });

  test("bytes that are no SavedModel", async () => {
    const held = heldFiles(
      new Map([["m/saved_model.pb", bytesSource(new Uint8Array([255, 255, 255]), "x")]]),
    );
    await expect(openSavedModel("m", held)).rejects.toThrow("[DATA_LOSS] m: its graph of objects is damaged");
    await expect(readSavedModelMeta("m", held)).rejects.toThrow("DATA_LOSS");
  });
});

describe("written", () => {
  test.each(["tf1", "tf2", "keras3"])("%s with other values, the rest as it was", async (name) => {
    const from = await openSavedModel(at(name));
    const first = from.variables[0]!;
    const zeros: Tensor = {
      dtype: "float32",
      shape: first.shape as number[],
      data: new Float32Array(first.bytes / 4),
    };
    const to = join(folder, `new-${name}`);
    const report = await writeSavedModelVariables(
      at(name),
      to,
      { variables: [variableOf(first.name, zeros)] },
      { sync: false },
    );
    expect(report.left.map((l) => l.what)).toEqual(name === "tf1" ? [] : ["fingerprint.pb"]);
    const copy = await openSavedModel(to);
    expect(copy.variables).toEqual(from.variables);
    expect(encoded(await copy.read(first.name))).toEqual(encoded(zeros));
    for (const v of from.variables.slice(1))
      expect(encoded(await copy.read(v.name))).toEqual(encoded(await from.read(v.name)));
    expect(await readFile(join(to, "saved_model.pb"))).toEqual(
      await readFile(join(at(name), "saved_model.pb")),
    );
    await Promise.all([from.close(), copy.close()]);
  });

  test("nothing, where a variable does not fit or the folder is there", async () => {
    const from = await openSavedModel(at("tf2"));
    const to = join(folder, "refused");
    const bad: Tensor = { dtype: "float32", shape: [3], data: new Float32Array(3) };
    await expect(
      writeSavedModelVariables(at("tf2"), to, { variables: [variableOf("scale", bad)] }),
    ).rejects.toThrow(
      "[INVALID_ARGUMENT] scale: float32 [3], the SavedModel's graph has float32 [1,2]; cast or reshape it before",
    );
    await expect(
      writeSavedModelVariables(at("tf2"), to, { variables: [variableOf("nope", bad)] }),
    ).rejects.toThrow("NOT_FOUND");
    expect(existsSync(to)).toBe(false);
    await expect(writeSavedModelVariables(at("tf2"), folder, contentsOf(from))).rejects.toThrow(
      `[ALREADY_EXISTS] ${folder}: the folder is there; give a new one, or remove it`,
    );
    expect((await readdir(folder)).filter((f) => f.includes(".tmp-"))).toEqual([]);
    await from.close();
  });
});
