import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS, tensorArray } from "./index.ts";

const F32 = { element_dtype: "float32" } as const;

test("lists and arrays of two billion elements take no memory until they are asked for", async () => {
  const g = new Graph(CORE_OPS);
  const size = 2 ** 31 - 1;
  const list = g.add("TensorListReserve", [[2], size], { attrs: { ...F32, shape_type: "int32" } });
  const set = g.add("TensorListSetItem", [list, size - 1, [1, 2]]);
  const item = g.add("TensorListGetItem", [set, size - 1, [2]], { attrs: F32 });
  const array = tensorArray(g, "float32", size).write(size - 1, [3, 4]);
  const none = g.constant([], { dtype: "int64", shape: [0] });
  const attrs = { ...F32, shape_type: "int32" } as const;
  const joined = g.addOp("TensorListConcatV2", [set, [2], none], { attrs }).output(0);
  await using session = new Session(g);
  expect((await session.run([item, array.read(size - 1)])).map((t) => toNumbers(t))).toEqual([
    [1, 2],
    [3, 4],
  ]);
  await expect(session.run(joined)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await expect(session.run(array.concat())).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
});

test("a shape of -1 may come in the run, as it does in loops; TensorFlow wants it earlier", async () => {
  const g = new Graph(CORE_OPS);
  const shape = g.add("Placeholder", [], { name: "shape", attrs: { dtype: "int32", shape: { dims: [] } } });
  const list = g.add("TensorListFromTensor", [g.constant([[1, 2]], { dtype: "float32" }), shape]);
  const y = g.add("TensorListStack", [list, shape], { attrs: F32 });
  await using session = new Session(g);
  expect(toNumbers(await session.run(y, { feeds: { "shape:0": -1 } }))).toEqual([1, 2]);
  await expect(session.run(y, { feeds: { "shape:0": 3 } })).rejects.toThrow(
    /The only valid scalar shape tensor/,
  );
});

test("an array is made anew in each run, and sessions do not share it", async () => {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [] } } });
  const y = tensorArray(g, "float32", 1).write(0, x).read(0);
  await using a = new Session(g);
  await using b = new Session(g);
  const runs = [1, 2, 3].flatMap((v) => [a, b].map((s) => s.run(y, { feeds: { "x:0": v } })));
  expect((await Promise.all(runs)).flatMap((t) => toNumbers(t))).toEqual([1, 1, 2, 2, 3, 3]);
});

test("pushing in a chain and popping in reverse ends with the first element and none", async () => {
  const g = new Graph(CORE_OPS);
  let list = g.add("EmptyTensorList", [g.constant([], { dtype: "int32", shape: [0] }), -1], {
    attrs: { ...F32, shape_type: "int32" },
  });
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [] } } });
  for (let i = 0; i < 2000; i++) list = g.add("TensorListPushBack", [list, x]);
  let last: Output = x;
  for (let i = 0; i < 2000; i++) {
    const op = g.addOp("TensorListPopBack", [list, g.constant([], { dtype: "int32", shape: [0] })], {
      attrs: F32,
    });
    [list, last] = op.outputs as [Output, Output];
  }
  await using session = new Session(g);
  const length = g.add("TensorListLength", [list]);
  expect((await session.run([last, length], { feeds: { "x:0": 7 } })).flatMap((t) => toNumbers(t))).toEqual([
    7, 0,
  ]);
});
