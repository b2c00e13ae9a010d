/**
 * @file Opening graph files: GraphDef and MetaGraph, binary or text, told apart by their bytes, and SavedModels; the variables of their graphs.
 * Start at `openGraph`.
 */

import { diskFiles, type Files } from "#platform";
import {
  DTYPES,
  type DType,
  isStatic,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { needElements, roleOf } from "../../formats/collection/index.ts";
import { parseGraphDef, readGraphDef } from "../../formats/graph-def/index.ts";
import {
  type MetaGraph,
  parseMetaGraph,
  readMetaGraph,
  type VariableRecord,
} from "../../formats/meta-graph/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import type { MetaGraphDef } from "../../proto/index.ts";
import { type Located, locate } from "../locate.ts";
import { type FileKind, recognise } from "../recognise.ts";
import { savedGraph } from "./saved-model.ts";

/** A graph with what its file says about it. */
export interface GraphFile {
  readonly path: string;
  readonly format: "graph-def" | "meta-graph";
  readonly graph: Graph;
  /** null for a GraphDef */
  readonly meta: Required<MetaGraph> | null;
  /** prefix of the checkpoint beside a MetaGraph: the same name without `.meta` */
  readonly checkpoint: string | null;
  /** of a SavedModel */
  readonly saved?: { readonly folder: string; readonly def: MetaGraphDef };
}

/**
 * Opens a graph: a GraphDef, a MetaGraph, a SavedModel, or any path of a checkpoint that has its `.meta` beside it.
 *
 * @param tags - of a SavedModel's MetaGraph; by default that for serving, else the only one
 * @throws VarscopeError NOT_FOUND - no such file, or a checkpoint without a graph; INVALID_ARGUMENT - no graph is in it; and as `readGraphDef`
 */
export async function openGraph(
  path: string,
  files: Files = diskFiles,
  tags?: readonly string[],
): Promise<GraphFile> {
  const found = await locate(path, files);
  if (found.kind === "saved-model") return savedGraph(found.file, files, tags);
  const file = await graphFileOf(found, files);
  const bytes = await bytesOfFile(file, files);
  return readGraphFile(path, file, bytes, recognise(bytes), files);
}

/** All bytes of a file. */
export async function bytesOfFile(file: string, files: Files): Promise<Uint8Array> {
  const source = files.source(file);
  try {
    return await source.read(0, await source.size());
  } finally {
    if (files === diskFiles) await source.close();
  }
}

/** The file that holds the graph. */
async function graphFileOf(found: Located, files: Files): Promise<string> {
  if (found.kind !== "checkpoint-v2" && found.kind !== "checkpoint-v1") return found.file;
  const meta = `${found.file}.meta`;
  if (await files.exists(meta)) return meta;
  throw new VarscopeError("NOT_FOUND", "this checkpoint has no graph beside it", {
    at: meta,
    hint: "give a MetaGraph (.meta) or a GraphDef (.pb, .pbtxt)",
  });
}

/** The graph in the bytes of a file. */
export async function readGraphFile(
  path: string,
  file: string,
  bytes: Uint8Array,
  kind: FileKind | null,
  files: Files = diskFiles,
): Promise<GraphFile> {
  const options = { registry: CORE_OPS, file };
  const text = (): string => new TextDecoder().decode(bytes);
  const plain = (graph: Graph): GraphFile => ({
    path,
    format: "graph-def",
    graph,
    meta: null,
    checkpoint: null,
  });
  if (kind === "graph-def") return plain(readGraphDef(bytes, options));
  if (kind === "graph-def-text") return plain(parseGraphDef(text(), options));
  if (kind !== "meta-graph" && kind !== "meta-graph-text") throw noGraph(file, kind);
  const meta = kind === "meta-graph" ? readMetaGraph(bytes, options) : parseMetaGraph(text(), options);
  const prefix = file.replace(/\.meta(\.txt)?$/, "");
  const beside = prefix !== file && (await files.exists(`${prefix}.index`));
  return { path, format: "meta-graph", graph: meta.graph, meta, checkpoint: beside ? prefix : null };
}

function noGraph(file: string, kind: FileKind | null): VarscopeError {
  const what =
    kind === null ? "neither a graph nor anything else that varscope knows" : `no graph but ${kind}`;
  return new VarscopeError("INVALID_ARGUMENT", what, {
    at: file,
    hint: "give a MetaGraph (.meta) or a GraphDef (.pb, .pbtxt)",
  });
}

/** A variable that a graph declares, by its name in checkpoints. */
export interface GraphVariable {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape | null;
  /** of a constant that takes a variable's place, its value */
  readonly value: Tensor | null;
}

/** Variables of a graph: those of its collections and nodes, and constants that look like weights. A partitioned one once, whole. */
export function graphVariables({ graph }: GraphFile): GraphVariable[] {
  const found = new Map<string, GraphVariable>();
  for (const key of ["variables", "local_variables"]) {
    for (const record of graph.getCollection<Partial<VariableRecord>>(key)) {
      const slice = record.def?.saveSliceInfoDef; // a broken file may hold anything here
      if (slice === undefined || record.name === undefined) continue;
      const op = graph.findOperation(record.name.replace(/:\d+$/, ""));
      const dtype = op?.def?.variable?.(op.attrs as never).dtype ?? "float32";
      const shape = slice.fullShape.map(Number);
      needElements(shape, slice.fullName);
      found.set(slice.fullName, { name: slice.fullName, dtype, shape, value: null });
      if (op !== undefined) found.set(`${op.name}\0`, { name: "", dtype, shape: null, value: null }); // a part: not shown
    }
  }
  const isPlain = graph.operations.every((op) => op.type === "Const"); // no graph but values alone
  for (const op of graph.operations) {
    if (found.has(`${op.name}\0`)) continue;
    const info = op.def?.variable?.(op.attrs as never);
    if (info !== undefined) found.set(op.name, { name: op.name, ...info, value: null });
    else if (op.type === "Const" && op.attrs.value !== undefined && (isPlain || isFrozenVariable(op))) {
      const value = op.attrs.value as unknown as Tensor;
      found.set(op.name, { name: op.name, dtype: value.dtype, shape: value.shape, value });
    }
  }
  return [...found.values()].filter((v) => v.name !== "");
}

/** A constant of this many elements is a weight, whatever its name. */
const MANY_ELEMENTS = 256;

/** Whether a Const holds what was a variable before the graph was frozen. */
export function isFrozenVariable(op: Operation): boolean {
  if (op.type !== "Const" || /(^|\/)(Initializer|gradients[^/]*|save)\//.test(op.name)) return false;
  const value = op.attrs.value as unknown as Tensor | undefined;
  if (value === undefined || DTYPES[value.dtype].kind === "string" || value.shape.length === 0) return false;
  const { role } = roleOf(op.name, value.shape, () => undefined);
  if (role !== "other") return true;
  return sizeOf(value.shape) >= MANY_ELEMENTS && !["int32", "int64", "bool"].includes(value.dtype);
}

/** Bytes of a value; 0 where the shape is unknown or the dtype has no fixed size. */
export const bytesOfShape = (dtype: DType, shape: Shape | null): number =>
  isStatic(shape) ? sizeOf(shape) * DTYPES[dtype].bytes : 0;
