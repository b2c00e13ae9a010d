/**
 * @file MetaGraphs with their variables and savers, to and from graphs and files. Start at `importMetaGraph`.
 *
 * @see TensorFlow python/training/saver.py "import_meta_graph", "export_meta_graph"
 */

import { toBinary } from "@bufbuild/protobuf";
import { readFile, writeFileAtomic } from "#platform";
import {
  addMetaGraph,
  type ExportMetaGraphOptions,
  exportMetaGraph,
  type ImportMetaGraphOptions,
} from "../formats/meta-graph/index.ts";
import { formatMessage, parseMessage } from "../formats/proto-text/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { type MetaGraphDef, MetaGraphDefSchema } from "../proto/meta-graph.gen.ts";
import { globalVariables, type Variable, variableFromProto } from "../variables/index.ts";
import { type Saver, saver } from "./saver.ts";

export interface ImportedMetaGraph {
  /** saves and restores by the imported nodes; where there are none, by new ones of all variables; null without variables */
  readonly saver: Saver | null;
  /** global variables by their names in the MetaGraph: `w:0` */
  readonly variables: ReadonlyMap<string, Variable>;
  /** where it is, without a slash: "" is the root */
  readonly scope: string;
  readonly returnElements: readonly (Operation | Output)[];
  /** the message as it was: signatures, assets, versions */
  readonly def: MetaGraphDef;
}

/**
 * Adds a MetaGraph to `graph`: its nodes, the items of its collections, its saver. Checkpoints keep the names that the variables had.
 *
 * @param meta - encoded, or the message
 * @throws VarscopeError as `importGraphDef`; INVALID_ARGUMENT - inputs that `inputMap` leaves open; NOT_FOUND - a collection names what is
 *   not there
 */
export function importMetaGraph(
  graph: Graph,
  meta: Uint8Array | MetaGraphDef,
  options: ImportMetaGraphOptions = {},
): ImportedMetaGraph {
  const { saverDef, def, scope, returnElements } = addMetaGraph(graph, meta, options, variableFromProto);
  const inside = scope === "" ? globalVariables(graph) : globalVariables(graph, `${scope}/`);
  const names = inside.map((v) => [scope === "" ? v.name : v.name.slice(scope.length + 1), v] as const);
  const restorer =
    saverDef !== undefined ? saver(graph, { saverDef }) : inside.length > 0 ? saver(graph) : null;
  return { saver: restorer, variables: new Map(names), scope, returnElements, def };
}

/** `importMetaGraph` of a file, binary or text. @throws VarscopeError NOT_FOUND - no such file; DATA_LOSS - no MetaGraph is in it */
export async function loadMetaGraph(
  graph: Graph,
  file: string,
  options: ImportMetaGraphOptions = {},
): Promise<ImportedMetaGraph> {
  const bytes = await readFile(file);
  return importMetaGraph(graph, isText(bytes) ? parsed(bytes, file) : bytes, options);
}

/** Text begins with a field's name; of the binary fields none begins so. */
const isText = (bytes: Uint8Array): boolean =>
  /^\s*(#|[a-z_]+\s*[{:])/.test(new TextDecoder("latin1").decode(bytes.subarray(0, 200)));

const parsed = (bytes: Uint8Array, file: string): MetaGraphDef =>
  parseMessage(MetaGraphDefSchema, new TextDecoder().decode(bytes), file);

export interface SaveMetaGraphOptions extends ExportMetaGraphOptions {
  /** as text: false */
  readonly asText?: boolean;
}

/** Writes `exportMetaGraph` as a file, whole or not at all, and gives the message. */
export async function saveMetaGraph(
  graph: Graph,
  file: string,
  { asText = false, ...options }: SaveMetaGraphOptions = {},
): Promise<MetaGraphDef> {
  const def = exportMetaGraph(graph, options);
  const bytes = asText
    ? new TextEncoder().encode(formatMessage(MetaGraphDefSchema, def))
    : toBinary(MetaGraphDefSchema, def);
  await writeFileAtomic(file, [bytes]);
  return def;
}
