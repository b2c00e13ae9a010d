/**
 * @file Names of the enum fields that our schemas declare as int32. Values are TensorFlow's; DataType stands in
 * base/dtype.ts. Start at `ENUM_FIELDS`.
 */

import { DTYPES, REF_OFFSET } from "../base/index.ts";

/** Number of each name of an enum. */
export type EnumNames = Readonly<Record<string, number>>;

const dataTypes = Object.values(DTYPES).map((f) => [`DT_${f.proto}`, f.code] as const);

/** @see TensorFlow core/framework/types.proto */
export const DATA_TYPE: EnumNames = Object.fromEntries([
  ...dataTypes,
  ...dataTypes
    .filter(([, code]) => code > 0)
    .map(([name, code]) => [`${name}_REF`, code + REF_OFFSET] as const),
]);

/** @see TensorFlow core/framework/full_type.proto */
export const FULL_TYPE_ID: EnumNames = {
  TFT_UNSET: 0,
  TFT_VAR: 1,
  TFT_ANY: 2,
  TFT_PRODUCT: 3,
  TFT_NAMED: 4,
  TFT_FOR_EACH: 20,
  TFT_CALLABLE: 100,
  TFT_TENSOR: 1000,
  TFT_ARRAY: 1001,
  TFT_OPTIONAL: 1002,
  TFT_LITERAL: 1003,
  TFT_ENCODED: 1004,
  TFT_SHAPE_TENSOR: 1005,
  TFT_BOOL: 200,
  TFT_UINT8: 201,
  TFT_UINT16: 202,
  TFT_UINT32: 203,
  TFT_UINT64: 204,
  TFT_INT8: 205,
  TFT_INT16: 206,
  TFT_INT32: 207,
  TFT_INT64: 208,
  TFT_HALF: 209,
  TFT_FLOAT: 210,
  TFT_DOUBLE: 211,
  TFT_BFLOAT16: 215,
  TFT_COMPLEX64: 212,
  TFT_COMPLEX128: 213,
  TFT_STRING: 214,
  TFT_DATASET: 10102,
  TFT_RAGGED: 10103,
  TFT_ITERATOR: 10104,
  TFT_MUTEX_LOCK: 10202,
  TFT_LEGACY_VARIANT: 10203,
};

/** @see TensorFlow core/framework/variable.proto */
export const VARIABLE_SYNCHRONIZATION: EnumNames = {
  VARIABLE_SYNCHRONIZATION_AUTO: 0,
  VARIABLE_SYNCHRONIZATION_NONE: 1,
  VARIABLE_SYNCHRONIZATION_ON_WRITE: 2,
  VARIABLE_SYNCHRONIZATION_ON_READ: 3,
};

/** @see TensorFlow core/framework/variable.proto */
export const VARIABLE_AGGREGATION: EnumNames = {
  VARIABLE_AGGREGATION_NONE: 0,
  VARIABLE_AGGREGATION_SUM: 1,
  VARIABLE_AGGREGATION_MEAN: 2,
  VARIABLE_AGGREGATION_ONLY_FIRST_REPLICA: 3,
};

/** @see TensorFlow core/protobuf/saver.proto */
export const CHECKPOINT_FORMAT_VERSION: EnumNames = { LEGACY: 0, V1: 1, V2: 2 };

/** @see TensorFlow core/protobuf/tensor_bundle.proto */
export const ENDIANNESS: EnumNames = { LITTLE: 0, BIG: 1 };

/** Enum of each int32 field that is one, by message type and field name: for text format. */
export const ENUM_FIELDS: Readonly<Record<string, EnumNames>> = {
  "tensorflow.TensorProto.dtype": DATA_TYPE,
  "tensorflow.ResourceHandleProto.DtypeAndShape.dtype": DATA_TYPE,
  "tensorflow.AttrValue.type": DATA_TYPE,
  "tensorflow.AttrValue.ListValue.type": DATA_TYPE,
  "tensorflow.FullTypeDef.type_id": FULL_TYPE_ID,
  "tensorflow.OpDef.ArgDef.type": DATA_TYPE,
  "tensorflow.TensorInfo.dtype": DATA_TYPE,
  "tensorflow.SaverDef.version": CHECKPOINT_FORMAT_VERSION,
  "tensorflow.VariableDef.synchronization": VARIABLE_SYNCHRONIZATION,
  "tensorflow.VariableDef.aggregation": VARIABLE_AGGREGATION,
  "tensorflow.BundleHeaderProto.endianness": ENDIANNESS,
  "tensorflow.BundleEntryProto.dtype": DATA_TYPE,
};
