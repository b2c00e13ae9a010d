import { expect, test } from "vitest";
import { newGraph } from "../ops/index.ts";
import { Session } from "./index.ts";

test("a variable without a fixed shape may take another one between runs", async () => {
  const g = newGraph();
  const v = g.add("VariableV2", [], { name: "v", attrs: { dtype: "float32", shape: { dims: null } } });
  const value = g.add("Placeholder", [], {
    name: "value",
    attrs: { dtype: "float32", shape: { dims: null } },
  });
  const assign = g.add("Assign", [v, value], { attrs: { validate_shape: false } });
  const doubled = g.add("Mul", [g.add("Identity", [v]), 2]);
  const session = new Session(g);
  for (const values of [[1, 2], [1, 2, 3], [5]]) {
    await session.run(assign, { feeds: { value: values } });
    const result = await session.run(doubled);
    expect(Array.from(result.data as Float32Array)).toEqual(values.map((x) => 2 * x));
  }
  await session.close();
});

test("a run that fails or is aborted leaves every variable as it was", async () => {
  const g = newGraph();
  const v = g.add("VariableV2", [], { name: "v", attrs: { dtype: "float32", shape: { dims: [2] } } });
  const init = g.add("Assign", [v, [1, 2]]);
  const add = g.add("AssignAdd", [v, [1, 1]]);
  const index = g.add("Placeholder", [], { name: "index", attrs: { dtype: "int32", shape: { dims: [] } } });
  const picked = g.add("GatherV2", [[1, 2, 3], index, g.constant(0, { dtype: "int32" })]);
  const session = new Session(g);
  await session.run(init);
  await expect(session.run(picked, { feeds: { index: 7 }, targets: [add] })).rejects.toThrow(/7/);
  const aborted = AbortSignal.abort();
  await expect(session.run(add, { signal: aborted })).rejects.toThrow(/CANCELLED/);
  expect(Array.from((await session.run(v)).data as Float32Array)).toEqual([1, 2]);
  await session.close();
  await expect(session.run(v)).rejects.toThrow("Attempted to use a closed Session.");
});

test("what is fed for one output of an op stays, though the op runs for another", async () => {
  const g = newGraph();
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [4] } } });
  for (const input of [x, g.constant([1, 2, 3, 4], { dtype: "float32" })]) {
    const { outputs } = g.addOp("Split", [0, input], { attrs: { num_split: 2 } });
    const sum = g.add("AddV2", [outputs[0]!, outputs[1]!]);
    await using session = new Session(g);
    const feeds = new Map<string, number[]>([[outputs[0]!.name, [10, 20]]]);
    if (input === x) feeds.set("x:0", [1, 2, 3, 4]);
    const [first, total] = await session.run([outputs[0]!, sum], { feeds: Object.fromEntries(feeds) });
    expect(Array.from(first!.data as Float32Array)).toEqual([10, 20]);
    expect(Array.from(total!.data as Float32Array)).toEqual([13, 24]);
  }
});
