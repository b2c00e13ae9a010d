/**
 * @file Checkpoints of objects, as `tf.train.Checkpoint` writes them, and the folders that hold them. What a file's object graph says to people who
 * only look at it is in formats/object-graph. Start at checkpoint.ts.
 */

export { Checkpoint, type CheckpointOptions } from "./checkpoint.ts";
export {
  type CheckpointManager,
  type CheckpointManagerOptions,
  checkpointManager,
  type ManagerSaveOptions,
} from "./manager.ts";
export type { LoadStatus } from "./status.ts";
export { type HostValue, hostValue } from "./trackable.ts";
