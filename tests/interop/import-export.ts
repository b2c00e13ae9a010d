/** @file Import and export: MetaGraphs and SavedModels that go both ways, loops and conditionals included. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  add,
  type Graph,
  getVariable,
  globalVariablesInitializer,
  importGraphDef,
  matmul,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  reduceMean,
  Session,
  square,
  subtract,
  type Tensor,
  tablesInitializer,
  tensor,
  toNumbers,
  variableScope,
  writeGraphDef,
} from "varscope";
import {
  exportMetaGraph,
  importMetaGraph,
  loadMetaGraph,
  loadSavedModel,
  momentumOptimizer,
  saveMetaGraph,
  saver,
  saveSavedModel,
} from "varscope/train";
import { describe, expect, test } from "vitest";
import { fromWire, type TensorFlow, toWire, type WireTensor } from "./tensorflow.ts";

interface Net {
  readonly graph: Graph;
  readonly x: Output;
  readonly y: Output;
  readonly loss: Output;
  readonly train: Operation;
  readonly init: Operation;
}

/** (x w + b - 1)² and a step of momentum. */
function network(useResource: boolean): Net {
  const graph = newGraph();
  const x = placeholder(graph, "float32", { shape: [null, 2], name: "x" });
  const [w, b] = variableScope(graph, "net", { useResource }, () => [
    getVariable(graph, "w", { initializer: [[0.5], [-0.25]] }),
    getVariable(graph, "b", { initializer: [0.125] }),
  ]);
  const y = add(matmul(x, w!.value()), b!.value(), "y");
  const loss = graph.add("Identity", [reduceMean(square(subtract(y, 1)))], { name: "loss" });
  const step = momentumOptimizer({ learningRate: 0.05, momentum: 0.9 }).minimize(loss, { name: "train" });
  return { graph, x, y, loss, train: step, init: globalVariablesInitializer(graph) };
}

const X = tensor(
  [
    [1, 2],
    [3, -1],
    [0.5, 0.25],
  ],
  "float32",
);

async function trained(net: Net, session: Session, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const { loss } = await session.run({ loss: net.loss }, { feeds: { x: X }, targets: [net.train] });
    losses.push(toNumbers(loss)[0]!);
  }
  return losses;
}

function expectClose(got: readonly number[], told: readonly number[], tolerance = 1e-5): void {
  expect(got.length).toBe(told.length);
  got.forEach((v, i) => {
    expect(Math.abs(v - told[i]!), `${v} for ${told[i]}`).toBeLessThanOrEqual(
      tolerance * (1 + Math.abs(told[i]!)),
    );
  });
}

const wires = (feeds: Readonly<Record<string, Tensor>>): Record<string, WireTensor> =>
  Object.fromEntries(Object.entries(feeds).map(([k, t]) => [k, toWire(t)]));
const numbers = (t: WireTensor): number[] => toNumbers(fromWire(t));

function metaGraphs(tf: TensorFlow | null, folder: string): void {
  test.each([false, true])(
    "TensorFlow imports our MetaGraph under a scope and trains on (resource %s)",
    async (resource) => {
      const net = network(resource);
      const saved = saver(net.graph);
      await using session = new Session(net.graph);
      await session.run([], { targets: [net.init] });
      await trained(net, session, 4);
      const prefix = (await saved.save(session, join(folder, `ours-${resource}`), {
        writeMetaGraph: false,
      }))!;
      const meta = `${prefix}.meta`;
      await saveMetaGraph(net.graph, meta, { saverDef: saved.saverDef! });
      const theirs = `${prefix}-on`;
      const request = { meta, prefix, scope: "imp", feeds: wires({ x: X }), steps: 6, saved: theirs };
      const { losses, keys } = await tf!.ask<{ losses: number[]; keys: string[] }>("exchange_train", request);
      expectClose(losses, await trained(net, session, 6), 1e-4);
      expect(keys).toEqual(["net/b", "net/b/Momentum", "net/w", "net/w/Momentum"]);
      // and back: what TensorFlow saved goes on here, in another graph under another scope
      const graph = newGraph();
      const back = importMetaGraph(graph, await readFile(meta), { importScope: "back" });
      await using again = new Session(graph);
      await back.saver!.restore(again, theirs);
      const one = await again.run({ loss: "back/loss:0" }, { feeds: { "back/x": X } });
      const [next] = await trained(net, session, 1);
      expectClose(toNumbers(one.loss as Tensor), [next!], 1e-4);
    },
  );

  test("a loop of TensorFlow's that we import and export again is differentiated there", async () => {
    const there = join(folder, "loop.meta");
    await tf!.ask("exchange_loop", { meta: there });
    const feeds = wires({ "n:0": tensor(3, "int32"), "x:0": tensor([2, -3], "float32") });
    const ask = (meta: string, scope: string, name: (n: string) => string) =>
      tf!.ask<WireTensor[]>("exchange_gradient", {
        meta,
        scope,
        y: name("net/y:0"),
        x: name("x:0"),
        feeds: Object.fromEntries(Object.entries(feeds).map(([k, v]) => [name(k), v])),
      });
    const told = await ask(there, "", (n) => n);
    for (const [i, importScope] of ["", "a"].entries()) {
      const graph = newGraph();
      await loadMetaGraph(graph, there, { importScope });
      const here = join(folder, `loop-${i}.meta`);
      await saveMetaGraph(graph, here);
      const got = await ask(here, "b", (n) => (importScope === "" ? n : `${importScope}/${n}`));
      expect(got.map(numbers)).toEqual(told.map(numbers));
    }
    // the same here
    const graph = newGraph();
    await loadMetaGraph(graph, there, { importScope: "a" });
    await using session = new Session(graph);
    await session.run([], { targets: [graph.operation("a/net/w/Assign")] });
    const y = await session.run("a/net/y:0", { feeds: { "a/n": 3, "a/x": [2, -3] } });
    expectClose(toNumbers(y as Tensor), numbers(told[0]!));
  });

  test("TensorFlow imports a scope that we exported alone, its inputs mapped, and differentiates its loop", async () => {
    const there = join(folder, "whole.meta");
    await tf!.ask("exchange_loop", { meta: there });
    const graph = newGraph();
    await loadMetaGraph(graph, there);
    const here = join(folder, "part.meta");
    const part = await saveMetaGraph(graph, here, { exportScope: "net" });
    expect(part.graphDef!.node.map((n) => n.name)).toContain("loop/LoopCond");
    const mapped = wires({
      $unbound_inputs_n: tensor(3, "int32"),
      $unbound_inputs_x: tensor([2, -3], "float32"),
    });
    const request = {
      meta: here,
      scope: "part",
      y: "y:0",
      x: "$unbound_inputs_x",
      feeds: mapped,
      input_map: mapped,
    };
    const whole = {
      meta: there,
      scope: "",
      y: "net/y:0",
      x: "x:0",
      feeds: wires({ "n:0": tensor(3, "int32"), "x:0": tensor([2, -3], "float32") }),
    };
    const [got, told] = [
      await tf!.ask<WireTensor[]>("exchange_gradient", request),
      await tf!.ask<WireTensor[]>("exchange_gradient", whole),
    ];
    expect(got.map(numbers)).toEqual(told.map(numbers));
  });

  test("functions, loops and conditionals of TensorFlow 2 come under a prefix and go back", async () => {
    const there = join(folder, "functional.pb");
    await tf!.ask("exchange_functional", { path: there });
    for (const n of [2, 5]) {
      const feeds = { "n:0": tensor(n, "int32"), "x:0": tensor([1, -2], "float32") };
      const told = numbers(
        await tf!.ask("exchange_imported", { path: there, prefix: "", fetch: "y:0", feeds: wires(feeds) }),
      );
      const graph = newGraph();
      const [y] = importGraphDef(graph, await readFile(there), { prefix: "p", returnElements: ["y:0"] });
      await using session = new Session(graph);
      const ours = await session.run(y as Output, { feeds: { "p/n": n, "p/x": [1, -2] } });
      expectClose(toNumbers(ours), told);
      const here = join(folder, `functional-${n}.pb`);
      await writeFile(here, writeGraphDef(graph));
      const inside = Object.fromEntries(Object.entries(feeds).map(([k, v]) => [`p/${k}`, v]));
      const again = { path: here, prefix: "q", fetch: "p/y:0", feeds: wires(inside) };
      expect(numbers(await tf!.ask("exchange_imported", again))).toEqual(told);
    }
  });
}

function savedModels(tf: TensorFlow | null, folder: string): void {
  test.each([false, true])(
    "TensorFlow 1, 2 and Serving load our SavedModel and answer as we do (resource %s)",
    async (resource) => {
      const net = network(resource);
      await using session = new Session(net.graph);
      await session.run([], { targets: [net.init] });
      await trained(net, session, 3);
      const at = join(folder, `saved-${resource}`);
      const signature = { inputs: { x: net.x }, outputs: { y: net.y } };
      await saveSavedModel(session, at, {
        tags: ["train"],
        trainOp: net.train,
        others: [
          {
            graph: net.graph,
            tags: ["serve"],
            signatures: { serving_default: signature },
            clearDevices: true,
            stripDefaultAttrs: true,
          },
        ],
      });
      const told = toNumbers(await session.run(net.y, { feeds: { x: X } }));
      const call = { folder: at, signature: "serving_default", feeds: wires({ x: X }) };
      const v1 = await tf!.ask<{ method: string; outputs: Record<string, WireTensor> }>("exchange_saved_v1", {
        ...call,
        tags: ["serve"],
      });
      expect(v1.method).toBe("tensorflow/serving/predict");
      expectClose(numbers(v1.outputs.y!), told);
      for (const tags of [["serve"], ["train"]])
        expect(await tf!.ask("exchange_served", { folder: at, tags })).toBe("");
      expect(await tf!.ask("exchange_served", { folder: at, tags: ["nope"] })).toMatch(
        /Could not find meta graph def/,
      );
      const losses = await tf!.ask<number[]>("exchange_saved_train", {
        folder: at,
        steps: 4,
        feeds: wires({ "x:0": X }),
      });
      expectClose(losses, await trained(net, session, 4), 1e-4);

      const alone = `${at}-alone`;
      await saveSavedModel(session, alone, { signatures: { serving_default: signature } });
      const now = toNumbers(await session.run(net.y, { feeds: { x: X } }));
      const v2 = await tf!.ask<{ variables: string[]; outputs: Record<string, WireTensor> }>(
        "exchange_saved_v2",
        { ...call, folder: alone },
      );
      expectClose(numbers(v2.outputs.y!), now);
      if (resource) expect(v2.variables).toContain("net/w:0");
      await using model = await loadSavedModel(alone);
      expect(toNumbers((await model.run({ x: X })).y!)).toEqual(now);
    },
  );

  test("TensorFlow fills the tables of our SavedModel from its assets", async () => {
    const words = join(folder, "words.txt");
    await writeFile(words, "emerson\nlake\npalmer\n");
    const graph = newGraph();
    const text = placeholder(graph, "string", { shape: [null], name: "text" });
    const file = graph.constant(words, { name: "file" });
    const table = graph.add("HashTableV2", [], {
      attrs: { key_dtype: "string", value_dtype: "int64", shared_name: "words" },
    });
    graph.addToCollection(
      "table_initializer",
      graph.addOp("InitializeTableFromTextFileV2", [table, file], {
        attrs: { key_index: -2, value_index: -1 },
      }),
    );
    const ids = graph.add("LookupTableFindV2", [table, text, tensor(-1n, "int64")], { name: "ids" });
    await using session = new Session(graph);
    const at = join(folder, "with-assets");
    const signatures = { serving_default: { inputs: { text }, outputs: { ids } } };
    await saveSavedModel(session, at, { signatures, assets: [file], mainOp: tablesInitializer(graph) });
    await writeFile(words, "others\n"); // the model has its own
    const feeds = wires({ text: tensor(["palmer", "none", "lake"], "string") });
    const v1 = await tf!.ask<{ outputs: Record<string, WireTensor> }>("exchange_saved_v1", {
      folder: at,
      tags: ["serve"],
      signature: "serving_default",
      feeds,
    });
    const v2 = await tf!.ask<{ outputs: Record<string, WireTensor> }>("exchange_saved_v2", {
      folder: at,
      signature: "serving_default",
      feeds,
    });
    expect([numbers(v1.outputs.ids!), numbers(v2.outputs.ids!)]).toEqual([
      [2, -1, 1],
      [2, -1, 1],
    ]);
    expect(await tf!.ask("exchange_served", { folder: at, tags: ["serve"] })).toBe("");
  });

  test("two imports of resource variables share them, here as in TensorFlow; of reference variables do not", async () => {
    for (const resource of [false, true]) {
      const net = network(resource);
      const meta = exportMetaGraph(net.graph);
      const graph = newGraph();
      for (const importScope of ["a", "b"]) importMetaGraph(graph, meta, { importScope });
      const path = join(folder, `two-${resource}.pb`);
      await writeFile(path, writeGraphDef(graph));
      await using session = new Session(graph);
      await session.run([], { targets: ["a/init"] });
      const state = await session.run("b/y:0", { feeds: { "b/x": X } }).then(
        () => "shared",
        () => "apart",
      );
      expect(state).toBe(resource ? "shared" : "apart");
      const there = await tf!.ask("exchange_shared", {
        path,
        init: "a/init",
        fetch: "b/y:0",
        feeds: wires({ "b/x:0": X }),
      });
      expect(there).toBe(state);
    }
  });
}

export function importExportSuite(tf: TensorFlow | null, parent: string): void {
  describe.skipIf(tf === null)("import and export", async () => {
    const folder = join(parent, "exchange");
    await mkdir(folder, { recursive: true });
    metaGraphs(tf, folder);
    savedModels(tf, folder);
  });
}
