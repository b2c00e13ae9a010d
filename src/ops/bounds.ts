/** @file What a kernel may allocate because a graph or a file names a number. */

import { type DType, dtypeCppName, sizeOf, VarscopeError } from "../base/index.ts";

/** Numbers: 2 GiB of float64. Strings and lists of JavaScript take some ten times as much each. */
const MOST_NUMBERS = 2 ** 28;
const MOST_OBJECTS = 2 ** 24;

/**
 * The number of elements of a tensor to come.
 *
 * @param dtype - "string" also for lists that a kernel makes on the way
 * @throws VarscopeError INVALID_ARGUMENT - negative dims; RESOURCE_EXHAUSTED - more than memory holds
 */
export function boundedSize(shape: readonly number[], dtype: DType): number {
  const negative = shape.find((d) => d < 0);
  if (negative !== undefined)
    throw new VarscopeError("INVALID_ARGUMENT", `Dimension ${negative} must be >= 0`);
  const [size, most] = [sizeOf(shape), dtype === "string" ? MOST_OBJECTS : MOST_NUMBERS];
  if (size <= most) return size;
  const what = `OOM when allocating tensor with shape[${shape}] and type ${dtypeCppName(dtype)}`;
  throw new VarscopeError("RESOURCE_EXHAUSTED", what);
}
