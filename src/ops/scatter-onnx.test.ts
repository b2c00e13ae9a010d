import { expect, test } from "vitest";
import type { Tensor } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";

/** Enough updates for ONNX Runtime to share them among threads, all to a few rows. */
const N = 20_000;
const WIDTH = 16;

const rows = Array.from({ length: N }, (_, i) => (i * 7) % 4);

async function run(g: Graph, x: Output, feed: Output): Promise<Tensor> {
  const session = new Session(g);
  const ones = { dtype: "float32", shape: [N, WIDTH], data: new Float32Array(N * WIDTH).fill(1) } as const;
  const value = (await session.run(x, { feeds: new Map([[feed, ones]]) })) as Tensor;
  await session.close();
  return value;
}

const newGraph = (): { g: Graph; data: Output } => {
  const g = new Graph(CORE_OPS);
  const attrs = { dtype: "float32", shape: { dims: [N, WIDTH] } } as const;
  return { g, data: g.add("Placeholder", [], { attrs }) };
};

const everyRowHas = (count: number): Float32Array => new Float32Array(4 * WIDTH).fill(count);

test("UnsortedSegmentSum loses no row", async () => {
  const { g, data } = newGraph();
  const ids = g.constant(rows, { dtype: "int32" });
  const sums = await run(g, g.add("UnsortedSegmentSum", [data, ids, 4]), data);
  expect(sums.data).toEqual(everyRowHas(N / 4));
});

test("ScatterNd loses no update, for tuples of one and of two", async () => {
  const { g, data } = newGraph();
  const one = g.constant(
    rows.map((r) => [r]),
    { dtype: "int32" },
  );
  const sums = await run(g, g.add("ScatterNd", [one, data, [4, WIDTH]]), data);
  expect(sums.data).toEqual(everyRowHas(N / 4));
  const two = g.constant(
    rows.map((r) => [r >> 1, r & 1]),
    { dtype: "int32" },
  );
  const table = await run(g, g.add("ScatterNd", [two, data, [2, 2, WIDTH]]), data);
  expect(table.shape).toEqual([2, 2, WIDTH]);
  expect(table.data).toEqual(everyRowHas(N / 4));
});

test("an index tuple that is outside in one dim is no other tuple", async () => {
  const g = new Graph(CORE_OPS);
  const at = g.add("Placeholder", [], { attrs: { dtype: "int32", shape: { dims: [1, 2] } } });
  const out = g.add("ScatterNd", [at, [1], [2, 3]], { attrs: { T: "float32" } });
  const session = new Session(g);
  await expect(session.run(out, { feeds: { [at.name]: [[0, 3]] } })).rejects.toThrow("indices");
  await session.close();
});
