import { expect, test } from "vitest";
import { golden, newFolder, newGraph, said } from "../../../tests/fixtures/monitored.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { createGlobalStep, getGlobalStep, getVariable } from "../../variables/index.ts";
import type { SessionRunHook } from "./hook.ts";
import { feedFnHook } from "./run-hooks.ts";
import { checkpointSaverHook } from "./saver-hook.ts";
import { stepCounterHook, stopAtStepHook } from "./step-hooks.ts";
import { loggingTensorHook } from "./tensor-hooks.ts";
import {
  type MonitoredTrainingOptions,
  monitoredSession,
  monitoredTrainingSession,
} from "./training-session.ts";

const noStep = (options: MonitoredTrainingOptions) => () => {
  const graph = newGraph();
  getVariable(graph, "w", { initializer: 1 });
  return monitoredTrainingSession(graph, { checkpointDir: newFolder(), ...options });
};

async function fedTwice(byUser: boolean): Promise<void> {
  const graph = newGraph();
  const x = graph.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [] } } });
  const hook = (): SessionRunHook => feedFnHook(() => ({ x: 1 }));
  await using session = await monitoredSession(graph, { hooks: byUser ? [hook()] : [hook(), hook()] });
  await session.run(x, byUser ? { feeds: { "x:0": 2 } } : {});
}

async function runAfterStop(): Promise<void> {
  const graph = newGraph();
  createGlobalStep(graph);
  const one = graph.constant(1);
  await using session = await monitoredSession(graph, { hooks: [stopAtStepHook({ lastStep: 0 })] });
  await session.run(one);
  await session.run(one);
}

async function closedTwice(): Promise<void> {
  const graph = newGraph();
  graph.constant(1);
  const session = await monitoredSession(graph);
  await session.close();
  await session.close();
}

async function finalized(): Promise<void> {
  const graph = newGraph();
  graph.constant(1);
  await using _ = await monitoredSession(graph);
  graph.constant(2);
}

const inGraph = (work: (graph: Graph) => unknown) => (): unknown => work(new Graph(CORE_OPS));

const ERRORS: Readonly<Record<string, () => unknown>> = {
  "no step": noStep({}),
  "no step, saver only": noStep({ logStepCountSteps: null, saveSummariesSteps: null }),
  "no step, summaries only": noStep({ logStepCountSteps: null }),
  "no step, stop": inGraph((g) => stopAtStepHook({ lastStep: 1 }).begin!(g)),
  "step twice": inGraph((g) => [createGlobalStep(g), createGlobalStep(g)]),
  "float step": inGraph((g) => {
    getVariable(g, "global_step", { initializer: 1 });
    getGlobalStep(g);
  }),
  "vector step": inGraph((g) => {
    getVariable(g, "global_step", { initializer: { dtype: "int32", shape: [1], data: new Int32Array(1) } });
    getGlobalStep(g);
  }),
  "saver without": () => checkpointSaverHook("d", {}),
  "saver with both": () => checkpointSaverHook("d", { saveSecs: 1, saveSteps: 1 }),
  "stop without": () => stopAtStepHook({}),
  "stop with both": () => stopAtStepHook({ numSteps: 1, lastStep: 1 }),
  "logging without": () => loggingTensorHook(["x"], {}),
  "logging zero": () => loggingTensorHook(["x"], { everyNIter: 0 }),
  "counter without": () => stepCounterHook({ everyNSteps: null }),
  "fed by two hooks": () => fedTwice(false),
  "fed by hook and user": () => fedTwice(true),
  "run after stop": runAfterStop,
  "closed twice": closedTwice,
  finalized,
};

test.each(Object.entries(ERRORS))("the error is TensorFlow's: %s", async (name, work) => {
  const wanted = golden.errors[name]!.replace(/^\w+: /, "").replace(/\[<tf.Tensor '(.*?)'.*\]$/, "$1");
  expect(await said(work)).toBe(wanted);
});
