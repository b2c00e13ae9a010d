/** @file ONNX's dtype numbers for the dtypes that ONNX Runtime's kernels and bindings carry. */

import type { DType } from "../base/index.ts";

/** TensorProto.DataType numbers. @see onnx/onnx.proto3 */
export const ONNX_TYPES: Partial<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

/** Whether a value of this dtype can enter or leave an ONNX model. */
export const isOnnxType = (dtype: DType): boolean => ONNX_TYPES[dtype] !== undefined;
