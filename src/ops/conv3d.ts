/**
 * @file Convolution of volumes and its gradients, which are ops of their own. The public functions (`conv3d`,
 * `conv3dTranspose`) are in conv-api.ts. Channels first and dilations run here as on TensorFlow's GPUs and in oneDNN;
 * its plain CPU kernels refuse them. Conv3DBackpropInput and Conv3DBackpropFilter, without V2, were taken out of
 * GraphDefs in version 10.
 *
 * @see TensorFlow core/ops/nn_ops.cc, core/kernels/conv_grad_ops_3d.cc; python/ops/nn_grad.py "_Conv3DGrad"
 */

import { type DType, isStatic, type Shape, toNumbers } from "../base/index.ts";
import { attr, defineOp } from "../graph/index.ts";
import { convShape, inFloat32 } from "./conv.ts";
import { convGradients } from "./conv-grad.ts";
import { conv, convFilterGrad, convInputGrad } from "./kernels/conv.ts";
import { outShape } from "./onnx-facts.ts";
import {
  axesOf,
  invalid,
  isSpatial,
  shapeFrom,
  spatialAxes,
  volumeWindowOf,
  type WindowAttrs,
} from "./window.ts";

const attrs3d = {
  T: attr.type("float16", "bfloat16", "float32", "float64"),
  strides: attr.ints({ min: 5 }),
  padding: attr.string({ allowed: ["SAME", "VALID"] }),
  data_format: attr.string({ default: "NDHWC", allowed: ["NDHWC", "NCDHW"] }),
  dilations: attr.ints({ default: [1, 1, 1, 1, 1] }),
};

const gradients = convGradients({
  forward: "Conv3D",
  input: "Conv3DBackpropInputV2",
  filter: "Conv3DBackpropFilterV2",
});

/** The window of a filter [depth, height, width, in, out]. */
const windowOf = (attrs: WindowAttrs, filter: Shape): ReturnType<typeof volumeWindowOf> =>
  volumeWindowOf(attrs, filter.slice(0, 3) as number[]);

/** Each plane of a filter is a piece of the model. */
const MAX_DEPTH = 64;

/** ONNX Runtime's convolutions are float32, float16 goes through it; groups, very deep filters and empty tensors are the host's. */
const lowersConv = (
  attrs: WindowAttrs & { readonly T: DType },
  image: Shape | null,
  filter: Shape | null,
  dy: Shape | null = filter,
): boolean =>
  (attrs.T === "float32" || attrs.T === "float16") &&
  isSpatial(attrs) &&
  dy !== null &&
  image !== null &&
  isStatic(filter) &&
  filter[0]! <= MAX_DEPTH &&
  image[axesOf(attrs.data_format).c] === filter[3] &&
  ![...image, ...filter, ...dy].includes(0);

/** Checks that dy is what the convolution would have given, as far as known, in TF's words. */
function needGrad(
  op: string,
  image: Shape | null,
  filter: readonly number[],
  dy: Shape | null,
  attrs: WindowAttrs,
): void {
  const { c } = axesOf(attrs.data_format);
  const differ = (a: number | null | undefined, b: number | null | undefined): boolean =>
    typeof a === "number" && typeof b === "number" && a !== b;
  const channels = (name: string, found: number, want: number): never => {
    throw invalid(
      `${name} and filter_sizes must have the same number of channels. Got ${found} for ${name} and ${want} for filter_sizes`,
    );
  };
  if (image !== null && image[c] !== null && image[c]! % filter[3]! !== 0)
    channels("input", image[c]!, filter[3]!);
  if (differ(dy?.[c], filter[4])) channels("out_backprop", dy![c]!, filter[4]!);
  if (differ(image?.[0], dy?.[0])) {
    throw invalid(
      `${op}: input and out_backprop must have the same batch size. Input batch: ${image![0]}, outbackprop batch: ${dy![0]}, batch_dim: 0`,
    );
  }
  const want = convShape(image, filter, attrs);
  spatialAxes(attrs.data_format).forEach((axis, i) => {
    if (!differ(dy?.[axis], want[axis])) return;
    const [stride, dilation] = [attrs.strides[axis], attrs.dilations![axis]];
    throw invalid(
      `${op}: Size of out_backprop doesn't match computed: actual = ${dy![axis]}, computed = ${want[axis]} spatial_dim: ${axis} input: ${image![axis]} filter: ${filter[i]} output: ${dy![axis]} stride: ${stride} dilation: ${dilation}`,
    );
  });
}

/**
 * y[n,d,h,w,o] = sum over t, i, j, c of x[n, d*sd + t*dd - front, h*sh + i*dh - top, w*sw + j*dw - left, c] *
 * filter[t,i,j,c,o].
 */
export const Conv3D = defineOp("Conv3D", {
  inputs: { input: "T", filter: "T" },
  outputs: { output: "T" },
  attrs: attrs3d,
  infer: ({ input, filter }, attrs) => [{ shape: convShape(input.shape, filter.shape, attrs) }],
  grad: gradients.forward,
  lowers: (attrs, { input, filter }) => lowersConv(attrs, input.shape, filter.shape),
  lower: (onnx, { input, filter }, attrs) => {
    const window = windowOf(attrs, filter.shape!);
    return [inFloat32(onnx, [input, filter], (x, w) => onnx.volumes.conv(x!, w!, window))];
  },
  host: ({ input, filter }, attrs) => {
    const out = convShape(input.shape, filter.shape, attrs) as number[];
    return [conv(input, filter, out, windowOf(attrs, filter.shape))];
  },
});

/** Gradient of Conv3D for its volume; also the transposed convolution. `input_sizes`: [5]. */
export const Conv3DBackpropInputV2 = defineOp("Conv3DBackpropInputV2", {
  inputs: { input_sizes: "Tshape", filter: "T", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: { ...attrs3d, Tshape: attr.typeOr("int32", "int32", "int64") },
  infer: ({ input_sizes }) => [{ shape: shapeFrom(input_sizes, 5) }],
  grad: gradients.input,
  lowers: (attrs, { input_sizes, filter, out_backprop }) =>
    lowersConv(attrs, shapeFrom(input_sizes, 5), filter.shape, out_backprop.shape),
  lower: (onnx, inputs, attrs, op) => {
    const { filter, out_backprop } = inputs;
    const sizes = outShape(op, inputs)!;
    needGrad("Conv3DBackpropInputOp", sizes, filter.shape as number[], out_backprop.shape, attrs);
    const window = windowOf(attrs, filter.shape!);
    return [
      inFloat32(onnx, [filter, out_backprop], (w, dy) => onnx.volumes.convInputGrad(sizes, w!, dy!, window)),
    ];
  },
  host: ({ input_sizes, filter, out_backprop: dy }, attrs) => {
    const sizes = toNumbers(input_sizes);
    if (sizes.length !== 5) throw invalid("input tensor must have 5 dimensions");
    needGrad("Conv3DBackpropInputOp", sizes, filter.shape, dy.shape, attrs);
    return [convInputGrad(sizes, filter, dy, windowOf(attrs, filter.shape))];
  },
});

/** Gradient of Conv3D for its filter. `filter_sizes`: int32 [5]. */
export const Conv3DBackpropFilterV2 = defineOp("Conv3DBackpropFilterV2", {
  inputs: { input: "T", filter_sizes: "int32", out_backprop: "T" },
  outputs: { output: "T" },
  attrs: attrs3d,
  infer: ({ filter_sizes }) => [{ shape: shapeFrom(filter_sizes, 5) }],
  grad: gradients.filter,
  lowers: (attrs, { input, filter_sizes, out_backprop }) =>
    lowersConv(attrs, input.shape, shapeFrom(filter_sizes, 5), out_backprop.shape),
  lower: (onnx, inputs, attrs, op) => {
    const { input, out_backprop } = inputs;
    const sizes = outShape(op, inputs) as readonly number[];
    needGrad("Conv3DBackpropFilterOp", input.shape, sizes, out_backprop.shape, attrs);
    const window = windowOf(attrs, sizes);
    return [
      inFloat32(onnx, [input, out_backprop], (x, dy) => onnx.volumes.convFilterGrad(x!, sizes, dy!, window)),
    ];
  },
  host: ({ input, filter_sizes, out_backprop: dy }, attrs) => {
    const sizes = toNumbers(filter_sizes);
    needGrad("Conv3DBackpropFilterOp", input.shape, sizes, dy.shape, attrs);
    return [convFilterGrad(input, sizes, dy, windowOf(attrs, sizes))];
  },
});
