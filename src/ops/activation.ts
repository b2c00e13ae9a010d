/** @file Activations of neural networks. The ops of their gradients are in activation-grad.ts; sigmoid and tanh in trigonometry.ts. */

import { attr, defineOp, type Inferred, type Output, type Spec } from "../graph/index.ts";
import { mapUnary } from "./kernels/elementwise.ts";
import { SELU_SCALE, SELU_SCALE_ALPHA } from "./kernels/selu.ts";
import { add, apply, mul } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { FLOATS, INTS, ort, UINTS } from "./signatures.ts";

/** Signature of an activation. */
const activation = {
  inputs: { features: "T" },
  outputs: { activations: "T" },
  infer: ({ features }: { readonly features: Spec }): readonly Inferred[] => [{ shape: features.shape }],
} as const;

const floats = { T: attr.type("float16", "bfloat16", "float32", "float64") };
const REAL = [...FLOATS, ...INTS, ...UINTS] as const;

/** max(x, 0). @see TensorFlow core/ops/nn_ops.cc "Relu"; python/ops/nn_grad.py "_ReluGrad" */
export const Relu = defineOp("Relu", {
  ...activation,
  attrs: { T: attr.type(...REAL, "qint8") },
  grad: (_, op, [dy]) => [apply("ReluGrad", dy!, op.output(0))],
  lower: (onnx, { features }) => [onnx.map("Relu", [features])],
  lowers: ({ T }) => ort.floats({ T }) || T === "int8" || T === "int32",
  host: ({ features }) => [
    mapUnary(features, {
      float: (x) => Math.max(x, 0),
      int: (x) => Math.max(x, 0),
      big: (x) => (x < 0n ? 0n : x),
    }),
  ],
});

/** max(x, 0): any real dtype, any shape. Named "Relu". */
export const relu = (x: Output, name = "Relu"): Output => x.graph.add(Relu, [x], { name });

/** min(max(x, 0), 6). @see TensorFlow core/ops/nn_ops.cc "Relu6"; python/ops/nn_grad.py "_Relu6Grad" */
export const Relu6 = defineOp("Relu6", {
  ...activation,
  attrs: { T: attr.type(...REAL) },
  grad: (_, op, [dy]) => [apply("Relu6Grad", dy!, op.output(0))],
  lower: (onnx, { features }) => [
    onnx.map("Clip", [features, onnx.scalar(0, features.dtype), onnx.scalar(6, features.dtype)]),
  ],
  lowers: ort.ordered,
  host: ({ features }) => [
    mapUnary(features, {
      float: (x) => Math.min(Math.max(x, 0), 6),
      int: (x) => Math.min(Math.max(x, 0), 6),
      big: (x) => (x < 0n ? 0n : x > 6n ? 6n : x),
    }),
  ],
});

/** min(max(x, 0), 6). Named "Relu6". */
export const relu6 = (x: Output, name = "Relu6"): Output => x.graph.add(Relu6, [x], { name });

/** x where positive, else alpha · x. @see TensorFlow core/ops/nn_ops.cc "LeakyRelu"; python/ops/nn_grad.py "_LeakyReluGrad" */
export const LeakyRelu = defineOp("LeakyRelu", {
  ...activation,
  attrs: { alpha: attr.float({ default: 0.2 }), T: attr.typeOr("float32", ...FLOATS) },
  grad: (g, op, [dy], { alpha }) => [g.add("LeakyReluGrad", [dy!, op.inputs[0]!], { attrs: { alpha } })],
  lower: (onnx, { features }, { alpha }) => [onnx.map("LeakyRelu", [features], { alpha: { float: alpha } })],
  lowers: ort.float,
  host: ({ features }, { alpha }) => {
    const slope = Math.fround(alpha);
    return [mapUnary(features, { float: (x) => (x > 0 ? x : x * slope) })];
  },
});

/** x where positive, else alpha · x. Named "LeakyRelu". */
export const leakyRelu = (
  x: Output,
  options: { readonly alpha?: number; readonly name?: string } = {},
): Output =>
  x.graph.add(LeakyRelu, [x], { name: options.name ?? "LeakyRelu", attrs: { alpha: options.alpha ?? 0.2 } });

/** x where positive, else eˣ - 1. @see TensorFlow core/ops/nn_ops.cc "Elu"; python/ops/nn_grad.py "_EluGrad" */
export const Elu = defineOp("Elu", {
  ...activation,
  attrs: floats,
  grad: (_, op, [dy]) => [apply("EluGrad", dy!, op.output(0))],
  lower: (onnx, { features }) => [onnx.map("Elu", [features], { alpha: { float: 1 } })],
  lowers: ort.float,
  host: ({ features }) => [mapUnary(features, { float: (x) => (x < 0 ? Math.expm1(x) : x) })],
});

/** x where positive, else eˣ - 1. Named "Elu". */
export const elu = (x: Output, name = "Elu"): Output => x.graph.add(Elu, [x], { name });

/** λx where positive, else λα(eˣ - 1). @see TensorFlow core/ops/nn_ops.cc "Selu"; python/ops/nn_grad.py "_SeluGrad" */
export const Selu = defineOp("Selu", {
  ...activation,
  attrs: floats,
  grad: (_, op, [dy]) => [apply("SeluGrad", dy!, op.output(0))],
  lower: (onnx, { features }) => [
    onnx.map("Selu", [features], {
      alpha: { float: SELU_SCALE_ALPHA / SELU_SCALE },
      gamma: { float: SELU_SCALE },
    }),
  ],
  lowers: ort.float,
  host: ({ features }) => [
    mapUnary(features, { float: (x) => (x < 0 ? SELU_SCALE_ALPHA * Math.expm1(x) : SELU_SCALE * x) }),
  ],
});

/** λx where positive, else λα(eˣ - 1). Named "Selu". */
export const selu = (x: Output, name = "Selu"): Output => x.graph.add(Selu, [x], { name });

/** ln(1 + eˣ); linear for large x, so it does not overflow. @see TensorFlow core/ops/nn_ops.cc "Softplus"; nn_grad.py "_SoftplusGrad" */
export const Softplus = defineOp("Softplus", {
  ...activation,
  attrs: floats,
  grad: (_, op, [dy]) => [mul(dy!, apply("Sigmoid", op.inputs[0]!))],
  lower: (onnx, { features }) => [onnx.map("Softplus", [features])],
  lowers: ort.float,
  host: ({ features }) => [
    mapUnary(features, { float: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) }),
  ],
});

/** ln(1 + eˣ). Named "Softplus". */
export const softplus = (x: Output, name = "Softplus"): Output => x.graph.add(Softplus, [x], { name });

/** x / (1 + |x|). @see TensorFlow core/ops/nn_ops.cc "Softsign"; python/ops/nn_grad.py "_SoftsignGrad" */
export const Softsign = defineOp("Softsign", {
  ...activation,
  attrs: floats,
  grad: (_, op, [dy]) => [apply("SoftsignGrad", dy!, op.inputs[0]!)],
  lower: (onnx, { features }) => [onnx.map("Softsign", [features])],
  lowers: ort.float,
  host: ({ features }) => [mapUnary(features, { float: (x) => x / (1 + Math.abs(x)) })],
});

/** x / (1 + |x|). Named "Softsign". */
export const softsign = (x: Output, name = "Softsign"): Output => x.graph.add(Softsign, [x], { name });

/** relu of x and of -x, side by side along `axis`. Named "CRelu". @see TensorFlow python/ops/nn_ops.py "crelu" */
export const crelu = (x: Output, options: { readonly axis?: number; readonly name?: string } = {}): Output =>
  x.graph.nameScope(options.name ?? "CRelu", (scope) => {
    const both = pieces.concat([x, apply("Neg", x)], options.axis ?? -1, scope);
    return relu(both);
  });

/**
 * x Φ(x), Φ the normal distribution; with `approximate` by tanh. Named after what computes it, in the scope "Gelu".
 *
 * @see TensorFlow python/ops/nn_ops.py "gelu"; Hendrycks and Gimpel 2016 (arXiv:1606.08415)
 */
export function gelu(
  x: Output,
  options: { readonly approximate?: boolean; readonly name?: string } = {},
): Output {
  return x.graph.nameScope(options.name ?? "Gelu", () =>
    options.approximate ? geluByTanh(x) : geluByErfc(x),
  );
}

/** A literal times a tensor, as Python writes it: Const "mul/x". */
const times = (factor: number, x: Output): Output => x.graph.add("Mul", [factor, x], { name: "mul" });

/** A literal cast to the dtype of `like`: Const "Cast/x". */
const castLiteral = (value: number, like: Output): Output => {
  const g = like.graph;
  return g.nameScope("Cast", (scope) => pieces.cast(g.constant(value, { name: "x" }), like.dtype, scope));
};

function geluByErfc(x: Output): Output {
  const half = times(0.5, x);
  const scaled = mul(apply("Neg", x), castLiteral(Math.SQRT1_2, x));
  return mul(half, apply("Erfc", scaled));
}

function geluByTanh(x: Output): Output {
  const cubic = castLiteral(0.044715, x);
  const half = times(0.5, x);
  const inner = add(x, mul(cubic, apply("Pow", x, 3)));
  const tanh = apply("Tanh", times(Math.sqrt(2 / Math.PI), inner));
  return mul(half, x.graph.add("AddV2", [1, tanh], { name: "add" }));
}

/** ln(1 / (1 + e⁻ˣ)), as -softplus(-x). Named "LogSigmoid". @see TensorFlow python/ops/math_ops.py "log_sigmoid" */
export const logSigmoid = (x: Output, name = "LogSigmoid"): Output =>
  x.graph.nameScope(name, (scope) => x.graph.add("Neg", [softplus(apply("Neg", x))], { name: scope }));
