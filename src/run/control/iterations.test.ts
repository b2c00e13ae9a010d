/** What an iteration of a loop asks of the engine, and that loops which never wait end all the same. */

import { expect, test } from "vitest";
import { gradients } from "../../autodiff/index.ts";
import { fromData, isVarscopeError, type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { type Output, whileLoop } from "../../graph/index.ts";
import { add, less, matmul, newGraph, placeholder, tanh } from "../../ops/index.ts";
import { loadRuntime } from "../ort-node.ts";
import type { ProgramOptions, Runtime } from "../runtime.ts";
import { Session } from "../session.ts";

const engine = await loadRuntime();
const zero = tensor(0, "int32", []);
const square = (n: number): Tensor =>
  fromData(
    "float32",
    [n, n],
    Float32Array.from({ length: n * n }, (_, i) => Math.sin(i) / n),
  );

/** y = tanh(y w), `rounds` times. */
function chain(n: number, rounds: number): { readonly x: Output; readonly w: Output; readonly y: Output } {
  const graph = newGraph();
  const x = placeholder(graph, "float32", { shape: [n, n], name: "x" });
  const w = placeholder(graph, "float32", { shape: [n, n], name: "w" });
  const [, y] = whileLoop(
    graph,
    (i) => less(i, rounds),
    (i, y) => [add(i, 1), tanh(matmul(y, w))],
    [zero, x],
  );
  return { x, w, y: y! };
}

interface Load {
  readonly text: string;
  readonly options: ProgramOptions;
  runs: number;
}

/** The engine, and what it loaded. @param later - its programs give promises, as those of browsers do */
function watched(later = false): { readonly runtime: Runtime; readonly loads: Load[] } {
  const loads: Load[] = [];
  const load: Runtime["load"] = async (model, inputs, outputs, options) => {
    const program = await engine.load(model, inputs, outputs, options);
    const entry = { text: Buffer.from(model).toString("latin1"), options, runs: 0 };
    loads.push(entry);
    return {
      run(values, into) {
        entry.runs++;
        const results = program.run(values, into);
        return later ? Promise.resolve(results) : results;
      },
      release: () => program.release(),
    };
  };
  return { runtime: { ...engine, load }, loads };
}

test("an iteration is one call of the engine, there and back: what comes off the stacks has known shapes", async () => {
  const { x, w, y } = chain(8, 20);
  const { runtime, loads } = watched();
  await using session = new Session(x.graph, { runtime });
  const feeds = new Map([
    [x, square(8)],
    [w, square(8)],
  ]);
  await session.run(gradients(y, [x, w]) as Output[], { feeds });
  const named = (name: string): number[] => loads.filter((l) => l.text.includes(name)).map((l) => l.runs);
  expect(named("gradients/while/MatMul_grad/MatMul")).toEqual([20]);
  expect(named("gradients/while/Tanh_grad")).toEqual([20]);
  expect(loads.filter((l) => l.options.immediate).map((l) => l.runs)).toEqual([20, 20]);
});

test("the native engine is done with a side of a loop when its call returns", async () => {
  const { x, w, y } = chain(4, 3);
  const { runtime } = watched();
  let waits = 0;
  const load: Runtime["load"] = async (...args) => {
    const program = await runtime.load(...args);
    const run: typeof program.run = (...values) => {
      const results = program.run(...values);
      if (results instanceof Promise) waits++;
      return results;
    };
    return { ...program, run };
  };
  await using session = new Session(x.graph, { runtime: { ...runtime, load } });
  const feeds = new Map([
    [x, square(4)],
    [w, square(4)],
  ]);
  await session.run(y, { feeds });
  expect(waits).toBe(0);
});

test("an engine that gives promises runs the same loops", async () => {
  const { x, w, y } = chain(4, 5);
  const feeds = new Map([
    [x, square(4)],
    [w, square(4)],
  ]);
  const values: number[][] = [];
  for (const later of [false, true]) {
    await using session = new Session(x.graph, { runtime: watched(later).runtime });
    const [dx] = gradients(y, [x]) as Output[];
    for (const t of await session.run([y, dx!], { feeds })) values.push(toNumbers(t));
  }
  expect(values.slice(2)).toEqual(values.slice(0, 2));
});

test("sides of loops on small tensors take one thread, on large ones all", async () => {
  const { runtime, loads } = watched();
  for (const n of [8, 512]) {
    const { x, w, y } = chain(n, 2);
    await using session = new Session(x.graph, { runtime });
    const feeds = new Map([
      [x, square(n)],
      [w, square(n)],
    ]);
    await session.run(y, { feeds });
  }
  const sides = loads.filter((l) => l.options.immediate);
  expect(sides.map((l) => l.options.threads)).toEqual([1, undefined]);
});

test.each([1, 8])(
  "an endless loop of steps on %i rows ends by its time limit, and by a signal",
  async (n) => {
    const { x, w, y } = chain(n, 2 ** 31 - 1);
    await using session = new Session(x.graph);
    const feeds = new Map([
      [x, square(n)],
      [w, square(n)],
    ]);
    const late = await session.run(y, { feeds, timeoutMs: 100 }).catch((e: unknown) => e);
    expect(isVarscopeError(late, "DEADLINE_EXCEEDED")).toBe(true);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    const stopped = await session.run(y, { feeds, signal: stop.signal }).catch((e: unknown) => e);
    expect(isVarscopeError(stopped, "CANCELLED")).toBe(true);
  },
);
