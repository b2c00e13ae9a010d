/** @file Batch normalization as one op, FusedBatchNormV3, with its update ops. @see TensorFlow 1.15 python/ops/nn_impl.py "fused_batch_norm" */

import { Output, smartCond, smartConstant } from "../graph/index.ts";
import type { Variable } from "../variables/index.ts";
import type { BatchNormalizationOptions } from "./batch-norm.ts";
import { movingUpdate, type Norm } from "./batch-norm-parts.ts";
import type { Layer } from "./layer.ts";

/** The layer where one op can do it. */
export function fusedNorm(l: Layer, x: Output, norm: Norm, o: BatchNormalizationOptions): Output {
  const { graph: g } = l;
  const training = o.training ?? false;
  const momentum = o.momentum ?? 0.99;
  const isVolume = x.shape!.length === 5;
  const formats = isVolume ? (["NCDHW", "NDHWC"] as const) : (["NCHW", "NHWC"] as const);
  const form = { epsilon: o.epsilon ?? 1e-3, dataFormat: formats[norm.axes[0] === 1 ? 0 : 1] };
  const moving = [norm.movingMean, norm.movingVariance];
  const [y, mean, variance] = smartCond(
    training,
    // volumes are Keras 2's, which hands the moving statistics over always
    () => fusedOp(x, norm, isVolume ? moving : null, form, true),
    () => fusedOp(x, norm, moving, form),
  ) as [Output, Output, Output];
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

interface FusedForm {
  readonly epsilon: number;
  readonly dataFormat: "NHWC" | "NCHW" | "NDHWC" | "NCDHW";
}

/**
 * y, mean and variance of a FusedBatchNormV3: by `moving` statistics, or while training by the batch's.
 *
 * @param training - by default where no moving statistics are given
 */
export function fusedOp(
  x: Output,
  { gamma, beta }: Pick<Norm, "gamma" | "beta">,
  moving: readonly Variable[] | null,
  { epsilon, dataFormat }: FusedForm,
  training = moving === null,
): Output[] {
  const { graph: g } = x;
  const attrs = { epsilon, data_format: dataFormat };
  const factors = [gamma, beta].map((v) => (v instanceof Output ? v : v!.value()));
  const none = (): Output => g.constant([], { shape: [0] });
  const make = (statistics: Output[], name: string): Output[] => {
    const inputs = [x, ...factors, ...statistics];
    const all = { ...attrs, is_training: training };
    return g.addOp("FusedBatchNormV3", inputs, { name, attrs: all }).outputs.slice(0, 3);
  };
  if (moving === null) return make([none(), none()], "FusedBatchNormV3");
  return g.nameScope("FusedBatchNormV3", (name) =>
    make(
      moving.map((v) => v.value()),
      name,
    ),
  );
}
