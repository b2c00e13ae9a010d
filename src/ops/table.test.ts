/** Lookup tables against TensorFlow: runs in one session, one after the other. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesOf, type Tensor } from "../base/index.ts";
import { importGraphDef } from "../formats/graph-def/index.ts";
import { Graph, type Operation } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS, newGraph, tablesInitializer } from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "tables");
interface Value {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: (number | string)[];
}
interface Case {
  readonly graph: string;
  readonly runs: readonly (readonly string[])[];
  readonly results: readonly { values?: readonly Value[]; error?: string }[];
  readonly shapes: Readonly<Record<string, readonly ((number | null)[] | null)[]>>;
}
const { cases } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as {
  cases: Record<string, Case>;
};

const encoded = (t: Tensor): Value => ({
  dtype: t.dtype,
  shape: [...t.shape],
  values:
    t.dtype === "string"
      ? Array.from(t.data as readonly Uint8Array[], (b) => Buffer.from(b).toString("base64"))
      : Array.from(t.data as Float32Array, Number),
});

/** Constants that name files, with the folder where they are. */
function located(op: Operation): void {
  const value = op.attrs.value as unknown as Tensor | undefined;
  if (value?.dtype !== "string") return;
  const data = (value.data as readonly Uint8Array[]).map((b) =>
    new TextEncoder().encode(new TextDecoder().decode(b).replace(/^FILE\//, `${GOLDENS}/`)),
  );
  op.setAttr("value", { ...value, data } as never);
}

describe("tables as in TensorFlow:", () => {
  test.each(Object.entries(cases))("%s", async (_, { graph: text, runs, results, shapes }) => {
    const graph = new Graph(CORE_OPS);
    importGraphDef(graph, new Uint8Array(Buffer.from(text, "base64")), { prefix: "" });
    for (const [name, told] of Object.entries(shapes))
      expect(
        graph.operation(name).outputs.map((y) => (y.shape === null ? null : [...y.shape])),
        name,
      ).toEqual(told);
    for (const op of graph.operations) located(op);
    await using session = new Session(graph);
    for (const [i, names] of runs.entries()) {
      const { values, error } = results[i]!;
      const done = session.run([...names]);
      if (error === undefined) {
        const got = (await done).filter((t): t is Tensor => t !== null);
        expect(got.map(encoded), `run ${i}`).toEqual(values);
        continue;
      }
      const [, kind, what] = /^(\w+)Error: (.*)$/.exec(error.replaceAll("FILE/", `${GOLDENS}/`))!;
      const code = kind!.replace(/(?<!^)([A-Z])/g, "_$1").toUpperCase();
      const sentence = code === "NOT_FOUND" ? expect.any(String) : what;
      await expect(done, `run ${i}`).rejects.toEqual(expect.objectContaining({ code, what: sentence }));
    }
  });
});

test("sessions have tables of their own", async () => {
  const graph = new Graph(CORE_OPS);
  importGraphDef(graph, new Uint8Array(Buffer.from(cases.static_table!.graph, "base64")), { prefix: "" });
  await using a = new Session(graph);
  await using b = new Session(graph);
  await a.run([], { targets: ["init"] });
  expect((await a.run("size:0"))!.data[0]).toBe(3n);
  expect((await b.run("size:0"))!.data[0]).toBe(0n);
});

test("tablesInitializer fills all tables of the graph's collection", async () => {
  const g = newGraph();
  expect(tablesInitializer(g).name).toBe("init_all_tables");
  const table = g.add("HashTableV2", [], { attrs: { key_dtype: "string", value_dtype: "int64" } });
  g.addToCollection(
    "table_initializer",
    g.addOp("InitializeTableV2", [
      table,
      ["a", "b"],
      { dtype: "int64", shape: [2], data: BigInt64Array.of(5n, 6n) },
    ]),
  );
  const init = tablesInitializer(g);
  expect(init.name).toBe("init_all_tables_1");
  const found = g.add("LookupTableFindV2", [
    table,
    ["b", "c"],
    { dtype: "int64", shape: [], data: BigInt64Array.of(-1n) },
  ]);
  await using session = new Session(g);
  await session.run([], { targets: [init] });
  expect(bytesOf(await session.run(found))).toEqual(new Uint8Array(BigInt64Array.of(6n, -1n).buffer));
});
