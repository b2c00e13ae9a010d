/** @file Values that lie in a source as they are in memory: row-major, little-endian, in one run. Start at `rawVariable`. */

import { type Source, unsetBytes } from "#platform";
import {
  allocate,
  type Box,
  bytesOf,
  copyRegion,
  DTYPES,
  type DType,
  formatShape,
  fromBytes,
  runOf,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import { type ReadOptions, rowBoxes, type StoredVariable } from "./collection.ts";

/** Where the values lie. */
export interface RawPlace {
  readonly source: Source;
  /** byte of the first value */
  readonly offset: number;
}

/**
 * A variable over raw bytes; reads no more of them than is asked.
 *
 * @param facts - name, dtype (of fixed size), static shape, and what else is known of it
 */
export function rawVariable(
  facts: Omit<StoredVariable, "bytes" | "read" | "readBox" | "stream" | "shape"> & {
    readonly shape: readonly number[];
  },
  { source, offset }: RawPlace,
): StoredVariable {
  const { dtype, shape } = facts;
  const width = DTYPES[dtype].bytes;
  const run = async (start: number, size: readonly number[], { signal }: ReadOptions): Promise<Tensor> => {
    needRunning(signal, facts.name);
    const t = { dtype, shape: size, data: allocated(dtype, sizeOf(size), facts.name) };
    await source.readInto(offset + start * width, bytesOf(t));
    return t;
  };
  const readBox = async (box: Box, options: ReadOptions): Promise<Tensor> => {
    if (sizeOf(box.size) === 0) return run(0, box.size, options);
    const start = runOf(wholeBox(shape), box);
    if (start >= 0) return run(start, box.size, options);
    // Not one run: the rows that the box touches, then the box of them.
    const rows = {
      start: [box.start[0]!, ...shape.slice(1).map(() => 0)],
      size: [box.size[0]!, ...shape.slice(1)],
    };
    const from = await run(runOf(wholeBox(shape), rows), rows.size, options);
    const t = { dtype, shape: box.size, data: allocated(dtype, sizeOf(box.size), facts.name) };
    copyRegion(from.data, rows, t.data, box, box, DTYPES[dtype].kind === "complex" ? 2 : 1);
    return t;
  };
  return {
    ...facts,
    bytes: sizeOf(shape) * width,
    read: (options) => run(0, shape, options),
    readBox,
    async *stream(options) {
      for (const box of rowBoxes(shape, width)) {
        const t = await readBox(box, options);
        yield { ...t, shape: [sizeOf(t.shape)] };
      }
    },
  };
}

/** @throws VarscopeError CANCELLED */
export function needRunning(signal: AbortSignal | undefined, at?: string): void {
  if (signal?.aborted)
    throw new VarscopeError("CANCELLED", "the read was aborted", {
      ...(at !== undefined && { at }),
      cause: signal.reason,
    });
}

/**
 * Storage for `count` elements that are known to be there, all of which will be overwritten.
 *
 * @throws VarscopeError RESOURCE_EXHAUSTED - no memory
 */
export function allocated(dtype: DType, count: number, at: string): Tensor["data"] {
  const { bytes } = DTYPES[dtype];
  try {
    return bytes === 0 ? allocate(dtype, count) : fromBytes(dtype, [count], unsetBytes(count * bytes)).data;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new VarscopeError("RESOURCE_EXHAUSTED", `no memory for ${count} values of ${dtype}`, { at, cause });
  }
}

/**
 * Elements of a shape that a file claims, checked.
 *
 * @throws VarscopeError DATA_LOSS - a dim that is no count, over 254 dims, or over 2^53 elements
 */
export function needElements(shape: readonly number[], at: string): number {
  if (shape.length > 254)
    throw new VarscopeError("DATA_LOSS", `a shape of ${shape.length} dimensions; at most 254 are read`, {
      at,
    });
  const bad = shape.find((n) => !Number.isSafeInteger(n) || n < 0);
  if (bad !== undefined) throw new VarscopeError("DATA_LOSS", `dimension ${bad} is not in [0, 2^53)`, { at });
  const n = shape.includes(0) ? 0 : sizeOf(shape);
  if (!Number.isSafeInteger(n))
    throw new VarscopeError("DATA_LOSS", `shape ${formatShape(shape)} has more than 2^53 elements`, { at });
  return n;
}
