/** @file Gradients through functions, run and trained on by TensorFlow (fine_tuned.py): graphs, MetaGraphs, checkpoints and SavedModels. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  globalVariablesInitializer,
  gradients,
  placeholder,
  readGraphDef,
  reduceMean,
  Session,
  squaredDifference,
  type Tensor,
  tensor,
  toNumbers,
  trainableVariables,
  writeGraphDef,
} from "varscope";
import {
  gradientDescentOptimizer,
  loadSavedModel,
  momentumOptimizer,
  type Optimizer,
  saveMetaGraph,
  saveSavedModel,
} from "varscope/train";
import { describe, expect, test } from "vitest";
import { densify, isIndexedSlices } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { feedsOf, gradientsOf, graphOf, PROGRAMS, readTensor } from "../conformance/function-gradients.ts";
import { randomProgram } from "./loop-gradients.ts";
import { fromWire, type TensorFlow, toWire, type WireTensor } from "./tensorflow.ts";

const RUNNABLE = PROGRAMS.filter((p) => p.error === undefined);
const MODELS = new URL("../goldens/fine-tune/", import.meta.url);

function expectNear(got: readonly number[], want: readonly number[], tolerance: number, at: string): void {
  expect(got.length, at).toBe(want.length);
  for (const [i, v] of want.entries())
    expect(Math.abs(got[i]! - v), `${at}: ${got[i]} and ${v}`).toBeLessThanOrEqual(
      tolerance * (1 + Math.abs(v)),
    );
}

const flat = (ts: readonly Tensor[]): number[] => ts.flatMap(toNumbers);

interface Answer {
  /** GraphDef, base64 */
  readonly graph: string;
  readonly init: string;
  readonly ys: readonly string[];
  /** of ys and of the gradients: a single 0 where there is none */
  readonly values: readonly (readonly number[])[];
}

const COUNT = Number(process.env.VARSCOPE_FUNCTIONS ?? 3);
const FEED = [0.5, -0.3];

async function ourValues({ graph: bytes, init, ys, values }: Answer): Promise<number[]> {
  const graph = readGraphDef(Buffer.from(bytes, "base64"), { registry: CORE_OPS });
  const xs = ["x:0", "w:0", "v:0", "table:0"].map((name) => graph.output(name));
  const grads = gradients(
    ys.map((y) => graph.output(y)),
    xs,
  );
  await using session = new Session(graph, { warn: () => {} });
  await session.run([], { targets: [init] });
  const there = grads.flatMap((g) => (g === null ? [] : [isIndexedSlices(g) ? densify(g) : g]));
  const names = [...ys, ...there.map((g) => g.name)];
  const found = ((await session.run(names, { feeds: { "x:0": FEED } })) as Tensor[]).map(toNumbers);
  return [
    ...found.splice(0, ys.length),
    ...grads.map((g, i) => (g === null ? values[ys.length + i]!.map(() => 0) : found.shift()!)),
  ].flat();
}

/** A model with a loss on its signature, and steps of an optimizer. */
async function tuning(name: string, input: string, output: string, optimizer: Optimizer) {
  const folder = fileURLToPath(new URL(name, MODELS));
  const model = await loadSavedModel(folder);
  const { graph, session } = model;
  const y = model.output(output);
  const x = model.input(input).name;
  const target = placeholder(graph, "float32", { shape: y.shape, name: "target" });
  const loss = reduceMean(squaredDifference(y, target));
  const step = optimizer.minimize(loss);
  await session.run([], { targets: [globalVariablesInitializer(graph)] });
  const losses = async (feeds: Record<string, Tensor>, count: number): Promise<number[]> => {
    const found: number[] = [];
    for (let i = 0; i < count; i++)
      found.push(toNumbers(await session.run(loss, { feeds, targets: [step] }))[0]!);
    return found;
  };
  return { folder, model, x, loss, step, losses };
}

export function functionGradientSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("gradients through functions", () => {
    test("TensorFlow runs the graphs, gradients included", async () => {
      for (const program of RUNNABLE) {
        const graph = graphOf(program);
        const names = gradientsOf(graph, program).flatMap((g) => g?.name ?? []);
        const path = join(folder, `${program.name}-gradients.pb`);
        await writeFile(path, writeGraphDef(graph));
        const session = await tf!.openGraph(path);
        for (const { feeds, y, gradients: wanted } of program.runs) {
          await tf!.run(session, [], {}, [program.init]);
          const got = await tf!.run(session, [program.y, ...names], feedsOf(feeds));
          const want = [y, ...wanted.filter((g) => g !== null)].map(readTensor);
          expectNear(flat(got), flat(want), 1e-5, program.name);
        }
      }
    }, 120_000);

    test(`${COUNT} random programs of functions have TensorFlow's gradients`, async () => {
      const programs = Array.from({ length: COUNT }, (_, i) => randomProgram(i + 1000));
      const answers = await tf!.ask<(Answer | null)[]>("function_gradients", { programs, feed: FEED });
      expect(answers.filter((a) => a !== null).length).toBeGreaterThan(COUNT / 2);
      for (const [i, answer] of answers.entries())
        if (answer !== null)
          expectNear(await ourValues(answer), answer.values.flat(), 1e-4, `program ${i + 1000}`);
    }, 600_000);

    test("TensorFlow differentiates what functions became", async () => {
      for (const program of RUNNABLE.filter((p) => p.order === 1)) {
        const graph = graphOf(program);
        gradientsOf(graph, program);
        // TensorFlow differentiates no lists in loops of TensorFlow 1: "`dtype` <dtype: 'variant'> is not compatible with 0"
        if (graph.operations.some((op) => op.outputs.some((x) => x.dtype === "variant"))) continue;
        const path = join(folder, `${program.name}.meta`);
        await saveMetaGraph(graph, path);
        const { feeds, gradients: wanted } = program.runs[0]!;
        const got = await tf!.ask<(WireTensor | null)[]>("fine_tuned_gradients", {
          path,
          y: program.y,
          xs: program.xs,
          init: program.init,
          feeds: Object.fromEntries(Object.entries(feedsOf(feeds)).map(([k, v]) => [k, toWire(v)])),
        });
        const values = got.flatMap((t) => (t === null ? [] : [fromWire(t)]));
        expectNear(flat(values), flat(wanted.filter((g) => g !== null).map(readTensor)), 1e-5, program.name);
      }
    }, 120_000);

    test.each([
      ["conv", "images", "logits", [2, 5, 5, 2]],
      ["../saved-model/keras3", "keras_tensor", "output_0", [2, 4]],
    ] as const)(
      "a SavedModel that was trained on here trains on there, and back: %s",
      async (name, input, output, shape) => {
        const optimizer = gradientDescentOptimizer({ learningRate: 0.05 });
        const { folder: original, model, x, loss, losses } = await tuning(name, input, output, optimizer);
        await using _ = model;
        const size = shape.reduce<number>((a, b) => a * b, 1);
        const values = tensor(
          Array.from({ length: size }, (__, i) => Math.sin(i * 7)),
          "float32",
          [...shape],
        );
        const target = tensor([1, 0, -1, 0.5, 2, 0], "float32", [2, 3]);
        const feeds = { [x]: values, "target:0": target };
        await losses(feeds, 3);
        const at = join(folder, `tuned-${output}`);
        const checkpoint = await model.saver!.save(model.session, at, { writeMetaGraph: false });
        const trainOp = model.graph.operation("GradientDescent");
        await saveSavedModel(model.session, `${at}-model`, { signatures: model.signatures, trainOp });
        const here = await losses(feeds, 4);
        const there = await tf!.ask<number[]>("fine_tuned_checkpoint", {
          model: original,
          checkpoint,
          input,
          output,
          x: toWire(values),
          target: toWire(target),
          back: `${at}-back`,
        });
        expectNear(there, here, 1e-5, "from the checkpoint");
        await model.saver!.restore(model.session, `${at}-back`);
        expectNear(await losses(feeds, 1), there.slice(-1), 1e-5, "from the checkpoint of TensorFlow");
        const v1 = await tf!.ask<{ losses: number[]; trainable: string[] }>("fine_tuned_model", {
          folder: `${at}-model`,
          loss: loss.name,
          feeds: { [x]: toWire(values), "target:0": toWire(target) },
        });
        expectNear(v1.losses, here.slice(0, 3), 1e-5, "from the SavedModel");
        expect(v1.trainable).toEqual(trainableVariables(model.graph).map((v) => v.name));
      },
    );

    test("a model with a loop, a conditional and gradients of its own, too", async () => {
      const { model, x, loss, step, losses } = await tuning(
        "control",
        "x",
        "y",
        momentumOptimizer({ learningRate: 0.1, momentum: 0.9 }),
      );
      await using _ = model;
      const feeds = {
        [x]: tensor([1, -1, 0.5, 0.2, 0.3, -0.4], "float32", [2, 3]),
        "target:0": tensor([1, 0, 0, 1, 1, 0], "float32", [2, 3]),
      };
      await losses(feeds, 2);
      const saved = join(folder, "tuned-control");
      await saveSavedModel(model.session, saved, { signatures: model.signatures, trainOp: step });
      const here = await losses(feeds, 3);
      const wires = Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, toWire(v)]));
      const v1 = await tf!.ask<{ losses: number[] }>("fine_tuned_model", {
        folder: saved,
        loss: loss.name,
        feeds: wires,
      });
      expectNear(v1.losses, here, 1e-5, "from the SavedModel");
    });
  });
}
