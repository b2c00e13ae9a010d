/** @file gRPC in Node: the one file that knows grpc-js, which loads with the first session on a cluster. Start at `openChannel`. */

import type { ServiceError } from "@grpc/grpc-js";
import { abortError, type Channel, statusError } from "./channel.ts";

/** A connection to `host:port`. It is made with the first call. */
export async function openChannel(address: string): Promise<Channel> {
  const { Client, credentials, Metadata } = await import("@grpc/grpc-js");
  const client = new Client(address, credentials.createInsecure(), {
    // tensors have no size limit
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    // a cluster is never behind a web proxy, though the environment may name one
    "grpc.enable_http_proxy": 0,
  });
  return {
    call: (method, request, { timeoutMs, signal, waitsForServer = false }) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(abortError(signal));
        const done = (error: ServiceError | null, answer?: Buffer): void => {
          signal?.removeEventListener("abort", cancel);
          if (error === null) resolve(answer!);
          else reject(signal?.aborted ? abortError(signal) : statusError(error.code, error.details, address));
        };
        const call = client.makeUnaryRequest(
          method,
          (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
          (bytes: Buffer) => bytes,
          request,
          new Metadata({ waitForReady: waitsForServer }),
          timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
          done,
        );
        const cancel = (): void => call.cancel();
        signal?.addEventListener("abort", cancel, { once: true });
      }),
    close: () => client.close(),
  };
}
