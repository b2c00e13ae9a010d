/** @file The files of a V1 checkpoint. Start at `locateV1`. */

import { basename, dirname, diskFiles, type Files, joinPath } from "#platform";
import { VarscopeError } from "../../base/index.ts";

/** `name-00001-of-00003` */
const SHARD = /^(.*)-(\d{5,})-of-(\d{5,})$/s;

/**
 * The files that `path` means, sorted: a file, all shards where it is one of several, those that a pattern with ? and * fits, or the
 * shards of a prefix.
 *
 * @throws VarscopeError NOT_FOUND - there are none, or a shard is missing; INVALID_ARGUMENT - shards of several saves
 */
export async function locateV1(path: string, files: Files): Promise<string[]> {
  const name = basename(path);
  const folder = dirname(path);
  const shard = SHARD.exec(name);
  const isPattern = /[?*]/.test(name);
  if (!isPattern && shard === null && (await files.exists(path))) return [path];
  const names = await files.list(folder).catch((): string[] => []);
  const fits = isPattern ? patternOf(name) : shardsOf(shard?.[1] ?? name, shard?.[3]);
  const found = names.filter((other) => fits.test(other));
  if (found.length === 0) throw nothing(path, names);
  needAll(found, path);
  // A bare name stays one, as people know it.
  return found.map((other) => (path === name ? other : joinPath(folder, other)));
}

/** Whether a file is there that the pattern `path` fits, as `v1-?????-of-00003`. */
export const hasMatch = async (path: string, files: Files): Promise<boolean> =>
  /[?*]/.test(basename(path)) && (await matchingFiles(path, files)).length > 0;

/** Files that the pattern `path` fits, or the one that it names; without checking that they are all shards of a save. */
export async function matchingFiles(path: string, files: Files = diskFiles): Promise<string[]> {
  const name = basename(path);
  if (!/[?*]/.test(name)) return (await files.exists(path)) ? [path] : [];
  const fits = patternOf(name);
  const names = await files.list(dirname(path)).catch((): string[] => []);
  return names.filter((other) => fits.test(other)).map((other) => joinPath(dirname(path), other));
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** A pattern of the shell's. Many stars in one would make matching slow; two are enough for any checkpoint. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split(/([?*])/);
  if (parts.filter((part) => part === "*").length > 2)
    throw new VarscopeError("INVALID_ARGUMENT", `"${pattern}" has more than two *`, {
      hint: "write ? for each digit, as v1-?????-of-00003",
    });
  const source = parts.map((part) => (part === "?" ? "." : part === "*" ? ".*" : literal(part))).join("");
  return new RegExp(`^${source}$`, "s");
}

const shardsOf = (stem: string, count = "\\d{5,}"): RegExp =>
  new RegExp(`^${literal(stem)}-\\d{5,}-of-${count}$`, "s");

/** Checks that shards are those of one save, and all of them. */
function needAll(found: readonly string[], at: string): void {
  const shards = found.map((name) => SHARD.exec(name));
  if (shards.includes(null)) return;
  const saves = [...new Set(shards.map((shard) => `${shard![1]}-?????-of-${shard![3]}`))];
  if (saves.length > 1) {
    throw new VarscopeError("INVALID_ARGUMENT", `shards of ${saves.length} checkpoints are there`, {
      at,
      hint: `give one of ${saves.slice(0, 3).join(", ")}`,
    });
  }
  const count = Number(shards[0]![3]);
  if (found.length === count) return;
  throw new VarscopeError(
    "NOT_FOUND",
    `${found.length} of ${count} shards are there: ${found.slice(0, 4).join(", ")}`,
    {
      at,
      hint: "copy the missing ones beside them",
    },
  );
}

/** The sentence is TensorFlow's. */
const nothing = (path: string, beside: readonly string[]): VarscopeError => {
  const near = beside.filter((name) => SHARD.test(name) || name.endsWith(".index")).slice(0, 4);
  return new VarscopeError(
    "NOT_FOUND",
    `Unsuccessful TensorSliceReader constructor: Failed to find any matching files for ${path}`,
    { hint: near.length > 0 ? `its folder has ${near.join(", ")}` : "its folder has no checkpoint" },
  );
};
