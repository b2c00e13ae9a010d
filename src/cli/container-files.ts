/** @file The files that make up a container on disk, and no others. Start at `containerFiles`. */

import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { VarscopeError } from "../base/index.ts";
import { type Located, locate } from "../edit/locate.ts";

/** A container's files by names that a page may use. */
export interface ContainerFiles {
  /** what to open among the files: a prefix, a file, a folder */
  readonly open: string;
  /** name, with `/` between folders -> path on disk */
  readonly files: ReadonlyMap<string, string>;
}

/** A SavedModel has some files; more than this is another kind of folder. */
const MOST_FILES = 5_000;

/** @throws VarscopeError NOT_FOUND - nothing is there; INVALID_ARGUMENT - an address, or a folder of very many files */
export async function containerFiles(path: string): Promise<ContainerFiles> {
  if (/^https?:/i.test(path)) {
    throw new VarscopeError("INVALID_ARGUMENT", "this is an address, not a path", {
      at: path,
      hint: "open dist/inspector/index.html in a browser and give it the address",
    });
  }
  const located = await locate(resolve(path));
  const file = located.file.replace(/[/\\]+$/, "");
  const open = basename(file);
  if (located.kind === "saved-model") return { open, files: allBelow(file) };
  const folder = dirname(file);
  const isPart = partsOf(located, open);
  const names = readdirSync(folder).filter((name) => isPart(name) && statSync(join(folder, name)).isFile());
  return { open, files: new Map(names.map((name) => [name, join(folder, name)])) };
}

/** Which names beside a container's file belong to it. */
function partsOf({ kind }: Located, open: string): (name: string) => boolean {
  const rest = (name: string): string | null => (name.startsWith(open) ? name.slice(open.length) : null);
  if (kind === "checkpoint-v2")
    return (name) => /^\.(index|meta|data-\d{5,}-of-\d{5,})(\.pending)?$/.test(rest(name) ?? "");
  if (kind === "checkpoint-v1") {
    const shards = open.replace(/-\d{5}-of-\d{5}$|-?[?*].*$/, "");
    return (name) =>
      name === open || (name.startsWith(shards) && /^-\d{5}-of-\d{5}$/.test(name.slice(shards.length)));
  }
  if (kind === "meta-graph" || kind === "meta-graph-text") {
    const prefix = open.replace(/\.meta$/, "");
    return (name) =>
      name === open ||
      (name.startsWith(prefix) && /^\.(index|data-\d{5,}-of-\d{5,})$/.test(name.slice(prefix.length)));
  }
  return (name) => name === open;
}

/** All files of a folder, links aside: they may lead out of it. */
function allBelow(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    if (found.size >= MOST_FILES) {
      throw new VarscopeError("INVALID_ARGUMENT", `the folder has more than ${MOST_FILES} files`, {
        at: folder,
      });
    }
    const path = join(entry.parentPath, entry.name);
    found.set(
      `${basename(folder)}/${path
        .slice(folder.length + 1)
        .split(sep)
        .join("/")}`,
      path,
    );
  }
  return found;
}
