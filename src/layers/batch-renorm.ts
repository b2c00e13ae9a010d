/**
 * @file Batch renormalization: x · r + d brings what a batch's statistics give to what the moving ones would give, so that small batches train
 * on what inference will see. Start at `renormCorrection`.
 *
 * @see Ioffe 2017, "Batch Renormalization", arXiv 1702.03275; TensorFlow 1.15 python/keras/layers/normalization.py
 */

import { type Output, smartCond, smartConstant } from "../graph/index.ts";
import { ones, relu, zerosLike } from "../ops/index.ts";
import {
  addWith,
  type Initializer,
  onesInitializer,
  type Variable,
  type Written,
  writeVariable,
  zerosInitializer,
} from "../variables/index.ts";
import type { BatchNormalizationOptions } from "./batch-norm.ts";
import { afterWrite, movingUpdate, type Norm, type RenormVariables } from "./batch-norm-parts.ts";

/** Limits of the correction: of r from below and above, of |d|. */
export interface RenormClipping {
  readonly rmin?: number;
  readonly rmax?: number;
  readonly dmax?: number;
}

type Training = boolean | Output;

/** Root of the variance that inference takes, and mean and deviation that training corrects towards. */
export function renormVariables(
  norm: Omit<Norm, "renorm">,
  statistic: (name: string, initializer: Initializer) => Variable,
  o: BatchNormalizationOptions,
): RenormVariables {
  const { graph } = norm.movingMean;
  const variance = o.movingVarianceInitializer ?? onesInitializer();
  const deviation: Initializer = (g, shape, dtype) => g.add("Sqrt", [variance(g, shape, dtype)]);
  const beside = (v: Variable, name: string, initializer: Initializer): Variable =>
    graph.colocateWith(v.op, () => statistic(name, initializer));
  const movingStddev = beside(norm.movingVariance, "moving_stddev", deviation);
  const mean = beside(norm.movingMean, "renorm_mean", o.movingMeanInitializer ?? zerosInitializer());
  return { movingStddev, mean, stddev: beside(movingStddev, "renorm_stddev", deviation) };
}

/** What training multiplies by and adds, and the statistics to average once the correction's own averages have moved. */
export interface Correction {
  readonly r: Output;
  readonly d: Output;
  readonly mean: Output;
  readonly variance: Output;
}

/** The correction for a batch; r = 1 and d = 0 where it is not training. */
export function renormCorrection(
  kept: RenormVariables,
  batch: { readonly mean: Output; readonly variance: Output },
  training: Training,
  o: BatchNormalizationOptions,
): Correction {
  const { graph: g } = batch.mean;
  const epsilon = o.epsilon ?? 1e-3;
  const stddev = g.add("Sqrt", [g.add("AddV2", [batch.variance, epsilon], { name: "add" })]);
  const least = addWith(g, "Maximum", [kept.stddev, g.add("Sqrt", [epsilon])]);
  const r = g.add("RealDiv", [stddev, least], { name: "truediv" });
  const distance = addWith(g, "Sub", [batch.mean, kept.mean], { name: "sub" });
  const d = g.add("RealDiv", [distance, least], { name: "truediv" });
  // the correction takes the averages as they were before this batch
  const [mean, deviation] = g.controlDependencies([r, d], () =>
    [batch.mean, stddev].map((x) => g.add("Identity", [x])),
  );
  const [clippedR, clippedD] = clipped(r, d, o.renormClipping ?? {});
  const chosenR = smartCond(
    training,
    () => clippedR,
    () => ones(g, clippedR.shape as readonly number[], { dtype: clippedR.dtype, name: "ones_like" }),
  );
  const chosenD = smartCond(
    training,
    () => clippedD,
    () => zerosLike(clippedD),
  );
  const momentum = o.renormMomentum ?? 0.99;
  const moved = [
    movedTowards(kept.mean, mean!, momentum, training),
    movedTowards(kept.stddev, deviation!, momentum, training),
  ];
  const [outMean, outVariance] = g.controlDependencies(moved, () =>
    [mean!, batch.variance].map((x) => g.add("Identity", [x])),
  );
  return { r: chosenR as Output, d: chosenD as Output, mean: outMean!, variance: outVariance! };
}

function clipped(r: Output, d: Output, { rmin, rmax, dmax }: RenormClipping): readonly [Output, Output] {
  const { graph: g } = r;
  let [a, b] = [r, d];
  if (rmin !== undefined) a = g.add("Maximum", [a, rmin]);
  if (rmax !== undefined) a = g.add("Minimum", [a, rmax]);
  if (dmax !== undefined) b = g.add("Minimum", [g.add("Maximum", [b, -dmax]), dmax]);
  return [a, b];
}

function movedTowards(v: Variable, given: Output, momentum: number, training: Training): Output["op"] {
  const { graph: g } = v;
  const value = g.add("Identity", [given]);
  if (smartConstant(training) === true) return movingUpdate(v, value, momentum).op;
  const chosen = smartCond(
    training,
    () => afterWrite(v, movingUpdate(v, value, momentum)),
    () => addWith(g, "Identity", [v]),
  );
  return (chosen as Output).op;
}

/** moving_stddev moves towards the batch's; moving_variance follows as its square. */
export function renormVarianceUpdate(
  norm: Norm,
  variance: Output,
  momentum: number,
  epsilon: number,
): Written {
  const { graph: g } = variance;
  const { movingStddev } = norm.renorm!;
  const stddev = g.add("Sqrt", [g.add("AddV2", [variance, epsilon], { name: "add" })]);
  const moved = movingUpdate(movingStddev, stddev, momentum);
  const left = afterWrite(movingStddev, moved);
  const squared = g.nameScope("mul", (scope) =>
    g.add("Mul", [left, afterWrite(movingStddev, moved)], { name: scope }),
  );
  // rounding may have made it negative
  const value = relu(g.add("Sub", [squared, epsilon], { name: "sub" }));
  return g.nameScope("AssignNewValue", (scope) =>
    g.colocateWith(norm.movingVariance.op, () =>
      writeVariable(norm.movingVariance, "assign", value, { name: scope, useLocking: true }),
    ),
  );
}
