/** @file Moving averages and recalibrated statistics: the same numbers on both sides, and checkpoints that either side evaluates. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  add,
  constant,
  type Graph,
  getOrCreateGlobalStep,
  getVariable,
  getVariableScope,
  globalVariables,
  globalVariablesInitializer,
  matmul,
  newGraph,
  reduceMean,
  Session,
  square,
  subtract,
  type Tensor,
  tensor,
  toNumbers,
  trainableVariables,
  variableScope,
  writeMetaGraph,
} from "varscope";
import { recalibrate } from "varscope/edit";
import { ExponentialMovingAverage, momentumOptimizer, saver, withAverages } from "varscope/train";
import { describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/program.ts";
import { normSites } from "../../src/edit/recalibrate/norm-sites.ts";
import { bits, distance, open } from "./measures.ts";
import * as nets from "./nets.ts";
import { fromWire, type TensorFlow, type TensorMap, type WireTensor } from "./tensorflow.ts";

/** What `trained` of moving_averages.py begins with: y = x w + b, and nothing that trains. */
function line(resource: boolean) {
  const g = newGraph();
  getVariableScope(g).useResource = resource;
  const x = constant(
    g,
    Array.from({ length: 6 }, (_, i) => [(2 * i) / 6, (2 * i + 1) / 6]),
  );
  const [w, b] = variableScope(g, "net", {}, () => [
    getVariable(g, "w", { initializer: [[0.5], [-0.25]] }),
    getVariable(g, "b", { initializer: [0] }),
  ]);
  const loss = reduceMean(square(subtract(add(matmul(x, w!.value()), b!.value()), constant(g, 1))));
  return { g, loss, globalStep: getOrCreateGlobalStep(g) };
}

/** The twin of `trained`. */
function trainedLine(resource: boolean) {
  const { g, loss, globalStep } = line(resource);
  const step = momentumOptimizer({ learningRate: 0.05, momentum: 0.9 }).minimize(loss, { globalStep });
  const ema = new ExponentialMovingAverage(0.95, { numUpdates: globalStep, name: "E" });
  const train = g.controlDependencies([step], () => ema.apply(g));
  return { g, ema, train, init: globalVariablesInitializer(g) };
}

async function variablesOf(session: Session): Promise<TensorMap> {
  const all = globalVariables(session.graph);
  const values = (await session.run(all)) as Tensor[];
  return Object.fromEntries(all.map((v, i) => [v.op.name, values[i]!]));
}

const fromWires = (values: Record<string, WireTensor>): TensorMap =>
  Object.fromEntries(Object.entries(values).map(([k, v]) => [k, fromWire(v)]));

const metaOf = async (graph: Graph, path: string): Promise<string> => {
  await writeFile(path, writeMetaGraph({ graph }));
  return path;
};

const off = tensor(false, "bool", []);

export function averageSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("moving averages", () => {
    test.each([false, true])(
      "30 steps leave the same averages here and there (resource %s)",
      async (resource) => {
        const at = join(folder, `ema-there-${resource}`);
        const theirs = fromWires(await tf!.ask("ema_train", { prefix: at, steps: 30, resource }));
        const { g, train, init } = trainedLine(resource);
        await using session = new Session(g);
        await session.run([], { targets: [init] });
        for (let i = 0; i < 30; i++) await session.run([], { targets: [train] });
        const ours = await variablesOf(session);
        expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort());
        for (const [name, value] of Object.entries(ours))
          expect(distance(value, theirs[name]!), name).toBeLessThan(1e-6);
      },
    );

    test.each([false, true])(
      "we restore TensorFlow's averages, and swap them in (resource %s)",
      async (resource) => {
        const at = join(folder, `ema-from-${resource}`);
        const theirs = fromWires(await tf!.ask("ema_train", { prefix: at, steps: 7, resource }));
        const { g, ema } = trainedLine(resource);
        await using whole = new Session(g);
        await saver(g).restore(whole, at);
        const [w] = trainableVariables(g);
        const swapped = (await withAverages(whole, ema, () => whole.run(w!))) as Tensor;
        expect(bits(swapped)).toBe(bits(theirs["net/w/E"]!));
        expect(bits((await whole.run(w!)) as Tensor)).toBe(bits(theirs["net/w"]!));
        await using evaluation = new Session(g);
        await saver(g, { varList: ema.variablesToRestore(g) }).restore(evaluation, at);
        expect(bits((await evaluation.run(w!)) as Tensor)).toBe(bits(theirs["net/w/E"]!));
      },
    );

    test.each([false, true])(
      "TensorFlow restores ours by its own variables_to_restore (resource %s)",
      async (resource) => {
        const { g, train, init } = trainedLine(resource);
        await using session = new Session(g);
        await session.run([], { targets: [init] });
        for (let i = 0; i < 7; i++) await session.run([], { targets: [train] });
        const prefix = (await saver(g).save(session, join(folder, `ema-here-${resource}`)))!;
        const { g: evaluation } = line(resource);
        const found = await tf!.ask<{ map: Record<string, string>; values: Record<string, WireTensor> }>(
          "ema_restore",
          {
            meta: await metaOf(evaluation, `${prefix}-plain.meta`),
            prefix,
            name: "E",
          },
        );
        const map = Object.entries(
          new ExponentialMovingAverage(0.95, { name: "E" }).variablesToRestore(evaluation),
        ).map(([key, v]) => [key, v.op.name]);
        expect(found.map).toEqual(Object.fromEntries(map));
        const ours = await variablesOf(session);
        for (const [key, name] of map)
          expect(bits(fromWire(found.values[name!]!)), key).toBe(bits(ours[key!]!));
      },
    );
  });

  describe.skipIf(tf === null)("recalibrated statistics", () => {
    test.each([
      ["fused, for training, per layer", () => nets.convBn(true), "per-layer"],
      ["chosen by a placeholder, one pass", nets.placeholderBn, "one"],
    ] as const)("%s: TensorFlow finds them in its own inputs of the layers", async (title, build, passes) => {
      const net = build();
      const at = join(folder, `recalibrated-${passes}`);
      await mkdir(at, { recursive: true });
      await using session = await open(net);
      const { layers } = await recalibrate(session, { data: net.batches, passes });
      expect(layers.length, title).toBeGreaterThan(0);
      const prefix = (await net.saver.save(session, join(at, "net")))!;
      const there = await tf!.openMeta(`${prefix}.meta`);
      await tf!.restore(there, prefix);
      const theirs = await tf!.variables(there);
      for (const { names, mean, variance, layer } of layers) {
        expect(bits(theirs[names.mean]!), layer).toBe(bits(mean));
        expect(bits(theirs[names.variance]!), layer).toBe(bits(variance));
      }
      const flag = net.graph.findOperation("training") === undefined ? {} : { "training:0": off };
      const feeds = { ...net.batches[0]!, ...flag };
      const [logits] = await tf!.run(there, [net.logits], feeds);
      expect(distance((await session.run(net.logits, { feeds })) as Tensor, logits!)).toBeLessThan(1e-5);
      // the first layer's input is the same in every mode: TensorFlow's own moments of it
      const first = layers[0]!;
      const input = normSites(net.graph).find((site) => site.layer === first.layer)!.x;
      const rows: number[][] = [];
      for (const feeds of net.batches) {
        const [x] = await tf!.run(there, [input.name], { ...feeds, ...flag });
        const flat = toNumbers(x!);
        const channels = first.mean.shape[0]!;
        for (let i = 0; i < flat.length; i += channels) rows.push(flat.slice(i, i + channels));
      }
      const means = toNumbers(first.mean);
      for (const [c, mean] of means.entries()) {
        const column = rows.map((r) => r[c]!);
        const want = column.reduce((a, b) => a + b, 0) / column.length;
        const spread =
          column.reduce((a, b) => a + (b - want) ** 2, 0) /
          (column.length - (first.convention === "sample" ? 1 : 0));
        expect(mean).toBeCloseTo(want, 5);
        expect(toNumbers(first.variance)[c]).toBeCloseTo(spread, 5);
      }
    });

    test("Keras and TensorFlow compute with recalibrated files what Keras computes with its own statistics", async () => {
      const golden = (name: string): string =>
        new URL(`../goldens/recalibrate/${name}`, import.meta.url).pathname;
      const out = join(folder, "recalibrated-files");
      await mkdir(out, { recursive: true });
      const files = { keras: join(out, "model.keras"), saved: join(out, "exported") };
      const common = [
        "recalibrate",
        golden("exported"),
        "--feed",
        `x=@${golden("x.npy")}`,
        "--signature",
        "serve",
      ];
      const silent = { write: () => undefined };
      const run = (...more: string[]) =>
        runCli([...common, "--passes", "per-layer", ...more], { stdout: silent, stderr: process.stderr });
      expect(await run("--checkpoint", golden("model.keras"), "-o", files.keras)).toBe(0);
      expect(await run("-o", files.saved)).toBe(0);
      const want: number[][] = JSON.parse(await readFile(golden("expected.json"), "utf8")).keras.out;
      const found = await tf!.ask<number[][][]>("recalibrated_outputs", {
        keras_path: files.keras,
        saved_path: files.saved,
        x: golden("x.npy"),
      });
      for (const outputs of found)
        for (const [i, row] of outputs.entries())
          for (const [c, v] of row.entries()) expect(v).toBeCloseTo(want[i]![c]!, 4);
    });
  });
}
