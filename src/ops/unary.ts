/** @file Sign, roots, powers, exponentials and logarithms of one tensor, and the ops of their gradients. */

import { defineOp, type Onnx, type OnnxValue, type Output } from "../graph/index.ts";
import {
  cconj,
  cdiv,
  cexp,
  cexpm1,
  clog,
  clog1p,
  cmul,
  cneg,
  creciprocal,
  cscale,
  csign,
  csqrt,
} from "./kernels/complex.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import { quotient } from "./kernels/integer.ts";
import { after, apply, conj, constantLike, mul, neg, truediv } from "./operators.ts";
import * as pieces from "./pieces.ts";
import {
  COMPLEX,
  FLOATS,
  hostUnary,
  INTS,
  log1p as lowerLog1p,
  lowerUnary,
  ort,
  outputGrad,
  UINTS,
  unary,
} from "./signatures.ts";

const SIGNED = [...FLOATS, ...INTS, ...COMPLEX] as const;
const SMOOTH = [...FLOATS, ...COMPLEX] as const;

/** -x. @see TensorFlow core/ops/math_ops.cc "Neg"; python/ops/math_grad.py "_NegGrad" */
export const Neg = defineOp("Neg", {
  ...unary(...SIGNED),
  grad: (_, _op, [dy]) => [neg(dy!)],
  lower: lowerUnary("Neg"),
  lowers: ort.signed,
  host: hostUnary({ float: (x) => -x, int: (x) => -x, big: (x) => -x, complex: cneg }),
});

/** -x. Named "Neg". */
export const negative = (x: Output, name = "Neg"): Output => x.graph.add(Neg, [x], { name });

/** |x|; the lowest integer stays itself. @see TensorFlow core/ops/math_ops.cc "Abs" */
export const Abs = defineOp("Abs", {
  ...unary(...FLOATS, ...INTS),
  grad: (_, op, [dy]) => [mul(dy!, apply("Sign", op.inputs[0]!))],
  lower: lowerUnary("Abs"),
  lowers: ort.numbers,
  host: hostUnary({ float: Math.abs, int: Math.abs, big: (x) => (x < 0n ? -x : x) }),
});

/** |x|, of a complex tensor the modulus. Named "Abs". */
export const abs = (x: Output, name = "Abs"): Output =>
  x.dtype === "complex64" || x.dtype === "complex128"
    ? x.graph.add("ComplexAbs", [x], {
        name,
        attrs: { Tout: x.dtype === "complex64" ? "float32" : "float64" },
      })
    : x.graph.add(Abs, [x], { name });

/** -1, 0 or 1; NaN for NaN; x / |x| of complex x. @see TensorFlow core/ops/math_ops.cc "Sign" */
export const Sign = defineOp("Sign", {
  ...unary(...SIGNED),
  grad: (_, op) => [pieces.zerosLike(op.inputs[0]!)],
  lower: lowerUnary("Sign"),
  lowers: ort.signed,
  host: hostUnary({
    float: Math.sign,
    int: Math.sign,
    big: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
    complex: csign,
  }),
});

/** -1, 0 or 1. Named "Sign". */
export const sign = (x: Output, name = "Sign"): Output => x.graph.add(Sign, [x], { name });

const reciprocals = { float: (x: number) => 1 / x, int: (x: number) => quotient(1, x), complex: creciprocal };
const bigReciprocal = (x: bigint): bigint => 1n / x;

/** 1 / x. @see TensorFlow core/ops/math_ops.cc "Reciprocal"; python/ops/math_grad.py "_ReciprocalGrad" */
export const Reciprocal = defineOp("Reciprocal", {
  ...unary(...SIGNED),
  grad: (_, op, [dy]) => [apply("ReciprocalGrad", op.output(0), dy!)],
  lower: lowerUnary("Reciprocal"),
  lowers: ort.floats,
  host: hostUnary({ ...reciprocals, big: bigReciprocal }),
});

/** 1 / x. Named "Reciprocal". */
export const reciprocal = (x: Output, name = "Reciprocal"): Output => x.graph.add(Reciprocal, [x], { name });

/** 1 / x. @see TensorFlow core/ops/math_ops.cc "Inv"; its gradient is a ReciprocalGrad */
export const Inv = defineOp("Inv", {
  ...unary(...SIGNED),
  grad: (_, op, [dy]) => [apply("ReciprocalGrad", op.output(0), dy!)],
  lower: lowerUnary("Reciprocal"),
  lowers: ort.floats,
  host: hostUnary({ ...reciprocals, big: bigReciprocal }),
});

/** -dy · y², y = 1 / x */
const reciprocalGrad = {
  ...outputGrad(...SMOOTH),
  grad: (_: unknown, op: { readonly inputs: readonly Output[] }, dys: readonly Output[]) =>
    after(dys[0]!, () => {
      const b = op.inputs[1]!;
      const ca = conj(op.inputs[0]!);
      const cg = conj(dys[0]!);
      const ga = mul(mul(mul(cg, -2), b), ca);
      return [ga, apply("ReciprocalGrad", ca, dys[0]!)];
    }),
  lower: (onnx: Onnx, { y, dy }: { readonly y: OnnxValue; readonly dy: OnnxValue }) => [
    onnx.map("Neg", [onnx.map("Mul", [dy, onnx.map("Mul", [y, y])])]),
  ],
  lowers: ort.floats,
} as const;
const reciprocalSlopes = {
  float: (y: number, dy: number) => -dy * y * y,
  complex: (y: readonly [number, number], dy: readonly [number, number]) =>
    cneg(cmul(dy, cmul(cconj(y), cconj(y)))),
};

/** @see TensorFlow core/ops/math_ops.cc "ReciprocalGrad"; python/ops/math_grad.py "_ReciprocalGradGrad" */
export const ReciprocalGrad = defineOp("ReciprocalGrad", {
  ...reciprocalGrad,
  host: ({ y, dy }) => [mapBinary(y, dy, reciprocalSlopes)],
});

/** @see TensorFlow core/ops/math_ops.cc "InvGrad" */
export const InvGrad = defineOp("InvGrad", {
  ...reciprocalGrad,
  host: ({ y, dy }) => [mapBinary(y, dy, reciprocalSlopes)],
});

/** x². @see TensorFlow core/ops/math_ops.cc "Square"; python/ops/math_grad.py "_SquareGrad" */
export const Square = defineOp("Square", {
  ...unary(...FLOATS, ...INTS, ...UINTS, ...COMPLEX),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const x = conj(op.inputs[0]!);
      return [apply("Mul", dy!, apply("Mul", x, constantLike(x, 2)))];
    }),
  lower: (onnx, { x }) => [onnx.map("Mul", [x, x])],
  lowers: ort.numbers,
  host: hostUnary({
    float: (x) => x * x,
    int: (x) => Math.imul(x, x),
    big: (x) => x * x,
    complex: (x) => cmul(x, x),
  }),
});

/** x². Named "Square". */
export const square = (x: Output, name = "Square"): Output => x.graph.add(Square, [x], { name });

/** √x. @see TensorFlow core/ops/math_ops.cc "Sqrt"; python/ops/math_grad.py "_SqrtGrad" */
export const Sqrt = defineOp("Sqrt", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => [apply("SqrtGrad", op.output(0), dy!)],
  lower: lowerUnary("Sqrt"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.sqrt, complex: csqrt }),
});

/** √x. Named "Sqrt". */
export const sqrt = (x: Output, name = "Sqrt"): Output => x.graph.add(Sqrt, [x], { name });

/** dy / (2y), y = √x. @see TensorFlow core/ops/math_ops.cc "SqrtGrad"; python/ops/math_grad.py "_SqrtGradGrad" */
export const SqrtGrad = defineOp("SqrtGrad", {
  ...outputGrad(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const ga = truediv(dy!, op.inputs[0]!);
      const gy = mul(neg(conj(ga)), op.output(0));
      return [gy, ga.graph.add("Mul", [0.5, ga], { name: "mul" })];
    }),
  lower: (onnx, { y, dy }) => [onnx.map("Div", [onnx.map("Mul", [dy, onnx.scalar(0.5, dy.dtype)]), y])],
  lowers: ort.floats,
  host: ({ y, dy }) => [
    mapBinary(y, dy, { float: (a, b) => (b * 0.5) / a, complex: (a, b) => cdiv(cscale(b, 0.5), cconj(a)) }),
  ],
});

/** 1/√x. @see TensorFlow core/ops/math_ops.cc "Rsqrt"; python/ops/math_grad.py "_RsqrtGrad" */
export const Rsqrt = defineOp("Rsqrt", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => [apply("RsqrtGrad", op.output(0), dy!)],
  lower: (onnx, { x }) => [onnx.map("Reciprocal", [onnx.map("Sqrt", [x])])],
  lowers: ort.floats,
  host: hostUnary({ float: (x) => 1 / Math.sqrt(x), complex: (x) => creciprocal(csqrt(x)) }),
});

/** 1/√x. Named "Rsqrt". */
export const rsqrt = (x: Output, name = "Rsqrt"): Output => x.graph.add(Rsqrt, [x], { name });

/** -dy · y³ / 2, y = 1/√x. @see TensorFlow core/ops/math_ops.cc "RsqrtGrad"; python/ops/math_grad.py "_RsqrtGradGrad" */
export const RsqrtGrad = defineOp("RsqrtGrad", {
  ...outputGrad(...SMOOTH),
  grad: (g, op, [dy]) =>
    after(dy!, () => {
      const [a, b] = op.inputs as [Output, Output];
      const ca = conj(a);
      const cg = conj(dy!);
      const scaled = mul(g.add("Mul", [-1.5, cg], { name: "mul" }), b);
      return [mul(scaled, apply("Square", ca)), apply("RsqrtGrad", ca, dy!)];
    }),
  lower: (onnx, { y, dy }) => {
    const cube = onnx.map("Mul", [onnx.map("Mul", [y, y]), y]);
    return [onnx.map("Mul", [onnx.map("Mul", [dy, onnx.scalar(-0.5, dy.dtype)]), cube])];
  },
  lowers: ort.floats,
  host: ({ y, dy }) => [
    mapBinary(y, dy, {
      float: (a, b) => -0.5 * b * a * a * a,
      complex: (a, b) => cmul(cscale(b, -0.5), cmul(cconj(a), cmul(cconj(a), cconj(a)))),
    }),
  ],
});

/** eˣ. @see TensorFlow core/ops/math_ops.cc "Exp"; python/ops/math_grad.py "_ExpGrad" */
export const Exp = defineOp("Exp", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, conj(op.output(0)))]),
  lower: lowerUnary("Exp"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.exp, complex: cexp }),
});

/** eˣ. Named "Exp". */
export const exp = (x: Output, name = "Exp"): Output => x.graph.add(Exp, [x], { name });

/** eˣ - 1. @see TensorFlow core/ops/math_ops.cc "Expm1"; python/ops/math_grad.py "_Expm1Grad" */
export const Expm1 = defineOp("Expm1", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Exp", conj(op.inputs[0]!)))]),
  // (eˣ + 1) tanh(x/2), which does not cancel near 0 as eˣ - 1 does
  lower: (onnx, { x }) => {
    const tanh = onnx.map("Tanh", [onnx.map("Mul", [x, onnx.scalar(0.5, x.dtype)])]);
    return [onnx.map("Mul", [tanh, onnx.map("Add", [onnx.map("Exp", [x]), onnx.scalar(1, x.dtype)])])];
  },
  lowers: ort.floats,
  host: hostUnary({ float: Math.expm1, complex: cexpm1 }),
});

/** eˣ - 1. Named "Expm1". */
export const expm1 = (x: Output, name = "Expm1"): Output => x.graph.add(Expm1, [x], { name });

/** ln x. @see TensorFlow core/ops/math_ops.cc "Log"; python/ops/math_grad.py "_LogGrad" */
export const Log = defineOp("Log", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Reciprocal", conj(op.inputs[0]!)))]),
  lower: lowerUnary("Log"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.log, complex: clog }),
});

/** ln x. Named "Log". */
export const log = (x: Output, name = "Log"): Output => x.graph.add(Log, [x], { name });

/** ln(1 + x). @see TensorFlow core/ops/math_ops.cc "Log1p"; python/ops/math_grad.py "_Log1pGrad" */
export const Log1p = defineOp("Log1p", {
  ...unary(...SMOOTH),
  grad: (g, op, [dy]) =>
    after(dy!, () => {
      const sum = g.add("AddV2", [1, conj(op.inputs[0]!)], { name: "add" });
      return [mul(dy!, apply("Reciprocal", sum))];
    }),
  lower: (onnx, { x }) => [lowerLog1p(onnx, x)],
  lowers: ort.floats,
  host: hostUnary({ float: Math.log1p, complex: clog1p }),
});

/** ln(1 + x). Named "Log1p". */
export const log1p = (x: Output, name = "Log1p"): Output => x.graph.add(Log1p, [x], { name });
