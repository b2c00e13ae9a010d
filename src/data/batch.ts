/** @file Batches: elements stacked along a new first axis. @see TensorFlow core/kernels/data/batch_dataset_op.cc */

import {
  allocate,
  formatShape,
  type NumericArray,
  naturalDType,
  sameShape,
  sizeOf,
  type Tensor,
  tensor,
  VarscopeError,
} from "../base/index.ts";
import { isTensor } from "../graph/index.ts";
import { type Cursor, END, type OpenCursor } from "./cursor.ts";

export interface BatchOptions {
  /** a last batch that is not full is left out: false */
  readonly dropRemainder?: boolean;
}

/** @throws VarscopeError INVALID_ARGUMENT - the size is no positive integer; from `next`: shapes or dtypes differ within a batch */
export function batched<T>(
  open: OpenCursor<T>,
  size: number,
  { dropRemainder = false }: BatchOptions = {},
): OpenCursor<T> {
  if (!Number.isSafeInteger(size) || size <= 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `Batch size must be greater than zero, got ${size}.`);
  }
  return (epoch): Cursor<T> => {
    const input = open(epoch);
    return {
      async next() {
        const elements: T[] = [];
        while (elements.length < size) {
          const value = await input.next();
          if (value === END) break;
          elements.push(value);
        }
        if (elements.length === 0 || (dropRemainder && elements.length < size)) return END;
        return stacked(elements, "") as T;
      },
      state: () => input.state(),
      restore: (state) => input.restore(state),
    };
  };
}

/** Stacks tensors and numbers; objects and arrays of them part by part. `path`: of the part, for errors */
function stacked(elements: readonly unknown[], path: string): unknown {
  const [first] = elements;
  if (isTensor(first)) return stackTensors(elements as readonly Tensor[], path);
  if (typeof first !== "object" || first === null || first instanceof Uint8Array) {
    return tensor(elements as number[], naturalDType(first), [elements.length]);
  }
  const part = (key: string | number): unknown =>
    stacked(
      elements.map((e) => (e as Record<string | number, unknown>)[key]),
      `${path}/${key}`,
    );
  if (Array.isArray(first)) return first.map((_, i) => part(i));
  return Object.fromEntries(Object.keys(first).map((key) => [key, part(key)]));
}

function stackTensors(tensors: readonly Tensor[], path: string): Tensor {
  const { dtype, shape } = tensors[0]!;
  const size = sizeOf(shape);
  for (const [i, t] of tensors.entries()) {
    if (t.dtype === dtype && sameShape(t.shape, shape)) continue;
    const what = t.dtype === dtype ? "shapes" : "dtypes";
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot batch tensors with different ${what}. First element had ${dtype} ${formatShape(shape)} and element ${i} had ${t.dtype} ${formatShape(t.shape)}.`,
      path === "" ? {} : { at: path },
    );
  }
  const dims = [tensors.length, ...shape];
  if (dtype === "string") {
    return { dtype, shape: dims, data: tensors.flatMap((t) => [...(t.data as readonly Uint8Array[])]) };
  }
  const data = allocate(dtype, tensors.length * size) as NumericArray;
  const step = data.length / Math.max(tensors.length, 1);
  for (const [i, t] of tensors.entries()) data.set(t.data as NumericArray, i * step);
  return { dtype, shape: dims, data };
}
