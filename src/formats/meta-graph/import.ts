/**
 * @file A MetaGraph into a graph that has nodes already. Start at `addMetaGraph`.
 *
 * @see TensorFlow python/framework/meta_graph.py "import_scoped_meta_graph_with_return_elements"
 */

import { VarscopeError } from "../../base/index.ts";
import type { Graph, Input, Operation, Output } from "../../graph/index.ts";
import { type MetaGraphDef, MetaGraphDefSchema, type SaverDef } from "../../proto/meta-graph.gen.ts";
import { importGraphDef, readMessage } from "../graph-def/index.ts";
import { readCollections, UNBOUND_INPUTS, type VariableReader, variableRecord } from "./collections.ts";
import { saysTrainable } from "./meta-graph.ts";
import { intoScope, respellSaver } from "./scope.ts";

export interface ImportMetaGraphOptions {
  /** name scope of everything: the open one; made unique */
  readonly importScope?: string;
  /** forgets the devices: false */
  readonly clearDevices?: boolean;
  /** as of `importGraphDef`; an export of a scope wants all that its collection `unbound_inputs` names */
  readonly inputMap?: Readonly<Record<string, Input | Operation>>;
  /** ops and tensors of the MetaGraph to give back */
  readonly returnElements?: readonly string[];
  /** which collections to restore: all */
  readonly wantsCollection?: (key: string) => boolean;
}

/** What was imported. */
export interface AddedMetaGraph {
  readonly def: MetaGraphDef;
  /** where it is, without a slash: "" is the root */
  readonly scope: string;
  /** names of the saver's nodes as they are now */
  readonly saverDef: SaverDef | undefined;
  readonly returnElements: readonly (Operation | Output)[];
}

/**
 * Adds the nodes of a MetaGraph and the items of its collections to `graph`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - inputs that the input map leaves open; and as `importGraphDef`; NOT_FOUND - a collection names
 *   what is not there
 */
export function addMetaGraph(
  graph: Graph,
  meta: Uint8Array | MetaGraphDef,
  options: ImportMetaGraphOptions = {},
  readVariable: VariableReader = variableRecord,
): AddedMetaGraph {
  const def = meta instanceof Uint8Array ? readMessage(MetaGraphDefSchema, meta, "MetaGraphDef") : meta;
  if (def.graphDef === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "MetaGraphDef has no graph_def", { at: "MetaGraphDef" });
  }
  const { importScope = "", clearDevices = false, inputMap = {}, wantsCollection = () => true } = options;
  checkBound(def, inputMap);
  const scope = (
    importScope === "" ? graph.namer.currentScope : graph.uniqueName(importScope, false)
  ).replace(/\/$/, "");
  const { node } = def.graphDef;
  const returnElements = importGraphDef(
    graph,
    clearDevices ? { ...def.graphDef, node: node.map((n) => ({ ...n, device: "" })) } : def.graphDef,
    {
      prefix: importScope === "" && scope !== "" ? `${scope}/` : importScope,
      inputMap,
      returnElements: options.returnElements ?? [],
      producerOpList: def.metaInfoDef?.strippedOpList,
    },
  );
  const collections = Object.entries(def.collectionDef).filter(([key]) => wantsCollection(key));
  readCollections(graph, Object.fromEntries(collections), {
    readVariable,
    scope,
    saysTrainable: saysTrainable(def),
  });
  const saverDef = def.saverDef && respellSaver(def.saverDef, intoScope(scope));
  return { def, scope, saverDef, returnElements };
}

function checkBound(def: MetaGraphDef, inputMap: Readonly<Record<string, unknown>>): void {
  const kind = def.collectionDef[UNBOUND_INPUTS]?.kind;
  if (kind?.case !== "bytesList") return;
  const names = kind.value.value.map((bytes) => new TextDecoder().decode(bytes));
  const open = [...new Set(names)].filter((name) => !Object.hasOwn(inputMap, name));
  if (open.length === 0) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Graph contains unbound inputs: ${open.join(",")}. Must provide these inputs through input_map.`,
  );
}
