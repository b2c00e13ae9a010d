import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import {
  CORE_OPS,
  getSeed,
  randomNormal,
  randomShuffle,
  randomUniform,
  setRandomSeed,
  statelessUniform,
} from "./index.ts";

type Row = [number | null, number | null, number, [number | null, number | null]];
const seeds = JSON.parse(
  readFileSync(new URL("../../tests/goldens/random/seeds.json", import.meta.url), "utf8"),
) as Row[];

const nodesOf = (g: Graph): string[] =>
  g.operations.map((op) => `${op.name} ${op.type} ${op.inputs.map((x) => x.name)}`);

describe("seeds", () => {
  test.each(seeds)(
    "graph seed %s, op seed %s, %i ops before: as TensorFlow pairs them",
    (graphSeed, opSeed, ops, want) => {
      const g = new Graph(CORE_OPS);
      setRandomSeed(g, graphSeed);
      for (let i = 0; i < ops; i++) g.constant(1);
      expect(getSeed(g, opSeed)).toEqual({ seed: want[0] ?? 0, seed2: want[1] ?? 0 });
    },
  );

  test("a graph numbers its random ops that have no seed of their own", () => {
    const g = new Graph(CORE_OPS);
    setRandomSeed(g, 3);
    const ops = [randomUniform(g, [1]), randomUniform(g, [1], { seed: 9 }), randomUniform(g, [1])];
    expect(ops.map((x) => [x.op.attrs.seed, x.op.attrs.seed2])).toEqual([
      [3, 0],
      [3, 9],
      [3, 1],
    ]);
  });
});

describe("random functions", () => {
  test("[0, 1) needs no bounds", () => {
    const g = new Graph(CORE_OPS);
    randomUniform(g, [2, 3]);
    expect(nodesOf(g)).toEqual([
      "random_uniform/shape Const ",
      "random_uniform/RandomUniform RandomUniform random_uniform/shape:0",
    ]);
  });

  test("a shape may have dims that are outputs", () => {
    const g = new Graph(CORE_OPS);
    const n = g.add("Placeholder", [], { attrs: { dtype: "int32", shape: { dims: [] } } });
    const x = randomUniform(g, [n, 3], { minval: -1 });
    expect(nodesOf(g)).toEqual([
      "Placeholder Placeholder ",
      "random_uniform/shape/1 Const ",
      "random_uniform/shape Pack Placeholder:0,random_uniform/shape/1:0",
      "random_uniform/min Const ",
      "random_uniform/max Const ",
      "random_uniform/RandomUniform RandomUniform random_uniform/shape:0",
      "random_uniform/sub Sub random_uniform/max:0,random_uniform/min:0",
      "random_uniform/mul Mul random_uniform/RandomUniform:0,random_uniform/sub:0",
      "random_uniform AddV2 random_uniform/mul:0,random_uniform/min:0",
    ]);
    expect(x.shape).toEqual([null, 3]);
  });

  test("stateless numbers come of key and counter", () => {
    const g = new Graph(CORE_OPS);
    statelessUniform(g, [2], { seed: [1, 2], dtype: "int32", maxval: 9 });
    expect(nodesOf(g).map((n) => n.split(" ")[0])).toEqual([
      "stateless_random_uniform/shape",
      "stateless_random_uniform/min",
      "stateless_random_uniform/max",
      "stateless_random_uniform/StatelessRandomGetKeyCounter/seed",
      "stateless_random_uniform/StatelessRandomGetKeyCounter",
      "stateless_random_uniform/alg",
      "stateless_random_uniform",
    ]);
  });

  test("integers need an upper bound", () => {
    const g = new Graph(CORE_OPS);
    expect(() => randomUniform(g, [2], { dtype: "int32" })).toThrow(
      "Must specify maxval for integer dtype int32",
    );
  });
});

describe("in a session", () => {
  const runs = async (g: Graph, x: Output, times: number): Promise<string[]> => {
    const session = new Session(g);
    const out: string[] = [];
    for (let i = 0; i < times; i++) out.push(String(((await session.run(x)) as Tensor).data));
    await session.close();
    return out;
  };

  test("numbers go on from run to run, and start again in a new session", async () => {
    const g = new Graph(CORE_OPS);
    const x = randomNormal(g, [5], { seed: 4 });
    const [a, b] = await runs(g, x, 2);
    expect(b).not.toBe(a);
    expect(await runs(g, x, 2)).toEqual([a, b]);
  });

  test("without seeds sessions differ", async () => {
    const g = new Graph(CORE_OPS);
    const x = randomNormal(g, [5]);
    expect(await runs(g, x, 1)).not.toEqual(await runs(g, x, 1));
  });

  test("a shuffle keeps all rows", async () => {
    const g = new Graph(CORE_OPS);
    const [order] = await runs(
      g,
      randomShuffle(g.constant([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { dtype: "int32" })),
      1,
    );
    const rows = order!.split(",").map(Number);
    expect([...rows].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
