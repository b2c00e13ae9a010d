/** @file Monitored trainings take turns with TensorFlow's in one folder; TensorBoard's own readers read our event files, and we TensorFlow's. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { tensor, toNumbers } from "varscope";
import { describe, expect, test } from "vitest";
import { readEvents } from "../../src/formats/events/index.ts";
import type { Graph } from "../../src/graph/index.ts";
import {
  matmul,
  newGraph,
  reduceMean,
  square,
  subtract,
  summaryAudio,
  summaryHistogram,
  summaryImage,
  summaryScalar,
  summaryText,
  tanh,
} from "../../src/ops/index.ts";
import { adamOptimizer, monitoredTrainingSession } from "../../src/train/index.ts";
import { addWith, createGlobalStep, getVariable } from "../../src/variables/index.ts";
import { relative } from "./measures.ts";
import type { TensorFlow } from "./tensorflow.ts";

const spread = (from: number, to: number, n: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => from + ((to - from) * i) / (n - 1));

/** The program of monitored.py. */
function program(g: Graph) {
  const holder = (name: string, columns: number) =>
    g.add("Placeholder", [], { name, attrs: { dtype: "float32", shape: { dims: [null, columns] } } });
  const [x, y] = [holder("x", 4), holder("y", 1)];
  const w1 = getVariable(g, "w1", {
    initializer: { dtype: "float32", shape: [4, 8], data: spread(-1, 1, 32) },
  });
  const b1 = getVariable(g, "b1", {
    initializer: { dtype: "float32", shape: [8], data: new Float32Array(8) },
  });
  const w2 = getVariable(g, "w2", {
    initializer: { dtype: "float32", shape: [8, 1], data: spread(1, -1, 8) },
  });
  const step = createGlobalStep(g);
  const hidden = tanh(addWith(g, "AddV2", [matmul(x, w1.value()), b1], { name: "add" }));
  const loss = reduceMean(square(subtract(matmul(hidden, w2.value()), y)));
  const train = adamOptimizer({ learningRate: 0.05 }).minimize(loss, { globalStep: step });
  return { loss, train, step };
}

function batch(i: number) {
  const xs = Float32Array.from({ length: 32 }, (_, j) => Math.sin(i * 32 + j));
  const sums = Array.from({ length: 8 }, (_, r) => {
    const sum = xs.subarray(r * 4, r * 4 + 4).reduce((a, b) => Math.fround(a + b), 0);
    return [sum * sum];
  });
  return { "x:0": { dtype: "float32", shape: [8, 4], data: xs } as const, "y:0": sums };
}

type Losses = Record<string, number>;

async function trainHere(checkpointDir: string, steps: number): Promise<Losses> {
  const graph = newGraph();
  const { loss, train, step } = program(graph);
  const losses: Losses = {};
  await using session = await monitoredTrainingSession(graph, {
    checkpointDir,
    saveCheckpointSteps: 4,
    log: () => {},
  });
  const [first] = toNumbers(await session.rawSession.run(step));
  for (let i = first!; i < steps; i++) {
    losses[i] = toNumbers(await session.run(loss, { targets: [train as never], feeds: batch(i) }))[0]!;
  }
  return losses;
}

export function monitoredSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("monitored training", () => {
    test("TensorFlow's session and ours take turns in one folder, with the losses of one that trained alone", async () => {
      const there = (place: string, steps: number): Promise<Losses> =>
        tf!.ask("train_monitored", { folder: join(folder, place), steps, save_steps: 4 });
      const alone = Object.values(await there("monitored-alone", 40));
      const turns: Losses = {};
      for (const [i, first] of ["ours", "theirs"].entries()) {
        const place = `monitored-${first}`;
        for (const [turn, steps] of [7, 18, 27, 40].entries()) {
          const ours = turn % 2 === i;
          Object.assign(
            turns,
            ours ? await trainHere(join(folder, place), steps) : await there(place, steps),
          );
        }
        expect(Object.keys(turns)).toHaveLength(40);
        expect(relative(Object.values(turns), alone)).toBeLessThan(1e-4);
      }
      const files = (await readdir(join(folder, "monitored-ours"))).filter((f) => f.endsWith(".index"));
      expect(files.length).toBeLessThanOrEqual(5); // each counts the checkpoints of the other
    });

    test("TensorBoard reads scalars, histograms, images, sound, text and the graph of a training", async ({
      skip,
    }) => {
      if (!(await tf!.ask("has_tensorboard", {}))) skip("no TensorBoard in this Python");
      const place = join(folder, "tensorboard");
      const g = newGraph();
      const step = createGlobalStep(g);
      const v = getVariable(g, "v", { initializer: [1, 2, 3] });
      const next = v.assignAdd([1, 1, 1]);
      const mean = reduceMean(v.value(), { axis: 0 });
      summaryScalar("mean", mean);
      summaryHistogram("v", v.value());
      const picture = tensor(
        Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 14),
        "uint8",
        [1, 2, 3, 3],
      );
      summaryImage("picture", g.constant(picture), { maxOutputs: 1 });
      summaryAudio("beep", g.constant([[0, 0.5, -0.5, 0.25]]), 8000, { maxOutputs: 1 });
      summaryText("note", g.constant(["**bold**", "plain"]));
      const bump = g.controlDependencies([next as never], () => step.assignAdd(1n, { readValue: false }));
      const session = await monitoredTrainingSession(g, {
        checkpointDir: place,
        saveSummariesSteps: 2,
        saveCheckpointSteps: 100,
        logStepCountSteps: null,
        log: () => {},
      });
      for (let i = 0; i < 5; i++) await session.run([], { targets: [bump as never] });
      await session.close();

      const found = await tf!.ask<Record<string, never>>("read_events", { folder: place });
      expect(found.scalars).toEqual({
        mean_1: [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
      });
      expect(found.histograms).toEqual({
        v_1: [1, 3, 5].map((at, i) => [at, 3, 6 + 6 * i, 1 + 2 * i, 3 + 2 * i, expect.any(Number), 3]),
      });
      expect(found.images).toEqual({
        "picture/image": [1, 3, 5].map((at) => [at, 3, 2, toNumbers(picture)]),
      });
      expect(found.audio).toEqual({ "beep/audio": [1, 3, 5].map((at) => [at, 8000, 4, "audio/wav"]) });
      expect(found.tensors).toEqual({ note: [1, 3, 5].map((at) => [at, ["**bold**", "plain"]]) });
      expect(found.text_plugin).toEqual(["note"]);
      expect(found.meta_graph).toBe(true);
      expect(found.nodes).toEqual(g.operations.map((op) => op.name).sort());
    });

    test("we read TensorFlow's event files, and its loader ours record by record", async ({ skip }) => {
      if (!(await tf!.ask("has_tensorboard", {}))) skip("no TensorBoard in this Python");
      const theirs = join(folder, "events-theirs");
      const nodes = await tf!.ask<string[]>("write_events", { folder: theirs });
      const [file] = (await readdir(theirs)).filter((f) => f.includes("tfevents"));
      const events = [...readEvents(await readFile(join(theirs, file!)))];
      const sums = events.flatMap((e) =>
        e.what.case === "summary"
          ? [[Number(e.step), ...e.what.value.value.map((v) => [v.tag, v.value.case])]]
          : [],
      );
      expect(sums).toEqual([0, 1, 2].map((i) => [i, ["sum_1", "simpleValue"], ["all", "histo"]]));
      expect(events.filter((e) => e.what.case === "graphDef")).toHaveLength(1);
      expect(nodes).toContain("Merge/MergeSummary");

      const ours = join(folder, "tensorboard");
      const [mine] = (await readdir(ours)).filter((f) => f.includes("tfevents"));
      const kinds = await tf!.ask<string[]>("load_events", { file: join(ours, mine!) });
      expect(kinds.slice(0, 4)).toEqual(["file_version", "graph_def", "meta_graph_def", "session_log"]);
      const bytes = await readFile(join(ours, mine!));
      expect(kinds).toHaveLength([...readEvents(bytes, { allowCut: false })].length + 1);
    });
  });
}
