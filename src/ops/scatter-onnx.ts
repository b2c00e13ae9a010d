/**
 * @file Adding rows to a tensor as ONNX nodes. ONNX Runtime 1.30 shares the updates of a ScatterND among threads, and of two threads
 * that add to one row, one loses (half a percent to a third of all updates in our measurements); ScatterElements takes them one
 * after the other. So whatever combines goes through here. Start at `scatterRowNodes`.
 */

import { isStatic, sizeOf, sizeOrNull, stridesOf, VarscopeError } from "../base/index.ts";
import type { Onnx, OnnxValue } from "../graph/index.ts";

/** How ScatterElements combines an update with what is there; "none" replaces it. */
export type Reduction = "none" | "add" | "max" | "min";

/** Beyond every row: an index that is outside must not count as another one. */
const OUTSIDE = 2 ** 31 - 1;

/**
 * `target` [rows, ...tail] with `updates` [n, ...tail] combined into the rows at `rows` [n].
 * @param rows - int64, not negative
 */
export function scatterRowNodes(
  onnx: Onnx,
  target: OnnxValue,
  rows: OnnxValue,
  updates: OnnxValue,
  reduction: Reduction,
): OnnxValue {
  const tail = target.shape!.slice(1);
  const n = rows.shape![0]!;
  const column = onnx.reshape(rows, [n, ...tail.map(() => 1)]);
  const shape = [n, ...tail];
  const wide =
    tail.length === 0 ? column : onnx.add("Expand", [column, onnx.shapeOf(updates)], {}, { shape });
  return onnx.add(
    "ScatterElements",
    [target, wide, updates],
    { axis: 0, reduction },
    { shape: target.shape },
  );
}

/**
 * `target` with `updates` combined into the slices at index tuples, the last axis of `tuples`.
 * @throws VarscopeError UNIMPLEMENTED - tuples of two or more, while dims of the target are unknown
 */
export function scatterTupleNodes(
  onnx: Onnx,
  target: OnnxValue,
  tuples: OnnxValue,
  updates: OnnxValue,
  reduction: Reduction,
): OnnxValue {
  const depth = tuples.shape!.at(-1)!;
  const dims = target.shape!.slice(0, depth);
  const tail = target.shape!.slice(depth);
  const n = sizeOrNull(tuples.shape!.slice(0, -1));
  const flatUpdates = onnx.reshape(updates, [n, ...tail]);
  if (depth === 1) return scatterRowNodes(onnx, target, onnx.reshape(tuples, [n]), flatUpdates, reduction);
  if (!isStatic(dims) || !isStatic(tail)) {
    throw new VarscopeError("UNIMPLEMENTED", "scattering at index tuples needs a static shape");
  }
  const rows = onnx.reshape(rowNumbers(onnx, tuples, dims), [n]);
  const flat = onnx.reshape(target, [sizeOf(dims), ...tail]);
  return onnx.reshape(scatterRowNodes(onnx, flat, rows, flatUpdates, reduction), [...dims, ...tail]);
}

/** Row-major numbers of index tuples; those outside any dim are outside altogether. */
function rowNumbers(onnx: Onnx, tuples: OnnxValue, dims: readonly number[]): OnnxValue {
  const { shape } = tuples;
  const below = onnx.add("Less", [tuples, onnx.scalar(0, "int64")], {}, { dtype: "bool", shape });
  const above = onnx.add("GreaterOrEqual", [tuples, onnx.ints(dims)], {}, { dtype: "bool", shape });
  const bad = onnx.add("Or", [below, above], {}, { dtype: "bool", shape });
  const safe = onnx.add("Where", [bad, onnx.scalar(OUTSIDE, "int64"), tuples], {}, { dtype: "int64", shape });
  const parts = onnx.add("Mul", [safe, onnx.ints(stridesOf(dims))], {}, { shape });
  return onnx.add("ReduceSum", [parts, onnx.ints([-1])], { keepdims: 0 }, { shape: shape!.slice(0, -1) });
}
