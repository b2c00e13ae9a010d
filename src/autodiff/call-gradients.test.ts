/** Gradients through functions, conditionals and loops of TensorFlow 2 are TensorFlow's: the goldens of tools/goldens/function_gradients.py. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type DType, fromBytes, type Tensor, toNumbers } from "../base/index.ts";
import { readGraphDef } from "../formats/graph-def/index.ts";
import { densify, type Grad, type Graph, isIndexedSlices, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { gradients } from "./index.ts";

interface TensorJson {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64: string;
}

interface Program {
  readonly name: string;
  readonly claim: string;
  readonly init: string;
  readonly y: string;
  readonly xs: readonly string[];
  readonly order: number;
  readonly error?: string;
  readonly runs: readonly {
    readonly feeds: Readonly<Record<string, TensorJson>>;
    readonly y: TensorJson;
    readonly gradients: readonly (TensorJson | null)[];
  }[];
}

const GOLDENS = new URL("../../tests/goldens/function-gradients/", import.meta.url);
const { programs } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly programs: readonly Program[];
};

const read = ({ dtype, shape, base64 }: TensorJson): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(base64, "base64")));

const load = (name: string): Graph =>
  readGraphDef(gunzipSync(readFileSync(new URL(`${name}.pb.gz`, GOLDENS))), { registry: CORE_OPS });

const dense = (g: Grad | null): Output | null => (isIndexedSlices(g) ? densify(g) : g);

/** |ours - TensorFlow's| <= 1e-5 (1 + |TensorFlow's|) */
function expectClose(got: Tensor, want: Tensor, at: string): void {
  expect(got.shape, at).toEqual(want.shape);
  const values = toNumbers(got);
  for (const [i, v] of toNumbers(want).entries()) {
    const near = Math.abs(values[i]! - v) <= 1e-5 * (1 + Math.abs(v));
    expect(near, `${at}[${i}] is ${values[i]}, TensorFlow's ${v}`).toBe(true);
  }
}

function gradientsOf(graph: Graph, { y, xs, order }: Program): (Output | null)[] {
  const from = xs.map((x) => graph.output(x));
  let found = gradients(graph.output(y), from).map(dense);
  for (let i = 1; i < order; i++) found = gradients(found as Output[], from).map(dense);
  return found;
}

describe("gradients through functions", () => {
  test.each(programs.filter((p) => p.error === undefined))("$claim", async (program) => {
    const graph = load(program.name);
    const names = graph.operations.map((op) => op.name);
    const grads = gradientsOf(graph, program);
    expect(graph.operations.slice(0, names.length).map((op) => op.name)).toEqual(names);
    await using session = new Session(graph, { warn: () => {} });
    for (const { feeds, y, gradients: wanted } of program.runs) {
      await session.run([], { targets: [program.init] });
      expect(grads.map((g) => g === null)).toEqual(wanted.map((g) => g === null));
      const fed = Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, read(v)]));
      const fetched = await session.run([program.y, ...grads.filter((g) => g !== null)], { feeds: fed });
      expectClose(fetched[0]!, read(y), "y");
      const of = wanted.flatMap((g, i) => (g === null ? [] : [[program.xs[i]!, read(g)] as const]));
      for (const [i, [x, want]] of of.entries()) expectClose(fetched[i + 1]!, want, x);
    }
  });
});
