/** SavedModels written here and loaded again; TensorFlow loads them in tests/interop. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { tensor } from "../../base/index.ts";
import { readSavedModelMeta, tagsOf } from "../../formats/saved-model/index.ts";
import { Graph, type Operation, type Output } from "../../graph/index.ts";
import { CORE_OPS, tablesInitializer } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { getVariable, globalVariablesInitializer } from "../../variables/index.ts";
import {
  buildSignatureDef,
  buildTensorInfo,
  classificationSignatureDef,
  isValidSignature,
  loadSavedModel,
  predictSignatureDef,
  regressionSignatureDef,
  savedModelBuilder,
  saveSavedModel,
  simpleSave,
} from "./index.ts";

const dir = mkdtempSync(join(tmpdir(), "varscope-saved-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Net {
  readonly graph: Graph;
  readonly x: Output;
  readonly y: Output;
  readonly init: Operation;
}

/** y = x · w; and a vocabulary of words, if there is a file. */
function network(): Net {
  const graph = new Graph(CORE_OPS);
  const x = graph.add("Placeholder", [], {
    name: "x",
    attrs: { dtype: "float32", shape: { dims: [null, 2] } },
  });
  const w = getVariable(graph, "w", { shape: [2, 3] });
  const y = graph.withDevice("/device:CPU:0", () => graph.add("MatMul", [x, w.value()], { name: "y" }));
  return { graph, x, y, init: globalVariablesInitializer(graph) };
}

async function ready({ graph, init }: Net): Promise<Session> {
  const session = new Session(graph);
  await session.run([], { targets: [init] });
  return session;
}

describe("a SavedModel that was written", () => {
  test("answers as the session that it came from", async () => {
    const net = network();
    await using session = await ready(net);
    const folder = join(dir, "plain");
    const file = await saveSavedModel(session, folder, {
      signatures: { serving_default: { inputs: { x: net.x }, outputs: { y: net.y } } },
    });
    expect(file).toBe(join(folder, "saved_model.pb"));
    expect(readdirSync(folder).sort()).toEqual(["saved_model.pb", "variables"]);
    expect(readdirSync(join(folder, "variables")).sort()).toEqual([
      "variables.data-00000-of-00001",
      "variables.index",
    ]);
    await using model = await loadSavedModel(folder);
    const x = [[1, 2]];
    expect((await model.run({ x })).y).toEqual(await session.run(net.y, { feeds: { x } }));
    expect(model.signatures.serving_default).toMatchObject({ methodName: "tensorflow/serving/predict" });
  });

  test("has several MetaGraphs under their tags, with signatures of their own", async () => {
    const net = network();
    await using session = await ready(net);
    const folder = join(dir, "several");
    const builder = await savedModelBuilder(folder);
    const predict = { inputs: { x: net.x }, outputs: { y: net.y } };
    await builder.addMetaGraphAndVariables(session, ["train"], { trainOp: net.y });
    await builder.addMetaGraph(network().graph, ["serve", "gpu"], { clearDevices: true });
    await builder.addMetaGraph(net.graph, ["serve"], {
      signatures: { serving_default: predict },
      stripDefaultAttrs: true,
    });
    await builder.save({ asText: true });
    const saved = await readSavedModelMeta(folder);
    expect(saved.metaGraphs.map(tagsOf)).toEqual([["train"], ["gpu", "serve"], ["serve"]]);
    const [train, cleared, stripped] = saved.metaGraphs.map(
      (m) => m.graphDef!.node.find((n) => n.name === "y")!,
    );
    expect([train!.device, cleared!.device]).toEqual(["/device:CPU:0", ""]);
    expect(Object.keys(train!.attr)).toContain("transpose_a");
    expect(Object.keys(stripped!.attr)).not.toContain("transpose_a");
    expect(saved.metaGraphs[2]!.metaInfoDef!.strippedDefaultAttrs).toBe(true);
    expect(saved.savedModelSchemaVersion).toBe(1n);
    await using model = await loadSavedModel(folder, { tags: ["gpu", "serve"] });
    expect(model.graph.operation("y").device).toBe("");
    expect(model.trainOp).toBeNull();
    await using training = await loadSavedModel(folder, { tags: ["train"] });
    expect(training.trainOp!.name).toBe("y:0");
  });

  test("takes its assets along and runs its main op with their new paths", async () => {
    const words = join(dir, "words.txt");
    const others = join(dir, "other", "words.txt");
    writeFileSync(words, "emerson\nlake\n");
    rmSync(join(dir, "other"), { recursive: true, force: true });
    await import("node:fs/promises").then((fs) => fs.mkdir(join(dir, "other")));
    writeFileSync(others, "palmer\n");
    const net = network();
    const { graph } = net;
    const lookup = (path: string, name: string): [Output, Output] => {
      const file = graph.constant(path, { name: `${name}_file` });
      const attrs = { key_dtype: "string", value_dtype: "int64", shared_name: name } as const;
      const table = graph.add("HashTableV2", [], { name, attrs });
      const fill = graph.addOp("InitializeTableFromTextFileV2", [table, file], {
        attrs: { key_index: -2, value_index: -1 },
      });
      graph.addToCollection("table_initializer", fill);
      return [file, table];
    };
    const [file, table] = lookup(words, "a");
    const [other] = lookup(others, "b");
    const text = graph.add("Placeholder", [], {
      name: "text",
      attrs: { dtype: "string", shape: { dims: [null] } },
    });
    const ids = graph.add("LookupTableFindV2", [table, text, tensor(-1n, "int64")], { name: "ids" });
    await using session = await ready(net);
    const folder = join(dir, "assets");
    await saveSavedModel(session, folder, {
      signatures: { serving_default: { inputs: { text }, outputs: { ids } } },
      assets: [file, other],
      mainOp: tablesInitializer(graph),
    });
    expect(readdirSync(join(folder, "assets")).sort()).toEqual(["words.txt", "words.txt_1"]);
    rmSync(words);
    rmSync(others);
    await using model = await loadSavedModel(folder);
    const answer = await model.run({ text: ["lake", "palmer"] });
    expect([...(answer.ids!.data as BigInt64Array)]).toEqual([1n, -1n]);
  });

  test("by simpleSave is for Predict requests, without devices", async () => {
    const net = network();
    await using session = await ready(net);
    const folder = join(dir, "simple");
    await simpleSave(session, folder, { x: net.x }, { y: net.y });
    const [meta] = (await readSavedModelMeta(folder)).metaGraphs;
    expect(meta!.graphDef!.node.every((n) => n.device === "")).toBe(true);
    expect(isValidSignature(meta!.signatureDef.serving_default!)).toBe(true);
  });

  test("without variables has no files of them", async () => {
    const graph = new Graph(CORE_OPS);
    const y = graph.constant([1, 2], { name: "y" });
    await using session = new Session(graph);
    const folder = join(dir, "constant");
    await saveSavedModel(session, folder, {
      signatures: { serving_default: buildSignatureDef({}, { y }, "tensorflow/serving/predict") },
    });
    expect(existsSync(join(folder, "variables", "variables.index"))).toBe(false);
    await using model = await loadSavedModel(folder);
    expect((await model.run()).y!.data).toEqual(Float32Array.of(1, 2));
  });
});

test("an input with a default may be left out", async () => {
  const net = network();
  await using session = await ready(net);
  const folder = join(dir, "defaults");
  const given = { x: tensor([[1, 1]], "float32") };
  const signature = buildSignatureDef({ x: net.x }, { y: net.y }, "tensorflow/serving/predict", given);
  await saveSavedModel(session, folder, { signatures: { serving_default: signature } });
  await using model = await loadSavedModel(folder);
  expect((await model.run()).y).toEqual((await model.run({ x: [[1, 1]] })).y);
});

describe("the builder", () => {
  test("refuses a folder with something in it", async () => {
    writeFileSync(join(dir, "file"), "");
    await expect(savedModelBuilder(dir)).rejects.toThrow(
      `Export directory ${dir} already exists, and isn't empty. Please choose a different export directory, or delete all the contents of the specified directory.`,
    );
  });

  test("wants variables first, and once", async () => {
    const net = network();
    await using session = await ready(net);
    const builder = await savedModelBuilder(join(dir, "order"));
    await expect(builder.addMetaGraph(net.graph, ["serve"])).rejects.toThrow(/has not been saved yet/);
    await builder.addMetaGraphAndVariables(session, ["serve"]);
    await expect(builder.addMetaGraphAndVariables(session, ["serve"])).rejects.toThrow(
      /has already been saved/,
    );
    expect(existsSync(join(dir, "order", "saved_model.pb"))).toBe(false);
  });

  test.each([
    ["__saved_model_init_op", /reserved for initialization/],
    ["__saved_model_train_op", /reserved for the train op/],
  ])("refuses the signature name %s", async (name, message) => {
    const net = network();
    await using session = await ready(net);
    const signatures = { [name]: { inputs: { x: net.x }, outputs: { y: net.y } } };
    await expect(saveSavedModel(session, join(dir, name), { signatures })).rejects.toThrow(message);
  });

  test("refuses assets that are no constant path", async () => {
    const net = network();
    await using session = await ready(net);
    const save = (asset: Output, name: string) =>
      saveSavedModel(session, join(dir, name), { assets: [asset] });
    await expect(save(net.x, "a1")).rejects.toThrow(
      "Asset path tensor x:0 must be of type constant. Has type Placeholder instead.",
    );
    await expect(save(net.graph.constant(1), "a2")).rejects.toThrow(
      "must be of dtype string. Has type float32 instead.",
    );
    await expect(save(net.graph.constant(["a", "b"]), "a3")).rejects.toThrow("must be a scalar.");
    await expect(save(net.graph.constant(join(dir, "nowhere")), "a4")).rejects.toThrow(/NOT_FOUND.*nowhere/);
  });

  test("refuses a main op where the graph has one already", async () => {
    const net = network();
    await using session = await ready(net);
    net.graph.addToCollection("legacy_init_op", net.init);
    await expect(saveSavedModel(session, join(dir, "main"), { mainOp: net.init })).rejects.toThrow(
      "Graph already contains one or more main ops under the collection legacy_init_op.",
    );
  });
});

describe("signatures", () => {
  const graph = new Graph(CORE_OPS);
  const holder = (dtype: "string" | "float32", name: string) =>
    graph.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: [null] } } });
  const [text, score] = [holder("string", "text"), holder("float32", "score")];

  test("for Classify and Regress take encoded examples and give what TensorFlow Serving wants", () => {
    const classify = classificationSignatureDef(text, text, score);
    expect(classify.methodName).toBe("tensorflow/serving/classify");
    expect(Object.keys(classify.outputs)).toEqual(["classes", "scores"]);
    const regress = regressionSignatureDef(text, score);
    expect(regress.methodName).toBe("tensorflow/serving/regress");
    expect([classify, regress, predictSignatureDef({ x: score }, { y: score })].every(isValidSignature)).toBe(
      true,
    );
    expect(isValidSignature({ ...regress, outputs: classify.outputs })).toBe(false);
    expect(isValidSignature({ ...regress, methodName: "mine" })).toBe(false);
  });

  test.each([
    [() => predictSignatureDef({}, { y: score }), "Prediction `inputs` cannot be None or empty."],
    [() => predictSignatureDef({ x: score }, {}), "Prediction `outputs` cannot be None or empty."],
    [
      () => classificationSignatureDef(text, null, null),
      "Classification `classes` and `scores` cannot both be None.",
    ],
    [
      () => classificationSignatureDef(score, text, null),
      "Classification input tensors must be of type string. Found float32.",
    ],
    [
      () => classificationSignatureDef(text, score, null),
      "Classification classes must be of type string Tensor. Found float32.",
    ],
    [
      () => regressionSignatureDef(text, text),
      "Regression output tensors must be of type float. Found string.",
    ],
  ])("are refused in TensorFlow's words: %#", (make, sentence) => {
    expect(make).toThrow(expect.objectContaining({ what: sentence }));
  });

  test("say names, dtypes and shapes; of sparse tensors the parts", () => {
    expect(buildTensorInfo(score)).toMatchObject({
      encoding: { case: "name", value: "score:0" },
      dtype: 1,
      tensorShape: { dim: [{ size: -1n }], unknownRank: false },
    });
    const shape = graph.add("Placeholder", [], {
      name: "shape",
      attrs: { dtype: "int64", shape: { dims: [2] } },
    });
    const sparse = buildTensorInfo({ indices: text, values: score, denseShape: shape });
    expect(sparse).toMatchObject({
      encoding: { case: "cooSparse" },
      dtype: 1,
      tensorShape: { dim: [{}, {}] },
    });
  });
});

test("text is what TensorFlow's text format is", async () => {
  const net = network();
  await using session = await ready(net);
  const folder = join(dir, "text");
  await saveSavedModel(session, folder, { asText: true });
  expect(readFileSync(join(folder, "saved_model.pbtxt"), "utf8")).toMatch(
    /^saved_model_schema_version: 1\nmeta_graphs \{\n {2}meta_info_def \{/,
  );
});
