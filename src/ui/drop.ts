/** @file Files that were dropped or chosen, folders with all that is in them. Start at `filesOfDrop`. */

import type { GivenFile } from "./protocol.ts";

/** Folders hold at most this many files; more is no container of variables. */
const MOST_FILES = 20_000;

/** The files of a drop. Must be called inside the event, since the browser forgets the entries after it. */
export function filesOfDrop(transfer: DataTransfer): Promise<GivenFile[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (entries.some((e) => e === null))
    return Promise.resolve([...transfer.files].map((f) => ({ path: f.name, blob: f })));
  const files: GivenFile[] = [];
  return Promise.all(entries.map((e) => walk(e!, files))).then(() => files);
}

/** The files of an `<input type="file">`, with the folder that was chosen. */
export const filesOfInput = (list: FileList): GivenFile[] =>
  [...list].map((f) => ({ path: f.webkitRelativePath || f.name, blob: f }));

async function walk(entry: FileSystemEntry, files: GivenFile[]): Promise<void> {
  if (files.length >= MOST_FILES) return;
  const path = entry.fullPath.replace(/^\/+/, "");
  if (entry.isFile) {
    const blob = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    files.push({ path, blob });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  // A reader gives some entries at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0 || files.length >= MOST_FILES) return;
    for (const child of some) await walk(child, files);
  }
}
