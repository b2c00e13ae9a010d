import { describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { Graph, type Operation, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { gradientDescentOptimizer, saver } from "../train/index.ts";
import {
  GraphKeys,
  globalVariables,
  globalVariablesInitializer,
  trainableVariables,
} from "../variables/index.ts";
import { type BatchNormalizationOptions, batchNormalization } from "./index.ts";

/** mean 3, population variance 3.5, sample variance 4.6667 */
const X = [1, 2, 3, 6];
const images = X.map((v) => [[[v]]]);

const holder = (
  g: Graph,
  name: string,
  shape: (number | null)[],
  dtype: "float32" | "bool" = "float32",
): Output => g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: shape } } });

function model(options: BatchNormalizationOptions, shape: (number | null)[] = [null, 1, 1, 1]) {
  const g = new Graph(CORE_OPS);
  const x = holder(g, "x", shape);
  const y = batchNormalization(x, options);
  const loss = g.add("Mean", [g.add("Square", [y]), g.constant([...shape.keys()], { dtype: "int32" })]);
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  return { g, x, y, loss, updates };
}

async function started(g: Graph, warnings: string[] = []): Promise<Session> {
  const session = new Session(g, { warn: (m) => warnings.push(m) });
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  return session;
}

const movingOf = async (session: Session): Promise<number[]> =>
  (await session.run(globalVariables(session.graph, ".*moving").map((v) => v.snapshot))).flatMap((t) =>
    toNumbers(t),
  );

describe("moving statistics", () => {
  test.each([
    [
      "fused: Bessel's correction, 1 - momentum in float32",
      { fused: true },
      [0.029999971389770508, 1.0366666316986084],
    ],
    [
      "not fused: population variance, 1 - momentum in float64",
      { fused: false },
      [0.029999999329447746, 1.024999976158142],
    ],
  ])("%s", async (_, options, want) => {
    const { g, updates } = model({ training: true, ...options });
    await using session = await started(g);
    await session.run([], { targets: updates, feeds: { "x:0": images } });
    const got = await movingOf(session);
    want.forEach((v, i) => {
      expect(got[i]).toBeCloseTo(v, 7);
    });
  });

  test("a batch of one is divided by one, not by zero", async () => {
    const { g, y, updates } = model({ training: true });
    await using session = await started(g);
    const out = await session.run(y, { targets: updates, feeds: { "x:0": [[[[5]]]] } });
    expect(toNumbers(out)).toEqual([0]);
    expect((await movingOf(session))[1]).toBeCloseTo(0.99, 6);
  });

  test("momentum^n of the initial value is left after n updates", async () => {
    const { g, updates } = model({ training: true, momentum: 0.5 });
    await using session = await started(g);
    for (let i = 0; i < 10; i++) await session.run([], { targets: updates, feeds: { "x:0": images } });
    const [mean, variance] = await movingOf(session);
    expect(mean).toBeCloseTo(3 * (1 - 0.5 ** 10), 4);
    expect(variance).toBeCloseTo(14 / 3 + (1 - 14 / 3) * 0.5 ** 10, 4);
  });

  test("stay when the training flag is fed false", async () => {
    const g = new Graph(CORE_OPS);
    const training = holder(g, "training", [], "bool");
    batchNormalization(holder(g, "x", [null, 1, 1, 1]), { training });
    batchNormalization(holder(g, "z", [null, 1]), { training });
    const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
    await using session = await started(g);
    const feeds = { "x:0": images, "z:0": X.map((v) => [v]) };
    await session.run([], { targets: updates, feeds: { ...feeds, "training:0": false } });
    expect(await movingOf(session)).toEqual([0, 1, 0, 1]);
    await session.run([], { targets: updates, feeds: { ...feeds, "training:0": true } });
    expect((await movingOf(session)).map((v) => Math.round(v * 1e4) / 1e4)).toEqual([
      0.03, 1.0367, 0.03, 1.025,
    ]);
  });
});

describe("a frozen layer", () => {
  test("uses batch statistics in training, as TensorFlow's, and neither trains nor updates", async () => {
    const { g, y, updates } = model({ training: true, trainable: false });
    expect(updates).toEqual([]);
    expect(trainableVariables(g)).toEqual([]);
    await using session = await started(g);
    const out = toNumbers(await session.run(y, { feeds: { "x:0": images } }));
    [-1.0688924, -0.5344462, 0, 1.6033385].forEach((v, i) => {
      expect(out[i]).toBeCloseTo(v, 5);
    });
  });
});

describe("update ops", () => {
  const train = async (withUpdates: boolean, fused: boolean): Promise<string[]> => {
    const { g, loss, updates } = model({ training: true, fused });
    const step = g.controlDependencies(withUpdates ? updates : [], () =>
      gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss),
    );
    const warnings: string[] = [];
    await using session = await started(g, warnings);
    for (let i = 0; i < 2; i++) await session.run([], { targets: [step], feeds: { "x:0": images } });
    return warnings;
  };

  test.each([true, false])("that training forgets are warned of once (fused %s)", async (fused) => {
    const warnings = await train(false, fused);
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toMatch(
      /leaves out 2 update ops of batch normalization \(batch_normalization\/AssignMovingAvg/,
    );
    expect(await train(true, fused)).toEqual([]);
  });

  test("are added again by every use of the layer", () => {
    const g = new Graph(CORE_OPS);
    for (const reuse of [false, true]) {
      batchNormalization(holder(g, "x", [null, 1, 1, 1]), { training: true, name: "bn", reuse });
    }
    expect(g.getCollection<Operation>(GraphKeys.UPDATE_OPS).map((op) => op.name)).toEqual([
      "bn/AssignMovingAvg",
      "bn/AssignMovingAvg_1",
      "bn_1/AssignMovingAvg",
      "bn_1/AssignMovingAvg_1",
    ]);
    expect(globalVariables(g).length).toBe(4);
  });

  test("are not there for inference", () => {
    expect(model({}).updates).toEqual([]);
  });
});

test("half inputs keep float32 variables, fused and not", async () => {
  for (const fused of [true, false]) {
    const g = new Graph(CORE_OPS);
    const x = g.add("Placeholder", [], { attrs: { dtype: "float16", shape: { dims: [null, 1, 1, 1] } } });
    const y = batchNormalization(x, { training: true, fused });
    expect(y.dtype).toBe("float16");
    expect(new Set(globalVariables(g).map((v) => v.dtype))).toEqual(new Set(["float32"]));
  }
});

test("several axes keep the rank, one axis is a vector", () => {
  const shapes = (axis: number | number[]): unknown =>
    globalVariables(model({ axis, fused: false }, [4, 2, 5, 3]).g).map((v) => v.shape)[0];
  expect(shapes([1, 3])).toEqual([1, 2, 1, 3]);
  expect(shapes(1)).toEqual([2]);
});

describe("small batches", () => {
  test("renorm: after one step moving_variance is 1.0164979, and y is x", async () => {
    const clipping = { rmax: 3, dmax: 5 };
    const { g, y, updates } = model({ training: true, renorm: true, renormClipping: clipping }, [null, 1]);
    await using session = await started(g);
    const out = await session.run(y, { targets: updates, feeds: { "x:0": X.map((v) => [v]) } });
    toNumbers(out).forEach((v, i) => {
      expect(v).toBeCloseTo(X[i]!, 5);
    });
    const [mean, variance] = await movingOf(session);
    expect([mean, variance]).toEqual([expect.closeTo(0.03, 6), expect.closeTo(1.0164979, 6)]);
    expect(globalVariables(g).map((v) => v.op.name.split("/")[1])).toEqual([
      ...["gamma", "beta", "moving_mean", "moving_variance"],
      ...["moving_stddev", "renorm_mean", "renorm_stddev"],
    ]);
  });

  test("virtual batches of 2: variables have a rank more, moving_variance is 1.015", async () => {
    const { g, updates } = model({ training: true, virtualBatchSize: 2 }, [null, 1]);
    await using session = await started(g);
    await session.run([], { targets: updates, feeds: { "x:0": X.map((v) => [v]) } });
    expect(globalVariables(g).map((v) => v.shape)).toEqual(Array(4).fill([1, 1, 1]));
    expect((await movingOf(session))[1]).toBeCloseTo(1.015, 6);
  });

  test("a batch that the parts do not divide is refused", async () => {
    const { g, y } = model({ training: true, virtualBatchSize: 3 }, [null, 1]);
    await using session = await started(g);
    await expect(session.run(y, { feeds: { "x:0": X.map((v) => [v]) } })).rejects.toThrow(/reshape/i);
  });
});

test("a saver of the trainable variables forgets the statistics", () => {
  const { g } = model({ training: true });
  const trainable = saver(g, { varList: trainableVariables(g) }).saverDef!;
  const names = g.operation(`${trainable.saveTensorName.split("/")[0]}/SaveV2/tensor_names`);
  expect(
    (names.attrs.value as unknown as { data: Uint8Array[] }).data.map((b) => new TextDecoder().decode(b)),
  ).toEqual(["batch_normalization/beta", "batch_normalization/gamma"]);
});

describe("what cannot be", () => {
  const refuse =
    (options: object, shape: (number | null)[] = [null, 2, 2, 3]) =>
    () =>
      model(options as BatchNormalizationOptions, shape);

  test("renorm or virtual batches in one op, limits of other names, parts that are no size", () => {
    expect(refuse({ renorm: true, fused: true })).toThrow(
      "Passing both `fused=True` and `renorm=True` is not supported",
    );
    expect(refuse({ virtualBatchSize: 2, fused: true })).toThrow(
      "Passing `fused=True` is not supported when `virtual_batch_size` is specified.",
    );
    expect(refuse({ renorm: true, renormClipping: { max: 1 } })).toThrow(
      "Received invalid keys for `renorm_clipping` argument: max. Supported values: rmax, rmin, dmax.",
    );
    expect(refuse({ virtualBatchSize: 0 })).toThrow(/`virtual_batch_size` must be a positive integer/);
    expect(refuse({ virtualBatchSize: 2, axis: 0 }, [4, 2, 2, 3])).toThrow(/thus axis cannot include 0/);
  });

  test("axes that are not there, or whose size is not known", () => {
    expect(refuse({ axis: 4 })).toThrow("Invalid axis: 4; x has rank 4");
    expect(refuse({ axis: [1, -3] })).toThrow("Duplicate axis: 1, 1");
    expect(refuse({}, [null, 2, 2, null])).toThrow(/Input has undefined `axis` dimension: axis 3/);
  });

  test("fused where it cannot be", () => {
    expect(refuse({ fused: true, axis: 2 })).toThrow(
      /fused batch norm only supports axis == \[1\] or axis == \[3\]/,
    );
    expect(refuse({ fused: true, axis: [1, 3] })).toThrow(/only supported when a single axis is given/);
  });
});
