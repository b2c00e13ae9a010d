/** @file What op cases cannot show of the elementwise families: names of the public functions' nodes, errors that TensorFlow words otherwise. */

import { describe, expect, test } from "vitest";
import { tensor, toNested } from "../base/index.ts";
import { constantValue, Graph, type Output } from "../graph/index.ts";
import * as ops from "./index.ts";

interface Inputs {
  readonly x: Output;
  readonly b: Output;
  readonly i: Output;
  readonly c: Output;
}

/** Nodes that `build` makes, as "type name(inputs)". */
function nodesOf(build: (inputs: Inputs) => unknown): string[] {
  const g = new Graph(ops.CORE_OPS);
  const inputs = {
    x: ops.placeholder(g, "float32", { shape: [2, 3], name: "x" }),
    b: ops.placeholder(g, "bool", { shape: [2], name: "b" }),
    i: ops.placeholder(g, "int32", { shape: [2], name: "i" }),
    c: ops.placeholder(g, "complex64", { shape: [2], name: "c" }),
  };
  build(inputs);
  return g.operations.slice(4).map((op) => `${op.type} ${op.name}(${op.inputs.map((y) => y.op.name)})`);
}

describe("public functions name their nodes as TensorFlow 2.21's Python does", () => {
  const rows: [string, (inputs: Inputs) => unknown, string[]][] = [
    ["add", ({ x }) => ops.add(x, 2), ["Const Add/y()", "AddV2 Add(x,Add/y)"]],
    ["subtract", ({ x }) => ops.subtract(x, 2), ["Const Sub/y()", "Sub Sub(x,Sub/y)"]],
    ["multiply", ({ x }) => ops.multiply(2, x), ["Const Mul/x()", "Mul Mul(Mul/x,x)"]],
    ["divide", ({ x }) => ops.divide(x, 2), ["Const truediv/y()", "RealDiv truediv(x,truediv/y)"]],
    [
      "divide of integers",
      ({ i }) => ops.divide(i, 2),
      [
        "Const truediv/y()",
        "Cast truediv/Cast(i)",
        "Cast truediv/Cast_1(truediv/y)",
        "RealDiv truediv(truediv/Cast,truediv/Cast_1)",
      ],
    ],
    ["floordiv", ({ i }) => ops.floordiv(i, 2), ["Const floordiv/y()", "FloorDiv floordiv(i,floordiv/y)"]],
    ["floormod", ({ i }) => ops.floormod(i, 2), ["Const FloorMod/y()", "FloorMod FloorMod(i,FloorMod/y)"]],
    ["divideNoNan", ({ x }) => ops.divideNoNan(x, x), ["DivNoNan div_no_nan(x,x)"]],
    ["multiplyNoNan", ({ x }) => ops.multiplyNoNan(x, x), ["MulNoNan multiply_no_nan(x,x)"]],
    ["xlogy", ({ x }) => ops.xlogy(x, x), ["Xlogy Xlogy(x,x)"]],
    ["xdivy", ({ x }) => ops.xdivy(x, 2), ["Const xdivy/Xdivy/y()", "Xdivy xdivy/Xdivy(x,xdivy/Xdivy/y)"]],
    ["xlog1py", ({ x }) => ops.xlog1py(x, x), ["Xlog1py xlog1py/Xlog1py(x,x)"]],
    ["addN", ({ x }) => ops.addN([x, x]), ["AddN AddN(x,x)"]],
    ["addN of one", ({ x }) => ops.addN([x]), []],
    ["abs of complex numbers", ({ c }) => ops.abs(c), ["ComplexAbs Abs(c)"]],
    ["round of integers", ({ i }) => ops.round(i), []],
    ["erfinv", ({ x }) => ops.erfinv(x), ["Erfinv erfinv/Erfinv(x)"]],
    ["ndtri", ({ x }) => ops.ndtri(x), ["Ndtri ndtri/Ndtri(x)"]],
    [
      "polygamma",
      ({ x }) => ops.polygamma(1, x),
      ["Const Polygamma/a()", "Polygamma Polygamma(Polygamma/a,x)"],
    ],
    [
      "logicalXor",
      ({ b }) => ops.logicalXor(b, b),
      [
        "LogicalOr LogicalOr(b,b)",
        "LogicalAnd LogicalAnd(b,b)",
        "LogicalNot LogicalNot(LogicalAnd)",
        "LogicalAnd LogicalXor(LogicalOr,LogicalNot)",
      ],
    ],
    [
      "clipByValue",
      ({ x }) => ops.clipByValue(x, 0, 1),
      [
        "Const clip_by_value/Minimum/y()",
        "Minimum clip_by_value/Minimum(x,clip_by_value/Minimum/y)",
        "Const clip_by_value/y()",
        "Maximum clip_by_value(clip_by_value/Minimum,clip_by_value/y)",
      ],
    ],
    ["leakyRelu", ({ x }) => ops.leakyRelu(x), ["LeakyRelu LeakyRelu(x)"]],
    [
      "crelu",
      ({ x }) => ops.crelu(x),
      [
        "Neg CRelu/Neg(x)",
        "Const CRelu/axis()",
        "ConcatV2 CRelu(x,CRelu/Neg,CRelu/axis)",
        "Relu CRelu/Relu(CRelu)",
      ],
    ],
    [
      "gelu",
      ({ x }) => ops.gelu(x),
      [
        "Const Gelu/mul/x()",
        "Mul Gelu/mul(Gelu/mul/x,x)",
        "Neg Gelu/Neg(x)",
        "Const Gelu/Cast/x()",
        "Mul Gelu/mul_1(Gelu/Neg,Gelu/Cast/x)",
        "Erfc Gelu/Erfc(Gelu/mul_1)",
        "Mul Gelu/mul_2(Gelu/mul,Gelu/Erfc)",
      ],
    ],
    [
      "gelu by tanh",
      ({ x }) => ops.gelu(x, { approximate: true }),
      [
        "Const Gelu/Cast/x()",
        "Const Gelu/mul/x()",
        "Mul Gelu/mul(Gelu/mul/x,x)",
        "Const Gelu/Pow/y()",
        "Pow Gelu/Pow(x,Gelu/Pow/y)",
        "Mul Gelu/mul_1(Gelu/Cast/x,Gelu/Pow)",
        "AddV2 Gelu/add(x,Gelu/mul_1)",
        "Const Gelu/mul_2/x()",
        "Mul Gelu/mul_2(Gelu/mul_2/x,Gelu/add)",
        "Tanh Gelu/Tanh(Gelu/mul_2)",
        "Const Gelu/add_1/x()",
        "AddV2 Gelu/add_1(Gelu/add_1/x,Gelu/Tanh)",
        "Mul Gelu/mul_3(Gelu/mul,Gelu/add_1)",
      ],
    ],
    [
      "logSigmoid",
      ({ x }) => ops.logSigmoid(x),
      [
        "Neg LogSigmoid/Neg(x)",
        "Softplus LogSigmoid/Softplus(LogSigmoid/Neg)",
        "Neg LogSigmoid(LogSigmoid/Softplus)",
      ],
    ],
    ["real", ({ c }) => ops.real(c), ["Real Real(c)"]],
    ["complex", ({ x }) => ops.complex(x, x), ["Complex Complex(x,x)"]],
  ];
  test.each(rows)("%s", (_, build, nodes) => {
    expect(nodesOf(build)).toEqual(nodes);
  });
});

describe("constants fold", () => {
  const g = new Graph(ops.CORE_OPS);
  const int = (values: number[]): Output => g.constant(values, { dtype: "int32" });
  const folded = (y: Output) => toNested(constantValue(y)!);

  test("with broadcasting", () => {
    const column = g.constant(tensor([[1], [2]], "int32"));
    expect(folded(ops.multiply(column, int([3, 4, 5])))).toEqual([
      [3, 4, 5],
      [6, 8, 10],
    ]);
  });

  test("rounding half to even, keeping integers", () => {
    expect(folded(g.add("Round", [g.constant([0.5, 1.5, -2.5])]))).toEqual([0, 2, -2]);
    expect(folded(g.add("Round", [int([3, -4])]))).toEqual([3, -4]);
  });

  test("an integer division by zero is an error", () => {
    for (const type of ["Div", "TruncateDiv", "FloorDiv", "FloorMod", "Mod", "TruncateMod"]) {
      const y = g.add(type, [int([1]), int([0])]);
      expect(() => constantValue(y), type).toThrow("Integer division by zero");
    }
  });

  test("what has no kernel says its dtype", () => {
    expect(() => constantValue(g.add("RealDiv", [int([1]), int([2])]))).toThrow("T=int32");
  });

  test("bounds of ClipByValue are scalars or of the tensor's shape", () => {
    const y = g.add("ClipByValue", [g.constant([1, 2]), g.constant([0, 0, 0]), g.constant(1)]);
    expect(() => constantValue(y)).toThrow(
      "clip_value_min must be a scalar or of the shape of t, [2], and is [3]",
    );
  });
});

test("a function of plain values alone asks for a tensor", () => {
  expect(() => ops.add(1, 2)).toThrow("one must be a tensor of a graph");
});
