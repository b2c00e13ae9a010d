/**
 * @file Batch normalization as TensorFlow 1's layers have it, fused and not, with its variables, statistics and update ops. Start at
 * `batchNormalization`.
 *
 * Which variance enters `moving_variance`: fused, the batch's with Bessel's correction (n - 1); not fused, the population's (n). The result is
 * normalized by the population variance in both. And the fused path takes 1 - momentum in float32, the other in float64: TensorFlow's own
 * habits, kept so that training can go on where TensorFlow left off.
 *
 * @see TensorFlow 1.15 python/keras/layers/normalization.py; python/ops/nn_impl.py "moments", "batch_normalization", "fused_batch_norm"
 */

import { type DType, formatPyShape, VarscopeError } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import {
  Aggregation,
  type Initializer,
  onesInitializer,
  type Regularizer,
  Synchronization,
  type Variable,
  zerosInitializer,
} from "../variables/index.ts";
import { fusedNorm } from "./batch-norm-fused.ts";
import { isInParts, type Norm } from "./batch-norm-parts.ts";
import { plainNorm } from "./batch-norm-plain.ts";
import { type RenormClipping, renormVariables } from "./batch-renorm.ts";
import { type Layer, layer, type WeightsOptions } from "./layer.ts";

export interface BatchNormalizationOptions extends WeightsOptions {
  /** axes of the channels, which keep statistics of their own: -1 */
  readonly axis?: number | readonly number[];
  /** of the moving averages: 0.99 */
  readonly momentum?: number;
  /** added to the variance: 0.001 */
  readonly epsilon?: number;
  /** has the offset `beta`: true */
  readonly center?: boolean;
  /** has the factor `gamma`: true */
  readonly scale?: boolean;
  /** statistics of the batch (and update ops), or the moving ones: false */
  readonly training?: boolean | Output;
  /** one FusedBatchNormV3 in place of a dozen ops: at rank 4 and one axis, 1 or 3. True at rank 5, too (axis 1 or 4), as Keras 2 by default; TensorFlow 1 did not */
  readonly fused?: boolean;
  readonly betaInitializer?: Initializer;
  readonly gammaInitializer?: Initializer;
  readonly movingMeanInitializer?: Initializer;
  readonly movingVarianceInitializer?: Initializer;
  readonly betaRegularizer?: Regularizer;
  readonly gammaRegularizer?: Regularizer;
  readonly betaConstraint?: (value: Output) => Output;
  readonly gammaConstraint?: (value: Output) => Output;
  /** batch renormalization, which lets small batches see the moving statistics while training; three variables more, never fused: false */
  readonly renorm?: boolean;
  /** limits of the correction x · r + d: none */
  readonly renormClipping?: RenormClipping;
  /** of the moving statistics that renormalization corrects towards: 0.99 */
  readonly renormMomentum?: number;
  /** statistics of parts of the batch ("ghost batches"): size of a part, which divides the batch; variables have a rank more: null */
  readonly virtualBatchSize?: number | null;
  /**
   * [batch, ...] without the last axis of x: in training, statistics are those of the elements where it is true (not 0), as Keras 3 has it; all are
   * normalized. Never fused: none
   */
  readonly mask?: Output;
}

/**
 * gamma · (x - mean) / √(variance + epsilon) + beta, channel by channel, with variables `gamma`, `beta`, `moving_mean`, `moving_variance`.
 *
 * In training it adds two ops to the collection `update_ops`, once for each call, reused or not. Make the train op depend on them, or the
 * moving statistics keep their initial values. A layer with `trainable: false` adds none, and in training still uses the batch's statistics.
 *
 * @param x - float, of known rank and known channels
 * @throws VarscopeError INVALID_ARGUMENT - axes that x does not have, unknown channels, `fused` where it cannot be, parts of a batch with the
 *   batch among the axes
 */
export const batchNormalization = (x: Output, options: BatchNormalizationOptions = {}): Output =>
  layer(x, "batch_normalization", options, (l) => {
    const norm = build(l, x, options);
    return norm.fused ? fusedNorm(l, x, norm, options) : plainNorm(l, x, norm, options);
  });

function build(l: Layer, x: Output, o: BatchNormalizationOptions): Norm {
  const axes = axesOf(x, o);
  checkSmall(x, axes, o);
  checkMask(x, o);
  const fused = isFused(x, axes, o);
  const shape = statisticsShape(x.shape!, axes, o);
  const dtype: DType = x.dtype === "float16" || x.dtype === "bfloat16" ? "float32" : x.dtype;
  const constant = (value: number): Output | null =>
    fused ? l.graph.constant(value, { dtype, shape }) : null;
  const gamma =
    o.scale === false
      ? constant(1)
      : l.weight("gamma", shape, {
          dtype,
          initializer: o.gammaInitializer ?? onesInitializer(),
          regularizer: o.gammaRegularizer,
          constraint: o.gammaConstraint,
        });
  const beta =
    o.center === false
      ? constant(0)
      : l.weight("beta", shape, {
          dtype,
          initializer: o.betaInitializer ?? zerosInitializer(),
          regularizer: o.betaRegularizer,
          constraint: o.betaConstraint,
        });
  const statistic = (name: string, initializer: Initializer): Variable =>
    l.weight(name, shape, {
      dtype,
      trainable: false,
      synchronization: Synchronization.ON_READ,
      aggregation: Aggregation.MEAN,
      partition: false,
      initializer,
    });
  const movingMean = statistic("moving_mean", o.movingMeanInitializer ?? zerosInitializer());
  const movingVariance = statistic("moving_variance", o.movingVarianceInitializer ?? onesInitializer());
  const norm = { axes, fused, gamma, beta, movingMean, movingVariance };
  return { ...norm, renorm: o.renorm ? renormVariables(norm, statistic, o) : null };
}

/** One axis gives a vector; several keep the rank, and parts of a batch add an axis after the first. */
function statisticsShape(
  shape: readonly (number | null)[],
  axes: readonly number[],
  o: BatchNormalizationOptions,
): readonly number[] {
  if (axes.length === 1 && !isInParts(o)) return [shape[axes[0]!]!];
  const full = shape.map((d, i) => (axes.includes(i) ? d! : 1));
  return isInParts(o) ? [full[0]!, 1, ...full.slice(1)] : full;
}

function axesOf(x: Output, o: BatchNormalizationOptions): number[] {
  const { shape } = x;
  if (shape === null) throw invalid(x, "Input has undefined rank");
  const given = o.axis ?? -1;
  const axes = (typeof given === "number" ? [given] : [...given]).map((a) => (a < 0 ? a + shape.length : a));
  for (const a of axes) {
    if (a < 0 || a >= shape.length) throw invalid(x, `Invalid axis: ${a}; x has rank ${shape.length}`);
  }
  if (new Set(axes).size !== axes.length) throw invalid(x, `Duplicate axis: ${axes.join(", ")}`);
  for (const a of axes) {
    if (shape[a] !== null) continue;
    throw invalid(x, `Input has undefined \`axis\` dimension: axis ${a} of ${JSON.stringify(shape)}`);
  }
  return axes;
}

const invalid = (x: Output, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at: x.name });

/** Limits and parts of the batch that make sense. */
function checkSmall(x: Output, axes: readonly number[], o: BatchNormalizationOptions): void {
  const wrong = Object.keys(o.renormClipping ?? {}).filter((key) => !["rmax", "rmin", "dmax"].includes(key));
  if (wrong.length > 0) {
    const what = `Received invalid keys for \`renorm_clipping\` argument: ${wrong.join(", ")}.`;
    throw invalid(x, `${what} Supported values: rmax, rmin, dmax.`);
  }
  if (!isInParts(o)) return;
  const size = o.virtualBatchSize!;
  if (!Number.isInteger(size) || size <= 0) {
    const what =
      "`virtual_batch_size` must be a positive integer that divides the true batch size of the input tensor.";
    throw invalid(x, `${what} Received: virtual_batch_size=${size}`);
  }
  if (axes.includes(0)) {
    const what =
      "When using `virtual_batch_size`, the batch dimension must be 0 and thus axis cannot include 0.";
    throw invalid(x, `${what} Received axis=[${axes.join(", ")}]`);
  }
}

/** @throws VarscopeError INVALID_ARGUMENT - a mask of another rank, or beside what has no use for one */
function checkMask(x: Output, { mask, fused, virtualBatchSize = null }: BatchNormalizationOptions): void {
  if (mask === undefined) return;
  if (mask.shape !== null && mask.shape.length !== x.shape!.length - 1) {
    const what = "The mask provided should be one dimension less than the inputs.";
    const [a, b] = [formatPyShape(mask.shape), formatPyShape(x.shape!)];
    throw invalid(mask, `${what} Received: mask.shape=${a}, inputs.shape=${b}`);
  }
  if (fused === true) throw invalid(x, "Passing `fused=True` is not supported with a mask");
  if (virtualBatchSize !== null) throw invalid(x, "a mask with `virtual_batch_size` is not supported");
}

/** One op can do it for images with their channels last, or first; for volumes where asked. */
function isFused(x: Output, axes: readonly number[], o: BatchNormalizationOptions): boolean {
  if (o.fused === false) return false;
  if (o.fused === true) {
    if (o.renorm) throw invalid(x, "Passing both `fused=True` and `renorm=True` is not supported");
    if (axes.length > 1)
      throw invalid(x, "Passing `fused=True` is only supported when a single axis is given");
    if (isInParts(o))
      throw invalid(x, "Passing `fused=True` is not supported when `virtual_batch_size` is specified.");
  }
  const rank = x.shape!.length;
  if (o.renorm || o.mask !== undefined || isInParts(o) || axes.length !== 1) return false;
  if (rank === 5) return o.fused === true && (axes[0] === 1 || axes[0] === 4);
  if (rank !== 4) return false;
  if (axes[0] === 1 || axes[0] === 3) return true;
  if (o.fused !== true) return false;
  const what = "Unsupported axis, fused batch norm only supports axis == [1] or axis == [3]";
  throw invalid(x, `${what}; axis is ${axes[0]}`);
}
