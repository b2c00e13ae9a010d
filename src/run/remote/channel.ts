/** @file What a client needs of a connection to a server; grpc-js gives it in Node (`#remote`). Start at `Channel`. */

import { type ErrorCode, VarscopeError } from "../../base/index.ts";

export interface CallOptions {
  /** after so many milliseconds the call fails; absent: never */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** waits for a server that is not up yet, instead of failing: false */
  readonly waitsForServer?: boolean;
}

/** One connection. Calls go side by side. */
export interface Channel {
  /** The encoded answer of a method such as `/tensorflow.MasterService/RunStep`. @throws VarscopeError - with the server's code */
  call(method: string, request: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  close(): void;
}

/** By gRPC's number, which is TensorFlow's. @see TensorFlow core/protobuf/error_codes.proto */
const CODES: readonly ErrorCode[] = [
  "UNKNOWN", // 0 is no error
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "PERMISSION_DENIED", // UNAUTHENTICATED
];

/** A status that a server gave: its sentence without its log, and the node that the sentence names. */
export function statusError(code: number, text: string, where: string): VarscopeError {
  const name = CODES[code] ?? "UNKNOWN";
  const what = text.replace(/\s*\nRecent warning and error logs:[\s\S]*$/, "");
  const hint = hintFor(name, what);
  return new VarscopeError(name, what, {
    at: /\{\{node ([^}]+)\}\}/.exec(what)?.[1] ?? where,
    ...(hint === undefined ? {} : { hint }),
  });
}

function hintFor(code: ErrorCode, what: string): string | undefined {
  if (code === "UNAVAILABLE") return "see that the server runs and that host and port are its own";
  if (code === "ABORTED" && /session/i.test(what))
    return "make a new session; if the server was started anew, restore the variables from a checkpoint";
  return undefined;
}

/** Why a signal fired: its time was over, or somebody stopped the run. */
export function abortError({ reason }: AbortSignal): VarscopeError {
  const isTimeout = reason instanceof DOMException && reason.name === "TimeoutError";
  return isTimeout
    ? new VarscopeError("DEADLINE_EXCEEDED", "the run took too long", { cause: reason })
    : new VarscopeError("CANCELLED", "the run was aborted", { cause: reason });
}
