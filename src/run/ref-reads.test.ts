import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { newGraph } from "../ops/index.ts";
import { Session } from "./index.ts";

/** v = 1, w = 10, each with the read that stands beside it. */
async function started() {
  const g = newGraph();
  const make = (name: string, value: number): [Output, Output] => {
    const v = g.add("VariableV2", [], { name, attrs: { dtype: "float32", shape: { dims: [] } } });
    g.add("Assign", [v, value], { name: `${name}/Assign` });
    return [v, g.add("Identity", [v], { name: `${name}/read` })];
  };
  const [v, read] = make("v", 1);
  const [, other] = make("w", 10);
  const session = new Session(g);
  await session.run([], { targets: ["v/Assign", "w/Assign"] });
  return { g, v, read, other, session };
}

test("an op ordered after a write sees the new value through a read made before, as in TensorFlow's memory", async () => {
  const { g, v, read, other, session } = await started();
  const before = g.add("Mul", [read, 2]);
  const step = g.add("AssignAdd", [v, before]); // 1 + 2
  const passed = g.add("Identity", [read]);
  const after = g.controlDependencies([step], () => [
    g.add("AddV2", [read, other]),
    g.add("AddV2", [passed, 0]),
  ]);
  const values = await session.run([before, ...after]);
  expect(values.flatMap((t) => toNumbers(t))).toEqual([2, 13, 3]);
  await session.close();
});

test("an op that is not ordered after the write sees the old value, and of two writes the one it comes after counts", async () => {
  const { g, v, read, session } = await started();
  const first = g.add("AssignAdd", [v, 1]);
  const between = g.controlDependencies([first], () => g.add("Mul", [read, 10]));
  const second = g.controlDependencies([between], () => g.add("AssignAdd", [v, 5]));
  const last = g.controlDependencies([second], () => g.add("Mul", [read, 100]));
  const free = g.add("Mul", [read, 1000]);
  const values = await session.run([between, last, free]);
  expect(values.flatMap((t) => toNumbers(t))).toEqual([20, 700, 1000]);
  await session.close();
});
