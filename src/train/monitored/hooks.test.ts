/** Hooks beside those that every training has. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { model } from "../../../tests/conformance/programs/monitored.ts";
import { eventsOf, newFolder, newGraph } from "../../../tests/fixtures/monitored.ts";
import { toNumbers } from "../../base/index.ts";
import { createGlobalStep } from "../../variables/index.ts";
import { saver } from "../saver.ts";
import { profilerHook } from "./profiler-hook.ts";
import { feedFnHook, finalOpsHook } from "./run-hooks.ts";
import { checkpointSaverHook } from "./saver-hook.ts";
import { globalStepWaiterHook, sixDigits } from "./step-hooks.ts";
import { summarySaverHook } from "./summary-hook.ts";
import { isNanLossError, nanTensorHook } from "./tensor-hooks.ts";
import { monitoredSession } from "./training-session.ts";

test("listeners hear of every checkpoint, and one can stop the training", async () => {
  const folder = newFolder();
  const graph = newGraph();
  const { train } = model(graph);
  const heard: string[] = [];
  const hook = checkpointSaverHook(folder, {
    saveSteps: 2,
    saver: saver(graph),
    checkpointBasename: "m",
    saveGraphDef: false,
    log: () => {},
    listeners: [
      {
        begin: () => void heard.push("begin"),
        beforeSave: (_, step) => void heard.push(`before ${step}`),
        afterSave(_, step) {
          heard.push(`after ${step}`);
          return step === 2;
        },
        end: (_, step) => void heard.push(`end ${step}`),
      },
    ],
  });
  await using session = await monitoredSession(graph, { hooks: [hook] });
  while (!session.shouldStop()) await session.run([], { targets: [train] });
  await session.close();
  expect(heard).toEqual(["begin", "before 0", "after 0", "before 2", "after 2", "end 2"]);
  expect((await readdir(folder)).filter((f) => !f.startsWith("events")).sort()).toEqual([
    "checkpoint",
    "m-0.data-00000-of-00001",
    "m-0.index",
    "m-2.data-00000-of-00001",
    "m-2.index",
  ]);
});

test("GlobalStepWaiterHook, FeedFnHook, FinalOpsHook and SummarySaverHook do what TensorFlow's do", async () => {
  const folder = newFolder();
  const graph = newGraph();
  const step = createGlobalStep(graph);
  const x = graph.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [] } } });
  const y = graph.add("Square", [x]);
  const final = finalOpsHook({ step, two: graph.constant(2) });
  const summary = graph.add("ScalarSummary", ["y", y]);
  let fed = 1;
  const lines: string[] = [];
  const hooks = [
    globalStepWaiterHook(5, { log: (line) => lines.push(line), pollMs: 1 }),
    feedFnHook(() => ({ x: ++fed })),
    final,
    summarySaverHook({ saveSteps: 1, outputDir: folder, summaryOp: summary }),
  ];
  const bump = step.assignAdd(1n, { readValue: false });
  await using session = await monitoredSession(graph, { hooks });
  for (let i = 0; i < 5; i++) await session.rawSession.run([], { targets: [bump as never] });
  expect(toNumbers(await session.run(y))).toEqual([4]);
  expect(lines).toEqual(["Waiting for global step 5 before starting training."]);
  await session.close();
  expect(toNumbers(final.finalOpsValues!.step)).toEqual([5]);
  expect(toNumbers(final.finalOpsValues!.two)).toEqual([2]);
  expect(await eventsOf(folder)).toEqual([
    ["session_log", 5, [1, ""]],
    ["summary", 5, { y: 4 }],
  ]);
});

test("isNanLossError knows the error of NanTensorHook", async () => {
  const graph = newGraph();
  const nan = graph.add("Log", [graph.constant(-1)]);
  await using session = await monitoredSession(graph, { hooks: [nanTensorHook(nan, { log: () => {} })] });
  const error = await session.run([]).catch((e: unknown) => e);
  expect(isNanLossError(error)).toBe(true);
  expect(isNanLossError(new Error("NaN loss during training."))).toBe(false);
});

test.each([
  [119.8924, "119.892"],
  [4, "4"],
  [0.00012345678, "0.000123457"],
  [0.000012345678, "1.23457e-05"],
  [1234567, "1.23457e+06"],
  [999999.5, "1e+06"],
  [Number.POSITIVE_INFINITY, "inf"],
])("steps a second are printed as C's %%g: %f", (x, text) => expect(sixDigits(x)).toBe(text));

test("ProfilerHook writes the stages of a run as a Chrome trace, and its metadata to the event file", async () => {
  const folder = newFolder();
  const graph = newGraph();
  const { train, loss } = model(graph);
  const lines: string[] = [];
  const hook = profilerHook({ saveSteps: 2, outputDir: folder, log: (line) => void lines.push(line) });
  await using session = await monitoredSession(graph, { hooks: [hook] });
  for (let i = 0; i < 5; i++) await session.run(loss, { targets: [train] });
  await session.close();
  expect(lines).toEqual([2, 4].map((i) => `Saving timeline for ${i} into '${folder}/timeline-${i}.json'.`));
  const { traceEvents } = JSON.parse(await readFile(join(folder, "timeline-4.json"), "utf8"));
  const stages = traceEvents.filter((e: { ph: string }) => e.ph === "X");
  expect(stages.map((e: { args: { ops: string } }) => e.args.ops).join()).toContain("loss = Sum");
  for (const { ts, dur } of stages)
    expect([Math.abs(ts / 1e6 - Date.now() / 1000) < 60, dur >= 0]).toEqual([true, true]);
  expect((await eventsOf(folder)).length).toBe(2);
});
