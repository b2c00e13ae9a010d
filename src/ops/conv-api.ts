/**
 * @file Convolution as public functions: `conv2d`, `conv2dTranspose`, `depthwiseConv2d`, `separableConv2d`, `conv3d`,
 * `conv3dTranspose`, with TensorFlow's node names. The ops are in conv.ts and conv3d.ts.
 *
 * @see TensorFlow python/ops/nn_ops.py, nn_impl.py
 */

import { VarscopeError } from "../base/index.ts";
import { type Graph, type Input, Output } from "../graph/index.ts";
import { shape } from "./pieces.ts";
import { axesOf, dimSizes, invalid, type Padding, paddingAttrs, type Sizes } from "./window.ts";

export interface ConvOptions {
  readonly strides?: Sizes; // 1
  readonly padding: Padding;
  readonly dataFormat?: "NHWC" | "NCHW"; // NHWC
  readonly dilations?: Sizes; // 1
  readonly name?: string; // as TensorFlow's function
}

function convAttrs(options: ConvOptions) {
  const { dataFormat = "NHWC", strides = 1, dilations = 1 } = options;
  return {
    strides: dimSizes(strides, dataFormat, "strides"),
    dilations: dimSizes(dilations, dataFormat, "dilations"),
    data_format: dataFormat,
    ...paddingAttrs(options.padding),
  };
}

/**
 * Convolution of an image with a filter [height, width, in, out]; fewer `in` than the image has channels convolves
 * groups. Named "Conv2D".
 *
 * @param x - rank 4, in the data format
 */
export const conv2d = (x: Output, filter: Output, options: ConvOptions): Output =>
  x.graph.add("Conv2D", [x, filter], { name: options.name ?? "Conv2D", attrs: convAttrs(options) });

/**
 * The transpose of a convolution: its gradient for the image. Named "conv2d_transpose".
 *
 * @param filter - [height, width, out, in], the other way round than in conv2d
 * @param outputShape - of the result: numbers, or an int32 vector
 */
export const conv2dTranspose = (
  x: Output,
  filter: Output,
  outputShape: Input,
  options: Omit<ConvOptions, "padding"> & { readonly padding?: Padding }, // SAME
): Output =>
  x.graph.add("Conv2DBackpropInput", [outputShape, filter, x], {
    name: options.name ?? "conv2d_transpose",
    attrs: convAttrs({ ...options, padding: options.padding ?? "SAME" }),
  });

export interface Conv3dOptions {
  /** 1 */
  readonly strides?: Sizes;
  readonly padding: "SAME" | "VALID";
  /** "NDHWC" */
  readonly dataFormat?: "NDHWC" | "NCDHW";
  /** 1 */
  readonly dilations?: Sizes;
  /** as TensorFlow's function */
  readonly name?: string;
}

function volumeAttrs({ dataFormat = "NDHWC", strides = 1, dilations = 1, padding }: Conv3dOptions) {
  return {
    strides: dimSizes(strides, dataFormat, "strides"),
    dilations: dimSizes(dilations, dataFormat, "dilations"),
    data_format: dataFormat,
    padding,
  };
}

/**
 * Convolution of a volume with a filter [depth, height, width, in, out]. Named "Conv3D".
 *
 * @param x - rank 5, in the data format
 */
export const conv3d = (x: Output, filter: Output, options: Conv3dOptions): Output =>
  x.graph.add("Conv3D", [x, filter], { name: options.name ?? "Conv3D", attrs: volumeAttrs(options) });

/**
 * The transpose of a convolution of volumes. Named "conv3d_transpose".
 *
 * @param filter - [depth, height, width, out, in], the other way round than in conv3d
 * @param outputShape - of the result: numbers, or an int32 vector
 */
export const conv3dTranspose = (
  x: Output,
  filter: Output,
  outputShape: Input,
  options: Omit<Conv3dOptions, "padding"> & { readonly padding?: "SAME" | "VALID" } = {}, // SAME
): Output =>
  x.graph.add("Conv3DBackpropInputV2", [outputShape, filter, x], {
    name: options.name ?? "conv3d_transpose",
    attrs: volumeAttrs({ ...options, padding: options.padding ?? "SAME" }),
  });

export interface DepthwiseOptions extends Omit<ConvOptions, "dilations"> {
  /** [height, width] */
  readonly dilations?: readonly [number, number];
}

/**
 * Filters each channel by itself; filter [height, width, in, multiplier]. Named "depthwise". Dilations go through the
 * batch.
 */
export const depthwiseConv2d = (x: Output, filter: Output, options: DepthwiseOptions): Output =>
  x.graph.nameScope(options.name ?? "depthwise", (scope) => depthwise(x, filter, options, scope));

/**
 * A depthwise convolution, then a 1x1 convolution that mixes the channels. Named "separable_conv2d".
 *
 * @param pointwise - [1, 1, in * multiplier, out]
 * @throws VarscopeError INVALID_ARGUMENT - the pointwise filter is not 1x1
 */
export function separableConv2d(
  x: Output,
  filter: Output,
  pointwise: Output,
  options: DepthwiseOptions,
): Output {
  const wide = pointwise.shape?.slice(0, 2).find((d) => d !== 1 && d !== null);
  if (wide !== undefined) throw invalid(`Dimensions ${wide} and 1 are not compatible`);
  return x.graph.nameScope(options.name ?? "separable_conv2d", (scope) => {
    const each = depthwise(x, filter, options, "depthwise");
    const { dataFormat = "NHWC" } = options;
    return conv2d(each, pointwise, { padding: "VALID", dataFormat, name: scope });
  });
}

const ints = (g: Graph, value: Input, name: string): Output =>
  value instanceof Output ? value : g.constant(value as number[], { dtype: "int32", name });

function depthwise(x: Output, filter: Output, options: DepthwiseOptions, name: string): Output {
  const g = x.graph;
  const rate = options.dilations ?? [1, 1];
  shape(filter);
  ints(g, [...rate], "dilation_rate");
  const convolve = (image: Output, padding: Padding): Output => {
    const { strides = 1, dataFormat = "NHWC" } = options;
    const attrs = convAttrs({ strides, dataFormat, padding });
    return g.add("DepthwiseConv2dNative", [image, filter], { name, attrs });
  };
  if (rate.every((r) => r === 1)) return convolve(x, options.padding);
  return throughBatch(x, filter, rate, options, (image) => convolve(image, "VALID"));
}

/**
 * A dilated convolution as a plain one: SpaceToBatchND puts every rate-th pixel into an image of its own, which
 * `convolve` works on.
 *
 * @throws VarscopeError UNIMPLEMENTED - height or width of image or filter are not known
 * @see TensorFlow python/ops/nn_ops.py "with_space_to_batch"
 */
function throughBatch(
  x: Output,
  filter: Output,
  rate: readonly [number, number],
  options: DepthwiseOptions,
  convolve: (image: Output) => Output,
): Output {
  const g = x.graph;
  const { dataFormat = "NHWC", padding } = options;
  if (typeof padding !== "string")
    throw invalid("a dilated depthwise convolution takes SAME or VALID padding");
  const { h, w } = axesOf(dataFormat);
  const size = [x.shape?.[h], x.shape?.[w]];
  const kernel = [filter.shape?.[0], filter.shape?.[1]];
  if ([...size, ...kernel].some((d) => d === null || d === undefined)) {
    throw new VarscopeError(
      "UNIMPLEMENTED",
      "a dilated depthwise convolution needs known heights and widths",
      {
        at: x.name,
        hint: "set the static shape of the image, or resize it to a fixed size before",
      },
    );
  }
  const extra = rate.map((r, i) => (padding === "SAME" ? (kernel[i]! - 1) * r : 0));
  const base = extra.map((e) => [e >> 1, e - (e >> 1)] as const);
  if (padding === "SAME") ints(g, base, "stack");
  const rest = rate.map((r, i) => (r - ((size[i]! + extra[i]!) % r)) % r);
  const paddings = base.map(([before, after], i) => [before, after + rest[i]!]);
  const crops = rest.map((r) => [0, r]);
  g.nameScope("required_space_to_batch_paddings", () => {
    ints(g, size as number[], "input_shape");
    if (padding === "VALID") ints(g, base, "base_paddings");
    ints(g, paddings, "paddings");
    ints(g, crops, "crops");
  });
  const first = dataFormat === "NCHW";
  const whole = (pairs: number[][]): number[][] => (first ? [[0, 0], ...pairs] : pairs);
  const block = first ? [1, ...rate] : [...rate];
  const attrs = { Tblock_shape: "int32" } as const;
  const spread = g.add("SpaceToBatchND", [x, block, whole(paddings)], {
    attrs: { ...attrs, Tpaddings: "int32" },
  });
  return g.add("BatchToSpaceND", [convolve(spread), block, whole(crops)], {
    attrs: { ...attrs, Tcrops: "int32" },
  });
}
