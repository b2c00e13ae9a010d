/**
 * @file Values of checkpoints for the variables of a graph: through a saver's nodes, as initial values, or only told. What restores objects is
 * in ../objects/. Start at saver-restore.ts, init-from-checkpoint.ts, explain.ts.
 */

export { type ExplainOptions, explainRestore } from "./explain.ts";
export { type AssignmentMap, type AssignTarget, initFromCheckpoint } from "./init-from-checkpoint.ts";
export {
  formatRestoreReport,
  type KeyMap,
  type MatchedVariable,
  type MismatchedVariable,
  type MissingVariable,
  type RestoreOptions,
  type RestoreReport,
} from "./report.ts";
export type { VocabInfo } from "./vocab-start.ts";
export { type WarmStartOptions, warmStart } from "./warm-start.ts";
