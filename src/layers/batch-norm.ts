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

import { type DType, VarscopeError } from "../base/index.ts";
import { type Graph, type Operation, Output, smartCond, smartConstant } from "../graph/index.ts";
import {
  Aggregation,
  type Initializer,
  onesInitializer,
  type Regularizer,
  Synchronization,
  type Variable,
  type Written,
  writeVariable,
  zerosInitializer,
} from "../variables/index.ts";
import { type Layer, layer, type WeightsOptions } from "./layer.ts";
import { moments, normalize } from "./moments.ts";

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
  /** one FusedBatchNormV3 in place of a dozen ops: where it can, which is rank 4 and one axis, 1 or 3 */
  readonly fused?: boolean;
  readonly betaInitializer?: Initializer;
  readonly gammaInitializer?: Initializer;
  readonly movingMeanInitializer?: Initializer;
  readonly movingVarianceInitializer?: Initializer;
  readonly betaRegularizer?: Regularizer;
  readonly gammaRegularizer?: Regularizer;
  readonly betaConstraint?: (value: Output) => Output;
  readonly gammaConstraint?: (value: Output) => Output;
  /** not to be had: batch renormalization */
  readonly renorm?: false;
  /** not to be had: statistics of parts of the batch */
  readonly virtualBatchSize?: null;
}

/**
 * gamma · (x - mean) / √(variance + epsilon) + beta, channel by channel, with variables `gamma`, `beta`, `moving_mean`, `moving_variance`.
 *
 * In training it adds two ops to the collection `update_ops`, once for each call, reused or not. Make the train op depend on them, or the
 * moving statistics keep their initial values. A layer with `trainable: false` adds none, and in training still uses the batch's statistics.
 *
 * @param x - float, of known rank and known channels
 * @throws VarscopeError INVALID_ARGUMENT - axes that x does not have, unknown channels, `fused` where it cannot be
 * @throws VarscopeError UNIMPLEMENTED - renorm, virtual batches
 */
export function batchNormalization(x: Output, options: BatchNormalizationOptions = {}): Output {
  return layer(x, "batch_normalization", options, (l) => {
    const norm = build(l, x, options);
    return norm.fused ? fusedNorm(l, x, norm, options) : plainNorm(l, x, norm, options);
  });
}

interface Norm {
  readonly axes: readonly number[];
  readonly fused: boolean;
  /** null where the layer has none; in the fused path a constant then */
  readonly gamma: Variable | Output | null;
  readonly beta: Variable | Output | null;
  readonly movingMean: Variable;
  readonly movingVariance: Variable;
}

function build(l: Layer, x: Output, o: BatchNormalizationOptions): Norm {
  refuseAbsent(o);
  const axes = axesOf(x, o);
  const fused = isFused(x, axes, o);
  const rank = x.shape!.length;
  const shape =
    axes.length === 1
      ? [x.shape![axes[0]!]!]
      : [...Array(rank).keys()].map((i) => (axes.includes(i) ? x.shape![i]! : 1));
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
  const local = {
    dtype,
    trainable: false,
    synchronization: Synchronization.ON_READ,
    aggregation: Aggregation.MEAN,
    partition: false,
  };
  const movingMean = l.weight("moving_mean", shape, {
    ...local,
    initializer: o.movingMeanInitializer ?? zerosInitializer(),
  });
  const movingVariance = l.weight("moving_variance", shape, {
    ...local,
    initializer: o.movingVarianceInitializer ?? onesInitializer(),
  });
  return { axes, fused, gamma, beta, movingMean, movingVariance };
}

function refuseAbsent(o: BatchNormalizationOptions): void {
  const given = o as { readonly renorm?: unknown; readonly virtualBatchSize?: unknown };
  const at = o.name ?? "batch_normalization";
  if (given.renorm)
    throw new VarscopeError("UNIMPLEMENTED", "batch renormalization (renorm) is not supported", { at });
  if (given.virtualBatchSize !== undefined && given.virtualBatchSize !== null) {
    throw new VarscopeError("UNIMPLEMENTED", "virtual batches (virtual_batch_size) are not supported", {
      at,
    });
  }
}

function axesOf(x: Output, o: BatchNormalizationOptions): number[] {
  const { shape } = x;
  const fail = (what: string): never => {
    throw new VarscopeError("INVALID_ARGUMENT", what, { at: x.name });
  };
  if (shape === null) return fail("Input has undefined rank");
  const given = o.axis ?? -1;
  const axes = (typeof given === "number" ? [given] : [...given]).map((a) => (a < 0 ? a + shape.length : a));
  for (const a of axes)
    if (a < 0 || a >= shape.length) fail(`Invalid axis: ${a}; x has rank ${shape.length}`);
  if (new Set(axes).size !== axes.length) fail(`Duplicate axis: ${axes.join(", ")}`);
  for (const a of axes) {
    if (shape[a] === null)
      fail(`Input has undefined \`axis\` dimension: axis ${a} of ${JSON.stringify(shape)}`);
  }
  return axes;
}

/** One op can do it for images with their channels last, or first. */
function isFused(x: Output, axes: readonly number[], o: BatchNormalizationOptions): boolean {
  if (o.fused === false) return false;
  if (o.fused === true && axes.length > 1) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "Passing `fused=True` is only supported when a single axis is given",
      { at: x.name },
    );
  }
  if (x.shape!.length !== 4 || axes.length !== 1) return false;
  if (axes[0] === 1 || axes[0] === 3) return true;
  if (o.fused !== true) return false;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Unsupported axis, fused batch norm only supports axis == [1] or axis == [3]; axis is ${axes[0]}`,
    { at: x.name },
  );
}

function fusedNorm(l: Layer, x: Output, norm: Norm, o: BatchNormalizationOptions): Output {
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

/** v -= (v - value) · (1 - momentum). Of an output the difference is taken by an op, in float32; of a number at once. */
function movingUpdate(v: Variable, value: Output, momentum: number | Output): Written {
  const { graph: g } = v;
  return g.nameScope("AssignMovingAvg", (scope) =>
    g.colocateWith(v.op, () => {
      let decay =
        momentum instanceof Output
          ? g.add("Sub", [1, momentum], { name: "sub" })
          : g.constant(1 - momentum, { name: "decay" });
      if (decay.dtype !== v.dtype) decay = castTo(decay, v.dtype);
      const difference = g.add("Sub", [v.value(), castTo(value, v.dtype)], { name: "sub" });
      const delta = g.add("Mul", [difference, decay], { name: "mul" });
      return writeVariable(v, "sub", delta, v.isResource ? {} : { name: scope });
    }),
  );
}

const castTo = (x: Output, dtype: DType): Output =>
  x.dtype === dtype ? x : x.graph.add("Cast", [x], { attrs: { DstT: dtype } });

function plainNorm(l: Layer, given: Output, norm: Norm, o: BatchNormalizationOptions): Output {
  const { graph: g } = l;
  const training = o.training ?? false;
  const isHalf = given.dtype === "float16" || given.dtype === "bfloat16";
  const x = isHalf ? castTo(given, "float32") : given;
  const wide = broadcaster(g, x, norm.axes);
  const scale = wide(norm.gamma as Variable | null);
  const offset = wide(norm.beta as Variable | null);
  let mean: Output | Variable = norm.movingMean;
  let variance: Output | Variable = norm.movingVariance;
  if (smartConstant(training) !== false) [mean, variance] = batchStatistics(l, x, norm, o, training);
  const y = normalize(x, {
    mean: wide(mean)!,
    variance: wide(variance)!,
    offset,
    scale,
    epsilon: o.epsilon ?? 1e-3,
  });
  return isHalf ? castTo(y, given.dtype) : y;
}

/** The batch's statistics (while training), and the ops that average them. */
function batchStatistics(
  l: Layer,
  x: Output,
  norm: Norm,
  o: BatchNormalizationOptions,
  training: boolean | Output,
): [Output, Output] {
  const over = [...x.shape!.keys()].filter((i) => !norm.axes.includes(i));
  const [batchMean, batchVariance] = moments(x, over, { keepDims: norm.axes.length > 1 });
  const choose = (batch: Output, moving: Variable): Output =>
    smartCond(
      training,
      () => batch,
      () => moving.value(),
    ) as Output;
  const mean = choose(batchMean, norm.movingMean);
  const variance = choose(batchVariance, norm.movingVariance);
  const momentum = o.momentum ?? 0.99;
  const average = (v: Variable, value: Output): Operation => {
    if (smartConstant(training) === true) return movingUpdate(v, value, momentum).op;
    const merged = smartCond(
      training,
      () => {
        const { op, value: after } = movingUpdate(v, value, momentum);
        return v.isResource ? l.graph.controlDependencies([op], () => v.value()) : after;
      },
      () => v.value(),
    );
    return (merged as Output).op;
  };
  l.update(average(norm.movingMean, mean));
  l.update(average(norm.movingVariance, variance));
  return [mean, variance];
}

/** Gives a channel vector the rank of `x` where its axis is not the last. */
function broadcaster(g: Graph, x: Output, axes: readonly number[]) {
  const rank = x.shape!.length;
  const isLast = axes.length === 1 && axes[0] === rank - 1;
  const shape = [...Array(rank).keys()].map((i) => (i === axes[0] ? x.shape![i]! : 1));
  return (v: Variable | Output | null): Variable | Output | null => {
    if (v === null || v.shape?.length === rank || isLast) return v;
    return g.nameScope("Reshape", (scope) => {
      const value = v instanceof Output ? v : v.value();
      const dims = g.constant(shape, { dtype: "int32", name: "shape" });
      return g.add("Reshape", [value, dims], { name: scope });
    });
  };
}
