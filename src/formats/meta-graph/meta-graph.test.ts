import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type CondContext, cond, Graph, type Operation, type Output } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { CondContextDefSchema } from "../../proto/control-flow.gen.ts";
import { type MetaGraphDef, MetaGraphDefSchema, SaverDefSchema } from "../../proto/meta-graph.gen.ts";
import { VariableDefSchema } from "../../proto/variable.gen.ts";
import {
  formatMetaGraph,
  parseMetaGraph,
  readMetaGraph,
  toOpDef,
  type VariableRecord,
  writeCondContext,
  writeMetaGraph,
} from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/graph/", import.meta.url);
const golden = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, GOLDENS)));
const registry = CORE_OPS;
const bytes = golden("model.meta");
const decode = (b: Uint8Array): MetaGraphDef => fromBinary(MetaGraphDefSchema, b);

describe("TensorFlow's MetaGraph", () => {
  for (const [what, ops] of [
    ["with its ops known", registry],
    ["with no op known", new Map()],
  ] as const) {
    test(`comes back as it was, ${what}`, () => {
      const meta = readMetaGraph(bytes, { registry: ops });
      expect(decode(writeMetaGraph(meta))).toEqual(decode(bytes));
    });
  }

  test("is printed as Python prints it, and read from that", () => {
    const text = Buffer.from(golden("model.meta.txt")).toString();
    expect(formatMetaGraph(readMetaGraph(bytes, { registry }))).toBe(text);
    expect(decode(writeMetaGraph(parseMetaGraph(text, { registry })))).toEqual(decode(bytes));
  });

  test("has its collections decoded", () => {
    const { graph, saverDef, info } = readMetaGraph(bytes, { registry });
    const names = (key: string) => graph.getCollection<{ name: string }>(key).map((x) => x.name);
    expect(names("variables")).toEqual(["ref/w:0", "bn/gamma:0", "bn/moving_mean:0", "global_step:0"]);
    expect(names("trainable_variables")).toEqual(["ref/w:0", "bn/gamma:0"]);
    const [first] = graph.getCollection<VariableRecord>("variables");
    expect(graph.getCollection("trainable_variables")[0]).toBe(first);
    expect(first!.def.isResource).toBe(false);
    expect(graph.getCollection<Operation>("train_op")[0]!.name).toBe("sgd/train_op");
    expect(graph.getCollection<Output>("losses")[0]!.name).toBe("loss:0");
    expect(graph.getCollection("layers")).toEqual([3]);
    expect(graph.getCollection("rates")).toEqual([0.5, 2]);
    expect(graph.getCollection("notes")).toEqual(["made by TensorFlow"]);
    expect(saverDef?.restoreOpName).toBe("save/restore_all");
    expect(info.tensorflowVersion).toMatch(/^2\./);
  });

  test("knows which ops are conditional", () => {
    const { graph } = readMetaGraph(bytes, { registry });
    const [whenTrue, whenFalse] = graph.getCollection<CondContext>("cond_context");
    expect(graph.operation("cond/FusedBatchNormV3").context).toBe(whenTrue);
    expect(graph.operation("cond/FusedBatchNormV3_1").context).toBe(whenFalse);
    expect(whenTrue!.branch).toBe(1);
    expect(graph.operation("Conv2D").context).toBe(null);
  });

  test("gives variables as the caller reads them", () => {
    const { graph } = readMetaGraph(bytes, {
      registry,
      readVariable: (_, def) => ({ name: def.variableName, toProto: () => def }),
    });
    expect(decode(writeMetaGraph({ graph })).collectionDef).toEqual(decode(bytes).collectionDef);
  });

  test("may change", () => {
    const meta = readMetaGraph(bytes, { registry });
    const { graph } = meta;
    graph.addToCollection("losses", graph.output("loss:0"));
    graph.collections.delete("notes");
    const written = decode(writeMetaGraph(meta));
    expect(written.collectionDef.losses!.kind.value).toMatchObject({ value: ["loss:0", "loss:0"] });
    expect(written.collectionDef.notes).toBeUndefined();
  });
});

describe("a MetaGraph of our own", () => {
  const build = (): Graph => {
    const g = new Graph(registry);
    const x = g.add("Placeholder", [], {
      name: "x",
      attrs: { dtype: "float32", shape: { dims: [null, 2] } },
    });
    g.add("Shape", [x], { name: "shape" });
    return g;
  };

  test("has shapes, version and the OpDefs of its ops", () => {
    const graph = build();
    const def = decode(
      writeMetaGraph({ graph, saverDef: create(SaverDefSchema, { version: 2 }), info: { tags: ["serve"] } }),
    );
    expect(def.graphDef!.node[0]!.attr._output_shapes!.value.value).toMatchObject({
      shape: [{ dim: [{ size: -1n }, { size: 2n }] }],
    });
    expect(def.metaInfoDef!.tags).toEqual(["serve"]);
    expect(def.metaInfoDef!.tensorflowVersion).toBe("2.21.0");
    expect(def.metaInfoDef!.strippedOpList!.op.map((op) => op.name)).toEqual(["Placeholder", "Shape"]);
    expect(def.saverDef!.version).toBe(2);
  });

  test("holds numbers, text, ops and variables; says what it cannot hold", () => {
    const graph = build();
    graph.addToCollection("sizes", 3n);
    graph.addToCollection("rates", 0.5);
    graph.addToCollection("notes", "é");
    graph.addToCollection("ops", graph.operation("x"));
    const variable = create(VariableDefSchema, { variableName: "w:0" });
    graph.addToCollection("variables", { name: "w:0", toProto: () => variable });
    graph.addToCollection("functions", () => 1);
    const skipped: string[] = [];
    const def = decode(
      writeMetaGraph({ graph }, { onSkipped: (key, why) => skipped.push(`${key}: ${why}`) }),
    );
    const kinds = Object.fromEntries(Object.entries(def.collectionDef).map(([k, c]) => [k, c.kind.case]));
    expect(kinds).toEqual({
      notes: "bytesList",
      ops: "nodeList",
      rates: "floatList",
      sizes: "int64List",
      variables: "bytesList",
    });
    expect(def.collectionDef.variables!.kind.value).toMatchObject({
      value: [toBinary(VariableDefSchema, variable)],
    });
    expect(skipped).toHaveLength(1);
    expect(skipped[0]).toMatch(/^functions: an item is function/);
  });

  test("contexts come back", () => {
    const g = build();
    const p = g.add("Placeholder", [], { name: "p", attrs: { dtype: "bool", shape: { dims: [] } } });
    const x = g.output("x:0");
    const copy = (y: Output): Output => g.add("Identity", [y], { name: "copy" });
    const inner = () =>
      cond(
        p,
        () => copy(x),
        () => x,
      );
    cond(p, inner, () => copy(x));
    const contexts = g.getCollection<CondContext>("cond_context");
    const again = readMetaGraph(writeMetaGraph({ graph: g }), { registry }).graph;
    const read = again.getCollection<CondContext>("cond_context");
    expect(read.map((c) => writeCondContext(c))).toEqual(contexts.map((c) => writeCondContext(c)));
    const homes = (graph: Graph) => graph.operations.map((op) => `${op.name} in ${op.context?.name}`).sort();
    expect(homes(again)).toEqual(homes(g));
  });
});

describe("conditionals", () => {
  for (const name of ["simple_cond", "cond_nested", "cond_gradient_unknown", "batch_norm_cond"]) {
    test(`the contexts of ${name} are read and written as TensorFlow's`, () => {
      const hex: string[] = JSON.parse(Buffer.from(golden(`${name}.contexts.json`)).toString());
      const meta = decode(new Uint8Array(0));
      const contexts = hex.map((h) => new Uint8Array(Buffer.from(h, "hex")));
      meta.collectionDef = {
        cond_context: {
          $typeName: "tensorflow.CollectionDef",
          kind: {
            case: "bytesList",
            value: { $typeName: "tensorflow.CollectionDef.BytesList", value: contexts },
          },
        },
      };
      const graphBytes = golden(`${name}.pb`);
      // field 2 of MetaGraphDef is the graph
      const head = Uint8Array.of(0x12, ...varint(graphBytes.length));
      const file = Buffer.concat([head, graphBytes, toBinary(MetaGraphDefSchema, meta)]);
      const { graph } = readMetaGraph(file, { registry });
      const written = graph.getCollection<CondContext>("cond_context").map((c) => writeCondContext(c));
      expect(written).toEqual(contexts.map((b) => fromBinary(CondContextDefSchema, b)));
    });
  }
});

function varint(n: number): number[] {
  const bytes: number[] = [];
  for (let rest = n; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}

describe("broken files", () => {
  const broken = (change: (def: MetaGraphDef) => void): (() => unknown) => {
    const def = decode(bytes);
    change(def);
    return () => readMetaGraph(toBinary(MetaGraphDefSchema, def), { registry, file: "m.meta" });
  };

  test("without a graph", () => {
    expect(broken((def) => delete def.graphDef)).toThrow(
      "[INVALID_ARGUMENT] m.meta: MetaGraphDef has no graph_def",
    );
  });

  test("with a collection of nodes that are not there", () => {
    const change = broken((def) => {
      (def.collectionDef.losses!.kind.value as { value: string[] }).value = ["nowhere:0"];
    });
    expect(change).toThrow(
      "[NOT_FOUND] collection 'losses': The name 'nowhere:0' refers to a Tensor which does not exist.",
    );
  });

  test("with a variable that is no message", () => {
    const change = broken((def) => {
      (def.collectionDef.variables!.kind.value as { value: Uint8Array[] }).value = [Uint8Array.of(0xff)];
    });
    expect(change).toThrow("[DATA_LOSS] collection 'variables': no VariableDef");
  });

  test("truncated", () => {
    expect(() => readMetaGraph(bytes.subarray(0, 5000), { registry, file: "m.meta" })).toThrow(
      "[DATA_LOSS] m.meta: no MetaGraphDef",
    );
  });
});

test("an OpDef names its arguments as TensorFlow's", () => {
  const concat = toOpDef(CORE_OPS.get("Merge")!);
  expect(concat.inputArg[0]).toMatchObject({ name: "inputs", typeAttr: "T", numberAttr: "N" });
  expect(concat.outputArg[1]).toMatchObject({ name: "value_index", type: 3 });
  expect(concat.attr[1]).toMatchObject({ name: "N", type: "int", hasMinimum: true, minimum: 1n });
});
