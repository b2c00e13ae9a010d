/** SavedModels that TensorFlow wrote, loaded and called, against what they answer there. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { type DType, type Nested, type Tensor, tensor } from "../../base/index.ts";
import { readSavedModelMeta } from "../../formats/saved-model/index.ts";
import { newGraph } from "../../ops/index.ts";
import { writeFileAtomic } from "../../platform/node.ts";
import { SavedModelSchema } from "../../proto/meta-graph.gen.ts";
import { Session } from "../../run/index.ts";
import { loadSavedModel } from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens");
const at = (name: string): string => join(GOLDENS, "saved-model-run", name);
interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly (number | string)[];
}
interface Call {
  readonly name: string;
  readonly tags: readonly string[];
  readonly signature: string;
  readonly feeds: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
}
const { calls } = JSON.parse(readFileSync(at("manifest.json"), "utf8")) as { calls: readonly Call[] };

const dir = mkdtempSync(join(tmpdir(), "varscope-load-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const decoded = ({ dtype, shape, values }: Value): Tensor =>
  tensor((dtype === "int64" ? values.map((v) => BigInt(v)) : values) as Nested, dtype, shape);
const numbers = (t: Tensor): number[] => Array.from(t.data as Float32Array, Number);

function expectClose(got: Tensor, told: Value): void {
  expect({ dtype: got.dtype, shape: [...got.shape] }).toEqual({ dtype: told.dtype, shape: told.shape });
  numbers(got).forEach((v, i) => {
    const want = Number(told.values[i]);
    expect(Math.abs(v - want)).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(want)));
  });
}

describe.each(calls)("$name, signature $signature", ({ name, tags, signature, feeds, outputs }) => {
  test("answers as in TensorFlow", async () => {
    await using model = await loadSavedModel(at(name), { tags });
    const given = Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, decoded(v)]));
    const answer = await model.run(given, { signature });
    expect(Object.keys(answer).sort()).toEqual(Object.keys(outputs).sort());
    for (const [k, told] of Object.entries(outputs)) expectClose(answer[k]!, told);
  });
});

describe("a SavedModel", () => {
  test("hides the signatures that only name its initialisation", async () => {
    await using model = await loadSavedModel(at("table2"));
    expect(Object.keys(model.signatures)).toEqual(["serving_default"]);
    expect(Object.keys(model.def.signatureDef)).toContain("__saved_model_init_op");
  });

  test("of TF2 keeps what its functions assign from call to call", async () => {
    await using model = await loadSavedModel(at("control2"));
    const count = async () => numbers((await model.run({ n: 0, x: [1] })).calls!)[0];
    expect([await count(), await count()]).toEqual([1, 2]);
  });

  test("comes under a scope of a graph that is there, twice", async () => {
    await using session = new Session(newGraph());
    session.graph.constant(1);
    const first = await loadSavedModel(at("table1"), { session, importScope: "words" });
    const second = await loadSavedModel(at("control1"), { session, importScope: "words" });
    expect([first.scope, second.scope]).toEqual(["words", "words_1"]);
    const { ids } = await first.run({ text: ["palmer", "x"] });
    expect(numbers(ids!)).toEqual([2, 3]);
    expect(numbers((await second.run({ n: 1, x: [2] })).y!)).toEqual([3]);
    await first.close(); // the session is not the model's
    expect(numbers((await second.run({ n: 0, x: [2] })).y!)).toEqual([2]);
  });

  test("of resource variables, loaded twice into one session, warns that they share their values", async () => {
    await using session = new Session(newGraph());
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    await loadSavedModel(at("table1"), { session, importScope: "a", warn });
    expect(warnings).toEqual([]);
    await loadSavedModel(at("table1"), { session, importScope: "b", warn });
    expect(warnings).toEqual([
      expect.stringContaining("replaces the values of 1 variables that the session has (rows)"),
    ]);
  });

  test("takes and gives sparse tensors by their parts", async () => {
    await using model = await loadSavedModel(at("control1"));
    const s = { indices: [[0n, 1n]], values: [1.5], denseShape: [2n, 3n] };
    const answer = await model.run({ s }, { signature: "sparse" });
    expect(Object.keys(answer)).toEqual(["twice.indices", "twice.values", "twice.denseShape"]);
    expect(numbers(answer["twice.values"]!)).toEqual([3]);
    await expect(model.run({ s: [1] }, { signature: "sparse" })).rejects.toThrow("input 's' is sparse");
  });

  test("gives the outputs asked for alone", async () => {
    await using model = await loadSavedModel(at("table1"));
    expect(Object.keys(await model.run({ text: ["a"] }, { outputs: ["ids"] }))).toEqual(["ids"]);
  });

  test.each([
    [
      {},
      {},
      /^\[INVALID_ARGUMENT\] .*: signature 'serving_default' wants a value for 'text'; its inputs are text$/,
    ],
    [{ txt: ["a"] }, {}, /^\[NOT_FOUND\] serving_default: no input 'txt'; did you mean text\?$/],
    [
      { text: ["a"] },
      { signature: "serve" },
      /^\[NOT_FOUND\] .*: no signature 'serve'; there is serving_default$/,
    ],
    [
      { text: ["a"] },
      { outputs: ["id"] },
      /^\[NOT_FOUND\] serving_default: no output 'id'; did you mean ids\?$/,
    ],
  ])("says what is wrong with the call %j %j", async (feeds, options, message) => {
    await using model = await loadSavedModel(at("table1"));
    await expect(model.run(feeds, options)).rejects.toThrow(message);
  });

  test("without MetaGraphs of these tags lists those that there are", async () => {
    await expect(loadSavedModel(at("table1"), { tags: ["serve", "tpu"] })).rejects.toThrow(
      "MetaGraphDef associated with tags 'serve', 'tpu' could not be found in SavedModel, with available tags '[{'serve'}, {'gpu', 'train'}]'.",
    );
  });

  test.each(["../outside", "/etc/passwd", "a/../../b", "C:\\x", ""])(
    "with the asset %j is refused",
    async (filename) => {
      const folder = join(dir, `asset-${Buffer.from(filename).toString("hex")}`);
      cpSync(at("table2"), folder, { recursive: true });
      const saved = await readSavedModelMeta(folder);
      for (const asset of saved.metaGraphs[0]!.assetFileDef) asset.filename = filename;
      await writeFileAtomic(join(folder, "saved_model.pb"), [toBinary(SavedModelSchema, saved)]);
      await expect(loadSavedModel(folder)).rejects.toThrow(
        `asset '${filename}' lies outside the SavedModel's folder assets`,
      );
    },
  );

  test("with two init ops is refused", async () => {
    const folder = join(dir, "two");
    cpSync(at("table1"), folder, { recursive: true });
    const saved = await readSavedModelMeta(folder);
    const { kind } = saved.metaGraphs[0]!.collectionDef.saved_model_main_op!;
    (kind.value as { value: string[] }).value.push("text");
    await writeFileAtomic(join(folder, "saved_model.pb"), [toBinary(SavedModelSchema, saved)]);
    await expect(loadSavedModel(folder)).rejects.toThrow(
      "Expected exactly one SavedModel init op. Found 2: [init_all_tables, text].",
    );
  });

  test("without its files of variables says so", async () => {
    const folder = join(dir, "bare");
    cpSync(at("table1"), folder, { recursive: true });
    rmSync(join(folder, "variables"), { recursive: true });
    await expect(loadSavedModel(folder)).rejects.toThrow(
      "its graph has 1 variables (rows), but variables/variables.index is missing",
    );
  });
});
