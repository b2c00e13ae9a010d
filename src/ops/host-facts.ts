/** @file What ops share that run on the host alone: aspects that none of them has, strings as bytes, vectors of integers, checks of ranks. */

import { type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import { type AttrValue, absent, type Spec, stopsGradients } from "../graph/index.ts";

/** Aspects of an op on strings for which TensorFlow registers no gradient. */
export const onText = {
  lower: absent("ONNX Runtime's kernels do not build strings"),
  grad: absent("TensorFlow registers none"),
} as const;

/** Aspects of an op on strings that TensorFlow calls not differentiable. */
export const stopped = { lower: onText.lower, grad: stopsGradients } as const;

/** INVALID_ARGUMENT. */
export const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** Elements of a string tensor. */
export const bytesIn = (t: Tensor): readonly Uint8Array[] => t.data as readonly Uint8Array[];

/** A string tensor. */
export const strings = (shape: readonly number[], data: readonly Uint8Array[]): Tensor => ({
  dtype: "string",
  shape,
  data,
});

/** An int64 tensor of numbers. */
export const longs = (shape: readonly number[], values: readonly number[]): Tensor => ({
  dtype: "int64",
  shape,
  data: BigInt64Array.from(values, BigInt),
});

/** An int32 or int64 vector. */
export const splitsOf = (dtype: "int32" | "int64", values: readonly number[]): Tensor =>
  dtype === "int64"
    ? longs([values.length], values)
    : { dtype, shape: [values.length], data: Int32Array.from(values) };

/** Each element changed. */
export const mapBytes = (t: Tensor, change: (bytes: Uint8Array) => Uint8Array): Tensor =>
  strings(t.shape, bytesIn(t).map(change));

/** A string attribute's bytes. */
export const attrBytes = (value: AttrValue): Uint8Array =>
  value instanceof Uint8Array ? value : new TextEncoder().encode(String(value));

/** @throws VarscopeError INVALID_ARGUMENT - another rank */
export function needRank({ shape }: { readonly shape: Shape | null }, rank: number): void {
  if (shape !== null && shape.length !== rank)
    throw invalid(`Shape must be rank ${rank} but is rank ${shape.length}`);
}

/** The shape function of ops that work element by element. */
export const sameShape = ({ input }: { readonly input: Spec }): { shape: Shape | null }[] => [
  { shape: input.shape },
];

/** Bytes as Python and TensorFlow's sentences show them. */
export const shownBytes = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Flat index, in a tensor of shape `small`, of what stands at `index` where it is broadcast to `shape`. */
export function broadcastIndex(index: number, shape: readonly number[], small: readonly number[]): number {
  let [at, stride, rest] = [0, 1, index];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const dim = shape[axis]!;
    const own = small[small.length - shape.length + axis] ?? 1;
    if (own !== 1) at += (rest % dim) * stride;
    stride *= own;
    rest = Math.floor(rest / dim);
  }
  return at;
}
