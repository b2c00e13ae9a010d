/**
 * @file TensorFlow checkpoints, format V2: an index of tensors and the files of their values. V1 is not here. Start at
 * open.ts for reading, save.ts for writing, state.ts for the `checkpoint` state file.
 */

export { openCheckpointCollection } from "./collection.ts";
export { locateCheckpoint, shardedFilename } from "./files.ts";
export { mergeCheckpoints } from "./merge.ts";
export {
  type Checkpoint,
  type CheckpointEntry,
  type CheckpointSources,
  openCheckpoint,
  openCheckpointFrom,
} from "./open.ts";
export { type NamedTensor, type SaveOptions, saveCheckpoint } from "./save.ts";
export { type Extent, formatSliceSpec, parseSliceSpec, type SliceSpec, type TensorSlice } from "./slice.ts";
export {
  type CheckpointState,
  checkpointExists,
  latestCheckpoint,
  readCheckpointState,
  type StateOptions,
  updateCheckpointState,
} from "./state.ts";
export { openV1Collection } from "./v1.ts";
export { writeV1Collection } from "./v1-save.ts";
export type { ReadOptions } from "./values.ts";
