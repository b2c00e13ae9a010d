import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { model } from "../../../tests/conformance/programs/monitored.ts";
import {
  eventsOf,
  golden,
  newFolder,
  newGraph,
  said,
  type Training,
  wantedEvents,
} from "../../../tests/fixtures/monitored.ts";
import { toNumbers, VarscopeError } from "../../base/index.ts";
import { parseGraphDef } from "../../formats/graph-def/index.ts";
import { readMetaGraph } from "../../formats/meta-graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import type { Session } from "../../run/index.ts";
import {
  createGlobalStep,
  getGlobalStep,
  getOrCreateGlobalStep,
  getVariable,
  variableFromProto,
} from "../../variables/index.ts";
import type { SessionRunHook } from "./hook.ts";
import { stopAtStepHook } from "./step-hooks.ts";
import { loggingTensorHook, nanTensorHook } from "./tensor-hooks.ts";
import {
  type MonitoredTrainingOptions,
  monitoredTrainingSession,
  withMonitoredTrainingSession,
} from "./training-session.ts";

type Model = ReturnType<typeof model>;

async function train(
  folder: string,
  hooks: (m: Model, shared: { log: (line: string) => void; clock: () => number }) => SessionRunHook[],
  options: MonitoredTrainingOptions & { readonly seconds?: number } = {},
): Promise<Training> {
  const { seconds = 0.25, ...rest } = options;
  const graph = newGraph();
  const m = model(graph);
  let now = 1000;
  const lines: string[] = [];
  const saved: number[] = [];
  const losses: number[] = [];
  let error: string | null = null;
  const shared = {
    log: (line: string) => void lines.push(line.replaceAll(folder, "DIR")),
    clock: () => now,
  };
  const before = await eventsOf(folder).catch(() => []);
  const noteSaved: SessionRunHook = {
    afterSave: (_, step) => saved.push(step),
  };
  try {
    await using session = await monitoredTrainingSession(graph, {
      checkpointDir: folder,
      hooks: [...hooks(m, shared), noteSaved],
      ...shared,
      ...rest,
    });
    while (!session.shouldStop()) {
      const [loss] = await session.run([m.loss], { targets: [m.train] });
      losses.push(toNumbers(loss!)[0]!);
      now += seconds;
    }
  } catch (e) {
    error = (e as VarscopeError).what;
  }
  const files = (await readdir(folder)).filter((f) => !f.startsWith("events")).sort();
  return { lines, saved, losses, files, error, events: (await eventsOf(folder)).slice(before.length) };
}

function expectTraining(got: Training, name: string): void {
  const want = golden.trainings[name]!;
  expect(got.lines.filter((l) => !l.startsWith("It seems"))).toEqual(want.lines);
  expect(got.saved).toEqual(want.saved);
  expect(got.losses).toEqual(want.losses);
  expect(got.files).toEqual(want.files);
  expect(got.error === null ? null : `NanLossDuringTrainingError: ${got.error}`).toEqual(want.error);
  expect(got.events).toEqual(wantedEvents(want.events));
}

test("MonitoredTrainingSession saves at creation, every N steps and at the end, logs and writes events as TensorFlow; a new one goes on", async () => {
  const folder = newFolder();
  const every = { saveCheckpointSteps: 2, saveSummariesSteps: 2, logStepCountSteps: 2 };
  const logging = (m: Model, shared: object): SessionRunHook =>
    loggingTensorHook({ w: m.now, loss: m.loss }, { everyNIter: 2, ...shared });
  expectTraining(
    await train(folder, (m, s) => [stopAtStepHook({ lastStep: 5 }), logging(m, s)], every),
    "first",
  );
  expectTraining(
    await train(folder, (m, s) => [stopAtStepHook({ numSteps: 3 }), logging(m, s)], every),
    "again",
  );
  const text = await readFile(join(folder, "graph.pbtxt"), "utf8");
  expect(parseGraphDef(text, { registry: CORE_OPS }).operation("save/restore_all").type).toBe("NoOp");
  // the quirk: stopAtStepHook looks after a run
  expectTraining(await train(folder, () => [stopAtStepHook({ lastStep: 8 })], every), "at_last_step");
});

test("without options checkpoints come every 600 seconds and summaries every 100 steps", async () => {
  expectTraining(
    await train(newFolder(), () => [stopAtStepHook({ numSteps: 3 })], { seconds: 250 }),
    "defaults",
  );
});

test("hooks go by seconds too, and LoggingTensorHook takes a list", async () => {
  const hooks = (m: Model, shared: object): SessionRunHook[] => [
    stopAtStepHook({ numSteps: 6 }),
    loggingTensorHook([m.loss, "now:0"], { everyNSecs: 0.5, ...shared }),
  ];
  const options = { saveCheckpointSecs: 0.75, saveSummariesSecs: 0.5, logStepCountSteps: 4 };
  expectTraining(await train(newFolder(), hooks, options), "seconds");
});

test("LoggingTensorHook logs at the end alone, and null turns summaries and the counter off", async () => {
  const hooks = (m: Model, shared: object): SessionRunHook[] => [
    stopAtStepHook({ numSteps: 2 }),
    loggingTensorHook({ loss: m.loss }, { atEnd: true, ...shared }),
  ];
  const options = { saveCheckpointSteps: 100, saveSummariesSteps: null, logStepCountSteps: null };
  expectTraining(await train(newFolder(), hooks, options), "at_end");
});

test("NanTensorHook fails the run, and no checkpoint is saved at the end; or it stops", async () => {
  const folder = newFolder();
  const nan = (m: Model) => {
    const g = m.loss.graph;
    const infinite = g.add("RealDiv", [m.loss, 0]);
    return g.add("Sub", [infinite, infinite]);
  };
  expectTraining(
    await train(folder, (m, s) => [nanTensorHook(nan(m), s)], { saveCheckpointSteps: 1 }),
    "nan",
  );
  expectTraining(
    await train(folder, (m, s) => [nanTensorHook(nan(m), { ...s, failOnNanLoss: false })], {
      saveCheckpointSteps: 1,
    }),
    "nan_stop",
  );
});

test("getOrCreateGlobalStep gives one int64 scalar of the collection global_step", () => {
  const graph = newGraph();
  const step = getOrCreateGlobalStep(graph);
  expect(getOrCreateGlobalStep(graph)).toBe(step);
  expect([step.name, step.dtype, step.shape, step.trainable]).toEqual(["global_step:0", "int64", [], false]);
  expect(graph.getCollection("global_step")).toEqual([step]);
});

test("without a folder no global step is needed, and nothing is written", async () => {
  const graph = newGraph();
  const w = getVariable(graph, "w", { initializer: 3 });
  await using session = await monitoredTrainingSession(graph);
  expect(toNumbers(await session.run(w))).toEqual([3]);
});

test("a run fetches for its hooks in one run of the session below, and gives each its own", async () => {
  const graph = newGraph();
  const w = getVariable(graph, "w", { initializer: 3 });
  const draw = graph.add("RandomUniform", [graph.constant([1], { dtype: "int32", shape: [1] })], {
    attrs: { dtype: "float32" },
  });
  const seen: unknown[] = [];
  const hook = (): SessionRunHook => ({
    beforeRun: () => ({ fetches: { draw } }),
    afterRun: (_, { results }) => void seen.push((results as { draw: { data: Float32Array } }).draw.data[0]),
  });
  const silent: SessionRunHook = { afterRun: (_, { results }) => void seen.push(results) };
  await using session = await monitoredTrainingSession(graph, { hooks: [hook(), silent, hook()] });
  const got = await session.run({ w, draw });
  const value = (got.draw.data as Float32Array)[0];
  expect(seen).toEqual([value, null, value]);
});

test("initFn runs after the initializer, not after a restore; local variables are initialized in both cases", async () => {
  const folder = newFolder();
  for (const round of [0, 1]) {
    const graph = newGraph();
    createGlobalStep(graph);
    const w = getVariable(graph, "w", { initializer: 3 });
    const local = getVariable(graph, "local", {
      initializer: 7,
      trainable: false,
      collections: ["local_variables"],
    });
    const set = graph.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: [] } } });
    const assign = w.assign(set, { readValue: false });
    const calls: number[] = [];
    const scaffold = {
      async initFn(session: Session) {
        calls.push(round);
        await session.run([], { targets: [assign as never], feeds: new Map([[set, 5]]) });
      },
    };
    await using session = await monitoredTrainingSession(graph, {
      checkpointDir: folder,
      scaffold,
      log: () => {},
    });
    expect(toNumbers(await session.run(w))).toEqual([5]);
    expect(toNumbers(await session.run(local))).toEqual([7]);
    expect(calls).toEqual(round === 0 ? [0] : []);
  }
});

test("a variable that no initializer reaches is named", async () => {
  const graph = newGraph();
  getVariable(graph, "w", { initializer: 3 });
  const initOp = graph.addOp("NoOp", [], { name: "nothing" });
  expect(await said(() => monitoredTrainingSession(graph, { scaffold: { initOp } }))).toBe(
    "Init operations did not make model ready.  Init op: nothing, init fn: null, local_init_op: group_deps, error: Variables not initialized: w",
  );
  expect(graph.finalized).toBe(false);
});

test("the end of the data ends the training in good order; another error leaves no last checkpoint", async () => {
  const attempt = async (code: "OUT_OF_RANGE" | "INTERNAL"): Promise<string[]> => {
    const folder = newFolder();
    const graph = newGraph();
    const { train } = model(graph);
    const options = { checkpointDir: folder, log: () => {} };
    await withMonitoredTrainingSession(graph, options, async (session) => {
      await session.run([], { targets: [train] });
      throw new VarscopeError(code, "the data end here");
    }).catch((e: VarscopeError) => expect(e.code).toBe("INTERNAL"));
    return (await readdir(folder)).filter((f) => f.endsWith(".index")).sort();
  };
  expect(await attempt("OUT_OF_RANGE")).toEqual(["model.ckpt-0.index", "model.ckpt-1.index"]);
  expect(await attempt("INTERNAL")).toEqual(["model.ckpt-0.index"]);
});

test("a session that was lost is made anew from the last checkpoint, and the run is tried again", async () => {
  const folder = newFolder();
  const graph = newGraph();
  const { train } = model(graph);
  let created = 0;
  let lose = false;
  const fragile: SessionRunHook = {
    afterCreateSession: () => void created++,
    beforeRun() {
      if (!lose) return null;
      lose = false;
      throw new VarscopeError("UNAVAILABLE", "the server is gone");
    },
  };
  const step = getGlobalStep(graph)!;
  await using session = await monitoredTrainingSession(graph, {
    checkpointDir: folder,
    saveCheckpointSteps: 2,
    hooks: [fragile],
    log: () => {},
  });
  for (let i = 0; i < 3; i++) await session.run([], { targets: [train] });
  lose = true;
  await session.run([], { targets: [train] });
  expect(created).toBe(2);
  expect(toNumbers(await session.run(step))).toEqual([3]); // saved at 2, and one more
});

test("a graph from a MetaGraph trains on, with the nodes that it brought", async () => {
  const folder = newFolder();
  const first = newGraph();
  const { train } = model(first);
  const options = { checkpointDir: folder, log: () => {} };
  await withMonitoredTrainingSession(first, options, async (session) => {
    await session.run([], { targets: [train] });
  });
  const file = await readFile(join(folder, "model.ckpt-1.meta"));
  const { graph } = readMetaGraph(file, { registry: CORE_OPS, readVariable: variableFromProto });
  const nodes = graph.operations.length;
  await withMonitoredTrainingSession(graph, options, async (session) => {
    const loss = await session.run("loss:0", { targets: [train.name] });
    expect(toNumbers(loss as never)).toEqual([2.8125]);
  });
  expect(graph.operations.length).toBe(nodes);
  expect(await readdir(folder)).toContain("model.ckpt-2.index");
});

test("a worker waits until the chief has initialized the variables, or the time is over", async () => {
  const graph = newGraph();
  getVariable(graph, "w", { initializer: 3 });
  // variables of this machine are the session's own: no chief will ever initialize them
  const worker = monitoredTrainingSession(graph, { isChief: false, maxWaitSecs: 0 });
  expect(await said(() => worker)).toBe("Session was not ready after waiting 0 secs.");
  const ready = newGraph();
  ready.constant(1);
  await using session = await monitoredTrainingSession(ready, { isChief: false, maxWaitSecs: 0 });
  expect(session.shouldStop()).toBe(false);
});
