/**
 * @file Batch normalization as a dozen small ops, for any rank and several axes, with parts of the batch (virtual batches) and renormalization.
 *
 * @see TensorFlow 1.15 python/keras/layers/normalization.py; Keras 2 batch_normalization.py
 */

import { type Graph, Output, smartCond, smartConstant } from "../graph/index.ts";
import { concat, index, shape, zerosLike } from "../ops/index.ts";
import { addWith, type Variable, type Written } from "../variables/index.ts";
import type { BatchNormalizationOptions } from "./batch-norm.ts";
import { afterWrite, castTo, isInParts, movingUpdate, type Norm } from "./batch-norm-parts.ts";
import { renormCorrection, renormVarianceUpdate } from "./batch-renorm.ts";
import type { Layer } from "./layer.ts";
import { moments, normalize, weightedMoments } from "./moments.ts";

/** The layer of small ops. */
export function plainNorm(l: Layer, given: Output, norm: Norm, o: BatchNormalizationOptions): Output {
  const parts = isInParts(o) ? splitBatch(given, o.virtualBatchSize!) : null;
  const x = parts?.x ?? given;
  const axes = parts === null ? norm.axes : norm.axes.map((a) => a + 1);
  const y = normalizeAll(l, x, { ...norm, axes }, o);
  return parts === null ? y : l.graph.add("Reshape", [y, parts.shape]);
}

/** The batch in parts along a new axis: [size, parts, ...], as TensorFlow 1 has it; and the shape to go back to. */
function splitBatch(x: Output, size: number): { readonly x: Output; readonly shape: Output } {
  const { graph: g } = x;
  const behind = (dims: Output): Output => index(dims, [{ from: 1 }]);
  const vector = (dims: readonly number[]): Output => g.constant([...dims], { dtype: "int32" });
  const shapeOf = shape(x);
  const free = vector([-1]);
  const back = concat([free, behind(shapeOf)], 0);
  const wanted = vector([size, -1]);
  const split = concat([wanted, behind(back)], 0);
  return { x: g.add("Reshape", [x, split]), shape: back };
}

function normalizeAll(l: Layer, given: Output, norm: Norm, o: BatchNormalizationOptions): Output {
  const { graph: g } = l;
  const training = o.training ?? false;
  const isHalf = given.dtype === "float16" || given.dtype === "bfloat16";
  const x = isHalf ? castTo(given, "float32") : given;
  const wide = broadcaster(g, x, norm.axes);
  const factors = [wide(norm.gamma as Variable | null), wide(norm.beta as Variable | null)] as const;
  const moving = {
    mean: norm.movingMean,
    variance: norm.movingVariance,
    scale: factors[0],
    offset: factors[1],
  };
  const used = smartConstant(training) === false ? moving : trainingValues(l, x, norm, o, factors, wide);
  const y = normalize(x, {
    mean: wide(used.mean)!,
    variance: wide(used.variance)!,
    offset: used.offset,
    scale: used.scale,
    epsilon: o.epsilon ?? 1e-3,
  });
  return isHalf ? castTo(y, given.dtype) : y;
}

type Factor = Variable | Output | null;
type Wide = (v: Factor) => Factor;

/** What the formula takes while training, and the ops that average the batch's statistics. */
function trainingValues(
  l: Layer,
  x: Output,
  norm: Norm,
  o: BatchNormalizationOptions,
  [gamma, beta]: readonly [Factor, Factor],
  wide: Wide,
): { readonly mean: Output; readonly variance: Output; readonly scale: Factor; readonly offset: Factor } {
  const training = o.training ?? false;
  const isVirtual = isInParts(o);
  const isReduced = (i: number): boolean => !norm.axes.includes(i) && !(isVirtual && i === 1);
  const over = [...x.shape!.keys()].filter(isReduced);
  const form = { keepDims: isVirtual || norm.axes.length > 1 };
  const batch = o.mask === undefined ? moments(x, over, form) : maskedMoments(x, over, o.mask, form);
  const choose = (value: Output, v: Variable): Output =>
    smartCond(
      training,
      () => value,
      () => v.value(),
    ) as Output;
  const mean = choose(batch[0], norm.movingMean);
  const variance = choose(batch[1], norm.movingVariance);
  const wholeBatch = (value: Output): Output => (isVirtual ? meanOfParts(value) : value);
  let next = { mean: wholeBatch(mean), variance: wholeBatch(variance) };
  let [scale, offset] = [gamma, beta];
  if (norm.renorm !== null) {
    const { r, d, ...rest } = renormCorrection(norm.renorm, next, training, o);
    next = rest;
    [scale, offset] = composed(wide, r, d, gamma, beta);
  }
  const momentum = o.momentum ?? 0.99;
  averaged(l, norm.movingMean, training, () => movingUpdate(norm.movingMean, next.mean, momentum));
  averaged(l, norm.movingVariance, training, () =>
    norm.renorm === null
      ? movingUpdate(norm.movingVariance, next.variance, momentum)
      : renormVarianceUpdate(norm, next.variance, momentum, o.epsilon ?? 1e-3),
  );
  return { mean, variance, scale, offset };
}

const meanOfParts = (value: Output): Output => {
  const { graph: g } = value;
  return g.nameScope("Mean", (scope) => {
    const over = g.constant(1, { dtype: "int32", name: "reduction_indices" });
    return g.add("Mean", [value, over], { name: scope, attrs: { keep_dims: true } });
  });
};

/** Moments of the elements that a mask keeps; the others may be anything, NaN too. */
function maskedMoments(
  x: Output,
  over: readonly number[],
  mask: Output,
  form: { readonly keepDims: boolean },
): [Output, Output] {
  const { graph: g } = x;
  return g.nameScope("masked_moments", (name) => {
    const isKept = g.add("ExpandDims", [castTo(mask, "bool"), -1]);
    const kept = g.add("SelectV2", [isKept, x, zerosLike(x)]);
    return weightedMoments(kept, over, castTo(isKept, x.dtype), { ...form, name });
  });
}

/** (x · r + d) · gamma + beta as one factor and one offset. */
function composed(
  wide: Wide,
  r: Output,
  d: Output,
  gamma: Factor,
  beta: Factor,
): [scale: Factor, offset: Factor] {
  const { graph: g } = r;
  const still = (x: Output, name: string): Output => g.add("StopGradient", [x], { name });
  let scale = wide(still(r, "renorm_r")) as Output;
  let offset = wide(still(d, "renorm_d")) as Output;
  if (gamma !== null) {
    scale = addWith(g, "Mul", [scale, gamma], { name: "mul" });
    offset = addWith(g, "Mul", [offset, gamma], { name: "mul" });
  }
  if (beta !== null) offset = addWith(g, "AddV2", [offset, beta], { name: "add" });
  return [scale, offset];
}

/** An update op that changes nothing while not training. */
function averaged(l: Layer, v: Variable, training: boolean | Output, update: () => Written): void {
  if (smartConstant(training) === true) {
    l.update(update().op);
    return;
  }
  const merged = smartCond(
    training,
    () => afterWrite(v, update()),
    () => v.value(),
  );
  l.update((merged as Output).op);
}

/** Gives a channel vector the rank of `x` where its axis is not the last. */
function broadcaster(g: Graph, x: Output, axes: readonly number[]): Wide {
  const rank = x.shape!.length;
  const isLast = axes.length === 1 && axes[0] === rank - 1;
  const dims = [...Array(rank).keys()].map((i) => (i === axes[0] ? x.shape![i]! : 1));
  return (v) => {
    if (v === null || v.shape?.length === rank || isLast) return v;
    return g.nameScope("Reshape", (scope) => {
      const value = v instanceof Output ? v : v.value();
      const to = g.constant(dims, { dtype: "int32", name: "shape" });
      return g.add("Reshape", [value, to], { name: scope });
    });
  };
}
