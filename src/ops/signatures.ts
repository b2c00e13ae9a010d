/** @file Signatures and shape functions that elementwise ops share, and the dtypes that ONNX Runtime's CPU kernels take. Start at `unary`. */

import { broadcastShapes, type DType, mergeShapes, type Tensor } from "../base/index.ts";
import { type AttrSpec, attr, type Inferred, type Onnx, type OnnxValue, type Spec } from "../graph/index.ts";
import { type BinaryKernel, mapBinary, mapUnary, type UnaryKernel } from "./kernels/elementwise.ts";

export const FLOATS = ["bfloat16", "float16", "float32", "float64"] as const;
export const COMPLEX = ["complex64", "complex128"] as const;
export const INTS = ["int8", "int16", "int32", "int64"] as const;
export const UINTS = ["uint8", "uint16", "uint32", "uint64"] as const;
/** TensorFlow's realnumbertype. */
export const REAL_TYPES = [...FLOATS, ...INTS, ...UINTS] as const;
export const QUANTIZED = ["qint8", "quint8", "qint32", "qint16", "quint16"] as const;
/** TensorFlow's numbertype, in its order. */
export const NUMBER_TYPES: DType[] = [
  "float32",
  "float64",
  "int32",
  "uint8",
  "int16",
  "int8",
  "complex64",
  "int64",
  "qint8",
  "quint8",
  "qint32",
  "bfloat16",
  "qint16",
  "quint16",
  "uint16",
  "complex128",
  "float16",
  "uint32",
  "uint64",
];

type TypeAttrs = { readonly T: AttrSpec<DType> };
const typeAttrs = (dtypes: readonly DType[]): TypeAttrs => ({ T: attr.type(...dtypes) });

/** y of the shape and dtype of x. */
export const unary = (...dtypes: readonly DType[]) => ({
  inputs: { x: "T" } as const,
  outputs: { y: "T" } as const,
  attrs: typeAttrs(dtypes),
  infer: ({ x }: { readonly x: Spec }): readonly Inferred[] => [{ shape: x.shape }],
});

/** z of x and y, which broadcast. */
export const binary = (...dtypes: readonly DType[]) => ({
  inputs: { x: "T", y: "T" } as const,
  outputs: { z: "T" } as const,
  attrs: typeAttrs(dtypes),
  infer: broadcasting,
});

export const broadcasting = ({ x, y }: { readonly x: Spec; readonly y: Spec }): readonly Inferred[] => [
  { shape: broadcastShapes(x.shape, y.shape) },
];

/** Gradient op of y = f(x) that needs y (or 1/y) and dy alone, of one shape. */
export const outputGrad = (...dtypes: readonly DType[]) => ({
  inputs: { y: "T", dy: "T" } as const,
  outputs: { z: "T" } as const,
  attrs: typeAttrs(dtypes),
  infer: ({ y }: { readonly y: Spec }): readonly Inferred[] => [{ shape: y.shape }],
});

/** Both inputs have the output's shape. */
export const merged = (a: Spec, b: Spec): readonly Inferred[] => [{ shape: mergeShapes(a.shape, b.shape) }];

type Lowers = (attrs: { readonly T: DType }) => boolean;
const oneOf =
  (...dtypes: readonly DType[]): Lowers =>
  ({ T }) =>
    dtypes.includes(T);

/**
 * Dtypes that ONNX Runtime 1.30's CPU kernels take (float16 by casts that it inserts itself), found by loading one node of each.
 */
export const ort = {
  /** Tan, Asin, ..., Erf, Elu, Softplus, ... have float32 kernels only */
  float: oneOf("float32", "float16"),
  /** Exp, Log, Sqrt, Sin, Tanh, Sigmoid, Floor, ... */
  floats: oneOf("float32", "float64", "float16"),
  /** Neg, Sign */
  signed: oneOf("float32", "float64", "float16", "int8", "int16", "int32", "int64"),
  /** Add, Sub, Mul, Abs, comparisons */
  numbers: oneOf(
    "float32",
    "float64",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
  ),
  /** Max, Min */
  ordered: oneOf("float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint32", "uint64"),
  /** BitwiseAnd, ... */
  ints: oneOf("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
} as const;

/** One ONNX node of the same meaning. */
export const lowerUnary =
  (type: string) =>
  (onnx: Onnx, { x }: { readonly x: OnnxValue }): readonly OnnxValue[] => [onnx.map(type, [x])];

export const lowerBinary =
  (type: string) =>
  (onnx: Onnx, { x, y }: { readonly x: OnnxValue; readonly y: OnnxValue }): readonly OnnxValue[] => [
    onnx.map(type, [x, y]),
  ];

export const hostUnary =
  (kernel: UnaryKernel) =>
  ({ x }: { readonly x: Tensor }): readonly Tensor[] => [mapUnary(x, kernel)];

export const hostBinary =
  (kernel: BinaryKernel) =>
  ({ x, y }: { readonly x: Tensor; readonly y: Tensor }): readonly Tensor[] => [mapBinary(x, y, kernel)];

/** `ifTrue` where the condition holds, else `ifFalse`: in the layout of the inputs. */
export const where = (onnx: Onnx, condition: OnnxValue, ifTrue: OnnxValue, ifFalse: OnnxValue): OnnxValue =>
  onnx.map("Where", [condition, ifTrue, ifFalse], {}, { dtype: ifFalse.dtype });

/** A comparison: bool. */
export const test = (onnx: Onnx, type: string, ...inputs: readonly OnnxValue[]): OnnxValue =>
  onnx.map(type, inputs, {}, { dtype: "bool" });

/**
 * ln(1 + x), exact near 0: with u = 1 + x rounded, ln(u) · x / (u - 1). x itself where u is 1, and for ∞.
 *
 * @see Kahan; Higham, Accuracy and Stability of Numerical Algorithms, section 1.14.1
 */
export function log1p(onnx: Onnx, x: OnnxValue): OnnxValue {
  const one = onnx.scalar(1, x.dtype);
  const u = onnx.map("Add", [x, one]);
  const d = onnx.map("Sub", [u, one]);
  const log = onnx.map("Mul", [onnx.map("Log", [u]), onnx.map("Div", [x, d])]);
  const same = test(onnx, "Equal", d, onnx.scalar(0, x.dtype));
  const infinite = test(onnx, "Equal", d, onnx.scalar(Number.POSITIVE_INFINITY, x.dtype));
  return where(onnx, test(onnx, "Or", same, infinite), x, log);
}
