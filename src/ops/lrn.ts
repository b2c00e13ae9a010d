/** @file Local response normalization over channels. Lowered, sums over the channels near by are products with a band of ones. */

import { type Shape, tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp, type Onnx, type OnnxValue, type Output, type Spec } from "../graph/index.ts";
import { type LrnOptions as KernelOptions, lrn, lrnGrad } from "./kernels/lrn.ts";

const options = {
  depth_radius: attr.int({ default: 5 }),
  bias: attr.float({ default: 1 }),
  alpha: attr.float({ default: 1 }),
  beta: attr.float({ default: 0.5 }),
  T: attr.typeOr("float32", "float16", "bfloat16", "float32"),
} as const;

function imageShape({ shape }: Spec): Shape {
  if (shape === null) return [null, null, null, null];
  if (shape.length === 4) return shape;
  throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 4 but is rank ${shape.length}`);
}

/** x · norm^-beta, where norm = bias + alpha · Σ x² over 2 · depth_radius + 1 channels. @see TensorFlow core/kernels/lrn_op.cc */
export const LRN = defineOp("LRN", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: options,
  infer: ({ input }) => [{ shape: imageShape(input) }],
  grad: (g, op, [dy], { depth_radius, bias, alpha, beta }) => [
    g.add("LRNGrad", [dy!, op.inputs[0]!, op.output(0)], { attrs: { depth_radius, bias, alpha, beta } }),
  ],
  lower: (onnx, { input }, attrs) => [
    onnx.map("Mul", [input, power(onnx, norm(onnx, input, attrs), -attrs.beta)]),
  ],
  lowers: ({ T }, { input }) => T !== "bfloat16" && hasChannels(input),
  host: ({ input }, attrs) => [lrn(input, attrs)],
});

const hasChannels = ({ shape }: Spec): boolean => shape?.length === 4 && shape[3] !== null && shape[3]! > 0;

/** Sum over the channels near by: a product with a band of `weight`. */
function near(onnx: Onnx, x: OnnxValue, radius: number, weight: number): OnnxValue {
  const channels = x.shape![3]!;
  const band = Array.from({ length: channels * channels }, (_, i) =>
    Math.abs(Math.floor(i / channels) - (i % channels)) <= radius ? weight : 0,
  );
  return onnx.add(
    "MatMul",
    [x, onnx.constant(tensor(band, x.dtype, [channels, channels]))],
    {},
    { shape: x.shape },
  );
}

function norm(onnx: Onnx, x: OnnxValue, { depth_radius, bias, alpha }: KernelOptions): OnnxValue {
  const sums = near(onnx, onnx.map("Mul", [x, x]), depth_radius, alpha);
  return onnx.map("Add", [sums, onnx.scalar(bias, x.dtype)]);
}

const power = (onnx: Onnx, x: OnnxValue, exponent: number): OnnxValue =>
  onnx.map("Pow", [x, onnx.scalar(exponent, x.dtype)]);

/**
 * Gradient of LRN: dy · norm^-beta - 2 · alpha · beta · x · Σ dy · y / norm.
 *
 * @see TensorFlow core/kernels/lrn_op.cc "LRNGradOp"; python/ops/nn_grad.py "_LRNGrad"
 */
export const LRNGrad = defineOp("LRNGrad", {
  inputs: { input_grads: "T", input_image: "T", output_image: "T" },
  outputs: { output: "T" },
  attrs: options,
  infer: ({ input_grads, input_image, output_image }) => {
    const shapes = [input_grads, input_image, output_image].map(imageShape);
    return [{ shape: shapes.reduce((a, b) => a.map((d, i) => mergeDim(d, b[i]!))) }];
  },
  grad: absent("TensorFlow registers none"),
  lower: (onnx, { input_grads: dy, input_image: x, output_image: y }, attrs) => {
    const n = norm(onnx, x, attrs);
    const direct = onnx.map("Mul", [dy, power(onnx, n, -attrs.beta)]);
    const share = onnx.map("Div", [onnx.map("Mul", [dy, y]), n]);
    const sums = near(onnx, share, attrs.depth_radius, 2 * attrs.alpha * attrs.beta);
    return [onnx.map("Sub", [direct, onnx.map("Mul", [x, sums])])];
  },
  lowers: ({ T }, { input_image, input_grads }) =>
    T !== "bfloat16" && hasChannels(input_image) && hasChannels(input_grads),
  host: ({ input_grads, input_image, output_image }, attrs) => [
    lrnGrad(input_grads, input_image, output_image, attrs),
  ],
});

function mergeDim(a: number | null, b: number | null): number | null {
  if (a !== null && b !== null && a !== b) {
    throw new VarscopeError("INVALID_ARGUMENT", `Dimensions must be equal, but are ${a} and ${b}`);
  }
  return a ?? b;
}

export interface LrnOptions {
  /** channels to each side: 5 */
  readonly depthRadius?: number;
  /** 1 */
  readonly bias?: number;
  /** 1 */
  readonly alpha?: number;
  /** 0.5 */
  readonly beta?: number;
  readonly name?: string;
}

/** Local response normalization of an NHWC image. Named "LRN". */
export function localResponseNormalization(x: Output, given: LrnOptions = {}): Output {
  const { depthRadius: depth_radius = 5, bias = 1, alpha = 1, beta = 0.5, name = "LRN" } = given;
  return x.graph.add(LRN, [x], { name, attrs: { depth_radius, bias, alpha, beta } });
}
