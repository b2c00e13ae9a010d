/**
 * @file Monitored training: sessions with hooks that initialize or restore, save, log and stop. Summaries' ops are in ops, event files in
 * formats/events. Start at training-session.ts.
 */

export type {
  CheckpointSaverListener,
  HookOptions,
  SessionRunArgs,
  SessionRunContext,
  SessionRunHook,
  SessionRunValues,
} from "./hook.ts";
export { type IteratorHookOptions, iteratorHook } from "./iterator-hook.ts";
export { MonitoredSession, type SessionCreator } from "./monitored-session.ts";
export { type ProfilerHookOptions, profilerHook } from "./profiler-hook.ts";
export { type FinalOpsHook, feedFnHook, finalOpsHook } from "./run-hooks.ts";
export { type CheckpointSaverHookOptions, checkpointSaverHook } from "./saver-hook.ts";
export { finalizeScaffold, type Scaffold, type ScaffoldOptions } from "./scaffold.ts";
export {
  type GlobalStepWaiterHookOptions,
  globalStepWaiterHook,
  type StepCounterHookOptions,
  type StopAtStepHookOptions,
  stepCounterHook,
  stopAtStepHook,
} from "./step-hooks.ts";
export { globalStepRead } from "./step-read.ts";
export { type SummarySaverHookOptions, summarySaverHook } from "./summary-hook.ts";
export {
  isNanLossError,
  type LoggedTensors,
  type LoggingTensorHookOptions,
  loggingTensorHook,
  type NanTensorHookOptions,
  nanTensorHook,
} from "./tensor-hooks.ts";
export { type Every, type HookTimer, secondOrStepTimer } from "./timer.ts";
export {
  type MonitoredSessionOptions,
  type MonitoredTrainingOptions,
  monitoredSession,
  monitoredTrainingSession,
  withMonitoredTrainingSession,
} from "./training-session.ts";
