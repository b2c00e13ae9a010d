/** Facts of batch normalization that users rely on, each with the number that TensorFlow gives for x = 1, 2, 3, 6 in one channel. */

import { describe, expect, test } from "vitest";
import { gradients } from "../autodiff/index.ts";
import { type Tensor, toNumbers } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { fusedBatchNorm, newGraph } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { gradientDescentOptimizer } from "../train/index.ts";
import {
  GraphKeys,
  globalVariables,
  globalVariablesInitializer,
  trainableVariables,
} from "../variables/index.ts";
import { type BatchNormalizationOptions, batchNormalization } from "./index.ts";

const X = [1, 2, 3, 6];
const NORMAL = [-1.0688924, -0.5344462, 0, 1.6033385];
const images = (values: readonly number[]) => values.map((v) => [[[v]]]);

/** A layer on images of one pixel, or of that many numbers. */
function model(options: BatchNormalizationOptions, shape: (number | null)[] = [null, 1, 1, 1]) {
  const g = newGraph();
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: shape } } });
  const y = batchNormalization(x, { name: "bn", ...options });
  const init = globalVariablesInitializer(g);
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  return { g, x, y, init, updates };
}

async function started(g: Graph): Promise<Session> {
  const session = new Session(g, { warn: () => {} });
  await session.run([], { targets: ["init"] });
  return session;
}

const near = (got: Tensor, want: readonly number[], digits = 5): void => {
  const numbers = toNumbers(got);
  expect(numbers.length).toBe(want.length);
  for (const [i, v] of want.entries()) expect(numbers[i], `[${i}]`).toBeCloseTo(v, digits);
};

const moving = async (session: Session): Promise<number[]> =>
  (await session.run(globalVariables(session.graph, ".*moving").map((v) => v.snapshot))).flatMap((t) =>
    toNumbers(t),
  );

describe("the layer", () => {
  test("has epsilon 0.001, and gamma, beta, moving_mean, moving_variance in that order; it is fused at rank 4, not at rank 2", async () => {
    const { g, y } = model({ name: "batch_normalization" }, [null, 1]);
    expect(globalVariables(g).map((v) => v.op.name.split("/")[1])).toEqual([
      ...["gamma", "beta", "moving_mean", "moving_variance"],
    ]);
    await using session = await started(g);
    near(await session.run(y, { feeds: { x: [[1]] } }), [1 / Math.sqrt(1.001)], 6);
    expect(g.operations.some((op) => op.type.startsWith("Fused"))).toBe(false);
    expect(model({}).g.operations.some((op) => op.type === "FusedBatchNormV3")).toBe(true);
    expect(model({}).g.operation("bn/FusedBatchNormV3").attrs).toMatchObject({ epsilon: 1e-3 });
  });

  test("infers gamma * (x - moving_mean) * rsqrt(moving_variance + epsilon) + beta; left out, training is false", async () => {
    const { g, y } = model({});
    await using session = await started(g);
    const [gamma, beta, mean, variance] = globalVariables(g);
    const set = { gamma: 2, beta: 0.5, mean: 3, variance: 4 };
    const assign = [
      gamma!.assign([set.gamma]),
      beta!.assign([set.beta]),
      mean!.assign([set.mean]),
      variance!.assign([set.variance]),
    ];
    await session.run(assign as Output[]);
    const want = X.map((x) => (set.gamma * (x - set.mean)) / Math.sqrt(set.variance + 1e-3) + set.beta);
    near(await session.run(y, { feeds: { x: images(X) } }), want);
  });

  test.each([true, false])(
    "normalizes in training by the population variance, fused or not (fused %s)",
    async (fused) => {
      const { g, y } = model({ training: true, fused });
      await using session = await started(g);
      near(await session.run(y, { feeds: { x: images(X) } }), NORMAL);
    },
  );

  test("moves v -= (v - value) * (1 - momentum): from (0, 1) the mean goes to 0.03", async () => {
    const { g, updates } = model({ training: true });
    await using session = await started(g);
    await session.run([], { targets: updates, feeds: { x: images(X) } });
    expect((await moving(session))[0]).toBeCloseTo(0.03, 6);
  });

  test("puts two update ops into update_ops, which nothing runs: after 50 steps without them the statistics are exactly 0 and 1", async () => {
    const { g, y, updates } = model({ training: true });
    expect(updates.map((op) => op.name)).toEqual(["bn/AssignMovingAvg", "bn/AssignMovingAvg_1"]);
    const axes = g.constant([0, 1, 2, 3], { dtype: "int32" });
    const loss = g.add("Mean", [g.add("Square", [y]), axes]);
    const step = gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss);
    await using session = await started(g);
    for (let i = 0; i < 50; i++) await session.run([], { targets: [step], feeds: { x: images(X) } });
    expect(await moving(session)).toEqual([0, 1]);
    const [gamma] = trainableVariables(g);
    expect(toNumbers(await session.run(gamma!.snapshot))[0]).toBeLessThan(0.01);
  });

  test.each([true, false])(
    "an empty batch leaves NaN in the moving statistics, as in every API (fused %s)",
    async (fused) => {
      const { g, updates } = model({ training: true, fused }, [null, 1, 1, 2]);
      await using session = await started(g);
      const none = { dtype: "float32", shape: [0, 1, 1, 2], data: new Float32Array(0) } as Tensor;
      await session.run([], { targets: updates, feeds: { x: none } });
      expect((await moving(session)).every((v) => Number.isNaN(v))).toBe(true);
    },
  );

  test("without scale gamma is 1, without center beta is 0: other files than those of four tensors", async () => {
    const { g, y } = model({ scale: false, center: false, training: true });
    expect(globalVariables(g).map((v) => v.op.name)).toEqual(["bn/moving_mean", "bn/moving_variance"]);
    await using session = await started(g);
    near(await session.run(y, { feeds: { x: images(X) } }), NORMAL);
  });
});

describe("FusedBatchNormV3 itself", () => {
  const values = (g: Graph) => g.constant(X, { shape: [4, 1, 1, 1] });
  const one = (g: Graph, value: number) => g.constant([value]);

  test("has epsilon 1e-4, is_training true and exponential_avg_factor 1 where nothing is said", () => {
    const g = newGraph();
    const none = g.constant([], { shape: [0] });
    const op = g.addOp("FusedBatchNormV3", [values(g), one(g, 1), one(g, 0), none, none]);
    expect(op.attrs).toMatchObject({
      epsilon: 1e-4,
      is_training: true,
      exponential_avg_factor: 1,
      data_format: "NHWC",
    });
  });

  test("gives y, mean, variance of n - 1, mean, variance of n, and an empty reserve", async () => {
    const g = newGraph();
    const none = g.constant([], { shape: [0] });
    const op = g.addOp("FusedBatchNormV3", [values(g), one(g, 1), one(g, 0), none, none], {
      attrs: { epsilon: 1e-3 },
    });
    await using session = new Session(g);
    const found = await session.run([...op.outputs]);
    near(found[0]!, NORMAL);
    for (const [i, want] of [3, 14 / 3, 3, 3.5].entries()) near(found[i + 1]!, [want]);
  });

  test("in inference echoes the mean and variance that it was given", async () => {
    const g = newGraph();
    const given = { mean: one(g, 10), variance: one(g, 4), isTraining: false };
    const {
      y,
      mean: newMean,
      variance: newVariance,
    } = fusedBatchNorm(values(g), one(g, 1), one(g, 0), given);
    await using session = new Session(g);
    const [out, mean, variance] = await session.run([y, newMean, newVariance]);
    near(
      out,
      X.map((x) => (x - 10) / Math.sqrt(4.001)),
    );
    near(mean, [10]);
    near(variance, [4]);
  });

  test("a factor of 0.5 from 10 gives mean 6.5 and variance 7.3333, Bessel's correction inside", async () => {
    const g = newGraph();
    const given = { mean: one(g, 10), variance: one(g, 10), exponentialAvgFactor: 0.5 };
    const { mean: newMean, variance: newVariance } = fusedBatchNorm(values(g), one(g, 1), one(g, 0), given);
    await using session = new Session(g);
    const [mean, variance] = await session.run([newMean, newVariance]);
    near(mean, [6.5]);
    near(variance, [7.3333333]);
  });

  test.each([0, 1e-6])("takes epsilon %s as it is given", async (epsilon) => {
    const g = newGraph();
    const { y } = fusedBatchNorm(values(g), one(g, 1), one(g, 0), { epsilon });
    await using session = new Session(g);
    near(
      await session.run(y),
      X.map((x) => (x - 3) / Math.sqrt(3.5 + epsilon)),
      6,
    );
  });

  test("its gradient is FusedBatchNormGradV3 of dy, x, scale and the three reserves", () => {
    const g = newGraph();
    const x = values(g);
    const scale = one(g, 1);
    const { y } = fusedBatchNorm(x, scale, one(g, 0));
    const [dx] = gradients(g.add("Square", [y]), [x]);
    const { type, inputs } = (dx as Output).op;
    expect(type).toBe("FusedBatchNormGradV3");
    expect(inputs.slice(1).map((t) => t.name)).toEqual([
      x.name,
      scale.name,
      ...[3, 4, 5].map((i) => y.op.output(i).name),
    ]);
  });
});

describe("traps", () => {
  test("a graph built for training takes one sample to beta, the same sample in a batch to 1.6033", async () => {
    const { g, y } = model({ training: true });
    await using session = await started(g);
    near(await session.run(y, { feeds: { x: images([6]) } }), [0]);
    near(await session.run(y, { feeds: { x: images(X) } }), NORMAL);
  });

  test("the initial value fades as momentum to the n: 36.6 % are left after 100 updates", async () => {
    const { g, updates } = model({ training: true, fused: false });
    await using session = await started(g);
    for (let i = 0; i < 100; i++) await session.run([], { targets: updates, feeds: { x: images(X) } });
    const [mean, variance] = await moving(session);
    expect(mean).toBeCloseTo(3 * (1 - 0.366), 3);
    expect(variance).toBeCloseTo(3.5 - 2.5 * 0.366, 3);
  });

  test("update ops of one network can be had without those of another: by the scope of their names", () => {
    const g = newGraph();
    const norm = (name: string): Output => {
      const x = g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: [null, 1] } } });
      return g.nameScope(null, () => batchNormalization(x, { name, training: true }));
    };
    for (const name of ["generator", "discriminator"]) norm(name);
    expect(g.getCollection<Operation>(GraphKeys.UPDATE_OPS, "generator/").map((op) => op.name)).toEqual([
      "generator/AssignMovingAvg",
      "generator/AssignMovingAvg_1",
    ]);
  });
});
