/** @file The checks of whole programs against the goldens of a folder. Start at `programSuite`. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type Tensor, toNumbers } from "../../../src/base/index.ts";
import { writeGraphDef } from "../../../src/formats/graph-def/index.ts";
import { Graph } from "../../../src/graph/index.ts";
import { CORE_OPS } from "../../../src/ops/index.ts";
import { AttrValueSchema, type GraphDef, GraphDefSchema } from "../../../src/proto/graph.gen.ts";
import { VariableDefSchema } from "../../../src/proto/variable.gen.ts";
import { Session } from "../../../src/run/index.ts";
import { globalVariables } from "../../../src/variables/index.ts";
import type { Program } from "./pieces.ts";

/** One readable line a node. */
export const lines = (def: GraphDef): string[] =>
  def.node.map((n) => {
    const attrs = Object.keys(n.attr)
      .sort()
      .map((k) => `${k}=${JSON.stringify(toJson(AttrValueSchema, n.attr[k]!))}`);
    return [n.name, n.op, `(${n.input.join(", ")})`, n.device, ...attrs].join(" ");
  });

interface TensorJson {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: readonly (number | boolean)[];
}

interface RunJson {
  readonly feeds: readonly Record<string, never>[];
  readonly fetches: readonly string[];
  readonly fetched: readonly (readonly TensorJson[])[];
  readonly variables: readonly Record<string, TensorJson>[];
}

/** Values agree as far as float32 sums in another order do; initial values, `exact`, bit for bit. */
function expectClose(got: Tensor, want: TensorJson, at: string, exact = false): void {
  expect(got.dtype, at).toBe(want.dtype);
  expect(got.shape, at).toEqual(want.shape);
  const numbers = toNumbers(got);
  want.values.forEach((v, i) => {
    const distance = Math.abs(numbers[i]! - Number(v));
    expect(distance, `${at}[${i}]: ${numbers[i]}, TensorFlow ${v}`).toBeLessThanOrEqual(
      exact ? 0 : 2e-6 + 2e-5 * Math.abs(Number(v)),
    );
  });
}

/**
 * Tests that each of `programs` makes the graph, the collections and the values that the folder `tests/goldens/<folder>/` holds.
 *
 * @param scope - nodes of this name scope alone are compared; by default all
 */
export function programSuite(folder: string, programs: Readonly<Record<string, Program>>, scope = ""): void {
  const read = (name: string): Buffer =>
    readFileSync(new URL(`../../goldens/${folder}/${name}`, import.meta.url));
  const values = JSON.parse(gunzipSync(read("values.json.gz")).toString());
  const build = (name: string): Graph => {
    const graph = new Graph(CORE_OPS);
    programs[name]!(graph);
    return graph;
  };

  test("there is a program for each golden", () => {
    expect(Object.keys(programs).sort()).toEqual(Object.keys(values).sort());
  });

  describe.each(Object.keys(programs))("%s", (name) => {
    test("makes TensorFlow's graph", () => {
      const golden = fromBinary(GraphDefSchema, gunzipSync(read(`${name}.pb.gz`)));
      const ours = fromBinary(GraphDefSchema, writeGraphDef(build(name)));
      const compared = (def: GraphDef): string[] => lines(def).filter((line) => line.startsWith(scope));
      expect(compared(ours)).toEqual(compared(golden));
    });

    test("fills TensorFlow's collections", () => {
      const graph = build(name);
      const collections = Object.fromEntries(
        [...graph.collections]
          .filter(([, items]) => items.every((x) => typeof (x as { name?: unknown }).name === "string"))
          .map(([key, items]) => [key, items.map((x) => (x as { name: string }).name)]),
      );
      const wanted = Object.entries(values[name].collections as Record<string, string[]>);
      expect(collections).toEqual(Object.fromEntries(wanted.filter(([, names]) => names.length > 0)));
      const defs = globalVariables(graph).map((v) =>
        Buffer.from(toBinary(VariableDefSchema, v.toProto())).toString("hex"),
      );
      expect(defs).toEqual(values[name].variableDefs);
    });

    test.skipIf(values[name]?.run === undefined)("gives TensorFlow's values, step by step", () =>
      checkRun(build(name), values[name].run),
    );
  });
}

async function checkRun(graph: Graph, run: RunJson): Promise<void> {
  await using session = new Session(graph, { warn: () => {} });
  const variables = globalVariables(graph);
  const check = async (step: number): Promise<void> => {
    const values = await session.run(variables.map((v) => v.snapshot));
    variables.forEach((v, i) => {
      expectClose(values[i]!, run.variables[step]![v.op.name]!, `step ${step}, ${v.op.name}`, step === 0);
    });
  };
  await session.run([], { targets: variables.map((v) => v.initializer) });
  await check(0);
  const targets = graph.findOperation("train") === undefined ? [] : ["train"];
  for (const [i, feeds] of run.feeds.entries()) {
    const fetched = await session.run([...run.fetches], { feeds });
    run.fetches.forEach((fetch, k) => {
      expectClose(fetched[k] as Tensor, run.fetched[i]![k]!, `step ${i + 1}, ${fetch}`);
    });
    await session.run([], { feeds, targets });
    await check(i + 1);
  }
}
