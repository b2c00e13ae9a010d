import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Nested, type Tensor, tensor, toNested, toNumbers } from "../../base/index.ts";
import { collectionOf, cutBox, gatherValues, type StoredVariable } from "../../formats/collection/index.ts";
import { planEdit } from "./edit.ts";
import { sameBytes } from "./numbers.ts";
import type { EditOptions, EditPlan } from "./plan.ts";
import type { Surgery } from "./surgery.ts";

/** A variable that streams two elements at a time. */
const stored = (name: string, values: Nested | Tensor): StoredVariable => {
  const t = (typeof values === "object" && "dtype" in values ? values : tensor(values, "float32")) as Tensor;
  return {
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
  };
};
const model = (...variables: StoredVariable[]) =>
  collectionOf({ path: "x", format: "checkpoint-v2", variables });

async function operated(from: ReturnType<typeof model>, ...surgery: Surgery[]) {
  const plan = await planEdit(from, { surgery });
  return { plan, values: await valuesOf(plan) };
}
async function valuesOf({ variables }: EditPlan): Promise<Record<string, Nested>> {
  const all = await Promise.all(
    variables.map(async (v) => {
      const t = await gatherValues(v);
      expect(t.shape).toEqual(v.shape);
      return [v.name, t.dtype === "string" ? [] : toNested(t)] as const;
    }),
  );
  return Object.fromEntries(all);
}
const refused = (from: ReturnType<typeof model>, ...surgery: Surgery[]) =>
  expect(planEdit(from, { surgery })).rejects;
const reasons = ({ dropped }: EditPlan) => Object.fromEntries(dropped.map((d) => [d.name, d.why]));

const qkv = model(
  stored("a/qkv/kernel", [
    [1, 2, 3],
    [4, 5, 6],
  ]),
  stored("a/qkv/kernel/Adam", [
    [10, 20, 30],
    [40, 50, 60],
  ]),
  stored("a/qkv/kernel/ExponentialMovingAverage", [
    [0, 1, 0],
    [2, 0, 2],
  ]),
);
const PARTS = ["a/q/kernel", "a/k/kernel", "a/v/kernel"];
const split: Surgery = { do: "split", name: "a/qkv/kernel", axis: 1, parts: PARTS.map((name) => ({ name })) };

describe("split and concat", () => {
  test("a fused QKV kernel becomes three, slots and averages too, and one again", async () => {
    const { values, plan } = await operated(qkv, split);
    expect(values).toMatchObject({
      "a/q/kernel": [[1], [4]],
      "a/k/kernel": [[2], [5]],
      "a/k/kernel/Adam": [[20], [50]],
      "a/v/kernel/ExponentialMovingAverage": [[0], [2]],
    });
    expect(Object.keys(values)).toHaveLength(9);
    expect(plan.variables.find((v) => v.name === "a/k/kernel/Adam")).toMatchObject({
      of: "a/k/kernel",
      role: "slot",
      from: "a/qkv/kernel/Adam",
      changes: ["1 to 2 along axis 1 of a/qkv/kernel/Adam"],
    });
    const back = await operated(qkv, split, { do: "concat", name: "a/qkv/kernel", axis: -1, parts: PARTS });
    expect(back.values).toEqual(await valuesOf(await planEdit(qkv, {})));
    expect(back.plan.dropped).toEqual([]);
  });

  test("sizes are given or equal, along any axis, of any dtype", async () => {
    const parts = [
      { name: "p", size: 1 },
      { name: "q", size: 3 },
    ];
    const rows = [[1], [2], [3], [4]];
    for (const [axis, shape] of [
      [0, rows],
      [1, [[1, 2, 3, 4]]],
    ] as const) {
      const { values } = await operated(model(stored("w", shape)), { do: "split", name: "w", axis, parts });
      expect([values.p, values.q]).toEqual(axis === 0 ? [[[1]], rows.slice(1)] : [[[1]], [[2, 3, 4]]]);
    }
    const words = model(stored("w", tensor([["a", "b", "c", "d"]], "string")));
    const { variables } = await planEdit(words, { surgery: [{ do: "split", name: "w", axis: 1, parts }] });
    const text = (await gatherValues(variables[1]!)).data as readonly Uint8Array[];
    expect(text.map((b) => new TextDecoder().decode(b))).toEqual(["b", "c", "d"]);
    await refused(model(stored("w", [1, 2, 3])), { do: "split", name: "w", axis: 0, parts }).toThrow(
      "[INVALID_ARGUMENT] w: axis 0 of [3] is not parts of 1 + 3; give the size of each part: NAME:SIZE,NAME:SIZE",
    );
  });

  test("slots that not all parts have are left out, and named", async () => {
    const from = model(stored("a", [1]), stored("a/Adam", [2]), stored("b", [3]));
    const { plan, values } = await operated(from, { do: "concat", name: "c", axis: 0, parts: ["a", "b"] });
    expect(values).toEqual({ c: [1, 3] });
    expect(reasons(plan)).toEqual({ "a/Adam": "not all parts of c have one" });
  });

  test("slots whose names do not hold their variable's are left out, each of them named", async () => {
    const slot = (name: string, of: string): StoredVariable => ({
      ...stored(name, [1]),
      role: "slot",
      of,
      layer: "",
    });
    const from = model(stored("a", [1]), stored("b", [3]), slot("m0", "a"), slot("v0", "a"), slot("m1", "b"));
    const { plan, values } = await operated(from, { do: "concat", name: "c", axis: 0, parts: ["a", "b"] });
    expect(values).toEqual({ c: [1, 3] });
    expect(Object.keys(reasons(plan))).toEqual(["m0", "v0", "m1"]);
    const halves = [{ name: "p" }, { name: "q" }];
    const two = model(stored("w", [1, 2]), {
      ...slot("m", "w"),
      ...{ shape: [2], read: async () => tensor([1, 2], "float32") },
    });
    const parts = await operated(two, { do: "split", name: "w", axis: 0, parts: halves });
    expect(reasons(parts.plan)).toEqual({ m: "its name does not hold that of w, which has another now" });
  });

  test("refuses parts that do not fit, a name that is there, and a variable that is gone", async () => {
    const from = model(stored("a", [[1, 2]]), stored("b", [[1]]), stored("c", [1]));
    await refused(from, { do: "concat", name: "d", axis: 0, parts: ["a", "b"] }).toThrow(
      "[INVALID_ARGUMENT] b: float32 [1,1] does not join float32 [1,2] along axis 0",
    );
    await refused(from, { do: "concat", name: "c", axis: 1, parts: ["a", "b"] }).toThrow(
      "[INVALID_ARGUMENT] c: a variable c is there already; give the new one another name, or drop that one",
    );
    await refused(qkv, split, { do: "reverse", name: "a/qkv/kernel", axis: 0 }).toThrow(
      "[NOT_FOUND] a/qkv/kernel: the variable is left out, split or joined by another option",
    );
    await refused(from, { do: "take", name: "a", axis: 2, indexes: [0] }).toThrow(
      "[INVALID_ARGUMENT] a: axis 2 is not in [-2, 2)",
    );
  });

  test("streams: a part of the first axis is read up to its end, and no further", async () => {
    let read = 0;
    const big: StoredVariable = {
      ...stored("w", [1]),
      shape: [1000],
      async *stream() {
        for (let i = 0; i < 1000; i += 10) {
          read += 10;
          yield tensor(new Array(10).fill(i), "float32");
        }
      },
    };
    const parts = [
      { name: "p", size: 20 },
      { name: "q", size: 980 },
    ];
    const plan = await planEdit(model(big), { surgery: [{ do: "split", name: "w", axis: 0, parts }] });
    expect(toNumbers(await gatherValues(plan.variables[0]!))).toHaveLength(20);
    expect(read).toBe(20);
  });

  test.each(["float32", "complex64", "int64"] as const)(
    "of several pieces, %s: parts, places and back",
    async (dtype) => {
      const [rows, columns] = [1500, 1000]; // more than one piece of 2^20 elements
      const width = dtype === "complex64" ? 2 : 1;
      const type = dtype === "int64" ? BigInt64Array : Float32Array;
      const data = new type(rows * columns * width);
      for (let i = 0; i < data.length; i++) data[i] = dtype === "int64" ? BigInt(i) : i;
      const whole: Tensor = { dtype, shape: [rows, columns], data };
      const from = model({
        ...stored("w", whole),
        async *stream() {
          for (let row = 0; row < rows; row += 7)
            yield {
              dtype,
              shape: [Math.min(7, rows - row) * columns],
              data: data.subarray(row * columns * width, (row + 7) * columns * width) as Float32Array,
            };
        },
      });
      const parts = [
        { name: "p", size: 1 },
        { name: "q", size: 999 },
      ];
      const backwards = Array.from({ length: rows }, (_, i) => rows - 1 - i);
      const { variables } = await planEdit(from, {
        surgery: [
          { do: "split", name: "w", axis: 1, parts },
          { do: "concat", name: "w", axis: 1, parts: ["q", "p"] },
          { do: "take", name: "w", axis: 1, indexes: [999, ...Array.from({ length: 999 }, (_, i) => i)] },
          { do: "reverse", name: "w", axis: 0 },
          { do: "take", name: "w", axis: 0, indexes: backwards },
        ],
      });
      const found = await gatherValues(variables[0]!);
      expect(sameBytes(found, whole)).toBe(true);
    },
  );

  test("names of new variables serve rename, cast and later steps", async () => {
    const options: EditOptions = {
      surgery: [split, { do: "reverse", name: "a/q/kernel", axis: 0 }],
      rename: [[/^a\//, "b/"]],
      cast: [[/q\/kernel$/, "float64"]],
    };
    const { variables } = await planEdit(qkv, options);
    expect(variables.find((v) => v.name === "b/q/kernel")).toMatchObject({
      dtype: "float64",
      from: "a/qkv/kernel",
    });
    expect(variables.find((v) => v.name === "b/q/kernel/Adam")!.of).toBe("b/q/kernel");
  });
});

describe("channels", () => {
  const kernel = [[[[1], [2], [4]]]]; // [1, 1, 3, 1]
  const from = model(
    stored("c/kernel", kernel),
    stored("c/kernel/Adam", kernel),
    stored("c/kernel/ExponentialMovingAverage", [[[[3], [3], [3]]]]),
  );
  const channels = (count: number, how?: "zeros" | "mean"): Surgery => ({
    do: "channels",
    name: "c/kernel",
    count,
    ...(how && { how }),
  });

  test("one takes the sum, not the mean; averages follow, slots are left out, and named", async () => {
    const { values, plan } = await operated(from, channels(1));
    expect(values).toEqual({
      "c/kernel": [[[[7]]]],
      "c/kernel/ExponentialMovingAverage": [[[[9]]]],
    });
    expect(reasons(plan)).toEqual({ "c/kernel/Adam": "c/kernel has 1 input channels now" });
  });

  test("three of one carry a third each: grey as RGB gives what it gave", async () => {
    const { values } = await operated(from, channels(1), channels(3));
    const third = Math.fround(7 / 3);
    expect(values["c/kernel"]).toEqual([[[[third], [third], [third]]]]);
  });

  test("more repeat the old ones, scaled; or are zeros, or their mean", async () => {
    expect((await operated(from, channels(4))).values["c/kernel"]).toEqual([[[[0.75], [1.5], [3], [0.75]]]]);
    expect((await operated(from, channels(4, "zeros"))).values["c/kernel"]).toEqual([[[[1], [2], [4], [0]]]]);
    const mean = Math.fround(7 / 3);
    expect((await operated(from, channels(4, "mean"))).values["c/kernel"]).toEqual([
      [[[1], [2], [4], [mean]]],
    ]);
  });

  test("an axis says where they are; integers are refused", async () => {
    const oihw = model(stored("w", [[[[1]], [[2]], [[3]]]]), stored("n", tensor([[1n]], "int64")));
    const { values } = await operated(oihw, { do: "channels", name: "w", count: 1, axis: 1 });
    expect(values.w).toEqual([[[[6]]]]);
    await refused(oihw, { do: "channels", name: "n", count: 1 }).toThrow(
      "[INVALID_ARGUMENT] n: int64, a float is wanted",
    );
  });
});

describe("places of an axis", () => {
  test("in another order, some left out, some twice; slots too", async () => {
    const from = model(
      stored("head/kernel", [
        [1, 2, 3],
        [4, 5, 6],
      ]),
      stored("head/kernel/Momentum", [
        [7, 8, 9],
        [0, 1, 2],
      ]),
    );
    const { values } = await operated(from, {
      do: "take",
      name: "head/kernel",
      axis: -1,
      indexes: [2, 0, 2],
    });
    expect(values).toEqual({
      "head/kernel": [
        [3, 1, 3],
        [6, 4, 6],
      ],
      "head/kernel/Momentum": [
        [9, 7, 9],
        [2, 0, 2],
      ],
    });
    const rows = await operated(from, { do: "take", name: "head/kernel", axis: 0, indexes: [1] });
    expect(rows.values["head/kernel"]).toEqual([[4, 5, 6]]);
    await refused(from, { do: "take", name: "head/kernel", axis: 1, indexes: [3] }).toThrow(
      "[INVALID_ARGUMENT] head/kernel: place 3 is not in [0, 3), the size of axis 1 of [2,3]",
    );
  });

  test("a slot of another shape is left out, and named", async () => {
    const factored: StoredVariable = { ...stored("w/vr", [1]), role: "slot", of: "w", layer: "" };
    const from = model(stored("w", [[1], [2]]), factored);
    const { plan } = await operated(from, { do: "take", name: "w", axis: 0, indexes: [1] });
    expect(reasons(plan)).toEqual({ "w/vr": "its shape [1] is not that of w, which changes" });
  });
});

describe("vocabularies", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "varscope-vocab-"));
    writeFileSync(join(dir, "old"), "cat\ndog\nowl\n");
    writeFileSync(join(dir, "new"), "owl\nemu\ncat\n");
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const remap = (facts: Partial<Extract<Surgery, { do: "vocabulary" }>> = {}): Surgery => ({
    do: "vocabulary",
    name: "emb",
    axis: 0,
    oldFile: join(dir, "old"),
    newFile: join(dir, "new"),
    ...facts,
  });
  // one row more than entries: a bucket for unknown words
  const rows = [
    [1, 2],
    [3, 4],
    [5, 9],
    [7, 7],
  ];
  const from = model(
    stored("emb", rows),
    stored("emb/Adagrad", rows),
    stored("head", [
      [1, 2, 3],
      [4, 5, 9],
    ]),
  );

  test("rows follow their entries, new ones are zeros, buckets stay behind; slots begin anew there", async () => {
    const { values, plan } = await operated(from, remap());
    expect(values.emb).toEqual([
      [5, 9],
      [0, 0],
      [1, 2],
      [7, 7],
    ]);
    expect(values["emb/Adagrad"]).toEqual([
      [5, 9],
      [Math.fround(0.1), Math.fround(0.1)],
      [1, 2],
      [7, 7],
    ]);
    expect(plan.variables[0]!.changes).toEqual(["2 of 3 entries along axis 0, 1 new"]);
  });

  test("new ones are the mean of the old entries, by row and by column", async () => {
    const { values } = await operated(from, remap({ fill: "mean" }));
    expect((values.emb as Nested[])[1]).toEqual([3, 5]);
    const head = await operated(from, remap({ name: "head", axis: -1, fill: "mean" }));
    expect(head.values.head).toEqual([
      [3, 2, 1],
      [9, 6, 4],
    ]);
  });

  test("random ones hang on the seed alone", async () => {
    const drawn = async (seed: number) =>
      ((await operated(from, remap({ fill: { seed, stddev: 0.02 } }))).values.emb as Nested[])[1];
    expect(await drawn(1)).toEqual(await drawn(1));
    expect(await drawn(1)).not.toEqual(await drawn(2));
  });

  test("refuses a vocabulary that is longer than the axis", async () => {
    await refused(model(stored("emb", [[1]])), remap()).toThrow(
      /emb: .*old has 3 entries, axis 0 of \[1,1\] has 1; give the vocabulary/,
    );
  });
});
