/**
 * @file Loads models, runs, trains and closes them, many times over, and prints what the process holds on the way: what of it is alive, and
 * megabytes. Run by memory.test.ts in a process of its own, with --expose-gc: models.mjs LOADS FOLDER GOLDEN.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readGraphDef } from "../../src/formats/graph-def/index.ts";
import { Graph } from "../../src/graph/index.ts";
import { conv2d, dense, flatten, sparseSoftmaxCrossEntropy } from "../../src/layers/index.ts";
import { CORE_OPS, placeholder } from "../../src/ops/index.ts";
import { loadRuntime } from "../../src/run/ort-node.ts";
import type { Runtime } from "../../src/run/runtime.ts";
import { Session } from "../../src/run/session.ts";
import { adamOptimizer, loadMetaGraph, saver } from "../../src/train/index.ts";
import { globalVariablesInitializer } from "../../src/variables/index.ts";

/** Sessions and graphs, to see which of them are gone. */
const made: WeakRef<Session | Graph>[] = [];

/** Models that the engine was given and has not released. */
let programs = 0;

/** The engine, counting. */
async function counting(): Promise<Runtime> {
  const native = await loadRuntime();
  return {
    ...native,
    async load(...args) {
      const program = await native.load(...args);
      programs++;
      return {
        run: program.run,
        async release() {
          programs--;
          await program.release();
        },
      };
    },
  };
}

const runtime = await counting();

function opened(graph: Graph): Session {
  const session = new Session(graph, { runtime });
  made.push(new WeakRef(graph), new WeakRef(session));
  return session;
}

/** 270,000 weights, each with two slots: 3 MB. */
function classifier(): Graph {
  const g = new Graph(CORE_OPS);
  const x = placeholder(g, "float32", { shape: [null, 16, 16, 3], name: "x" });
  const labels = placeholder(g, "int32", { shape: [null], name: "labels" });
  const h = conv2d(x, 32, 3, { strides: 2, padding: "same", name: "conv" });
  const logits = dense(dense(flatten(h), 128, { name: "hidden" }), 10, { name: "logits" });
  const loss = sparseSoftmaxCrossEntropy(labels, logits);
  adamOptimizer({ learningRate: 0.001 }).minimize(loss, { name: "train" });
  return g;
}

async function save(prefix: string): Promise<void> {
  const g = classifier();
  const init = globalVariablesInitializer(g);
  await using session = opened(g);
  await session.run([], { targets: [init] });
  await saver(g).save(session, prefix);
}

const image = (rows: number) => {
  const data = Float32Array.from({ length: rows * 16 * 16 * 3 }, (_, i) => Math.sin(i));
  return { dtype: "float32", shape: [rows, 16, 16, 3], data } as const;
};

/** A classifier from its files, as it serves and trains: with plans of static, symbolic and constant weights. */
async function useModel(prefix: string): Promise<void> {
  const g = new Graph(CORE_OPS);
  const { saver: keeper } = await loadMetaGraph(g, `${prefix}.meta`);
  await using session = opened(g);
  await keeper!.restore(session, prefix);
  for (const rows of [1, 2, 2, 2]) await session.run("logits/BiasAdd:0", { feeds: { "x:0": image(rows) } });
  await session.run([], { targets: ["train"], feeds: { "x:0": image(4), "labels:0": [0, 1, 2, 3] } });
}

/** A loop of TensorFlow 1 with its gradient: runners, stacks and arrays. */
async function useLoop(bytes: Uint8Array): Promise<void> {
  await using session = opened(readGraphDef(bytes, { registry: CORE_OPS }));
  await session.run(
    "gradients/TensorArrayUnstack/TensorArrayScatter/TensorArrayScatterV3_grad/TensorArrayGatherV3:0",
    {
      feeds: {
        "x:0": [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
      },
    },
  );
}

const megabytes = (bytes: number): number => bytes / 2 ** 20;

/** After finalizers ran. */
async function held(): Promise<Readonly<Record<string, number>>> {
  for (let i = 0; i < 4; i++) {
    (globalThis as { gc?: () => void }).gc!();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return {
    alive: made.filter((ref) => ref.deref() !== undefined).length,
    programs,
    arrays: megabytes(arrayBuffers),
    heap: megabytes(heapUsed),
    rss: megabytes(rss),
  };
}

const [loads, folder, golden] = process.argv.slice(2) as [string, string, string];
const prefix = join(folder, "model");
const loop = gunzipSync(readFileSync(golden));
await save(prefix);
for (let i = 0; i <= Number(loads); i++) {
  if (i % 50 === 0) console.log(JSON.stringify({ loads: i, ...(await held()) }));
  await useModel(prefix);
  if (i % 4 === 0) await useLoop(loop);
}
