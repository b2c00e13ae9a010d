/** @file Joining tensors along an axis and cutting them apart. Start at `concatTensors`. */

import {
  type DType,
  isComplex,
  sizeOf,
  type Tensor,
  type TensorData,
  VarscopeError,
  zeros,
} from "../../base/index.ts";

type Numbers = Float64Array;

/** Where a result goes; handles have no zeros. */
const room = (dtype: DType, shape: readonly number[]): Tensor =>
  dtype === "variant" || dtype === "resource"
    ? { dtype, shape, data: new Array(sizeOf(shape)) as TensorData }
    : zeros(dtype, shape);

/** Copies `count` elements from place `at` to place `target`; strings and handles one by one, numbers as a block. */
export function copyElements(from: Tensor, at: number, to: Tensor, target: number, count: number): void {
  const width = isComplex(from.dtype) ? 2 : 1;
  if (ArrayBuffer.isView(from.data)) {
    const block = (from.data as Numbers).subarray(at * width, (at + count) * width);
    (to.data as Numbers).set(block, target * width);
    return;
  }
  const [source, sink] = [from.data as readonly Uint8Array[], to.data as Uint8Array[]];
  for (let i = 0; i < count; i++) sink[target + i] = source[at + i]!;
}

/**
 * Tensors of one dtype next to each other along `axis` (0-based).
 * @throws VarscopeError INVALID_ARGUMENT - another dim differs
 */
export function concatTensors(tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0]!;
  tensors.forEach((t, i) => {
    const odd =
      t.shape.length !== first.shape.length || t.shape.some((d, k) => k !== axis && d !== first.shape[k]);
    if (odd) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `ConcatOp : Dimension ${t.shape.findIndex((d, k) => k !== axis && d !== first.shape[k])} in both shapes must be equal: shape[0] = [${first.shape}] vs. shape[${i}] = [${t.shape}]`,
      );
    }
  });
  const total = tensors.reduce((n, t) => n + t.shape[axis]!, 0);
  const out = room(
    first.dtype,
    first.shape.map((d, i) => (i === axis ? total : d)),
  );
  const outer = sizeOf(first.shape.slice(0, axis));
  const inner = sizeOf(first.shape.slice(axis + 1));
  let start = 0;
  for (const t of tensors) {
    const block = t.shape[axis]! * inner;
    for (let o = 0; o < outer; o++) copyElements(t, o * block, out, o * total * inner + start, block);
    start += block;
  }
  return out;
}

/** `t` cut into parts of `sizes` along `axis` (0-based); the sizes add up to its dim. */
export function splitTensor(t: Tensor, sizes: readonly number[], axis: number): Tensor[] {
  const outer = sizeOf(t.shape.slice(0, axis));
  const inner = sizeOf(t.shape.slice(axis + 1));
  const row = t.shape[axis]! * inner;
  let start = 0;
  return sizes.map((size) => {
    const out = room(
      t.dtype,
      t.shape.map((d, i) => (i === axis ? size : d)),
    );
    const block = size * inner;
    for (let o = 0; o < outer; o++) copyElements(t, o * row + start, out, o * block, block);
    start += block;
    return out;
  });
}
