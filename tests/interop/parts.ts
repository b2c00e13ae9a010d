/** @file A model in parts, with Adam and a shared network, trains here, on in TensorFlow from our MetaGraph, and on here cut otherwise. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  AUTO_REUSE,
  fixedSizePartitioner,
  fromData,
  getVariable,
  globalVariablesInitializer,
  newGraph,
  type Output,
  onesInitializer,
  type PartitionedVariable,
  placeholder,
  reduceMean,
  Session,
  square,
  truncatedNormalInitializer,
  variableScope,
} from "varscope";
import * as train from "varscope/train";
import { describe, expect, test } from "vitest";
import { matmul } from "../../src/ops/index.ts";
import { addWith } from "../../src/variables/index.ts";
import { open, relative, trainHere } from "./measures.ts";
import { generator, type Net } from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const STEPS = 5; // of each turn

/** y = x w, twice with one w in so many parts; 1 for a variable that is whole. */
function model(parts: number, useResource: boolean): Omit<Net, "logits"> {
  const g = newGraph();
  const partitioner = fixedSizePartitioner(parts);
  const net = (x: Output): Output =>
    variableScope(
      g,
      "net",
      { reuse: AUTO_REUSE, useResource, ...(parts === 1 ? {} : { partitioner }) },
      () => {
        const initializer =
          parts === 3 ? truncatedNormalInitializer({ stddev: 0.5, seed: 4 }) : onesInitializer();
        const w = getVariable<PartitionedVariable>(g, "w", { shape: [5, 2], initializer });
        return matmul(addWith(g, "Identity", [x]), w.value());
      },
    );
  const [a, b] = ["a", "b"].map((name) => net(placeholder(g, "float32", { shape: [null, 5], name })));
  const loss = reduceMean(square(addWith(g, "Sub", [a!, addWith(g, "Mul", [b!, b!])])), { name: "loss" });
  const step = train.adamOptimizer({ learningRate: 0.05 }).minimize(loss);
  const saver = train.saver(g);
  const random = generator(5);
  const rows = () =>
    fromData(
      "float32",
      [4, 5],
      Float32Array.from({ length: 20 }, () => 2 * random() - 1),
    );
  const batches: TensorMap[] = [0, 1, 2].map(() => ({ "a:0": rows(), "b:0": rows() }));
  const init = globalVariablesInitializer(g).name;
  return { graph: g, loss: loss.name, train: step.name, init, saver, batches };
}

export function partsSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("a model in parts, trained in turns", () => {
    test.each([false, true])(
      "here, in TensorFlow, and here cut otherwise (useResource %s)",
      async (useResource) => {
        const at = join(folder, `parts-${useResource}`);
        await mkdir(at);
        const net = model(3, useResource);
        await using session = await open(net);
        const prefix = (await net.saver.save(session, join(at, "start")))!;
        const alone = await trainHere(session, net, 0, 4 * STEPS);

        await net.saver.restore(session, prefix);
        const turns = await trainHere(session, net, 0, STEPS);
        const ours = (await net.saver.save(session, join(at, "ours")))!;
        const there = await tf!.openMeta(`${ours}.meta`);
        await tf!.restore(there, ours);
        turns.push(...(await tf!.train(there, net, STEPS, STEPS)));
        const theirs = await tf!.save(there, join(at, "theirs"));
        let last = theirs;
        for (const [turn, parts] of [
          [2, 2],
          [3, 1],
        ] as const) {
          const other = model(parts, useResource);
          await using next = new Session(other.graph);
          await other.saver.restore(next, last);
          turns.push(...(await trainHere(next, { ...other, batches: net.batches }, turn * STEPS, STEPS)));
          last = (await other.saver.save(next, join(at, `turn-${turn}`)))!;
        }
        expect(relative(turns, alone)).toBeLessThan(1e-4);
      },
    );
  });
}
