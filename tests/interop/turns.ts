/** @file A program of TensorFlow's (turns.py) and its twin here take turns: each goes on from the other's checkpoint, all of the optimizer's state included. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  biasAdd,
  fromData,
  getOrCreateGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  matmul,
  newGraph,
  placeholder,
  reduceMean,
  relu,
  Session,
  sparseSoftmaxCrossEntropyWithLogits,
  truncatedNormalInitializer,
  variableScope,
  zerosInitializer,
} from "varscope";
import * as train from "varscope/train";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/formats/checkpoint/index.ts";
import { ExponentialMovingAverage } from "../../src/variables/index.ts";
import { relative, trainHere } from "./measures.ts";
import { generator, type Net } from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const TOLERANCE = 1e-4;
const STEPS = 10; // of each turn

const OPTIMIZERS: Readonly<Record<string, () => train.Optimizer>> = {
  sgd: () => train.gradientDescentOptimizer({ learningRate: 0.05 }),
  momentum: () => train.momentumOptimizer({ learningRate: 0.02, momentum: 0.9 }),
  nesterov: () => train.momentumOptimizer({ learningRate: 0.02, momentum: 0.9, useNesterov: true }),
  adam: () => train.adamOptimizer({ learningRate: 0.01 }),
  adagrad: () => train.adagradOptimizer({ learningRate: 0.1 }),
  adadelta: () => train.adadeltaOptimizer({ learningRate: 1, rho: 0.9 }),
  rmsprop: () => train.rmsPropOptimizer({ learningRate: 0.005, decay: 0.9, momentum: 0.5 }),
  centered_rmsprop: () =>
    train.rmsPropOptimizer({ learningRate: 0.005, decay: 0.9, momentum: 0.5, centered: true }),
  ftrl: () => train.ftrlOptimizer({ learningRate: 0.1, l1RegularizationStrength: 0.001 }),
};

type Program = Omit<Net, "logits">;

function program(optimizer: train.Optimizer, useResource: boolean): Program {
  const graph = newGraph();
  const { logits, labels, averaged } = variableScope(graph, "net", { useResource }, () => {
    const x = placeholder(graph, "float32", { shape: [null, 6], name: "x" });
    const labels = placeholder(graph, "int32", { shape: [null], name: "labels" });
    const normal = (seed: number) => truncatedNormalInitializer({ stddev: 0.3, seed });
    const w1 = getVariable(graph, "w1", { shape: [6, 8], initializer: normal(1) });
    const b1 = getVariable(graph, "b1", { shape: [8], initializer: zerosInitializer() });
    const w2 = getVariable(graph, "w2", { shape: [8, 3], initializer: normal(2) });
    const hidden = relu(biasAdd(matmul(x, w1.value()), b1.value()));
    return { logits: matmul(hidden, w2.value()), labels, averaged: [w1, w2] };
  });
  const loss = reduceMean(sparseSoftmaxCrossEntropyWithLogits({ labels, logits }), { name: "loss" });
  const globalStep = getOrCreateGlobalStep(graph);
  const apply = optimizer.minimize(loss, { globalStep });
  const average = new ExponentialMovingAverage(0.9, { numUpdates: globalStep });
  const step = graph.controlDependencies([apply], () => average.apply(averaged));
  const init = globalVariablesInitializer(graph);
  const saver = train.saver(graph);
  return { graph, loss: loss.name, train: step.name, init: init.name, saver, batches: batches() };
}

/** Three batches whose class follows from the largest of three sums. */
function batches(): TensorMap[] {
  const random = generator(11);
  return Array.from({ length: 3 }, () => {
    const x = Float32Array.from({ length: 12 * 6 }, () => 2 * random() - 1);
    const labels = Int32Array.from({ length: 12 }, (_, i) => {
      const sums = [0, 1, 2].map((c) => x[6 * i + c]! + x[6 * i + c + 3]!);
      return sums.indexOf(Math.max(...sums));
    });
    return { "net/x:0": fromData("float32", [12, 6], x), "net/labels:0": fromData("int32", [12], labels) };
  });
}

export function turnsSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("a program here and one of TensorFlow's take turns", () => {
    for (const [name, optimizer] of Object.entries(OPTIMIZERS)) {
      test.each(["reference", "resource"])(
        `${name}, %s variables: as if one had trained alone`,
        async (kind) => {
          const at = join(folder, `turns-${name}-${kind}`);
          await mkdir(at);
          const meta = join(at, "theirs.meta");
          const here = program(optimizer(), kind === "resource");
          const names = await tf!.program<{ loss: string; train: string; init: string[] }>("turns", meta, {
            optimizer: name,
            use_resource: kind === "resource",
          });
          const theirs = { ...names, batches: here.batches };
          const opened = async (): Promise<number> => {
            const session = await tf!.openMeta(meta);
            for (const init of names.init) await tf!.run(session, [], {}, [init]);
            return session;
          };
          const alone = await opened();
          const want = await tf!.train(alone, theirs, 0, 4 * STEPS);

          const there = await opened();
          const turns = await tf!.train(there, theirs, 0, STEPS);
          await using session = new Session(here.graph);
          for (const turn of [1, 3]) {
            await here.saver.restore(session, await tf!.save(there, join(at, `theirs-${turn}`)));
            turns.push(...(await trainHere(session, here, turn * STEPS, STEPS)));
            await tf!.restore(there, (await here.saver.save(session, join(at, `ours-${turn}`)))!);
            if (turn === 1) turns.push(...(await tf!.train(there, theirs, 2 * STEPS, STEPS)));
          }
          expect(relative(turns, want)).toBeLessThan(TOLERANCE);

          const [a, b] = [
            await openCheckpoint(join(at, "theirs-1")),
            await openCheckpoint(join(at, "ours-1")),
          ];
          expect(b.names()).toEqual(a.names());
          expect(b.names()).toEqual(
            globalVariables(here.graph)
              .map((v) => v.op.name)
              .sort(),
          );
          await a.close();
          await b.close();
        },
      );
    }
  });
}
