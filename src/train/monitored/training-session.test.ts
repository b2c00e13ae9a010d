import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { model } from "../../../tests/conformance/programs/monitored.ts";
import { toNumbers, VarscopeError } from "../../base/index.ts";
import { readEvents } from "../../formats/events/index.ts";
import { parseGraphDef } from "../../formats/graph-def/index.ts";
import { readMetaGraph } from "../../formats/meta-graph/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import type { Session } from "../../run/index.ts";
import {
  createGlobalStep,
  getGlobalStep,
  getOrCreateGlobalStep,
  getVariable,
  getVariableScope,
  variableFromProto,
} from "../../variables/index.ts";
import { saver } from "../saver.ts";
import type { SessionRunHook } from "./hook.ts";
import { profilerHook } from "./profiler-hook.ts";
import { feedFnHook, finalOpsHook } from "./run-hooks.ts";
import { checkpointSaverHook } from "./saver-hook.ts";
import { globalStepWaiterHook, sixDigits, stepCounterHook, stopAtStepHook } from "./step-hooks.ts";
import { summarySaverHook } from "./summary-hook.ts";
import { isNanLossError, loggingTensorHook, nanTensorHook } from "./tensor-hooks.ts";
import {
  type MonitoredTrainingOptions,
  monitoredSession,
  monitoredTrainingSession,
  withMonitoredTrainingSession,
} from "./training-session.ts";

interface Training {
  readonly lines: readonly string[];
  readonly saved: readonly number[];
  readonly losses: readonly number[];
  readonly files: readonly string[];
  readonly error: string | null;
  readonly events: readonly (readonly [string, number, unknown])[];
}

const golden = JSON.parse(
  await readFile(new URL("../../../tests/goldens/monitored/training.json", import.meta.url), "utf8"),
) as {
  readonly trainings: Readonly<Record<string, Training>>;
  readonly errors: Readonly<Record<string, string>>;
};

let root = "";
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "varscope-monitored-"));
});
afterAll(() => rm(root, { recursive: true }));
const newFolder = (): string => join(root, String(folders++));

const newGraph = (): Graph => {
  const graph = new Graph(CORE_OPS);
  getVariableScope(graph).useResource = true;
  return graph;
};

/** Kinds, steps and values of a folder's events. Of graphs the last: TensorFlow's writer writes it once more when it is made. */
async function eventsOf(folder: string): Promise<[string, number, unknown][]> {
  const out: [string, number, unknown][] = [];
  const files = (await readdir(folder)).filter((f) => f.startsWith("events"));
  const times = await Promise.all(files.map(async (f) => (await stat(join(folder, f))).mtimeMs));
  const ordered = files.map((f, i) => [times[i]!, f] as const).sort((a, b) => a[0] - b[0]);
  for (const [, file] of ordered) {
    for (const { step, what } of readEvents(await readFile(join(folder, file)))) {
      if (what.case === "summary") {
        const values = what.value.value.map(({ tag, value }) => [
          tag,
          value.case === "simpleValue" ? value.value : value.case === "histo" ? value.value.sum : null,
        ]);
        out.push(["summary", Number(step), Object.fromEntries(values)]);
      } else if (what.case === "sessionLog") {
        out.push(["session_log", Number(step), [what.value.status, basename(what.value.checkpointPath)]]);
      } else out.push([what.case === "graphDef" ? "graph_def" : "meta_graph_def", Number(step), null]);
    }
  }
  return out;
}

/** TensorFlow's events without the version and the graph that its writer writes twice. */
const wantedEvents = (events: Training["events"]): unknown[] => {
  const plain = events.filter(([kind]) => kind !== "file_version");
  return plain.slice(plain.filter(([kind]) => kind === "graph_def").length === 2 ? 2 : 0);
};

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

const said = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (e) {
    return (e as VarscopeError).what;
  }
  throw new Error("no error");
};

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
