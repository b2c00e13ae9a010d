/**
 * @file Averages of weights, by numbers: an exponential moving average swapped in for an evaluation, and stochastic weight averaging, whose batch
 * normalization has to be recalibrated. The data are two noisy rings that a small net tells apart.
 */
import { pathToFileURL } from "node:url";
import {
  argmax,
  GraphKeys,
  globalVariablesInitializer,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  relu,
  Session,
  setRandomSeed,
  tensor,
  toNumbers,
  trainableVariables,
} from "varscope";
import { recalibrate } from "varscope/edit";
import { batchNormalization, dense, sparseSoftmaxCrossEntropy } from "varscope/layers";
import { ExponentialMovingAverage, momentumOptimizer, sessionMean, withAverages } from "varscope/train";

/** Reproducible uniform numbers. @see Numerical Recipes, "quick and dirty" generators */
function* numbers(seed: number): Generator<number> {
  for (let s = seed; ; ) {
    s = (s * 1664525 + 1013904223) % 4294967296;
    yield s / 4294967296;
  }
}

/** Points of two rings of radius 1 and 2, blurred so far that some are lost: x [n, 2], labels [n]. */
function rings(n: number, seed: number) {
  const random = numbers(seed);
  const next = (): number => random.next().value as number;
  const [xs, labels]: [number[], number[]] = [[], []];
  for (let i = 0; i < n; i++) {
    const label = i % 2;
    const [angle, radius] = [2 * Math.PI * next(), 1 + label + 1.2 * (next() + next() - 1)];
    xs.push(radius * Math.cos(angle), radius * Math.sin(angle));
    labels.push(label);
  }
  return { x: tensor(xs, "float32", [n, 2]), labels: tensor(labels, "int32", [n]) };
}

function net() {
  const g = newGraph();
  setRandomSeed(g, 5);
  const x = placeholder(g, "float32", { shape: [null, 2], name: "x" });
  const labels = placeholder(g, "int32", { shape: [null], name: "labels" });
  const training = placeholder(g, "bool", { shape: [], name: "training" });
  const block = (y: Output, units: number): Output => relu(batchNormalization(dense(y, units), { training }));
  const logits = dense(block(block(block(x, 32), 32), 32), 2);
  const loss = sparseSoftmaxCrossEntropy(labels, logits);
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  const step = g.controlDependencies(updates, () =>
    momentumOptimizer({ learningRate: 1, momentum: 0.9 }).minimize(loss),
  );
  const ema = new ExponentialMovingAverage(0.98);
  const train = g.controlDependencies([step], () => ema.apply(g)); // after the step, never beside it
  return {
    g,
    loss,
    predicted: argmax(logits, { axis: -1 }),
    train,
    ema,
    init: globalVariablesInitializer(g),
  };
}

export async function main(print: (line: string) => void = console.log): Promise<Record<string, number>> {
  const { g, loss, predicted, train, ema, init } = net();
  await using session = new Session(g);
  await session.run([], { targets: [init] });
  const test = rings(2000, 99);
  const testLoss = async (): Promise<number> => {
    const feeds = { x: test.x, labels: test.labels, training: false };
    const [value, labels] = await session.run([loss, predicted], { feeds });
    const [wanted, found] = [toNumbers(test.labels), toNumbers(labels)];
    const right = found.filter((label, i) => label === wanted[i]).length;
    print(
      `    loss ${toNumbers(value)[0]!.toFixed(4)}, ${((100 * right) / found.length).toFixed(1)} % right`,
    );
    return toNumbers(value)[0]!;
  };

  const swa = sessionMean(session, trainableVariables(g));
  const batches = Array.from({ length: 16 }, (_, i) => ({ ...rings(32, i + 1), training: true }));
  for (let epoch = 0; epoch < 30; epoch++) {
    for (const feeds of batches) await session.run([], { targets: [train], feeds });
    if (epoch >= 10) swa.add(); // the first epochs only find the way
  }

  const found: Record<string, number> = {};
  print("the last weights");
  found.last = await testLoss();
  print("their exponential moving average, swapped in; moving statistics are those of the last weights");
  found.ema = await withAverages(session, ema, testLoss);

  const restore = swa.swap();
  print(`the mean of ${swa.count} epochs' weights; moving statistics are those of the last weights`);
  found.swa = await testLoss();
  const { layers } = await recalibrate(session, { data: batches, passes: "per-layer" });
  print("the same, recalibrated");
  for (const { layer, gap } of layers)
    print(
      `    ${layer} was off by ${gap.shift.toFixed(2)} standard deviations, width ${gap.ratio.toFixed(2)}`,
    );
  found.recalibrated = await testLoss();
  restore();
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
