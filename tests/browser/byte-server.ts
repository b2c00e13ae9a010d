/** A web server that counts what it sends: files with or without range requests, sparse ones of any size. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ByteServer {
  readonly url: string;
  /** bytes of bodies sent so far, and requests with a body */
  readonly sent: { bytes: number; requests: number };
  close(): void;
}

/** A file: its first bytes, then zeros up to `size`. */
export interface ServedBytes {
  readonly head: Uint8Array;
  readonly size: number;
}

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "range" };

export async function serveBytes(
  files: Readonly<Record<string, ServedBytes>>,
  hasRanges = true,
): Promise<ByteServer> {
  const sent = { bytes: 0, requests: 0 };
  const server = createServer((request, response) => {
    const file = files[decodeURIComponent((request.url ?? "").slice(1))];
    if (file === undefined) response.writeHead(404, CORS).end();
    else if (request.method === "OPTIONS") response.writeHead(204, CORS).end();
    else answer(request, response, file, hasRanges, sent);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    sent,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { head, size }: ServedBytes,
  hasRanges: boolean,
  sent: ByteServer["sent"],
): void {
  const range = hasRanges ? /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") : null;
  const [start, end] =
    range === null ? [0, size - 1] : [Number(range[1]), Math.min(Number(range[2]), size - 1)];
  const body = Buffer.alloc(request.method === "HEAD" ? 0 : end - start + 1);
  body.set(head.subarray(start, Math.min(head.length, start + body.length)));
  sent.bytes += body.length;
  if (request.method !== "HEAD") sent.requests++;
  const part = range === null ? {} : { "content-range": `bytes ${start}-${end}/${size}` };
  response.writeHead(range === null ? 200 : 206, {
    ...CORS,
    ...part,
    "content-length": request.method === "HEAD" ? size : body.length,
  });
  response.end(body);
}
