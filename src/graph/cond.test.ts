/** Errors and short cuts of conditionals; their graphs are compared in tests/conformance/graph-programs.test.ts. */

import { describe, expect, test } from "vitest";
import { CORE_OPS } from "../ops/index.ts";
import { CondContext, cond, Graph, type Output, smartCond } from "./index.ts";

const holder = (g: Graph, name: string, dtype: "bool" | "float32" = "bool"): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: [] } } });

describe("cond", () => {
  const g = new Graph(CORE_OPS);
  const p = holder(g, "p");
  const x = holder(g, "x", "float32");

  test("gives a list for a list, one output for one", () => {
    expect(
      cond(
        p,
        () => x,
        () => 1,
      ),
    ).not.toBeInstanceOf(Array);
    expect(
      cond(
        p,
        () => [x, x],
        () => [x, g.constant(1)],
      ),
    ).toHaveLength(2);
    expect(
      (
        cond(
          p,
          () => [1, 2],
          () => [3, 4],
        ) as Output
      ).shape,
    ).toEqual([2]);
  });

  test("leaves the context as it was, after an error too", () => {
    expect(() =>
      cond(
        p,
        () => {
          throw new Error("stop");
        },
        () => x,
      ),
    ).toThrow("stop");
    expect(g.context).toBe(null);
  });

  test("keeps constants known inside a branch", () => {
    cond(
      p,
      () => {
        const shape = g.constant([2, 3], { dtype: "int32" });
        const y = g.add("Fill", [shape, x]);
        expect(y.shape).toEqual([2, 3]);
        expect(y.op.context).toBeInstanceOf(CondContext);
        return y;
      },
      () => g.constant(0, { shape: [2, 3] }),
    );
  });

  const wrong: [string, () => unknown, string][] = [
    [
      "a bool predicate",
      () =>
        cond(
          x,
          () => x,
          () => x,
        ),
      "the predicate of a conditional is bool, x:0 is float32",
    ],
    [
      "as many values on both sides",
      () =>
        cond(
          p,
          () => [x, x],
          () => x,
        ),
      "Incompatible return values of 'true_fn' and 'false_fn': 2 and 1 values",
    ],
    [
      "equal dtypes",
      () =>
        cond(
          p,
          () => x,
          () => p,
        ),
      "must have the same type(s). Received float32 from 'true_fn' and bool from 'false_fn'.",
    ],
    [
      "a value",
      () =>
        cond(
          p,
          () => undefined as never,
          () => x,
        ),
      "a branch of a conditional must have a return value",
    ],
  ];
  for (const [what, call, message] of wrong) {
    test(`wants ${what}`, () => expect(call).toThrow(message));
  }
});

describe("smartCond", () => {
  test("picks the branch of a known predicate and builds nothing else", () => {
    const g = new Graph(CORE_OPS);
    const yes = g.constant(true);
    expect(
      smartCond(
        yes,
        () => "a",
        () => "b",
      ),
    ).toBe("a");
    expect(
      smartCond(
        false,
        () => "a",
        () => "b",
      ),
    ).toBe("b");
    expect(g.operations).toHaveLength(1);
  });

  test("builds a conditional for an unknown one", () => {
    const g = new Graph(CORE_OPS);
    smartCond(
      holder(g, "p"),
      () => 1,
      () => 2,
    );
    expect(g.operations.some((op) => op.type === "Merge")).toBe(true);
  });
});
