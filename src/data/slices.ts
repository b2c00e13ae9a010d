/** @file Datasets of tensors in memory. Start at `fromTensorSlices`. */

import { sizeOf, type Tensor, VarscopeError } from "../base/index.ts";
import { isTensor } from "../graph/index.ts";
import { END, needCount } from "./cursor.ts";
import { type Dataset, dataset } from "./dataset.ts";

/** A tensor, or tensors in objects and arrays. */
export type TensorStructure =
  | Tensor
  | readonly TensorStructure[]
  | { readonly [key: string]: TensorStructure };

/**
 * The slices of tensors along their first axis, as views, in the structure of `tensors`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - scalars, or tensors of different first dims
 * @see TensorFlow python/data/ops/from_tensor_slices_op.py
 */
export function fromTensorSlices<S extends TensorStructure>(tensors: S): Dataset<S> {
  const count = countOf(tensors);
  return dataset(() => {
    let index = 0;
    return {
      next: async () => (index < count ? (sliceOf(tensors, index++) as S) : END),
      state: () => ({ kind: "slices", index }),
      async restore(state) {
        const at = needCount(state, "slices", "index");
        if (at > count) {
          throw new VarscopeError("INVALID_ARGUMENT", `element ${at} was next, there are ${count}`, {
            hint: "restore with the data that the state was saved with",
          });
        }
        index = at;
      },
    };
  });
}

const partsOf = (tensors: TensorStructure): readonly Tensor[] =>
  isTensor(tensors) ? [tensors] : Object.values(tensors).flatMap(partsOf);

function countOf(tensors: TensorStructure): number {
  const counts = partsOf(tensors).map((t) => t.shape[0]);
  const [count] = counts;
  if (count === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "tensors with a first axis are wanted, a scalar was given");
  }
  const other = counts.find((n) => n !== count);
  if (other === undefined && counts.every((n) => n !== undefined)) return count;
  throw new VarscopeError("INVALID_ARGUMENT", `Dimensions ${count} and ${other} are not compatible`);
}

function sliceOf(tensors: TensorStructure, index: number): TensorStructure {
  if (isTensor(tensors)) {
    const shape = tensors.shape.slice(1);
    const step = tensors.data.length / tensors.shape[0]!;
    const from = index * step;
    const { data } = tensors;
    const view = ArrayBuffer.isView(data)
      ? (data as Float32Array).subarray(from, from + step)
      : (data as readonly Uint8Array[]).slice(from, from + sizeOf(shape));
    return { dtype: tensors.dtype, shape, data: view };
  }
  if (Array.isArray(tensors)) return tensors.map((t) => sliceOf(t, index));
  return Object.fromEntries(Object.entries(tensors).map(([key, t]) => [key, sliceOf(t, index)]));
}
