import { describe, expect, test } from "vitest";
import type { DType, Shape } from "../base/index.ts";
import { toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS, setRandomSeed } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import {
  globalVariables,
  globalVariablesInitializer,
  onesInitializer,
  variableScope,
} from "../variables/index.ts";
import {
  conv2d,
  conv2dTranspose,
  dense,
  dropout,
  flatten,
  getRegularizationLoss,
  getTotalLoss,
  globalAveragePooling2d,
  globalMaxPooling2d,
  l2Regularizer,
  maxPooling2d,
  meanSquaredError,
  separableConv2d,
  softmaxCrossEntropy,
} from "./index.ts";

const holder = (g: Graph, shape: Shape | null, name = "x", dtype: DType = "float32"): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: shape } } });

async function run(
  y: Output,
  feeds: Record<string, never>,
): Promise<{ shape: readonly number[]; values: number[] }> {
  await using session = new Session(y.graph);
  await session.run([], { targets: [globalVariablesInitializer(y.graph)] });
  const t = await session.run(y, { feeds });
  return { shape: t.shape, values: toNumbers(t) };
}
const evaluate = (y: Output, feeds: object) => run(y, feeds as Record<string, never>);

/** [batch, h, w, 1] counting from 0. */
const images = (batch: number, size: number): number[][][][] =>
  Array.from({ length: batch }, (_, b) =>
    Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, (_, j) => [b * size * size + i * size + j]),
    ),
  );

describe("shapes", () => {
  test("channels first and channels last convolve alike", async () => {
    const g = new Graph(CORE_OPS);
    const x = holder(g, [1, 3, 3, 1]);
    const turned = g.add("Transpose", [x, g.constant([0, 3, 1, 2], { dtype: "int32" })]);
    const kernelInitializer = onesInitializer();
    const last = conv2d(x, 2, 2, { kernelInitializer });
    const first = conv2d(turned, 2, 2, { kernelInitializer, dataFormat: "channels_first" });
    expect(first.shape).toEqual([1, 2, 2, 2]);
    const feeds = { "x:0": images(1, 3) };
    expect((await evaluate(last, feeds)).values.filter((_, i) => i % 2 === 0)).toEqual([8, 12, 20, 24]);
    expect((await evaluate(first, feeds)).values.slice(0, 4)).toEqual([8, 12, 20, 24]);
  });

  test("a transposed convolution of images whose size is not known", async () => {
    const g = new Graph(CORE_OPS);
    const x = holder(g, [null, null, null, 1]);
    const y = conv2dTranspose(x, 1, 3, { strides: 2, kernelInitializer: onesInitializer() });
    expect(y.shape).toEqual([null, null, null, 1]);
    expect((await evaluate(y, { "x:0": images(2, 2) })).shape).toEqual([2, 5, 5, 1]);
  });

  test("flatten of what is known", async () => {
    const g = new Graph(CORE_OPS);
    expect(flatten(holder(g, [null, 2, 3])).shape).toEqual([null, 6]);
    expect(flatten(holder(g, [4, null, 3])).shape).toEqual([4, null]);
    expect(flatten(holder(g, [null])).shape).toEqual([null, 1]);
    const y = flatten(holder(g, [null, null, 2], "z"));
    expect((await evaluate(y, { "z:0": [[[1, 2]], [[3, 4]]] })).shape).toEqual([2, 2]);
    const first = flatten(holder(g, [1, 2, 1, 2], "c"), { dataFormat: "channels_first" });
    expect((await evaluate(first, { "c:0": [[[[1, 2]], [[3, 4]]]] })).values).toEqual([1, 3, 2, 4]);
  });

  test("global pooling", async () => {
    const g = new Graph(CORE_OPS);
    const x = holder(g, [null, 2, 2, 1]);
    const feeds = { "x:0": images(2, 2) };
    expect((await evaluate(globalAveragePooling2d(x), feeds)).values).toEqual([1.5, 5.5]);
    const most = globalMaxPooling2d(x, { keepDims: true });
    expect(await evaluate(most, feeds)).toEqual({ shape: [2, 1, 1, 1], values: [3, 7] });
  });

  test("what must be known", () => {
    const g = new Graph(CORE_OPS);
    expect(() => dense(holder(g, [2, null]), 3)).toThrow(
      /The last dimension of the inputs should be defined\. Found `None`/,
    );
    expect(() => conv2d(holder(g, [1, 2, 2, null]), 3, 1)).toThrow(/The channel dimension/);
    expect(() => maxPooling2d(holder(g, [1, 2]), 1, 1)).toThrow(
      /Inputs should have rank 4\. Received input shape: \(1, 2\)/,
    );
    const x = holder(g, [1, 4, 4, 1]);
    expect(() => conv2d(x, 1, 3, { strides: 2, dilationRate: 2 })).toThrow(/not supported in conjunction/);
    expect(() => separableConv2d(x, 1, 3, { dilationRate: 2 })).toThrow(/UNIMPLEMENTED/);
  });
});

test("a dilated convolution sees every second pixel", async () => {
  const g = new Graph(CORE_OPS);
  const y = conv2d(holder(g, [1, 5, 5, 1]), 1, 3, { dilationRate: 2, kernelInitializer: onesInitializer() });
  // rows and columns 0, 2, 4 of 5 x 5: nine pixels whose mean is 12
  expect(await evaluate(y, { "x:0": images(1, 5) })).toEqual({ shape: [1, 1, 1, 1], values: [108] });
});

describe("dropout", () => {
  test("follows a training flag that is fed", async () => {
    const g = new Graph(CORE_OPS);
    setRandomSeed(g, 1);
    const training = holder(g, [], "training", "bool");
    const y = dropout(holder(g, [null]), 0.5, { training, seed: 2 });
    const x = Array.from({ length: 200 }, () => 1);
    expect((await evaluate(y, { "x:0": x, "training:0": false })).values).toEqual(x);
    const { values } = await evaluate(y, { "x:0": x, "training:0": true });
    expect(new Set(values)).toEqual(new Set([0, 2]));
  });

  test("refuses rates that are no probabilities", () => {
    const x = holder(new Graph(CORE_OPS), [1]);
    for (const rate of [-0.1, 1, Number.NaN]) expect(() => dropout(x, rate)).toThrow(/Received: rate=/);
    expect(dropout(x, 0, { training: true })).toBe(x);
  });
});

describe("scopes and sharing", () => {
  test("a layer in a scope that shares takes the variables that are there", () => {
    const g = new Graph(CORE_OPS);
    const build = (reuse: boolean): Output =>
      variableScope(g, "net", { reuse }, () => dense(holder(g, [null, 2]), 3, { name: "fc" }));
    build(false);
    expect(() => build(false)).toThrow(/Variable net\/fc\/kernel already exists/);
    expect(build(true).op.name).toBe("net_2/fc/BiasAdd");
    expect(globalVariables(g).map((v) => v.op.name)).toEqual(["net/fc/kernel", "net/fc/bias"]);
  });

  test("a shared variable is regularized once", () => {
    const g = new Graph(CORE_OPS);
    for (const reuse of [false, true]) {
      dense(holder(g, [null, 2]), 3, { name: "fc", reuse, kernelRegularizer: l2Regularizer(0.1) });
    }
    expect(g.getCollection("regularization_losses").length).toBe(1);
  });
});

describe("losses", () => {
  test("weights count the elements that they leave", async () => {
    const g = new Graph(CORE_OPS);
    const [x, y] = [holder(g, [2, 2]), holder(g, [2, 2], "y")];
    const weights = holder(g, [2, 1], "w");
    const feeds = {
      "x:0": [
        [1, 2],
        [3, 4],
      ],
      "y:0": [
        [0, 0],
        [0, 0],
      ],
      "w:0": [[2], [0]],
    };
    const loss = (reduction?: "weighted_mean" | "weighted_sum_over_batch_size") =>
      meanSquaredError(y, x, { weights, ...(reduction === undefined ? {} : { reduction }) });
    expect((await evaluate(loss(), feeds)).values).toEqual([5]);
    expect((await evaluate(loss("weighted_mean"), feeds)).values).toEqual([2.5]);
    expect((await evaluate(loss("weighted_sum_over_batch_size"), feeds)).values).toEqual([2.5]);
  });

  test("shapes that do not fit", () => {
    const g = new Graph(CORE_OPS);
    const [x, y] = [holder(g, [2, 3]), holder(g, [2, 4], "y")];
    expect(() => softmaxCrossEntropy(y, x)).toThrow("Shapes (2, 3) and (2, 4) are incompatible");
    expect(() => meanSquaredError(x, x, { weights: holder(g, [3, 1], "w") })).toThrow(
      /weights can not be broadcast to values\. values\.shape=\(2, 3\)\. weights\.shape=\(3, 1\)/,
    );
  });

  test("a graph without losses has no total", () => {
    const g = new Graph(CORE_OPS);
    expect(() => getTotalLoss(g)).toThrow(/the graph has no losses to add up/);
    expect(getRegularizationLoss(g).op.type).toBe("Const");
  });
});
