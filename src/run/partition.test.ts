import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { loadRuntime } from "./ort-node.ts";
import type { Runtime } from "./runtime.ts";
import { Session } from "./session.ts";

const native = await loadRuntime();

/** The engine, and how many outputs the models have that it loaded. */
function counting(): { readonly runtime: Runtime; readonly outputs: number[] } {
  const outputs: number[] = [];
  const load: Runtime["load"] = (model, inputs, results, options) => {
    outputs.push(results.length);
    return native.load(model, inputs, results, options);
  };
  return { runtime: { ...native, load }, outputs };
}

const handle = (g: Graph, name: string, dims: number[]): Output =>
  g.add("VarHandleOp", [], { attrs: { dtype: "float32", shape: { dims }, shared_name: name } });

const drawn = (g: Graph, dims: number[]): Output =>
  g.add("Mul", [
    g.add("RandomUniform", [g.constant(dims, { dtype: "int32" })], {
      attrs: { dtype: "float32", seed: 1, seed2: 2 },
    }),
    g.constant(0.5),
  ]);

test("a run that initialises many small variables loads no model", async () => {
  const g = new Graph(CORE_OPS);
  const names = Array.from({ length: 300 }, (_, i) => `v${i}`);
  const handles = names.map((name) => handle(g, name, [4, 4]));
  const targets = handles.map((v) => g.addOp("AssignVariableOp", [v, drawn(g, [4, 4])]));
  const { runtime, outputs } = counting();
  await using session = new Session(g, { runtime });
  await session.run([], { targets });
  expect(outputs).toEqual([]);
  const read = g.add("ReadVariableOp", [handles[7]!], { attrs: { dtype: "float32" } });
  const values = toNumbers(await session.run(read));
  expect(values.length).toBe(16);
  expect(values.every((x) => x >= 0 && x < 0.5)).toBe(true);
});

test("large tensors are initialised by the engine, all in one model", async () => {
  const g = new Graph(CORE_OPS);
  const targets = ["a", "b"].map((name) =>
    g.addOp("AssignVariableOp", [handle(g, name, [300, 300]), drawn(g, [300, 300])]),
  );
  const { runtime, outputs } = counting();
  await using session = new Session(g, { runtime });
  await session.run([], { targets });
  expect(outputs).toEqual([2]);
});

test("a value that is fed is assigned without the engine, and what is computed from variables is not", async () => {
  const g = new Graph(CORE_OPS);
  const v = handle(g, "v", [300, 300]);
  const x = g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: [300, 300] } } });
  const set = g.addOp("AssignVariableOp", [v, x]);
  const add = g.addOp("AssignAddVariableOp", [v, x]);
  const { runtime, outputs } = counting();
  await using session = new Session(g, { runtime });
  const fed = { dtype: "float32", shape: [300, 300], data: new Float32Array(90_000).fill(2) } as const;
  await session.run([], { targets: [set], feeds: new Map([[x, fed]]) });
  expect(outputs).toEqual([]);
  fed.data.fill(3); // the variable holds a copy
  await session.run([], { targets: [add], feeds: new Map([[x, fed]]) });
  expect(outputs).toEqual([1]);
  const value = await session.run(g.add("ReadVariableOp", [v], { attrs: { dtype: "float32" } }));
  expect(value.data[0]).toBe(5);
});
