/**
 * @file What a SavedModel's graph wants before it is used: paths of its asset files, an op to run. Start at `assetFiles`.
 *
 * @see TensorFlow python/saved_model/loader_impl.py "get_asset_tensors", "get_init_op"
 */

import { joinPath } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { type AssetFileDef, AssetFileDefSchema, type MetaGraphDef } from "../../proto/meta-graph.gen.ts";
import { readMessage } from "../graph-def/index.ts";
import { SavedModelKeys } from "./names.ts";

/** Folder of the asset files. */
export const assetsFolder = (folder: string): string => joinPath(folder, "assets");

/**
 * Paths of the asset files in `folder`, by the tensors that they are fed to.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a file name leads out of the folder; DATA_LOSS - damaged
 */
export function assetFiles(def: MetaGraphDef, folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const { tensorInfo, filename } of assetDefs(def)) {
    const tensor = tensorInfo?.encoding.case === "name" ? tensorInfo.encoding.value : "";
    if (tensor === "")
      throw new VarscopeError("INVALID_ARGUMENT", `asset '${filename}' names no tensor`, { at: folder });
    files.set(tensor, joinPath(assetsFolder(folder), checkInside(filename, folder)));
  }
  return files;
}

function assetDefs(def: MetaGraphDef): readonly AssetFileDef[] {
  if (def.assetFileDef.length > 0) return def.assetFileDef;
  const kind = def.collectionDef[SavedModelKeys.ASSETS]?.kind;
  if (kind?.case !== "anyList") return [];
  return kind.value.value.map(({ value }) => readMessage(AssetFileDefSchema, value, SavedModelKeys.ASSETS));
}

function checkInside(filename: string, folder: string): string {
  const parts = filename.split(/[/\\]/);
  const isInside =
    filename !== "" && !parts.includes("..") && parts[0] !== "" && !/^[A-Za-z]:/.test(filename);
  if (isInside && !filename.includes("\0")) return filename;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `asset '${filename}' lies outside the SavedModel's folder assets`,
    {
      at: folder,
      hint: "do not trust this file",
    },
  );
}

/** Names of the ops that a SavedModel's collections give under a key. */
function inCollection(def: MetaGraphDef, key: string): string | null {
  const kind = def.collectionDef[key]?.kind;
  if (kind?.case !== "nodeList") return null;
  const names = kind.value.value;
  if (names.length === 1) return names[0]!;
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    `Expected exactly one SavedModel init op. Found ${names.length}: [${names.join(", ")}].`,
    { at: key },
  );
}

function inSignature(def: MetaGraphDef, key: string): string | null {
  const info = def.signatureDef[key]?.outputs[key];
  return info?.encoding.case === "name" ? info.encoding.value : null;
}

/** Name of the op (or a tensor of it) that is to run once after variables are restored; null where there is none. */
export const initOpName = (def: MetaGraphDef): string | null =>
  inSignature(def, SavedModelKeys.INIT_OP_SIGNATURE) ??
  inCollection(def, SavedModelKeys.MAIN_OP) ??
  inCollection(def, SavedModelKeys.LEGACY_INIT_OP);

/** Name of the op that makes a training step; null where there is none. */
export const trainOpName = (def: MetaGraphDef): string | null =>
  inSignature(def, SavedModelKeys.TRAIN_OP_SIGNATURE) ?? inCollection(def, SavedModelKeys.TRAIN_OP);
