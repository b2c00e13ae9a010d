/**
 * @file The accident that batch normalization invites, and its cure. The moving statistics are updated by ops of their own, which stand in the
 * collection `update_ops`; a train op does not run them unless it depends on them.
 */
import { pathToFileURL } from "node:url";
import {
  GraphKeys,
  globalVariables,
  globalVariablesInitializer,
  newGraph,
  type Operation,
  placeholder,
  reduceMean,
  Session,
  square,
  toNumbers,
} from "varscope";
import { batchNormalization } from "varscope/layers";
import { gradientDescentOptimizer } from "varscope/train";

/** What 50 training steps leave. */
interface Outcome {
  readonly movingMean: number;
  readonly movingVariance: number;
  readonly warnings: readonly string[];
}

/** Four numbers, one channel: mean 3, population variance 3.5, sample variance 4.6667. */
const BATCH = [1, 2, 3, 6].map((v) => [[[v]]]);

async function train(withUpdates: boolean): Promise<Outcome> {
  const g = newGraph();
  const x = placeholder(g, "float32", { shape: [null, 1, 1, 1], name: "x" });
  const y = batchNormalization(x, { training: true, name: "bn" });
  const loss = reduceMean(square(y));
  const minimize = (): Operation => gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss);
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  const trainOp = withUpdates ? g.controlDependencies(updates, minimize) : minimize();
  const init = globalVariablesInitializer(g);

  const warnings: string[] = [];
  await using session = new Session(g, { warn: (message) => warnings.push(message) });
  await session.run([], { targets: [init] });
  for (let step = 0; step < 50; step++)
    await session.run([], { targets: [trainOp], feeds: { "x:0": BATCH } });
  const moving = globalVariables(g, "bn/moving_");
  const [movingMean, movingVariance] = (await session.run(moving)).flatMap((t) => toNumbers(t));
  return { movingMean: movingMean!, movingVariance: movingVariance!, warnings };
}

export async function main(
  print: (line: string) => void = console.log,
): Promise<{ forgotten: Outcome; updated: Outcome }> {
  const forgotten = await train(false);
  const updated = await train(true);
  for (const [title, outcome] of Object.entries({
    "train op alone": forgotten,
    "train op after update_ops": updated,
  })) {
    print(
      `${title}: moving_mean ${outcome.movingMean.toFixed(4)}, moving_variance ${outcome.movingVariance.toFixed(4)}`,
    );
    for (const warning of outcome.warnings) print(`  warning: ${warning}`);
  }
  return { forgotten, updated };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
