/** @file Opens what a page was given: dropped files, an address, or files behind `varscope ui`. Start at `openGiven`. */

import { blobSource, type Files, heldFiles, httpSource, type Source } from "#platform";
import { type Model, openModel } from "../edit/open-model.ts";
import { addressFiles, blockSource } from "./address.ts";
import { containersIn } from "./containers.ts";
import type { Given, Opened } from "./protocol.ts";

/**
 * @param container - path of one of several containers among the files; by default the first that opens
 * @throws VarscopeError as `openModel`
 */
export async function openGiven(
  given: Given,
  container?: string,
): Promise<{ readonly model: Model; readonly opened: Opened }> {
  const notes: string[] = [];
  const { files, paths, fileBytes } = await held(given, (text) => notes.push(text));
  const model = await openFirst(container === undefined ? paths : [container], files);
  const { path, format, variables } = model;
  return { model, opened: { path, format, variables, fileBytes, containers: paths, notes } };
}

interface Held {
  readonly files: Files;
  /** containers among the files, the likeliest first */
  readonly paths: readonly string[];
  readonly fileBytes: number | null;
}

async function held(given: Given, note: (text: string) => void): Promise<Held> {
  switch (given.kind) {
    case "files": {
      const sources = given.files.map(({ path, blob }): [string, Source] => [
        path,
        blockSource(blobSource(blob, path)),
      ]);
      const fileBytes = given.files.reduce((n, f) => n + f.blob.size, 0);
      return {
        files: heldFiles(new Map(sources)),
        paths: containersIn(given.files.map((f) => f.path)),
        fileBytes,
      };
    }
    case "served": {
      const sources = given.files.map(({ path, url }): [string, Source] => [
        path,
        { ...blockSource(httpSource(url)), name: path },
      ]);
      return { files: heldFiles(new Map(sources)), paths: [given.open], fileBytes: null };
    }
    case "address":
      return { files: addressFiles(note), paths: [given.url], fileBytes: null };
  }
}

/** Of several containers the first that opens; the first one's error where none does. */
async function openFirst(paths: readonly string[], files: Files): Promise<Model> {
  let error: unknown;
  for (const path of paths) {
    try {
      return await openModel(path, { files });
    } catch (e) {
      error ??= e;
    }
  }
  throw error;
}
