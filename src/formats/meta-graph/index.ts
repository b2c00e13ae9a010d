/**
 * @file MetaGraphs: a graph with its collections, saver and signatures. Knows no variable class: callers
 * bring theirs. Start at meta-graph.ts.
 */

export { type VariableReader, type VariableRecord, variableRecord } from "./collections.ts";
export { readCondContext, readWhileContext, WhileContext, writeCondContext } from "./contexts.ts";
export {
  formatMetaGraph,
  fromMetaGraphDef,
  type MetaGraph,
  type MetaInfo,
  parseMetaGraph,
  type ReadMetaGraphOptions,
  readMetaGraph,
  toMetaGraphDef,
  type WriteMetaGraphOptions,
  writeMetaGraph,
} from "./meta-graph.ts";
export { strippedOpList, toOpDef } from "./op-list.ts";
