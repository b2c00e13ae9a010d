/**
 * @file TensorFlow.js's side of the benchmark: the networks of models.ts in tfjs-layers, one training step or one prediction
 * on its CPU or WASM backend. Each case has a process of its own, since a step of plain JavaScript may take minutes and
 * cannot be interrupted. Start at `tfjsTimes`; `node tfjs.js MODEL KIND BACKEND BUDGET_MS` answers one case as JSON.
 */

import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { fileURLToPath } from "node:url";
import "@tensorflow/tfjs-backend-cpu";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { input, type LayersModel, layers, model, type SymbolicTensor } from "@tensorflow/tfjs-layers";
import { INPUTS, type ModelName } from "./models.ts";

export type TfjsKind = "train" | "infer";
export type TfjsBackend = "cpu" | "wasm";
/** `ms` is the median of the runs; `error` the first line of why there is none, such as a kernel the backend lacks. */
export type TfjsResult = { readonly ms: number } | { readonly error: string };

/** A case may overrun its budget this many times before its process is killed. */
const OVERRUN = 3;

const relu = (x: SymbolicTensor): SymbolicTensor => layers.reLU().apply(x) as SymbolicTensor;
const add = (x: SymbolicTensor, y: SymbolicTensor): SymbolicTensor =>
  layers.add().apply([x, y]) as SymbolicTensor;
const halve = (x: SymbolicTensor): SymbolicTensor =>
  layers.maxPooling2d({ poolSize: 2, strides: 2 }).apply(x) as SymbolicTensor;
const average = (x: SymbolicTensor): SymbolicTensor =>
  layers.globalAveragePooling2d({}).apply(x) as SymbolicTensor;
const dense = (x: SymbolicTensor, units: number): SymbolicTensor =>
  layers.dense({ units }).apply(x) as SymbolicTensor;
const denseRelu = (x: SymbolicTensor, units: number): SymbolicTensor =>
  layers.dense({ units, activation: "relu" }).apply(x) as SymbolicTensor;

function convBn(x: SymbolicTensor, filters: number, kernelSize: number, strides = 1): SymbolicTensor {
  const conv = layers.conv2d({ filters, kernelSize, strides, padding: "same", useBias: false });
  return layers.batchNormalization().apply(conv.apply(x)) as SymbolicTensor;
}

function digits(images: SymbolicTensor): SymbolicTensor {
  const x = relu(convBn(images, 32, 3));
  const y = convBn(relu(convBn(x, 32, 3)), 32, 3);
  return dense(average(relu(convBn(halve(relu(add(x, y))), 64, 3))), 10);
}

function mnistCnn(images: SymbolicTensor): SymbolicTensor {
  let x = images;
  for (const filters of [32, 64]) x = halve(relu(convBn(x, filters, 3)));
  return dense(denseRelu(layers.flatten().apply(x) as SymbolicTensor, 128), 10);
}

function resnet20(images: SymbolicTensor): SymbolicTensor {
  let x = relu(convBn(images, 16, 3));
  for (const [stage, filters] of [16, 32, 64].entries()) {
    for (let block = 0; block < 3; block++) {
      const strides = stage > 0 && block === 0 ? 2 : 1;
      const y = convBn(relu(convBn(x, filters, 3, strides)), filters, 3);
      x = relu(add(y, strides === 1 ? x : convBn(x, filters, 1, strides)));
    }
  }
  return dense(average(x), 10);
}

const mlp = (images: SymbolicTensor): SymbolicTensor => dense(denseRelu(denseRelu(images, 512), 512), 10);

const BUILD = { digits, "mnist-cnn": mnistCnn, resnet20, mlp };

function build(name: ModelName): LayersModel {
  const images = input({ shape: INPUTS[name].slice(1) });
  return model({ inputs: images, outputs: BUILD[name](images) });
}

/** One step: forward, gradients, momentum 0.9, the moving statistics; ends when the loss is in JavaScript's hands. */
function trainingStep(name: ModelName): () => void {
  const network = build(name);
  const shape = [...INPUTS[name]];
  const images = tf.randomUniform(shape);
  // tfjs has no sparse cross entropy; its dense one has a gradient of its own, which its Keras-like losses lack.
  const labels = tf.oneHot(tf.randomUniform([shape[0] as number], 0, 10, "int32") as tf.Tensor1D, 10);
  const optimizer = tf.train.momentum(0.01, 0.9);
  const loss = () =>
    tf.losses.softmaxCrossEntropy(
      labels,
      network.apply(images, { training: true }) as tf.Tensor,
    ) as tf.Scalar;
  return () => {
    const value = optimizer.minimize(loss, true) as tf.Scalar;
    const [scalar] = value.dataSync();
    value.dispose();
    if (!Number.isFinite(scalar)) throw new Error(`loss is ${scalar}`);
  };
}

function prediction(name: ModelName): () => void {
  const network = build(name);
  const images = tf.randomUniform([...INPUTS[name]]);
  return () => {
    tf.tidy(() => tf.softmax(network.apply(images, { training: false }) as tf.Tensor).dataSync());
  };
}

/**
 * Makes the backend current. WASM uses SIMD but one thread: tfjs offers its threads to browsers only.
 * @see https://github.com/tensorflow/tfjs/issues/3830
 */
async function start(backend: TfjsBackend): Promise<void> {
  tf.enableProdMode(); // no checks of arguments, no advice on the console
  if (backend === "wasm") {
    setWasmPaths(dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm")) + sep);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start`);
}

/** Median of the runs that fit the budget; the first warms up, and counts only where there is no second. */
function median(run: () => void, budgetMs: number): number {
  const begin = performance.now();
  const times: number[] = [];
  do {
    const t = performance.now();
    run();
    times.push(performance.now() - t);
  } while (performance.now() - begin < budgetMs);
  const warm = (times.length > 1 ? times.slice(1) : times).sort((a, b) => a - b);
  const middle = warm.length >> 1;
  const upper = warm[middle] as number;
  return warm.length % 2 === 1 ? upper : (upper + (warm[middle - 1] as number)) / 2;
}

const firstLine = (text: string): string => text.trim().split("\n", 1)[0] as string;

async function answer(name: ModelName, kind: TfjsKind, backend: TfjsBackend, budgetMs: number) {
  try {
    await start(backend);
    const run = kind === "train" ? trainingStep(name) : prediction(name);
    return { ms: median(run, budgetMs) };
  } catch (error) {
    return { error: firstLine(error instanceof Error ? error.message : String(error)) };
  }
}

/** Times one case in a process of its own, which has `OVERRUN` times the budget, start-up included. */
export function tfjsTimes(
  name: ModelName,
  kind: TfjsKind,
  backend: TfjsBackend,
  budgetMs: number,
): Promise<TfjsResult> {
  const limitMs = Math.ceil(budgetMs * OVERRUN);
  const args = [fileURLToPath(import.meta.url), name, kind, backend, String(budgetMs)];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: limitMs, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      if (error?.killed) resolve({ error: `over ${limitMs / 1000} s` });
      else if (error)
        resolve({
          error: stderr.split("\n").find((line) => /error/i.test(line)) ?? firstLine(error.message),
        });
      else resolve(JSON.parse(stdout) as TfjsResult);
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name, kind, backend, budgetMs] = process.argv.slice(2);
  const result = await answer(name as ModelName, kind as TfjsKind, backend as TfjsBackend, Number(budgetMs));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
