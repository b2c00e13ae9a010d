import { describe, expect, test } from "vitest";
import { type Tensor, tensor } from "../base/index.ts";
import { formatHistogram } from "./histogram.ts";
import { statsOf, streamStats } from "./stats.ts";

async function* pieces(t: Tensor, most: number): AsyncGenerator<Tensor> {
  const data = t.data as Float32Array;
  for (let i = 0; i < data.length; i += most) {
    const part = data.subarray(i, i + most);
    yield { dtype: t.dtype, shape: [part.length], data: part };
  }
}

const wave = tensor(
  Array.from({ length: 5000 }, (_, i) => Math.fround(Math.sin(i) * 3 + i / 1000)),
  "float32",
);

describe("statistics", () => {
  test("of small integers are those that numpy gives", () => {
    // np.array([1, 2, 3, 6, 0]): mean 2.4, std 2.0591260281974
    const s = statsOf(tensor([1, 2, 3, 6, 0], "int32"))!;
    expect(s).toMatchObject({ min: 0, max: 6, mean: 2.4, zeros: 1, nan: 0, inf: 0 });
    expect(s.std).toBeCloseTo(2.0591260281974, 12);
  });

  test("leave NaN and infinities out of all but their counts", () => {
    const s = statsOf(
      tensor([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2, 4], "float32"),
    )!;
    expect(s).toMatchObject({ min: 2, max: 4, mean: 3, std: 1, zeros: 0, nan: 1, inf: 2 });
    expect(s.histogram!.counts.reduce((a, b) => a + b)).toBe(2);
  });

  test("are the same whatever the pieces", async () => {
    const whole = statsOf(wave)!;
    for (const most of [1, 7, 100, 4999]) {
      const s = (await streamStats("float32", pieces(wave, most)))!;
      expect(s).toMatchObject({
        min: whole.min,
        max: whole.max,
        zeros: whole.zeros,
        histogram: whole.histogram,
      });
      expect(s.mean).toBeCloseTo(whole.mean, 12);
      expect(s.std).toBeCloseTo(whole.std, 12);
    }
  });

  test("keep 64-bit integers beyond 2^53", () => {
    expect(statsOf(tensor([2n ** 60n + 1n, -5n], "int64"))).toMatchObject({ min: -5, max: 2n ** 60n + 1n });
  });

  test("of nothing are NaN, of strings null", () => {
    expect(statsOf(tensor([], "float32", [0]))).toMatchObject({ min: Number.NaN, zeros: 0, histogram: null });
    expect(statsOf(tensor(["a"], "string"))).toBeNull();
  });
});

describe("histograms", () => {
  test("hold each value in the bin whose edges are around it", () => {
    const { from, width, counts } = statsOf(wave)!.histogram!;
    expect(counts.length).toBeGreaterThan(15);
    expect(counts.length).toBeLessThanOrEqual(32);
    const data = [...(wave.data as Float32Array)];
    const want = counts.map(
      (_, i) => data.filter((x) => x >= from + i * width && x < from + (i + 1) * width).length,
    );
    expect(counts).toEqual(want);
  });

  test.each([[[1e-40, 1e-41]], [[1e38, -3e38]], [[7, 7, 7]], [[0, 0]], [[-1e-300, 1e300]], [[5e-324, 0]]])(
    "take any finite numbers: %j",
    (values) => {
      const { counts } = statsOf(tensor(values, "float64"))!.histogram!;
      expect(counts.reduce((a, b) => a + b)).toBe(values.length);
      expect(counts.length).toBeLessThanOrEqual(32);
    },
  );

  test("draw as one line", () => {
    expect(formatHistogram({ from: 0, width: 1, counts: [1, 0, 4, 8] })).toBe("▁ ▄█");
  });
});
