import { describe, expect, test } from "vitest";
import { type DType, getElement, type Nested, type Tensor, tensor, toNested } from "../../base/index.ts";
import {
  collectionOf,
  cutBox,
  gatherValues,
  type StoredVariable,
  type VariableCollection,
} from "../../formats/collection/index.ts";
import { planEdit } from "./edit.ts";
import type { EditOptions } from "./plan.ts";

type Facts = Partial<Omit<StoredVariable, "name" | "dtype" | "shape" | "bytes">>;

/** A variable that streams two elements at a time. */
const stored = (name: string, t: Tensor, facts: Facts = {}): StoredVariable => ({
  name,
  dtype: t.dtype,
  shape: t.shape,
  bytes: 4,
  read: async () => t,
  async *stream() {
    const count = t.shape.reduce((n, d) => n * d, 1);
    for (let i = 0; i < count; i += 2)
      yield cutBox({ ...t, shape: [count] }, { start: [i], size: [Math.min(2, count - i)] });
  },
  ...facts,
});
const f = (...values: number[]) => tensor(values, "float32");
const model = (...variables: StoredVariable[]) =>
  collectionOf({ path: "x", format: "checkpoint-v2", variables });

const layer = model(
  stored("net/c1/kernel", tensor([[1, 2, 3]], "float32")),
  stored("net/c1/kernel/Adam", tensor([[4, 5, 6]], "float32"), { slot: "m", optimizer: "Adam" }),
  stored("net/c1/kernel/ExponentialMovingAverage", tensor([[7, 8, 9]], "float32")),
  stored("net/c1/bias", f(1, 2, 3)),
  stored("beta1_power", tensor(0.9, "float32"), { optimizer: "Adam" }),
  stored("global_step", tensor(7n, "int64")),
);

/** Values by name. */
async function edited(from: VariableCollection, options: EditOptions): Promise<Record<string, Nested>> {
  const { variables } = await planEdit(from, options);
  const all = await Promise.all(
    variables.map(async (v) => [v.name, toNested(await gatherValues(v))] as const),
  );
  return Object.fromEntries(all);
}
const namesOf = async (options: EditOptions) => Object.keys(await edited(layer, options));

describe("rename", () => {
  test("carries slots and averages along, in every maker's spelling", async () => {
    const from = model(
      stored("d/kernel", f(1)),
      stored("d/kernel/Adam", f(1)),
      stored("Adam/d/kernel/m", f(1)),
      stored("adam/d_kernel_velocity", f(1), { role: "slot", of: "d/kernel", slot: "v", layer: "d" }),
    );
    const { variables } = await planEdit(from, { rename: [[/^d\/kernel$/, "e/w"]] });
    expect(variables.map((v) => [v.name, v.of])).toEqual([
      ["Adam/e/w/m", "e/w"],
      ["adam/e_w_velocity", "e/w"],
      ["e/w", undefined],
      ["e/w/Adam", "e/w"],
    ]);
  });

  test("carries the slots of variables with short names along, too", async () => {
    const from = model(
      stored("a", f(1)),
      stored("a/Adam", f(1)),
      stored("adam/a_velocity", f(1), { role: "slot", of: "a", layer: "" }),
    );
    const { variables } = await planEdit(from, { rename: [[/^a$/, "b"]] });
    expect(variables.map((v) => v.name)).toEqual(["b", "b/Adam", "adam/b_velocity"]);
  });

  test("takes groups, all places, one rule after another", async () => {
    const rename = [
      [/^net\/(\w+)\//, "$1."],
      [/c(\d)/, "conv$1"],
    ] as const;
    expect(await namesOf({ rename })).toEqual([
      "beta1_power",
      "global_step",
      "conv1.bias",
      "conv1.kernel",
      "conv1.kernel/Adam",
      "conv1.kernel/ExponentialMovingAverage",
    ]);
  });

  test("refuses two variables of one name", async () => {
    await expect(planEdit(layer, { rename: [[/kernel$|bias$/, "w"]] })).rejects.toThrow(
      "[INVALID_ARGUMENT] net/c1/w: net/c1/bias and net/c1/kernel would both be called net/c1/w; make the pattern narrower, or drop one of them",
    );
  });

  test("says which rule matches nothing", async () => {
    expect((await planEdit(layer, { rename: [[/nope/, "x"]] })).unused).toEqual(["--rename nope"]);
  });
});

describe("selection", () => {
  test("slots and averages go where their variable goes", async () => {
    expect(await namesOf({ keep: [/kernel$/] })).toEqual([
      "net/c1/kernel",
      "net/c1/kernel/Adam",
      "net/c1/kernel/ExponentialMovingAverage",
    ]);
    expect(await namesOf({ drop: [/kernel$/] })).toEqual(["beta1_power", "global_step", "net/c1/bias"]);
  });

  test("without slots the step and the averages stay", async () => {
    expect(await namesOf({ dropSlots: true })).toEqual([
      "global_step",
      "net/c1/bias",
      "net/c1/kernel",
      "net/c1/kernel/ExponentialMovingAverage",
    ]);
  });

  test("weights that Keras 3 keeps under the optimizer are no slots", async () => {
    const from = model(
      stored("d/kernel", f(1), { key: "optimizer/_trainable_variables/0/.ATTRIBUTES/VARIABLE_VALUE" }),
      stored("adam/d_kernel_momentum", f(1), { role: "slot", of: "d/kernel", layer: "d" }),
      stored("adam/iterations", tensor(3n, "int64"), { role: "step", layer: "", optimizer: "adam" }),
    );
    expect(Object.keys(await edited(from, { dropSlots: true }))).toEqual(["d/kernel"]);
  });
});

describe("moving averages", () => {
  test("take the place of their variables", async () => {
    const after = await edited(layer, { ema: "take" });
    expect(after["net/c1/kernel"]).toEqual([[7, 8, 9]]);
    expect(after).not.toHaveProperty("net/c1/kernel/ExponentialMovingAverage");
    expect(after["net/c1/bias"]).toEqual([1, 2, 3]);
  });

  test("change places with them, and back", async () => {
    const after = await edited(layer, { ema: "swap" });
    expect(after["net/c1/kernel"]).toEqual([[7, 8, 9]]);
    expect(after["net/c1/kernel/ExponentialMovingAverage"]).toEqual([[1, 2, 3]]);
  });

  test("made inside a scope, which is in their name twice, are found", async () => {
    const from = model(stored("a/w", f(1)), stored("a/a/w/ExponentialMovingAverage", f(2)));
    expect(await edited(from, { ema: "take" })).toEqual({ "a/w": [2] });
  });

  test("alone in a file are the variables", async () => {
    const from = model(stored("a/w/ExponentialMovingAverage", f(2)));
    expect(await edited(from, { ema: "take" })).toEqual({ "a/w": [2] });
  });

  test("that are not there are named", async () => {
    await expect(planEdit(model(stored("a/w", f(1))), { ema: "take" })).rejects.toThrow(
      "[NOT_FOUND] no moving averages are here",
    );
  });
});

describe("values", () => {
  test("another shape, of slots too", async () => {
    const after = await edited(layer, { reshape: new Map([["net/c1/kernel", [3, 1]]]) });
    expect(after["net/c1/kernel"]).toEqual([[1], [2], [3]]);
    expect(after["net/c1/kernel/Adam"]).toEqual([[4], [5], [6]]);
    await expect(planEdit(layer, { reshape: new Map([["net/c1/bias", [2, 2]]]) })).rejects.toThrow(
      "[INVALID_ARGUMENT] net/c1/bias: [3] has 3 elements, [2,2] has 4; give a shape of as many elements",
    );
  });

  test("an axis reversed, of slots too", async () => {
    const after = await edited(layer, { reverse: [{ name: "net/c1/kernel", axis: -1 }] });
    expect(after["net/c1/kernel"]).toEqual([[3, 2, 1]]);
    expect(after["net/c1/kernel/Adam"]).toEqual([[6, 5, 4]]);
    const words = model(stored("s", tensor([["a", "b"]], "string")));
    const [flipped] = (await planEdit(words, { reverse: [{ name: "s", axis: 1 }] })).variables;
    expect(new TextDecoder().decode((await gatherValues(flipped!)).data[0] as Uint8Array)).toBe("b");
  });

  test("set and added; slots of another shape are left out, and named", async () => {
    const set = new Map([
      ["net/c1/kernel", f(1, 2)],
      ["extra", f(5)],
    ]);
    const plan = await planEdit(layer, { set });
    expect(plan.variables.map((v) => v.name)).toEqual([
      "beta1_power",
      "global_step",
      "net/c1/bias",
      "net/c1/kernel",
      "net/c1/kernel/ExponentialMovingAverage",
      "extra",
    ]);
    expect(plan.dropped).toEqual([
      { name: "net/c1/kernel/Adam", why: "its variable has another shape now, [2]" },
    ]);
  });

  test("an unknown name is answered with names like it", async () => {
    await expect(planEdit(layer, { reshape: new Map([["net/c1/kernl", [3]]]) })).rejects.toThrow(
      /NOT_FOUND.*did you mean net\/c1\/kernel/,
    );
  });
});

describe("casts", () => {
  const cast = async (from: DType, to: DType, values: Nested, name = "v") =>
    planEdit(model(stored(name, tensor(values, from))), { cast: [[/.*/, to]] });
  const valuesOf = async (from: DType, to: DType, values: Nested, name = "v") => {
    const t = await gatherValues((await cast(from, to, values, name)).variables[0]!);
    return t.data.length === 0 ? [] : Array.from({ length: t.data.length }, (_, i) => getElement(t, i));
  };

  test("round once, to nearest even", async () => {
    expect(await valuesOf("float32", "float16", [1.0009765625, 1.00048828125, 0.1])).toEqual([
      1.0009765625, 1, 0.0999755859375,
    ]);
    expect(await valuesOf("float32", "bfloat16", [1.00390625])).toEqual([1]);
    expect(await valuesOf("bfloat16", "float32", [1.5])).toEqual([1.5]);
    expect(await valuesOf("float64", "float32", [0.1])).toEqual([Math.fround(0.1)]);
  });

  test("that overflow are named and refused", async () => {
    const { losses } = await cast("float32", "float16", [
      65504,
      65520,
      -1e9,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
    expect(losses).toEqual([
      { name: "v", dtype: ["float32", "float16"], overflow: 2, flushed: 0, inexact: 0, refused: true },
    ]);
  });

  test("that become 0 are named; refused for a variance", async () => {
    const weights = await cast("float32", "float16", [1e-9, 0, 1]);
    expect(weights.losses).toMatchObject([{ flushed: 1, refused: false }]);
    const variance = await cast("float32", "float16", [1e-9, 0, 1], "bn/moving_variance");
    expect(variance.losses).toMatchObject([{ flushed: 1, refused: true }]);
  });

  test("of integers are exact or named", async () => {
    expect(await valuesOf("int64", "int32", [5n, -7n], "v")).toEqual([5, -7]);
    expect((await cast("int64", "int32", [2n ** 40n])).losses).toMatchObject([
      { overflow: 1, refused: true },
    ]);
    expect((await cast("float32", "int8", [1.5, Number.NaN, 300])).losses).toMatchObject([
      { overflow: 1, inexact: 2 },
    ]);
    expect(await valuesOf("float32", "int8", [1.5, Number.NaN, 300])).toEqual([1, 0, 127]);
  });

  test("to a float leave integers alone, unless named", async () => {
    const plan = await planEdit(layer, { cast: [[/.*/, "float16"]] });
    expect(plan.variables.map((v) => [v.name, v.dtype])).toContainEqual(["global_step", "int64"]);
    const named = await planEdit(layer, { cast: [[/^global_step$/, "float32"]] });
    expect(named.variables.find((v) => v.name === "global_step")!.dtype).toBe("float32");
  });

  test("of strings are refused", async () => {
    await expect(cast("string", "int32", ["a"])).rejects.toThrow(
      "[INVALID_ARGUMENT] v: string cannot be cast to int32",
    );
  });
});
