/**
 * @file TensorFlow checkpoints. Format V2, an index of tensors and the files of their values: open.ts for reading, save.ts for
 * writing; V1, tables of slices: v1.ts and v1-save.ts. Both behind TensorFlow's reader: reader.ts. The `checkpoint` state file: state.ts.
 */

export { graphBytes, openCheckpointCollection, storedVariable } from "./collection.ts";
export { locateCheckpoint, shardedFilename } from "./files.ts";
export { mergeCheckpoints } from "./merge.ts";
export { namesOfKeys, objectVariables, withObjectFacts } from "./object.ts";
export {
  OBJECT_GRAPH_KEY,
  type ObjectGraph,
  type ObjectNode,
  readObjectGraph,
  writeObjectGraph,
} from "./object-graph.ts";
export { type Keras2Options, kerasLayoutOf, toKeras2Layout, toKeras3Layout } from "./object-keras.ts";
export type { Relaid } from "./object-layout.ts";
export { type ObjectContents, objectContents, writeObjectCollection } from "./object-write.ts";
export {
  type Checkpoint,
  type CheckpointEntry,
  type CheckpointSources,
  openCheckpoint,
  openCheckpointFrom,
} from "./open.ts";
export { type PrintTensorsOptions, printTensorsInCheckpointFile } from "./print-tensors.ts";
export { type CheckpointReader, listVariables, loadVariable, newCheckpointReader } from "./reader.ts";
export { type LostTensor, type Salvaged, salvageBundle } from "./salvage.ts";
export { type NamedTensor, type SaveOptions, saveCheckpoint, writeV2Collection } from "./save.ts";
export { openSavedVariables } from "./saved-variables.ts";
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
