/** Files of many makers, trained by real TensorFlow and Keras (tools/goldens/healthy.py): no alarm on any of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openModel } from "../open-model.ts";
import { diagnosePath, RULES } from "./index.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "healthy");
const { files } = JSON.parse(readFileSync(join(FOLDER, "manifest.json"), "utf8")) as {
  readonly files: readonly { readonly path: string; readonly maker: string }[];
};

/** What is worth knowing of some of them; the others say nothing at all. */
const NOTES: Readonly<Record<string, readonly string[]>> = {
  "slim.ckpt": ["bn-residue"], // the file does not say that its decay was 0.97
  "ema.ckpt": ["ema-untracked"],
  "fresh.ckpt": ["bn-never-updated"],
  keras3_object: ["keras3-hidden-weights"],
  keras2_object: ["keras2-layout"],
};

describe.each(files)("$path: $maker", ({ path }) => {
  test("no alarm", async () => {
    const { findings, checked } = await diagnosePath(join(FOLDER, path));
    expect(findings.filter((f) => f.severity !== "info")).toEqual([]);
    expect(findings.map((f) => f.rule)).toEqual(NOTES[path] ?? []);
    expect(checked.normalizations).toBe(2);
    expect(checked.tensors).toBeGreaterThanOrEqual(12);
  });
});

describe("with a graph", () => {
  test("a checkpoint and the graph that trained it agree", async () => {
    const graph = join(FOLDER, "tf1_resource.ckpt.meta");
    const found = await diagnosePath(join(FOLDER, "tf1_resource.ckpt"), { graph });
    expect(found.findings).toEqual([]);
    expect(found.checked.rules).toBe(RULES.length);
  });

  test("an inference graph wants nothing of the optimizer", async () => {
    const { findings } = await diagnosePath(join(FOLDER, "tf1_resource.ckpt"), {
      graph: join(FOLDER, "inference.meta"),
    });
    expect(findings.map((f) => [f.rule, f.severity, f.value])).toEqual([
      ["graph-variables-unknown", "info", 10],
    ]);
  });

  test("another maker's names end in a rename that covers all 13 variables", async () => {
    const path = join(FOLDER, "keras3_object");
    const { findings } = await diagnosePath(path, { graph: join(FOLDER, "inference.meta") });
    const [missing] = findings;
    expect(missing).toMatchObject({ rule: "graph-variables-missing", severity: "error", value: 13 });
    expect(missing!.repair).toBe(`varscope edit ${path} OUT --rename '^digits/='`);
  });
});

test("a SavedModel by its file is compared with nothing, and as a graph with what it has", async () => {
  const own = await diagnosePath(join(FOLDER, "saved_model_keras3", "saved_model.pb"));
  expect(own.findings).toEqual([]);
  const { findings } = await diagnosePath(join(FOLDER, "weights.npz"), {
    graph: join(FOLDER, "saved_model_keras3"),
  });
  expect(findings.filter((f) => f.severity === "error" && f.rule !== "graph-variables-missing")).toEqual([]);
});

test("the goldens are of a dozen makers, and open under the format that they are", async () => {
  const formats = new Set<string>();
  for (const { path } of files) {
    const model = await openModel(join(FOLDER, path));
    formats.add(model.format);
    await model.close();
  }
  expect(files.length).toBeGreaterThanOrEqual(12);
  expect([...formats].sort()).toEqual([
    "checkpoint-object",
    "checkpoint-v2",
    "graph-def",
    "keras-h5",
    "keras-v3",
    "keras-weights",
    "npz",
    "safetensors",
    "saved-model",
  ]);
});
