/** @file A V2 checkpoint as a collection of variables. Start at `openCheckpointCollection`. */

import { diskFiles, type Files } from "#platform";
import { isVarscopeError, type Tensor } from "../../base/index.ts";
import { collectionOf, type StoredVariable, type VariableCollection } from "../collection/index.ts";
import { OBJECT_GRAPH_KEY } from "../object-graph/graph.ts";
import { objectVariables } from "../object-graph/variables.ts";
import type { IndexEntry } from "./bundle.ts";
import { type Bundle, openBundle, sourcesOf } from "./open.ts";
import { boxOfSlice } from "./slice.ts";
import { readEntryBox, streamEntry } from "./stream.ts";
import { readEntry } from "./values.ts";

/**
 * The variables of a V2 checkpoint; those of an object-based one by their full names. Opening reads the index, and the object graph
 * where there is one.
 *
 * @param prefix - of its files: `locateCheckpoint` finds it
 * @param files - where they are looked up
 * @throws VarscopeError NOT_FOUND - there is no index; DATA_LOSS - it is damaged
 */
export async function openCheckpointCollection(
  prefix: string,
  files: Files = diskFiles,
): Promise<VariableCollection> {
  const bundle = await openBundle(await sourcesOf(prefix, files));
  try {
    return await viewOf(prefix, bundle);
  } catch (e) {
    await bundle.close();
    throw e;
  }
}

async function viewOf(path: string, bundle: Bundle): Promise<VariableCollection> {
  const raw = bundle.index.entries.map((entry) => storedVariable(entry, bundle));
  const graphEntry = bundle.index.entries.find((entry) => entry.name === OBJECT_GRAPH_KEY);
  if (graphEntry === undefined)
    return collectionOf({ path, format: "checkpoint-v2", variables: raw, close: bundle.close });
  const objectGraph = await graphBytes(graphEntry, bundle);
  return collectionOf({
    path,
    format: "checkpoint-object",
    variables: objectGraph === null ? raw : objectVariables(raw, objectGraph, path),
    ...(objectGraph === null ? {} : { extras: { objectGraph } }),
    close: bundle.close,
  });
}

/** Bytes of the object graph; null where they are lost: the tensors then have no names but their keys. */
export async function graphBytes(entry: IndexEntry, { shard }: Bundle): Promise<Uint8Array | null> {
  let graph: Tensor;
  try {
    graph = await readEntry(entry, shard, {});
  } catch (e) {
    if (isVarscopeError(e, "NOT_FOUND") || isVarscopeError(e, "DATA_LOSS")) return null;
    throw e;
  }
  return graph.dtype === "string" && graph.data.length === 1
    ? (graph.data as readonly Uint8Array[])[0]!
    : null;
}

/** A tensor of the index, with its values when they are asked for. */
export function storedVariable(entry: IndexEntry, { shard }: Bundle): StoredVariable {
  const { name, dtype, shape, bytes, parts } = entry;
  return {
    name,
    dtype,
    shape,
    bytes,
    ...(parts.length === 0 ? {} : { parts: parts.map((part) => boxOfSlice(shape, part.slice)) }),
    read: (options) => readEntry(entry, shard, options),
    readBox: (box, options) => readEntryBox(entry, box, shard, options),
    stream: (options) => streamEntry(entry, shard, options),
  };
}
