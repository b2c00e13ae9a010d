/**
 * @file Object-based checkpoints: the graph of objects beside the tensors, and what it says of them. The tensors themselves are a V2 checkpoint
 * (../checkpoint/). Start at variables.ts for reading, write.ts for writing, keras.ts for the layouts of Keras 2 and 3.
 */

export {
  OBJECT_GRAPH_KEY,
  type ObjectGraph,
  type ObjectNode,
  pathOfKey,
  readObjectGraph,
  VARIABLE_VALUE,
  writeObjectGraph,
} from "./graph.ts";
export { type Keras2Options, kerasLayoutOf, toKeras2Layout, toKeras3Layout } from "./keras.ts";
export type { Relaid } from "./layout.ts";
export {
  checkpointObjects,
  type ObjectEdge,
  type ObjectValue,
  savedObjects,
  type TreeObject,
} from "./tree.ts";
export { objectVariables } from "./variables.ts";
export { type ObjectContents, objectContents, writeObjectCollection } from "./write.ts";
