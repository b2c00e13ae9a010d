/** @file Training: optimizers, schedules, clipping, savers. Start at optimizer.ts. */

export {
  type EventInit,
  type FileWriter,
  type FileWriterOptions,
  fileWriter,
  readEvents,
  SESSION_STATUS,
} from "../formats/events/index.ts";
export {
  type ExportMetaGraphOptions,
  exportMetaGraph,
  type ImportMetaGraphOptions,
} from "../formats/meta-graph/index.ts";
export { ExponentialMovingAverage, type ExponentialMovingAverageOptions } from "../variables/index.ts";
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
export {
  type ImportedMetaGraph,
  importMetaGraph,
  loadMetaGraph,
  type SaveMetaGraphOptions,
  saveMetaGraph,
} from "./meta-graph.ts";
export {
  type CheckpointSaverHookOptions,
  type CheckpointSaverListener,
  checkpointSaverHook,
  type FinalOpsHook,
  feedFnHook,
  finalizeScaffold,
  finalOpsHook,
  type GlobalStepWaiterHookOptions,
  globalStepRead,
  globalStepWaiterHook,
  type HookOptions,
  type IteratorHookOptions,
  isNanLossError,
  iteratorHook,
  type LoggedTensors,
  type LoggingTensorHookOptions,
  loggingTensorHook,
  MonitoredSession,
  type MonitoredSessionOptions,
  type MonitoredTrainingOptions,
  monitoredSession,
  monitoredTrainingSession,
  type NanTensorHookOptions,
  nanTensorHook,
  type ProfilerHookOptions,
  profilerHook,
  type Scaffold,
  type ScaffoldOptions,
  type SessionCreator,
  type SessionRunArgs,
  type SessionRunContext,
  type SessionRunHook,
  type SessionRunValues,
  type StepCounterHookOptions,
  type StopAtStepHookOptions,
  type SummarySaverHookOptions,
  stepCounterHook,
  stopAtStepHook,
  summarySaverHook,
  withMonitoredTrainingSession,
} from "./monitored/index.ts";
export {
  Checkpoint,
  type CheckpointManager,
  type CheckpointManagerOptions,
  type CheckpointOptions,
  checkpointManager,
  type HostValue,
  type LoadStatus,
  type ManagerSaveOptions,
} from "./objects/index.ts";
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
