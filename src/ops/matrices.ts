/** @file What products of matrices share: dims, dtypes, ONNX nodes. */

import { type DType, formatShape, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import type { Onnx, OnnxValue } from "../graph/index.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

export interface Flags {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Rows, columns and the dim between of the last two axes. @throws VarscopeError INVALID_ARGUMENT - the inner dims differ */
export function matrixDims(
  a: Shape,
  b: Shape,
  { transposeA, transposeB }: Flags,
): [number | null, number | null] {
  const [a0, a1] = a.slice(-2) as [number | null, number | null];
  const [b0, b1] = b.slice(-2) as [number | null, number | null];
  const [inner, other] = [transposeA ? a0 : a1, transposeB ? b1 : b0];
  if (inner !== null && other !== null && inner !== other) {
    throw invalid(`Dimensions must be equal, but are ${inner} and ${other}`);
  }
  return [transposeA ? a1 : a0, transposeB ? b0 : b1];
}

const GEMM: ReadonlySet<DType> = new Set(["float32", "float64", "float16"] as const);
export const PRODUCTS: ReadonlySet<DType> = new Set([...GEMM, "int32", "int64", "uint32", "uint64"] as const);

export const swap = (onnx: Onnx, x: OnnxValue): OnnxValue => {
  const rank = x.shape!.length;
  const axes = [...Array(rank).keys()];
  return onnx.transpose(x, [...axes.slice(0, -2), rank - 1, rank - 2]);
};

/** Gemm transposes while it packs, so no Transpose is needed for floats. */
export function lowerMatrices(
  onnx: Onnx,
  a: OnnxValue,
  b: OnnxValue,
  { transposeA, transposeB }: Flags,
  shape: Shape | null,
): OnnxValue {
  if ((transposeA || transposeB) && GEMM.has(a.dtype)) {
    return onnx.add("Gemm", [a, b], { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 }, { shape });
  }
  return onnx.add("MatMul", [transposeA ? swap(onnx, a) : a, transposeB ? swap(onnx, b) : b], {}, { shape });
}

/** @throws VarscopeError INVALID_ARGUMENT - in the words of TensorFlow's kernel */
export function checkInner(a: Tensor, b: Tensor, { transposeA, transposeB }: Flags): void {
  const inner = a.shape[a.shape.length - (transposeA ? 2 : 1)];
  const other = b.shape[b.shape.length - (transposeB ? 1 : 2)];
  if (inner !== other) {
    throw invalid(`Matrix size-incompatible: In[0]: ${formatShape(a.shape)}, In[1]: ${formatShape(b.shape)}`);
  }
}
