/**
 * @file Batch normalization as slim (once tf.contrib.layers) has it: decay 0.999, no gamma unless asked for, one op for rank 2, too. Start at
 * `batchNorm`.
 *
 * @see tf_slim layers/layers.py "batch_norm", "_fused_batch_norm"
 */

import { defined, formatPyShape, isCompatible, VarscopeError } from "../../base/index.ts";
import { type Graph, Output, smartCond, smartConstant } from "../../graph/index.ts";
import { reshape } from "../../ops/index.ts";
import {
  assignMovingAverage,
  GraphKeys,
  getVariable,
  getVariableScope,
  type Initializer,
  onesInitializer,
  type Regularizer,
  type Variable,
  type VariableScope,
  variableScope,
  type Written,
  zerosInitializer,
} from "../../variables/index.ts";
import { batchNormalization } from "../batch-norm.ts";
import { fusedOp } from "../batch-norm-fused.ts";
import { afterWrite } from "../batch-norm-parts.ts";
import type { RenormClipping } from "../batch-renorm.ts";
import type { Activation } from "../layer.ts";
import { moments, normalize, weightedMoments } from "../moments.ts";
import { modelCollections, type SlimScopeOptions, slimLayer, type VariablesCollections } from "./layer.ts";

/** Of each of the variables. */
export interface BatchNormInitializers {
  readonly beta?: Initializer;
  readonly gamma?: Initializer;
  readonly movingMean?: Initializer;
  readonly movingVariance?: Initializer;
}

/** `scope`: "BatchNorm", made unique. */
export interface BatchNormOptions extends SlimScopeOptions {
  /** of the moving averages: 0.999 */
  readonly decay?: number;
  /** has the offset `beta`: true */
  readonly center?: boolean;
  /** has the factor `gamma`: false */
  readonly scale?: boolean;
  /** added to the variance: 0.001 */
  readonly epsilon?: number;
  /** none */
  readonly activationFn?: Activation | null;
  readonly paramInitializers?: BatchNormInitializers;
  readonly paramRegularizers?: { readonly beta?: Regularizer; readonly gamma?: Regularizer };
  /** collection of the update ops; null runs them in place, before the result: "update_ops" */
  readonly updatesCollections?: string | null;
  /** true */
  readonly isTraining?: boolean | Output;
  /** true */
  readonly trainable?: boolean;
  /** where variables go besides, by `beta`, `gamma`, `moving_mean`, `moving_variance` */
  readonly variablesCollections?: VariablesCollections;
  /** [batch] of how much each example counts in mean and variance, as if it came so many times; never fused then */
  readonly batchWeights?: Output;
  /** one FusedBatchNormV3, for rank 2 and 4: true */
  readonly fused?: boolean;
  readonly dataFormat?: "NHWC" | "NCHW";
  /** the moving mean forgets its initial value; two more variables: false */
  readonly zeroDebiasMovingMean?: boolean;
  readonly renorm?: boolean;
  readonly renormClipping?: RenormClipping;
  /** 0.99 */
  readonly renormDecay?: number;
}

/**
 * (x - mean) / √(variance + epsilon) + beta, with variables `beta`, `moving_mean`, `moving_variance` and, if asked for, `gamma`, all in the
 * collection `model_variables`. Its update ops stand in `update_ops`, as of `batchNormalization`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - unknown rank or channels; weights that are no vector of the batch; renorm with weights, zero debias or
 *   other collections of updates
 */
export function batchNorm(x: Output, options: BatchNormOptions = {}): Output {
  const { updatesCollections = GraphKeys.UPDATE_OPS, zeroDebiasMovingMean = false, fused = true } = options;
  const rank = x.shape?.length;
  if (rank === undefined) throw invalid(x, `Inputs ${x.name} has undefined rank.`);
  const isWhole = options.batchWeights === undefined;
  const isPlain = isWhole && updatesCollections === GraphKeys.UPDATE_OPS && !zeroDebiasMovingMean;
  const canFuse = fused && isWhole && !options.renorm && (rank === 2 || rank === 4);
  const isLayer = isPlain && !(canFuse && rank === 2);
  const body = (scope: VariableScope): Output => {
    const { activationFn = null } = options;
    const y = isLayer ? asLayer(x, scope, options) : own(x, canFuse, options);
    return activationFn === null ? y : activationFn(y);
  };
  // variables of zero debias are of the model where the op is not fused
  return slimLayer(x, "BatchNorm", options, body, isLayer || !canFuse);
}

function own(x: Output, canFuse: boolean, options: BatchNormOptions): Output {
  if (options.renorm) {
    const what = "renorm is not supported with batch_weights, updates_collections or zero_debias_moving_mean";
    throw invalid(x, what);
  }
  return canFuse ? fusedNorm(x, options) : plainNorm(x, options);
}

const invalid = (x: Output, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at: x.name });

/** tf.layers' own layer, under slim's names and defaults. */
function asLayer(x: Output, scope: VariableScope, o: BatchNormOptions): Output {
  const { paramInitializers: init = {}, paramRegularizers: regularizers = {} } = o;
  const given = {
    epsilon: o.epsilon,
    center: o.center,
    fused: o.fused === false ? false : undefined,
    reuse: o.reuse,
    trainable: o.trainable,
    renorm: o.renorm,
    renormClipping: o.renormClipping,
    renormMomentum: o.renormDecay,
    betaInitializer: init.beta,
    gammaInitializer: init.gamma,
    movingMeanInitializer: init.movingMean,
    movingVarianceInitializer: init.movingVariance,
    betaRegularizer: regularizers.beta,
    gammaRegularizer: regularizers.gamma,
  };
  return batchNormalization(x, {
    scope,
    axis: o.dataFormat === "NCHW" ? 1 : -1,
    momentum: o.decay ?? 0.999,
    training: o.isTraining ?? true,
    scale: o.scale ?? false,
    ...defined(given),
  });
}

/** The variables in slim's order, and where the fused op needs one that is left out, a constant. */
function parameters(x: Output, channels: number, o: BatchNormOptions, isFused: boolean) {
  const { graph } = x;
  const { paramInitializers: init = {}, paramRegularizers: regularizers = {} } = o;
  const dtype = isFused ? "float32" : x.dtype;
  const make = (name: string, initializer: Initializer, more: object): Variable =>
    getVariable(graph, name, {
      shape: [channels],
      dtype,
      initializer,
      collections: modelCollections(o.variablesCollections, name),
      ...more,
    });
  const trained = (regularizer: Regularizer | undefined) => ({
    trainable: o.trainable ?? true,
    ...defined({ regularizer: isFused ? regularizer : undefined }), // the other path forgets them
  });
  const instead = (value: number): Output | null =>
    isFused ? graph.constant(value, { dtype, shape: [channels] }) : null;
  const offset =
    (o.center ?? true)
      ? make("beta", init.beta ?? zerosInitializer(), trained(regularizers.beta))
      : instead(0);
  const scale = o.scale
    ? make("gamma", init.gamma ?? onesInitializer(), trained(regularizers.gamma))
    : instead(1);
  // slim enters the scope once more, which takes a name
  const moving = variableScope(graph, getVariableScope(graph), {}, (scope) => {
    scope.partitioner = undefined;
    const fixed = { trainable: false };
    const mean = make("moving_mean", init.movingMean ?? zerosInitializer(), fixed);
    return [mean, make("moving_variance", init.movingVariance ?? onesInitializer(), fixed)] as const;
  });
  return { offset, scale, moving };
}

/** @throws VarscopeError INVALID_ARGUMENT - the number of channels is not known */
function channelsOf(x: Output, format: "NHWC" | "NCHW"): number {
  const channels = x.shape!.at(format === "NCHW" ? 1 : -1) ?? null;
  if (channels === null) throw invalid(x, `Inputs ${x.name} has undefined \`C\` dimension.`);
  return channels;
}

type Two<T> = readonly [mean: T, variance: T];

/** Averages of the batch's statistics. */
function average(batch: Two<Output>, moving: Two<Variable>, o: BatchNormOptions): Two<Written> {
  const decay = o.decay ?? 0.999;
  return [
    assignMovingAverage(moving[0], batch[0], decay, { zeroDebias: o.zeroDebiasMovingMean ?? false }),
    assignMovingAverage(moving[1], batch[1], decay, { zeroDebias: false }),
  ];
}

/** Puts the updates into their collection; while not training they change nothing. */
function delayUpdates(
  g: Graph,
  key: string,
  batch: Two<Output>,
  moving: Two<Variable>,
  o: BatchNormOptions,
): void {
  const training = o.isTraining ?? true;
  if (smartConstant(training) === true) {
    // as Python: of a reference variable the value after the op, of a resource the op
    for (const [i, w] of average(batch, moving, o).entries())
      g.addToCollection(key, moving[i]!.isResource ? w.op : w.value);
    return;
  }
  const merged = smartCond(
    training,
    () => average(batch, moving, o).map((w, i) => afterWrite(moving[i]!, w)),
    () => moving.map((v) => v.value()),
  );
  for (const x of merged as Output[]) g.addToCollection(key, x);
}

/** `values` once the updates have run; as they are while not training. */
function forceUpdates(
  values: readonly Output[],
  batch: Two<Output>,
  moving: Two<Variable>,
  o: BatchNormOptions,
  otherwise: () => Output[],
): Output[] {
  const { graph: g } = values[0]!;
  const result = smartCond(
    o.isTraining ?? true,
    () => {
      const ops = average(batch, moving, o).map(({ op }) => op);
      return g.controlDependencies(ops, () => values.map((x) => g.add("Identity", [x])));
    },
    otherwise,
  );
  return Array.isArray(result) ? (result as Output[]) : [result as Output];
}

/** One FusedBatchNormV3; a matrix goes through it as images of one pixel. */
function fusedNorm(input: Output, o: BatchNormOptions): Output {
  const { graph: g } = input;
  const { dataFormat = "NHWC", isTraining = true, updatesCollections = GraphKeys.UPDATE_OPS } = o;
  const isMatrix = input.shape!.length === 2;
  const channels = channelsOf(input, isMatrix ? "NHWC" : dataFormat);
  const pixel = dataFormat === "NHWC" ? [-1, 1, 1, channels] : [-1, channels, 1, 1];
  const x = isMatrix ? reshape(input, pixel) : input;
  const { offset, scale, moving } = parameters(x, channels, o, true);
  const norm = { gamma: scale, beta: offset };
  const form = { epsilon: o.epsilon ?? 1e-3, dataFormat };
  const [y, mean, variance] = smartCond(
    isTraining,
    () => fusedOp(x, norm, null, form),
    () => fusedOp(x, norm, moving, form),
  ) as [Output, Output, Output];
  let result = y;
  if (smartConstant(isTraining) !== false) {
    if (updatesCollections === null)
      [result] = forceUpdates([y], [mean, variance], moving, o, () => [y]) as [Output];
    else delayUpdates(g, updatesCollections, [mean, variance], moving, o);
  }
  return isMatrix ? reshape(result, [-1, channels]) : result;
}

/** One weight for each example, with the rank of x. @throws VarscopeError INVALID_ARGUMENT - no vector, or of another batch */
function wideWeights(x: Output, weights: Output): Output {
  const batch = x.shape!.slice(0, 1);
  if (!isCompatible(batch, weights.shape)) {
    const [a, b] = [formatPyShape(batch), formatPyShape(weights.shape)];
    throw invalid(weights, `Shapes ${a} and ${b} are incompatible`);
  }
  return reshape(weights, [-1, ...Array(x.shape!.length - 1).fill(1)]);
}

/** A dozen small ops, for any rank. */
function plainNorm(x: Output, o: BatchNormOptions): Output {
  const { graph: g } = x;
  const { dataFormat = "NHWC", isTraining = true, updatesCollections = GraphKeys.UPDATE_OPS } = o;
  const rank = x.shape!.length;
  const isFirst = dataFormat === "NCHW";
  const channels = channelsOf(x, dataFormat);
  const weights = o.batchWeights === undefined ? null : wideWeights(x, o.batchWeights);
  const { offset, scale, moving } = parameters(x, channels, o, false);
  const wide = [1, channels, ...Array(Math.max(0, rank - 2)).fill(1)];
  const broadcast = <V extends Variable | Output | null>(v: V): V | Output =>
    isFirst && v !== null ? reshape(v instanceof Output ? v : v.value(), wide) : v;
  let used: Two<Variable | Output> = moving;
  if (smartConstant(isTraining) !== false) {
    const over = [...Array(rank).keys()].filter((i) => i !== (isFirst ? 1 : rank - 1));
    const form = { keepDims: isFirst };
    const found = weights === null ? moments(x, over, form) : weightedMoments(x, over, weights, form);
    const batch = (isFirst ? found.map((m) => reshape(m, [-1])) : found) as unknown as Two<Output>;
    const values = (): Output[] => moving.map((v) => v.value());
    if (updatesCollections === null)
      used = forceUpdates(batch, batch, moving, o, values) as unknown as Two<Output>;
    else {
      delayUpdates(g, updatesCollections, batch, moving, o);
      used = smartCond(isTraining, () => [...batch], values) as unknown as Two<Output>;
    }
  }
  const [mean, variance] = [broadcast(used[0]), broadcast(used[1])];
  const factors = {
    offset: broadcast(offset as Variable | null),
    scale: broadcast(scale as Variable | null),
  };
  return normalize(x, { mean, variance, ...factors, epsilon: o.epsilon ?? 1e-3 });
}
