/** @file Circular and hyperbolic functions, their inverses, tanh and sigmoid with the ops of their gradients. */

import { absent, defineOp, type Input, type Output } from "../graph/index.ts";
import {
  cacos,
  cacosh,
  casin,
  casinh,
  catan,
  catanh,
  ccos,
  ccosh,
  cmul,
  csigmoid,
  csin,
  csinh,
  csub,
  ctan,
  ctanh,
} from "./kernels/complex.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import {
  add,
  after,
  apply,
  conj,
  constantLike,
  graphOf,
  mul,
  neg,
  reduceGradients,
  sub,
  truediv,
} from "./operators.ts";
import {
  binary,
  COMPLEX,
  FLOATS,
  hostBinary,
  hostUnary,
  lowerUnary,
  ort,
  outputGrad,
  unary,
} from "./signatures.ts";

const SMOOTH = [...FLOATS, ...COMPLEX] as const;

/** sin x. @see TensorFlow core/ops/math_ops.cc "Sin"; python/ops/math_grad.py "_SinGrad" */
export const Sin = defineOp("Sin", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Cos", conj(op.inputs[0]!)))]),
  lower: lowerUnary("Sin"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.sin, complex: csin }),
});

/** sin x. Named "Sin". */
export const sin = (x: Output, name = "Sin"): Output => x.graph.add(Sin, [x], { name });

/** cos x. @see TensorFlow core/ops/math_ops.cc "Cos"; python/ops/math_grad.py "_CosGrad" */
export const Cos = defineOp("Cos", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const x = conj(op.inputs[0]!);
      return [mul(neg(dy!), apply("Sin", x))];
    }),
  lower: lowerUnary("Cos"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.cos, complex: ccos }),
});

/** cos x. Named "Cos". */
export const cos = (x: Output, name = "Cos"): Output => x.graph.add(Cos, [x], { name });

/** tan x. @see TensorFlow core/ops/math_ops.cc "Tan"; python/ops/math_grad.py "_TanGrad" */
export const Tan = defineOp("Tan", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const sec = apply("Reciprocal", apply("Cos", conj(op.inputs[0]!)));
      return [mul(apply("Square", sec), dy!)];
    }),
  lower: lowerUnary("Tan"),
  lowers: ort.float,
  host: hostUnary({ float: Math.tan, complex: ctan }),
});

/** tan x. Named "Tan". */
export const tan = (x: Output, name = "Tan"): Output => x.graph.add(Tan, [x], { name });

/** 1/√(1 - x²). */
function slopeOfArcsine(x: Output, dy: Output): Output {
  const squared = apply("Square", x);
  const one = constantLike(dy, 1);
  return apply("Reciprocal", apply("Sqrt", apply("Sub", one, squared)));
}

/** arcsin x. @see TensorFlow core/ops/math_ops.cc "Asin"; python/ops/math_grad.py "_AsinGrad" */
export const Asin = defineOp("Asin", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, slopeOfArcsine(conj(op.inputs[0]!), dy!))]),
  lower: lowerUnary("Asin"),
  lowers: ort.float,
  host: hostUnary({ float: Math.asin, complex: casin }),
});

/** arcsin x. Named "Asin". */
export const asin = (x: Output, name = "Asin"): Output => x.graph.add(Asin, [x], { name });

/** arccos x. @see TensorFlow core/ops/math_ops.cc "Acos"; python/ops/math_grad.py "_AcosGrad" */
export const Acos = defineOp("Acos", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const slope = slopeOfArcsine(conj(op.inputs[0]!), dy!);
      return [mul(neg(dy!), slope)];
    }),
  lower: lowerUnary("Acos"),
  lowers: ort.float,
  host: hostUnary({ float: Math.acos, complex: cacos }),
});

/** arccos x. Named "Acos". */
export const acos = (x: Output, name = "Acos"): Output => x.graph.add(Acos, [x], { name });

/** arctan x. @see TensorFlow core/ops/math_ops.cc "Atan"; python/ops/math_grad.py "_AtanGrad" */
export const Atan = defineOp("Atan", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const squared = apply("Square", conj(op.inputs[0]!));
      const one = constantLike(dy!, 1);
      return [mul(dy!, apply("Reciprocal", one.graph.add("AddV2", [one, squared], { name: "Add" })))];
    }),
  lower: lowerUnary("Atan"),
  lowers: ort.float,
  host: hostUnary({ float: Math.atan, complex: catan }),
});

/** arctan x. Named "Atan". */
export const atan = (x: Output, name = "Atan"): Output => x.graph.add(Atan, [x], { name });

/** Angle of the point (x, y). @see TensorFlow core/ops/math_ops.cc "Atan2"; python/ops/math_grad.py "_Atan2Grad" */
export const Atan2 = defineOp("Atan2", {
  ...binary(...FLOATS),
  inputs: { y: "T", x: "T" },
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const [y, x] = op.inputs as [Output, Output];
      const squares = [apply("Square", y), apply("Square", x)] as const;
      const scaled = truediv(dy!, add(...squares));
      const gy = mul(x, scaled);
      return reduceGradients(y, x, gy, mul(neg(y), scaled));
    }),
  lower: absent(
    "ONNX has no Atan2, and the arctangent of the quotient loses the signs of zeros and infinities",
  ),
  host: ({ y, x }) => hostBinary({ float: Math.atan2 })({ x: y, y: x }),
});

/** Angle of the point (x, y). Named "Atan2". */
export const atan2 = (y: Input, x: Input, name = "Atan2"): Output =>
  graphOf(y, x).add(Atan2, [y, x], { name });

/** sinh x. @see TensorFlow core/ops/math_ops.cc "Sinh"; python/ops/math_grad.py "_SinhGrad" */
export const Sinh = defineOp("Sinh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Cosh", conj(op.inputs[0]!)))]),
  lower: lowerUnary("Sinh"),
  lowers: ort.float,
  host: hostUnary({ float: Math.sinh, complex: csinh }),
});

/** sinh x. Named "Sinh". */
export const sinh = (x: Output, name = "Sinh"): Output => x.graph.add(Sinh, [x], { name });

/** cosh x. @see TensorFlow core/ops/math_ops.cc "Cosh"; python/ops/math_grad.py "_CoshGrad" */
export const Cosh = defineOp("Cosh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Sinh", conj(op.inputs[0]!)))]),
  lower: lowerUnary("Cosh"),
  lowers: ort.float,
  host: hostUnary({ float: Math.cosh, complex: ccosh }),
});

/** cosh x. Named "Cosh". */
export const cosh = (x: Output, name = "Cosh"): Output => x.graph.add(Cosh, [x], { name });

/** tanh x. @see TensorFlow core/ops/math_ops.cc "Tanh"; python/ops/math_grad.py "_TanhGrad" */
export const Tanh = defineOp("Tanh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [apply("TanhGrad", conj(op.output(0)), dy!)]),
  lower: lowerUnary("Tanh"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.tanh, complex: ctanh }),
});

/** tanh x. Named "Tanh". */
export const tanh = (x: Output, name = "Tanh"): Output => x.graph.add(Tanh, [x], { name });

/** dy · (1 - y²), y = tanh x. @see TensorFlow core/ops/math_ops.cc "TanhGrad"; python/ops/math_grad.py "_TanhGradGrad" */
export const TanhGrad = defineOp("TanhGrad", {
  ...outputGrad(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const a = conj(op.inputs[0]!);
      const b = conj(op.inputs[1]!);
      const ga = mul(mul(mul(dy!, -2), b), a);
      return [ga, apply("TanhGrad", a, dy!)];
    }),
  lower: (onnx, { y, dy }) => [
    onnx.map("Mul", [dy, onnx.map("Sub", [onnx.scalar(1, y.dtype), onnx.map("Mul", [y, y])])]),
  ],
  lowers: ort.floats,
  host: ({ y, dy }) => [
    mapBinary(y, dy, {
      float: (a, b) => b * (1 - a * a),
      complex: (a, b) => cmul(b, csub([1, 0], cmul(a, a))),
    }),
  ],
});

/** arsinh x. @see TensorFlow core/ops/math_ops.cc "Asinh"; python/ops/math_grad.py "_AsinhGrad" */
export const Asinh = defineOp("Asinh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [truediv(dy!, apply("Cosh", conj(op.output(0))))]),
  lower: lowerUnary("Asinh"),
  lowers: ort.float,
  host: hostUnary({ float: Math.asinh, complex: casinh }),
});

/** arsinh x. Named "Asinh". */
export const asinh = (x: Output, name = "Asinh"): Output => x.graph.add(Asinh, [x], { name });

/** arcosh x. @see TensorFlow core/ops/math_ops.cc "Acosh"; python/ops/math_grad.py "_AcoshGrad" */
export const Acosh = defineOp("Acosh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [truediv(dy!, apply("Sinh", conj(op.output(0))))]),
  lower: lowerUnary("Acosh"),
  lowers: ort.float,
  host: hostUnary({ float: Math.acosh, complex: cacosh }),
});

/** arcosh x. Named "Acosh". */
export const acosh = (x: Output, name = "Acosh"): Output => x.graph.add(Acosh, [x], { name });

/** artanh x. @see TensorFlow core/ops/math_ops.cc "Atanh"; python/ops/math_grad.py "_AtanhGrad" */
export const Atanh = defineOp("Atanh", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) =>
    after(dy!, () => {
      const squared = apply("Square", conj(op.inputs[0]!));
      const one = constantLike(dy!, 1);
      return [mul(dy!, apply("Reciprocal", apply("Sub", one, squared)))];
    }),
  lower: lowerUnary("Atanh"),
  lowers: ort.float,
  host: hostUnary({ float: Math.atanh, complex: catanh }),
});

/** artanh x. Named "Atanh". */
export const atanh = (x: Output, name = "Atanh"): Output => x.graph.add(Atanh, [x], { name });

/** 1 / (1 + e⁻ˣ). @see TensorFlow core/ops/math_ops.cc "Sigmoid"; python/ops/math_grad.py "_SigmoidGrad" */
export const Sigmoid = defineOp("Sigmoid", {
  ...unary(...SMOOTH),
  grad: (_, op, [dy]) => after(dy!, () => [apply("SigmoidGrad", conj(op.output(0)), dy!)]),
  lower: lowerUnary("Sigmoid"),
  lowers: ort.floats,
  host: hostUnary({ float: (x) => 1 / (1 + Math.exp(-x)), complex: csigmoid }),
});

/** 1 / (1 + e⁻ˣ). Named "Sigmoid". */
export const sigmoid = (x: Output, name = "Sigmoid"): Output => x.graph.add(Sigmoid, [x], { name });

/** dy · y · (1 - y), y = sigmoid x. @see TensorFlow core/ops/math_ops.cc "SigmoidGrad"; python/ops/math_grad.py "_SigmoidGradGrad" */
export const SigmoidGrad = defineOp("SigmoidGrad", {
  ...outputGrad(...SMOOTH),
  grad: (g, op, [dy]) =>
    after(dy!, () => {
      const a = conj(op.inputs[0]!);
      const b = conj(op.inputs[1]!);
      const gb = mul(dy!, b);
      const twice = mul(g.add("Mul", [2, gb], { name: "mul" }), a);
      return [sub(gb, twice), apply("SigmoidGrad", a, dy!)];
    }),
  lower: (onnx, { y, dy }) => {
    const slope = onnx.map("Mul", [y, onnx.map("Sub", [onnx.scalar(1, y.dtype), y])]);
    return [onnx.map("Mul", [dy, slope])];
  },
  lowers: ort.floats,
  host: ({ y, dy }) => [
    mapBinary(y, dy, {
      float: (a, b) => b * a * (1 - a),
      complex: (a, b) => cmul(b, cmul(a, csub([1, 0], a))),
    }),
  ],
});
