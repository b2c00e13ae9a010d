import { describe, expect, test } from "vitest";
import { zeros } from "../../base/index.ts";
import { collectionOf, type StoredVariable } from "../collection/index.ts";
import { matchVariables } from "./match.ts";

type Facts = Partial<Omit<StoredVariable, "name" | "shape">>;

const stored = (name: string, shape: readonly number[] = [4], facts: Facts = {}): StoredVariable => ({
  name,
  dtype: "float32",
  shape,
  bytes: 0,
  read: async () => zeros("float32", shape),
  ...facts,
});
const entries = (...all: (StoredVariable | string)[]) =>
  collectionOf({
    path: "x",
    format: "npz",
    variables: all.map((v) => (typeof v === "string" ? stored(v) : v)),
  }).variables;
const pairsOf = (a: ReturnType<typeof entries>, b: ReturnType<typeof entries>, options = {}) =>
  Object.fromEntries(matchVariables(a, b, options).pairs.map((p) => [p.a.name, p.b.name]));

describe("spelling", () => {
  test.each([
    ["conv1/weights", "conv1/kernel"],
    ["conv1/biases", "conv1/bias"],
    ["dense/kernel", "sequential_1/dense/kernel"],
    ["model/dense/kernel", "functional_3/dense/kernel"],
    ["net/dense/kernel", "dense.kernel"],
    ["conv1/BatchNorm/moving_variance", "conv1/batch_normalization/moving_variance"],
    ["BatchNorm_1/beta", "batch_normalization_1/beta"],
    ["bn1/bn1/gamma", "bn1/gamma"],
    ["block.0.conv.weight", "block/0/conv/kernel"],
    ["Conv_1/depthwise_weights", "conv_1/depthwise_kernel"],
    ["emb/embedding", "emb/embeddings"],
  ])("%s is %s", (a, b) => {
    expect(pairsOf(entries(a), entries(b))).toEqual({ [a]: b });
    expect(pairsOf(entries(b), entries(a))).toEqual({ [b]: a });
  });

  test("PyTorch's weight of a normalization is gamma", () => {
    const a = entries("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "fc.weight");
    const b = entries("bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "fc/kernel");
    expect(pairsOf(a, b)).toEqual({
      "bn.weight": "bn/gamma",
      "bn.bias": "bn/beta",
      "bn.running_mean": "bn/moving_mean",
      "bn.running_var": "bn/moving_variance",
      "fc.weight": "fc/kernel",
    });
  });

  test("numbers that make names unique keep layers apart", () => {
    const a = entries("conv2d/kernel", "conv2d_1/kernel", "conv2d_10/kernel");
    const b = entries("m/conv2d_10/weights", "m/conv2d/weights", "m/conv2d_1/weights");
    expect(pairsOf(a, b)).toEqual({
      "conv2d/kernel": "m/conv2d/weights",
      "conv2d_1/kernel": "m/conv2d_1/weights",
      "conv2d_10/kernel": "m/conv2d_10/weights",
    });
  });

  test("a scope that only some have, where shapes agree", () => {
    const a = entries(stored("encoder/dense/kernel", [2, 3]), stored("head/kernel", [3, 1]));
    const b = entries(stored("dense/kernel", [2, 3]), stored("head/kernel", [3, 1]));
    expect(pairsOf(a, b)).toEqual({ "encoder/dense/kernel": "dense/kernel", "head/kernel": "head/kernel" });
    const other = entries(stored("dense/kernel", [9, 9]), stored("head/kernel", [3, 1]));
    expect(pairsOf(a, other)).toEqual({ "head/kernel": "head/kernel" });
  });

  test("two that it may be are not guessed, but named", () => {
    const a = entries("dense/kernel", "other/bias");
    const b = entries("encoder/dense/kernel", "decoder/dense/kernel", "other/bias");
    const found = matchVariables(a, b);
    expect(found.pairs.map((p) => p.a.name)).toEqual(["other/bias"]);
    expect(found.onlyInA).toEqual([
      {
        name: "dense/kernel",
        near: ["decoder/dense/kernel", "encoder/dense/kernel"],
        sameShape: ["decoder/dense/kernel", "encoder/dense/kernel"],
      },
    ]);
    expect(found.renames).toEqual({});
  });

  test("in one layer, role and shape", () => {
    const a = entries(stored("rnn/w_all", [2, 8], { role: "weight", layer: "rnn" }), stored("rnn/bias", [8]));
    const b = entries(stored("rnn/kernel", [2, 8]), stored("rnn/bias", [8]));
    expect(pairsOf(a, b)).toEqual({ "rnn/w_all": "rnn/kernel", "rnn/bias": "rnn/bias" });
  });
});

describe("slots", () => {
  const tf1 = entries(
    "net/d/kernel",
    stored("net/d/kernel/Adam", [4], { role: "slot", of: "net/d/kernel", slot: "m", optimizer: "Adam" }),
    stored("net/d/kernel/Adam_1", [4], { role: "slot", of: "net/d/kernel", slot: "v", optimizer: "Adam" }),
    stored("net/d/kernel/ExponentialMovingAverage", [4], { role: "ema", of: "net/d/kernel" }),
    stored("global_step", [], { role: "step" }),
  );
  const keras = entries(
    "sequential/d/kernel",
    stored("adam/sequential_d_kernel_momentum", [4], {
      role: "slot",
      of: "sequential/d/kernel",
      slot: "m",
      optimizer: "adam",
    }),
    stored("adam/sequential_d_kernel_velocity", [4], {
      role: "slot",
      of: "sequential/d/kernel",
      slot: "v",
      optimizer: "adam",
    }),
    stored("d_kernel_average", [4], { role: "ema", of: "sequential/d/kernel" }),
    stored("adam/iterations", [], { role: "step", optimizer: "adam" }),
  );

  test("follow their variables, by what they are", () => {
    expect(pairsOf(tf1, keras)).toEqual({
      "net/d/kernel": "sequential/d/kernel",
      "net/d/kernel/Adam": "adam/sequential_d_kernel_momentum",
      "net/d/kernel/Adam_1": "adam/sequential_d_kernel_velocity",
      "net/d/kernel/ExponentialMovingAverage": "d_kernel_average",
      global_step: "adam/iterations",
    });
  });

  test("of another optimizer are not the same", () => {
    const sgd = entries(
      "d/kernel",
      stored("d/kernel/Momentum", [4], {
        role: "slot",
        of: "d/kernel",
        slot: "momentum",
        optimizer: "Momentum",
      }),
    );
    expect(pairsOf(tf1, sgd)).toEqual({ "net/d/kernel": "d/kernel" });
  });
});

describe("other names", () => {
  const a = entries(
    stored("conv2d/kernel", [3, 3, 1, 8]),
    stored("conv2d/bias", [8]),
    stored("dense/kernel", [8, 2]),
    stored("dense/bias", [2]),
  );
  const b = entries(
    stored("stem/kernel", [3, 3, 1, 8]),
    stored("stem/bias", [8]),
    stored("head/kernel", [8, 2]),
    stored("head/bias", [2]),
  );

  test("are left alone by default, with a map that may be meant", () => {
    const found = matchVariables(a, b);
    expect(found.pairs).toEqual([]);
    expect(found.renames).toEqual({
      "conv2d/kernel": "stem/kernel",
      "conv2d/bias": "stem/bias",
      "dense/kernel": "head/kernel",
      "dense/bias": "head/bias",
    });
  });

  test("are paired by the make of their layers on request", () => {
    expect(pairsOf(a, b, { structure: true })).toEqual(matchVariables(a, b).renames);
  });

  test("numbered layers of one make are paired in order, others not", () => {
    const two = (x: string, y: string) =>
      entries(stored(`${x}/kernel`, [4, 4]), stored(`${y}/kernel`, [4, 4]));
    expect(pairsOf(two("conv2d", "conv2d_1"), two("conv2d_7", "conv2d_8"), { structure: true })).toEqual({
      "conv2d/kernel": "conv2d_7/kernel",
      "conv2d_1/kernel": "conv2d_8/kernel",
    });
    expect(pairsOf(two("one", "two"), two("uno", "due"), { structure: true })).toEqual({});
  });

  test("a map goes first", () => {
    const map = new Map([["conv2d/kernel", "stem/kernel"]]);
    expect(pairsOf(a, b, { map })).toEqual({ "conv2d/kernel": "stem/kernel" });
  });
});

test("10,000 variables against 10,000 of other spelling take no square of time, unmatched ones too", () => {
  const many = (spell: (i: number) => string) =>
    entries(...Array.from({ length: 10_000 }, (_, i) => spell(i)));
  const same = matchVariables(
    many((i) => `layer_${i}/weights`),
    many((i) => `model/layer_${i}/kernel`),
  );
  expect(same.pairs).toHaveLength(10_000);
  const other = matchVariables(
    many((i) => `layer_${i}/weights`),
    many((i) => `x/block${i}/gamma`),
  );
  expect(other.onlyInA).toHaveLength(10_000);
});
