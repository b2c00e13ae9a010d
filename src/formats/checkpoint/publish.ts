/** @file Putting a staged checkpoint in its place at one moment, also over another one. Start at `publish`. */

import { basename, dirname, exists, joinPath, listDir, remove, rename, type Staged } from "#platform";
import { indexFile, pendingFile } from "./files.ts";

/**
 * Moves staged files, data first and the index last, to their places.
 *
 * Over an existing checkpoint the files first take names that end in .pending. From the moment when the pending index is
 * there, readers of ours take the new checkpoint, before it the old one: a crash between two renamings loses neither. The
 * next save of this prefix, or the rest of this function, brings the files to their final names.
 */
export async function publish(prefix: string, staged: readonly Staged[]): Promise<void> {
  await settle(prefix);
  const replaces = await exists(indexFile(prefix));
  if (!replaces) {
    for (const file of staged) await file.commit();
    return;
  }
  for (const file of staged) await file.commit(pendingFile(file.file));
  await settle(prefix);
  await removeStale(prefix, new Set(staged.map(({ file }) => basename(file))));
}

/** Brings what a crash left pending to its final names, if its index is complete; removes it, if not. */
async function settle(prefix: string): Promise<void> {
  const index = indexFile(prefix);
  const complete = await exists(pendingFile(index));
  for (const name of await dataFiles(prefix)) {
    if (!name.endsWith(".pending")) continue;
    const file = joinPath(dirname(prefix), name);
    if (complete) await rename(file, file.slice(0, -".pending".length));
    else await remove(file);
  }
  if (complete) await rename(pendingFile(index), index);
}

/** Removes data files of the checkpoint that was replaced. */
async function removeStale(prefix: string, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await dataFiles(prefix)) {
    if (!kept.has(name)) await remove(joinPath(dirname(prefix), name));
  }
}

/** Names of the data files of a prefix, pending ones too. */
async function dataFiles(prefix: string): Promise<string[]> {
  const start = `${basename(prefix)}.data-`;
  const names = await listDir(dirname(prefix));
  return names.filter(
    (name) => name.startsWith(start) && /^\d{5}-of-\d{5}(\.pending)?$/.test(name.slice(start.length)),
  );
}
