/**
 * @file Any container of variables, opened by what is in it. The reader of a format loads when it is needed. Start at `openModel`.
 */

import { blobSource, bytesSource, diskFiles, type Files, heldFiles, httpFiles, type Source } from "#platform";
import { VarscopeError } from "../base/index.ts";
import type { VariableCollection } from "../formats/collection/index.ts";
import type { GraphFile } from "./graph/open-graph.ts";
import { type Located, locate } from "./locate.ts";

export interface OpenOptions {
  /** where files are looked up; by default the disk, and web servers where the path is an address */
  readonly files?: Files;
}

/** An open container, and the graph that it may have. */
export interface Model extends VariableCollection {
  /** The container's graph, parsed when it is asked for; null where it has none. */
  graph(): Promise<GraphFile | null>;
}

/** A path or address, or the bytes of a container that is one file. */
export type Where = string | Source | Blob | Uint8Array;

const isAddress = (path: string): boolean => /^https?:\/\//i.test(path);

/** The files in which a path is looked up where none are given. */
export const filesOf = (path: string): Files => (isAddress(path) ? httpFiles() : diskFiles);

/**
 * Opens what `where` means: a checkpoint by its prefix, one of its files, its state file or its folder; a SavedModel; a GraphDef or
 * MetaGraph; Keras's files; .npz; .safetensors. What a file is is told by its bytes.
 *
 * @throws VarscopeError NOT_FOUND - nothing is there; INVALID_ARGUMENT - nothing that is known; UNIMPLEMENTED - not read yet; DATA_LOSS - damaged
 */
export async function openModel(where: Where, options: OpenOptions = {}): Promise<Model> {
  if (typeof where !== "string") {
    const source = sourceOf(where);
    return openModel(source.name, { files: heldFiles(new Map([[source.name, source]])) });
  }
  const files = options.files ?? filesOf(where);
  const found = await locate(where, files);
  const collection = await openLocated(found, files);
  // People know a container by the path that they gave.
  const graph = "graph" in collection ? (collection as Model).graph : async () => null;
  return { ...collection, path: where, graph };
}

function sourceOf(where: Exclude<Where, string>): Source {
  if (where instanceof Uint8Array) return bytesSource(where, "bytes");
  if (where instanceof Blob)
    return blobSource(where, where instanceof File && where.name !== "" ? where.name : "blob");
  return where;
}

async function openLocated({ file, kind }: Located, files: Files): Promise<VariableCollection> {
  switch (kind) {
    case "checkpoint-v2":
      return (await import("../formats/checkpoint/index.ts")).openCheckpointCollection(file, files);
    case "checkpoint-v1":
      return (await import("../formats/checkpoint/index.ts")).openV1Collection(file, files);
    case "saved-model":
      return (await import("./graph/saved-model.ts")).openSavedModelFile(file, files);
    case "keras-v3":
      return openFile(file, files, (await import("../formats/keras/index.ts")).openKerasArchive);
    case "hdf5":
      return openFile(file, files, (await import("../formats/keras/index.ts")).openKerasH5File);
    case "npz":
      return openFile(file, files, (await import("../formats/arrays/index.ts")).openNpz);
    case "safetensors":
      return openFile(file, files, (await import("../formats/arrays/index.ts")).openSafetensors);
    case "graph-def":
    case "graph-def-text":
    case "meta-graph":
    case "meta-graph-text": {
      const opened = await (await import("./graph/graph-collection.ts")).openGraphCollection(file, files);
      return Object.assign({}, opened.collection, { graph: async () => opened.file });
    }
    default:
      throw notReadable(file, kind);
  }
}

/** Opens a container that is one file, and gives the file back where that fails. */
async function openFile(
  file: string,
  files: Files,
  open: (source: Source, path: string) => Promise<VariableCollection>,
): Promise<VariableCollection> {
  const source = files.source(file);
  try {
    return await open(source, file);
  } catch (e) {
    await source.close();
    throw e;
  }
}

const KNOWN = "a checkpoint, SavedModel, GraphDef, MetaGraph, .keras, .h5, .npz or .safetensors";

function notReadable(at: string, kind: Located["kind"]): VarscopeError {
  if (kind === null) {
    return new VarscopeError("INVALID_ARGUMENT", "the file is nothing that varscope knows", {
      at,
      hint: `give ${KNOWN}; it may also be damaged`,
    });
  }
  return new VarscopeError("UNIMPLEMENTED", `this is ${kind}, which varscope does not read yet`, {
    at,
    hint: `give ${KNOWN}`,
  });
}
