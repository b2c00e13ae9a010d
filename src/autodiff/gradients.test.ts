/**
 * What the graphs of tests/conformance/graph-programs.test.ts cannot show: errors, and results that are not
 * ops.
 */

import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import type { DType } from "../base/index.ts";
import { fromGraphDef } from "../formats/graph-def/index.ts";
import { absent, attr, defineOp, Graph, isIndexedSlices, type Output, registry } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { GraphDefSchema } from "../proto/graph.gen.ts";
import { gradients } from "./index.ts";

const planned = absent("not run here");
const unary = {
  inputs: { x: "T" },
  outputs: { y: "T" },
  attrs: { T: attr.type() },
  lower: planned,
  host: planned,
} as const;
const WithoutGradient = defineOp("WithoutGradient", {
  ...unary,
  infer: ({ x }) => [{ shape: x.shape }],
  grad: absent("TensorFlow registers none"),
});
const WrongShape = defineOp("WrongShape", {
  ...unary,
  infer: ({ x }) => [{ shape: x.shape }],
  grad: (g) => [g.constant([1, 2, 3, 4, 5])],
});
const WrongCount = defineOp("WrongCount", {
  ...unary,
  infer: ({ x }) => [{ shape: x.shape }],
  grad: () => [],
});
const OPS = new Map([...CORE_OPS, ...registry({ WithoutGradient, WrongShape, WrongCount })]);

const holder = (g: Graph, name: string, dtype: DType = "float32", dims: (number | null)[] = [2]): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims } } });

describe("errors", () => {
  test("an op without gradient is named, with the path through it", () => {
    const g = new Graph(OPS);
    const x = holder(g, "x");
    const y = g.add(
      "Square",
      [g.add("WithoutGradient", [g.add("Identity", [x], { name: "id" })], { name: "w" })],
      { name: "y" },
    );
    expect(() => gradients(y, x)).toThrow(
      "[NOT_FOUND] gradients: No gradient defined for operation 'w' (op type: WithoutGradient): TensorFlow registers none; the path is y <- w <- id <- x;",
    );
  });

  test("an op that leads nowhere needs none", () => {
    const g = new Graph(OPS);
    const x = holder(g, "x");
    g.add("WithoutGradient", [x]);
    expect(gradients(g.add("Square", [x]), x)[0]).not.toBe(null);
  });

  test("an unknown op is one too", () => {
    const T = { value: { case: "type" as const, value: 1 } };
    const def = create(GraphDefSchema, {
      node: [
        { name: "x", op: "Placeholder", attr: { dtype: T } },
        { name: "u", op: "NoSuchOp", input: ["x"] },
        { name: "y", op: "Identity", input: ["u"], attr: { T } },
      ],
    });
    const g = fromGraphDef(def, { registry: OPS });
    expect(() => gradients(g.output("y:0"), g.output("x:0"))).toThrow(
      "No gradient defined for operation 'u' (op type: NoSuchOp): this op is not known here; the path is y <- u <- x;",
    );
    expect(() => gradients(g.output("u:0"), g.output("x:0"))).toThrow("u: Op type not registered 'NoSuchOp'");
  });

  const wrong: [string, (g: Graph, x: Output) => unknown, string][] = [
    [
      "as many gradYs as ys",
      (g, x) => gradients(g.add("Square", [x]), x, { gradYs: [] }),
      "Passed 0 grad_ys for 1 ys",
    ],
    [
      "gradYs of complex ys",
      (g) => gradients(holder(g, "c", "complex64"), holder(g, "d")),
      "Gradients of complex tensors (c:0) must set grad_ys",
    ],
    [
      "numbers as gradYs",
      (g, x) => gradients(g.add("Square", [x]), x, { gradYs: [holder(g, "b", "bool")] }),
      "Gradient type bool generated for tensor Square:0 with type float32 must be real or integer",
    ],
    [
      "one graph",
      (g, x) => gradients(g.add("Square", [x]), holder(new Graph(OPS), "z")),
      "Tensor z:0 must be from the same graph as Tensor Square:0",
    ],
    [
      "gradients of the inputs' shapes",
      (g, x) => gradients(g.add("WrongShape", [x]), x),
      "Incompatible shapes between op input and calculated input gradient. Forward operation: WrongShape. Input index: 0. Original input shape: [2]. Calculated input gradient shape: [5]",
    ],
    [
      "one gradient an input",
      (g, x) => gradients(g.add("WrongCount", [x]), x),
      "Num gradients 0 generated for op WrongCount do not match num inputs 1",
    ],
  ];
  for (const [what, call, message] of wrong) {
    test(`wants ${what}`, () => {
      const g = new Graph(OPS);
      const x = holder(g, "x");
      expect(() => call(g, x)).toThrow(message);
    });
  }
});

describe("results", () => {
  test("null where no y depends on x, and through integers", () => {
    const g = new Graph(OPS);
    const [x, z] = [holder(g, "x"), holder(g, "z")];
    const i = g.add("Cast", [z], { attrs: { DstT: "int32" } });
    const y = g.add("AddV2", [g.add("Square", [x]), g.add("Cast", [i], { attrs: { DstT: "float32" } })]);
    const [dx, dz] = gradients(y, [x, z]);
    expect(dx).not.toBe(null);
    expect(dz).toBe(null);
  });

  test("y itself has the gradient one, given or not", () => {
    const g = new Graph(OPS);
    const y = holder(g, "y");
    expect((gradients(y, y)[0] as Output).name).toBe("gradients/grad_ys_0:0");
  });

  test("rows stay rows", () => {
    const g = new Graph(OPS);
    const table = holder(g, "table", "float32", [10, 4]);
    const rows = g.add("GatherV2", [
      table,
      holder(g, "ids", "int32", [3]),
      g.constant(0, { dtype: "int32" }),
    ]);
    expect(isIndexedSlices(gradients(rows, table)[0])).toBe(true);
  });

  test("nothing in, nothing out", () => {
    expect(gradients([], [])).toEqual([]);
  });

  test("a second call has its own scope", () => {
    const g = new Graph(OPS);
    const x = holder(g, "x");
    const y = g.add("Square", [x]);
    gradients(y, x);
    expect((gradients(y, x)[0] as Output).name).toMatch(/^gradients_1\/Square_grad\//);
  });
});
