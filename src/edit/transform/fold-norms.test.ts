/** Every row of the table of foldings: TensorFlow's graphs, with what TensorFlow computes. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fromBytes, scalar, type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { readGraphDef, toGraphDef } from "../../formats/graph-def/index.ts";
import type { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { type FoldResult, foldBatchNorm } from "./fold-norms.ts";
import type { PassOptions } from "./pass.ts";
import { FOLDING, PASSES } from "./passes.ts";
import { rangeReport } from "./ranges.ts";

interface Wire {
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  readonly data: string;
}
interface Case {
  readonly outputs: readonly string[];
  readonly feeds: Readonly<Record<string, Wire>>;
  readonly results: readonly Wire[];
  readonly folded: string | readonly (readonly [string, string, readonly string[]])[];
}

const GOLDENS = new URL("../../../tests/goldens/transform/", import.meta.url);
const casesOf = (file: string): Readonly<Record<string, Case>> =>
  JSON.parse(readFileSync(new URL(file, GOLDENS), "utf8")).cases;
const cases = { ...casesOf("manifest.json"), ...casesOf("volumes.json") };
const fromWire = ({ dtype, shape, data }: Wire): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(data, "base64")));
const open = (name: string): Graph =>
  readGraphDef(new Uint8Array(readFileSync(new URL(`${name}.pb`, GOLDENS))), {
    registry: CORE_OPS,
    file: name,
  });

/** Largest difference between what a graph computes and what TensorFlow computed with the original. */
async function errorOf(graph: Graph, name: string): Promise<number> {
  const { outputs, feeds, results } = cases[name]!;
  await using session = new Session(graph);
  const known = Object.entries(feeds).filter(([x]) => graph.findOperation(x.slice(0, -2)) !== undefined);
  const fetched = (await session.run(
    outputs.map((x) => `${x}:0`),
    { feeds: Object.fromEntries(known.map(([x, t]) => [x, fromWire(t)])) },
  )) as Tensor[];
  const [a, b] = [fetched.flatMap(toNumbers), results.flatMap((t) => toNumbers(fromWire(t)))];
  expect(a.length).toBe(b.length);
  const largest = b.reduce((n, x) => Math.max(n, Math.abs(x)), 1);
  return a.reduce((n, x, i) => Math.max(n, Math.abs(x - b[i]!)), 0) / largest;
}

const TOLERANCE = 1e-5;

async function fold(name: string, options: PassOptions = {}, graph = open(name)): Promise<FoldResult> {
  const result = foldBatchNorm(graph, { outputs: cases[name]!.outputs, ...options });
  expect(await errorOf(result.graph, name)).toBeLessThan(TOLERANCE);
  return result;
}

const normsIn = (graph: Graph): string[] =>
  graph.operations.filter((op) => /^FusedBatchNorm|^Rsqrt$/.test(op.type)).map((op) => op.name);

/** A graph whose normalizations all fold. */
async function foldsAll(name: string, options: PassOptions = {}, graph?: Graph): Promise<FoldResult> {
  const result = await fold(name, options, graph);
  expect(normsIn(result.graph)).toEqual([]);
  expect(result.report.left).toEqual([]);
  expect(result.report.done.length).toBeGreaterThan(0);
  return result;
}

const nodesOf = (graph: Graph): [string, string, string[]][] =>
  toGraphDef(graph).node.map((n) => [n.name, n.op, [...n.input]]);

const leftOf = ({ report }: FoldResult): string[] => report.left.map((l) => `${l.at}: ${l.why}`);

/** Runs a table's passes one after the other. */
function after(name: string, passes: readonly string[], options: PassOptions = {}): Graph {
  const { outputs } = cases[name]!;
  return passes.reduce((g, pass) => PASSES.get(pass)!.run(g, { outputs, ...options }).graph, open(name));
}

test("conv-BN folds, with the names of TensorFlow's folder", async () => {
  const { graph } = await foldsAll("conv_bn");
  const theirs = cases.conv_bn!.folded as [string, string, string[]][];
  // TensorFlow's tool drops Identities, too, also the output's input order is its own
  const mine = after("conv_bn", ["remove-identity", "fold-batch-norm"]);
  const sorted = (nodes: [string, string, string[]][]) => [...nodes].sort(([a], [b]) => (a < b ? -1 : 1));
  expect(sorted(nodesOf(mine))).toEqual(sorted(theirs));
  expect(graph.operation("bn/FusedBatchNorm").type).toBe("BiasAdd");
});

test.each([
  ["conv-bias-BN folds", "conv_bias_bn"],
  ["depthwise-BN folds", "depthwise_bn"],
  ["FusedBatchNorm (V1) folds", "version_1"],
  ["Identity between weights and convolution is no hindrance", "identity_weights"],
])("%s, as TensorFlow's folder does", async (_, name) => {
  await foldsAll(name);
  const theirs = (cases[name]!.folded as [string, string, string[]][]).map(([n]) => n).sort();
  expect(
    nodesOf(after(name, ["remove-identity", "fold-batch-norm"]))
      .map(([n]) => n)
      .sort(),
  ).toEqual(theirs);
});

test.each([
  ["FusedBatchNormV2 folds", "version_2"],
  ["decomposed BN (Rsqrt, Mul, Sub, AddV2) folds", "small_ops"],
  ["MatMul-BN folds", "matmul_bn"],
  ["slim's fused BN of vectors folds through its Reshape", "matmul_fused"],
  ["conv_transpose-BN folds", "transposed_bn"],
  ["BN-conv (VALID) folds, its shift behind the convolution", "bn_conv_valid"],
  ["BN-MatMul folds", "bn_matmul"],
  ["CheckNumerics in the chain falls out", "check_numerics"],
  ["NCHW folds", "channels_first"],
])("%s; TensorFlow's folder does not, or needs a GPU", async (_, name) => {
  await foldsAll(name);
});

test.each([
  ["Conv3D-BN folds", "conv3d_bn"],
  ["Conv3D-bias-BN folds", "conv3d_bias_bn"],
  ["Conv3D-BN folds where BN is decomposed", "conv3d_small_ops"],
  ["Conv3D-BN folds, NCDHW", "conv3d_channels_first"],
  ["conv3d_transpose-BN folds", "conv3d_transpose_bn"],
  ["BN-Conv3D (VALID) folds, its shift behind the convolution", "bn_conv3d_valid"],
  ["BN-Conv3D of 1x1x1 folds, its shift behind the convolution", "bn_conv3d_1x1x1"],
  ["BN-Conv3D (SAME): the scale folds", "bn_conv3d_same"],
  ["BN-conv3d_transpose: the scale folds", "bn_conv3d_transpose"],
])("%s; TensorFlow's folder leaves volumes alone", async (_, name) => {
  expect(cases[name]!.folded).toBe("leaves it alone");
  const { graph } = await foldsAll(name);
  const shiftsBefore = ["bn_conv3d_same", "bn_conv3d_transpose"].includes(name);
  const [bias] = graph.operations.filter((op) => op.type === "BiasAdd");
  expect(/^Conv3D/.test(bias!.inputs[0]!.op.type)).toBe(!shiftsBefore);
});

test("BN-conv (SAME): the scale folds, the shift stays before the padding", async () => {
  const { graph } = await foldsAll("bn_conv_same");
  expect(nodesOf(graph).filter(([, op]) => op === "BiasAdd")).toEqual([
    ["bn/FusedBatchNorm", "BiasAdd", ["x", "conv/Conv2D_bn_offset"]],
  ]);
});

test("BN-conv (SAME) with a channel of scale 0 is refused by name", async () => {
  expect(leftOf(await fold("bn_conv_same_dead_channel"))).toEqual([
    "bn/FusedBatchNormV3: SAME padding puts zeros between it and conv/Conv2D, so its shift must stay before the padding, and cannot: channel 1 has scale 0",
  ]);
});

test("weights shared by two convs become two", async () => {
  const { graph } = await foldsAll("shared_weights");
  expect(graph.findOperation("kernel")).toBeUndefined();
  expect(graph.findOperation("Conv2D_1_weights")).toBeDefined();
});

test("conv with a second consumer is refused by name, and cloned when asked", async () => {
  expect(leftOf(await fold("second_consumer"))).toEqual([
    "bn/FusedBatchNorm: Relu_1 takes the result of Conv2D 'conv/Conv2D', too, which folding would change; with cloning on, conv/Conv2D is computed twice",
  ]);
  const { graph } = await foldsAll("second_consumer", { clone: true });
  expect(graph.operation("conv/Conv2D_folded").inputs[1]!.op.name).toBe("conv/Conv2D_folded_weights");
  expect(graph.findOperation("conv/kernel")).toBeDefined();
});

test("two BN on one conv are refused by name, and fold into two convolutions when asked", async () => {
  expect(leftOf(await fold("two_norms")).length).toBe(2);
  const { graph } = await foldsAll("two_norms", { clone: true });
  expect(graph.operations.filter((op) => op.type === "Conv2D").length).toBe(2);
  expect(graph.findOperation("conv/kernel")).toBeUndefined();
});

test("bias output with a second consumer keeps its BiasAdd", async () => {
  expect(leftOf(await fold("bias_second_consumer"))[0]).toContain(
    "Relu_1 takes the result of BiasAdd 'BiasAdd', too",
  );
  const { graph } = await foldsAll("bias_second_consumer", { clone: true });
  expect(graph.operation("BiasAdd").inputs[1]!.op.name).toBe("conv/bias/read");
});

test("is_training=True is refused by name, fused and in small ops", async () => {
  for (const [name, at] of [
    ["is_training", "bn/FusedBatchNorm: is_training is true"],
    ["layer_training", "bn/FusedBatchNormV3: is_training is true"],
    ["layer_training_small_ops", "bn/batchnorm/Rsqrt: it computes the statistics of its batch"],
  ] as const) {
    expect(leftOf(await fold(name))[0]).toContain(at);
  }
});

test("is_training placeholder (Switch/Merge cond) is refused by name, and folds once the flag is constant", async () => {
  expect(leftOf(await fold("placeholder_flag"))[0]).toContain("decided by 'bn/cond/pred_id' in each run");
  expect(leftOf(await fold("placeholder_flag_small_ops"))[0]).toContain("make the training flag constant");
  expect(leftOf(await fold("placeholder_flag_functions"))[0]).toContain(
    "bn/cond: StatelessIf calls functions",
  );
  const placeholders = { is_training: scalar(false, "bool") };
  for (const name of ["placeholder_flag", "placeholder_flag_small_ops"]) {
    const solved = after(name, ["placeholders-to-constants"], { placeholders });
    expect(solved.operations.some((op) => op.type === "Switch" || op.type === "Merge")).toBe(false);
    await foldsAll(name, {}, solved);
  }
});

test("a V2-frozen Keras 3 model folds, whatever its NoOp waits for", async () => {
  const { graph, report } = await foldsAll("keras3");
  expect(report.done.length).toBe(4);
  const clean = after("keras3", FOLDING);
  expect(await errorOf(clean, "keras3")).toBeLessThan(TOLERANCE);
  expect(clean.operations.some((op) => op.type === "NoOp" || op.name.includes("gamma"))).toBe(false);
  expect(clean.operations.length).toBeLessThan(graph.operations.length);
});

test("a V2-frozen Keras 3 model of volumes folds", async () => {
  const { report } = await foldsAll("keras3_volumes");
  expect(report.done.length).toBe(2);
});

test("checks behind every op (add_check_numerics_ops) hinder nothing once they are out", async () => {
  expect(leftOf(await fold("all_checks"))[0]).toContain(
    "others take the statistics that bn/FusedBatchNorm gives",
  );
  const clean = after("all_checks", FOLDING);
  expect(normsIn(clean)).toEqual([]);
  expect(await errorOf(clean, "all_checks")).toBeLessThan(TOLERANCE);
});

test("statistics that others take stay", async () => {
  expect(leftOf(await fold("statistics_taken"))[0]).toContain("others take the statistics");
});

test("folded ranges: per channel before and after, and which layer int8 cannot hold", async () => {
  const { ranges } = await foldsAll("conv_bn");
  const [r] = ranges;
  expect(r!.channels).toBe(4);
  expect(r!.before.max.length).toBe(4);
  expect(r!.after.widest / r!.after.narrowest).toBeCloseTo(r!.after.dynamicRange);
  expect(r!.hazard).toBe(false);
  const before = tensor([1, 1, 1, 1], "float32", [1, 1, 2, 2]);
  const after = tensor([1, 0.01, -1, 0.02], "float32", [1, 1, 2, 2]);
  const wide = rangeReport({ layer: "c", what: "", before, after, axes: [3], scale: null });
  expect([wide.before.dynamicRange, wide.after.dynamicRange, wide.levels, wide.hazard]).toEqual([
    1,
    expect.closeTo(50),
    2.5,
    true,
  ]);
});
