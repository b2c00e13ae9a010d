import { describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS, noOp, placeholder } from "../ops/index.ts";
import { getVariable, globalVariablesInitializer, onesInitializer } from "../variables/index.ts";
import { Session } from "./index.ts";

const setup = () => {
  const g = new Graph(CORE_OPS);
  const x = placeholder(g, "float32", { shape: [2], name: "x" });
  return { g, x, y: g.add("Mul", [x, 2], { name: "y" }), op: noOp(g, "op"), feeds: { "x:0": [1, 2] } };
};

describe("fetches", () => {
  test("come back in the structure they were asked for: lists, objects, nested, empty", async () => {
    const { g, x, y, op, feeds } = setup();
    await using session = new Session(g);
    const got = await session.run({ a: [x, op], b: { c: y, d: "y:0" }, e: "op", f: [] }, { feeds });
    expect(toNumbers(got.a[0])).toEqual([1, 2]);
    expect([got.a[1], got.e, got.f]).toEqual([null, null, []]);
    expect(got.b.c).toEqual(got.b.d);
    expect(await session.run([])).toEqual([]);
  });

  test.each([false, true])(
    "of a variable grow no graph, a finalized one neither (useResource %s)",
    async (useResource) => {
      const { g } = setup();
      const v = getVariable(g, "v", { shape: [2], initializer: onesInitializer(), useResource });
      const init = globalVariablesInitializer(g);
      g.finalize();
      await using session = new Session(g);
      await session.run([], { targets: [init] });
      const version = g.version;
      expect(toNumbers(await session.run(v))).toEqual([1, 1]);
      expect(g.version).toBe(version);
    },
  );
});

test("any tensor may be fed, by name or by itself", async () => {
  const { g, y } = setup();
  const z = g.add("Neg", [y]);
  await using session = new Session(g);
  expect(toNumbers(await session.run(z, { feeds: { "y:0": [3, 4] } }))).toEqual([-3, -4]);
  expect(toNumbers(await session.run(z, { feeds: new Map([[y, [5, 6]]]) }))).toEqual([-5, -6]);
});
