/** The networks of the benchmark, built as a user would: the same as bench/tf_worker.py has. */

import {
  add,
  type Graph,
  getOrCreateGlobalStep,
  globalVariablesInitializer,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  reduceMean,
  relu,
  reshape,
  softmax,
  sparseSoftmaxCrossEntropyWithLogits,
} from "varscope";
import * as layers from "varscope/layers";
import * as train from "varscope/train";

export type ModelName = "digits" | "mnist-cnn" | "resnet20" | "mlp";

/** Shapes with the batch of the benchmark. */
export const INPUTS: Record<ModelName, readonly number[]> = {
  digits: [64, 8, 8, 1],
  "mnist-cnn": [128, 28, 28, 1],
  resnet20: [128, 32, 32, 3],
  mlp: [128, 784],
};

const convBn = (x: Output, filters: number, kernelSize: number, training: boolean, strides = 1): Output =>
  layers.batchNormalization(
    layers.conv2d(x, filters, kernelSize, { strides, padding: "same", useBias: false }),
    { training },
  );

function digits(input: Output, training: boolean): Output {
  const x = relu(convBn(input, 32, 3, training));
  const y = convBn(relu(convBn(x, 32, 3, training)), 32, 3, training);
  const pooled = layers.maxPooling2d(relu(add(x, y)), 2, 2);
  return layers.dense(reduceMean(relu(convBn(pooled, 64, 3, training)), { axis: [1, 2] }), 10);
}

function mnistCnn(input: Output, training: boolean): Output {
  let x = input;
  for (const filters of [32, 64]) x = layers.maxPooling2d(relu(convBn(x, filters, 3, training)), 2, 2);
  return layers.dense(layers.dense(reshape(x, [-1, 7 * 7 * 64]), 128, { activation: relu }), 10);
}

function resnet20(input: Output, training: boolean): Output {
  let x = relu(convBn(input, 16, 3, training));
  for (const [filters, strides] of [
    [16, 1],
    [16, 1],
    [16, 1],
    [32, 2],
    [32, 1],
    [32, 1],
    [64, 2],
    [64, 1],
    [64, 1],
  ] as const) {
    const y = convBn(relu(convBn(x, filters, 3, training, strides)), filters, 3, training);
    const short = strides === 1 ? x : convBn(x, filters, 1, training, strides);
    x = relu(add(y, short));
  }
  return layers.dense(reduceMean(x, { axis: [1, 2] }), 10);
}

function mlp(input: Output): Output {
  const x = layers.dense(input, 512, { activation: relu });
  return layers.dense(layers.dense(x, 512, { activation: relu }), 10);
}

const BUILD = { digits, "mnist-cnn": mnistCnn, resnet20, mlp };

export interface TrainingGraph {
  readonly graph: Graph;
  readonly images: Output;
  readonly labels: Output;
  readonly loss: Output;
  readonly train: Operation;
  readonly init: Operation;
}

/** Forward, gradients, momentum 0.9 and the moving statistics. */
export function trainingGraph(name: ModelName): TrainingGraph {
  const graph = newGraph();
  const images = placeholder(graph, "float32", { shape: [null, ...INPUTS[name].slice(1)], name: "images" });
  const labels = placeholder(graph, "int32", { shape: [null], name: "labels" });
  const logits = BUILD[name](images, true);
  const loss = reduceMean(sparseSoftmaxCrossEntropyWithLogits({ labels, logits }));
  const updates = graph.getCollection<Operation>("update_ops");
  const step = graph.controlDependencies(updates, () =>
    train
      .momentumOptimizer({ learningRate: 0.01, momentum: 0.9 })
      .minimize(loss, { globalStep: getOrCreateGlobalStep(graph) }),
  );
  return { graph, images, labels, loss, train: step, init: globalVariablesInitializer(graph) };
}

export interface InferenceGraph {
  readonly graph: Graph;
  readonly images: Output;
  readonly probabilities: Output;
  readonly init: Operation;
}

export function inferenceGraph(name: ModelName): InferenceGraph {
  const graph = newGraph();
  const images = placeholder(graph, "float32", { shape: [null, ...INPUTS[name].slice(1)], name: "images" });
  const probabilities = softmax(BUILD[name](images, false));
  return { graph, images, probabilities, init: globalVariablesInitializer(graph) };
}
