/**
 * @file SavedModels, read: a folder with MetaGraphs in saved_model.pb and a checkpoint in variables/. Start at `openSavedModel`;
 * graphs, tags and signatures are in `readSavedModelMeta`.
 *
 * @see TensorFlow core/protobuf/saved_model.proto; python/saved_model/loader_impl.py
 */

import { fromBinary } from "@bufbuild/protobuf";
import { diskFiles, type Files, joinPath } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import {
  type MetaGraphDef,
  type SavedModel,
  SavedModelObjectsSchema,
  SavedModelSchema,
} from "../../proto/index.ts";
import { openSavedVariables } from "../checkpoint/saved-variables.ts";
import { collectionOf, type VariableCollection } from "../collection/index.ts";
import { readMessage } from "../graph-def/index.ts";
import { parseMessage } from "../proto-text/index.ts";

/** Prefix of a SavedModel's checkpoint. */
export const variablesPrefix = (folder: string): string => joinPath(folder, "variables", "variables");

/**
 * The variables of a SavedModel: of TF1 by their names, of TF2 and Keras by their full names. All its MetaGraphs share them.
 *
 * @throws VarscopeError NOT_FOUND - no SavedModel, or it has variables and their files are missing; DATA_LOSS - damaged
 */
export async function openSavedModel(folder: string, files: Files = diskFiles): Promise<VariableCollection> {
  const prefix = variablesPrefix(folder);
  if (await files.exists(`${prefix}.index`))
    return { ...(await openSavedVariables(prefix, files)), path: folder };
  const names = variableNames(await readSavedModelBytes(folder, files), folder);
  if (names.length === 0) return collectionOf({ path: folder, format: "saved-model", variables: [] });
  const some = `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""}`;
  throw new VarscopeError(
    "NOT_FOUND",
    `its graph has ${names.length} variables (${some}), but variables/variables.index is missing`,
    {
      at: folder,
      hint: "copy the whole folder: saved_model.pb holds no values",
    },
  );
}

/** saved_model.pb, or .pbtxt as what it would be in binary. */
interface SavedModelFile {
  readonly bytes: Uint8Array;
  readonly isText: boolean;
  readonly file: string;
}

/** More than protobuf takes. */
const MAX_BYTES = 2 ** 31;

async function readSavedModelBytes(folder: string, files: Files): Promise<SavedModelFile> {
  for (const name of ["saved_model.pb", "saved_model.pbtxt"]) {
    const file = joinPath(folder, name);
    if (!(await files.exists(file))) continue;
    const source = files.source(file);
    try {
      const size = await source.size();
      if (size >= MAX_BYTES)
        throw new VarscopeError("DATA_LOSS", `${size} bytes; a SavedModel's file has less than 2^31`, {
          at: file,
        });
      return { bytes: await source.read(0, size), isText: name.endsWith("txt"), file };
    } finally {
      if (files === diskFiles) await source.close();
    }
  }
  throw new VarscopeError(
    "NOT_FOUND",
    "no SavedModel: neither saved_model.pb nor saved_model.pbtxt is there",
    {
      at: folder,
      hint: "give the folder that tf.saved_model.save or model.export made",
    },
  );
}

/**
 * The SavedModel message: MetaGraphs with their tags and signatures. What is not known of it is kept for writing.
 *
 * @throws VarscopeError NOT_FOUND - no SavedModel; DATA_LOSS, INVALID_ARGUMENT - damaged
 */
export async function readSavedModelMeta(folder: string, files: Files = diskFiles): Promise<SavedModel> {
  return decode(await readSavedModelBytes(folder, files));
}

function decode({ bytes, isText, file }: SavedModelFile): SavedModel {
  if (isText) return parseMessage(SavedModelSchema, new TextDecoder().decode(bytes), file);
  return readMessage(SavedModelSchema, bytes, file);
}

/** Tags of a MetaGraph, sorted. */
export const tagsOf = (meta: MetaGraphDef): string[] => [...(meta.metaInfoDef?.tags ?? [])].sort();

/**
 * The MetaGraph with exactly these tags; without any, that for serving, else the only one.
 *
 * @throws VarscopeError NOT_FOUND - none has these tags; the sentence has those that there are
 */
export function chooseMetaGraph(
  saved: SavedModel,
  tags?: readonly string[],
  at = "SavedModel",
): MetaGraphDef {
  const all = saved.metaGraphs;
  const same = (wanted: readonly string[]) => (meta: MetaGraphDef) =>
    tagsOf(meta).join() === [...wanted].sort().join();
  const found =
    tags !== undefined
      ? all.find(same(tags))
      : (all.find(same(["serve"])) ?? (all.length === 1 ? all[0] : undefined));
  if (found !== undefined) return found;
  const quoted = (names: readonly string[]): string => names.map((tag) => `'${tag}'`).join(", ");
  const have = all.map((meta) => `{${quoted(tagsOf(meta))}}`).join(", ");
  throw new VarscopeError(
    "NOT_FOUND",
    `MetaGraphDef associated with tags ${quoted(tags ?? ["serve"])} could not be found in SavedModel, with available tags '[${have}]'.`,
    { at, hint: "give the tags of one of them" },
  );
}

/** Types of nodes that are variables. */
const VARIABLE_OPS: ReadonlySet<string> = new Set([
  "VarHandleOp",
  "VariableV2",
  "Variable",
  "AutoReloadVariable",
]);

/** Names of the variables that a SavedModel's graph has: TF2's objects, TF1's nodes. */
function variableNames(file: SavedModelFile, folder: string): string[] {
  const names = new Set<string>();
  // Without what is not asked for, the message is small.
  const objects = file.isText ? [] : decodeObjects(file.bytes, folder).metaGraphs;
  for (const { objectGraphDef } of objects)
    for (const { variable } of objectGraphDef?.nodes ?? [])
      if (variable !== undefined) names.add(variable.name);
  if (names.size > 0) return [...names];
  for (const { graphDef } of decode(file).metaGraphs)
    for (const node of graphDef?.node ?? []) if (VARIABLE_OPS.has(node.op)) names.add(node.name);
  return [...names];
}

function decodeObjects(bytes: Uint8Array, at: string) {
  try {
    return fromBinary(SavedModelObjectsSchema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", "its graph of objects is damaged", { at, cause });
  }
}
