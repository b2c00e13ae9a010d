/**
 * @file Convolution of images, full and depthwise, and their gradients, which are ops of their own. The public
 * functions (`conv2d`, `conv2dTranspose`, ...) are in conv-api.ts, the arithmetic of windows in window.ts.
 *
 * @see TensorFlow core/ops/nn_ops.cc, core/framework/common_shape_fns.cc; python/ops/nn_grad.py
 */

import { type DType, isStatic, type Shape, toNumbers } from "../base/index.ts";
import { attr, defineOp, type Onnx, type OnnxValue, type Spec } from "../graph/index.ts";
import { convGradients } from "./conv-grad.ts";
import { conv, convFilterGrad, convInputGrad } from "./kernels/conv.ts";
import { outShape } from "./onnx-facts.ts";
import {
  axesOf,
  checkWindow,
  imageShape,
  invalid,
  isSized,
  isSpatial,
  mergeDims,
  needRank,
  rankOf,
  shapeFrom,
  type WindowAttrs,
  windowed,
  windowOf,
} from "./window.ts";

const FLOATS = ["float16", "bfloat16", "float32", "float64"] as const;

const geometry = {
  strides: attr.ints(),
  padding: attr.string({ allowed: ["SAME", "VALID", "EXPLICIT"] }),
  explicit_paddings: attr.ints({ default: [] }),
  data_format: attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW"] }),
  dilations: attr.ints({ default: [1, 1, 1, 1] }),
};
const full = {
  T: attr.type(...FLOATS, "int32"),
  use_cudnn_on_gpu: attr.bool({ default: true }),
  ...geometry,
};
const fullFilter = { ...full, T: attr.type(...FLOATS) };
const depth = { T: attr.type(...FLOATS), ...geometry };

const gradients = convGradients({
  forward: "Conv2D",
  input: "Conv2DBackpropInput",
  filter: "Conv2DBackpropFilter",
});
const depthGradients = convGradients(
  {
    forward: "DepthwiseConv2dNative",
    input: "DepthwiseConv2dNativeBackpropInput",
    filter: "DepthwiseConv2dNativeBackpropFilter",
  },
  { shapesApart: true },
);

const kernelOf = (filter: readonly number[]): [number, number] => [filter[0]!, filter[1]!];

/** Shape of a convolution's output, of images or volumes. @throws VarscopeError INVALID_ARGUMENT - with TF's sentences */
export function convShape(image: Shape | null, filter: Shape | null, attrs: WindowAttrs): Shape {
  const rank = rankOf(attrs.data_format);
  needRank(image, rank);
  needRank(filter, rank);
  checkWindow(`Conv${rank - 2}D`, attrs);
  const dims = filter ?? new Array<null>(rank).fill(null);
  const [inDepth, outDepth] = dims.slice(-2) as [number | null, number | null];
  const depth = image === null ? null : image[axesOf(attrs.data_format).c]!;
  if (inDepth === 0) throw invalid("Depth of filter must not be 0");
  if (depth !== null && inDepth !== null) {
    if (depth % inDepth !== 0) {
      throw invalid(`Depth of input (${depth}) is not a multiple of input depth of filter (${inDepth})`);
    }
    const groups = depth / inDepth;
    if (groups < 1) throw invalid(`Number of groups must be positive, but got: ${groups}`);
    if (outDepth !== null && outDepth % groups !== 0) {
      throw invalid(`Depth of output (${outDepth}) is not a multiple of the number of groups (${groups})`);
    }
  }
  return windowed(image, dims.slice(0, -2), outDepth, attrs);
}

/** Shape of a depthwise convolution's output. @throws VarscopeError INVALID_ARGUMENT - with TF's sentences */
function depthwiseShape(image: Shape | null, filter: Shape | null, attrs: WindowAttrs): Shape {
  needRank(image, 4);
  needRank(filter, 4);
  checkWindow("DepthwiseConv2D", attrs);
  const [kh, kw, inDepth, multiplier] = filter ?? [null, null, null, null];
  const c = image === null ? null : image[axesOf(attrs.data_format).c]!;
  const channels = mergeDims(c, inDepth!);
  const out = channels === null || multiplier === null ? null : channels * multiplier!;
  return windowed(image, [kh!, kw!], out, attrs);
}

const SIZES: Spec = { dtype: "int32", shape: null, value: null, partial: null, handle: null };

/** Shape of the image whose gradient is asked for: all dims, or height and width alone. */
function imageSizes(sizes: Spec, filter: Shape | null, dy: Shape | null, attrs: WindowAttrs): Shape {
  needRank(filter, 4);
  needRank(dy, 4);
  const { c } = axesOf(attrs.data_format);
  mergeDims(dy?.[c] ?? null, filter?.[3] ?? null);
  const batch = dy?.[0] ?? null;
  if (sizes.shape?.[0] === 2) {
    const [h, w] = shapeFrom(sizes, 2);
    return imageShape(attrs.data_format, batch, h!, w!, filter?.[2] ?? null);
  }
  const [n, ...rest] = shapeFrom(sizes, 4);
  mergeDims(n!, batch);
  return [dy === null ? n! : batch, ...rest]; // TF lets dy decide, even where it knows less
}

/** Checks that dy is what the forward op would have given, as far as both are known. */
function needOutput(dy: Shape | null, want: Shape, op: string): void {
  const i = dy === null ? -1 : want.findIndex((d, k) => d !== null && dy[k] !== null && d !== dy[k]);
  if (i >= 0) {
    throw invalid(
      `${op}: Size of out_backprop doesn't match computed: actual = ${dy![i]}, computed = ${want[i]}`,
    );
  }
}

/** ONNX Runtime's convolutions are float32; float16 goes through it. */
const lowersConv = (attrs: WindowAttrs & { readonly T: DType }): boolean =>
  (attrs.T === "float32" || attrs.T === "float16") && isSpatial(attrs);

/** Runs `make` on float32 images, whatever they are. */
export function inFloat32(
  onnx: Onnx,
  xs: readonly OnnxValue[],
  make: (...xs: OnnxValue[]) => OnnxValue,
): OnnxValue {
  const { dtype } = xs[0]!;
  return onnx.cast(make(...xs.map((x) => onnx.cast(x, "float32"))), dtype);
}

/**
 * y[n,h,w,o] = sum over i, j, c of x[n, h*sh + i*dh - top, w*sw + j*dw - left, c] * filter[i,j,c,o]. A filter with
 * fewer input channels than the image is a grouped convolution.
 */
export const Conv2D = defineOp("Conv2D", {
  inputs: { input: "T", filter: "T" },
  outputs: { output: "T" },
  attrs: full,
  infer: ({ input, filter }, attrs) => [{ shape: convShape(input.shape, filter.shape, attrs) }],
  grad: gradients.forward,
  lowers: (attrs, { input, filter }) => lowersConv(attrs) && input.shape !== null && isStatic(filter.shape),
  lower: (onnx, { input, filter }, attrs) => {
    const window = windowOf(attrs, kernelOf(filter.shape as number[]));
    return [inFloat32(onnx, [input, filter], (x, w) => onnx.nn.conv2d(x!, w!, window))];
  },
  host: ({ input, filter }, attrs) => {
    const out = convShape(input.shape, filter.shape, attrs) as number[];
    return [conv(input, filter, out, windowOf(attrs, kernelOf(filter.shape)))];
  },
});

/**
 * Gradient of Conv2D for its image; also the transposed convolution. `input_sizes`: int32 [4], or [2] (height,
 * width).
 */
export const Conv2DBackpropInput = defineOp("Conv2DBackpropInput", {
  inputs: { input_sizes: "int32", filter: "T", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: full,
  infer: ({ input_sizes, filter, out_backprop }, attrs) => [
    { shape: imageSizes(input_sizes, filter.shape, out_backprop.shape, attrs) },
  ],
  grad: gradients.input,
  lowers: (attrs, { input_sizes, filter, out_backprop }) =>
    lowersConv(attrs) &&
    isStatic(filter.shape) &&
    out_backprop.shape !== null &&
    isSized(imageSizes(input_sizes, filter.shape, out_backprop.shape, attrs), attrs.data_format),
  lower: (onnx, inputs, attrs, op) => {
    const { filter, out_backprop } = inputs;
    const window = windowOf(attrs, kernelOf(filter.shape as number[]));
    const sizes = outShape(op, inputs)!;
    needOutput(out_backprop.shape, convShape(sizes, filter.shape, attrs), "Conv2DBackpropInput");
    return [
      inFloat32(onnx, [filter, out_backprop], (w, dy) => onnx.nn.conv2dInputGrad(sizes, w!, dy!, window)),
    ];
  },
  host: ({ input_sizes, filter, out_backprop: dy }, attrs) => {
    const sizes = { ...SIZES, shape: input_sizes.shape, partial: toNumbers(input_sizes) };
    const dims = imageSizes(sizes, filter.shape, dy.shape, attrs) as number[];
    needOutput(dy.shape, convShape(dims, filter.shape, attrs), "Conv2DBackpropInput");
    return [convInputGrad(dims, filter, dy, windowOf(attrs, kernelOf(filter.shape)))];
  },
});

/** Gradient of Conv2D for its filter. `filter_sizes`: int32 [4]. */
export const Conv2DBackpropFilter = defineOp("Conv2DBackpropFilter", {
  inputs: { input: "T", filter_sizes: "int32", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: fullFilter,
  infer: ({ input, filter_sizes, out_backprop }) => {
    needRank(input.shape, 4);
    needRank(out_backprop.shape, 4);
    return [{ shape: shapeFrom(filter_sizes, 4) }];
  },
  grad: gradients.filter,
  lowers: (attrs, { input, filter_sizes, out_backprop }) =>
    lowersConv(attrs) &&
    isStatic(shapeFrom(filter_sizes, 4)) &&
    isSized(input.shape, attrs.data_format) &&
    out_backprop.shape !== null,
  lower: (onnx, inputs, attrs, op) => {
    const sizes = outShape(op, inputs) as readonly number[];
    const window = windowOf(attrs, kernelOf(sizes));
    const { input, out_backprop } = inputs;
    needOutput(out_backprop.shape, convShape(input.shape, sizes, attrs), "Conv2DBackpropFilter");
    return [
      inFloat32(onnx, [input, out_backprop], (x, dy) => onnx.nn.conv2dFilterGrad(x!, sizes, dy!, window)),
    ];
  },
  host: ({ input, filter_sizes, out_backprop: dy }, attrs) => {
    const sizes = toNumbers(filter_sizes);
    needOutput(dy.shape, convShape(input.shape, sizes, attrs), "Conv2DBackpropFilter");
    return [convFilterGrad(input, sizes, dy, windowOf(attrs, kernelOf(sizes)))];
  },
});

/**
 * y[n,h,w, c*m + k] = sum over i, j of x[n, ..., c] * filter[i,j,c,k]: each channel by itself, m = the filter's last
 * dim.
 */
export const DepthwiseConv2dNative = defineOp("DepthwiseConv2dNative", {
  inputs: { input: "T", filter: "T" },
  outputs: { output: "T" },
  attrs: depth,
  infer: ({ input, filter }, attrs) => [{ shape: depthwiseShape(input.shape, filter.shape, attrs) }],
  grad: depthGradients.forward,
  lowers: (attrs, { input, filter }) => lowersConv(attrs) && input.shape !== null && isStatic(filter.shape),
  lower: (onnx, { input, filter }, attrs) => {
    const window = windowOf(attrs, kernelOf(filter.shape as number[]));
    return [inFloat32(onnx, [input, filter], (x, w) => onnx.nn.depthwise(x!, w!, window))];
  },
  host: ({ input, filter }, attrs) => {
    const out = depthwiseShape(input.shape, filter.shape, attrs) as number[];
    return [conv(input, filter, out, windowOf(attrs, kernelOf(filter.shape)), true)];
  },
});

/** Gradient of DepthwiseConv2dNative for its image. */
export const DepthwiseConv2dNativeBackpropInput = defineOp("DepthwiseConv2dNativeBackpropInput", {
  inputs: { input_sizes: "int32", filter: "T", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: depth,
  infer: ({ input_sizes }) => [{ shape: shapeFrom(input_sizes, 4) }],
  grad: depthGradients.input,
  lowers: (attrs, { input_sizes, filter, out_backprop }) =>
    lowersConv(attrs) &&
    isStatic(filter.shape) &&
    out_backprop.shape !== null &&
    isSized(shapeFrom(input_sizes, 4), attrs.data_format),
  lower: (onnx, inputs, attrs, op) => {
    const { filter, out_backprop } = inputs;
    const window = windowOf(attrs, kernelOf(filter.shape as number[]));
    const sizes = outShape(op, inputs)!;
    needOutput(out_backprop.shape, depthwiseShape(sizes, filter.shape, attrs), op.type);
    return [
      inFloat32(onnx, [filter, out_backprop], (w, dy) => onnx.nn.depthwiseInputGrad(sizes, w!, dy!, window)),
    ];
  },
  host: ({ input_sizes, filter, out_backprop: dy }, attrs) => {
    const sizes = toNumbers(input_sizes);
    needOutput(dy.shape, depthwiseShape(sizes, filter.shape, attrs), "DepthwiseConv2dNativeBackpropInput");
    return [convInputGrad(sizes, filter, dy, windowOf(attrs, kernelOf(filter.shape)), true)];
  },
});

/** Gradient of DepthwiseConv2dNative for its filter. */
export const DepthwiseConv2dNativeBackpropFilter = defineOp("DepthwiseConv2dNativeBackpropFilter", {
  inputs: { input: "T", filter_sizes: "int32", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: depth,
  infer: ({ filter_sizes }) => [{ shape: shapeFrom(filter_sizes, 4) }],
  grad: depthGradients.filter,
  lowers: (attrs, { input, filter_sizes, out_backprop }) =>
    lowersConv(attrs) &&
    isStatic(shapeFrom(filter_sizes, 4)) &&
    isSized(input.shape, attrs.data_format) &&
    out_backprop.shape !== null,
  lower: (onnx, inputs, attrs, op) => {
    const sizes = outShape(op, inputs) as readonly number[];
    const window = windowOf(attrs, kernelOf(sizes));
    const { input, out_backprop } = inputs;
    needOutput(out_backprop.shape, depthwiseShape(input.shape, sizes, attrs), op.type);
    return [
      inFloat32(onnx, [input, out_backprop], (x, dy) => onnx.nn.depthwiseFilterGrad(x!, sizes, dy!, window)),
    ];
  },
  host: ({ input, filter_sizes, out_backprop: dy }, attrs) => {
    const sizes = toNumbers(filter_sizes);
    needOutput(dy.shape, depthwiseShape(input.shape, sizes, attrs), "DepthwiseConv2dNativeBackpropFilter");
    return [convFilterGrad(input, sizes, dy, windowOf(attrs, kernelOf(sizes)), true)];
  },
});
