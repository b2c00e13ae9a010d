import { readdirSync, readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { getElement, isVarscopeError, sizeOf, type Tensor } from "../../base/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { type GraphDef, GraphDefSchema } from "../../proto/graph.gen.ts";
import { TensorProtoSchema } from "../../proto/tensor.gen.ts";
import {
  formatGraphDef,
  fromGraphDef,
  parseGraphDef,
  readGraphDef,
  readTensorProto,
  toGraphDef,
  writeGraphDef,
  writeTensorProto,
} from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/graph/", import.meta.url);
const golden = (name: string): Uint8Array => readFileSync(new URL(name, GOLDENS));
const registry = CORE_OPS;

type Nodes = NonNullable<MessageInitShape<typeof GraphDefSchema>["node"]>;
const graphOf = (...node: Nodes): Graph => fromGraphDef(create(GraphDefSchema, { node }), { registry });
const type = (code: number) => ({ value: { case: "type" as const, value: code } });

/** The sentence of the error that `body` throws. */
function errorOf(body: () => unknown): string {
  try {
    body();
  } catch (e) {
    if (isVarscopeError(e)) return e.message;
    throw e;
  }
  return "no error";
}

describe("round trips", () => {
  for (const file of readdirSync(GOLDENS).filter((f) => f.endsWith(".pb"))) {
    test(`${file} comes back byte for byte`, () => {
      const bytes = golden(file);
      // upb shuffles maps with integer keys (argument attributes of functions), JavaScript sorts them: no byte else may differ
      const wanted = Buffer.from(toBinary(GraphDefSchema, fromBinary(GraphDefSchema, bytes)));
      if (file !== "library.pb") expect(wanted.equals(bytes)).toBe(true);
      expect(Buffer.from(writeGraphDef(readGraphDef(bytes, { registry }))).equals(wanted)).toBe(true);
      expect(Buffer.from(writeGraphDef(readGraphDef(bytes, { registry: new Map() }))).equals(wanted)).toBe(
        true,
      );
    });

    test(`${file} survives text`, () => {
      const bytes = golden(file);
      const text = formatGraphDef(readGraphDef(bytes, { registry }));
      const again = fromBinary(GraphDefSchema, writeGraphDef(parseGraphDef(text, { registry })));
      expect(again).toEqual(fromBinary(GraphDefSchema, new Uint8Array(bytes)));
    });
  }

  test("text is printed as Python prints it", () => {
    expect(formatGraphDef(readGraphDef(golden("strange.pb"), { registry }))).toBe(
      Buffer.from(golden("strange.pbtxt")).toString(),
    );
  });

  test("a changed attribute is written, the rest of the node as it was", () => {
    const int = { value: { case: "i" as const, value: 2n ** 60n } };
    const def = create(GraphDefSchema, {
      node: [
        { name: "c", op: "NoSuchOp", attr: { big: int, T: type(1), f: { value: { case: "f", value: 2 } } } },
      ],
    });
    const unknown = [{ no: 99, wireType: 0, data: Uint8Array.of(5) }];
    def.node[0]!.$unknown = unknown;
    const graph = fromGraphDef(def, { registry });
    const op = graph.operation("c");
    expect(op.attrs).toEqual({ big: 2n ** 60n, T: "float32", f: 2 });
    op.setAttr("f", 3);
    op.setAttr("T", "int32");
    const [written] = toGraphDef(graph).node;
    expect(written!.attr.f!.value).toEqual({ case: "f", value: 3 });
    expect(written!.attr.T!.value).toEqual({ case: "type", value: 3 });
    expect(written!.attr.big!.value).toEqual({ case: "i", value: 2n ** 60n });
    expect(written!.$unknown).toEqual(unknown);
  });

  test("a default that the file leaves out is there, and stays out of the file", () => {
    const graph = graphOf(
      { name: "x", op: "Placeholder", attr: { dtype: type(1) } },
      { name: "s", op: "Shape", input: ["x"], attr: { T: type(1) } },
    );
    const op = graph.operation("s");
    expect(op.attrs.out_type).toBe("int32");
    op.setAttr("_mark", true);
    expect(Object.keys(toGraphDef(graph).node[1]!.attr)).toEqual(["T", "_mark"]);
  });

  test("functions, their gradients and versions are kept", () => {
    const graph = readGraphDef(golden("library.pb"), { registry });
    expect([...graph.functions.keys()].sort()).toEqual(["cube", "cube_grad", "twice"]);
    expect(graph.functionGradients).toHaveLength(1);
    expect(graph.versions.producer).toBe(fromBinary(GraphDefSchema, golden("library.pb")).versions!.producer);
  });

  test("a loop keeps its back edges", () => {
    const graph = readGraphDef(golden("while_loop.pb"), { registry });
    expect(graph.operation("while/Merge").inputs.map((x) => x.name)).toEqual([
      "while/Enter:0",
      "while/NextIteration:0",
    ]);
  });

  test("nodes may stand before their inputs, and stay there", () => {
    const placeholder = { name: "x", op: "Placeholder", attr: { dtype: type(1) } };
    const graph = graphOf({ name: "y", op: "Identity", input: ["x:0"], attr: { T: type(1) } }, placeholder);
    expect(graph.operations.map((op) => op.name)).toEqual(["x", "y"]);
    const written = toGraphDef(graph);
    expect(written.node.map((n) => n.name)).toEqual(["y", "x"]);
    expect(written.node[0]!.input).toEqual(["x:0"]);
  });
});

describe("tensors", () => {
  test("every dtype is written as make_tensor_proto writes it", () => {
    for (const node of fromBinary(GraphDefSchema, golden("tensors.pb")).node) {
      const proto = node.attr.value!.value.value as never;
      const t = readTensorProto(proto, node.name);
      const again = node.name.endsWith("_filled")
        ? new Graph(registry).constant(getElement(t, 0) as never, { dtype: t.dtype, shape: t.shape }).op.attrs
            .value
        : t;
      expect(
        Buffer.from(toBinary(TensorProtoSchema, writeTensorProto(again as Tensor))).toString("hex"),
        node.name,
      ).toBe(Buffer.from(toBinary(TensorProtoSchema, proto)).toString("hex"));
    }
  });

  test("the last value of a short list repeats", () => {
    const proto = create(TensorProtoSchema, {
      dtype: 9,
      tensorShape: { dim: [{ size: 4n }] },
      int64Val: [7n, 8n],
    });
    expect(readTensorProto(proto, "n").data).toEqual(BigInt64Array.of(7n, 8n, 8n, 8n));
    const complex = create(TensorProtoSchema, {
      dtype: 8,
      tensorShape: { dim: [{ size: 2n }] },
      scomplexVal: [1, 2],
    });
    expect(readTensorProto(complex, "n").data).toEqual(Float32Array.of(1, 2, 1, 2));
  });

  test("no values at all are zeros", () => {
    const proto = create(TensorProtoSchema, { dtype: 1, tensorShape: { dim: [{ size: 2n }] } });
    const t = readTensorProto(proto, "n");
    expect([...(t.data as Float32Array)]).toEqual([0, 0]);
    expect(sizeOf(t.shape)).toBe(2);
  });

  test("strings of a server, lengths before bytes, are read", () => {
    const proto = create(TensorProtoSchema, {
      dtype: 7,
      tensorShape: { dim: [{ size: 3n }] },
      tensorContent: Uint8Array.of(2, 0, 1, 97, 98, 99),
    });
    const { data } = readTensorProto(proto, "x");
    expect([...data].map((s) => new TextDecoder().decode(s as Uint8Array))).toEqual(["ab", "", "c"]);
  });

  const broken: [string, MessageInitShape<typeof TensorProtoSchema>, string][] = [
    ["a shape with -1", { dtype: 1, tensorShape: { dim: [{ size: -1n }] } }, "shape that is not fully known"],
    ["a negative dim", { dtype: 1, tensorShape: { dim: [{ size: -5n }] } }, "shape has dimension -5"],
    [
      "a huge dim",
      { dtype: 1, tensorShape: { dim: [{ size: 2n ** 62n }] } },
      "shape has dimension 4611686018427387904",
    ],
    ["a huge product", { dtype: 1, tensorShape: { dim: Array(9).fill({ size: 2n ** 40n }) } }, "elements"],
    ["an absurd count", { dtype: 1, tensorShape: { dim: [{ size: 2n ** 40n }] } }, "[RESOURCE_EXHAUSTED]"],
    ["absurd strings", { dtype: 7, tensorShape: { dim: [{ size: 2n ** 40n }] } }, "[RESOURCE_EXHAUSTED]"],
    [
      "short content",
      { dtype: 1, tensorShape: { dim: [{ size: 2n }] }, tensorContent: new Uint8Array(7) },
      "tensor_content has 7 bytes, float32 [2] needs 8",
    ],
    [
      "too many values",
      { dtype: 1, tensorShape: {}, floatVal: [1, 2] },
      "the list of values has 2 numbers, float32 [] has 1",
    ],
    [
      "content that is too short for its strings",
      { dtype: 7, tensorShape: { dim: [{ size: 2n }] }, tensorContent: Uint8Array.of(1, 3, 97, 98) },
      "tensor_content has 4 bytes, its strings need 6",
    ],
    [
      "content that is too short for the strings' lengths",
      { dtype: 7, tensorShape: { dim: [{ size: 2n ** 40n }] }, tensorContent: Uint8Array.of(0) },
      "too few for 1099511627776 strings",
    ],
    ["an unknown dtype", { dtype: 77, tensorShape: {} }, "dtype number 77 is not known"],
    ["too many dims", { dtype: 1, tensorShape: { dim: Array(300).fill({ size: 1n }) } }, "300 dimensions"],
  ];
  for (const [what, proto, message] of broken) {
    test(`${what} is refused`, () => {
      const error = errorOf(() => readTensorProto(create(TensorProtoSchema, proto), "node 'c'"));
      expect(error).toContain(message);
      expect(error).toContain("node 'c'");
    });
  }
});

describe("broken graphs", () => {
  const x = { name: "x", op: "Placeholder", attr: { dtype: type(1) } };
  const same = (name: string, input: string[], t = 1) => ({
    name,
    op: "Identity",
    input,
    attr: { T: type(t) },
  });
  const cases: [string, Nodes, string][] = [
    ["an unknown input", [same("c", ["missing"])], "Node 'c': Unknown input node 'missing'"],
    [
      "an unknown control input",
      [{ name: "c", op: "NoOp", input: ["^missing"] }],
      "Node 'c': Unknown input node '^missing'",
    ],
    ["a name twice", [x, x], "Node 'x' is not unique"],
    ["a bad name", [{ ...x, name: "^x" }], "Node '^x': Node name contains invalid characters"],
    ["a bad input", [x, same("c", ["x:y"])], "input 'x:y' is not of the form"],
    [
      "an output that is not",
      [x, same("c", ["x:3"])],
      "Node 'c': Connecting to invalid output 3 of source node x which has 1 outputs.",
    ],
    ["a cycle", [same("a", ["b"]), same("b", ["a"])], "2 nodes in or behind a cycle: a -> b -> a"],
    ["a node on itself", [same("a", ["a"])], "cycle: a -> a"],
    [
      "data behind control",
      [x, same("c", ["^x", "x"])],
      "Control dependencies must come after regular dependencies",
    ],
    [
      "a missing attr",
      [{ name: "x", op: "Placeholder" }],
      "Node 'x': NodeDef missing attr 'dtype' from Op<name=Placeholder>",
    ],
    [
      "too few inputs",
      [x, same("c", [])],
      "NodeDef expected 1 inputs (input: T) do not match 0 inputs specified; Op<name=Identity>",
    ],
    [
      "another dtype",
      [x, same("c", ["x"], 3)],
      "Input 0 of node c was passed float from x:0 incompatible with expected int32.",
    ],
    [
      "an unknown dtype",
      [{ ...x, attr: { dtype: type(77) } }],
      "x, attr 'dtype': dtype number 77 is not known",
    ],
  ];
  for (const [what, nodes, message] of cases) {
    test(`${what} is refused`, () => {
      expect(errorOf(() => graphOf(...nodes))).toContain(message);
    });
  }

  test("absurd counts of outputs and inputs are refused before they are made", () => {
    const int = (n: bigint) => ({ value: { case: "i" as const, value: n } });
    const many = { name: "m", op: "Merge", attr: { T: type(1), N: int(2n ** 40n) } };
    expect(errorOf(() => graphOf(many))).toContain("NodeDef expected 1099511627776 inputs");
    const split = { name: "s", op: "Unpack", input: ["x"], attr: { T: type(1), num: int(2n ** 40n) } };
    expect(errorOf(() => graphOf(x, split))).toContain(
      "[RESOURCE_EXHAUSTED] s: a node with that many outputs",
    );
    const unknown = { name: "u", op: "NoSuchOp" };
    expect(errorOf(() => graphOf(unknown, same("c", ["u:999999999"])))).toContain(
      "[RESOURCE_EXHAUSTED] c: output 999999999 of node u",
    );
  });

  test("a newer consumer is asked for", () => {
    const def = create(GraphDefSchema, { versions: { minConsumer: 99999 } });
    expect(errorOf(() => fromGraphDef(def, { registry }))).toContain(
      "GraphDef min consumer version 99999 above current version",
    );
  });

  test("truncated bytes are DATA_LOSS and name the file", () => {
    const bytes = golden("mlp.pb").subarray(0, 1000);
    expect(errorOf(() => readGraphDef(bytes, { registry, file: "m.pb" }))).toMatch(
      /^\[DATA_LOSS\] m.pb: no GraphDef/,
    );
  });

  test("no prefix of a file does more than throw our error", () => {
    const bytes = golden("strange.pb");
    for (let n = 0; n < bytes.length; n++) errorOf(() => readGraphDef(bytes.subarray(0, n), { registry }));
  });

  test("no flipped byte does more than throw our error", () => {
    const bytes = Uint8Array.from(golden("cond_nested.pb"));
    for (let i = 0; i < bytes.length; i++) {
      const hurt = bytes.slice();
      hurt[i]! ^= 1 << (i % 8);
      errorOf(() => readGraphDef(hurt, { registry }));
    }
  });

  test("deep nesting is refused", () => {
    let attr: Uint8Array = Uint8Array.of();
    const wrap = (field: number, body: Uint8Array): Uint8Array => {
      const size: number[] = [];
      for (let n = body.length; ; n >>>= 7) {
        size.push(n > 127 ? (n & 127) | 128 : n);
        if (n <= 127) break;
      }
      return Uint8Array.of((field << 3) | 2, ...size, ...body);
    };
    for (let i = 0; i < 200; i++) attr = wrap(10, wrap(2, wrap(2, attr))); // AttrValue.func.attr.value
    const bytes = wrap(1, wrap(5, wrap(2, attr)));
    expect(errorOf(() => readGraphDef(bytes, { registry }))).toContain("recursion depth");
  });

  test("a control input may be written twice", () => {
    const graph = graphOf(x, { name: "c", op: "NoOp", input: ["^x", "^x"] });
    expect(graph.operation("c").controlInputs).toEqual([graph.operation("x")]);
  });
});

/** A GraphDef is what it says, whatever reads it. */
test("an empty GraphDef is an empty graph", () => {
  const graph = readGraphDef(new Uint8Array(0), { registry });
  expect(graph.operations).toHaveLength(0);
  expect((toGraphDef(graph) as GraphDef).node).toHaveLength(0);
  expect(writeGraphDef(graph)).toHaveLength(0);
});
