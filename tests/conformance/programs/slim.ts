/** @file Programs of slim's layers: twins of tools/goldens/slim.py. */

import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import {
  type BatchNormOptions,
  getTotalLoss,
  slim,
  sparseSoftmaxCrossEntropy,
  weightedMoments,
} from "../../../src/layers/index.ts";
import { pad, setRandomSeed } from "../../../src/ops/index.ts";
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
    const logits = net.conv2d(pool5(block), 3, 1, { activationFn: null, scope: "logits" });
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

/** slim's ResNet v2, with few and narrow blocks. */
function resnet(g: Graph): void {
  use(g, false);
  const ends = "resnet_v2/_end_points";
  const of = slim
    .argScope(["batchNorm"], { isTraining: false, decay: 0.997, epsilon: 1e-5, scale: true })
    .argScope(["maxPool2d"], { padding: "SAME" });
  const plain = of.argScope(["conv2d"], {
    weightsRegularizer: slim.l2Regularizer(1e-4),
    weightsInitializer: slim.varianceScalingInitializer(),
    outputsCollections: ends,
    activationFn: null,
  });
  const net = plain.argScope(["conv2d"], { activationFn: relu, normalizerFn: (y) => of.batchNorm(y) });
  const convSame = (
    from: typeof net,
    x: Output,
    n: number,
    size: number,
    stride: number,
    scope: string,
  ): Output => {
    if (stride === 1) return from.conv2d(x, n, size, { scope });
    const [before, all] = [Math.floor((size - 1) / 2), size - 1];
    const margin = [before, all - before];
    const padded = pad(
      x,
      g.constant([[0, 0], margin, margin, [0, 0]], { dtype: "int32", name: "Pad/paddings" }),
    );
    return from.conv2d(padded, n, size, { stride, padding: "VALID", scope });
  };
  const bottleneck = (x: Output, depth: number, stride: number): Output =>
    variableScope(g, null, { defaultName: "bottleneck_v2" }, () => {
      const preact = net.batchNorm(x, { activationFn: relu, scope: "preact" });
      const whole = (): Output => (stride === 1 ? x : net.maxPool2d(x, 1, { stride, scope: "shortcut" }));
      const shortcut =
        x.shape!.at(-1) === depth ? whole() : plain.conv2d(preact, depth, 1, { stride, scope: "shortcut" });
      let residual = net.conv2d(preact, depth / 4, 1, { scope: "conv1" });
      residual = convSame(net, residual, depth / 4, 3, stride, "conv2");
      const y = add(shortcut, plain.conv2d(residual, depth, 1, { scope: "conv3" }));
      g.addToCollection(ends, y);
      return y;
    });
  const images = holder(g, "x", [null, 33, 33, 3]);
  variableScope(g, "resnet_v2", {}, () => {
    let y = convSame(plain, images, 64, 7, 2, "conv1");
    y = net.maxPool2d(y, 3, { scope: "pool1" });
    for (const [block, depth, strides] of [
      ["block1", 8, [1, 2]],
      ["block2", 16, [1]],
    ] as const)
      variableScope(g, block, {}, () => {
        for (const [i, stride] of strides.entries())
          y = variableScope(g, `unit_${i + 1}`, {}, () => bottleneck(y, depth, stride));
        g.addToCollection(ends, y);
      });
    y = net.batchNorm(y, { activationFn: relu, scope: "postnorm" });
    y = plain.conv2d(pool5(y), 5, 1, { scope: "logits" });
    net.softmax(y, { scope: "predictions" });
  });
}

/** slim's VGG 16, and a stack of layers. */
function vgg16(g: Graph): void {
  use(g, false);
  const ends = { outputsCollections: "vgg_16/_end_points" };
  const net = slim
    .argScope(["conv2d", "maxPool2d"], ends)
    .argScope(["conv2d"], { weightsRegularizer: slim.l2Regularizer(5e-4) });
  const sizes = [
    [2, 64],
    [2, 128],
    [3, 256],
    [3, 512],
    [3, 512],
  ] as const;
  const images = holder(g, "x", [null, 224, 224, 3]);
  const logits = variableScope(g, "vgg_16", {}, () => {
    let y = images;
    for (const [i, [repetitions, n]] of sizes.entries()) {
      y = net.repeat(y, repetitions, `conv${i + 1}`, (x, scope) => net.conv2d(x, n, 3, { scope }));
      y = net.maxPool2d(y, 2, { scope: `pool${i + 1}` });
    }
    y = net.conv2d(y, 4096, 7, { padding: "VALID", scope: "fc6" });
    y = net.dropout(y, { isTraining: false, scope: "dropout6" });
    y = net.conv2d(y, 4096, 1, { scope: "fc7" });
    y = net.dropout(y, { isTraining: false, scope: "dropout7" });
    y = net.conv2d(y, 5, 1, { activationFn: null, scope: "fc8" });
    return g.add("Squeeze", [y], { name: "fc8/squeezed", attrs: { squeeze_dims: [1, 2] } });
  });
  slim.stack(logits, [4, 3], "fc", (y, units, scope) => slim.fullyConnected(y, units, { scope }));
}

const pool5 = (x: Output): Output =>
  x.graph.nameScope("pool5", (name) => {
    const over = x.graph.constant([1, 2], { dtype: "int32", name: "reduction_indices" });
    return x.graph.add("Mean", [x, over], { name, attrs: { keep_dims: true } });
  });

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
  resnet_x: resnet,
  vgg16_x: vgg16,
  ...both("weights_rank2", weighted([4, 3], { scale: true })),
  weights_images: weighted([4, 2, 2, 3], { zeroDebiasMovingMean: true }, true),
  weights_first: weighted([4, 3, 2, 2], { dataFormat: "NCHW", updatesCollections: null, scope: "bn" }),
  moments_x: moments,
};
