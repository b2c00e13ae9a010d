/** What becomes of a graph whose calls are taken apart; and calls that cannot be. Values: tests/conformance/function-gradients.test.ts. */

import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { isVarscopeError, tensor, toNumbers } from "../base/index.ts";
import { fromGraphDef, writeAttr } from "../formats/graph-def/index.ts";
import { cond, type Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { FunctionDefSchema, GraphDefSchema, type NodeDef, NodeDefSchema } from "../proto/index.ts";
import { Session } from "../run/index.ts";
import { gradients } from "./index.ts";

type Attr = NodeDef["attr"];
const FLOAT = writeAttr("float32", "type");
const T: Attr = { T: FLOAT };
const node = (name: string, op: string, input: readonly string[] = [], attr: Attr = {}): NodeDef =>
  create(NodeDefSchema, { name, op, input: [...input], attr });
const call = (name: string, f: string, input: readonly string[], type = "PartitionedCall"): NodeDef =>
  node(name, type, input, {
    f: writeAttr({ func: f, attrs: {} }, "func"),
    Tin: writeAttr(["float32"], "list(type)"),
    Tout: writeAttr(["float32"], "list(type)"),
  });
/** A function of one float32 that gives one. */
const define = (name: string, nodes: readonly NodeDef[], result: string) =>
  create(FunctionDefSchema, {
    signature: { name, inputArg: [{ name: "x", type: 1 }], outputArg: [{ name: "y", type: 1 }] },
    nodeDef: [...nodes],
    ret: { y: result },
  });
const x = node("x", "Placeholder", [], { dtype: FLOAT, shape: writeAttr({ dims: [null] }, "shape") });

const read = (nodes: readonly NodeDef[], functions: readonly ReturnType<typeof define>[]): Graph =>
  fromGraphDef(create(GraphDefSchema, { node: [x, ...nodes], library: { function: [...functions] } }), {
    registry: CORE_OPS,
  });

const twice = define("twice", [node("sum", "AddV2", ["x", "x"], T)], "sum:z:0");

/** Half of the values, doubled, chosen anew in each run. */
const dropout = define(
  "dropout",
  [
    node("shape", "Shape", ["x"], { ...T, out_type: writeAttr("int32", "type") }),
    node("random", "RandomUniform", ["shape:output:0"], { T: writeAttr("int32", "type"), dtype: FLOAT }),
    node("half", "Const", [], { dtype: FLOAT, value: writeAttr(tensor(0.5), "tensor") }),
    node("kept", "Greater", ["random:output:0", "half:output:0"], T),
    node("mask", "Cast", ["kept:z:0"], { SrcT: writeAttr("bool", "type"), DstT: FLOAT }),
    node("scaled", "RealDiv", ["x", "half:output:0"], T),
    node("out", "Mul", ["scaled:z:0", "mask:y:0"], T),
  ],
  "out:z:0",
);

function thrown(work: () => unknown): string {
  try {
    work();
    return "no error";
  } catch (e) {
    return isVarscopeError(e) ? e.message : `not typed: ${String(e)}`;
  }
}

describe("calls that are taken apart", () => {
  test("keep their names, and hand on what their function's ops give", async () => {
    const graph = read([call("f", "twice", ["x"]), node("y", "Neg", ["f"], T)], [twice]);
    const f = graph.operation("f").output(0);
    const [dx] = gradients(graph.output("y:0"), graph.output("x:0"));
    expect(graph.operation("f")).toBe(f.op);
    expect(f.op.type).toBe("IdentityN");
    expect(f.op.inputs.map((i) => i.name)).toEqual(["f/sum:0"]);
    await using session = new Session(graph);
    const found = (await session.run(["f:0", "y:0", (dx as typeof f).name], { feeds: { "x:0": [3] } })).map(
      (t) => toNumbers(t!),
    );
    expect(found).toEqual([[6], [-6], [-2]]);
  });

  test("drop out in the gradient what they dropped out", async () => {
    const graph = read([call("f", "dropout", ["x"], "StatefulPartitionedCall")], [dropout]);
    const [dx] = gradients(graph.output("f:0"), graph.output("x:0"));
    await using session = new Session(graph);
    const feeds = { "x:0": Array.from({ length: 64 }, () => 1) };
    for (let i = 0; i < 3; i++) {
      const [y, d] = await session.run([graph.output("f:0"), dx as never], { feeds });
      expect(toNumbers(y!)).toEqual(toNumbers(d!));
      expect(new Set(toNumbers(y!))).toEqual(new Set([0, 2]));
    }
  });

  test("stay where they are: in a branch, on a device, after what they wait for, whatever is open", () => {
    const graph = read([], [twice]);
    const input = graph.output("x:0");
    const first = graph.addOp("NoOp", [], { name: "first" });
    const options = {
      attrs: { Tin: ["float32"], Tout: ["float32"], f: { func: "twice", attrs: {} } },
    } as const;
    const y = cond(
      graph.constant(true),
      () =>
        graph.add("PartitionedCall", [[input]], {
          ...options,
          name: "f",
          device: "/cpu:1",
          controlInputs: [first],
        }),
      () => input,
    );
    const { context } = graph.operation("cond/f");
    graph.withDevice("/cpu:0", () =>
      graph.controlDependencies([graph.operation("x")], () => gradients(y as never, input)),
    );
    const sum = graph.operation("cond/f/sum");
    expect(sum.context).toBe(context);
    expect(sum.device).toBe("/device:CPU:1");
    expect(sum.controlInputs.map((op) => op.name)).toEqual(["first"]);
  });

  test("are those of the one way alone", () => {
    const graph = read(
      [call("f", "twice", ["x"]), call("g", "twice", ["f"]), call("h", "twice", ["x"])],
      [twice],
    );
    gradients(graph.output("g:0"), graph.output("f:0"));
    expect(["f", "g", "h"].map((name) => graph.operation(name).type)).toEqual([
      "PartitionedCall",
      "IdentityN",
      "PartitionedCall",
    ]);
    gradients(graph.output("g:0"), graph.output("x:0"), { stopGradients: [graph.output("f:0")] });
    expect(graph.operation("f").type).toBe("PartitionedCall");
  });

  test("are loops of unknown shapes, too", async () => {
    const int = writeAttr("int32", "type");
    const five = node("five", "Const", [], { dtype: int, value: writeAttr(tensor(5, "int32"), "tensor") });
    const few = create(FunctionDefSchema, {
      signature: { name: "few", inputArg: [{ name: "x", type: 1 }], outputArg: [{ name: "y", type: 10 }] },
      nodeDef: [
        node("size", "Size", ["x"], { ...T, out_type: int }),
        five,
        node("less", "Less", ["size:output:0", "five:output:0"], { T: int }),
      ],
      ret: { y: "less:z:0" },
    });
    const axis = node("axis", "Const", [], { dtype: int, value: writeAttr(tensor(0, "int32"), "tensor") });
    const attrs = { ...T, N: writeAttr(2, "int"), Tidx: int };
    const grow = define(
      "grow",
      [axis, node("two", "ConcatV2", ["x", "x", "axis:output:0"], attrs)],
      "two:output:0",
    );
    const loop = node("loop", "StatelessWhile", ["x"], {
      T: writeAttr(["float32"], "list(type)"),
      cond: writeAttr({ func: "few", attrs: {} }, "func"),
      body: writeAttr({ func: "grow", attrs: {} }, "func"),
    });
    const graph = read([loop], [few, grow]);
    const [dx] = gradients(graph.output("loop:0"), graph.output("x:0"));
    await using session = new Session(graph, { warn: () => {} });
    const [y, d] = await session.run([graph.output("loop:0"), dx as never], { feeds: { "x:0": [3] } });
    expect([toNumbers(y!), toNumbers(d!)]).toEqual([new Array(8).fill(3), [8]]);
  });

  test("cannot be in a finalized graph", () => {
    const graph = read([call("f", "twice", ["x"])], [twice]);
    graph.finalize();
    expect(thrown(() => gradients(graph.output("f:0"), graph.output("x:0")))).toMatch(/Graph is finalized/);
    expect(graph.operation("f").type).toBe("PartitionedCall");
  });
});

describe("calls without a gradient", () => {
  const refusal = (functions: readonly ReturnType<typeof define>[], f = "f"): string => {
    const graph = read([call("f", f, ["x"])], functions);
    const count = graph.operations.length;
    const said = thrown(() => gradients(graph.output("f:0"), graph.output("x:0")));
    expect(graph.operations.length).toBe(count);
    return said;
  };

  test.each<[string, readonly ReturnType<typeof define>[], RegExp]>([
    ["a function that is not there", [], /^\[NOT_FOUND\] f: Function f is not defined\./],
    [
      "one that calls itself",
      [define("f", [call("again", "f", ["x"])], "again:output:0")],
      /more than 100 deep/,
    ],
    [
      "functions that call each other twice, 40 deep",
      [
        ...Array.from({ length: 40 }, (_, i) =>
          define(
            i === 0 ? "f" : `f${i}`,
            [call("a", `f${i + 1}`, ["x"]), call("b", `f${i + 1}`, ["a:output:0"])],
            "b:output:0",
          ),
        ),
        define("f40", [node("y", "Neg", ["x"], T)], "y:y:0"),
      ],
      /RESOURCE_EXHAUSTED.*more than 300000 ops/,
    ],
    [
      "an op that is not known",
      [define("f", [node("y", "Mystery", ["x"])], "y:0")],
      /Op type not registered 'Mystery'/,
    ],
    [
      "a loop of TensorFlow 1",
      [
        define(
          "f",
          [node("enter", "Enter", ["x"], { ...T, frame_name: writeAttr("f", "string") })],
          "enter:output:0",
        ),
      ],
      /UNIMPLEMENTED.*holds a loop of TensorFlow 1/,
    ],
  ])("%s", (_, functions, what) => {
    expect(refusal(functions)).toMatch(what);
  });

  test("an op whose own gradient was not saved", () => {
    const own = {
      T: writeAttr(["float32"], "list(type)"),
      _gradient_op_type: writeAttr("CustomGradient-7", "string"),
    };
    const graph = read(
      [call("f", "f", ["x"])],
      [define("f", [node("y", "IdentityN", ["x"], own)], "y:output:0")],
    );
    expect(thrown(() => gradients(graph.output("f:0"), graph.output("x:0")))).toMatch(
      /No gradient defined for operation 'f\/y' \(op type: IdentityN\): gradient registry has no entry for: CustomGradient-7/,
    );
  });
});
