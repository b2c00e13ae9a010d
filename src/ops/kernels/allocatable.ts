/** @file A bound for sizes that come from a graph's attributes and feeds. */

import { type DType, dtypeCppName, sizeOf, VarscopeError } from "../../base/index.ts";

/** The most elements that a kernel on images makes: a hostile size must not exhaust memory. */
const MAX_ELEMENTS = 2 ** 28;

/** @throws VarscopeError RESOURCE_EXHAUSTED - the tensor would be too large */
export function needAllocatable(shape: readonly number[], dtype: DType): void {
  if (sizeOf(shape) <= MAX_ELEMENTS) return;
  throw new VarscopeError(
    "RESOURCE_EXHAUSTED",
    `OOM when allocating tensor with shape[${shape.join(",")}] and type ${dtypeCppName(dtype)}`,
  );
}
