/**
 * The main job: a small residual network with batch normalization learns to read handwritten digits; its variables go into a TensorFlow
 * checkpoint, a new session restores them, and the frozen graph gives the same answers. Writes everything to runs/digits/.
 *
 *   npm start
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import {
  add,
  argmax,
  CORE_OPS,
  cast,
  equal,
  fromData,
  type Graph,
  getOrCreateGlobalStep,
  globalVariables,
  globalVariablesInitializer,
  identity,
  loadRuntime,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  placeholderWithDefault,
  readGraphDef,
  reduceMean,
  relu,
  Session,
  setRandomSeed,
  softmax,
  sparseSoftmaxCrossEntropyWithLogits,
  type Tensor,
  trainableVariables,
  writeGraphDef,
  writeNpy,
} from "varscope";
import { convertVariablesToConstants } from "varscope/edit";
import * as layers from "varscope/layers";
import * as train from "varscope/train";
import { lossCurve, progressBar, table } from "./terminal.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const OUT = join(ROOT, "runs", "digits");
const BATCH = 64;
const EPOCHS = 30;
const TEST_EVERY = 5; // every fifth image is for the test: 20 %

interface Data {
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly count: number;
}

/** Images [n, 8, 8, 1] in 0 to 1, labels [n]. */
async function loadDigits(): Promise<{ training: Data; test: Data }> {
  const text = gunzipSync(await readFile(join(ROOT, "data", "digits.csv.gz"))).toString();
  const rows = text
    .trim()
    .split("\n")
    .map((line) => line.split(",").map(Number));
  const pick = (keep: (i: number) => boolean): Data => {
    const chosen = rows.filter((_, i) => keep(i));
    return {
      images: Float32Array.from(chosen.flatMap((r) => r.slice(0, 64).map((v) => v / 16))),
      labels: Int32Array.from(chosen, (r) => r[64]!),
      count: chosen.length,
    };
  };
  return { training: pick((i) => i % TEST_EVERY !== 0), test: pick((i) => i % TEST_EVERY === 0) };
}

interface Network {
  readonly graph: Graph;
  readonly images: Output;
  readonly labels: Output;
  readonly training: Output;
  readonly logits: Output;
  readonly loss: Output;
  readonly accuracy: Output;
  readonly train: Operation;
  readonly init: Operation;
  readonly saver: train.Saver;
}

function buildNetwork(): Network {
  const graph = newGraph();
  setRandomSeed(graph, 20);
  const images = placeholder(graph, "float32", { shape: [null, 8, 8, 1], name: "images" });
  const labels = placeholder(graph, "int32", { shape: [null], name: "labels" });
  const training = placeholderWithDefault(graph, false, { shape: [], name: "training" });

  const convBn = (x: Output, filters: number, name: string): Output =>
    layers.batchNormalization(layers.conv2d(x, filters, 3, { padding: "same", useBias: false, name }), {
      training,
      momentum: 0.95,
      name: `${name}_bn`,
    });
  const stem = relu(convBn(images, 32, "stem"));
  const block = convBn(relu(convBn(stem, 32, "block_a")), 32, "block_b");
  const pooled = layers.maxPooling2d(relu(add(stem, block)), 2, 2);
  const middle = relu(convBn(pooled, 32, "middle"));
  const features = reduceMean(relu(convBn(middle, 64, "head")), { axis: [1, 2] });
  const logits = identity(layers.dense(features, 10, { name: "scores" }), "logits");

  const loss = reduceMean(sparseSoftmaxCrossEntropyWithLogits({ labels, logits }));
  const hits = equal(argmax(logits, { axis: 1, outputType: "int32" }), labels);
  const accuracy = reduceMean(cast(hits, "float32"), { name: "accuracy" });
  identity(softmax(logits), "probabilities");

  const updates = graph.getCollection<Operation>("update_ops");
  const step = graph.controlDependencies(updates, () =>
    train.adamOptimizer({ learningRate: 0.003 }).minimize(loss, { globalStep: getOrCreateGlobalStep(graph) }),
  );
  return {
    graph,
    images,
    labels,
    training,
    logits,
    loss,
    accuracy,
    train: step,
    init: globalVariablesInitializer(graph),
    saver: train.saver(graph),
  };
}

/** The numbers 0 to n-1 in a random order that is the same every time. */
function shuffled(n: number, seed: number): number[] {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function batchOf(data: Data, rows: readonly number[]): { images: Tensor; labels: Tensor } {
  const images = new Float32Array(rows.length * 64);
  rows.forEach((r, i) => {
    images.set(data.images.subarray(r * 64, (r + 1) * 64), i * 64);
  });
  return {
    images: fromData("float32", [rows.length, 8, 8, 1], images),
    labels: fromData(
      "int32",
      [rows.length],
      Int32Array.from(rows, (r) => data.labels[r]!),
    ),
  };
}

async function trainNetwork(net: Network, session: Session, data: Data): Promise<number[]> {
  await session.run(net.init);
  const losses: number[] = [];
  const perEpoch = Math.floor(data.count / BATCH);
  const bar = progressBar(EPOCHS * perEpoch);
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    const order = shuffled(data.count, epoch + 1);
    for (let b = 0; b < perEpoch; b++) {
      const { images, labels } = batchOf(data, order.slice(b * BATCH, (b + 1) * BATCH));
      const feeds = { images, labels, training: true };
      const [loss, accuracy] = await session.run([net.loss, net.accuracy], { feeds, targets: [net.train] });
      losses.push(loss.data[0] as number);
      bar.update(
        losses.length,
        `epoch ${epoch + 1}/${EPOCHS}  loss ${losses.at(-1)!.toFixed(4)}  accuracy ${(accuracy.data[0] as number).toFixed(3)}`,
      );
    }
  }
  bar.end();
  return losses;
}

/** Share of the images whose largest logit is the label's. */
function accuracyOf(logits: Tensor, labels: Int32Array): number {
  const scores = logits.data as Float32Array;
  const hits = labels.filter((label, i) => {
    const row = scores.subarray(i * 10, (i + 1) * 10);
    return row.indexOf(Math.max(...row)) === label;
  });
  return hits.length / labels.length;
}

/** The variables, a layer a row. */
async function variableTable(net: Network, session: Session): Promise<string> {
  const shown = globalVariables(net.graph).filter((v) =>
    /(kernel|bias|gamma|beta|moving_\w+)$/.test(v.op.name),
  );
  const values = await session.run(shown);
  const rows = shown.map((v, i) => {
    const data = values[i]!.data as Float32Array;
    const mean = data.reduce((a, b) => a + b, 0) / data.length;
    const at = v.op.name.lastIndexOf("/");
    return [
      v.op.name.slice(0, at),
      v.op.name.slice(at + 1),
      `[${values[i]!.shape.join(", ")}]`,
      mean.toFixed(4),
      Math.min(...data).toFixed(4),
      Math.max(...data).toFixed(4),
    ];
  });
  return table(["layer", "variable", "shape", "mean", "min", "max"], rows);
}

export async function main(): Promise<void> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const started = performance.now();
  await rm(OUT, { recursive: true, force: true });
  await mkdir(OUT, { recursive: true });
  const { training, test } = await loadDigits();
  const net = buildNetwork();
  const count = (v: { readonly shape: readonly (number | null)[] | null }): number =>
    (v.shape ?? []).reduce<number>((n, d) => n * (d ?? 1), 1);
  const parameters = trainableVariables(net.graph).reduce((n, v) => n + count(v), 0);
  const runtime = await loadRuntime();
  say(`varscope on ${runtime.name}${runtime.block === null ? "" : `, blocks of ${runtime.block} channels`}`);
  say(`${training.count} images to learn from, ${test.count} held out; ${parameters} parameters\n`);

  const session = new Session(net.graph);
  const losses = await trainNetwork(net, session, training);
  const all = batchOf(
    test,
    Array.from({ length: test.count }, (_, i) => i),
  );
  const feeds = { images: all.images };
  const logits = await session.run(net.logits, { feeds });
  const testAccuracy = accuracyOf(logits, test.labels);
  say(`${lossCurve(losses)}\n`);
  say(`test accuracy ${testAccuracy.toFixed(4)} on ${test.count} held-out images\n`);
  say(`${await variableTable(net, session)}\n`);

  const prefix = join(OUT, "model.ckpt");
  const checkpoint = (await net.saver.save(session, prefix, { globalStep: losses.length }))!;
  const again = buildNetwork();
  const restored = new Session(again.graph);
  await again.saver.restore(restored, checkpoint);
  const restoredAccuracy = accuracyOf(await restored.run(again.logits, { feeds }), test.labels);
  say(`a new graph and session, restored from the checkpoint: ${restoredAccuracy.toFixed(4)}`);

  const frozenFile = join(OUT, "frozen.pb");
  const frozenGraph = convertVariablesToConstants(session, ["logits", "probabilities"]);
  await writeFile(frozenFile, writeGraphDef(frozenGraph));
  const loaded = readGraphDef(await readFile(frozenFile), { registry: CORE_OPS });
  const frozenSession = new Session(loaded);
  const frozenLogits = await frozenSession.run("logits:0", { feeds });
  const frozenAccuracy = accuracyOf(frozenLogits as Tensor, test.labels);
  say(`the frozen graph, read back from its file: ${frozenAccuracy.toFixed(4)}\n`);

  const files = {
    checkpoint: relative(ROOT, checkpoint),
    metaGraph: relative(ROOT, `${checkpoint}.meta`),
    frozen: relative(ROOT, frozenFile),
    testImages: "runs/digits/test-images.npy",
    testLabels: "runs/digits/test-labels.npy",
    frozenLogits: "runs/digits/frozen-logits.npy",
  };
  await writeFile(join(ROOT, files.testImages), writeNpy(all.images));
  await writeFile(join(ROOT, files.testLabels), writeNpy(all.labels));
  await writeFile(join(ROOT, files.frozenLogits), writeNpy(frozenLogits as Tensor));
  const report = {
    testAccuracy,
    restoredAccuracy,
    frozenAccuracy,
    seconds: Math.round(performance.now() - started) / 1000,
    parameters,
    steps: losses.length,
    files,
    names: { input: "images:0", logits: "logits:0", extraFeeds: { "training:0": false } },
  };
  await writeFile(join(OUT, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  await Promise.all([session, restored, frozenSession].map((s) => s.close()));

  say(table(["what", "where"], [...Object.entries(files), ["report", "runs/digits/report.json"]]));
  say(`\n${report.seconds} s. What next:`);
  say(`  npx varscope inspect ${files.checkpoint}            the variables, by layer`);
  say(`  npx varscope print ${files.checkpoint} stem_bn/moving_mean`);
  say(`  npx varscope inspect ${files.frozen}                the frozen graph`);
  say(`  npm test                                            all tests; npm run bench: speed`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
