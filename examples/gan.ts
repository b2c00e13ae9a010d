/**
 * @file A small GAN. The discriminator is applied twice, to real and to made samples, with one set of variables, and each use of its batch
 * normalization adds update ops. Each train op depends on those of its own network alone: all of them together would move the discriminator's
 * statistics in the generator's step, and ask that step for real samples.
 */
import { pathToFileURL } from "node:url";
import {
  AUTO_REUSE,
  add,
  GraphKeys,
  globalVariables,
  globalVariablesInitializer,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  reduceMean,
  relu,
  Session,
  setRandomSeed,
  square,
  subtract,
  toNumbers,
  trainableVariables,
  updateOps,
  variableScope,
} from "varscope";
import { batchNormalization, dense } from "varscope/layers";
import { adamOptimizer } from "varscope/train";

const BATCH = 128;

/** In a scope that shares its variables from the second use on. The linear way around the normalization keeps where a batch lies. */
const network = (name: string, x: Output, units: number, outputs: number): Output =>
  variableScope(x.graph, name, { reuse: AUTO_REUSE }, () => {
    const first = dense(x, units, { activation: relu, name: "first" });
    const second = batchNormalization(dense(first, units, { name: "second" }), {
      training: true,
      name: "bn",
    });
    return add(dense(relu(second), outputs, { name: "out" }), dense(first, outputs, { name: "around" }));
  });

/** Mean squared distance to a target: 1 for real, 0 for made. @see Mao et al. 2016, "Least squares generative adversarial networks" */
const distanceTo = (target: number, x: Output): Output => reduceMean(square(subtract(x, target)));

/** A step of one network: its variables and its moving statistics change, nothing else. */
function trainOp(loss: Output, scope: string, learningRate: number): Operation {
  const g = loss.graph;
  const updates = updateOps(g, { scope });
  return g.controlDependencies(updates, () =>
    adamOptimizer({ learningRate, beta1: 0.5 }).minimize(loss, {
      varList: trainableVariables(g, scope),
    }),
  );
}

/** Normally distributed numbers, the same in every run. */
function* normals(seed: number): Generator<number, never> {
  let state = seed;
  const uniform = (): number => {
    state = (state * 48_271) % 2_147_483_647; // Park and Miller's minimal standard
    return state / 2_147_483_647;
  };
  for (;;) {
    yield Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }
}

export async function main(print: (line: string) => void = console.log, steps = 250) {
  const g = newGraph();
  setRandomSeed(g, 3);
  const z = placeholder(g, "float32", { shape: [null, 2], name: "z" });
  const real = placeholder(g, "float32", { shape: [null, 2], name: "real" });
  const fake = network("G", z, 32, 2);
  const onReal = network("D", real, 32, 1);
  const onFake = network("D", fake, 32, 1);
  const trainD = trainOp(add(distanceTo(1, onReal), distanceTo(0, onFake)), "D/", 0.01);
  const trainG = trainOp(distanceTo(1, onFake), "G/", 0.003);
  const init = globalVariablesInitializer(g);
  const statistics = globalVariables(g, "D/bn/moving_");

  const random = normals(7);
  const noise = () => Array.from({ length: BATCH }, () => [random.next().value, random.next().value]);
  const samples = () => noise().map(([a, b]) => [2 + 0.5 * a!, -1 + 0.5 * b!]); // around (2, -1)
  const warnings: string[] = [];
  await using session = new Session(g, { warn: (message) => warnings.push(message) });
  await session.run([], { targets: [init] });
  const state = async () => (await session.run(statistics)).map((t) => toNumbers(t));
  const center = async () => {
    const made = toNumbers(await session.run(fake, { feeds: { "z:0": noise() } }));
    return [0, 1].map((axis) => made.filter((_, i) => i % 2 === axis).reduce((a, b) => a + b) / BATCH);
  };

  const before = { center: await center(), statistics: await state() };
  await session.run([], { targets: [trainG], feeds: { "z:0": noise() } }); // no real samples
  const afterGenerator = await state();
  for (let step = 0; step < steps; step++) {
    await session.run([], { targets: [trainD], feeds: { "z:0": noise(), "real:0": samples() } });
    await session.run([], { targets: [trainG], feeds: { "z:0": noise() } });
  }
  const after = { center: await center(), statistics: await state() };

  const text = (xs: readonly number[]): string => `(${xs.map((x) => x.toFixed(2)).join(", ")})`;
  print(
    `update ops: ${g
      .getCollection<Operation>(GraphKeys.UPDATE_OPS)
      .map((op) => op.name)
      .join(", ")}`,
  );
  for (const scope of ["D/", "G/"]) print(`of ${scope}: ${updateOps(g, { scope }).length}`);
  print(
    `real samples lie around (2.00, -1.00), made ones around ${text(before.center)}, later ${text(after.center)}`,
  );
  return { before, afterGenerator, after, warnings };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
