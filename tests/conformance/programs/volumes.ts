/** @file Programs over volumes: twins of tools/goldens/volumes.py. */

import { gradients } from "../../../src/autodiff/index.ts";
import { type Graph, group, type Operation } from "../../../src/graph/index.ts";
import {
  averagePooling3d,
  type BatchNormalizationOptions,
  batchNormalization,
  conv3d,
  conv3dTranspose,
  dense,
  flatten,
  l2Regularizer,
  maxPooling3d,
  sparseSoftmaxCrossEntropy,
} from "../../../src/layers/index.ts";
import * as ops from "../../../src/ops/index.ts";
import { setRandomSeed } from "../../../src/ops/index.ts";
import { adamOptimizer } from "../../../src/train/index.ts";
import { GraphKeys, globalVariablesInitializer } from "../../../src/variables/index.ts";
import { trainNorm } from "./layers.ts";
import { both, holder, identity, type Program, relu, use } from "./pieces.ts";

const VOLUMES = [null, 3, 4, 4, 2];

function layers(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 42);
  const x = holder(g, "x", VOLUMES);
  let y = conv3d(x, 3, 3, {
    activation: (v) => relu(v),
    padding: "same",
    kernelRegularizer: l2Regularizer(0.01),
  });
  y = conv3d(y, 2, [1, 3, 3], { strides: [1, 2, 2], padding: "same", useBias: false });
  y = conv3d(y, 2, 2, { dilationRate: 2, padding: "same", name: "dilated" });
  y = conv3dTranspose(y, 2, 2, { strides: 2, padding: "same" });
  y = conv3dTranspose(y, 2, [2, 1, 3], { strides: [1, 2, 1], name: "valid" });
  y = maxPooling3d(y, 2, 2);
  y = averagePooling3d(y, [1, 2, 2], 1, { padding: "same" });
  identity(y, "y");
  globalVariablesInitializer(g);
}

function channelsFirst(g: Graph): void {
  use(g, false);
  const first = { dataFormat: "channels_first" } as const;
  let y = conv3d(holder(g, "x", [null, 2, 4, 6, 6]), 3, 3, first);
  y = conv3dTranspose(y, 2, 3, { strides: 2, ...first });
  y = maxPooling3d(y, 2, 2, first);
  averagePooling3d(y, 2, 2, { padding: "same", ...first });
}

function functions(g: Graph): void {
  const x = holder(g, "x", VOLUMES);
  const w = holder(g, "w", [2, 2, 2, 2, 3]);
  const y = ops.conv3d(x, w, { strides: [1, 1, 2, 2, 1], padding: "SAME" });
  const strides = [1, 1, 2, 2, 1];
  const t = ops.conv3dTranspose(y, w, [1, 3, 4, 4, 2], { strides });
  ops.conv3dTranspose(y, w, ops.shape(x), { strides, name: "back" });
  const m = ops.maxPool3d(t, 2, 2, { padding: "VALID" });
  const a = ops.avgPool3d(x, [2, 3, 3], strides, { padding: "SAME", name: "mean" });
  gradients([m, a], [x, w]);
}

const norms =
  (options: BatchNormalizationOptions, asks = false) =>
  (g: Graph, resource = false): void => {
    use(g, resource);
    const training = asks ? holder(g, "training", [], "bool") : true;
    trainNorm(batchNormalization(holder(g, "x", [null, 2, 1, 2, 2]), { training, ...options }));
  };

function classifier(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 7);
  const x = holder(g, "x", [null, 4, 4, 4, 1]);
  const labels = holder(g, "labels", [null], "int32");
  let y = conv3d(x, 2, 3, { padding: "same", useBias: false });
  y = relu(batchNormalization(y, { training: true, fused: true }));
  y = maxPooling3d(y, 2, 2);
  y = conv3d(y, 3, [2, 1, 2], { strides: [1, 2, 1], padding: "same", activation: (v) => relu(v) });
  y = averagePooling3d(y, [2, 1, 2], 1);
  y = dense(flatten(y), 3);
  const loss = sparseSoftmaxCrossEntropy(labels, y);
  const step = g.controlDependencies(g.getCollection<Operation>(GraphKeys.UPDATE_OPS), () =>
    adamOptimizer({ learningRate: 0.01 }).minimize(loss),
  );
  group(g, [step], "train");
  identity(loss, "loss");
  globalVariablesInitializer(g);
}

export const VOLUME_PROGRAMS: Record<string, Program> = {
  ...both("layers", layers),
  channels_first_x: channelsFirst,
  functions_x: functions,
  ...both("norms", norms({ fused: true })),
  norms_placeholder: norms({ fused: true }, true),
  norms_small_ops: norms({}),
  norms_first: norms({ fused: true, axis: 1 }),
  ...both("classifier", classifier),
};
