/** @file IndexedSlices: a sparse gradient, rows of a tensor at indices. */

import { VarscopeError } from "../base/index.ts";
import type { Output } from "./operation.ts";

/** Rows `values[i]` belong to row `indices[i]` of a tensor of shape `denseShape`; rows of one index add up. */
export interface IndexedSlices {
  readonly values: Output;
  readonly indices: Output;
  readonly denseShape: Output | null;
}

export const isIndexedSlices = (x: unknown): x is IndexedSlices =>
  typeof x === "object" && x !== null && "indices" in x && "values" in x;

/**
 * The dense tensor that rows stand for, named `name`; the ops it takes are named in the current scope.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the dense shape is not known
 * @see TensorFlow python/framework/indexed_slices.py "_indexed_slices_to_tensor"
 */
export function densify(slices: IndexedSlices, name = "UnsortedSegmentSum"): Output {
  const { values, indices, denseShape } = slices;
  const { graph } = values;
  if (denseShape === null) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "Tensor conversion requested for IndexedSlices without dense_shape",
      {
        at: values.name,
      },
    );
  }
  const rows = graph.nameScope("strided_slice", (scope) => {
    const bounds = [0, 1, 1].map((v) => graph.constant([v], { dtype: "int32", name: "stack" }));
    return graph.add("StridedSlice", [denseShape, ...bounds], {
      name: scope,
      attrs: { shrink_axis_mask: 1 },
    });
  });
  return graph.add("UnsortedSegmentSum", [values, indices, rows], { name });
}

/** Each part of rows through `change`. */
export const mapRows = (rows: IndexedSlices, change: (x: Output) => Output): IndexedSlices => {
  const { values, indices, denseShape } = rows;
  return {
    values: change(values),
    indices: change(indices),
    denseShape: denseShape === null ? null : change(denseShape),
  };
};

/** The outputs that a gradient is made of. */
export const partsOf = (grad: Output | IndexedSlices): Output[] =>
  isIndexedSlices(grad)
    ? [grad.values, grad.indices, ...(grad.denseShape === null ? [] : [grad.denseShape])]
    : [grad];
