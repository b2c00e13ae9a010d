/** The passes but folding, on TensorFlow's graphs and on small ones built here. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fromBytes, scalar, type Tensor, tensor } from "../../base/index.ts";
import { fromGraphDef, readGraphDef, readMessage, toGraphDef } from "../../formats/graph-def/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { type GraphDef, GraphDefSchema } from "../../proto/graph.gen.ts";
import { Session } from "../../run/index.ts";
import { freezeGraph } from "../graph/freeze.ts";
import { makeNode, typeAttr } from "./draft.ts";
import { foldBatchNorm } from "./fold-norms.ts";
import { Origins } from "./origins.ts";
import type { PassOptions } from "./pass.ts";
import { PASSES } from "./passes.ts";
import { transformGraph } from "./pipeline.ts";
import { repairGraphDef } from "./repair-graph.ts";

interface Wire {
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  readonly data: string;
}
interface Case {
  readonly outputs: readonly string[];
  readonly feeds: Readonly<Record<string, Wire>>;
  readonly results: readonly Wire[];
  readonly variables?: Readonly<Record<string, Wire>>;
  readonly inference?: Wire;
}

const GOLDENS = new URL("../../../tests/goldens/transform/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly cases: Readonly<Record<string, Case>>;
};
const fromWire = ({ dtype, shape, data }: Wire): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(data, "base64")));
const bytesOf = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, GOLDENS)));
const open = (file: string): Graph => readGraphDef(bytesOf(file), { registry: CORE_OPS, file });
const messageOf = (file: string): GraphDef => readMessage(GraphDefSchema, bytesOf(file), file);

async function run(graph: Graph, name: string, feeds = cases[name]!.feeds): Promise<Tensor> {
  await using session = new Session(graph);
  const known = Object.entries(feeds).filter(([x]) => graph.findOperation(x.slice(0, -2)) !== undefined);
  return (await session.run("out:0", {
    feeds: Object.fromEntries(known.map(([x, t]) => [x, fromWire(t)])),
  })) as Tensor;
}

function expectNear(a: Tensor, b: Tensor): void {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  expect(x.reduce((n, v, i) => Math.max(n, Math.abs(v - y[i]!)), 0)).toBeLessThan(1e-5);
}

const apply = (graph: Graph, pass: string, options: PassOptions = {}) =>
  PASSES.get(pass)!.run(graph, { outputs: ["out"], ...options });
const names = (graph: Graph): string[] => graph.operations.map((op) => op.name);

function frozen(name: string, graph: Graph): Graph {
  const values = cases[name]!.variables!;
  return freezeGraph(graph, ["out"], (v) => (values[v] === undefined ? null : fromWire(values[v])));
}

test.each(["layer_training", "layer_training_small_ops"])(
  "set-inference: %s takes its moving statistics, found by its update ops, and folds",
  async (name) => {
    const { graph, report } = apply(open(`${name}.graph.pb`), "set-inference");
    expect(report.left).toEqual([]);
    expect(report.done.length).toBe(1);
    const still = frozen(name, graph);
    expectNear(await run(still, name), fromWire(cases[name]!.inference!));
    const folded = foldBatchNorm(still, { outputs: ["out"] });
    expect([folded.report.done.length, folded.report.left]).toEqual([1, []]);
    expectNear(await run(folded.graph, name), fromWire(cases[name]!.inference!));
  },
);

test("freezing inlines functions: a conditional on the training flag is a Switch", async () => {
  const name = "placeholder_flag_functions";
  const graph = frozen(name, open(`${name}.graph.pb`));
  expect(graph.operations.some((op) => op.type === "StatelessIf" || op.type === "If")).toBe(false);
  expect(graph.operations.some((op) => op.type === "Merge")).toBe(true);
  expectNear(await run(graph, name), fromWire(cases[name]!.results[0]!));
});

test("set-inference takes dropout out, as TensorFlow builds it and has built it", async () => {
  const { graph, report } = apply(open("dropout.pb"), "set-inference");
  expect(report.done.map((d) => d.at).sort()).toEqual(["first/SelectV2", "second", "third"]);
  expectNear(await run(graph, "dropout"), fromWire(cases.dropout!.inference!));
  expect(apply(graph, "strip-unused").graph.operations.some((op) => op.type === "RandomUniform")).toBe(false);
});

test("set-inference says where the statistics are lost", () => {
  const { report } = apply(open("layer_training_small_ops.pb"), "set-inference");
  expect(report.left).toEqual([
    {
      at: "bn/batchnorm/Rsqrt",
      why: "its moving statistics are not in this graph; run set-inference before freezing, on the graph that has them",
    },
  ]);
});

test("repair: AssignSub on a Const becomes Sub, and what waits for it runs (float_ref)", async () => {
  const broken = messageOf("update_ops_awaited.pb");
  expect(() => fromGraphDef(broken, { registry: CORE_OPS })).toThrow("incompatible with expected float_ref.");
  const { def, report } = repairGraphDef(broken, CORE_OPS);
  expect(report.left).toEqual([]);
  expect(report.done.map((d) => d.what)).toContain("AssignSub on a constant is Sub");
  const graph = fromGraphDef(def, { registry: CORE_OPS });
  expectNear(await run(graph, "update_ops_awaited"), fromWire(cases.update_ops_awaited!.results[0]!));
  // the batch's statistics are still taken; with the moving ones it is the network in inference
  const inference = apply(graph, "set-inference").graph;
  expectNear(await run(inference, "update_ops_awaited"), fromWire(cases.update_ops_awaited!.inference!));
});

test("repair: RefSwitch on a Const becomes Switch; missing attributes follow from inputs, unknown ones go", async () => {
  const g = new Graph(CORE_OPS);
  const x = g.constant([1, 2], { name: "w" });
  const flag = g.constant(true, { dtype: "bool", name: "flag" });
  const [, taken] = g.addOp("Switch", [x, flag], { name: "s" }).outputs;
  g.add("Identity", [taken!], { name: "out" });
  const def = toGraphDef(g);
  const at = (name: string) => def.node.findIndex((n) => n.name === name);
  def.node[at("s")] = makeNode({ ...def.node[at("s")]!, op: "RefSwitch" });
  def.node[at("out")] = makeNode({
    name: "out",
    op: "Identity",
    input: ["s:1", "^gone"],
    attr: { half_pixel_centers: typeAttr("bool") },
  });
  const { def: fixed, report } = repairGraphDef(def, CORE_OPS);
  expect(report.left).toEqual([]);
  expect(report.done.map((d) => `${d.at}: ${d.what}`)).toEqual([
    "out: control edges from nodes that are not there dropped",
    "out: attr half_pixel_centers dropped: Identity has none; attr T from its inputs",
    "s: RefSwitch on a constant is Switch",
  ]);
  await using session = new Session(fromGraphDef(fixed, { registry: CORE_OPS }));
  expect(((await session.run("out:0")) as Tensor).data).toEqual(Float32Array.of(1, 2));
});

test("repair leaves a sound graph as it is, and names what it cannot mend", () => {
  const sound = messageOf("conv_bn.pb");
  expect(repairGraphDef(sound, CORE_OPS).def).toBe(sound);
  const lost = toGraphDef(open("conv_bn.pb"));
  const { report } = repairGraphDef(
    { ...lost, node: lost.node.filter((n) => n.name !== "conv/Conv2D") },
    CORE_OPS,
  );
  expect(report.left).toEqual([
    { at: "bn/FusedBatchNorm", why: "its input 'conv/Conv2D' is not in the graph" },
  ]);
});

function small(): Graph {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [2, 3] } } });
  const two = g.add("AddV2", [g.constant(1, { name: "one" }), g.constant(1, { name: "uno" })], {
    name: "two",
  });
  const same = g.add("Identity", [g.add("StopGradient", [x], { name: "stop" })], { name: "same" });
  const shape = g.add("Shape", [same], { name: "shape" });
  const y = g.add("Mul", [same, two], {
    name: "y",
    controlInputs: [g.addOp("NoOp", [], { name: "wait", controlInputs: [two.op] })],
  });
  g.add("Reshape", [g.add("Relu", [y], { name: "r1" }), shape], { name: "out" });
  g.add("Relu", [y], { name: "r2" });
  return g;
}

test("strip-unused keeps what the outputs need, and cuts at inputs", () => {
  const { graph, report } = apply(small(), "strip-unused", { inputs: ["y"] });
  expect(names(graph)).toEqual(["x", "stop", "same", "shape", "y", "r1", "out"]);
  expect(graph.operation("y").type).toBe("Placeholder");
  expect(graph.operation("y").outputs[0]!.shape).toEqual([2, 3]);
  expect(report.done.map((d) => d.at)).toContain("r2");
  expect(() => apply(small(), "strip-unused", { outputs: ["out:0"] })).toThrow(
    "[NOT_FOUND] out:0: out:0 is not in graph; give the node's name without ':0'",
  );
});

test("fold-constants computes what follows from constants, and from static shapes", () => {
  const { graph } = apply(small(), "fold-constants");
  expect(graph.operation("two").type).toBe("Const");
  expect((graph.operation("two").attrs.value as unknown as Tensor).data).toEqual(Float32Array.of(2));
  expect((graph.operation("shape").attrs.value as unknown as Tensor).data).toEqual(Int32Array.of(2, 3));
  expect(names(graph)).not.toContain("one");
});

test("remove-training-nodes takes out Identity, StopGradient and harmless control edges", async () => {
  const { graph, report } = apply(small(), "remove-training-nodes");
  expect(names(graph)).toEqual(["x", "one", "uno", "two", "shape", "y", "r1", "out", "r2"]);
  expect(report.pass).toBe("remove-training-nodes");
  await using session = new Session(graph);
  expect(
    (
      (await session.run("out:0", {
        feeds: {
          x: tensor([
            [1, 2, 3],
            [4, 5, 6],
          ]),
        },
      })) as Tensor
    ).data,
  ).toEqual(Float32Array.of(2, 4, 6, 8, 10, 12));
});

test("remove-identity leaves outputs, branches that others wait for, reads of variables and what others are colocated with", () => {
  const g = new Graph(CORE_OPS);
  const flag = g.add("Placeholder", [], { name: "flag", attrs: { dtype: "bool", shape: { dims: [] } } });
  const [, on] = g.addOp("Switch", [flag, flag], { name: "s" }).outputs;
  const pivot = g.add("Identity", [on!], { name: "pivot" });
  g.add("Const", [], { name: "c", attrs: { dtype: "float32", value: scalar(1) }, controlInputs: [pivot.op] });
  const v = g.add("VariableV2", [], { name: "v", attrs: { dtype: "float32", shape: { dims: [] } } });
  const read = g.add("Identity", [v], { name: "v/read" });
  const a = g.add("Identity", [read], { name: "a" });
  g.add("Identity", [a], { name: "b", attrs: { _class: ["loc:@a"] } });
  g.add("Identity", [a], { name: "out" });
  const { graph, report } = apply(g, "remove-identity");
  expect(report.left.map((l) => `${l.at}: ${l.why}`)).toEqual([
    "pivot: others wait for it, and it runs only where Switch 's' leads to it",
    "v/read: it reads a variable",
    "a: others are colocated with it; clear-devices frees it",
    "out: it is an output",
  ]);
  expect(names(graph)).not.toContain("b");
});

test("merge-duplicates makes equal nodes one; constants of different variables stay", () => {
  expect(names(apply(small(), "merge-duplicates").graph)).not.toContain("uno");
  expect(names(apply(small(), "merge-duplicates").graph)).not.toContain("r2");
  const g = small();
  const origins = new Origins(CORE_OPS, (c) => ({ key: c.name, slice: "", name: c.name }));
  expect(names(apply(g, "merge-duplicates", { origins }).graph)).toContain("uno");
});

test("strip-default-attrs: what an older TensorFlow does not know goes", () => {
  const { graph } = apply(open("is_training.pb"), "strip-default-attrs");
  const node = toGraphDef(graph).node.find((n) => n.op === "FusedBatchNormV3")!;
  expect(Object.keys(node.attr).sort()).toEqual(["T", "U", "epsilon"]);
});

test("add-default-attrs gives back what strip-default-attrs took", () => {
  const stripped = apply(open("is_training.pb"), "strip-default-attrs").graph;
  const norm = (graph: Graph) => toGraphDef(graph).node.find((n) => n.op === "FusedBatchNormV3")!;
  const { graph } = apply(stripped, "add-default-attrs");
  expect(Object.keys(norm(graph).attr).sort()).toEqual([
    "T",
    "U",
    "data_format",
    "epsilon",
    "exponential_avg_factor",
    "is_training",
  ]);
});

test("sort-by-execution-order puts nodes behind their inputs", () => {
  const def = toGraphDef(small());
  const graph = fromGraphDef({ ...def, node: [...def.node].reverse() }, { registry: CORE_OPS });
  const sorted = toGraphDef(apply(graph, "sort-by-execution-order").graph).node;
  const place = new Map(sorted.map((n, i) => [n.name, i]));
  for (const [i, n] of sorted.entries())
    for (const x of n.input) expect(place.get(x.replace("^", ""))).toBeLessThan(i);
});

test("8,000 nodes in a chain pass through every pass", () => {
  const g = new Graph(CORE_OPS);
  let x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [1, 4, 4, 2] } } });
  const w = g.constant(
    { dtype: "float32", shape: [1, 1, 2, 2], data: Float32Array.of(1, 2, 3, 4) },
    { name: "w" },
  );
  const s = g.constant([2, 3], { name: "s" });
  for (let i = 0; i < 4000; i++) {
    x = g.add("Identity", [g.add("StopGradient", [x], { name: `stop${i}` })], { name: `same${i}` });
    if (i % 40 === 0)
      x = g.add(
        "Mul",
        [g.add("Conv2D", [x, w], { name: `c${i}`, attrs: { strides: [1, 1, 1, 1], padding: "SAME" } }), s],
        { name: `m${i}` },
      );
  }
  g.add("Identity", [x], { name: "out" });
  const origins = new Origins(CORE_OPS, (c) => ({ key: c.name, slice: "", name: c.name }));
  const folded = foldBatchNorm(apply(g, "remove-identity", { origins }).graph, { outputs: ["out"], origins });
  expect(folded.report.done.length).toBe(100);
  for (const [name, { run }] of PASSES) if (name !== "rename") run(g, { outputs: ["out"], origins });
});

test("clear-devices forgets devices and colocations", () => {
  const g = small();
  g.operation("y").device = "/device:GPU:0";
  g.operation("r1").setAttr("_class", ["loc:@y"]);
  const { graph } = apply(g, "clear-devices");
  expect(graph.operations.every((op) => op.device === "" && op.attrs._class === undefined)).toBe(true);
});

test("rename: inputs follow, outputs keep their names, and two nodes cannot have one name", () => {
  const { graph } = apply(small(), "rename", { rename: [[/^/, "model/"]] });
  expect(graph.operation("model/y").inputs[0]!.op.name).toBe("model/same");
  expect(graph.findOperation("out")).toBeDefined();
  expect(() => apply(small(), "rename", { rename: [[/^r\d/, "r"]] })).toThrow(
    "'r1' and 'r2' would both be 'r'",
  );
});

test("round-weights keeps so many values", () => {
  const g = new Graph(CORE_OPS);
  const w = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
  g.add("Identity", [g.constant({ dtype: "float32", shape: [1000], data: w }, { name: "w" })], {
    name: "out",
  });
  const { graph } = apply(g, "round-weights", { steps: 16 });
  const data = (graph.operation("w").attrs.value as unknown as Tensor).data as Float32Array;
  expect(new Set(data).size).toBe(16);
  expect(data.every((v, i) => Math.abs(v - w[i]!) <= 1 / 16 + 1e-6)).toBe(true);
});

test("solve-conditionals: one branch goes, an unknown predicate stays", async () => {
  const placeholders = { is_training: scalar(true, "bool") };
  const { graph, report } = apply(open("placeholder_flag.pb"), "placeholders-to-constants", { placeholders });
  expect(report.left).toEqual([]);
  expect(
    graph.operations.filter((op) => op.type === "FusedBatchNormV3").map((op) => op.attrs.is_training),
  ).toEqual([true]);
  const open2 = apply(open("placeholder_flag.pb"), "solve-conditionals");
  expect(open2.report.done).toEqual([]);
  expect(open2.report.left[0]!.why).toBe("'bn/cond/pred_id' decides it in each run");
  expect(() => apply(small(), "placeholders-to-constants", { placeholders: { y: scalar(1) } })).toThrow(
    "Mul is no placeholder",
  );
});

test("solve-conditionals takes branches that are never taken out of a Merge of many", async () => {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [] } } });
  const open = g.add("Placeholder", [], { name: "open", attrs: { dtype: "bool", shape: { dims: [] } } });
  const never = g.addOp("Switch", [x, g.constant(false, { dtype: "bool", name: "never" })], { name: "s" });
  const either = g.addOp("Switch", [x, open], { name: "t" });
  const branches = [
    g.add("Neg", [never.outputs[1]!], { name: "a" }),
    ...either.outputs.map((y, i) => g.add("Abs", [y], { name: `b${i}` })),
  ];
  g.addOp("Merge", [branches], { name: "out" });
  const { graph } = apply(g, "solve-conditionals");
  expect(graph.operation("out").inputs.map((y) => y.op.name)).toEqual(["b0", "b1"]);
  expect(graph.findOperation("a")).toBeUndefined();
});

test("a pipeline proves each pass on random inputs, and tells the largest error of each output", async () => {
  const graph = open("keras3.pb");
  const outputs = cases.keras3!.outputs;
  const t = await transformGraph(graph, {
    passes: [
      "remove-control-residue",
      "remove-identity",
      "fold-batch-norm",
      "merge-duplicates",
      "strip-default-attrs",
    ],
    outputs,
  });
  expect(t.passes.map((p) => p.pass)).toContain("fold-batch-norm");
  for (const { proof, unproven } of t.passes) {
    if (proof === null) expect(unproven).toBe("nothing changed");
    else {
      expect(proof.outputs.map((o) => o.name)).toEqual([`${outputs[0]}:0`]);
      expect(proof.maxRelDifference).toBeLessThan(1e-5);
    }
  }
  expect(t.proof!.inputs).toEqual([{ name: "x:0", dtype: "float32", shape: [2, 8, 8, 3] }]);
  await expect(transformGraph(graph, { passes: ["fold-batchnorm"], outputs })).rejects.toThrow(
    "no pass is called 'fold-batchnorm'; did you mean fold-batch-norm",
  );
});

test("a pipeline feeds what it settles: the placeholder that becomes a constant", async () => {
  const placeholders = { is_training: scalar(true, "bool") };
  const t = await transformGraph(open("placeholder_flag.pb"), {
    passes: ["placeholders-to-constants", "fold-batch-norm"],
    outputs: ["out"],
    placeholders,
  });
  expect(t.proof!.maxAbsDifference).toBeLessThan(1e-5);
  expect(t.passes[1]!.left[0]!.why).toContain("is_training is true");
});
