/** Graphs and SavedModels with loops, conditionals, arrays and functions give what TensorFlow gave: the goldens of tools/goldens/control_flow.py. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DType, fromBytes, type Tensor, tensor, toNested, toNumbers } from "../../base/index.ts";
import { runCli } from "../../cli/program.ts";
import { readGraphDef } from "../../formats/graph-def/index.ts";
import { cond, Graph, type Output, whileLoop } from "../../graph/index.ts";
import { CORE_OPS, tensorArray } from "../../ops/index.ts";
import { loadSavedModel } from "../../train/saved-model/index.ts";
import { Session } from "../index.ts";

interface TensorJson {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64: string;
}

interface RunJson {
  readonly feeds: Readonly<Record<string, TensorJson>>;
  readonly fetches: Readonly<Record<string, TensorJson>>;
}

interface GraphJson {
  readonly file: string;
  readonly claim: string;
  readonly init: readonly string[];
  readonly runs: readonly RunJson[];
}

const GOLDENS = new URL("../../../tests/goldens/control-flow/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly graphs: readonly GraphJson[];
  readonly savedModels: readonly { readonly folder: string; readonly runs: readonly RunJson[] }[];
};

const readTensor = ({ dtype, shape, base64 }: TensorJson): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(base64, "base64")));

/** |ours - TensorFlow's| <= 1e-5 (1 + |TensorFlow's|) */
function expectClose(got: Tensor, want: Tensor, at: string): void {
  expect(got.dtype, at).toBe(want.dtype);
  expect(got.shape, at).toEqual(want.shape);
  const values = toNumbers(got);
  for (const [i, v] of toNumbers(want).entries()) {
    const near = Math.abs(values[i]! - v) <= 1e-5 * (1 + Math.abs(v));
    expect(near, `${at}[${i}] is ${values[i]}, TensorFlow's ${v}`).toBe(true);
  }
}

const load = (file: string) =>
  readGraphDef(gunzipSync(readFileSync(new URL(file, GOLDENS))), { registry: CORE_OPS });

describe.each(manifest.graphs)("$file", ({ file, init, runs }) => {
  test("gives TensorFlow's values", async () => {
    await using session = new Session(load(file), { warn: () => {} });
    await session.run([], { targets: init });
    for (const [i, { feeds, fetches }] of runs.entries()) {
      const names = Object.keys(fetches);
      const fed = Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, readTensor(t)]));
      const values = await session.run(names, { feeds: fed });
      names.forEach((name, k) => {
        expectClose(values[k]!, readTensor(fetches[name]!), `run ${i}, ${name}`);
      });
    }
  });
});

describe.each(manifest.savedModels)("SavedModel $folder", ({ folder, runs }) => {
  test("gives TensorFlow's values", async () => {
    await using model = await loadSavedModel(fileURLToPath(new URL(folder, GOLDENS)));
    for (const [i, { feeds, fetches }] of runs.entries()) {
      const fed = Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, readTensor(t)]));
      const got = await model.run(fed);
      expect(Object.keys(got).sort()).toEqual(Object.keys(fetches).sort());
      for (const [name, want] of Object.entries(fetches))
        expectClose(got[name] as Tensor, readTensor(want), `run ${i}, ${name}`);
    }
  });
});

/** `varscope run` of a model, with the first run's feeds. @returns what it printed, by fetch */
async function runOnCommandLine(model: string, { feeds }: RunJson, options: readonly string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  const into = (lines: string[]) => ({ write: (text: string) => void lines.push(text) });
  const given = Object.entries(feeds).flatMap(([name, t]) => [
    "--feed",
    `${name}=${JSON.stringify(toNested(readTensor(t)), (_, v) => (typeof v === "bigint" ? Number(v) : v))}`,
  ]);
  const code = await runCli(["run", model, ...given, ...options], { stdout: into(out), stderr: into(err) });
  expect({ code, err }).toEqual({ code: 0, err: [] });
  return (JSON.parse(out.join("")) as { fetches: Record<string, unknown> }).fetches;
}

function expectPrinted(printed: Record<string, unknown>, { fetches }: RunJson): void {
  for (const [name, json] of Object.entries(fetches)) {
    const want = readTensor(json);
    const got = [printed[name]].flat(9).map(Number);
    expect(got, name).toHaveLength(want.data.length);
    expectClose(fromNumbers(want, got), want, name);
  }
}

const fromNumbers = (like: Tensor, values: readonly number[]): Tensor =>
  tensor(like.dtype === "int64" ? values.map(BigInt) : [...values], like.dtype, [...like.shape]);

describe("on the command line", () => {
  let dir = "";
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "varscope-control-flow-"));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test.each(manifest.graphs.filter((g) => g.init.length === 0))(
    "$file gives TensorFlow's values",
    async (golden) => {
      const model = join(dir, golden.file.replace(".gz", ""));
      writeFileSync(model, gunzipSync(readFileSync(new URL(golden.file, GOLDENS))));
      const [first] = golden.runs as [RunJson];
      const wanted = Object.keys(first.fetches).flatMap((name) => ["--fetch", name]);
      expectPrinted(await runOnCommandLine(model, first, wanted), first);
    },
  );

  test.each(manifest.savedModels)(
    "SavedModel $folder gives TensorFlow's values",
    async ({ folder, runs }) => {
      const [first] = runs as [RunJson];
      const wanted = Object.keys(first.fetches).flatMap((name) => ["--fetch", name]);
      const model = fileURLToPath(new URL(folder, GOLDENS));
      const options = ["--signature", "serving_default", ...wanted];
      expectPrinted(await runOnCommandLine(model, first, options), first);
    },
  );
});

test("what is drawn to decide a conditional is drawn once", async () => {
  const graph = new Graph(CORE_OPS);
  const shape = graph.constant([], { dtype: "int32", shape: [0] });
  const drawn = graph.add("RandomUniform", [shape], { attrs: { dtype: "float32" } });
  const y = cond(
    graph.add("Less", [drawn, 0.5]),
    () => graph.add("Identity", [drawn]),
    () => graph.add("Add", [drawn, 10]),
  ) as Output;
  await using session = new Session(graph);
  for (let i = 0; i < 20; i++) {
    const [value, was] = toNumbers(await session.run(graph.add("Pack", [[y, drawn]]))) as [number, number];
    expect(value).toBe(Math.fround(was < 0.5 ? was : was + 10));
  }
});

test("what decides a conditional may be fetched too, and is the caller's own", async () => {
  const graph = new Graph(CORE_OPS);
  const float = { dtype: "float32" } as const;
  const handle = graph.add("VarHandleOp", [], { name: "v", attrs: { ...float, shape: { dims: [] } } });
  const init = graph.addOp("AssignVariableOp", [handle, graph.constant(1, float)]);
  const value = graph.add("ReadVariableOp", [handle], { attrs: float });
  const y = cond(
    graph.add("Less", [value, 5]),
    () => graph.add("Neg", [value]),
    () => graph.add("Mul", [value, 2]),
  ) as Output;
  const grow = graph.addOp("AssignAddVariableOp", [handle, graph.constant(3, float)]);
  await using session = new Session(graph);
  await session.run([], { targets: [init] });
  const fetched: Tensor[][] = [];
  for (let i = 0; i < 3; i++) {
    fetched.push(await session.run([value, y]));
    await session.run([], { targets: [grow] });
  }
  expect(fetched.map((ts) => ts.map((t) => toNumbers(t)[0]))).toEqual([
    [1, -1],
    [4, -4],
    [7, 14],
  ]);
});

test("an array holds what a variable was, whatever the loop writes to it later", async () => {
  const graph = new Graph(CORE_OPS);
  const float = { dtype: "float32" } as const;
  const one = graph.constant(1, { dtype: "int32" });
  const handle = graph.add("VarHandleOp", [], { name: "v", attrs: { ...float, shape: { dims: [2] } } });
  const init = graph.addOp("AssignVariableOp", [handle, graph.constant([1, 10], float)]);
  const array = tensorArray(graph, "float32", 4);
  const [, flow] = whileLoop(
    graph,
    (i) => graph.add("Less", [i!, graph.constant(4, { dtype: "int32" })]),
    (i, before) => {
      const value = graph.add("ReadVariableOp", [handle], { attrs: float });
      const { flow: after } = array.withFlow(before!).write(i!, value);
      const twice = graph.controlDependencies([after], () => graph.add("Mul", [value, 2]));
      const write = graph.addOp("AssignVariableOp", [handle, twice]);
      return graph.controlDependencies([write], () => [
        graph.add("AddV2", [i!, one]),
        graph.add("Identity", [after]),
      ]);
    },
    [tensor(0, "int32", []), array.flow],
  );
  await using session = new Session(graph);
  await session.run([], { targets: [init] });
  const values = await session.run(array.withFlow(flow!).stack());
  expect(toNumbers(values)).toEqual([1, 10, 2, 20, 4, 40, 8, 80]);
});

test("a function that calls itself without end is refused, where TensorFlow's process dies", async () => {
  await using session = new Session(load("recursive.pb.gz"));
  await expect(session.run("y:0", { feeds: { "n:0": 5 } })).rejects.toThrow(/deep/);
});
