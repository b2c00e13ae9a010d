/**
 * @file A training that can be stopped at any moment and started again: it goes on from its last checkpoint, with the data that come next. Look
 * at the folder with TensorBoard. `node examples/monitored.ts FOLDER`, Ctrl-C, and again.
 */
import { pathToFileURL } from "node:url";
import {
  createGlobalStep,
  group,
  newGraph,
  type Operation,
  placeholder,
  reduceMean,
  relu,
  setRandomSeed,
  sigmoidCrossEntropyWithLogits,
  summaryHistogram,
  summaryScalar,
  tensor,
  toNumbers,
  trainableVariables,
} from "varscope";
import { fromTensorSlices } from "varscope/data";
import { batchNormalization, dense } from "varscope/layers";
import {
  adamOptimizer,
  iteratorHook,
  loggingTensorHook,
  nanTensorHook,
  stopAtStepHook,
  withMonitoredTrainingSession,
} from "varscope/train";

/** Points in a ring or inside it. */
function rings(count: number) {
  const points = Array.from({ length: count }, (_, i) => {
    const inside = i % 2;
    const radius = inside ? 0.5 * Math.abs(Math.sin(i)) : 1 + 0.5 * Math.abs(Math.cos(i));
    return { x: [radius * Math.cos(i * 2.4), radius * Math.sin(i * 2.4)], y: [inside] };
  });
  return {
    x: tensor(
      points.map((p) => p.x),
      "float32",
    ),
    y: tensor(
      points.map((p) => p.y),
      "float32",
    ),
  };
}

export async function main(folder: string, lastStep = 300, log = console.log): Promise<number> {
  const g = newGraph();
  setRandomSeed(g, 1);
  const step = createGlobalStep(g);
  const x = placeholder(g, "float32", { shape: [null, 2], name: "x" });
  const y = placeholder(g, "float32", { shape: [null, 1], name: "y" });
  const hidden = relu(batchNormalization(dense(x, 16, { name: "hidden" }), { training: true }));
  const logits = dense(hidden, 1, { name: "logits" });
  const loss = reduceMean(sigmoidCrossEntropyWithLogits({ labels: y, logits }));
  const minimize = adamOptimizer({ learningRate: 0.02 }).minimize(loss, { globalStep: step });
  const trainOp = group(g, [minimize, ...g.getCollection<Operation>("update_ops")]);
  summaryScalar("loss", loss);
  for (const v of trainableVariables(g)) summaryHistogram(v.op.name, v.value());

  const data = fromTensorSlices(rings(512)).shuffle(512, { seed: 3 }).repeat().batch(64).iterator();
  let last = Number.NaN;
  const options = {
    checkpointDir: folder,
    saveCheckpointSteps: 100,
    saveSummariesSteps: 20,
    log,
    hooks: [
      iteratorHook(data, { checkpointDir: folder, log }),
      stopAtStepHook({ lastStep }),
      nanTensorHook(loss),
      loggingTensorHook({ loss, step: step.snapshot }, { everyNIter: 100, log }),
    ],
  };
  await withMonitoredTrainingSession(g, options, async (session) => {
    while (!session.shouldStop()) {
      const { value: batch } = await data.next(); // after shouldStop: what is taken is trained on
      const feeds = { "x:0": batch!.x, "y:0": batch!.y };
      last = toNumbers(await session.run(loss, { targets: [trainOp], feeds }))[0]!;
    }
  });
  return last;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log("loss", await main(process.argv[2] ?? "monitored", 100_000));
}
