/** Gradients through functions, conditionals and loops of TensorFlow 2 have TensorFlow's values; what the graph had before is still there. */

import { describe, expect, test } from "vitest";
import { gradients } from "../../src/autodiff/index.ts";
import { type Tensor, toNumbers } from "../../src/base/index.ts";
import { readGraphDef, writeGraphDef } from "../../src/formats/graph-def/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { Session } from "../../src/run/index.ts";
import { feedsOf, gradientsOf, graphOf, PROGRAMS, readTensor } from "./function-gradients.ts";

/** |ours - TensorFlow's| <= 1e-5 (1 + |TensorFlow's|) */
function expectClose(got: Tensor, want: Tensor, at: string): void {
  expect(got.shape, at).toEqual(want.shape);
  const values = toNumbers(got);
  for (const [i, v] of toNumbers(want).entries()) {
    const near = Math.abs(values[i]! - v) <= 1e-5 * (1 + Math.abs(v));
    expect(near, `${at}[${i}] is ${values[i]}, TensorFlow's ${v}`).toBe(true);
  }
}

describe("gradients through functions", () => {
  test.each(PROGRAMS.filter((p) => p.error === undefined))("$claim", async (program) => {
    const graph = graphOf(program);
    const names = graph.operations.map((op) => op.name);
    const grads = gradientsOf(graph, program);
    expect(graph.operations.slice(0, names.length).map((op) => op.name)).toEqual(names);
    const there = grads.filter((g) => g !== null).map((g) => g.name);
    await using session = new Session(graph, { warn: () => {} });
    for (const { feeds, y, gradients: wanted } of program.runs) {
      expect(grads.map((g) => g === null)).toEqual(wanted.map((g) => g === null));
      await session.run([], { targets: [program.init] });
      const fetched = await session.run([program.y, ...there], { feeds: feedsOf(feeds) });
      const [value, ...values] = fetched as Tensor[];
      expectClose(value!, readTensor(y), "y");
      const want = wanted.filter((g) => g !== null).map(readTensor);
      for (const [i, v] of values.entries()) expectClose(v, want[i]!, there[i]!);
    }
  });

  test.each(PROGRAMS.filter((p) => p.error !== undefined))("$claim: an error that names it", (program) => {
    const graph = graphOf(program);
    const count = graph.operations.length;
    expect(program.error).toMatch(/^No gradient defined for operation'Snapshot' \(op type: Snapshot\)/);
    expect(() => gradientsOf(graph, program)).toThrow(
      /No gradient defined for operation 'PartitionedCall\/Snapshot' \(op type: Snapshot\)/,
    );
    expect(graph.operations.length).toBeGreaterThan(count);
  });

  test("a graph with its gradients is written and read like any other", async () => {
    const program = PROGRAMS.find((p) => p.name === "loop_in_a_function")!;
    const graph = graphOf(program);
    const names = gradientsOf(graph, program).map((g) => g!.name);
    await using session = new Session(readGraphDef(writeGraphDef(graph), { registry: CORE_OPS }));
    await session.run([], { targets: [program.init] });
    const [{ feeds, gradients: wanted }] = program.runs as [(typeof program.runs)[0]];
    const values = (await session.run(names, { feeds: feedsOf(feeds) })) as Tensor[];
    for (const [i, v] of values.entries()) expectClose(v, readTensor(wanted[i]!), names[i]!);
  });

  test("only what lies on the way is taken apart", () => {
    const graph = graphOf(PROGRAMS.find((p) => p.name === "inner_result")!);
    const calls = graph.operations.filter((op) => op.type === "PartitionedCall");
    expect(calls).toHaveLength(2);
    const [first, second] = calls;
    gradients(second!.output(0), first!.output(0));
    expect([first!.type, second!.type]).toEqual(["PartitionedCall", "IdentityN"]);
  });
});
