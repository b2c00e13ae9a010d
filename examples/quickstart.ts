/** @file Build, train, save, freeze: from the first node to a graph without variables. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  globalVariablesInitializer,
  newGraph,
  placeholder,
  relu,
  Session,
  setRandomSeed,
  softmax,
  tensor,
  toNumbers,
  writeGraphDef,
} from "varscope";
import { convertVariablesToConstants } from "varscope/edit";
import { dense, sparseSoftmaxCrossEntropy } from "varscope/layers";
import { adamOptimizer, saver } from "varscope/train";

export async function main(folder = "."): Promise<number[]> {
  const g = newGraph();
  setRandomSeed(g, 1);
  const x = placeholder(g, "float32", { shape: [null, 2], name: "x" });
  const labels = placeholder(g, "int32", { shape: [null], name: "labels" });
  const logits = dense(dense(x, 16, { activation: relu, name: "hidden" }), 2, { name: "logits" });
  const probabilities = softmax(logits, { name: "probabilities" });
  const loss = sparseSoftmaxCrossEntropy(labels, logits);
  const trainOp = adamOptimizer({ learningRate: 0.05 }).minimize(loss);
  const init = globalVariablesInitializer(g);
  const keeper = saver(g); // after the optimizer, so that its slots are saved too

  await using session = new Session(g);
  await session.run([], { targets: [init] });
  const inputs = tensor([0, 0, 0, 1, 1, 0, 1, 1], "float32", [4, 2]);
  const feeds = { "x:0": inputs, "labels:0": [0, 1, 1, 0] }; // exclusive or
  for (let step = 0; step < 200; step++) await session.run([], { targets: [trainOp], feeds });
  console.log("loss", toNumbers(await session.run(loss, { feeds })));

  // xor-200.index, xor-200.data-00000-of-00001, xor-200.meta, checkpoint: tf.compat.v1.train.Saver restores them
  await keeper.save(session, join(folder, "xor"), { globalStep: 200 });

  const frozen = convertVariablesToConstants(session, [probabilities.op.name]);
  await writeFile(join(folder, "xor.pb"), writeGraphDef(frozen)); // a GraphDef of constants, for any TensorFlow

  await using inference = new Session(frozen);
  const output = frozen.output("probabilities:0");
  return toNumbers(await inference.run(output, { feeds: { "x:0": [[0, 1]] } })); // close to [0, 1]
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) console.log(await main());
