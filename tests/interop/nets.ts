/** @file Networks for both sides: built here as a user builds them, trained here and in TensorFlow. */

import {
  add,
  type Device,
  fromData,
  type Graph,
  GraphKeys,
  gather,
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
  glorotNormalInitializer,
  heNormalInitializer,
  newGraph,
  type Operation,
  type Output,
  orthogonalInitializer,
  placeholder,
  reduceMean,
  relu,
  setRandomSeed,
  sparseSoftmaxCrossEntropyWithLogits,
  truncatedNormalInitializer,
  variableScope,
} from "varscope";
import * as layers from "varscope/layers";
import * as train from "varscope/train";
import type { TensorMap } from "./tensorflow.ts";

export interface Net {
  readonly graph: Graph;
  /** names in the graph */
  readonly logits: string;
  readonly loss: string;
  readonly train: string;
  readonly init: string;
  readonly batches: readonly TensorMap[];
  readonly saver: train.Saver;
}

/** Numbers in [0, 1) that are the same everywhere. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const CLASSES = 5;
const BATCH = 16;

/** Four batches whose class follows from the input, so that there is something to learn. */
function batchesOf(
  shape: readonly number[],
  make: (label: number, random: () => number) => number,
): TensorMap[] {
  const random = generator(7);
  const size = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: 4 }, () => {
    const labels = Int32Array.from({ length: BATCH }, () => Math.floor(random() * CLASSES));
    const x = Float32Array.from({ length: BATCH * size }, (_, i) =>
      make(labels[Math.floor(i / size)]!, random),
    );
    return {
      "x:0": fromData("float32", [BATCH, ...shape], x),
      "labels:0": fromData("int32", [BATCH], labels),
    };
  });
}

const noisy = (label: number, random: () => number): number => 0.3 * label + random() - 1;

/** Everything around the logits: loss, train op after the update ops, init op, saver. */
function finish(
  graph: Graph,
  logits: Output,
  optimizer: train.Optimizer,
  batches: readonly TensorMap[],
): Net {
  const labels = placeholder(graph, "int32", { shape: [null], name: "labels" });
  const loss = reduceMean(sparseSoftmaxCrossEntropyWithLogits({ labels, logits }), { name: "loss" });
  const updates = graph.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  const step = graph.controlDependencies(updates, () =>
    optimizer.minimize(loss, { globalStep: getOrCreateGlobalStep(graph) }),
  );
  const init = globalVariablesInitializer(graph);
  return {
    graph,
    logits: logits.name,
    loss: loss.name,
    train: step.name,
    init: init.name,
    batches,
    saver: train.saver(graph),
  };
}

/** Where a net's ops go: nowhere in particular by default. */
type Place = Device | null;

function seeded(useResource: boolean, device: Place, build: (graph: Graph) => Net): Net {
  const graph = newGraph();
  setRandomSeed(graph, 11);
  return graph.withDevice(device, () =>
    variableScope(graph, "", { useResource, auxiliaryNameScope: false }, () => build(graph)),
  );
}

const input = (graph: Graph, shape: readonly (number | null)[]): Output =>
  placeholder(graph, "float32", { shape: [null, ...shape], name: "x" });

/** Three dense layers of three initializers, Adam. */
export const mlp = (device: Place = null): Net =>
  seeded(false, device, (g) => {
    let y = input(g, [20]);
    y = layers.dense(y, 32, { activation: relu });
    y = layers.dense(y, 24, { activation: relu, kernelInitializer: glorotNormalInitializer() });
    y = layers.dense(y, CLASSES, { kernelInitializer: truncatedNormalInitializer({ stddev: 0.1, seed: 5 }) });
    return finish(g, y, train.adamOptimizer({ learningRate: 0.002 }), batchesOf([20], noisy));
  });

/** Convolutions with fused batch normalization, pooling, dense; momentum. */
export const convBn = (useResource: boolean, device: Place = null): Net =>
  seeded(useResource, device, (g) => {
    let y = input(g, [8, 8, 3]);
    y = layers.conv2d(y, 8, 3, { padding: "same", useBias: false, kernelInitializer: heNormalInitializer() });
    y = relu(layers.batchNormalization(y, { training: true, momentum: 0.9 }));
    y = layers.conv2d(y, 12, 3, { strides: 2, padding: "same" });
    y = relu(layers.batchNormalization(y, { training: true, momentum: 0.9 }));
    y = layers.dense(layers.flatten(layers.maxPooling2d(y, 2, 2)), CLASSES);
    const optimizer = train.momentumOptimizer({ learningRate: 0.01, momentum: 0.9 });
    return finish(g, y, optimizer, batchesOf([8, 8, 3], noisy));
  });

/** Batch normalization that asks a placeholder whether this is training: conditionals. */
export const placeholderBn = (device: Place = null): Net =>
  seeded(false, device, (g) => {
    const training = placeholder(g, "bool", { shape: [], name: "training" });
    let y = layers.dense(input(g, [20]), 16);
    y = relu(layers.batchNormalization(y, { training, momentum: 0.9 }));
    y = layers.dense(y, CLASSES);
    const on = fromData("bool", [], Uint8Array.of(1));
    const batches = batchesOf([20], noisy).map((b) => ({ ...b, "training:0": on }));
    return finish(g, y, train.rmsPropOptimizer({ learningRate: 0.002, momentum: 0.5 }), batches);
  });

/** Rows of a table: gradients are IndexedSlices; Adagrad. */
export const embedding = (useResource: boolean, device: Place = null): Net =>
  seeded(useResource, device, (g) => {
    const ids = placeholder(g, "int32", { shape: [null, 6], name: "ids" });
    const table = getVariable(g, "table", { shape: [50, 8], initializer: truncatedNormalInitializer() });
    const rows = gather(table.isResource ? table.value() : table.snapshot, ids);
    const y = layers.dense(reduceMean(rows, { axis: 1 }), CLASSES);
    const random = generator(3);
    const batches = batchesOf([1], noisy).map(({ "labels:0": labels }) => ({
      "labels:0": labels!,
      // words of a class: ten of the fifty
      "ids:0": fromData(
        "int32",
        [BATCH, 6],
        Int32Array.from({ length: BATCH * 6 }, (_, i) => {
          const label = Number(labels!.data[Math.floor(i / 6)]);
          return 10 * label + Math.floor(random() * 10);
        }),
      ),
    }));
    return finish(g, y, train.adagradOptimizer({ learningRate: 0.1 }), batches);
  });

/** Dropout with the graph's seed and with one of its own. */
export const dropout = (device: Place = null): Net =>
  seeded(false, device, (g) => {
    let y = layers.dense(input(g, [20]), 64, { activation: relu });
    y = layers.dropout(y, 0.4, { training: true });
    y = layers.dense(y, 32, { activation: relu });
    y = layers.dropout(y, 0.25, { training: true, seed: 9 });
    return finish(
      g,
      layers.dense(y, CLASSES),
      train.gradientDescentOptimizer({ learningRate: 0.05 }),
      batchesOf([20], noisy),
    );
  });

/** An orthogonal matrix comes from a QR decomposition, whose rounding is LAPACK's or ours. */
export const orthogonal = (device: Place = null): Net =>
  seeded(false, device, (g) => {
    const y = layers.dense(input(g, [20]), 16, { kernelInitializer: orthogonalInitializer({ gain: 1.5 }) });
    return finish(
      g,
      layers.dense(y, CLASSES),
      train.gradientDescentOptimizer({ learningRate: 0.05 }),
      batchesOf([20], noisy),
    );
  });

/** What the others leave out: separable convolution, plain batch normalization, average pooling, a regularizer, clipping, Nesterov. */
export const clipped = (device: Place = null): Net =>
  seeded(true, device, (g) => {
    let y = input(g, [8, 8, 3]);
    y = layers.separableConv2d(y, 8, 3, { padding: "same" });
    y = relu(layers.batchNormalization(y, { training: true, momentum: 0.9, fused: false }));
    y = layers.flatten(layers.averagePooling2d(y, 2, 2));
    y = layers.dense(y, CLASSES, { kernelRegularizer: layers.l2Regularizer(0.001) });
    const optimizer = train.momentumOptimizer({ learningRate: 0.02, momentum: 0.9, useNesterov: true });
    const minimize: train.Optimizer["minimize"] = (loss, options) => {
      const found = optimizer.computeGradients(add(loss, layers.getRegularizationLoss(g)));
      const [grads] = train.clipByGlobalNorm(
        found.map(([grad]) => grad),
        0.5,
      );
      return optimizer.applyGradients(
        grads.map((grad, i) => [grad, found[i]![1]] as const),
        options,
      );
    };
    return finish(g, y, { ...optimizer, minimize }, batchesOf([8, 8, 3], noisy));
  });
