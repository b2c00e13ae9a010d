/** Several models in one process: graphs and sessions share nothing, and one graph holds several models, each with its own checkpoint. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Tensor, toNumbers } from "../src/base/index.ts";
import { openCheckpoint } from "../src/formats/checkpoint/index.ts";
import { importGraphDef, writeGraphDef } from "../src/formats/graph-def/index.ts";
import { Graph, type Output } from "../src/graph/index.ts";
import { dense } from "../src/layers/index.ts";
import { CORE_OPS, placeholder, setRandomSeed } from "../src/ops/index.ts";
import { loadRuntime, Session } from "../src/run/index.ts";
import { gradientDescentOptimizer, loadMetaGraph, saver, scopeVariables } from "../src/train/index.ts";
import {
  fixedSizePartitioner,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  variableScope,
} from "../src/variables/index.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "varscope-models-"));
});
afterAll(() => rm(folder, { recursive: true }));

const X = [[1, 2, 3]];

interface Model {
  readonly graph: Graph;
  readonly y: Output;
  readonly init: ReturnType<typeof globalVariablesInitializer>;
}

function model(seed: number): Model {
  const graph = new Graph(CORE_OPS);
  setRandomSeed(graph, seed);
  const y = dense(placeholder(graph, "float32", { shape: [null, 3], name: "x" }), 2, { name: "layer" });
  return { graph, y, init: globalVariablesInitializer(graph) };
}

async function started({ graph, init }: Model): Promise<Session> {
  const session = new Session(graph);
  await session.run([], { targets: [init] });
  return session;
}

const outputOf = async (session: Session, y: Output | string, x = "x:0"): Promise<number[]> =>
  toNumbers((await session.run(y, { feeds: { [x]: X } })) as Tensor);

/** A model's checkpoint and MetaGraph. @returns what the model says of X */
async function saved(seed: number, prefix: string): Promise<number[]> {
  const made = model(seed);
  await using session = await started(made);
  await saver(made.graph).save(session, prefix);
  return await outputOf(session, made.y);
}

test("two sessions of one graph have their own variables, and may run at the same time", async () => {
  const one = model(1);
  const train = gradientDescentOptimizer({ learningRate: 0.1 }).minimize(
    one.y.graph.add("Sum", [one.y, [0, 1]]),
  );
  await using a = await started(one);
  await using b = await started(one);
  const before = await outputOf(b, one.y);
  const feeds = { "x:0": X };
  await Promise.all([0, 1, 2].flatMap(() => [a.run([], { targets: [train], feeds }), outputOf(b, one.y)]));
  expect(await outputOf(b, one.y)).toEqual(before);
  expect(await outputOf(a, one.y)).not.toEqual(before);
});

test("graphs of equal names do not meet: each session runs its own", async () => {
  const [one, two] = [model(1), model(2)];
  await using a = await started(one);
  await using b = await started(two);
  expect(globalVariables(one.graph).map((v) => v.name)).toEqual(
    globalVariables(two.graph).map((v) => v.name),
  );
  expect(await outputOf(a, one.y)).not.toEqual(await outputOf(b, two.y));
  await expect(a.run(two.y)).rejects.toThrow(/not an element of this graph/);
});

test("a session that is closed takes nothing from the others", async () => {
  const [one, two] = [model(1), model(2)];
  const a = await started(one);
  await using b = await started(two);
  const before = await outputOf(b, two.y);
  await a.close();
  expect(await outputOf(b, two.y)).toEqual(before);
  await expect(a.run(one.y)).rejects.toThrow("Attempted to use a closed Session.");
});

test("two models in one graph under their prefixes restore from their own checkpoints, whose keys have none", async () => {
  const prefixes = [join(folder, "a"), join(folder, "b")];
  const alone = [await saved(1, prefixes[0]!), await saved(2, prefixes[1]!)];
  const graph = new Graph(CORE_OPS);
  const first = await loadMetaGraph(graph, `${prefixes[0]}.meta`, { importScope: "first" });
  const second = await loadMetaGraph(graph, `${prefixes[1]}.meta`, { importScope: "second" });
  await using session = new Session(graph);
  await first.saver!.restore(session, prefixes[0]!);
  await second.saver!.restore(session, prefixes[1]!);
  expect(await outputOf(session, "first/layer/BiasAdd:0", "first/x:0")).toEqual(alone[0]);
  expect(await outputOf(session, "second/layer/BiasAdd:0", "second/x:0")).toEqual(alone[1]);
  // and either checkpoint into either of them
  await saver(graph, { varList: scopeVariables(graph, "second") }).restore(session, prefixes[0]!);
  expect(await outputOf(session, "second/layer/BiasAdd:0", "second/x:0")).toEqual(alone[0]);
});

test("a saver over one model's variables writes its original keys alone", async () => {
  const prefix = join(folder, "sub");
  await saved(3, prefix);
  const graph = new Graph(CORE_OPS);
  await loadMetaGraph(graph, `${prefix}.meta`, { importScope: "one" });
  await loadMetaGraph(graph, `${prefix}.meta`, { importScope: "two" });
  const init = globalVariablesInitializer(graph);
  await using session = new Session(graph);
  await session.run([], { targets: [init] });
  await saver(graph, { varList: scopeVariables(graph, "two") }).save(session, join(folder, "again"), {
    writeMetaGraph: false,
  });
  const checkpoint = await openCheckpoint(join(folder, "again"));
  expect([...checkpoint.entries.keys()].sort()).toEqual(["layer/bias", "layer/kernel"]);
  await checkpoint.close();
});

test("slices of a partitioned variable under a prefix are one key", async () => {
  const build = (graph: Graph): void => {
    getVariable(graph, "w", { shape: [4, 2], partitioner: fixedSizePartitioner(2) });
    getVariable(graph, "b", { shape: [2] });
  };
  const alone = new Graph(CORE_OPS);
  build(alone);
  const init = globalVariablesInitializer(alone);
  await using first = new Session(alone);
  await first.run([], { targets: [init] });
  await saver(alone).save(first, join(folder, "parts"));

  const graph = new Graph(CORE_OPS);
  variableScope(graph, "inner", {}, () => build(graph));
  const parts = scopeVariables(graph, "inner");
  expect([...parts].map(([key, v]) => [key, Array.isArray(v) ? v.length : 1])).toEqual([
    ["w", 2],
    ["b", 1],
  ]);
  await using session = new Session(graph);
  await saver(graph, { varList: parts }).restore(session, join(folder, "parts"));
  const values = await session.run(globalVariables(graph).map((v) => v.snapshot));
  expect(values).toEqual(await first.run(globalVariables(alone).map((v) => v.snapshot)));
});

test("a model's graph inside another reads the other's features", async () => {
  const head = model(5);
  const graph = new Graph(CORE_OPS);
  const features = graph.add("Tanh", [placeholder(graph, "float32", { shape: [null, 3], name: "raw" })]);
  const [y] = importGraphDef(graph, writeGraphDef(head.graph), {
    prefix: "head",
    inputMap: { "x:0": features },
    returnElements: ["layer/BiasAdd:0", "init"],
  }) as [Output, never];
  await using alone = await started(head);
  await using session = new Session(graph);
  await session.run([], { targets: ["head/init"] });
  const squashed = toNumbers(await session.run(features, { feeds: { "raw:0": X } }));
  const got = toNumbers(await session.run(y, { feeds: { "raw:0": X } }));
  expect(got).toEqual(toNumbers(await alone.run(head.y, { feeds: { "x:0": [squashed] } })));
});

test("all sessions of a process share one engine", async () => {
  expect(await loadRuntime()).toBe(await loadRuntime());
});
