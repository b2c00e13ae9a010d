/** @file Files: names with bytes behind them, on a disk, on a web server, or dropped into a page. Start at `Files`. */

import { VarscopeError } from "../base/index.ts";
import type { Source } from "./source.ts";

/** Where a container's files are looked up. Readers take one, so that they work in pages too; `diskFiles` is the default. */
export interface Files {
  /** The bytes of a file; opens with the first access. */
  source(path: string): Source;
  exists(path: string): Promise<boolean>;
  isDir(path: string): Promise<boolean>;
  /** Names in a folder, sorted. @throws VarscopeError NOT_FOUND - no such folder */
  list(folder: string): Promise<string[]>;
}

/** Files held by name, such as those dropped into a page: `model.index`, `variables/variables.index`. */
export function heldFiles(held: ReadonlyMap<string, Source>): Files {
  const clean = (path: string): string =>
    path
      .replace(/^(\.\/)+/, "")
      .replace(/\/+$/, "")
      .replace(/^\.$/, "");
  const inside = (folder: string): string[] => {
    const start = clean(folder) === "" ? "" : `${clean(folder)}/`;
    const names = [...held.keys()].filter((name) => name.startsWith(start));
    return [...new Set(names.map((name) => name.slice(start.length).split("/")[0]!))].sort();
  };
  return {
    source: (path) => {
      const found = held.get(clean(path));
      if (found === undefined)
        throw new VarscopeError("NOT_FOUND", "no such file among those given", { at: path });
      return found;
    },
    exists: async (path) => held.has(clean(path)) || inside(path).length > 0,
    isDir: async (path) => !held.has(clean(path)) && inside(path).length > 0,
    list: async (folder) => inside(folder),
  };
}
