/**
 * @file Fine-tuning a SavedModel of TensorFlow 2, here what Keras 3 exported: a loss on its signature's output, steps of Adam on its trainable
 * variables, then a checkpoint of its objects, which TensorFlow restores into the model it came from, and a new SavedModel.
 */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  globalVariablesInitializer,
  placeholder,
  reduceMean,
  squaredDifference,
  tensor,
  toNumbers,
  trainableVariables,
} from "varscope";
import { adamOptimizer, loadSavedModel, saveSavedModel } from "varscope/train";

const KERAS = fileURLToPath(new URL("../tests/goldens/saved-model/keras3", import.meta.url));

/** 32 points in four dims, and what the model is to learn: sums of their coordinates, and their differences. */
const points = Array.from({ length: 32 }, (_, i) => [0, 1, 2, 3].map((k) => Math.sin(3 * i + 5 * k)));
const x = tensor(points.flat(), "float32", [32, 4]);
const wanted = tensor(
  points.flatMap(([a, b, c, d]) => [a! + b!, b! - c!, c! + d!]),
  "float32",
  [32, 3],
);

export async function main(
  folder = ".",
  print: (line: string) => void = console.log,
): Promise<{ variables: string[]; before: number; after: number; served: number }> {
  await using model = await loadSavedModel(KERAS);
  const { graph, session } = model;
  const target = placeholder(graph, "float32", { shape: [null, 3], name: "target" });
  const loss = reduceMean(squaredDifference(model.output("output_0"), target));
  const trainOp = adamOptimizer({ learningRate: 0.05 }).minimize(loss); // on trainableVariables(graph)
  await session.run([], { targets: [globalVariablesInitializer(graph)] }); // Adam's; what was loaded stays as it is

  const feeds = { [model.input("keras_tensor").name]: x, [target.name]: wanted };
  const lossNow = async (): Promise<number> => toNumbers(await session.run(loss, { feeds }))[0]!;
  const before = await lossNow();
  for (let step = 0; step < 300; step++) await session.run([], { targets: [trainOp], feeds });
  const after = await lossNow();
  print(`loss ${before.toFixed(3)}, after 300 steps ${after.toFixed(3)}`);

  // Python: tf.train.Checkpoint(tf.saved_model.load(".../keras3")).read(checkpoint)
  const checkpoint = await model.saver!.save(session, join(folder, "tuned"), { writeMetaGraph: false });
  await saveSavedModel(session, join(folder, "tuned-model"), { signatures: model.signatures });
  print(`saved as ${checkpoint} and ${join(folder, "tuned-model")}`);

  await using again = await loadSavedModel(join(folder, "tuned-model"));
  const { output_0 } = await again.run({ keras_tensor: x });
  const errors = toNumbers(output_0!).map((y, i) => (y - toNumbers(wanted)[i]!) ** 2);
  const served = errors.reduce((a, b) => a + b) / errors.length;
  return { variables: trainableVariables(graph).map((v) => v.name), before, after, served };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
