import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nodeDifference } from "../../tests/conformance/compare.ts";
import type { NodeJson } from "../../tests/conformance/golden-json.ts";
import { bytesOf, type DType, getElement, type Tensor } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS, randomNormal, randomUniform } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import * as initializers from "./initializers.ts";
import type { Initializer } from "./scope-state.ts";

interface Case {
  readonly initializer: string;
  readonly options: Record<string, unknown>;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly nodes: readonly NodeJson[];
  readonly sha256: string;
  readonly first: readonly number[];
}

const golden = new URL("../../tests/goldens/initializers/cases.json", import.meta.url);
const cases = JSON.parse(readFileSync(golden, "utf8")) as Case[];

function make({ initializer, options }: Case): Initializer {
  const name = initializer.replaceAll(/_(.)/g, (_, c: string) => c.toUpperCase());
  const factory = (initializers as unknown as Record<string, (options: unknown) => Initializer>)[
    `${name}Initializer`
  ]!;
  return factory(initializer === "constant" ? options.value : options);
}

const newGraph = (): Graph => {
  const g = new Graph(CORE_OPS);
  g.seed = 42;
  return g;
};

describe("initializers", () => {
  test.each(
    cases.map((c) => [`${c.initializer} ${JSON.stringify(c.options)} ${c.dtype} [${c.shape}]`, c] as const),
  )("%s makes TensorFlow's nodes and numbers", async (_, c) => {
    const g = newGraph();
    randomUniform(g, [2]);
    randomNormal(g, [2]);
    const before = g.operations.length;
    const output = make(c)(g, c.shape, c.dtype);
    const made = g.operations.slice(before);
    expect(made.map((op) => op.name)).toEqual(c.nodes.map((n) => n[0]));
    expect(made.map((op, i) => nodeDifference(op, c.nodes[i]!)).filter((d) => d !== null)).toEqual([]);

    const session = new Session(g);
    const value = (await session.run(output as never)) as Tensor;
    await session.close();
    if (c.initializer === "orthogonal") {
      // the QR decomposition rounds in another order
      c.first.forEach((want, i) => {
        expect(getElement(value, i)).toBeCloseTo(want, 5);
      });
      return;
    }
    const exact = c.dtype === "float64" ? (x: number): number => x : Math.fround;
    expect(c.first.map((_, i) => Number(getElement(value, i)))).toEqual(c.first.map(exact));
    expect(createHash("sha256").update(bytesOf(value)).digest("hex")).toBe(c.sha256);
  });

  test("a constant needs no more values than the shape has", () => {
    const init = initializers.constantInitializer([1, 2, 3]);
    expect(() => init(newGraph(), [2], "float32")).toThrow(
      "Too many elements provided. Needed at most 2, but received 3",
    );
  });

  test("a constant's shape is checked on demand", () => {
    const init = initializers.constantInitializer([1, 2, 3, 4], { verifyShape: true });
    expect(() => init(newGraph(), [2, 2], "float32")).toThrow("Expected Tensor's shape: (2, 2), got (4,).");
  });

  test("distributions are of floats", () => {
    expect(() => initializers.glorotUniformInitializer()(newGraph(), [2, 2], "int32")).toThrow(
      "floating point",
    );
    expect(() => initializers.varianceScalingInitializer({ scale: 0 })).toThrow("must be a positive float");
    expect(() => initializers.orthogonalInitializer()(newGraph(), [2], "float32")).toThrow("two-dimensional");
  });
});
