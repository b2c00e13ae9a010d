import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { getElement, type Tensor } from "../../base/index.ts";
import { gatherValues } from "../../formats/collection/index.ts";
import { type Model, openModel } from "../open-model.ts";
import { planConvert } from "./convert.ts";
import { planLike } from "./convert-like.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "convert");
const models: Model[] = [];
afterEach(() => Promise.all(models.splice(0).map((m) => m.close())));
async function opened(name: string): Promise<Model> {
  const model = await openModel(join(GOLDENS, name));
  models.push(model);
  return model;
}
const numbers = (t: Tensor) => Array.from({ length: t.data.length }, (_, i) => getElement(t, i));

/** Keras's names for TensorFlow 1's, by hand. */
const NAMED: Record<string, string> = {
  conv2d: "stem",
  batch_normalization: "stem_bn",
  dense: "hidden",
  dense_1: "logits",
};
const kerasName = (tf1: string, scope: string, rename: Record<string, string> = {}): string => {
  const [layer, word, slot] = tf1.split("/") as [string, string, string?];
  const to = rename[layer] ?? layer;
  if (slot === undefined) return `${scope}/${to}/${word}`;
  return `adam${scope.slice("sequential".length)}/${scope}_${to}_${word}_${slot === "Adam" ? "momentum" : "velocity"}`;
};

describe("a TensorFlow 1 checkpoint like a .keras", () => {
  test.each([
    ["new.keras", "sequential_1", {}],
    ["named.keras", "sequential_2", NAMED],
  ])("%s: weights, statistics, slots and the step have their places", async (template, scope, names) => {
    const [from, to] = [await opened("tf1"), await opened(template)];
    const plan = await planLike(from, to);
    expect(plan.contents.variables.map((v) => v.name)).toEqual(to.variables.map((v) => v.name));
    const values = new Map(plan.contents.variables.map((v) => [v.name, v]));
    for (const v of from.variables) {
      if (/_power$/.test(v.name)) continue;
      const name =
        v.name === "global_step"
          ? `adam${scope.slice("sequential".length)}/iteration`
          : kerasName(v.name, scope, names);
      expect(numbers(await gatherValues(values.get(name)!)), name).toEqual(numbers(await from.read(v.name)));
    }
    expect(plan.left.map((l) => l.what)).toEqual(["beta1_power", "beta2_power"]);
    expect(plan.kept).toEqual([`adam${scope.slice("sequential".length)}/learning_rate`]);
    expect(plan.contents.extras).toBe(to.extras);
    await from.close();
    await to.close();
  });
});

describe("a .keras like a TensorFlow 1 checkpoint", () => {
  test("has all its variables; powers of beta are reckoned from the step", async () => {
    const [from, to] = [await opened("same.keras"), await opened("tf1-new")];
    const plan = await planLike(from, to);
    expect(plan.kept).toEqual([]);
    expect(plan.left.map((l) => l.what)).toEqual(["adam/learning_rate"]);
    const values = new Map(plan.contents.variables.map((v) => [v.name, v]));
    for (const v of to.variables.filter((v) => v.layer !== "")) {
      const wanted = await from.read(kerasName(v.name, "sequential"));
      expect(numbers(await gatherValues(values.get(v.name)!)), v.name).toEqual(numbers(wanted));
    }
    expect(numbers(await gatherValues(values.get("global_step")!))).toEqual([5n]);
    // TensorFlow 1 after 5 steps of its own
    const tf1 = await opened("tf1");
    for (const name of ["beta1_power", "beta2_power"]) {
      const [x, y] = [numbers(await gatherValues(values.get(name)!))[0], numbers(await tf1.read(name))[0]];
      expect(x as number).toBeCloseTo(y as number, 6);
    }
  });
});

test("Keras 2's object-based checkpoint like a .keras: optimizer's state and rate, too", async () => {
  const [from, to] = [await opened("keras2"), await opened("named.keras")];
  const plan = await planLike(from, to);
  expect(plan.kept).toEqual([]);
  expect(plan.left.map((l) => l.what)).toEqual(["Adam/beta_1", "Adam/beta_2", "Adam/decay"]);
  const slot = plan.contents.variables.find((v) => v.name === "adam_2/sequential_2_stem_kernel_velocity")!;
  expect(numbers(await gatherValues(slot))).toEqual(numbers(await from.read("Adam/conv2d/kernel/v")));
});

describe("what does not fit a template", () => {
  test("is refused with names, and hints at what may be meant", async () => {
    const [from, to] = [await opened("tf1"), await opened("new.keras")];
    const less = { ...from, variables: from.variables.filter((v) => !v.name.startsWith("dense_1/")) };
    await expect(planLike(less, to)).rejects.toThrow(
      /\[NOT_FOUND\].*new\.keras has variables without a counterpart: sequential_1\/dense_1\/bias; sequential_1\/dense_1\/kernel; tell names with --map/,
    );
    const partial = await planLike(less, to, { partial: true });
    expect(partial.kept).toContain("sequential_1/dense_1/kernel");
  });

  test("of another shape is refused, with a way out where the elements are as many", async () => {
    const [from, to] = [await opened("tf1"), await opened("tf1-new")];
    const flat = {
      ...from,
      variables: from.variables.map((v) => (v.name === "dense/kernel" ? { ...v, shape: [1, 1, 4, 5] } : v)),
    };
    await expect(planLike(flat, to)).rejects.toThrow(
      /shapes differ: dense\/kernel is \[1,1,4,5\], dense\/kernel \[4,5\]; reshape with 'varscope edit --reshape dense\/kernel=4,5' first/,
    );
  });
});

describe("without a template", () => {
  test("what has no place is named", async () => {
    const keras = await opened("same.keras");
    expect(planConvert(keras, "npz").left.map((l) => l.what)).toEqual([
      "the Keras model's configuration",
      "Keras's metadata",
    ]);
    expect(planConvert(keras, "keras-v3").left).toEqual([]);
    expect(planConvert(keras, "npz").contents.variables[0]).not.toHaveProperty("key");
    expect(planConvert(keras, "keras-weights").contents.variables[0]).toHaveProperty("key");
  });
});

test("state of another optimizer is not carried, and the reason is told", async () => {
  const [from, to] = [await opened("tf1"), await opened("new.keras")];
  const sgd = {
    ...to,
    variables: to.variables
      .filter((v) => v.slot !== "v")
      .map((v) => (v.role === "slot" ? { ...v, optimizer: "SGD", slot: "momentum" } : v)),
  };
  const { left, kept } = await planLike(from, sgd);
  const reason = left.find((l) => l.what === "conv2d/kernel/Adam")!.why;
  expect(reason).toMatch(/new\.keras was trained with SGD$/);
  expect(kept).toContain("adam_1/sequential_1_conv2d_kernel_momentum");
});
