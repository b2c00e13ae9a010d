/**
 * @file TensorFlow's checkpoints, the public side. Format V2, an index of tensors and the files of their values, is here: open.ts for reading,
 * save.ts for writing, salvage.ts for damaged ones, state.ts for the `checkpoint` state file. V1 is in ../checkpoint-v1/, the graph of objects of
 * object-based ones in ../object-graph/. TensorFlow's reader over V1 and V2: reader.ts.
 */

export { openV1Collection, writeV1Collection } from "../checkpoint-v1/index.ts";
export {
  type Keras2Options,
  type Relaid,
  toKeras2Layout,
  toKeras3Layout,
  writeObjectCollection,
} from "../object-graph/index.ts";
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
export { type PrintTensorsOptions, printTensorsInCheckpointFile } from "./print-tensors.ts";
export { type CheckpointReader, listVariables, loadVariable, newCheckpointReader } from "./reader.ts";
export { type NamedTensor, type SaveOptions, saveCheckpoint, writeV2Collection } from "./save.ts";
export { type Extent, formatSliceSpec, parseSliceSpec, type SliceSpec, type TensorSlice } from "./slice.ts";
export {
  type CheckpointState,
  checkpointExists,
  latestCheckpoint,
  readCheckpointState,
  type StateOptions,
  updateCheckpointState,
} from "./state.ts";
export type { ReadOptions } from "./values.ts";
