/** @file Complex tensors: their parts, modulus, angle, conjugate. ONNX has no complex numbers, so all of it runs on the host. */

import {
  allocate,
  broadcastShapes,
  type DType,
  fromData,
  type Shape,
  sizeOf,
  type Tensor,
} from "../base/index.ts";
import { absent, attr, defineOp, type Input, type Output, type Spec } from "../graph/index.ts";
import { cconj } from "./kernels/complex.ts";
import { broadcastIndex, broadcastOf, mapUnary } from "./kernels/elementwise.ts";
import { after, apply, constantLike, divNoNan, graphOf, mul, neg, reduceGradients } from "./operators.ts";
import * as pieces from "./pieces.ts";

const noComplex = absent("ONNX has no complex numbers");

const toReal = {
  attrs: {
    T: attr.typeOr("complex64", "complex64", "complex128"),
    Tout: attr.typeOr("float32", "float32", "float64"),
  },
  outputs: { output: "Tout" },
} as const;

const partType = (x: Output): DType => (x.dtype === "complex128" ? "float64" : "float32");
const wholeType = (x: Output): DType => (x.dtype === "float64" ? "complex128" : "complex64");
const shapeOf = (x: Spec): { shape: Shape | null }[] => [{ shape: x.shape }];

/** f(re, im) of every element. */
function realOf(x: Tensor, dtype: DType, f: (re: number, im: number) => number): Tensor[] {
  const from = x.data as Float64Array;
  const data = allocate(dtype, sizeOf(x.shape)) as Float64Array;
  for (let i = 0; i < data.length; i++) data[i] = f(from[2 * i]!, from[2 * i + 1]!);
  return [fromData(dtype, x.shape, data)];
}

/** real + i·imag as an op, of the right output type. */
const join = (re: Output, im: Output): Output =>
  re.graph.add("Complex", [re, im], { attrs: { Tout: wholeType(re) } });

/** Complex numbers of their parts, which broadcast. @see TensorFlow core/ops/math_ops.cc "Complex"; python/ops/math_grad.py "_ComplexGrad" */
export const Complex = defineOp("Complex", {
  inputs: { real: "T", imag: "T" },
  outputs: { out: "Tout" },
  attrs: {
    T: attr.typeOr("float32", "float32", "float64"),
    Tout: attr.typeOr("complex64", "complex64", "complex128"),
  },
  infer: ({ real, imag }) => [{ shape: broadcastShapes(real.shape, imag.shape) }],
  grad: (g, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    const attrs = { Tout: partType(dy!) };
    return reduceGradients(x, y, g.add("Real", [dy!], { attrs }), g.add("Imag", [dy!], { attrs }));
  },
  lower: noComplex,
  host: ({ real, imag }, { Tout }) => {
    const shape = broadcastOf(real, imag);
    const [p, q] = [broadcastIndex(real.shape, shape), broadcastIndex(imag.shape, shape)];
    const data = allocate(Tout, p.length) as Float64Array;
    for (let i = 0; i < p.length; i++) {
      data[2 * i] = real.data[p[i]!] as number;
      data[2 * i + 1] = imag.data[q[i]!] as number;
    }
    return [fromData(Tout, shape, data)];
  },
});

/** re + i·im. Named "Complex". */
export function complex(re: Input, im: Input, name = "Complex"): Output {
  const known = [re, im].find((x) => typeof x === "object" && "op" in x) as Output | undefined;
  const Tout = known?.dtype === "float64" ? "complex128" : "complex64";
  return graphOf(re, im).add(Complex, [re, im], { name, attrs: { Tout } });
}

/** @see TensorFlow core/ops/math_ops.cc "Real"; python/ops/math_grad.py "_RealGrad" */
export const Real = defineOp("Real", {
  ...toReal,
  inputs: { input: "T" },
  infer: ({ input }) => shapeOf(input),
  grad: (_, _op, [dy]) => {
    const zero = constantLike(dy!, 0);
    return [join(dy!, zero)];
  },
  lower: noComplex,
  host: ({ input }, { Tout }) => realOf(input, Tout, (re) => re),
});

/** Real part; a real tensor itself. Named "Real". */
export const real = (x: Output, name = "Real"): Output =>
  x.dtype.startsWith("complex") ? x.graph.add(Real, [x], { name, attrs: { Tout: partType(x) } }) : x;

/** @see TensorFlow core/ops/math_ops.cc "Imag"; python/ops/math_grad.py "_ImagGrad" */
export const Imag = defineOp("Imag", {
  ...toReal,
  inputs: { input: "T" },
  infer: ({ input }) => shapeOf(input),
  grad: (_, _op, [dy]) => {
    const zero = constantLike(dy!, 0);
    return [join(zero, dy!)];
  },
  lower: noComplex,
  host: ({ input }, { Tout }) => realOf(input, Tout, (_, im) => im),
});

/** Imaginary part; zeros for a real tensor. Named "Imag". */
export const imag = (x: Output, name = "Imag"): Output =>
  x.dtype.startsWith("complex")
    ? x.graph.add(Imag, [x], { name, attrs: { Tout: partType(x) } })
    : pieces.zerosLike(x);

/** Complex conjugate. @see TensorFlow core/ops/math_ops.cc "Conj"; python/ops/math_grad.py "_ConjGrad" */
export const Conj = defineOp("Conj", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.typeOr("complex64", "complex64", "complex128", "variant") },
  infer: ({ input }) => shapeOf(input),
  grad: (_, _op, [dy]) => [apply("Conj", dy!)],
  lower: noComplex,
  host: ({ input }) => [mapUnary(input, { complex: cconj })],
});

/** Complex conjugate; a real tensor itself. Named "Conj". */
export const conj = (x: Output, name = "Conj"): Output =>
  x.dtype.startsWith("complex") ? x.graph.add(Conj, [x], { name }) : x;

/** √(re² + im²). @see TensorFlow core/ops/math_ops.cc "ComplexAbs"; python/ops/math_grad.py "_ComplexAbsGrad" */
export const ComplexAbs = defineOp("ComplexAbs", {
  ...toReal,
  inputs: { x: "T" },
  outputs: { y: "Tout" },
  infer: ({ x }) => shapeOf(x),
  grad: (_, op, [dy]) => {
    const scaled = mul(join(dy!, pieces.zerosLike(dy!)), op.inputs[0]!);
    const y = op.output(0);
    return [divNoNan(scaled, join(y, pieces.zerosLike(y)))];
  },
  lower: noComplex,
  host: ({ x }, { Tout }) => realOf(x, Tout, Math.hypot),
});

/** arctan2(im, re). @see TensorFlow core/ops/math_ops.cc "Angle"; python/ops/math_grad.py "_AngleGrad" */
export const Angle = defineOp("Angle", {
  ...toReal,
  inputs: { input: "T" },
  infer: ({ input }) => shapeOf(input),
  grad: (g, op, [dy]) =>
    after(dy!, () => {
      const x = op.inputs[0]!;
      const attrs = { Tout: partType(x) };
      const re = g.add("Real", [x], { attrs });
      const im = g.add("Imag", [x], { attrs });
      const z = apply("Reciprocal", join(im, re));
      const whole = join(dy!, constantLike(dy!, 0));
      return [mul(neg(whole), z)];
    }),
  lower: noComplex,
  host: ({ input }, { Tout }) => realOf(input, Tout, (re, im) => Math.atan2(im, re)),
});

/** Angle of complex numbers. Named "Angle". */
export const angle = (x: Output, name = "Angle"): Output =>
  x.graph.add(Angle, [x], { name, attrs: { Tout: partType(x) } });
