/**
 * @file Tensors whose elements are objects of this process: handles of resources (tables, tensor arrays) and variants (lists of tensors).
 * Host kernels make and read them; no engine and no file holds them. Start at `handleTensor`.
 */

import type { Tensor, TensorData } from "./tensor.ts";

/** A scalar "resource" or "variant" that stands for `value`. Variants are values: never change one that was given. */
export const handleTensor = (dtype: "resource" | "variant", value: object): Tensor => ({
  dtype,
  shape: [],
  data: [value] as unknown as TensorData,
});

/** The object behind a handle, which the caller knows the type of; of a tensor of handles, that of element `index`. */
export const handleOf = <T extends object>(t: Tensor, index = 0): T => t.data[index] as unknown as T;
