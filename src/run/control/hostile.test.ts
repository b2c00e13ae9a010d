/** Graphs that no program builds: each is refused by name, in little time. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { isVarscopeError, tensor } from "../../base/index.ts";
import { fromGraphDef, readGraphDef, writeAttr } from "../../formats/graph-def/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import {
  FunctionDefSchema,
  type GraphDef,
  GraphDefSchema,
  type NodeDef,
  NodeDefSchema,
} from "../../proto/index.ts";
import { Session } from "../session.ts";
import { expand, inlineCalls } from "./expand.ts";

type Attr = NodeDef["attr"];
const node = (name: string, op: string, input: readonly string[] = [], attr: Attr = {}): NodeDef =>
  create(NodeDefSchema, { name, op, input: [...input], attr });
const FLOAT = writeAttr("float32", "type");
const T: Attr = { T: FLOAT };
const x = node("x", "Placeholder", [], { dtype: FLOAT });
const constant = (name: string, value: boolean | number): NodeDef => {
  const t = tensor(value);
  return node(name, "Const", [], { dtype: writeAttr(t.dtype, "type"), value: writeAttr(t, "tensor") });
};
const func = (name: string) => writeAttr({ func: name, attrs: {} }, "func");
const call = (name: string, f: string, input: string): NodeDef =>
  node(name, "PartitionedCall", [input], {
    f: func(f),
    Tin: writeAttr(["float32"], "list(type)"),
    Tout: writeAttr(["float32"], "list(type)"),
  });
const loop = (name: string, cond: string, body: string, input: string): NodeDef =>
  node(name, "StatelessWhile", [input], {
    T: writeAttr(["float32"], "list(type)"),
    cond: func(cond),
    body: func(body),
    output_shapes: writeAttr([], "list(shape)"),
    parallel_iterations: writeAttr(10, "int"),
  });
/** A function of one float32 that gives one value. */
const define = (name: string, nodes: readonly NodeDef[], result: string, type = 1) =>
  create(FunctionDefSchema, {
    signature: { name, inputArg: [{ name: "x", type: 1 }], outputArg: [{ name: "y", type }] },
    nodeDef: [...nodes],
    ret: { y: result },
  });
const graphOf = (nodes: readonly NodeDef[], functions: readonly ReturnType<typeof define>[] = []): GraphDef =>
  create(GraphDefSchema, { node: [x, ...nodes], library: { function: [...functions] } });

const read = (def: GraphDef) => fromGraphDef(def, { registry: CORE_OPS });

/** What a run of `name` says. */
async function refusal(def: GraphDef, name: string): Promise<string> {
  await using session = new Session(read(def), { warn: () => {} });
  return await session.run(name, { feeds: { "x:0": 1 } }).then(
    () => "no error",
    (e: unknown) => (isVarscopeError(e) ? e.message : `not typed: ${String(e)}`),
  );
}

function thrown(work: () => unknown): string {
  try {
    work();
    return "no error";
  } catch (e) {
    return isVarscopeError(e) ? e.message : `not typed: ${String(e)}`;
  }
}

const DEEP =
  "[UNIMPLEMENTED] c: functions call each other more than 100 deep; a function that calls itself cannot run here";
const MANY =
  "functions and loops make more than 300000 ops; they call each other too often; no program needs that";

describe("functions", () => {
  test.each([
    ["a function that calls itself", [define("f", [call("again", "f", "x")], "again:output:0")]],
    [
      "functions that call each other",
      [define("f", [call("a", "g", "x")], "a:output:0"), define("g", [call("b", "f", "x")], "b:output:0")],
    ],
  ])("%s", async (_, functions) => {
    const def = graphOf([call("c", "f", "x")], functions);
    expect(await refusal(def, "c:0")).toBe(DEEP);
    expect(thrown(() => inlineCalls(read(def)))).toBe(DEEP);
  });

  test("a tree of calls that doubles 40 times", { timeout: 60_000 }, () => {
    const functions = Array.from({ length: 40 }, (_, i) =>
      i === 39
        ? define(`f${i}`, [], "x")
        : define(`f${i}`, [call("a", `f${i + 1}`, "x"), call("b", `f${i + 1}`, "a:output:0")], "b:output:0"),
    );
    expect(thrown(() => inlineCalls(read(graphOf([call("c", "f0", "x")], functions))))).toBe(
      `[RESOURCE_EXHAUSTED] c: ${MANY}`,
    );
  });

  test("a tree of loops that doubles 60 times", { timeout: 60_000 }, () => {
    const cond = define("cond", [node("l", "Less", ["x", "x"], T)], "l:z:0", 10);
    const bodies = Array.from({ length: 60 }, (_, i) =>
      i === 59
        ? define(`b${i}`, [node("i", "Neg", ["x"], T)], "i:y:0")
        : define(
            `b${i}`,
            [loop("a", "cond", `b${i + 1}`, "x"), loop("b", "cond", `b${i + 1}`, "a:output:0")],
            "b:output:0",
          ),
    );
    const graph = read(graphOf([loop("c", "cond", "b0", "x")], [cond, ...bodies]));
    expect(thrown(() => expand(graph).output(graph.output("c:0")))).toBe(`[RESOURCE_EXHAUSTED] c: ${MANY}`);
  });

  test("a Case without branches", () => {
    const def = graphOf([
      node("c", "StatelessCase", ["i"], {
        branches: writeAttr([], "list(func)"),
        Tin: writeAttr([], "list(type)"),
        Tout: writeAttr(["float32"], "list(type)"),
      }),
      node("i", "Const", [], {
        dtype: writeAttr("int32", "type"),
        value: writeAttr(tensor(0, "int32"), "tensor"),
      }),
    ]);
    expect(thrown(() => inlineCalls(read(def)))).toMatch(/^\[INVALID_ARGUMENT\] c: /);
  });

  test("a list of 2^40 arguments", () => {
    const f = create(FunctionDefSchema, {
      signature: {
        name: "f",
        inputArg: [{ name: "x", type: 1, numberAttr: "N" }],
        attr: [{ name: "N", type: "int" }],
      },
    });
    const def = graphOf([node("c", "f", [], { N: writeAttr(2 ** 40, "int") })], [f]);
    expect(thrown(() => inlineCalls(read(def)))).toBe(
      "[RESOURCE_EXHAUSTED] function f: a function of 1099511627776 tensors; at most 100000 are possible",
    );
  });

  test("one that gives a bool where the call says float32", async () => {
    const f = define("f", [constant("b", true)], "b:output:0", 10);
    expect(await refusal(graphOf([call("c", "f", "x")], [f]), "c:0")).toBe(
      "[INVALID_ARGUMENT] c: results of function f: 1 (bool), its caller has 1 (float32)",
    );
  });

  test("a loop whose body gives two values for one", async () => {
    const f = define("f", [], "x");
    f.signature!.outputArg.push({ ...f.signature!.outputArg[0]!, name: "z" });
    f.ret.z = "x";
    const cond = define("cond", [node("l", "Less", ["x", "x"], T)], "l:z:0", 10);
    const def = graphOf([loop("c", "cond", "f", "x")], [cond, f]);
    const sentence = "results of function f: 2 (float32, float32), its caller has 1 (float32)";
    expect(await refusal(def, "c:0")).toBe(`[INVALID_ARGUMENT] c: ${sentence}`);
    expect(thrown(() => inlineCalls(read(def)))).toBe(`[INVALID_ARGUMENT] c: ${sentence}`);
  });

  test("12 loops in each other whose shapes settle slowly", { timeout: 30_000 }, async () => {
    const TWO = writeAttr(["float32", "float32"], "list(type)");
    const numbers = (name: string, value: number[]): NodeDef =>
      node(name, "Const", [], {
        dtype: writeAttr("int32", "type"),
        value: writeAttr(tensor(value, "int32"), "tensor"),
      });
    const ones = node("k", "Const", [], {
      dtype: FLOAT,
      value: writeAttr(tensor(new Array(64).fill(1), "float32", [2, 2, 2, 2, 2, 2]), "tensor"),
    });
    const pair = (name: string, nodes: readonly NodeDef[], ret: Record<string, string>) => {
      const [a, b] = [
        define(name, nodes, "x").signature!.inputArg[0]!,
        define(name, [], "x").signature!.inputArg[0]!,
      ];
      b.name = "z";
      const outputs = Object.keys(ret).map((key) => ({ name: key, type: key === "go" ? 10 : 1 }));
      return create(FunctionDefSchema, {
        signature: { name, inputArg: [a, b], outputArg: outputs },
        nodeDef: [...nodes],
        ret,
      });
    };
    const twoLoop = (name: string, body: string, input: string): NodeDef => {
      const made = loop(name, "cond", body, input);
      made.input.push(input);
      made.attr.T = TWO;
      return made;
    };
    const I = writeAttr("int32", "type");
    const turned = [
      numbers("perm", [1, 2, 3, 4, 5, 0]),
      node("t", "Transpose", ["x", "perm:output:0"], { ...T, Tperm: I }),
      node("axis", "Const", [], { dtype: I, value: writeAttr(tensor(0, "int32"), "tensor") }),
      node("g", "ConcatV2", ["t:y:0", "t:y:0", "axis:output:0"], { ...T, N: writeAttr(2, "int"), Tidx: I }),
    ];
    const bodies = Array.from({ length: 12 }, (_, i) =>
      i === 11
        ? pair(`b${i}`, turned, { p: "g:output:0", q: "z" })
        : pair(`b${i}`, [...turned, ones, twoLoop("w", `b${i + 1}`, "k:output:0")], {
            p: "g:output:0",
            q: "w:output:0",
          }),
    );
    const cond = pair("cond", [constant("b", false)], { go: "b:output:0" });
    const def = graphOf([ones, twoLoop("c", "b0", "k")], [cond, ...bodies]);
    expect(await refusal(def, "c:0")).toBe("no error");
  });

  test("effects by results, 9 million edges", { timeout: 60_000 }, () => {
    const checks = Array.from({ length: 3000 }, (_, i) =>
      node(`p${i}`, "Assert", ["b:output:0", "x"], {
        T: writeAttr(["float32"], "list(type)"),
        summarize: writeAttr(3, "int"),
      }),
    );
    const f = define("f", [constant("b", true), ...checks], "x");
    const results = checks.map((_, i) => ({ ...f.signature!.outputArg[0]!, name: `y${i}` }));
    f.signature!.outputArg.splice(0, 1, ...results);
    f.ret = Object.fromEntries(results.map(({ name }) => [name, "x"]));
    expect(thrown(() => inlineCalls(read(graphOf([node("c", "f", ["x"])], [f]))))).toBe(
      `[RESOURCE_EXHAUSTED] c: ${MANY}`,
    );
  });
});

test("a variable that a loop without a round was to set has no value", async () => {
  const file = new URL("../../../tests/goldens/control-flow/variables_in_while.v2.pb.gz", import.meta.url);
  const graph = readGraphDef(gunzipSync(readFileSync(file)), { registry: CORE_OPS });
  await using session = new Session(graph, { warn: () => {} });
  const places = graph.operations.filter((op) => op.type === "Placeholder");
  const feeds = new Map(places.map((op) => [op.output(0), tensor(0, op.output(0).dtype)]));
  expect(await session.run([], { targets: ["Identity_1"], feeds })).toEqual([]);
  await expect(session.run("Identity_1:0", { feeds })).rejects.toThrow(
    /^\[FAILED_PRECONDITION\] .*Could not find variable /,
  );
});

test("a loop without end ends with its signal", async () => {
  const body = define("f", [node("n", "Neg", ["x"], T), node("m", "Neg", ["n:y:0"], T)], "m:y:0");
  const cond = define("cond", [node("l", "LessEqual", ["x", "x"], T)], "l:z:0", 10);
  await using session = new Session(read(graphOf([loop("c", "cond", "f", "x")], [cond, body])));
  await expect(session.run("c:0", { feeds: { "x:0": 1 }, signal: AbortSignal.timeout(200) })).rejects.toThrow(
    /^\[DEADLINE_EXCEEDED\] /,
  );
});

describe("frames", () => {
  const enter = (name: string, input: string, frame: string): NodeDef =>
    node(name, "Enter", [input], {
      ...T,
      frame_name: writeAttr(frame),
      is_constant: writeAttr(false),
      parallel_iterations: writeAttr(1, "int"),
    });
  const merge = (name: string, ...inputs: string[]): NodeDef =>
    node(name, "Merge", inputs, { ...T, N: writeAttr(inputs.length, "int") });

  test("one without a LoopCond", async () => {
    const def = graphOf([
      enter("e", "x", "f"),
      merge("m", "e", "n"),
      node("n", "NextIteration", ["m"], T),
      node("o", "Exit", ["m"], T),
    ]);
    expect(await refusal(def, "o:0")).toBe("[INVALID_ARGUMENT] e: frame 'f' has no LoopCond");
  });

  test("an Exit without an Enter", async () => {
    expect(await refusal(graphOf([node("o", "Exit", ["x"], T)]), "o:0")).toBe(
      "[INVALID_ARGUMENT] o: Exit stands in no loop",
    );
  });

  test("a circle without a frame", async () => {
    const def = graphOf([merge("m", "n"), node("n", "NextIteration", ["m"], T), node("o", "Neg", ["m"], T)]);
    expect(await refusal(def, "o:0")).toMatch(/^\[INVALID_ARGUMENT\] \w: the graph has a cycle through/);
  });

  test("a variable's handle that goes round for ever", async () => {
    const R: Attr = { T: writeAttr("resource", "type") };
    const def = graphOf([
      node("m", "Merge", ["n"], { ...R, N: writeAttr(1, "int") }),
      node("n", "NextIteration", ["m"], R),
      loop("c", "cond", "f", "x"),
      node("r", "ReadVariableOp", ["m"], { dtype: FLOAT }),
    ]);
    expect(await refusal(def, "r:0")).toMatch(/^\[INVALID_ARGUMENT\]/);
  });

  /** Frames in frames; what goes round in each is what leaves the next. */
  const nested = (depth: number, inCondition: boolean): GraphDef =>
    graphOf(
      Array.from({ length: depth }, (_, i) => {
        const inner = i === depth - 1 ? `m${i}` : `o${i + 1}`;
        return [
          enter(`e${i}`, i === 0 ? "x" : `m${i - 1}`, `f${i}`),
          merge(`m${i}`, `e${i}`, `n${i}`),
          node(`l${i}`, "Less", [`m${i}`, inCondition ? inner : `m${i}`], T),
          node(`c${i}`, "LoopCond", [`l${i}`]),
          node(`s${i}`, "Switch", [`m${i}`, `c${i}`], T),
          node(`o${i}`, "Exit", [`s${i}`], T),
          node(`n${i}`, "NextIteration", [i === depth - 1 ? `s${i}:1` : inner], T),
        ];
      }).flat(),
    );

  test("1,000 in each other", async () => {
    expect(await refusal(nested(1000, false), "o0:0")).toBe(
      "[UNIMPLEMENTED] f100: loops stand in each other more than 100 deep",
    );
  });

  test("40 in each other, in the condition and the body of each", { timeout: 60_000 }, () => {
    const graph = read(nested(40, true));
    expect(thrown(() => expand(graph).output(graph.output("o0:0")))).toContain(MANY);
  });

  test("10,000 Merges, each behind the next one's NextIteration, are no deep recursion", () => {
    const n = 10_000;
    const nodes = Array.from({ length: n }, (_, i) => [
      merge(`m${i}`, "x", `n${i}`),
      node(`n${i}`, "NextIteration", [i === n - 1 ? "x" : `m${i + 1}`], T),
    ]).flat();
    const graph = read(graphOf([...nodes, call("c", "f", "x")], [define("f", [], "x")]));
    expect(
      expand(graph)
        .output(graph.output("m0:0"))
        .op.inputs.map((y) => y.name),
    ).toEqual(["x:0", "n0:0"]);
  });
});
