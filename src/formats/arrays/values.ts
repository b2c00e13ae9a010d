/** @file The bytes of a variable that is being written. Start at `valueChunks`. */

import { DTYPES, formatShape, sizeOf, type Tensor, VarscopeError } from "../../base/index.ts";
import { needRunning, type WritableVariable, type WriteCollectionOptions } from "../collection/index.ts";

/** Bytes of all values of a variable of fixed-size dtype, piece by piece. @throws VarscopeError INTERNAL - they are more or fewer than its shape says */
export async function* valueChunks(
  v: WritableVariable,
  encode: (t: Tensor) => Uint8Array,
  { signal, onProgress }: WriteCollectionOptions,
): AsyncGenerator<Uint8Array> {
  const want = sizeOf(v.shape) * DTYPES[v.dtype].bytes;
  let bytes = 0;
  for await (const piece of v.values(signal === undefined ? {} : { signal })) {
    needRunning(signal, v.name);
    const chunk = encode(piece);
    bytes += chunk.length;
    onProgress?.(chunk.length);
    yield chunk;
  }
  if (bytes !== want)
    throw new VarscopeError(
      "INTERNAL",
      `${v.dtype} ${formatShape(v.shape)} takes ${want} bytes, its reader gave ${bytes}`,
      { at: v.name },
    );
}

/** The options with a count that goes on over all variables. */
export function counted(options: WriteCollectionOptions): WriteCollectionOptions {
  const { onProgress } = options;
  if (onProgress === undefined) return options;
  let bytes = 0;
  const more = (count: number): void => {
    bytes += count;
    onProgress(bytes);
  };
  return { ...options, onProgress: more };
}

/** Those of the options that the file system takes. */
export const fileOptions = ({ signal, sync }: WriteCollectionOptions) => ({
  ...(signal === undefined ? {} : { signal }),
  ...(sync === undefined ? {} : { sync }),
});
