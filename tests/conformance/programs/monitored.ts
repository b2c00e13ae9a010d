/** @file Graphs of monitored trainings and summaries: twins of tools/goldens/monitored.py. */

import type { Graph, Output } from "../../../src/graph/index.ts";
import {
  summaryAudio,
  summaryHistogram,
  summaryMerge,
  summaryMergeAll,
  summaryScalar,
  summaryText,
} from "../../../src/ops/index.ts";
import { finalizeScaffold, globalStepRead, gradientDescentOptimizer } from "../../../src/train/index.ts";
import { GraphKeys, getOrCreateGlobalStep, getVariable } from "../../../src/variables/index.ts";
import { holder, identity, mul, type Program, reduceAll, use } from "./pieces.ts";

/** One vector, pulled to zero. */
export function model(g: Graph): { readonly now: Output; readonly loss: Output; readonly train: Output } {
  const step = getOrCreateGlobalStep(g);
  const w = getVariable(g, "w", { initializer: [1, 2] });
  const now = identity(w, "now");
  const loss = reduceAll("Sum", mul(now, now), "loss");
  const train = g.controlDependencies([now, globalStepRead(g)!], () =>
    gradientDescentOptimizer({ learningRate: 0.125 }).minimize(loss, { globalStep: step }),
  );
  summaryScalar("loss", loss);
  summaryHistogram("w", now);
  return { now, loss, train: train as unknown as Output };
}

const scaffold =
  (resource: boolean): Program =>
  (g) => {
    use(g, resource);
    model(g);
    getVariable(g, "seen", {
      initializer: { dtype: "int32", shape: [], data: new Int32Array(1) },
      trainable: false,
      collections: [GraphKeys.LOCAL_VARIABLES],
    });
    finalizeScaffold(g);
  };

export const MONITORED_PROGRAMS: Readonly<Record<string, Program>> = {
  scaffold_ref: scaffold(false),
  scaffold_resource: scaffold(true),
  scaffold_bare(g) {
    g.constant(1);
    finalizeScaffold(g);
  },
  summary_names(g) {
    const x = holder(g, "x", [2, 4, 4, 3]);
    const t = holder(g, "t", [2], "string");
    const mean = reduceAll("Mean", x);
    summaryScalar("loss", mean);
    summaryScalar("loss", mean);
    g.nameScope("tower", () => {
      summaryScalar("loss", mean);
      summaryHistogram("x", x, { family: "layers" });
      summaryHistogram("x y", x, { collections: ["other"] });
      summaryScalar("/a b:c", mean, { family: "odd family" });
    });
    summaryText("note", t);
    const flat = g.nameScope("Reshape", (scope) => {
      const shape = g.constant([2, -1], { dtype: "int32", name: "shape" });
      return g.add("Reshape", [x, shape], { name: scope });
    });
    summaryAudio("sound", flat, 8000, { maxOutputs: 1, collections: ["other"] });
    summaryMergeAll(g);
    summaryMergeAll(g, { scope: "tower", name: "tower_only" });
    summaryMerge(g.getCollection("other"), { collections: ["merged"] });
  },
};
