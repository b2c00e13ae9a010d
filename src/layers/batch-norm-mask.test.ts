import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type Nested, type Tensor, tensor, toNumbers } from "../base/index.ts";
import { recalibrate } from "../edit/index.ts";
import type { Graph, Output } from "../graph/index.ts";
import { newGraph, slice } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { globalVariables, type Variable } from "../variables/index.ts";
import { type BatchNormalizationOptions, batchNormalization, slim } from "./index.ts";

interface Case {
  readonly options: {
    axis?: number;
    momentum?: number;
    epsilon?: number;
    renorm?: boolean;
    renorm_clipping?: object;
  };
  readonly mask: Nested;
  readonly steps: readonly { x: Nested; y: Nested; mean: number[]; variance: number[] }[];
  readonly inferred: Nested;
}
const GOLDEN = new URL("../../tests/goldens/batch-norm-mask/cases.json.gz", import.meta.url);
const { cases, errors } = JSON.parse(gunzipSync(readFileSync(GOLDEN)).toString()) as {
  cases: Record<string, Case>;
  errors: Record<string, string>;
};

const holder = (
  g: Graph,
  name: string,
  dims: (number | null)[],
  dtype: "float32" | "bool" = "float32",
): Output => g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims } } });
const flat = (x: Nested): number[] => (Array.isArray(x) ? x.flatMap(flat) : [Number(x)]);
const shapeOf = (x: Nested): number[] => (Array.isArray(x) ? [x.length, ...shapeOf(x[0]!)] : []);
const kindOf = (x: Nested): unknown => (Array.isArray(x) ? kindOf(x[0]!) : typeof x);

/** Values from `from` to `to`, as the golden's gammas and betas. */
const between =
  (from: number, to: number) =>
  (_: Graph, [n]: readonly number[]): Tensor =>
    tensor(
      Array.from({ length: n! }, (_, i) => from + ((to - from) * i) / (n! - 1)),
      "float32",
      [n!],
    );

function expectClose(got: Tensor, want: Nested, at: string): void {
  const numbers = toNumbers(got);
  for (const [i, v] of flat(want).entries())
    expect(Math.abs(numbers[i]! - v), `${at}[${i}]`).toBeLessThanOrEqual(2e-6 + 5e-6 * Math.abs(v));
}

describe("a mask, as Keras 3 has it", () => {
  test.each(Object.keys(cases))("%s", async (name) => {
    const { options, mask, steps, inferred } = cases[name]!;
    const g = newGraph();
    const shape = shapeOf(steps[0]!.x);
    const x = holder(g, "x", [null, ...shape.slice(1)]);
    const kept = holder(
      g,
      "mask",
      [null, ...shape.slice(1, -1)],
      kindOf(mask) === "boolean" ? "bool" : "float32",
    );
    const training = holder(g, "training", [], "bool");
    const { renorm_clipping: renormClipping, ...same } = options;
    const init = { gammaInitializer: between(0.5, 1.5), betaInitializer: between(-0.25, 0.5) };
    const all = { ...same, ...init, training, mask: kept, ...(renormClipping && { renormClipping }) };
    const y = batchNormalization(x, all as BatchNormalizationOptions);
    await using session = new Session(g, { warn: () => {} });
    await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
    const moving = (kind: string): Output =>
      globalVariables(g).find((v: Variable) => v.op.name.endsWith(`moving_${kind}`))!.snapshot;
    for (const step of steps) {
      const feeds = { x: step.x, mask, training: true } as never;
      expectClose(await session.run(y, { feeds }), step.y, "y");
      await session.run([], { feeds, targets: g.getCollection<Output>("update_ops") });
      expectClose(await session.run(moving("mean")), step.mean, "moving_mean");
      expectClose(await session.run(moving("variance")), step.variance, "moving_variance");
    }
    const feeds = { x: steps.at(-1)!.x, mask, training: false } as never;
    expectClose(await session.run(y, { feeds }), inferred, "inferred");
  });

  test("all masked: x / √0.001 in training, and the moving variance fades", () => {
    const [step] = cases["all masked"]!.steps;
    expect(step!.variance[0]).toBeCloseTo(0.99, 6);
    expect((flat(step!.y)[1]! - 0.125) / flat(step!.x)[1]!).toBeCloseTo(1 / Math.sqrt(0.001), 3);
  });

  test("has one axis less than x, in Keras's words; it is never fused, nor beside parts of a batch", () => {
    const g = newGraph();
    const x = holder(g, "x", [2, 4, 3]);
    expect(() => batchNormalization(x, { mask: holder(g, "a", [2]) })).toThrow(errors.rank);
    expect(() => batchNormalization(x, { mask: holder(g, "b", [2, 4, 3]) })).toThrow(errors["same rank"]);
    const images = holder(g, "images", [2, 2, 2, 3]);
    const mask = holder(g, "mask", [2, 2, 2], "bool");
    batchNormalization(images, { mask, training: true, name: "bn" });
    expect(g.operations.some((op) => op.type === "FusedBatchNormV3")).toBe(false);
    expect(() => batchNormalization(images, { mask, fused: true })).toThrow("fused=True");
    expect(() => batchNormalization(images, { mask, virtualBatchSize: 2 })).toThrow("virtual_batch_size");
  });

  test("NaN where it is false does not reach the rest", async () => {
    const g = newGraph();
    const x = g.constant([1, 2, 3, Number.NaN], { dtype: "float32", shape: [4, 1] });
    const mask = g.constant([true, true, true, false], { dtype: "bool" });
    const y = batchNormalization(x, { mask, training: true, epsilon: 0 });
    const kept = slice(y, [0, 0], [3, 1]);
    await using session = new Session(g, { warn: () => {} });
    await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
    const values = toNumbers(await session.run(kept));
    expect(values).toEqual([expect.closeTo(-1.2247449, 6), 0, expect.closeTo(1.2247449, 6)]);
  });

  test.each([true, false])("recalibrate leaves layers that mask or weigh (placeholder %s)", async (isFed) => {
    const g = newGraph();
    const x = holder(g, "x", [null, 3]);
    const training = isFed ? holder(g, "training", [], "bool") : true;
    batchNormalization(x, { training, mask: holder(g, "mask", [null], "bool"), name: "masked" });
    slim.batchNorm(x, {
      isTraining: training,
      batchWeights: holder(g, "weights", [null]),
      scope: "weighted",
    });
    batchNormalization(x, { training, name: "plain" });
    await using session = new Session(g, { warn: () => {} });
    await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
    const data = [{ x: tensor([1, 2, 3, 4, 5, 6], "float32", [2, 3]) }];
    const { layers, left } = await recalibrate(session, { data });
    expect(layers.map((l) => l.layer)).toEqual(["plain"]);
    const why = "masks or weighs what it sees in training";
    expect(left).toEqual([
      { layer: "masked", why },
      { layer: "weighted", why },
    ]);
  });
});
