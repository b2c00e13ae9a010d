import { expect, test } from "vitest";
import { type Tensor, tensor } from "../../base/index.ts";
import { writeGraphDef } from "../../formats/graph-def/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { transformGraph } from "./pipeline.ts";
import { type Provenance, provenanceOf, readProvenance, refoldGraph } from "./provenance.ts";

/** A normalization in small ops behind a product, frozen: weights go by their names. */
function frozen(): Graph {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null, 2] } } });
  const c = (name: string, value: number[] | number[][]) => g.constant(value, { name });
  const y = g.add(
    "MatMul",
    [
      x,
      c("dense/kernel", [
        [1, 2],
        [3, 4],
      ]),
    ],
    { name: "dense/MatMul" },
  );
  const variance = g.add("AddV2", [c("bn/moving_variance", [3, 8]), g.constant(1, { name: "epsilon" })], {
    name: "v",
  });
  const scale = g.add("Mul", [g.add("Rsqrt", [variance], { name: "r" }), c("bn/gamma", [2, 6])], {
    name: "s",
  });
  const shift = g.add(
    "Sub",
    [c("bn/beta", [1, 2]), g.add("Mul", [c("bn/moving_mean", [4, 5]), scale], { name: "ms" })],
    { name: "b" },
  );
  g.add("AddV2", [g.add("Mul", [y, scale], { name: "ys" }), shift], { name: "out" });
  return g;
}

async function folded(
  passes: readonly string[],
): Promise<{ bytes: Uint8Array; record: Provenance; graph: Graph }> {
  const t = await transformGraph(frozen(), { passes, outputs: ["out"] });
  const bytes = writeGraphDef(t.graph);
  const facts = {
    source: { graph: "frozen.pb", checkpoint: null },
    outputs: t.outputs,
    passes: t.passes,
    bytes,
  };
  return { bytes, record: provenanceOf(t.graph, t.origins, facts), graph: t.graph };
}

const VALUES: Readonly<Record<string, Tensor>> = {
  "dense/kernel": tensor([
    [2, 1],
    [1, 1],
  ]),
  "bn/gamma": tensor([1, 1]),
  "bn/beta": tensor([0, 1]),
  "bn/moving_mean": tensor([0, 0]),
  "bn/moving_variance": tensor([3, 24]),
};
const read = async ({ name }: { readonly name: string }): Promise<Tensor> => VALUES[name]!;

test.each([
  [["fold-batch-norm"]],
  [["fold-constants", "fold-batch-norm"]],
  [["merge-duplicates", "fold-constants"]],
])("after %j each constant is made anew from variables of other values", async (passes) => {
  const { bytes, record } = await folded(passes);
  const graph = await refoldGraph(bytes, readProvenance(JSON.stringify(record)), CORE_OPS, read);
  await using session = new Session(graph);
  const y = (await session.run("out:0", { feeds: { x: tensor([[1, 1]]) } })) as Tensor;
  // (3, 2) / (2, 5) + (0, 1)
  expect([...(y.data as Float32Array)]).toEqual([expect.closeTo(1.5), expect.closeTo(1.4)]);
});

test("a record says which variables each constant comes from", async () => {
  const { record } = await folded(["fold-batch-norm"]);
  expect(record.constants["dense/MatMul_weights"]!.from.slice().sort()).toEqual([
    "bn/gamma",
    "bn/moving_variance",
    "dense/kernel",
  ]);
  expect(Object.keys(record.constants)).toEqual(["dense/MatMul_weights", "dense/MatMul_bn_offset"]);
  expect(record.passes[0]!.done[0]!.at).toBe("dense/MatMul");
});

test("broken records are refused by name", async () => {
  const { bytes, record } = await folded(["fold-batch-norm"]);
  const text = (change: object): string => JSON.stringify({ ...record, ...change });
  expect(() => readProvenance("{", "r.json")).toThrow("[DATA_LOSS] r.json: no JSON");
  for (const broken of [
    "null",
    "[]",
    "1",
    text({ variables: { w: 1 } }),
    text({ constants: { w: {} } }),
    text({ recipe: 3 }),
  ])
    expect(() => readProvenance(broken)).toThrow("no record of a transformation");
  expect(() => readProvenance(text({ version: 2 }))).toThrow(
    "[UNIMPLEMENTED] provenance: version 2, only 1 is known",
  );
  const refold = (change: object, values = read) =>
    refoldGraph(bytes, readProvenance(text(change)), CORE_OPS, values);
  await expect(refold({ crc32c: 1 })).rejects.toThrow("the record belongs to another graph file");
  await expect(refold({ recipe: "***" })).rejects.toThrow("the recipe is no base64");
  await expect(refold({ recipe: "AAAA" })).rejects.toThrow("[DATA_LOSS]");
  await expect(refold({ constants: { none: { recipe: "x:0", from: [] } } })).rejects.toThrow(/NOT_FOUND/);
  await expect(refold({ constants: { out: { recipe: "dense/kernel:0", from: [] } } })).rejects.toThrow(
    "the record takes a BiasAdd for a constant",
  );
  await expect(refold({}, async () => tensor([1, 2, 3]))).rejects.toThrow("the graph was made with float32");
  const checks = new Graph(CORE_OPS);
  checks.addOp("Assert", [true, [1]], { name: "effect" });
  await expect(refold({ recipe: Buffer.from(writeGraphDef(checks)).toString("base64") })).rejects.toThrow(
    "[INVALID_ARGUMENT] recipe, effect: a recipe has no Assert",
  );
});
