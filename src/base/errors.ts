/** @file The one error class, with TensorFlow's canonical codes (which are gRPC's too). Start at `VarscopeError`. */

/** Canonical status codes. @see TensorFlow core/protobuf/error_codes.proto */
export type ErrorCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS";

export interface ErrorDetails {
  /** variable, node, or `file@byte` */
  readonly at?: string;
  /** one sentence in the imperative */
  readonly hint?: string;
  readonly cause?: unknown;
}

const MARK = Symbol.for("varscope.error");

/** What was wrong, where, and what would have been right: `[CODE] at: message; hint`. */
export class VarscopeError extends Error {
  readonly code: ErrorCode;
  readonly at: string | undefined;
  readonly hint: string | undefined;
  /** the sentence without code, place and hint */
  readonly what: string;

  constructor(code: ErrorCode, what: string, details: ErrorDetails = {}) {
    const place = details.at === undefined ? "" : `${details.at}: `;
    const hint = details.hint === undefined ? "" : `; ${details.hint}`;
    super(`[${code}] ${place}${what}${hint}`, details.cause === undefined ? {} : { cause: details.cause });
    this.name = "VarscopeError";
    this.code = code;
    this.what = what;
    this.at = details.at;
    this.hint = details.hint;
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Whether `e` is a VarscopeError (of `code`, if given), from any copy of this package. */
export function isVarscopeError(e: unknown, code?: ErrorCode): e is VarscopeError {
  const marked = typeof e === "object" && e !== null && MARK in e;
  return marked && (code === undefined || (e as unknown as VarscopeError).code === code);
}

/** `value`, or an INTERNAL error naming `what` where it is missing. */
export function need<T>(value: T | null | undefined, what: string, at?: string): T {
  if (value === null || value === undefined) {
    throw new VarscopeError("INTERNAL", `${what} is missing`, at === undefined ? {} : { at });
  }
  return value;
}
