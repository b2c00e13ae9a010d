/** @file Tensors of any real dtype as plain numbers, and back: for kernels that compute in double and round once. */

import { allocate, type DType, getElement, setElement, sizeOf, type Tensor } from "../../base/index.ts";

/** Elements as numbers, float16 and bfloat16 decoded. Not for int64, strings and complex. */
export function numbersOf(t: Tensor): ArrayLike<number> {
  if (t.dtype !== "float16" && t.dtype !== "bfloat16") return t.data as Float32Array;
  return Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => getElement(t, i) as number);
}

/** A tensor of numbers, each rounded once to `dtype`. */
export function fromNumbers(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const out = { dtype, shape, data: allocate(dtype, values.length) };
  if (dtype === "float16" || dtype === "bfloat16") {
    for (let i = 0; i < values.length; i++) setElement(out, i, values[i]!);
  } else (out.data as Float64Array).set(values);
  return out;
}
