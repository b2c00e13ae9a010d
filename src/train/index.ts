/** @file Training: optimizers, schedules, clipping, savers. Start at optimizer.ts. */

export { type AdamOptions, adamOptimizer } from "./adam.ts";
export {
  type Averages,
  type Restore,
  type SessionMean,
  sessionMean,
  stochasticWeightAverage,
  swapAverages,
  type WeightAverage,
  type WeightAverageOptions,
  withAverages,
} from "./averages/index.ts";
export { clipByGlobalNorm, clipByNorm, clipByValue, globalNorm } from "./clip.ts";
export {
  byteSizeLoad,
  greedyLoadBalancingStrategy,
  type PsStrategy,
  type ReplicaDeviceOptions,
  replicaDeviceSetter,
} from "./device-setter.ts";
export { type RemoveOptions, removeCheckpoint } from "./kept.ts";
export type {
  ApplyGradientsOptions,
  ComputeGradientsOptions,
  GradAndVar,
  Hyper,
  MinimizeOptions,
  Optimizer,
} from "./optimizer.ts";
export {
  type AdadeltaOptions,
  type AdagradOptions,
  adadeltaOptimizer,
  adagradOptimizer,
  type FtrlOptions,
  ftrlOptimizer,
  gradientDescentOptimizer,
  type MomentumOptions,
  momentumOptimizer,
  type RmsPropOptions,
  rmsPropOptimizer,
} from "./optimizers.ts";
export {
  type AssignmentMap,
  type AssignTarget,
  type ExplainOptions,
  explainRestore,
  formatRestoreReport,
  initFromCheckpoint,
  type KeyMap,
  type MatchedVariable,
  type MismatchedVariable,
  type MissingVariable,
  type RestoreOptions,
  type RestoreReport,
  type VocabInfo,
  type WarmStartOptions,
  warmStart,
} from "./restore/index.ts";
export { type SaveOptions, type Saver, type SaverOptions, saver } from "./saver.ts";
export type { Saveable, SaveableObject, SaveSpec, VariableMap } from "./saver-list.ts";
export {
  cosineDecay,
  exponentialDecay,
  inverseTimeDecay,
  naturalExpDecay,
  type PolynomialDecayOptions,
  piecewiseConstant,
  polynomialDecay,
  type StaircaseOptions,
  type StepInput,
} from "./schedules.ts";
