import { describe, expect, test } from "vitest";
import { type Nested, type Tensor, tensor, toNested } from "../../base/index.ts";
import { collectionOf, gatherValues } from "../../formats/collection/index.ts";
import { planAverage } from "./average.ts";

const model = (path: string, tensors: Record<string, Tensor>) =>
  collectionOf({
    path,
    format: "checkpoint-v2",
    variables: Object.entries(tensors).map(([name, t]) => ({
      name,
      dtype: t.dtype,
      shape: t.shape,
      bytes: 4,
      read: async () => t,
    })),
  });
const f = (...values: number[]) => tensor(values, "float32");

async function average(models: ReturnType<typeof model>[], options = {}): Promise<Record<string, Nested>> {
  const { variables } = planAverage(models, options);
  const all = await Promise.all(
    variables.map(async (v) => [v.name, toNested(await gatherValues(v))] as const),
  );
  return Object.fromEntries(all);
}

const ten = model("ten", {
  "d/kernel": f(1, 2),
  "d/kernel/Adam": f(0, 2),
  global_step: tensor(10n, "int64"),
  beta1_power: tensor(0.5, "float32"),
});
const twenty = model("twenty", {
  "d/kernel": f(3, 6),
  "d/kernel/Adam": f(2, 4),
  global_step: tensor(20n, "int64"),
  beta1_power: tensor(0.25, "float32"),
});

describe("the mean", () => {
  test("of weights and slots; counters and beta powers are the last one's", async () => {
    expect(await average([ten, twenty])).toEqual({
      "d/kernel": [2, 4],
      "d/kernel/Adam": [1, 3],
      global_step: 20n,
      beta1_power: 0.25,
    });
  });

  test("with weights in any unit", async () => {
    expect((await average([ten, twenty], { weights: [3, 1] }))["d/kernel"]).toEqual([1.5, 3]);
    expect(() => planAverage([ten, twenty], { weights: [1] })).toThrow(
      "[INVALID_ARGUMENT] weights: 2 containers, weights 1; give one weight for each container, none negative, not all 0",
    );
  });

  test("is summed up in float64", async () => {
    const models = [16777216, 1, 1, 2].map((x) => model("m", { w: f(x) }));
    expect((await average(models)).w).toEqual([4194305]);
  });

  test("of half floats and complex numbers", async () => {
    const halves = [1, 2].map((x) =>
      model("m", {
        h: tensor([x], "float16"),
        b: tensor([x], "bfloat16"),
        c: tensor([[x, 2 * x]] as Nested, "complex64"),
      }),
    );
    expect(await average(halves)).toEqual({ h: [1.5], b: [1.5], c: [[1.5, 3]] });
  });

  test("names statistics, which belong to no model", () => {
    const bn = model("m", { "bn/moving_mean": f(1), "bn/moving_variance": f(1), "bn/gamma": f(1) });
    expect(planAverage([bn]).statistics).toEqual(["bn/moving_mean", "bn/moving_variance"]);
  });
});

describe("containers that do not fit", () => {
  test("lack a variable, or have one too many", () => {
    const less = model("less", { "d/kernel": f(1, 2) });
    expect(() => planAverage([ten, less])).toThrow(
      "[INVALID_ARGUMENT] less: it lacks beta1_power, d/kernel/Adam, global_step; average checkpoints of one model; 'varscope diff ten less' lists what differs",
    );
    expect(() => planAverage([less, ten])).toThrow(
      /beta1_power, d\/kernel\/Adam, global_step is not in less/,
    );
  });

  test("have another shape", () => {
    const [x, y] = [model("x", { w: f(1) }), model("y", { w: f(1, 2) })];
    expect(() => planAverage([x, y])).toThrow(/y: w is float32 \[2\], float32 \[1\] in x/);
  });

  test("may spell names otherwise", async () => {
    const other = model("other", { "net/conv1/weights": f(3) });
    expect(await average([model("x", { "conv1/kernel": f(1) }), other])).toEqual({ "conv1/kernel": [2] });
  });
});
