/** @file Every dtype that a TensorFlow file can hold: names, DataType numbers, storage. Start at `DTYPES`. */

import { VarscopeError } from "./errors.ts";

interface DTypeFacts {
  /** number in DataType. @see TensorFlow core/framework/types.proto */
  readonly code: number;
  /** enum name without DT_ */
  readonly proto: string;
  /** bytes per element as stored; 0: not fixed */
  readonly bytes: number;
  readonly kind: "float" | "int" | "uint" | "bool" | "string" | "complex" | "other";
}

const fact = (code: number, proto: string, bytes: number, kind: DTypeFacts["kind"]): DTypeFacts => ({
  code,
  proto,
  bytes,
  kind,
});

/** All dtypes by TensorFlow's name. int4, uint4, int2, uint2 and float8 take one byte an element. */
export const DTYPES = {
  invalid: fact(0, "INVALID", 0, "other"),
  float32: fact(1, "FLOAT", 4, "float"),
  float64: fact(2, "DOUBLE", 8, "float"),
  int32: fact(3, "INT32", 4, "int"),
  uint8: fact(4, "UINT8", 1, "uint"),
  int16: fact(5, "INT16", 2, "int"),
  int8: fact(6, "INT8", 1, "int"),
  string: fact(7, "STRING", 0, "string"),
  complex64: fact(8, "COMPLEX64", 8, "complex"),
  int64: fact(9, "INT64", 8, "int"),
  bool: fact(10, "BOOL", 1, "bool"),
  qint8: fact(11, "QINT8", 1, "int"),
  quint8: fact(12, "QUINT8", 1, "uint"),
  qint32: fact(13, "QINT32", 4, "int"),
  bfloat16: fact(14, "BFLOAT16", 2, "float"),
  qint16: fact(15, "QINT16", 2, "int"),
  quint16: fact(16, "QUINT16", 2, "uint"),
  uint16: fact(17, "UINT16", 2, "uint"),
  complex128: fact(18, "COMPLEX128", 16, "complex"),
  float16: fact(19, "HALF", 2, "float"),
  resource: fact(20, "RESOURCE", 0, "other"),
  variant: fact(21, "VARIANT", 0, "other"),
  uint32: fact(22, "UINT32", 4, "uint"),
  uint64: fact(23, "UINT64", 8, "uint"),
  float8_e5m2: fact(24, "FLOAT8_E5M2", 1, "float"),
  float8_e4m3fn: fact(25, "FLOAT8_E4M3FN", 1, "float"),
  float8_e4m3fnuz: fact(26, "FLOAT8_E4M3FNUZ", 1, "float"),
  float8_e4m3b11fnuz: fact(27, "FLOAT8_E4M3B11FNUZ", 1, "float"),
  float8_e5m2fnuz: fact(28, "FLOAT8_E5M2FNUZ", 1, "float"),
  int4: fact(29, "INT4", 1, "int"),
  uint4: fact(30, "UINT4", 1, "uint"),
  int2: fact(31, "INT2", 1, "int"),
  uint2: fact(32, "UINT2", 1, "uint"),
} as const satisfies Record<string, DTypeFacts>;

/** A dtype by TensorFlow's Python name. */
export type DType = keyof typeof DTYPES;

const BY_CODE = new Map(Object.entries(DTYPES).map(([name, f]) => [f.code, name as DType]));
const BY_PROTO = new Map(Object.entries(DTYPES).map(([name, f]) => [f.proto, name as DType]));

/** Reference dtypes have the number of their base plus this. @see core/framework/types.h kDataTypeRefOffset */
export const REF_OFFSET = 100;

/** Dtype of a DataType number, references by their base. @throws VarscopeError UNIMPLEMENTED - unknown number */
export function dtypeFromCode(code: number, at?: string): DType {
  const dtype = BY_CODE.get(code > REF_OFFSET ? code - REF_OFFSET : code);
  if (dtype === undefined) {
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `dtype number ${code} is not known`,
      at === undefined ? {} : { at },
    );
  }
  return dtype;
}

/** Dtype of `DT_FLOAT`, `DT_FLOAT_REF`; undefined where unknown. */
export const dtypeFromProto = (name: string): DType | undefined =>
  BY_PROTO.get(name.replace(/^DT_/, "").replace(/_REF$/, ""));

/** `DT_FLOAT` of `float32`. */
export const dtypeToProto = (dtype: DType): string => `DT_${DTYPES[dtype].proto}`;

/** TensorFlow's C++ name, as its error messages print it: `float`, `double`, `half`. */
export function dtypeCppName(dtype: DType): string {
  const short: Partial<Record<DType, string>> = { float32: "float", float64: "double", float16: "half" };
  return short[dtype] ?? dtype;
}

/** A dtype as Python shows it; of a reference variable with `_ref`. */
export const formatPyDType = (dtype: DType, isRef = false): string =>
  `<dtype: '${dtype}${isRef ? "_ref" : ""}'>`;

export const isDType = (name: string): name is DType => Object.hasOwn(DTYPES, name);
export const isFloat = (dtype: DType): boolean => DTYPES[dtype].kind === "float";
export const isComplex = (dtype: DType): boolean => DTYPES[dtype].kind === "complex";
export const isInteger = (dtype: DType): boolean => ["int", "uint"].includes(DTYPES[dtype].kind);
/** int64 and uint64 elements are bigint. */
export const isBigInt = (dtype: DType): boolean => dtype === "int64" || dtype === "uint64";
