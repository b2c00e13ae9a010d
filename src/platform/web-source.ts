/** @file Sources over Blobs and HTTP range requests, in browsers and in Node. Start at `httpSource`. */

import { VarscopeError } from "../base/index.ts";
import type { Files } from "./files.ts";
import { needRange, type Source } from "./source.ts";

/** A Blob or File as a source. */
export function blobSource(blob: Blob, name = "blob"): Source {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    needRange(name, offset, length, blob.size);
    return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
  };
  return {
    name,
    size: async () => blob.size,
    read,
    readInto: async (offset, target) => target.set(await read(offset, target.length)),
    close: async () => {},
  };
}

export interface HttpOptions {
  /** headers of every request, such as authorization */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A file on a web server as a source: one range request a read, so the server must support ranges. */
export function httpSource(url: string, options: HttpOptions = {}): Source {
  let bytes: Promise<number> | undefined;
  const request = async (init: RequestInit): Promise<Response> => {
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    const headers = { ...options.headers, ...(init.headers as Record<string, string>) };
    const response = await fetch(url, { ...init, ...signal, headers }).catch((cause: unknown) => {
      throw new VarscopeError("UNAVAILABLE", "the server does not answer", { at: url, cause });
    });
    if (!response.ok) throw refusal(response, url);
    return response;
  };
  const size = (): Promise<number> => {
    bytes ??= request({ method: "HEAD" }).then((r) => lengthOf(r, url));
    return bytes;
  };
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    needRange(url, offset, length, await size());
    if (length === 0) return new Uint8Array(0);
    const range = `bytes=${offset}-${offset + length - 1}`;
    const response = await request({ method: "GET", headers: { range } });
    if (response.status !== 206) {
      await response.body?.cancel();
      throw new VarscopeError(
        "UNIMPLEMENTED",
        `the server answers ${response.status} to a range request, not 206`,
        {
          at: url,
          hint: "serve the file from a server with range support, or load it whole",
        },
      );
    }
    const part = new Uint8Array(await response.arrayBuffer());
    needRange(url, offset, length, offset + part.length);
    return part.subarray(0, length);
  };
  return {
    name: url,
    size,
    read,
    readInto: async (offset, target) => target.set(await read(offset, target.length)),
    close: async () => {},
  };
}

function refusal(response: Response, at: string): VarscopeError {
  const code = { 401: "PERMISSION_DENIED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND" } as const;
  const known = code[response.status as keyof typeof code] ?? "UNAVAILABLE";
  return new VarscopeError(known, `the server answers ${response.status} ${response.statusText}`.trim(), {
    at,
  });
}

function lengthOf(response: Response, at: string): number {
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (!Number.isSafeInteger(length)) {
    throw new VarscopeError("UNIMPLEMENTED", "the server does not say how long the file is", { at });
  }
  return length;
}

/** Files of web servers, by address. A server lists no folders, so a container is named by its file or prefix. */
export const httpFiles = (options: HttpOptions = {}): Files => ({
  source: (url) => httpSource(url, options),
  exists: (url) =>
    httpSource(url, options)
      .size()
      .then(
        () => true,
        () => false,
      ),
  isDir: async () => false,
  list: async (url) => {
    throw new VarscopeError("UNIMPLEMENTED", "a web server's folders cannot be listed", {
      at: url,
      hint: "give the address of a file, or a checkpoint's prefix",
    });
  },
});
