/** Freezing graph files with values from containers, and the traps of TensorFlow's freeze_graph. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { saveCheckpoint } from "../../formats/checkpoint/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { FOLDING } from "../transform/index.ts";
import { freezeGraph } from "./freeze.ts";
import { type FreezeFileOptions, freezeFile } from "./freeze-file.ts";
import type { GraphFile } from "./open-graph.ts";
import { savedGraph } from "./saved-model.ts";

const folder = mkdtempSync(join(tmpdir(), "varscope-freeze-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const bare = (graph: Graph): GraphFile => ({
  path: "g.pb",
  format: "graph-def",
  graph,
  meta: null,
  checkpoint: null,
});

async function save(name: string, values: Readonly<Record<string, Tensor>>): Promise<string> {
  await saveCheckpoint(
    at(name),
    Object.entries(values).map(([key, t]) => ({ name: key, tensor: t })),
  );
  return at(name);
}

async function run(
  graph: Graph,
  feeds: Readonly<Record<string, Tensor>> = {},
  output = "out:0",
): Promise<number[]> {
  await using session = new Session(graph);
  return toNumbers((await session.run(output, { feeds })) as Tensor);
}

const types = (graph: Graph): string[] => graph.operations.map((op) => `${op.name}:${op.type}`);

function handle(g: Graph, name: string, dims: number[]) {
  return g.add("VarHandleOp", [], { name, attrs: { dtype: "float32", shape: { dims }, shared_name: name } });
}
const reading = (g: Graph, h: ReturnType<typeof handle>, name: string) =>
  g.add("ReadVariableOp", [h], { name, attrs: { dtype: "float32" } });
const placeholder = (g: Graph, name: string, dims: (number | null)[], dtype = "float32") =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims } } });

test("a bare GraphDef with resource variables freezes (TensorFlow: IndexError: tuple index out of range)", async () => {
  const g = new Graph(CORE_OPS);
  const [w, table] = [handle(g, "w", [2, 2]), handle(g, "table", [3, 2])];
  const rows = g.add("ResourceGather", [table, placeholder(g, "ids", [null], "int32")], {
    name: "rows",
    attrs: { dtype: "float32" },
  });
  g.add("MatMul", [rows, reading(g, w, "read")], { name: "out" });
  const values = {
    w: tensor([
      [1, 2],
      [3, 4],
    ]),
    table: tensor([
      [1, 0],
      [0, 1],
      [1, 1],
    ]),
  };
  const checkpoint = await save("bare", values);
  const {
    graph,
    variables,
    transformed: { proof },
  } = await freezeFile(bare(g), ["out"], { checkpoint });
  expect(variables).toEqual(["w", "table"]);
  expect(proof!.maxAbsDifference).toBe(0);
  expect(types(graph).sort()).toEqual([
    "ids:Placeholder",
    "out:MatMul",
    "read:Identity",
    "rows/axis:Const",
    "rows:GatherV2",
    "table:Const",
    "w:Const",
  ]);
  expect(await run(graph, { "ids:0": tensor([2, 0], "int32") })).toEqual([4, 6, 1, 2]);
});

test("variables read inside a loop of TensorFlow 1 become constants there", async () => {
  const g = new Graph(CORE_OPS);
  const h = handle(g, "w", []);
  const enter = (x: ReturnType<typeof handle>, name: string, isConstant = false) =>
    g.add("Enter", [x], { name, attrs: { frame_name: "while", is_constant: isConstant } });
  const start = enter(placeholder(g, "x", []), "while/Enter");
  const inner = enter(h, "while/handle", true);
  const merge = g.addOp("Merge", [[start, start]], { name: "while/Merge" });
  const less = g.add("Less", [merge.outputs[0]!, g.constant(100, { name: "while/limit" })], {
    name: "while/Less",
  });
  const cond = g.add("LoopCond", [less], { name: "while/LoopCond" });
  const [done, more] = g.addOp("Switch", [merge.outputs[0]!, cond], { name: "while/Switch" }).outputs;
  const product = g.add("Mul", [more!, reading(g, inner, "while/mul/ReadVariableOp")], { name: "while/mul" });
  merge.replaceInput(1, g.add("NextIteration", [product], { name: "while/NextIteration" }));
  g.operation("while/limit").addControlInputs([merge]);
  g.add("Exit", [done!], { name: "out" });
  const {
    graph,
    transformed: { proof },
  } = await freezeFile(bare(g), ["out"], {
    checkpoint: await save("loop", { w: tensor(3) }),
  });
  expect(graph.operation("while/mul/ReadVariableOp").type).toBe("Identity");
  expect(graph.operation("while/handle").outputs[0]!.dtype).toBe("float32");
  expect(proof!.outputs.map((o) => o.name)).toEqual(["out:0"]);
  expect(await run(graph, { "x:0": tensor(2) })).toEqual([162]);
});

test("conditionals on references become conditionals on values", async () => {
  const g = new Graph(CORE_OPS);
  const v = g.add("VariableV2", [], { name: "v", attrs: { dtype: "float32", shape: { dims: [2] } } });
  const flag = placeholder(g, "flag", [], "bool");
  const [off, on] = g.addOp("RefSwitch", [v, flag], { name: "s" }).outputs;
  const twice = g.add("AddV2", [on!, on!], { name: "twice" });
  g.addOp("Merge", [[g.add("Identity", [off!], { name: "same" }), twice]], { name: "out" });
  const { graph } = await freezeFile(bare(g), ["out"], {
    checkpoint: await save("cond", { v: tensor([1, 2]) }),
  });
  expect(graph.operation("s").type).toBe("Switch");
  expect(await run(graph, { "flag:0": tensor(true) })).toEqual([2, 4]);
});

describe("partitioned variables from a bare GraphDef (TensorFlow refuses them)", () => {
  test("parts are found in the checkpoint, in their order", async () => {
    const g = new Graph(CORE_OPS);
    const parts = [0, 1].map((i) =>
      g.add("VariableV2", [], {
        name: `w/part_${i}`,
        attrs: { dtype: "float32", shape: { dims: [i + 1, 2] } },
      }),
    );
    const reads = parts.map((p, i) => g.add("Identity", [p], { name: `w/part_${i}/read` }));
    g.add("ConcatV2", [reads, g.constant(0, { dtype: "int32", name: "axis" })], { name: "out" });
    const slices = ["3 2 0,1:0,2", "3 2 1,2:0,2"];
    const tensors = [
      tensor([[1, 2]]),
      tensor([
        [3, 4],
        [5, 6],
      ]),
    ];
    await saveCheckpoint(
      at("parts"),
      tensors.map((t, i) => ({ name: "w", slice: slices[i]!, tensor: t })),
    );
    const { graph } = await freezeFile(bare(g), ["out"], { checkpoint: at("parts") });
    expect(await run(graph)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

function two(): Graph {
  const g = new Graph(CORE_OPS);
  const [a, b] = ["a", "b"].map((name) => {
    const v = g.add("VariableV2", [], { name, attrs: { dtype: "float32", shape: { dims: [2] } } });
    const read = g.add("Identity", [v], { name: `${name}/read` });
    g.add("Assign", [v, g.constant([7, 8], { name: `${name}/initial` })], { name: `${name}/Assign` });
    return read;
  });
  g.add("AddV2", [a!, b!], { name: "out" });
  return g;
}

test("initializer nodes give what the checkpoint lacks", async () => {
  const checkpoint = await save("half", { a: tensor([1, 2]) });
  const freeze = (options: FreezeFileOptions) => freezeFile(bare(two()), ["out"], { checkpoint, ...options });
  await expect(freeze({})).rejects.toThrow(`[NOT_FOUND] ${checkpoint}: Key b not found in checkpoint`);
  expect(await run((await freeze({ initializerNodes: ["b/Assign"] })).graph)).toEqual([8, 10]);
});

test("deny and allow lists: the others stay variables", async () => {
  const checkpoint = await save("both", { a: tensor([1, 2]), b: tensor([3, 4]) });
  for (const lists of [{ deny: ["b"] }, { allow: ["a"] }]) {
    const { graph, variables, transformed } = await freezeFile(bare(two()), ["out"], {
      checkpoint,
      ...lists,
    });
    expect(variables).toEqual(["a"]);
    expect(transformed.proof!.maxAbsDifference).toBe(0);
    expect([graph.operation("a").type, graph.operation("b").type]).toEqual(["Const", "VariableV2"]);
  }
});

test("says what freeze_graph says", async () => {
  await expect(freezeFile(bare(two()), [])).rejects.toThrow(
    "You need to supply the name of a node to --output_node_names.",
  );
  await expect(freezeFile(bare(two()), ["out"], { checkpoint: "zz" })).rejects.toThrow(
    "Input checkpoint 'zz' doesn't exist!",
  );
  expect(() => freezeGraph(two(), ["out:0"], () => null)).toThrow("out:0 is not in graph");
  expect(() => freezeGraph(two(), "out" as never, () => null)).toThrow(
    "dest_nodes must be an iterable of strings",
  );
});

test("clearDevices forgets devices and colocations; colocations with what is gone never stay", async () => {
  const g = two();
  g.operation("out").device = "/job:ps/task:0";
  g.operation("out").setAttr("_class", ["loc:@a"]);
  g.operation("a/read").setAttr("_class", ["loc:@a/Assign"]);
  const checkpoint = await save("devices", { a: tensor([1, 2]), b: tensor([3, 4]) });
  const kept = (await freezeFile(bare(g), ["out"], { checkpoint })).graph;
  expect(kept.operation("out").attrs._class).toEqual(["loc:@a"]);
  expect(kept.operation("a/read").attrs._class).toBeUndefined();
  const { graph } = await freezeFile(bare(g), ["out"], { checkpoint, clearDevices: true });
  expect(graph.operations.every((op) => op.device === "" && op.attrs._class === undefined)).toBe(true);
});

test("a function-based SavedModel of Keras 3 freezes and folds: calls are inlined, the output keeps its name", async () => {
  const model = new URL("../../../tests/goldens/healthy/saved_model_keras3", import.meta.url).pathname;
  const file = await savedGraph(model);
  const { graph, transformed } = await freezeFile(file, ["StatefulPartitionedCall:0"], {
    passes: FOLDING,
  });
  expect(graph.operation("StatefulPartitionedCall").type).toBe("Identity");
  expect(graph.functions.size).toBe(0);
  expect(graph.operations.some((op) => op.type === "NoOp" || op.type === "Rsqrt")).toBe(false);
  expect(transformed.passes.find((p) => p.pass === "fold-batch-norm")!.done.length).toBe(2);
  expect(transformed.proof!.maxRelDifference).toBeLessThan(1e-5);
});

test("a SavedModel of TensorFlow 1 freezes by its signature's output", async () => {
  const model = new URL("../../../tests/goldens/healthy/saved_model_tf1", import.meta.url).pathname;
  const {
    graph,
    transformed: { proof },
  } = await freezeFile(await savedGraph(model), ["scores"], { passes: FOLDING });
  expect(proof!.maxRelDifference).toBeLessThan(1e-5);
  expect(graph.operations.some((op) => op.type.startsWith("FusedBatchNorm"))).toBe(false);
});
