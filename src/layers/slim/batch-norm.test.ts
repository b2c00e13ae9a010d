import { describe, expect, test } from "vitest";
import { toNumbers } from "../../base/index.ts";
import type { Output } from "../../graph/index.ts";
import { newGraph } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import {
  globalVariables,
  globalVariablesInitializer,
  modelVariables,
  type Variable,
} from "../../variables/index.ts";
import { type BatchNormOptions, batchNorm } from "../index.ts";

/** mean 3, population variance 3.5, sample variance 4.6667 */
const X = [1, 2, 3, 6];

/** One step from (0, 1); the moving mean and variance after it. */
async function stepped(options: BatchNormOptions, rank: 2 | 4 = 4) {
  const g = newGraph();
  const dims = rank === 2 ? [null, 1] : [null, 1, 1, 1];
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims } } });
  batchNorm(x, { scope: "bn", ...options });
  const init = globalVariablesInitializer(g);
  await using session = new Session(g, { warn: () => {} });
  await session.run([], { targets: [init] });
  const updates = g.getCollection<Output>("update_ops");
  await session.run([], {
    targets: updates,
    feeds: { x: rank === 2 ? X.map((v) => [v]) : X.map((v) => [[[v]]]) },
  });
  const read = async (v: Variable): Promise<number> => toNumbers(await session.run(v.snapshot))[0]!;
  const moving = globalVariables(g, "bn/moving_");
  return { g, values: await Promise.all(moving.map(read)) };
}

const names = (variables: readonly Variable[]): string[] => variables.map((v) => v.op.name);

describe("slim's batchNorm", () => {
  test("has decay 0.999, no gamma, and the order beta, gamma, moving mean, moving variance", async () => {
    const plain = await stepped({});
    expect(names(globalVariables(plain.g))).toEqual(["bn/beta", "bn/moving_mean", "bn/moving_variance"]);
    const scaled = await stepped({ scale: true }, 2);
    const all = ["bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance"];
    expect(names(globalVariables(scaled.g))).toEqual(all);
    expect(names(modelVariables(scaled.g))).toEqual(all);
    expect(names(globalVariables((await stepped({ scale: true, fused: false }, 2)).g)).slice(0, 2)).toEqual([
      "bn/gamma",
      "bn/beta",
    ]);
  });

  test("1 - decay in float32 gives 0.0029999614 where the op is fused, 0.003 where it is not", async () => {
    expect((await stepped({})).values[0]).toBeCloseTo(0.0029999614, 9);
    expect((await stepped({ fused: false })).values[0]).toBeCloseTo(0.003, 8);
  });

  test("fuses rank 2, too: the sample variance enters the moving one", async () => {
    expect((await stepped({}, 2)).values[1]).toBeCloseTo(0.999 + 0.001 * (14 / 3), 6);
    expect((await stepped({ fused: false }, 2)).values[1]).toBeCloseTo(0.999 + 0.001 * 3.5, 6);
  });

  test("zero_debias_moving_mean: 3.0000386 after one step, with bn/bn/moving_mean/biased and local_step", async () => {
    const { g, values } = await stepped({ zeroDebiasMovingMean: true });
    expect(values[0]).toBeCloseTo(3.0000386, 6);
    expect(names(globalVariables(g)).slice(-2)).toEqual([
      "bn/bn/moving_mean/biased",
      "bn/bn/moving_mean/local_step",
    ]);
  });

  test("renorm has no place beside zero debias; unknown ranks and channels are refused", () => {
    const g = newGraph();
    const holder = (dims: (number | null)[] | null): Output =>
      g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims } } });
    expect(() => batchNorm(holder([null, 3]), { renorm: true, zeroDebiasMovingMean: true })).toThrow(
      "renorm is not supported with batch_weights, updates_collections or zero_debias_moving_mean",
    );
    expect(() => batchNorm(holder(null))).toThrow(/has undefined rank/);
    expect(() => batchNorm(holder([2, null]))).toThrow(/undefined `C` dimension/);
  });
});
