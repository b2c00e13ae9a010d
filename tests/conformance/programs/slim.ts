/** @file Programs of slim's layers: twins of tools/goldens/slim.py. */

import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import {
  type BatchNormOptions,
  getTotalLoss,
  slim,
  sparseSoftmaxCrossEntropy,
  weightedMoments,
} from "../../../src/layers/index.ts";
import { setRandomSeed } from "../../../src/ops/index.ts";
import { gradientDescentOptimizer } from "../../../src/train/index.ts";
import {
  GraphKeys,
  getOrCreateGlobalStep,
  globalVariablesInitializer,
  onesInitializer,
  truncatedNormalInitializer,
  variableScope,
} from "../../../src/variables/index.ts";
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

const norm =
  (options: BatchNormOptions = {}) =>
  (y: Output): Output =>
    slim.batchNorm(y, options);

function layers(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 42);
  const l2 = slim.l2Regularizer(0.5);
  let y = slim.conv2d(holder(g, "x", [null, 8, 8, 3]), 4, 3, { weightsRegularizer: l2 });
  const named = { stride: 2, padding: "VALID", scope: "named", outputsCollections: "ends" } as const;
  y = slim.conv2d(y, 4, [3, 3], { ...named, activationFn: null });
  const bare = { biasesInitializer: null, outputsCollections: ["ends", "more"] };
  y = slim.conv2d(y, 4, 1, { ...bare, activationFn: (x) => tanh(x) });
  y = slim.conv2d(y, 4, 1, { scope: "norm", normalizerFn: norm({ isTraining: false, scale: true }) });
  const l1 = slim.l1Regularizer(0.25);
  y = slim.separableConv2d(y, 5, 3, { depthMultiplier: 2, weightsRegularizer: l2, biasesRegularizer: l1 });
  y = slim.separableConv2d(y, 5, 3, { scope: "sep", normalizerFn: norm() });
  y = slim.separableConv2d(y, null, 3, { stride: 2, depthMultiplier: 2 });
  y = slim.separableConv2d(y, null, 3, { scope: "deep", normalizerFn: norm(), weightsRegularizer: l2 });
  y = slim.conv2dTranspose(y, 4, 3, { stride: 2 });
  y = slim.conv2dTranspose(y, 3, 2, { scope: "up", normalizerFn: norm() });
  y = slim.maxPool2d(y, 2);
  y = slim.avgPool2d(y, [2, 2], { stride: 1, padding: "SAME", scope: "pool" });
  y = slim.dropout(y, { keepProb: 0.75, isTraining: false });
  let z = slim.fullyConnected(y, 3, { variablesCollections: ["mine"] });
  z = slim.flatten(z);
  const frozen = { trainable: false, variablesCollections: { weights: ["w"] } };
  z = slim.fullyConnected(z, 3, { scope: "fc", normalizerFn: norm(), ...frozen });
  z = slim.fullyConnected(z, 2);
  for (const reuse of [null, true])
    slim.fullyConnected(z, 2, { scope: "shared", weightsRegularizer: l2, reuse });
  globalVariablesInitializer(g);
}

function first(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 1);
  const net = slim.argScope(["conv2d", "separableConv2d", "batchNorm"], { dataFormat: "NCHW" });
  const normalizerFn = (y: Output): Output => net.batchNorm(y);
  let y = net.conv2d(holder(g, "x", [null, 3, 8, 8]), 4, 3, { normalizerFn });
  y = net.separableConv2d(y, 4, 3);
  net.separableConv2d(y, null, 3, { normalizerFn });
  globalVariablesInitializer(g);
}

function initial(g: Graph): void {
  use(g, false);
  setRandomSeed(g, 3);
  const x = holder(g, "x", [2, 9, 9, 3]);
  const make = slim.varianceScalingInitializer;
  slim.conv2d(x, 4, [3, 2], { weightsInitializer: slim.xavierInitializer({ uniform: false, seed: 5 }) });
  slim.conv2d(x, 4, 3, { rate: 2, weightsInitializer: make(), biasesInitializer: onesInitializer() });
  slim.conv2d(x, 4, 3, { weightsInitializer: make({ factor: 1, mode: "FAN_OUT", uniform: true }) });
  slim.separableConv2d(x, 4, 3, {
    weightsInitializer: make({ mode: "FAN_AVG" }),
    pointwiseInitializer: truncatedNormalInitializer({ stddev: 0.09 }),
  });
  slim.fullyConnected(x, 4, { weightsRegularizer: slim.l1L2Regularizer(0.5, 0.25) });
  slim.fullyConnected(x, 4, { weightsRegularizer: slim.l2Regularizer(0) });
  globalVariablesInitializer(g);
}

/** A little of ResNet: names of its blocks, a shortcut, normalizers, weight decay. */
export function smallNet(x: Output, isTraining: boolean | Output): Output {
  const { graph: g } = x;
  const net = slim
    .argScope(["batchNorm"], { isTraining, decay: 0.9, epsilon: 1e-5, scale: true })
    .argScope(["conv2d", "separableConv2d"], {
      weightsRegularizer: slim.l2Regularizer(0.01),
      weightsInitializer: slim.varianceScalingInitializer(),
    });
  const { conv2d, separableConv2d } = net.argScope(["conv2d", "separableConv2d"], {
    normalizerFn: (y) => net.batchNorm(y),
  });
  return variableScope(g, "resnet_tiny", {}, () => {
    const y = conv2d(x, 4, 3, { stride: 2, scope: "conv1" });
    const block = variableScope(g, "block1/unit_1/bottleneck_v1", {}, () => {
      const shortcut = conv2d(y, 8, 1, { activationFn: null, scope: "shortcut" });
      let residual = conv2d(y, 2, 1, { scope: "conv1" });
      residual = separableConv2d(residual, null, 3, { scope: "conv2_depthwise" });
      residual = conv2d(residual, 8, 1, { activationFn: null, scope: "conv3" });
      return relu(add(shortcut, residual));
    });
    const pooled = g.nameScope("pool5", (name) => {
      const over = g.constant([1, 2], { dtype: "int32", name: "reduction_indices" });
      return g.add("Mean", [block, over], { name, attrs: { keep_dims: true } });
    });
    const logits = net.conv2d(pooled, 3, 1, { activationFn: null, scope: "logits" });
    return g.add("Squeeze", [logits], { name: "SpatialSqueeze", attrs: { squeeze_dims: [1, 2] } });
  });
}

function small(g: Graph): void {
  use(g, false);
  setRandomSeed(g, 7);
  const training = holder(g, "training", [], "bool");
  const logits = smallNet(holder(g, "x", [null, 6, 6, 3]), training);
  sparseSoftmaxCrossEntropy(holder(g, "labels", [null], "int32"), logits);
  const loss = getTotalLoss(g);
  const globalStep = getOrCreateGlobalStep(g);
  g.controlDependencies(g.getCollection<Operation | Output>(GraphKeys.UPDATE_OPS), () =>
    group(g, [gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss, { globalStep })], "train"),
  );
  identity(logits, "y");
  globalVariablesInitializer(g);
}

const weighted =
  (shape: readonly number[], options: BatchNormOptions = {}, asksPlaceholder = false) =>
  (g: Graph, resource = false): void => {
    use(g, resource);
    const isTraining = asksPlaceholder ? holder(g, "training", [], "bool") : true;
    const x = holder(g, "x", [null, ...shape.slice(1)]);
    const y = slim.batchNorm(x, { batchWeights: holder(g, "weights", [null]), isTraining, ...options });
    const loss = reduceAll("Mean", square(sub(y, 1)), "loss");
    g.controlDependencies(g.getCollection<Operation | Output>(GraphKeys.UPDATE_OPS), () =>
      group(g, [gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss)], "train"),
    );
    identity(y, "y");
  };

function moments(g: Graph): void {
  const x = holder(g, "x", [2, 3, 2]);
  const cast = (y: Output, dtype: "float16" | "float32" | "float64", name = "Cast"): Output =>
    g.add("Cast", [y], { name, attrs: { DstT: dtype } });
  const outs = [
    ...weightedMoments(x, [0, 1], g.constant([[[1], [2], [0]]])),
    ...weightedMoments(x, [1], 0.5, { keepDims: true, name: "number" }),
    ...weightedMoments(x, 2, g.constant([0.25, 4])),
    ...weightedMoments(x, [0, 2], g.constant(1, { shape: [2, 3, 2], name: "ones" })),
    ...weightedMoments(cast(x, "float16"), [0], g.constant([[[1]], [[3]]], { dtype: "float16" }), {
      name: "half",
    }),
    ...weightedMoments(cast(x, "float64"), [0, -1], g.constant([[[1]], [[3]]], { dtype: "int32" })),
  ];
  for (const [i, y] of outs.entries())
    if (i === 8 || i === 9) cast(y, "float32", `y${i}`);
    else identity(y, `y${i}`);
}

export const SLIM_PROGRAMS: Record<string, Program> = {
  ...both("layers", layers),
  ...both("first", first),
  initial_x: initial,
  small_x: small,
  ...both("weights_rank2", weighted([4, 3], { scale: true })),
  weights_images: weighted([4, 2, 2, 3], { zeroDebiasMovingMean: true }, true),
  weights_first: weighted([4, 3, 2, 2], { dataFormat: "NCHW", updatesCollections: null, scope: "bn" }),
  moments_x: moments,
};
