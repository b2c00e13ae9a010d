/** SavedModels of TensorFlow 2 train on: the losses of tools/goldens/fine_tune.py. */

import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../../base/index.ts";
import { openCheckpoint } from "../../formats/checkpoint/index.ts";
import { reduceMean, squaredDifference } from "../../ops/index.ts";
import { globalVariablesInitializer, trainableVariables } from "../../variables/index.ts";
import { adamOptimizer, gradientDescentOptimizer, momentumOptimizer } from "../index.ts";
import { loadSavedModel } from "./index.ts";

interface Values {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

interface Run {
  readonly folder: string;
  readonly input: string;
  readonly output: string;
  readonly optimizer: "sgd" | "momentum" | "adam";
  readonly x: Values;
  readonly target: Values;
  readonly trainable: readonly (readonly number[])[];
  readonly losses: readonly number[];
}

const GOLDENS = new URL("../../../tests/goldens/fine-tune/", import.meta.url);
const { runs } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly runs: Run[];
};

const OPTIMIZERS = {
  sgd: () => gradientDescentOptimizer({ learningRate: 0.1 }),
  momentum: () => momentumOptimizer({ learningRate: 0.05, momentum: 0.9 }),
  adam: () => adamOptimizer({ learningRate: 0.02 }),
};
const read = ({ shape, values }: Values) => tensor([...values], "float32", [...shape]);

describe.each(runs)("$folder", (run) => {
  test("trains on with TensorFlow's losses", async () => {
    await using model = await loadSavedModel(fileURLToPath(new URL(run.folder, GOLDENS)));
    const { graph, session } = model;
    const shapes = trainableVariables(graph).map((v) => v.shape);
    expect(shapes.sort()).toEqual([...run.trainable].sort());
    const loss = reduceMean(squaredDifference(model.output(run.output), read(run.target)));
    const step = OPTIMIZERS[run.optimizer]().minimize(loss);
    await session.run([], { targets: [globalVariablesInitializer(graph)] }); // the optimizer's; what was loaded stays
    const feeds = { [model.input(run.input).name]: read(run.x) };
    const losses: number[] = [];
    for (let i = run.losses.length; i > 0; i--) {
      const value = await session.run(loss, { feeds, targets: i > 1 ? [step] : [] });
      losses.push(toNumbers(value!)[0]!);
    }
    for (const [i, wanted] of run.losses.entries())
      expect(Math.abs(losses[i]! - wanted), `loss ${i}`).toBeLessThanOrEqual(1e-5 * (1 + wanted));
  });
});

test("Keras exports each variable twice: a checkpoint has what was trained under both keys, and restoring gives both", async () => {
  const folder = await mkdtemp(join(tmpdir(), "varscope-twins-"));
  await using model = await loadSavedModel(fileURLToPath(new URL("../saved-model/keras3", GOLDENS)));
  const { graph, session } = model;
  const kernel = trainableVariables(graph)[0]!;
  const read = async (): Promise<number[]> => toNumbers((await session.run(kernel.snapshot))!);
  const loaded = await read();
  const step = gradientDescentOptimizer({ learningRate: 0.1 }).minimize(reduceMean(model.output("output_0")));
  const feeds = { [model.input("keras_tensor").name]: [[1, 2, 3, 4]] };
  await session.run([], { targets: [step], feeds });
  const trained = await read();
  expect(trained).not.toEqual(loaded);
  const prefix = await model.saver!.save(session, join(folder, "tuned"), { writeMetaGraph: false });
  const checkpoint = await openCheckpoint(prefix!);
  for (const owner of ["variables", "_all_variables"])
    expect(toNumbers(await checkpoint.read(`${owner}/0/.ATTRIBUTES/VARIABLE_VALUE`))).toEqual(trained);
  await checkpoint.close();
  await session.run([], { targets: [step], feeds });
  await model.saver!.restore(session, prefix!);
  expect(await read()).toEqual(trained);
  await rm(folder, { recursive: true });
});
