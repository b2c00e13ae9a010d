/** @file Values to Const attributes: dtype choice and filling a shape. Start at `toTensor`. */

import {
  type DType,
  getElement,
  isComplex,
  type Nested,
  naturalDType,
  setElement,
  sizeOf,
  type Tensor,
  tensor,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import type { Attrs } from "./attr.ts";

export const isTensor = (x: unknown): x is Tensor =>
  typeof x === "object" && x !== null && "dtype" in x && "data" in x && !("op" in x);

const fills = new WeakSet<Tensor>();

/** Whether a tensor came of one value for a whole shape: files hold that value once, as TensorFlow's do. */
export const isFill = (t: Tensor): boolean => fills.has(t);

/** A tensor of a value; a single value fills `shape`. */
export function toTensor(value: Tensor | Nested, dtype?: DType, shape?: readonly number[]): Tensor {
  if (isTensor(value)) {
    if (dtype !== undefined && dtype !== value.dtype) {
      throw new VarscopeError("INVALID_ARGUMENT", `the value is ${value.dtype}, ${dtype} was asked for`);
    }
    return value;
  }
  const type = dtype ?? naturalDType(value);
  if (shape !== undefined && isSingle(value, type)) {
    const filled = zeros(type, shape);
    const element = getElement(tensor(value, type, []), 0);
    for (let i = 0; i < sizeOf(shape); i++) setElement(filled, i, element);
    fills.add(filled);
    return filled;
  }
  return tensor(value, type, shape);
}

/** One element: of complex dtypes a pair of numbers too. */
const isSingle = (value: Nested, dtype: DType): boolean =>
  !Array.isArray(value) ||
  (isComplex(dtype) && value.length === 2 && value.every((v) => typeof v === "number"));

/** Attributes of the Const that holds a value. */
export function constantAttrs(
  value: Tensor | Nested,
  options: { dtype?: DType; shape?: readonly number[] },
): Attrs {
  const t = toTensor(value, options.dtype, options.shape);
  return { dtype: t.dtype, value: t };
}
