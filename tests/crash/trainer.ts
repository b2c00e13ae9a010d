/**
 * What is killed while it trains: `node trainer.mjs FOLDER LOSSES STEPS` trains to step STEPS, going on from the checkpoints in FOLDER, and
 * appends "step loss" to the file LOSSES after each step; the loss as the bits of a float32.
 */

import { appendFileSync, writeSync } from "node:fs";
import { type Tensor, tensor } from "../../src/base/index.ts";
import { fromTensorSlices } from "../../src/data/index.ts";
import type { Operation } from "../../src/graph/index.ts";
import { batchNormalization, dense } from "../../src/layers/index.ts";
import { group, newGraph, reduceMean, relu, setRandomSeed, squaredDifference } from "../../src/ops/index.ts";
import {
  adamOptimizer,
  iteratorHook,
  monitoredTrainingSession,
  type SessionRunHook,
} from "../../src/train/index.ts";
import { createGlobalStep } from "../../src/variables/index.ts";

const [, , folder, losses, steps] = process.argv as [string, string, string, string, string];

const ROWS = 200;
const COLUMNS = 8;
const wave = (i: number): number => Math.sin(i * 12.9898) * 2;
const x = tensor(
  Array.from({ length: ROWS * COLUMNS }, (_, i) => wave(i)),
  "float32",
  [ROWS, COLUMNS],
);
const y = tensor(
  Array.from({ length: ROWS }, (_, i) => [Math.sign(wave(i * COLUMNS) * wave(i * COLUMNS + 1))]),
  "float32",
);

const g = newGraph();
setRandomSeed(g, 42);
const step = createGlobalStep(g);
const holder = (name: string, columns: number) =>
  g.add("Placeholder", [], { name, attrs: { dtype: "float32", shape: { dims: [null, columns] } } });
const [input, labels] = [holder("x", COLUMNS), holder("y", 1)];
const hidden = relu(batchNormalization(dense(input, 16), { training: true }));
const output = dense(hidden, 1);
const loss = reduceMean(squaredDifference(output, labels));
const minimize = adamOptimizer({ learningRate: 0.01 }).minimize(loss, { globalStep: step });
const train = group(g, [minimize, ...g.getCollection<Operation>("update_ops")]);

const data = fromTensorSlices({ x, y }).shuffle(64, { seed: 7 }).repeat().batch(16).iterator();
/** Writes each loss down before the checkpoint after it is saved: hooks of the chief come first. */
const record: SessionRunHook = {
  beforeRun: () => ({ fetches: { loss, step: step.snapshot } }),
  afterRun(_, { results }) {
    const got = results as { readonly loss: Tensor; readonly step: Tensor };
    const [bits] = new Uint32Array((got.loss.data as Float32Array).slice().buffer);
    appendFileSync(losses, `${got.step.data[0]} ${bits}\n`);
  },
};
const session = await monitoredTrainingSession(g, {
  checkpointDir: folder,
  saveCheckpointSteps: 5,
  saveSummariesSteps: 10,
  log: () => {},
  chiefOnlyHooks: [record],
  hooks: [iteratorHook(data, { checkpointDir: folder })],
});
const [first] = (await session.rawSession.run(step.snapshot)).data;
writeSync(1, "ready\n");
for (let at = Number(first); at < Number(steps); at++) {
  const { value } = await data.next();
  await session.run([], { targets: [train], feeds: { "x:0": value!.x, "y:0": value!.y } });
}
await session.close();
writeSync(1, "done\n");
