import { beforeAll, describe, expect, test } from "vitest";
import { type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { Graph, type Operation, type Output } from "../../graph/index.ts";
import { batchNormalization, conv2d, dense, flatten } from "../../layers/index.ts";
import { CORE_OPS, relu, setRandomSeed } from "../../ops/index.ts";
import { Session, variableKey } from "../../run/index.ts";
import {
  getVariableScope,
  globalVariables,
  globalVariablesInitializer,
  type Variable,
  variableScope,
} from "../../variables/index.ts";
import { freezeGraph } from "../graph/freeze.ts";
import { type RecalibrateOptions, type Recalibration, recalibrate } from "./index.ts";

/** Reproducible, and of another mean and width for each column. */
function batchOf(seed: number, n: number): Tensor {
  let state = seed;
  const values = Array.from({ length: n * 48 }, (_, i) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return (state / 2147483648 - 0.4) * (1 + (i % 3)) + (i % 3);
  });
  return tensor(values, "float32", [n, 4, 4, 3]);
}
const BATCHES = [batchOf(1, 8), batchOf(2, 8), batchOf(3, 5)];
const data = (extra: Record<string, unknown> = {}) => BATCHES.map((x) => ({ x, ...extra })) as never[];

type Training = boolean | "placeholder";

/** Fused NHWC, fused NCHW-like by axis, multi-axis and rank 2, one after the other; all gammas and betas away from their start. */
function net(training: Training, resource = false, name = ""): Graph {
  const g = new Graph(CORE_OPS);
  getVariableScope(g).useResource = resource;
  setRandomSeed(g, 7);
  const holder = (n: string, dtype: "float32" | "bool", dims: (number | null)[]): Output =>
    g.add("Placeholder", [], { name: n, attrs: { dtype, shape: { dims } } });
  const flag = training === "placeholder" ? holder("training", "bool", []) : training;
  const off = {
    training: flag,
    gammaInitializer: (_: Graph, shape: readonly number[]) => tensor(fill(shape, 1.5), "float32", shape),
    betaInitializer: (_: Graph, shape: readonly number[]) => tensor(fill(shape, 0.25), "float32", shape),
  };
  const build = (): Output => {
    let y: Output = holder("x", "float32", [null, 4, 4, 3]);
    y = relu(batchNormalization(conv2d(y, 4, 3, { padding: "same" }), { name: "a", ...off }));
    y = relu(batchNormalization(conv2d(y, 5, 2), { name: "b", fused: false, ...off }));
    y = relu(batchNormalization(y, { name: "c", axis: [1, 3], fused: false, ...off }));
    y = batchNormalization(dense(flatten(y), 6), { name: "d", ...off, scale: false });
    return g.add("Identity", [y], { name: "out" });
  };
  if (name === "") build();
  else variableScope(g, name, {}, build);
  globalVariablesInitializer(g);
  return g;
}
const fill = (shape: readonly number[], from: number): number[] =>
  Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => from + 0.1 * i);

async function started(g: Graph): Promise<Session> {
  const session = new Session(g, { warn: () => {} });
  await session.run([], { targets: ["init"] });
  return session;
}

/** Runs `body` in a session of a fresh net. */
async function within<R>(training: Training, body: (s: Session) => Promise<R>, resource = false): Promise<R> {
  await using session = await started(net(training, resource));
  return await body(session);
}

const recalibrated = (training: Training, options: Partial<RecalibrateOptions> = {}, resource = false) =>
  within(training, (s) => recalibrate(s, { data: data(), ...options }), resource);

const numbersOf = (r: Recalibration): Record<string, number[]> =>
  Object.fromEntries(r.layers.map((l) => [l.layer, [...toNumbers(l.mean), ...toNumbers(l.variance)]]));

function expectSame(a: Recalibration, b: Recalibration, digits = 5): void {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  expect(Object.keys(x)).toEqual(Object.keys(y));
  for (const [layer, values] of Object.entries(x))
    for (const [i, v] of values.entries()) expect(v, `${layer}[${i}]`).toBeCloseTo(y[layer]![i]!, digits);
}

/** Mean and variance of columns, by the schoolbook. */
function moments(rows: number[][], by: (n: number) => number): number[] {
  const n = rows.length;
  const means = rows[0]!.map((_, c) => rows.reduce((s, r) => s + r[c]!, 0) / n);
  const variances = means.map((m, c) => rows.reduce((s, r) => s + (r[c]! - m) ** 2, 0) / by(n));
  return [...means, ...variances];
}

/** What a layer's input is over all batches, as rows of channels. */
async function inputs(session: Session, x: Output, feeds: never[], columns: number): Promise<number[][]> {
  const rows: number[][] = [];
  for (const f of feeds) {
    const flat = toNumbers(await session.run(x, { feeds: f }));
    for (let i = 0; i < flat.length; i += columns) rows.push(flat.slice(i, i + columns));
  }
  return rows;
}

const CONV = "conv2d/BiasAdd:0";
const DENSE = "dense/BiasAdd:0";

describe("one pass", () => {
  let native: Recalibration;
  beforeAll(async () => {
    native = await recalibrated(true);
  });

  test("gives mean and variance of all elements that a layer sees of batch statistics, not a mean of batches", async () => {
    await within(true, async (s) => {
      const dense = await inputs(s, s.graph.output(DENSE), data(), 6);
      const conv = await inputs(s, s.graph.output(CONV), data(), 4);
      const found = numbersOf(native);
      for (const [i, v] of moments(dense, (n) => n).entries()) expect(found.d![i]).toBeCloseTo(v, 5);
      for (const [i, v] of moments(conv, (n) => n - 1).entries()) expect(found.a![i]).toBeCloseTo(v, 5);
    });
    expect(native).toMatchObject({ passes: 1, batches: 3, left: [] });
    expect(native.layers.map((l) => [l.layer, l.count, l.convention, l.mean.shape])).toEqual([
      ["a", 21 * 16, "sample", [4]],
      ["b", 21 * 9, "population", [5]],
      ["c", 21 * 3, "population", [1, 3, 1, 5]],
      ["d", 21, "population", [6]],
    ]);
  });

  test("is the same for a graph built for training, for inference, or with a placeholder that nobody feeds", async () => {
    expectSame(native, await recalibrated(false));
    expectSame(native, await recalibrated("placeholder"));
    expectSame(native, await recalibrated("placeholder", { data: data({ training: false }) }));
    expectSame(native, await recalibrated(true, {}, true));
    expectSame(native, await recalibrated("placeholder", {}, true));
  });

  test("does not depend on the order of batches where nothing stands before the layer", async () => {
    const turned = await recalibrated(true, { data: data().reverse() });
    expect(numbersOf(turned).a!.map((x) => x.toFixed(5))).toEqual(
      numbersOf(native).a!.map((x) => x.toFixed(5)),
    );
  });
});

describe("pass by pass", () => {
  test("each layer's statistics are those of its input in inference, whatever the graph was built for", async () => {
    const found = await within(false, async (s) => {
      const result = await recalibrate(s, { data: data(), passes: "per-layer" });
      const rows = await inputs(s, s.graph.output(DENSE), data(), 6);
      const want = moments(rows, (n) => n);
      for (const [i, v] of want.entries()) expect(numbersOf(result).d![i]).toBeCloseTo(v, 5);
      const [mean] = globalVariables(s.graph, "d/moving_mean");
      expect(toNumbers(await s.run(mean!.snapshot))).toEqual(toNumbers(result.layers.at(-1)!.mean));
      return result;
    });
    expect(found).toMatchObject({ passes: 4, batches: 3 });
    expectSame(found, await recalibrated(true, { passes: "per-layer" }));
    expectSame(found, await recalibrated("placeholder", { passes: "per-layer" }));
  });

  test("data that can be read once are refused, a function that starts anew is not", async () => {
    async function* once() {
      yield* data();
    }
    await expect(recalibrated(false, { passes: "per-layer", data: once() })).rejects.toThrow(
      "can be read only once",
    );
    expectSame(await recalibrated(false, { data: once() }), await recalibrated(false));
    const anew = await recalibrated(false, { passes: "per-layer", data: once });
    expectSame(anew, await recalibrated(false, { passes: "per-layer" }));
  });
});

describe("what is written", () => {
  const statistics = (s: Session): Record<string, number[]> =>
    Object.fromEntries(
      globalVariables(s.graph, ".*moving").map((v: Variable) => [
        v.op.name,
        toNumbers(s.variables.get(variableKey(v.op))!),
      ]),
    );

  test("write: false measures only", async () => {
    for (const passes of ["one", "per-layer"] as const) {
      await within(false, async (s) => {
        const before = statistics(s);
        const { layers } = await recalibrate(s, { data: data(), passes, write: false });
        expect(statistics(s)).toEqual(before);
        expect(layers[0]!.gap.shift).toBeGreaterThan(0.1);
      });
    }
  });

  test("the train/eval gap is told layer by layer, and is gone afterwards", async () => {
    await within(false, async (s) => {
      const options = { data: data(), passes: "per-layer" } as const;
      const before = await recalibrate(s, options);
      const after = await recalibrate(s, options);
      expect(before.layers.every((l) => l.gap.shift > 0.05 || l.gap.ratio > 1.05)).toBe(true);
      for (const l of after.layers) {
        expect(l.gap.shift).toBeLessThan(1e-5);
        expect(l.gap.ratio).toBeCloseTo(1, 5);
      }
      const { worst } = before.layers[0]!.gap;
      expect(worst.moving).toEqual({ mean: 0, variance: 1 });
      expect(worst.data.mean).toBeCloseTo(toNumbers(before.layers[0]!.mean)[worst.channel]!, 5);
    });
  });

  test("layers that are not asked for keep their statistics", async () => {
    await within("placeholder", async (s) => {
      const before = statistics(s);
      const found = await recalibrate(s, { data: data(), layers: ["a", "d"] });
      expect(found.layers.map((l) => l.layer)).toEqual(["a", "d"]);
      expect(found.left).toEqual([
        { layer: "b", why: "not asked for" },
        { layer: "c", why: "not asked for" },
      ]);
      const after = statistics(s);
      expect(after["b/moving_mean"]).toEqual(before["b/moving_mean"]);
      expect(after["a/moving_mean"]).not.toEqual(before["a/moving_mean"]);
    });
  });

  test("the convention can be chosen: n - 1 or n", async () => {
    const [sample, population] = await Promise.all(
      (["sample", "population"] as const).map((convention) => recalibrated(true, { convention })),
    );
    for (const [i, l] of sample!.layers.entries()) {
      const [a, b] = [toNumbers(l.variance)[0]!, toNumbers(population!.layers[i]!.variance)[0]!];
      expect(a / b).toBeCloseTo(l.count / (l.count - 1), 5);
    }
  });

  test("an error leaves every variable as it was: NaN in the data, an abort", async () => {
    await within(false, async (s) => {
      const before = statistics(s);
      const bad = [
        ...data(),
        { x: tensor(new Array(48).fill(Number.NaN), "float32", [1, 4, 4, 3]) },
      ] as never[];
      await expect(recalibrate(s, { data: bad, passes: "per-layer" })).rejects.toThrow(
        "[INVALID_ARGUMENT] a: channel 0 of the input is not finite in batch 4",
      );
      const stop = new AbortController();
      const onProgress = (_: number, pass: number) => pass === 2 && stop.abort();
      const aborted = recalibrate(s, { data: data(), passes: "per-layer", signal: stop.signal, onProgress });
      await expect(aborted).rejects.toThrow(/CANCELLED/);
      expect(statistics(s)).toEqual(before);
    });
  });
});

describe("graphs of all kinds", () => {
  test("a frozen graph is measured, its constants are not written", async () => {
    const g = net(false);
    await using session = await started(g);
    const want = await recalibrate(session, { data: data(), passes: "per-layer", write: false });
    const frozen = freezeGraph(g, ["out"], (name) => session.variables.get(name));
    await using other = new Session(frozen);
    expectSame(want, await recalibrate(other, { data: data(), passes: "per-layer", write: false }));
    await expect(recalibrate(other, { data: data() })).rejects.toThrow(
      /the statistics are constants of the graph/,
    );
  });

  test("a layer applied to two inputs pools what it sees; the copy for evaluation is not counted twice", async () => {
    const g = new Graph(CORE_OPS);
    const holder = (name: string): Output =>
      g.add("Placeholder", [], { name, attrs: { dtype: "float32", shape: { dims: [null, 1] } } });
    const bn = (x: Output, training: boolean, reuse: boolean): Output =>
      batchNormalization(x, { name: "bn", training, reuse });
    bn(holder("real"), true, false);
    bn(holder("fake"), true, true);
    bn(holder("test"), false, true);
    globalVariablesInitializer(g);
    await using session = await started(g);
    const column = (values: number[]): Tensor => tensor(values, "float32", [values.length, 1]);
    const feeds = { real: column([1, 2]), fake: column([3, 6]) };
    const both = await recalibrate(session, { data: [{ ...feeds, test: column([100]) }] });
    expect(numbersOf(both)).toEqual({ bn: [3, 3.5] });
    const real = await recalibrate(session, { data: [{ real: column([1, 2]) }] });
    expect(numbersOf(real)).toEqual({ bn: [1.5, 0.25] });
  });

  test("a layer applied to its own result has no order of passes", async () => {
    const g = new Graph(CORE_OPS);
    const x = g.add("Placeholder", [], {
      name: "x",
      attrs: { dtype: "float32", shape: { dims: [null, 2] } },
    });
    const once = batchNormalization(x, { name: "bn" });
    batchNormalization(once, { name: "bn", reuse: true });
    globalVariablesInitializer(g);
    await using session = await started(g);
    const feeds = [{ x: tensor([1, 2, 3, 5], "float32", [2, 2]) }];
    await expect(recalibrate(session, { data: feeds, passes: "per-layer" })).rejects.toThrow(
      /bn is applied to its own results; estimate all layers in one pass/,
    );
    expect((await recalibrate(session, { data: feeds })).layers[0]!.count).toBe(4);
  });

  test("names of layers do not matter, structure does", async () => {
    const g = net(true, false, "deep/scope");
    await using session = await started(g);
    const found = await recalibrate(session, { data: [{ "deep/scope/x": BATCHES[0]! }] as never[] });
    expect(found.layers.map((l) => l.layer)).toEqual(["a", "b", "c", "d"].map((l) => `deep/scope/${l}`));
  });

  test("batches without rows count nothing; data that are all empty, or none at all, are an error", async () => {
    const none = tensor([], "float32", [0, 4, 4, 3]);
    const padded = [{ x: none }, ...data()] as never[];
    expectSame(await recalibrated(true, { data: padded }), await recalibrated(true));
    await expect(recalibrated(true, { data: [{ x: none }] })).rejects.toThrow("the data have no elements");
    await expect(recalibrated(true, { data: [] })).rejects.toThrow("there are no batches");
  });

  test("what is not there is named", async () => {
    await expect(recalibrated(true, { layers: ["e"] })).rejects.toThrow(
      /no batch normalization e; there are a, b, c, d/,
    );
    await expect(recalibrated(true, { layers: /z/ })).rejects.toThrow(/a not asked for/);
    const g = new Graph(CORE_OPS);
    g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null] } } });
    await expect(recalibrate(new Session(g), { data: [{ x: [1] }] })).rejects.toThrow(
      /no batch normalization with moving statistics/,
    );
    await within(true, (s) =>
      expect(recalibrate(s, { data: [{ y: [1] }] as never[] })).rejects.toThrow(/'y:0'|y/),
    );
  });

  test("virtual batches pool all of the data; batch renormalization is left alone, and said to be", async () => {
    const g = new Graph(CORE_OPS);
    const x = g.add("Placeholder", [], {
      name: "x",
      attrs: { dtype: "float32", shape: { dims: [null, 1] } },
    });
    batchNormalization(x, { name: "parts", virtualBatchSize: 2, training: true });
    batchNormalization(x, { name: "renorm", renorm: true, training: true });
    globalVariablesInitializer(g);
    await using session = await started(g);
    const found = await recalibrate(session, { data: [{ x: tensor([1, 2, 3, 6], "float32", [4, 1]) }] });
    expect(numbersOf(found)).toEqual({ parts: [3, 3.5] });
    expect(found.layers[0]!.mean.shape).toEqual([1, 1, 1]);
    expect(found.left).toEqual([
      { layer: "renorm", why: "batch renormalization trains on statistics of its own" },
    ]);
  });

  test("float16 inputs have float32 statistics", async () => {
    const g = new Graph(CORE_OPS);
    const x = g.add("Placeholder", [], {
      name: "x",
      attrs: { dtype: "float16", shape: { dims: [null, 1, 1, 1] } },
    });
    for (const fused of [true, false]) batchNormalization(x, { name: `f${fused}`, fused, training: true });
    globalVariablesInitializer(g);
    await using session = await started(g);
    const { layers } = await recalibrate(session, {
      data: [{ x: tensor([1, 2, 3, 6], "float16", [4, 1, 1, 1]) }],
    });
    expect(layers.map((l) => [l.variance.dtype, toNumbers(l.variance)[0]!.toFixed(4)])).toEqual([
      ["float32", "4.6667"],
      ["float32", "3.5000"],
    ]);
  });
});

test("update ops are not run", async () => {
  await within(true, async (s) => {
    const updates = s.graph.getCollection<Operation>("update_ops");
    expect(updates).toHaveLength(8);
    const { layers } = await recalibrate(s, { data: data() });
    const [mean] = globalVariables(s.graph, "a/moving_mean");
    expect(toNumbers(await s.run(mean!.snapshot))).toEqual(toNumbers(layers[0]!.mean));
  });
});
