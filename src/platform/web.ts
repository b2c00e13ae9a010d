/**
 * @file The machine in a browser: Blobs and HTTP instead of files, everything else as in node.ts. `#platform` is one of
 * both. Start at `fileSource`.
 */

import { VarscopeError } from "../base/index.ts";
import type { Files } from "./files.ts";
import type { Source } from "./source.ts";
import { type Chunks, joinParts, type Staged, type WriteOptions } from "./stage.ts";
import { httpFiles, httpSource } from "./web-source.ts";

export { crc32, crc32c } from "../base/index.ts";
export { type Files, heldFiles } from "./files.ts";
export { bytesSource, type Source } from "./source.ts";
export type { Chunks, Staged, WriteOptions } from "./stage.ts";
export { blobSource, type HttpOptions, httpFiles, httpSource } from "./web-source.ts";

const refused = (at: string): VarscopeError =>
  new VarscopeError("UNIMPLEMENTED", "a browser has no files", {
    at,
    hint: "work on bytes, a Blob or an address",
  });

/** The address as a source, read by ranges. */
export const fileSource = (file: string): Source => httpSource(file);

/** All bytes of an address. */
export async function readFile(file: string): Promise<Uint8Array> {
  const source = httpSource(file);
  return source.read(0, await source.size());
}

export const temporaryBeside = async (file: string): Promise<string> => {
  throw refused(file);
};
export const stageFile = async (
  file: string,
  _chunks: Chunks,
  _options: WriteOptions = {},
): Promise<Staged> => {
  throw refused(file);
};
export const writeFileAtomic = async (
  file: string,
  _chunks: Chunks,
  _options: WriteOptions = {},
): Promise<void> => {
  throw refused(file);
};
export const rename = async (from: string, _to: string): Promise<void> => {
  throw refused(from);
};
export const appendFile = async (file: string, _bytes: Uint8Array): Promise<void> => {
  throw refused(file);
};
export const remove = async (file: string): Promise<void> => {
  throw refused(file);
};
export const removeDir = async (folder: string): Promise<void> => {
  throw refused(folder);
};
export const modifiedSeconds = async (file: string): Promise<number> => {
  throw refused(file);
};
export const listDir = async (folder: string): Promise<string[]> => {
  throw refused(folder);
};
export const makeDir = async (folder: string): Promise<void> => {
  throw refused(folder);
};

/** Whether the address answers. */
export const exists = (file: string): Promise<boolean> =>
  httpSource(file)
    .size()
    .then(
      () => true,
      () => false,
    );

/** An address is never a folder. */
export const isDir = async (_file: string): Promise<boolean> => false;

/** Files at addresses, since a page has no disk. */
export const diskFiles: Files = httpFiles();

export const basename = (file: string): string => file.slice(file.lastIndexOf("/") + 1);
export const dirname = (file: string): string => {
  const slash = file.lastIndexOf("/");
  return slash < 0 ? "." : file.slice(0, slash) || "/";
};
export const isAbsolute = (file: string): boolean => /^(\/|[a-z][a-z0-9+.-]*:)/i.test(file);
/** Joins parts as Python's os.path.join: an absolute part forgets those before it. */
export const joinPath = (...parts: string[]): string => joinParts(parts, isAbsolute);
/** The absolute address, seen from the page. */
export const absolutePath = (file: string): string => new URL(file, globalThis.location?.href).href;
/** `file` as seen from the folder `from`, where it lies below it. */
export const relativePath = (from: string, file: string): string =>
  file.startsWith(`${from}/`) ? file.slice(from.length + 1) : file;

/** Memory that is about to be overwritten whole. */
export const unsetBytes = (length: number): Uint8Array => new Uint8Array(length);

/** Seconds since 1970. */
export const now = (): number => Date.now() / 1000;

/** Name of the machine that the page is from. */
export const hostName = (): string => globalThis.location?.hostname || "localhost";

/** Processor cores that this page may use. */
export const cores = (): number => globalThis.navigator?.hardwareConcurrency ?? 1;
