/** @file The ops that the gradients of activations are made of. */

import type { DType } from "../base/index.ts";
import { absent, attr, defineOp, type Onnx, type OnnxValue, type Output, type Spec } from "../graph/index.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import { SELU_SCALE, SELU_SCALE_ALPHA } from "./kernels/selu.ts";
import { add, after, apply, mul, neg, truediv } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { FLOATS, INTS, merged, ort, test, UINTS, where } from "./signatures.ts";

const fromFeatures = {
  inputs: { gradients: "T", features: "T" },
  outputs: { backprops: "T" },
  infer: ({ gradients, features }: { readonly gradients: Spec; readonly features: Spec }) =>
    merged(gradients, features),
} as const;

const fromOutputs = {
  inputs: { gradients: "T", outputs: "T" },
  outputs: { backprops: "T" },
  infer: ({ gradients, outputs }: { readonly gradients: Spec; readonly outputs: Spec }) =>
    merged(gradients, outputs),
} as const;

const floats = { T: attr.type("float16", "bfloat16", "float32", "float64") };
const reals = { T: attr.type(...FLOATS, ...INTS, ...UINTS) };

/** Where has kernels for these. */
const selectable = ({ T }: { readonly T: DType }): boolean =>
  ort.floats({ T }) || T === "int32" || T === "int64";

/** dy where x > 0, else 0. */
function positivePart(onnx: Onnx, dy: OnnxValue, x: OnnxValue): OnnxValue {
  if (x.dtype === "float32") return onnx.nn.reluGrad(dy, x);
  const zero = onnx.scalar(0, x.dtype);
  return where(onnx, test(onnx, "Greater", x, zero), dy, zero);
}

/** dy where features > 0, else 0. @see TensorFlow core/ops/nn_ops.cc "ReluGrad"; python/ops/nn_grad.py "_ReluGradGrad" */
export const ReluGrad = defineOp("ReluGrad", {
  ...fromFeatures,
  attrs: reals,
  grad: (_, op, [dy]) => {
    const x = op.inputs[1]!;
    return [apply("ReluGrad", dy!, x), pieces.zerosLike(x)];
  },
  lower: (onnx, { gradients, features }) => [positivePart(onnx, gradients, features)],
  lowers: selectable,
  host: ({ gradients, features }) => [
    mapBinary(gradients, features, {
      float: (dy, x) => (x > 0 ? dy : 0),
      int: (dy, x) => (x > 0 ? dy : 0),
      big: (dy, x) => (x > 0n ? dy : 0n),
    }),
  ],
});

/** dy where 0 < features < 6, else 0. @see TensorFlow core/ops/nn_ops.cc "Relu6Grad" */
export const Relu6Grad = defineOp("Relu6Grad", {
  ...fromFeatures,
  attrs: reals,
  grad: (_, op, [dy]) => {
    const x = op.inputs[1]!;
    return [apply("Relu6Grad", dy!, x), pieces.zerosLike(x)];
  },
  lower: (onnx, { gradients, features }) => {
    const below = onnx.map("Sub", [onnx.scalar(6, features.dtype), features]);
    return [positivePart(onnx, positivePart(onnx, gradients, features), below)];
  },
  lowers: selectable,
  host: ({ gradients, features }) => [
    mapBinary(gradients, features, {
      float: (dy, x) => (x > 0 && x < 6 ? dy : 0),
      int: (dy, x) => (x > 0 && x < 6 ? dy : 0),
      big: (dy, x) => (x > 0n && x < 6n ? dy : 0n),
    }),
  ],
});

/** dy where features > 0, else alpha · dy. @see TensorFlow core/ops/nn_ops.cc "LeakyReluGrad" */
export const LeakyReluGrad = defineOp("LeakyReluGrad", {
  ...fromFeatures,
  attrs: { alpha: attr.float({ default: 0.2 }), T: attr.typeOr("float32", ...FLOATS) },
  grad: (g, op, [dy], { alpha }) => {
    const x = op.inputs[1]!;
    return [g.add("LeakyReluGrad", [dy!, x], { attrs: { alpha } }), pieces.zerosLike(x)];
  },
  lower: (onnx, { gradients, features }, { alpha }) => {
    const zero = onnx.scalar(0, features.dtype);
    const scaled = onnx.map("Mul", [gradients, onnx.scalar(Math.fround(alpha), gradients.dtype)]);
    return [where(onnx, test(onnx, "Greater", features, zero), gradients, scaled)];
  },
  lowers: ort.floats,
  host: ({ gradients, features }, { alpha }) => {
    const slope = Math.fround(alpha);
    return [mapBinary(gradients, features, { float: (dy, x) => (x > 0 ? dy : dy * slope) })];
  },
});

/** dy · (y + 1) where y < 0, else dy; y = elu x. @see TensorFlow core/ops/nn_ops.cc "EluGrad"; python/ops/nn_grad.py "_EluGradGrad" */
export const EluGrad = defineOp("EluGrad", {
  ...fromOutputs,
  attrs: floats,
  grad: (_, op, [dy]) => secondEluGrad("EluGrad", op.inputs as [Output, Output], dy!),
  // min(y, 0) + 1 is the slope on both sides, without a branch
  lower: (onnx, { gradients, outputs }) => {
    const below = onnx.map("Min", [outputs, onnx.scalar(0, outputs.dtype)]);
    return [onnx.map("Mul", [gradients, onnx.map("Add", [below, onnx.scalar(1, outputs.dtype)])])];
  },
  lowers: ort.floats,
  host: ({ gradients, outputs }) => [
    mapBinary(gradients, outputs, { float: (dy, y) => (y < 0 ? dy * (y + 1) : dy) }),
  ],
});

function secondEluGrad(type: string, [dx, y]: readonly [Output, Output], dy: Output): readonly Output[] {
  const first = apply(type, dy, y);
  const negative = apply("Less", y, 0);
  return [first, apply("Select", negative, mul(dy, dx), pieces.zerosLike(y))];
}

/** dy · (y + λα) where y < 0, else λ · dy; y = selu x. @see TensorFlow core/ops/nn_ops.cc "SeluGrad"; nn_grad.py "_SeluGradGrad" */
export const SeluGrad = defineOp("SeluGrad", {
  ...fromOutputs,
  attrs: floats,
  grad: (_, op, [dy]) => secondEluGrad("SeluGrad", op.inputs as [Output, Output], dy!),
  lower: (onnx, { gradients, outputs }) => {
    const { dtype } = outputs;
    const negative = test(onnx, "Less", outputs, onnx.scalar(0, dtype));
    const below = onnx.map("Add", [outputs, onnx.scalar(SELU_SCALE_ALPHA, dtype)]);
    return [onnx.map("Mul", [gradients, where(onnx, negative, below, onnx.scalar(SELU_SCALE, dtype))])];
  },
  lowers: ort.floats,
  host: ({ gradients, outputs }) => [
    mapBinary(gradients, outputs, {
      float: (dy, y) => (y < 0 ? dy * (y + SELU_SCALE_ALPHA) : dy * SELU_SCALE),
    }),
  ],
});

/** dy / (1 + e⁻ˣ). @see TensorFlow core/ops/nn_ops.cc "SoftplusGrad"; python/ops/nn_grad.py "_SoftplusGradGrad" */
export const SoftplusGrad = defineOp("SoftplusGrad", {
  ...fromFeatures,
  attrs: floats,
  grad: (_, op, [ddx]) =>
    after(ddx!, () => {
      const [dy, x] = op.inputs as [Output, Output];
      const ddy = apply("SoftplusGrad", ddx!, x);
      const numerator = mul(ddx!, dy);
      const shrinking = add(apply("Exp", neg(x)), 2);
      return [ddy, truediv(numerator, add(shrinking, apply("Exp", x)))];
    }),
  lower: (onnx, { gradients, features }) => [onnx.map("Mul", [gradients, onnx.map("Sigmoid", [features])])],
  lowers: ort.floats,
  host: ({ gradients, features }) => [
    mapBinary(gradients, features, { float: (dy, x) => dy / (Math.exp(-x) + 1) }),
  ],
});

/** dy / (1 + |x|)². @see TensorFlow core/ops/nn_ops.cc "SoftsignGrad" */
export const SoftsignGrad = defineOp("SoftsignGrad", {
  ...fromFeatures,
  attrs: floats,
  grad: absent("TensorFlow registers none"),
  lower: (onnx, { gradients, features }) => {
    const size = onnx.map("Add", [onnx.map("Abs", [features]), onnx.scalar(1, features.dtype)]);
    return [onnx.map("Div", [gradients, onnx.map("Mul", [size, size])])];
  },
  lowers: ort.floats,
  host: ({ gradients, features }) => [
    mapBinary(gradients, features, { float: (dy, x) => dy / ((1 + Math.abs(x)) * (1 + Math.abs(x))) }),
  ],
});
