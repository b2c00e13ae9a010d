/** Normalizations of rank 5 are measured as those of images are. */

import { expect, test } from "vitest";
import { type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { Graph, type Output } from "../../graph/index.ts";
import { batchNormalization, conv3d } from "../../layers/index.ts";
import { CORE_OPS, setRandomSeed } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { globalVariablesInitializer } from "../../variables/index.ts";
import { recalibrate } from "./index.ts";

const SHAPE = [3, 4, 4, 2];
const batch = (n: number, seed: number): Tensor =>
  tensor(
    Array.from({ length: n * 96 }, (_, i) => Math.sin(12.9898 * (i + 1) * seed) * (1 + (i % 2)) + (i % 2)),
    "float32",
    [n, ...SHAPE],
  );
const BATCHES = [batch(4, 1), batch(4, 2), batch(3, 3)];

/** Three normalizations side by side: fused, channels first, and in small ops. */
function net(): { g: Graph; seen: Record<string, Output> } {
  const g = new Graph(CORE_OPS);
  setRandomSeed(g, 3);
  const x = g.add("Placeholder", [], {
    name: "x",
    attrs: { dtype: "float32", shape: { dims: [null, ...SHAPE] } },
  });
  const first = g.add("Transpose", [x, g.constant([0, 4, 1, 2, 3], { dtype: "int32" })]);
  const seen = { fused: conv3d(x, 3, 2), first, small: conv3d(x, 2, 1) };
  const out = [
    batchNormalization(seen.fused, { name: "fused", fused: true, training: false }),
    batchNormalization(first, { name: "first", fused: true, axis: 1, training: false }),
    batchNormalization(seen.small, { name: "small", training: false }),
  ];
  out.forEach((y, i) => void g.add("Identity", [y], { name: `out${i}` }));
  globalVariablesInitializer(g);
  return { g, seen };
}

/** Mean and variance of each channel of all batches together. */
async function momentsOf(session: Session, y: Output, axis: number, sample: boolean): Promise<number[]> {
  const values: number[][] = [];
  for (const x of BATCHES) {
    const [t] = (await session.run([y], { feeds: { "x:0": x } })) as [Tensor];
    const inner = t.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    toNumbers(t).forEach((v, i) => {
      const c = Math.floor(i / inner) % t.shape[axis]!;
      values[c] ??= [];
      values[c].push(v);
    });
  }
  const mean = values.map((v) => v.reduce((a, b) => a + b, 0) / v.length);
  const variance = values.map(
    (v, c) => v.reduce((sum, a) => sum + (a - mean[c]!) ** 2, 0) / (v.length - (sample ? 1 : 0)),
  );
  return [...mean, ...variance];
}

test("rank 5: exact mean and variance of a stream, fused in both formats and in small ops", async () => {
  const { g, seen } = net();
  await using session = new Session(g, { warn: () => {} });
  await session.run([], { targets: ["init"] });
  const { layers } = await recalibrate(session, { data: BATCHES.map((x) => ({ x })) as never[] });
  expect(layers.map((l) => l.layer).sort()).toEqual(["first", "fused", "small"]);
  for (const { layer, mean, variance } of layers) {
    const axis = layer === "first" ? 1 : 4;
    const want = await momentsOf(session, seen[layer]!, axis, layer !== "small");
    [...toNumbers(mean), ...toNumbers(variance)].forEach((v, i) => {
      expect(v, `${layer}[${i}]`).toBeCloseTo(want[i]!, 4);
    });
  }
});
