/** @file What a path means: a checkpoint's prefix, a SavedModel's folder, or a file with what is in it. Start at `locate`. */

import { basename, dirname, diskFiles, type Files, joinPath } from "#platform";
import { VarscopeError } from "../base/index.ts";
import { latestCheckpoint, locateCheckpoint } from "../formats/checkpoint/index.ts";
import { type FileKind, recogniseSource } from "./recognise.ts";

/** A path that was understood. */
export interface Located {
  /** the file; of a V2 checkpoint its prefix, of a SavedModel its folder */
  readonly file: string;
  /** null: a file that is nothing known here */
  readonly kind: FileKind | null;
}

const atPrefix = (prefix: string): Located => ({ file: prefix, kind: "checkpoint-v2" });
const INDEX = /\.index$/;
const DATA = /\.data-\d{5,}-of-\d{5,}$/;
/** End of the name of a V1 checkpoint's shard. */
const SHARD = /-\d{5}-of-\d{5}$/;
const SAVED_MODEL = ["saved_model.pb", "saved_model.pbtxt"];

/**
 * Finds out what `path` is. Names decide nothing but which files belong together.
 *
 * @throws VarscopeError NOT_FOUND - nothing is there
 */
export async function locate(path: string, files: Files = diskFiles): Promise<Located> {
  if (await files.isDir(path)) return inFolder(path, files);
  if (!(await files.exists(path))) return absent(path, files);
  if (INDEX.test(path)) return atPrefix(path.replace(INDEX, ""));
  if (DATA.test(path) && (await files.exists(path.replace(DATA, ".index"))))
    return atPrefix(path.replace(DATA, ""));
  const kind = await kindOf(path, files);
  if (kind === "table") return { file: path, kind: "checkpoint-v1" };
  if (kind === "state") return atState(path, files);
  if (kind === "saved-model" || kind === "saved-model-text")
    return { file: dirname(path), kind: "saved-model" };
  if (kind === null && (await files.exists(`${path}.index`))) return atPrefix(path);
  return { file: path, kind };
}

/** What a file is, by its bytes. @throws VarscopeError NOT_FOUND - there is no such file */
export async function kindOf(file: string, files: Files = diskFiles): Promise<FileKind | null> {
  const source = files.source(file);
  try {
    return await recogniseSource(source);
  } finally {
    if (files === diskFiles) await source.close();
  }
}

/** A checkpoint's prefix, or the pattern of a V1 checkpoint's shards. */
async function absent(path: string, files: Files): Promise<Located> {
  if (/[?*]/.test(basename(path))) return { file: path, kind: "checkpoint-v1" };
  if (!(await files.exists(`${path}.index`))) {
    const start = `${basename(path)}-`;
    const beside = await files.list(dirname(path)).catch(() => []);
    const shard = beside.find(
      (name) => name.startsWith(start) && SHARD.test(name) && name.replace(SHARD, "-") === start,
    );
    if (shard !== undefined) return { file: joinPath(dirname(path), shard), kind: "checkpoint-v1" };
  }
  return atPrefix(await locateCheckpoint(path, files)); // or it says what is missing
}

async function atState(path: string, files: Files): Promise<Located> {
  const latest = await latestCheckpoint(dirname(path), basename(path), files);
  if (latest !== null) return locate(latest, files);
  throw new VarscopeError("NOT_FOUND", "the checkpoint that this state file names is not there", {
    at: path,
    hint: "give the prefix of another checkpoint",
  });
}

/** Files of a folder that are looked at, where it is no checkpoint's and no SavedModel's. */
const MOST_FILES = 100;

async function inFolder(path: string, files: Files): Promise<Located> {
  for (const name of SAVED_MODEL) {
    if (await files.exists(joinPath(path, name))) return { file: path, kind: "saved-model" };
  }
  const latest = await latestCheckpoint(path, "checkpoint", files);
  if (latest !== null) return locate(latest, files);
  const names = await files.list(path);
  if (!names.some((name) => INDEX.test(name))) {
    const known: Located[] = [];
    for (const name of names.slice(0, MOST_FILES)) {
      const file = joinPath(path, name);
      if (await files.isDir(file)) continue;
      const kind = await kindOf(file, files);
      if (kind !== null && kind !== "state" && kind !== "npy") known.push({ file, kind });
    }
    const [first] = known;
    const stems = new Set(known.map(({ file, kind }) => (kind === "table" ? file.replace(SHARD, "") : file)));
    if (first !== undefined && stems.size === 1) {
      return first.kind === "table" ? { ...first, kind: "checkpoint-v1" } : first;
    }
  }
  return atPrefix(await locateCheckpoint(path, files));
}
