/** MetaGraphs with variables and savers: under scopes, twice, from files. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openCheckpoint } from "../formats/checkpoint/index.ts";
import { exportMetaGraph } from "../formats/meta-graph/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { getVariable, globalVariablesInitializer, variableScope } from "../variables/index.ts";
import { importMetaGraph, loadMetaGraph, saveMetaGraph } from "./meta-graph.ts";
import { saver } from "./saver.ts";

const dir = mkdtempSync(join(tmpdir(), "varscope-meta-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** y = x · w + b under the scope `net`, w a reference or a resource. */
function network(useResource: boolean): Graph {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null, 2] } } });
  variableScope(g, "net", { useResource }, () => {
    const w = getVariable(g, "w", { shape: [2, 1] });
    const b = getVariable(g, "b", { shape: [1] });
    g.add("AddV2", [g.add("MatMul", [x, w.value()]), b.value()], { name: "y" });
  });
  return g;
}

test.each([false, true])(
  "checkpoints keep the old names after an import under a scope (resource: %s)",
  async (useResource) => {
    const g = network(useResource);
    const saved = saver(g);
    const init = globalVariablesInitializer(g);
    const meta = exportMetaGraph(g, { saverDef: saved.saverDef! });
    await using first = new Session(g);
    await first.run([], { targets: [init] });
    const prefix = join(dir, `plain-${useResource}`);
    await saved.save(first, prefix);
    const y = await first.run("net/y:0", { feeds: { x: [[1, 2]] } });

    const h = new Graph(CORE_OPS);
    const imported = importMetaGraph(h, meta, { importScope: "imp" });
    expect(imported.scope).toBe("imp");
    expect([...imported.variables.keys()]).toEqual(["net/w:0", "net/b:0"]);
    expect(imported.variables.get("net/w:0")!.name).toBe("imp/net/w:0");
    await using second = new Session(h);
    await imported.saver!.restore(second, prefix);
    expect(await second.run("imp/net/y:0", { feeds: { "imp/x": [[1, 2]] } })).toEqual(y);
    const again = join(dir, `again-${useResource}`);
    await imported.saver!.save(second, again);
    const checkpoint = await openCheckpoint(again);
    expect(checkpoint.names()).toEqual(["net/b", "net/w"]);
    await checkpoint.close();
  },
);

test("two imports under scopes are two models of one graph, each with its own checkpoint", async () => {
  const g = network(false);
  const saved = saver(g);
  const init = globalVariablesInitializer(g);
  const meta = exportMetaGraph(g, { saverDef: saved.saverDef! });
  const prefixes: string[] = [];
  const told: unknown[] = [];
  for (const i of [0, 1]) {
    await using session = new Session(g);
    await session.run([], { targets: [init] });
    prefixes.push((await saved.save(session, join(dir, `model-${i}`)))!);
    told.push(await session.run("net/y:0", { feeds: { x: [[3, 4]] } }));
  }
  const h = new Graph(CORE_OPS);
  const models = [0, 1].map(() => importMetaGraph(h, meta, { importScope: "model" }));
  expect(models.map((m) => m.scope)).toEqual(["model", "model_1"]);
  await using session = new Session(h);
  for (const [i, model] of models.entries()) await model.saver!.restore(session, prefixes[i]!);
  const feeds = { "model/x": [[3, 4]], "model_1/x": [[3, 4]] };
  expect(await session.run(["model/net/y:0", "model_1/net/y:0"], { feeds })).toEqual(told);
});

test("a MetaGraph without a saver gets one of all variables, one without variables none", () => {
  const h = new Graph(CORE_OPS);
  const { saver: made } = importMetaGraph(h, exportMetaGraph(network(false)), { importScope: "imp" });
  expect(made!.saverDef).toMatchObject({
    filenameTensorName: "save/Const:0",
    restoreOpName: "save/restore_all",
  });
  const bare = new Graph(CORE_OPS);
  bare.constant(1);
  expect(importMetaGraph(new Graph(CORE_OPS), exportMetaGraph(bare)).saver).toBeNull();
});

test.each([false, true])("files come back as they went (text: %s)", async (asText) => {
  const g = network(true);
  const file = join(dir, `file-${asText}.meta`);
  const def = await saveMetaGraph(g, file, { asText });
  const { def: read } = await loadMetaGraph(new Graph(CORE_OPS), file);
  expect(read).toEqual(def);
});

test("collections that no file can hold are skipped, and the caller hears of them", () => {
  const g = network(false);
  g.addToCollection("things", { answer: 42 });
  const skipped: string[] = [];
  const { collectionDef } = exportMetaGraph(g, { onSkipped: (key, why) => skipped.push(`${key}: ${why}`) });
  expect(Object.keys(collectionDef)).toEqual(["trainable_variables", "variables"]);
  expect(skipped).toEqual(["things: an item is of class Object, which no MetaGraph can hold"]);
});
