/** @file Source: random access to named bytes, wherever they lie. Start at `Source`; files are in node.ts. */

import { VarscopeError } from "../base/index.ts";

/** Bytes that can be read anywhere, a part at a time. */
export interface Source {
  /** path or address, for messages */
  readonly name: string;
  /** bytes in all */
  size(): Promise<number>;
  /** `length` bytes at `offset`. @throws VarscopeError DATA_LOSS - they are not all there */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` with the bytes at `offset`. @throws VarscopeError DATA_LOSS - they are not all there */
  readInto(offset: number, target: Uint8Array): Promise<void>;
  /** Gives the file back; reading afterwards is an error. */
  close(): Promise<void>;
}

/** A source over bytes in memory; `read` gives views. */
export function bytesSource(bytes: Uint8Array, name = "bytes"): Source {
  const read = (offset: number, length: number): Uint8Array => {
    needRange(name, offset, length, bytes.length);
    return bytes.subarray(offset, offset + length);
  };
  return {
    name,
    size: async () => bytes.length,
    read: async (offset, length) => read(offset, length),
    readInto: async (offset, target) => target.set(read(offset, target.length)),
    close: async () => {},
  };
}

/** Refuses a range that is not inside `size` bytes. @throws VarscopeError DATA_LOSS - it is not */
export function needRange(name: string, offset: number, length: number, size: number): void {
  const fine = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!fine || offset + length > size) {
    throw new VarscopeError("DATA_LOSS", `${length} bytes wanted, the file has ${size}`, {
      at: `${name}@${offset}`,
      hint: "the file is cut short or another file; take it from its origin again",
    });
  }
}
