/** @file Names of a checkpoint's files, and the checkpoint that a path means. Start at `locateCheckpoint`. */

import { basename, dirname, diskFiles, type Files, joinPath } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { latestCheckpoint } from "./state.ts";

/** `model-00001-of-00003`. @see TensorFlow core/kernels/save_op.cc ShardedFilename */
export const shardedFilename = (base: string, shard: number, shards: number): string =>
  `${base}-${digits(shard)}-of-${digits(shards)}`;

/** `model.data-00001-of-00003`. */
export const dataFile = (prefix: string, shard: number, shards: number): string =>
  shardedFilename(`${prefix}.data`, shard, shards);

/** `model.index`. */
export const indexFile = (prefix: string): string => `${prefix}.index`;

/**
 * A file that waits to take its final name. While `<prefix>.index.pending` is there, it is the index, and a shard's
 * pending file goes before its final one: so a checkpoint replaces another at one moment, the index's renaming to pending.
 */
export const pendingFile = (file: string): string => `${file}.pending`;

const digits = (n: number): string => String(n).padStart(5, "0");

const PART = /\.(index|meta|data-\d{5,}-of-\d{5,})(\.pending)?$/;

/**
 * Prefix of the checkpoint that `path` means: a prefix, one of its files, a state file, or a folder (then the latest).
 *
 * @throws VarscopeError NOT_FOUND - there is none; UNIMPLEMENTED - V1 format
 */
export async function locateCheckpoint(path: string, files: Files = diskFiles): Promise<string> {
  if (await isIndexed(path, files)) return path;
  const prefix = path.replace(PART, "");
  if (prefix !== path && (await isIndexed(prefix, files))) return prefix;
  if (await files.isDir(path)) return latestIn(path, files);
  if (!(await files.exists(path))) throw await notFound(prefix, files);
  if (prefix === path) {
    const latest = await latestCheckpoint(dirname(path), basename(path), files);
    if (latest !== null && (await isIndexed(latest, files))) return latest;
  }
  throw new VarscopeError("UNIMPLEMENTED", "this is no V2 checkpoint, whose index would be beside it", {
    at: path,
    hint: `give a prefix that has an .index file, or save with SaverDef.V2`,
  });
}

const isIndexed = async (prefix: string, files: Files): Promise<boolean> =>
  (await files.exists(indexFile(prefix))) || files.exists(pendingFile(indexFile(prefix)));

async function latestIn(folder: string, files: Files): Promise<string> {
  const latest = await latestCheckpoint(folder, undefined, files);
  if (latest !== null && (await isIndexed(latest, files))) return latest;
  // A folder copied without its state file: fine where it holds one checkpoint.
  const indexes = (await files.list(folder)).filter((name) => name.endsWith(".index"));
  if (latest === null && indexes.length === 1)
    return joinPath(folder, indexes[0]!.slice(0, -".index".length));
  throw new VarscopeError("NOT_FOUND", "Couldn't find 'checkpoint' file or checkpoints in given directory", {
    at: folder,
    hint:
      indexes.length > 1
        ? `give a prefix; there are ${indexes.length}: ${indexes.slice(0, 4).join(", ")}`
        : "give a checkpoint's prefix",
  });
}

async function notFound(prefix: string, files: Files): Promise<VarscopeError> {
  const sentence = `Unsuccessful TensorSliceReader constructor: Failed to find any matching files for ${prefix}`;
  const near = await files.list(dirname(prefix)).catch(() => []);
  const prefixes = near
    .filter((name) => name.endsWith(".index"))
    .map((name) => name.slice(0, -".index".length));
  return new VarscopeError("NOT_FOUND", sentence, {
    hint:
      prefixes.length > 0
        ? `its folder has ${prefixes.slice(-4).join(", ")}`
        : "its folder has no checkpoint",
  });
}
