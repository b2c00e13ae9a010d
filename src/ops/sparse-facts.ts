/** @file What ops on sparse tensors share: indices as tuples, checks, elements of any dtype. */

import { type DType, type Element, type Shape, type Tensor, toNumbers, zeros } from "../base/index.ts";
import { absent, type Spec } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { invalid, needRank } from "./host-facts.ts";

/** Sparse tensors are the host's. */
export const onHost = { lower: absent("ONNX has no sparse tensors") } as const;

/** Zeros. @throws VarscopeError INVALID_ARGUMENT - negative dims; RESOURCE_EXHAUSTED - more than memory holds */
export function boundedZeros(dtype: DType, shape: readonly number[]): Tensor {
  boundedSize(shape, dtype);
  return zeros(dtype, shape);
}

/** Rows of a matrix of indices. */
export function tuplesOf(indices: Tensor): number[][] {
  const numbers = toNumbers(indices);
  const width = indices.shape[1] ?? 1;
  return Array.from({ length: indices.shape[0] ?? 1 }, (_, i) => numbers.slice(i * width, (i + 1) * width));
}

/** The sign of a − b, compared axis by axis. */
export function compared(a: readonly number[], b: readonly number[]): number {
  const axis = a.findIndex((x, i) => x !== b[i]);
  return axis < 0 ? 0 : a[axis]! - b[axis]!;
}

/** The flat index of a tuple. */
export const flatOf = (tuple: readonly number[], strides: readonly number[]): number =>
  tuple.reduce((sum, x, i) => sum + x * strides[i]!, 0);

/** @throws VarscopeError INVALID_ARGUMENT - an index outside of the shape; out of order or twice, if that matters */
export function checkTuples(
  tuples: readonly (readonly number[])[],
  shape: readonly number[],
  inOrder: boolean,
): void {
  tuples.forEach((tuple, i) => {
    const at = `indices[${i}] = [${tuple}]`;
    if (tuple.some((x, axis) => x < 0 || x >= shape[axis]!))
      throw invalid(`${at} is out of bounds: need 0 <= index < [${shape}]`);
    if (!inOrder || i === 0) return;
    const sign = compared(tuples[i - 1]!, tuple);
    if (sign > 0) throw invalid(`${at} is out of order. Many sparse ops require sorted indices.`);
    if (sign === 0) throw invalid(`${at} is repeated`);
  });
}

/** The shape that a vector tells. */
export function shapeIn(x: Spec): Shape | null {
  needRank(x, 1);
  if (x.value !== null) return toNumbers(x.value);
  const size = x.shape?.[0] ?? null;
  return x.partial ?? (size === null ? null : new Array<null>(size).fill(null));
}

type Complex = readonly [number, number];

/** a + b, of any dtype. */
export function plus(a: Element, b: Element): Element {
  if (Array.isArray(a)) return [a[0] + (b as Complex)[0], a[1] + (b as Complex)[1]];
  return ((a as number) + (b as number)) as Element;
}

/** a · b, of any dtype. */
export function times(a: Element, b: Element): Element {
  if (!Array.isArray(a)) return ((a as number) * (b as number)) as Element;
  const [x, y] = b as Complex;
  return [a[0] * x - a[1] * y, a[0] * y + a[1] * x];
}

/** The conjugate; a real number itself. */
export const conjugate = (x: Element): Element => (Array.isArray(x) ? [x[0], -x[1]] : x);
