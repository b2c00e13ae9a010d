/** @file What ops on ragged tensors share: splits, checked, and rows picked by number. */

import { allocate, getElement, setElement, sizeOf, type Tensor, toNumbers } from "../base/index.ts";
import { absent, attr } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { invalid } from "./host-facts.ts";

/** Ragged tensors are the host's. */
export const onHost = { lower: absent("ONNX has no ragged tensors") } as const;
/** Dtypes of splits. */
export type SplitType = "int32" | "int64";
/** The attribute of that. */
export const Tsplits = attr.typeOr("int64", "int32", "int64");

/** A tensor of rows that `from` has, by number; `fill` where that is -1. */
export function pickedRows(
  from: Tensor,
  rows: readonly number[],
  shape: readonly number[],
  fill: Tensor | null,
): Tensor {
  const width = sizeOf(from.shape.slice(1));
  const out: Tensor = {
    dtype: from.dtype,
    shape,
    data: allocate(from.dtype, boundedSize(shape, from.dtype)),
  };
  for (const [i, row] of rows.entries()) {
    for (let k = 0; k < width; k++) {
      if (row >= 0) setElement(out, i * width + k, getElement(from, row * width + k));
      else if (fill !== null)
        setElement(out, i * width + k, getElement(fill, fill.shape.length === 0 ? 0 : k));
    }
  }
  return out;
}

/** Splits of one level, checked. @throws VarscopeError INVALID_ARGUMENT */
export function checkedSplits(splits: Tensor): number[] {
  const ends = toNumbers(splits);
  if (ends.length === 0) throw invalid("Invalid row split: the row splits are empty");
  if (ends[0] !== 0) throw invalid(`First value of ragged splits must be 0.`);
  ends.forEach((end, i) => {
    if (i > 0 && end < ends[i - 1]!) throw invalid("Ragged splits must be monotonically increasing");
  });
  return ends;
}
