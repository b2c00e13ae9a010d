import { describe, expect, test } from "vitest";
import { type DType, type Nested, type Tensor, tensor } from "../../base/index.ts";
import { collectionOf, cutBox, type StoredVariable } from "../../formats/collection/index.ts";
import { diffModels } from "./diff.ts";

/** A variable that streams in pieces of so many elements. */
const stored = (name: string, t: Tensor, piece = 3): StoredVariable => ({
  name,
  dtype: t.dtype,
  shape: t.shape,
  bytes: 4 * t.data.length,
  read: async () => t,
  async *stream() {
    const count = t.shape.reduce((n, d) => n * d, 1);
    const flat = { ...t, shape: [count] };
    for (let i = 0; i < count; i += piece)
      yield cutBox(flat, { start: [i], size: [Math.min(piece, count - i)] });
  },
});
const model = (...variables: StoredVariable[]) => collectionOf({ path: "x", format: "npz", variables });
const diff = (x: Tensor, y: Tensor, options = {}) =>
  diffModels(model(stored("v", x, 3)), model(stored("v", y, 2)), options);
const one = async (dtype: DType, x: Nested, y: Nested, options = {}) =>
  (await diff(tensor(x, dtype), tensor(y, dtype), options)).changed[0] ?? null;

describe("values", () => {
  test("read in pieces of other lengths are compared at the same place", async () => {
    const x = Array.from({ length: 11 }, (_, i) => i);
    expect(await one("float32", x, x)).toBeNull();
    const y = x.with(7, 7.5);
    expect(await one("float32", x, y)).toMatchObject({
      maxAbs: 0.5,
      maxRel: 0.5 / 7.5,
      different: 1,
      elements: 11,
    });
  });

  test("NaN equals NaN, and nothing else", async () => {
    expect(await one("float32", [Number.NaN, 1], [Number.NaN, 1])).toBeNull();
    expect(await one("float32", [Number.NaN, 1], [0, 2])).toMatchObject({ maxAbs: Number.NaN, different: 2 });
    expect(await one("float16", [Number.NaN, 1], [Number.NaN, 1.5])).toMatchObject({ maxAbs: 0.5 });
  });

  test("infinity equals itself", async () => {
    const inf = Number.POSITIVE_INFINITY;
    expect(await one("float64", [inf, -inf], [inf, -inf])).toBeNull();
    expect(await one("float64", [inf], [1e300], { rtol: 1e9 })).toMatchObject({ maxAbs: inf, different: 1 });
  });

  test("tolerances are numpy's", async () => {
    expect(await one("float32", [1, 100], [1.0009, 100.9], { atol: 1e-3, rtol: 0.01 })).toBeNull();
    expect(await one("float32", [1, 100], [1.0009, 100.9], { atol: 1e-3 })).toMatchObject({ different: 1 });
  });

  test("int64 beyond 2^53, bool, strings and complex are exact", async () => {
    expect(await one("int64", [2n ** 60n], [2n ** 60n + 1n])).toMatchObject({ maxAbs: 1, different: 1 });
    expect(await one("bool", [true, false], [true, true])).toMatchObject({ maxAbs: 1, different: 1 });
    expect(await one("string", ["a", "bc"], ["a", "bd"])).toMatchObject({ maxAbs: null, different: 1 });
    expect(await one("string", ["a", "bc"], ["a", "bc"])).toBeNull();
    expect(await one("complex64", [[1, 2]] as Nested, [[4, 6]] as Nested)).toMatchObject({ maxAbs: 5 });
  });

  test("of another dtype are changed, with their distance", async () => {
    const { changed } = await diff(tensor([1, 2], "float32"), tensor([1, 2], "bfloat16"));
    expect(changed).toMatchObject([{ dtype: ["float32", "bfloat16"], maxAbs: 0, different: 0 }]);
  });

  test("of another shape are not compared", async () => {
    const { changed } = await diff(tensor([1, 2], "float32"), tensor([[1, 2]], "float32"));
    expect(changed).toMatchObject([{ shape: [[2], [1, 2]], maxAbs: null, maxRel: null }]);
  });
});

test("names that differ in spelling are one variable; others are named, with what they may be", async () => {
  const t = tensor([1, 2], "float32");
  const a = model(stored("conv1/weights", t), stored("old/bias", t), stored("same/kernel", t));
  const b = model(stored("net/conv1/kernel", t), stored("new/bias", t), stored("net/same/kernel", t));
  expect(await diffModels(a, b)).toEqual({
    onlyInA: ["old/bias"],
    onlyInB: ["new/bias"],
    changed: [],
    equal: 2,
    renamed: [
      { a: "conv1/weights", b: "net/conv1/kernel" },
      { a: "same/kernel", b: "net/same/kernel" },
    ],
    candidates: [{ name: "old/bias", near: ["new/bias"], sameShape: ["new/bias"] }],
  });
});

test("an abort ends it", async () => {
  const t = tensor([1, 2], "float32");
  const signal = AbortSignal.abort();
  await expect(diff(t, t, { signal })).rejects.toThrow(/CANCELLED/);
});
