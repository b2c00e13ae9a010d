/**
 * @file MetaGraphDef: a graph with its collections, saver, signatures and assets, to and from bytes and text.
 * TensorFlow's `tf.train.import_meta_graph` reads what is written here. Start at `readMetaGraph`.
 *
 * @see TensorFlow core/protobuf/meta_graph.proto; python/framework/meta_graph.py
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import type { Graph, Registry } from "../../graph/index.ts";
import type { GraphDef } from "../../proto/graph.gen.ts";
import {
  type AssetFileDef,
  type MetaGraphDef,
  type MetaGraphDef_MetaInfoDef,
  MetaGraphDef_MetaInfoDefSchema,
  MetaGraphDefSchema,
  type SaverDef,
  type SignatureDef,
} from "../../proto/meta-graph.gen.ts";
import { fromGraphDef, readMessage, toGraphDef, writeAttr } from "../graph-def/index.ts";
import { originOf } from "../graph-def/origin.ts";
import { formatMessage, parseMessage } from "../proto-text/index.ts";
import { readCollections, type VariableReader, variableRecord, writeCollections } from "./collections.ts";
import { strippedOpList } from "./op-list.ts";

/** A graph and what belongs to it. Its collections are the graph's own. */
export interface MetaGraph {
  readonly graph: Graph;
  /** names of the nodes that save and restore */
  readonly saverDef?: SaverDef | undefined;
  readonly signatures?: { readonly [name: string]: SignatureDef };
  readonly assets?: readonly AssetFileDef[];
  readonly info?: Partial<MetaInfo>;
}

export interface MetaInfo {
  /** "serve", "train": of SavedModels */
  readonly tags: readonly string[];
  readonly metaGraphVersion: string;
  /** of the writer. TensorFlow asks it whether VariableDefs say what is trainable (since 1.9) */
  readonly tensorflowVersion: string;
  readonly tensorflowGitVersion: string;
  readonly strippedDefaultAttrs: boolean;
}

export interface ReadMetaGraphOptions {
  readonly registry: Registry;
  /** name of the file, for errors */
  readonly file?: string;
  /** makes the items of variable collections; by default `{ name, def }` */
  readonly readVariable?: VariableReader;
}

export interface WriteMetaGraphOptions {
  /** hears of collections that no file can hold, and why; TensorFlow leaves them out with a warning too */
  readonly onSkipped?: (key: string, why: string) => void;
}

/** What we write as what TensorFlow 2.21 writes. */
const TENSORFLOW_VERSION = "2.21.0";

const origins = new WeakMap<Graph, MetaGraphDef>();

/** @throws VarscopeError DATA_LOSS - no protobuf; INVALID_ARGUMENT, NOT_FOUND - naming node or collection */
export const readMetaGraph = (bytes: Uint8Array, options: ReadMetaGraphOptions): Required<MetaGraph> =>
  fromMetaGraphDef(readMessage(MetaGraphDefSchema, bytes, options.file ?? "MetaGraphDef"), options);

/** The same from text. */
export const parseMetaGraph = (text: string, options: ReadMetaGraphOptions): Required<MetaGraph> =>
  fromMetaGraphDef(parseMessage(MetaGraphDefSchema, text, options.file ?? "MetaGraphDef"), options);

export const writeMetaGraph = (meta: MetaGraph, options: WriteMetaGraphOptions = {}): Uint8Array =>
  toBinary(MetaGraphDefSchema, toMetaGraphDef(meta, options));

/** The same as text. */
export const formatMetaGraph = (meta: MetaGraph, options: WriteMetaGraphOptions = {}): string =>
  formatMessage(MetaGraphDefSchema, toMetaGraphDef(meta, options));

/** The MetaGraph of a message. */
export function fromMetaGraphDef(def: MetaGraphDef, options: ReadMetaGraphOptions): Required<MetaGraph> {
  if (def.graphDef === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "MetaGraphDef has no graph_def", {
      at: options.file ?? "MetaGraphDef",
    });
  }
  const graph = fromGraphDef(def.graphDef, options);
  readCollections(graph, def.collectionDef, {
    readVariable: options.readVariable ?? variableRecord,
    saysTrainable: saysTrainable(def),
  });
  origins.set(graph, def);
  const info = def.metaInfoDef ?? create(MetaGraphDef_MetaInfoDefSchema);
  return {
    graph,
    saverDef: def.saverDef,
    signatures: def.signatureDef,
    assets: def.assetFileDef,
    info: {
      tags: info.tags,
      metaGraphVersion: info.metaGraphVersion,
      tensorflowVersion: info.tensorflowVersion,
      tensorflowGitVersion: info.tensorflowGitVersion,
      strippedDefaultAttrs: info.strippedDefaultAttrs,
    },
  };
}

/** Whether the writer's VariableDefs have the field `trainable`: since TensorFlow 1.9. */
export function saysTrainable({ metaInfoDef }: MetaGraphDef): boolean {
  const [, major = "2", minor = "0"] = /^(\d+)\.(\d+)/.exec(metaInfoDef?.tensorflowVersion ?? "") ?? [];
  return Number(major) > 1 || Number(minor) >= 9;
}

/** The message of a MetaGraph. */
export function toMetaGraphDef(meta: MetaGraph, options: WriteMetaGraphOptions = {}): MetaGraphDef {
  const { graph } = meta;
  const origin = origins.get(graph);
  const def = create(MetaGraphDefSchema, {
    metaInfoDef: writeInfo(meta, origin?.metaInfoDef),
    graphDef: withShapes(graph, toGraphDef(graph)),
    collectionDef: writeCollections(graph, options),
    signatureDef: { ...(meta.signatures ?? origin?.signatureDef) },
    assetFileDef: [...(meta.assets ?? origin?.assetFileDef ?? [])],
  });
  const saverDef = meta.saverDef ?? origin?.saverDef;
  if (saverDef !== undefined) def.saverDef = saverDef;
  if (origin?.$unknown !== undefined) def.$unknown = origin.$unknown;
  return def;
}

function writeInfo(
  { graph, info = {} }: MetaGraph,
  origin: MetaGraphDef_MetaInfoDef | undefined,
): MetaGraphDef_MetaInfoDef {
  const base =
    origin ??
    create(MetaGraphDef_MetaInfoDefSchema, {
      tensorflowVersion: TENSORFLOW_VERSION,
      tensorflowGitVersion: "unknown",
    });
  const { tags, ...rest } = info;
  return {
    ...base,
    ...rest,
    tags: [...(tags ?? base.tags)],
    strippedOpList: strippedOpList(graph, base.strippedOpList),
  };
}

/** Adds what is known of the outputs' shapes to new nodes, as `as_graph_def(add_shapes=True)` does. */
function withShapes(graph: Graph, def: GraphDef): GraphDef {
  for (const [i, node] of def.node.entries()) {
    const op = graph.operation(node.name);
    if (
      op.outputs.length === 0 ||
      op.def === undefined ||
      "_output_shapes" in node.attr ||
      originOf(op) !== undefined
    )
      continue;
    const shapes = writeAttr(
      op.outputs.map((y) => ({ dims: y.shape })),
      "list(shape)",
    );
    const attr = Object.entries({ ...node.attr, _output_shapes: shapes }).sort(([a], [b]) =>
      a < b ? -1 : 1,
    );
    def.node[i] = { ...node, attr: Object.fromEntries(attr) };
  }
  return def;
}
