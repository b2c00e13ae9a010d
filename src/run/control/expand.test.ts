/** Graphs that TensorFlow wrote compute the same when their calls are inlined and their loops lowered. The values are TensorFlow's. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { fromBytes, type Tensor, toNumbers } from "../../base/index.ts";
import { readGraphDef, writeGraphDef } from "../../formats/graph-def/index.ts";
import type { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../session.ts";
import { inlineCalls } from "./expand.ts";

interface Wire {
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  readonly base64: string;
}

interface Golden {
  readonly file: string;
  readonly init: readonly string[];
  readonly runs: readonly {
    readonly feeds: Readonly<Record<string, Wire>>;
    readonly fetches: Readonly<Record<string, Wire>>;
    readonly targets?: readonly string[];
  }[];
}

const FOLDER = new URL("../../../tests/goldens/control-flow/", import.meta.url);
const { graphs } = JSON.parse(readFileSync(new URL("manifest.json", FOLDER), "utf8")) as {
  graphs: readonly Golden[];
};

const fromWire = ({ dtype, shape, base64 }: Wire): Tensor =>
  fromBytes(dtype, shape, new Uint8Array(Buffer.from(base64, "base64")));

const read = (file: string): Graph =>
  readGraphDef(gunzipSync(readFileSync(new URL(file, FOLDER))), { registry: CORE_OPS });

const functional = graphs.filter(({ file }) => file.includes(".v2."));

describe.each(functional)("$file", ({ file, init, runs }) => {
  test.each(["lower", "keep"] as const)("computes the same with loops: %s", async (loops) => {
    const graph = read(file);
    const inlined = inlineCalls(graph, { loops });
    const bytes = writeGraphDef(inlined.graph);
    const again = readGraphDef(bytes, { registry: CORE_OPS });
    if (loops === "lower") expect(again.functions.size).toBe(0);
    const targets = (names: readonly string[]): string[] =>
      names.flatMap((name) => inlined.operations(graph.operation(name)).map((op) => op.name));
    const session = new Session(again, { warn: () => {} });
    if (init.length > 0) await session.run([], { targets: targets(init) });
    for (const run of runs) {
      const feeds = Object.fromEntries(Object.entries(run.feeds).map(([k, v]) => [k, fromWire(v)]));
      const names = Object.keys(run.fetches);
      const fetches = names.map((name) => inlined.output(graph.output(name)).name);
      const got = (await session.run(fetches, { feeds, targets: targets(run.targets ?? []) })) as Tensor[];
      for (const [i, name] of names.entries()) expectClose(got[i]!, fromWire(run.fetches[name]!));
    }
    await session.close();
  });
});

function expectClose(got: Tensor, want: Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = [toNumbers(got), toNumbers(want)];
  for (const [i, x] of a.entries()) {
    expect(Math.abs(Number(x) - Number(b[i]))).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(Number(b[i]))));
  }
}
