/** Gradients of loops: what the programs of tests/conformance/programs/loop-gradients.ts cannot show: refusals, and what TensorFlow cannot run. */

import { describe, expect, test } from "vitest";
import { type DType, isVarscopeError, type Tensor, toNumbers } from "../base/index.ts";
import { importGraphDef, writeGraphDef } from "../formats/graph-def/index.ts";
import { densify, Graph, isIndexedSlices, type Output, whileLoop } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { gradients } from "./index.ts";

const int = (value: number): Tensor => ({ dtype: "int32", shape: [], data: new Int32Array([value]) });
const mul = (x: Output, y: Output | number): Output => x.graph.add("Mul", [x, y]);
const holder = (g: Graph, shape: (number | null)[] = [], dtype: DType = "float32", name = "x"): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: shape } } });

/** `body` of x, `times` rounds. */
const loop = (x: Output, times: number, body: (s: Output) => Output): Output =>
  whileLoop(
    x.graph,
    (i) => x.graph.add("Less", [i!, times]),
    (i, s) => [x.graph.add("AddV2", [i!, 1]), body(s!)],
    [int(0), x],
  )[1]!;

function refused(run: () => unknown): { code: string; what: string } {
  try {
    run();
  } catch (e) {
    if (isVarscopeError(e)) return { code: e.code, what: e.what };
    throw e;
  }
  throw new Error("not refused");
}

describe("refused with TensorFlow's sentence", () => {
  test("the gradient of a gradient of a loop", () => {
    const x = holder(new Graph(CORE_OPS));
    const [dx] = gradients(
      loop(x, 3, (s) => mul(s, x)),
      x,
    );
    expect(refused(() => gradients(dx as Output, x))).toEqual({
      code: "UNIMPLEMENTED",
      what: "Second-order gradient for while loops not supported.",
    });
  });

  test("a loop whose context is not in the graph", () => {
    const x = holder(new Graph(CORE_OPS));
    const y = loop(x, 3, (s) => mul(s, x));
    const g = new Graph(CORE_OPS);
    importGraphDef(g, writeGraphDef(x.graph), { prefix: "" });
    expect(refused(() => gradients(g.output(y.name), g.output("x:0")))).toEqual({
      code: "INVALID_ARGUMENT",
      what: "Failed to call gradients on a while loop without properly serializing graph via MetaGraphDef",
    });
  });

  test("inside a loop, what comes from a first value", () => {
    const x = holder(new Graph(CORE_OPS));
    const inside = (s: Output): Output => gradients(mul(s, s), x)[0] as Output;
    expect(refused(() => loop(mul(x, 2), 3, inside))).toEqual({
      code: "INVALID_ARGUMENT",
      what: "Cannot compute gradient inside while loop with respect to op 'x'. We do not support taking the gradient wrt or through the initial value of a loop variable. Gradients can be computed through loop invariants or wrt the input parameters to the loop body.",
    });
  });
});

test("a value inside a loop has a gradient there, and none from outside", () => {
  const x = holder(new Graph(CORE_OPS));
  const kept: Output[] = [];
  const y = loop(x, 3, (s) => {
    kept.push(mul(s, x));
    return kept[0]!;
  });
  expect((gradients(y, kept[0]!)[0] as Output).name).toBe("gradients/while/Merge_1_grad/Switch:1");
  expect(gradients(kept[0]!, x)).toEqual([null]);
});

describe("values", () => {
  const run = async (dx: Output, feed: number[][] | number[]): Promise<number[]> => {
    await using session = new Session(dx.graph, { warn: () => {} });
    return toNumbers((await session.run([dx], { feeds: { "x:0": feed } }))[0] as Tensor);
  };

  test("rows that enter a loop and are made dense there", async () => {
    const x = holder(new Graph(CORE_OPS), [4, 2]);
    const y = loop(x, 2, (s) => mul(s, s));
    const ids = x.graph.constant({ dtype: "int32", shape: [2], data: new Int32Array([0, 2]) });
    const dx = gradients(x.graph.add("GatherV2", [y, ids, int(0)]), x)[0]!;
    const rows = [1, 2];
    expect(await run(isIndexedSlices(dx) ? densify(dx) : dx, [rows, rows, rows, rows])).toEqual([
      4, 32, 0, 0, 4, 32, 0, 0,
    ]);
  });

  test("float64 that starts anew in each round, which TensorFlow builds with zeros of float32 and cannot run", async () => {
    const x = holder(new Graph(CORE_OPS), [null], "float64");
    const dx = gradients(
      loop(x, 2, () => mul(x, 3)),
      x,
    )[0] as Output;
    expect(await run(dx, [1, 2])).toEqual([3, 3]);
  });
});
