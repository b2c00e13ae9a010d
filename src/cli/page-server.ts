/**
 * @file A server for one page and the files of one container: this machine only, read only, by ranges. Start at `startPageServer`.
 *
 * Who may read: requests to 127.0.0.1 (another Host is a rebound name of a web site), under a path that only the printed address has.
 */

import { randomBytes, timingSafeEqual } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { VarscopeError } from "../base/index.ts";
import type { ContainerFiles } from "./container-files.ts";

export interface PageServer {
  /** the page's address, with its secret */
  readonly url: string;
  close(): Promise<void>;
}

/** Files of the page. The container's are asked for by number, so that no path comes from a request. */
const PAGE: Readonly<Record<string, string>> = {
  "": "text/html; charset=utf-8",
  "inspector.js": "text/javascript; charset=utf-8",
  "inspector.css": "text/css; charset=utf-8",
  "hdf5.js": "text/javascript; charset=utf-8",
};

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  // beside the page's own policy: here it may speak to this server alone
  "content-security-policy": "connect-src 'self'; frame-ancestors 'none'",
};

/**
 * @param folder - where the page was built to
 * @param port - 0: any that is free
 * @throws VarscopeError UNAVAILABLE - the port is taken
 */
export async function startPageServer(
  folder: string,
  container: ContainerFiles,
  port: number,
): Promise<PageServer> {
  const token = randomBytes(18).toString("base64url");
  const files = [...container.files];
  const served = { open: container.open, files: files.map(([path], i) => ({ path, url: `files/${i}` })) };
  const html = withServed(readFileSync(join(folder, "index.html"), "utf8"), served);
  const server = createServer((request, response) => {
    const path = allowed(request, token, (server.address() as AddressInfo).port);
    if (path === null) return refuse(response, 403);
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405);
    if (path === "") return send(request, response, Buffer.from(html), PAGE[""]!);
    if (Object.hasOwn(PAGE, path))
      return send(request, response, readFileSync(join(folder, path)), PAGE[path]!);
    const file = /^files\/(\d{1,6})$/.exec(path)?.[1];
    const known = file === undefined ? undefined : files[Number(file)];
    return known === undefined ? refuse(response, 404) : sendFile(request, response, known[1]);
  });
  await listening(server, port);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${token}/`;
  return { url, close: () => closed(server) };
}

/** The data stands in the page, where no script can be made of it: `<` is escaped. */
const withServed = (html: string, served: object): string =>
  html.replace(
    "<noscript>",
    () =>
      `<script type="application/json" id="served">${JSON.stringify(served).replaceAll("<", "\\u003c")}</script>\n    <noscript>`,
  );

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new VarscopeError("UNAVAILABLE", `port ${port} cannot be had`, {
          at: "127.0.0.1",
          hint: "give another --port, or none",
          cause,
        }),
      ),
    );
    server.listen(port, "127.0.0.1", resolve);
  });
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

/** The path below the secret; null where the request may not be answered. */
function allowed({ headers, url = "" }: IncomingMessage, token: string, port: number): string | null {
  if (headers.host !== `127.0.0.1:${port}` && headers.host !== `localhost:${port}`) return null;
  const [, given = "", path] = /^\/([^/]*)\/([^?]*)/.exec(url) ?? [];
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return path !== undefined && a.length === b.length && timingSafeEqual(a, b) ? path : null;
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, HEADERS).end();
}

function send({ method }: IncomingMessage, response: ServerResponse, body: Buffer, type: string): void {
  response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": body.length });
  response.end(method === "HEAD" ? undefined : body);
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    refuse(response, 404);
    return;
  }
  const headers = { ...HEADERS, "content-type": "application/octet-stream", "accept-ranges": "bytes" };
  const range = rangeOf(request.headers.range, size);
  if (range === "bad") {
    response.writeHead(416, { ...headers, "content-range": `bytes */${size}` }).end();
    return;
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const part = range === null ? {} : { "content-range": `bytes ${start}-${end}/${size}` };
  response.writeHead(range === null ? 200 : 206, { ...headers, ...part, "content-length": end - start + 1 });
  if (request.method === "HEAD" || size === 0) {
    response.end();
    return;
  }
  const stream = createReadStream(file, { start, end });
  stream.on("error", () => response.destroy());
  response.on("close", () => stream.destroy());
  stream.pipe(response);
}

/** One range; null where none is asked for. @see RFC 9110, section 14 */
function rangeOf(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number } | "bad" | null {
  if (header === undefined) return null;
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (first === "" && last === "") return "bad";
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return start <= end && start < size ? { start, end } : "bad";
}
