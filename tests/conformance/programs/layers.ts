/** @file Programs of layers, losses and batch normalization: twins of tools/goldens/programs.py. */

import { gradients } from "../../../src/autodiff/index.ts";
import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import {
  averagePooling2d,
  type BatchNormalizationOptions,
  batchNormalization,
  conv2d,
  conv2dTranspose,
  dense,
  dropout,
  flatten,
  getTotalLoss,
  l1Regularizer,
  l2Regularizer,
  maxPooling2d,
  meanSquaredError,
  separableConv2d,
  softmaxCrossEntropy,
  sparseSoftmaxCrossEntropy,
} from "../../../src/layers/index.ts";
import { setRandomSeed } from "../../../src/ops/index.ts";
import { gradientDescentOptimizer } from "../../../src/train/index.ts";
import { GraphKeys, globalVariablesInitializer, variableScope } from "../../../src/variables/index.ts";
import {
  add,
  both,
  holder,
  identity,
  type Program,
  reduceAll,
  relu,
  square,
  sub,
  tanh,
  use,
} from "./pieces.ts";

function layers(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 42);
  const x = holder(g, "x", [null, 8, 8, 3]);
  let y = conv2d(x, 4, 3, { activation: (v) => relu(v), kernelRegularizer: l2Regularizer(0.01) });
  y = conv2d(y, 4, [3, 3], { strides: 2, padding: "same", useBias: false });
  y = conv2d(y, 6, 3, { dilationRate: 2, padding: "same", name: "dilated" });
  y = separableConv2d(y, 4, 3, { padding: "same", depthMultiplier: 2 });
  y = conv2dTranspose(y, 2, 3, { strides: 2, padding: "same" });
  y = maxPooling2d(y, 2, 2);
  y = averagePooling2d(y, 2, 1, { padding: "same" });
  y = dropout(y, 0.5, { training: true, seed: 1 });
  y = dropout(y, 0.5);
  const f = flatten(dense(y, 3, { activation: (v) => tanh(v) }));
  let z = dense(f, 3, { name: "head", biasRegularizer: l1Regularizer(0.02) });
  z = add(z, dense(f, 3, { name: "head", reuse: true }));
  z = variableScope(g, "scope", {}, () => dense(z, 2));
  sparseSoftmaxCrossEntropy(holder(g, "labels", [null], "int32"), z);
  getTotalLoss(g);
  globalVariablesInitializer(g);
}

function losses(g: Graph): void {
  const x = holder(g, "x", [null, 3]);
  const y = holder(g, "y", [null, 3]);
  const ids = holder(g, "ids", [null], "int32");
  meanSquaredError(y, x);
  softmaxCrossEntropy(y, x, { labelSmoothing: 0.1 });
  softmaxCrossEntropy(y, x, { weights: 0.5 });
  sparseSoftmaxCrossEntropy(ids, x, { reduction: "weighted_sum" });
  gradients(getTotalLoss(g), x);
}

export function trainNorm(y: Output): void {
  const { graph: g } = y;
  const loss = reduceAll("Mean", square(sub(y, 1)), "loss");
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  const step = g.controlDependencies(updates, () =>
    gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss),
  );
  group(g, [step], "train");
  identity(y, "y");
  globalVariablesInitializer(g);
}

const norm =
  (shape: (number | null)[], options: BatchNormalizationOptions) =>
  (g: Graph, resource: boolean): void => {
    use(g, resource);
    trainNorm(batchNormalization(holder(g, "x", shape), { training: true, ...options }));
  };

const IMAGES = [null, 2, 2, 3];

function normPlaceholder(g: Graph, resource: boolean): void {
  use(g, resource);
  const training = holder(g, "training", [], "bool");
  const y = batchNormalization(holder(g, "x", IMAGES), { training });
  trainNorm(batchNormalization(y, { training, fused: false }));
}

function normInference(g: Graph, resource: boolean): void {
  use(g, resource);
  const y = batchNormalization(holder(g, "x", IMAGES));
  batchNormalization(y, { fused: false, center: false });
  identity(y, "y");
}

function normParts(g: Graph): void {
  use(g, false);
  const x = holder(g, "x", IMAGES);
  const training = true;
  const a = batchNormalization(x, { center: false, training });
  const b = batchNormalization(x, { scale: false, training, name: "noscale" });
  const c = batchNormalization(x, { axis: 1, training, name: "channels_first", fused: false });
  const d = batchNormalization(x, { axis: [1, 3], training, name: "multi", fused: false });
  const e = batchNormalization(x, { center: false, scale: false, fused: false, training });
  trainNorm(add(add(add(add(a, b), c), d), e));
}

function normReused(g: Graph): void {
  use(g, false);
  const inputs = ["a", "b"].map((name) => holder(g, name, IMAGES));
  inputs.forEach((x, i) => {
    variableScope(g, "d", { reuse: i === 1 }, () => batchNormalization(x, { training: true, name: "bn" }));
  });
}

const single = (options: BatchNormalizationOptions, train: boolean): Program => {
  return (g) => {
    use(g, false);
    const y = batchNormalization(holder(g, "x", [null, 1, 1, 1]), { training: true, ...options });
    if (train) group(g, g.getCollection<Operation>(GraphKeys.UPDATE_OPS), "train");
    identity(y, "y");
  };
};

export const LAYER_PROGRAMS: Record<string, Program> = {
  ...both("layers", layers),
  losses,
  ...both("norm_fused", norm(IMAGES, {})),
  ...both("norm_unfused", norm(IMAGES, { fused: false })),
  ...both("norm_rank2", norm([null, 3], { momentum: 0.9, epsilon: 1e-5 })),
  ...both("norm_placeholder", normPlaceholder),
  ...both("norm_inference", normInference),
  norm_parts: normParts,
  norm_reused: normReused,
  norm_frozen: single({ trainable: false }, false),
  bessel_fused: single({}, true),
  bessel_unfused: single({ fused: false }, true),
};
