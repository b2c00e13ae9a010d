/** @file Batch normalization as one op, FusedBatchNormV3, with its update ops. @see TensorFlow 1.15 python/ops/nn_impl.py "fused_batch_norm" */

import { type Operation, Output, smartCond, smartConstant } from "../graph/index.ts";
import type { Variable } from "../variables/index.ts";
import type { BatchNormalizationOptions } from "./batch-norm.ts";
import { movingUpdate, type Norm } from "./batch-norm-parts.ts";
import type { Layer } from "./layer.ts";

/** The layer where one op can do it. */
export function fusedNorm(l: Layer, x: Output, norm: Norm, o: BatchNormalizationOptions): Output {
  const { graph: g } = l;
  const training = o.training ?? false;
  const momentum = o.momentum ?? 0.99;
  const read = (v: Variable | Output | null): Output => (v instanceof Output ? v : v!.value());
  const attrs = {
    epsilon: o.epsilon ?? 1e-3,
    data_format: norm.axes[0] === 1 ? "NCHW" : "NHWC",
  };
  const three = (op: Operation): Output[] => op.outputs.slice(0, 3);
  const train = (): Output[] => {
    const [gamma, beta] = [read(norm.gamma), read(norm.beta)];
    const none = [g.constant([], { shape: [0] }), g.constant([], { shape: [0] })];
    return three(
      g.addOp("FusedBatchNormV3", [x, gamma, beta, ...none], { attrs: { ...attrs, is_training: true } }),
    );
  };
  const infer = (): Output[] => {
    const [gamma, beta] = [read(norm.gamma), read(norm.beta)];
    return g.nameScope("FusedBatchNormV3", (name) => {
      const moving = [norm.movingMean.value(), norm.movingVariance.value()];
      return three(
        g.addOp("FusedBatchNormV3", [x, gamma, beta, ...moving], {
          name,
          attrs: { ...attrs, is_training: false },
        }),
      );
    });
  };
  const [y, mean, variance] = smartCond(training, train, infer) as [Output, Output, Output];
  const known = smartConstant(training);
  if (known === false) return y;
  const rate =
    known === null
      ? (smartCond(
          training,
          () => momentum,
          () => 1,
        ) as Output)
      : g.constant(momentum);
  l.update(movingUpdate(norm.movingMean, mean, rate).op);
  l.update(movingUpdate(norm.movingVariance, variance, rate).op);
  return y;
}
