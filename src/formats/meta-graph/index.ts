/**
 * @file MetaGraphs: a graph with its collections, saver and signatures. Knows no variable class: callers
 * bring theirs. Start at meta-graph.ts.
 */

export { type VariableReader, type VariableRecord, variableRecord } from "./collections.ts";
export { readCondContext, readWhileContext, writeCondContext, writeWhileContext } from "./contexts.ts";
export { type ExportMetaGraphOptions, exportMetaGraph } from "./export.ts";
export { type AddedMetaGraph, addMetaGraph, type ImportMetaGraphOptions } from "./import.ts";
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
