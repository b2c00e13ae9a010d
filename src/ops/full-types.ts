/** @file TensorFlow's full types of variants, which stand in NodeDefs. Start at `arrayOf`. @see TensorFlow core/framework/full_type.proto */

import type { DType } from "../base/index.ts";
import type { FullType } from "../graph/index.ts";

/** FullTypeId of a dtype */
const IDS: Partial<Record<DType, number>> = {
  bool: 200,
  uint8: 201,
  uint16: 202,
  uint32: 203,
  uint64: 204,
  int8: 205,
  int16: 206,
  int32: 207,
  int64: 208,
  float16: 209,
  float32: 210,
  float64: 211,
  complex64: 212,
  complex128: 213,
  string: 214,
  bfloat16: 215,
  variant: 10203,
};

const TFT_PRODUCT = 3;
const TFT_TENSOR = 1000;
const TFT_ARRAY = 1001;
const TFT_OPTIONAL = 1002;

const tensorOf = (dtype: DType): FullType => ({
  id: TFT_TENSOR,
  args: [{ id: IDS[dtype] ?? 0, args: [] }],
});

/** A list of tensors. */
export const arrayOf = (dtype: DType): FullType => ({ id: TFT_ARRAY, args: [tensorOf(dtype)] });

/** A tuple of tensors that may be missing. */
export const optionalOf = (dtypes: readonly DType[]): FullType => ({
  id: TFT_OPTIONAL,
  args: [{ id: TFT_PRODUCT, args: dtypes.map(tensorOf) }],
});
