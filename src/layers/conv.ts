/**
 * @file Convolutions with their kernels and biases. Start at `conv2d`.
 *
 * @see TensorFlow python/keras/layers/convolutional.py, python/ops/nn_ops.py "convolution", python/ops/nn_impl.py "separable_conv2d"
 */

import { mergeShapes, type Shape, VarscopeError } from "../base/index.ts";
import { type Graph, Output } from "../graph/index.ts";
import {
  addOpWith,
  addWith,
  type Initializer,
  type Regularizer,
  type Variable,
  zerosInitializer,
} from "../variables/index.ts";
import {
  type Activation,
  type DataFormat,
  type Layer,
  layer,
  needDim,
  type Padding,
  type Pair,
  pairOf,
  spread,
  tfFormat,
  volumeFormat,
  type WeightsOptions,
} from "./layer.ts";

/** What all convolutions take; `S` is a number for each axis of the window, or one for all. */
export interface ConvOptions<S = Pair> extends WeightsOptions {
  /** 1 */
  readonly strides?: S;
  /** "valid" */
  readonly padding?: Padding;
  /** "channels_last" */
  readonly dataFormat?: DataFormat;
  /** applied to the result: none */
  readonly activation?: Activation;
  /** true */
  readonly useBias?: boolean;
  /** by default the variable scope's, else glorot uniform */
  readonly kernelInitializer?: Initializer;
  /** zeros */
  readonly biasInitializer?: Initializer;
  readonly kernelRegularizer?: Regularizer;
  readonly biasRegularizer?: Regularizer;
  readonly kernelConstraint?: (value: Output) => Output;
  readonly biasConstraint?: (value: Output) => Output;
}

export interface DilatedConvOptions<S = Pair> extends ConvOptions<S> {
  /** 1 */
  readonly dilationRate?: S;
}

/** The kernel's options. */
export const kernelOptions = (o: Omit<ConvOptions, "strides">) => ({
  initializer: o.kernelInitializer,
  regularizer: o.kernelRegularizer,
  constraint: o.kernelConstraint,
});

/** Adds the bias and applies the activation. */
export function finish(
  l: Layer,
  y: Output,
  options: Omit<ConvOptions, "strides" | "padding">,
  bias: Variable | null,
): Output {
  const format = tfFormat(options.dataFormat ?? "channels_last");
  const biased =
    bias === null ? y : addWith(l.graph, "BiasAdd", [y, bias], { attrs: { data_format: format } });
  return options.activation === undefined ? biased : options.activation(biased);
}

export const biasOf = (
  l: Layer,
  units: number,
  o: Pick<ConvOptions, "useBias" | "biasInitializer" | "biasRegularizer" | "biasConstraint">,
): Variable | null =>
  o.useBias === false
    ? null
    : l.weight("bias", [units], {
        initializer: o.biasInitializer ?? zerosInitializer(),
        regularizer: o.biasRegularizer,
        constraint: o.biasConstraint,
      });

/** Channels of an image, or of a volume: rank 5. */
export const channelsOf = (x: Output, format: DataFormat, rank = 4): number =>
  needDim(x, format === "channels_last" ? -1 : 1, rank, "channel");

/**
 * A convolution over images, with variables `kernel` [kh, kw, in, filters] and `bias` [filters].
 *
 * @param x - float [batch, h, w, in] (NCHW where channels come first)
 * @throws VarscopeError INVALID_ARGUMENT - the channels are not known
 */
export const conv2d = (
  x: Output,
  filters: number,
  kernelSize: Pair,
  options: DilatedConvOptions = {},
): Output =>
  convolution(x, filters, options, {
    size: pairOf(kernelSize),
    strides: pairOf(options.strides ?? 1),
    rate: pairOf(options.dilationRate ?? 1),
  });

/** A window's sizes, one number for each axis that it slides along. */
export interface Windows {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly rate: readonly number[];
}

/**
 * A convolution over images or volumes, by the number of sizes.
 *
 * @throws VarscopeError UNIMPLEMENTED - dilated with channels first, or of unknown sizes; INVALID_ARGUMENT - dilated and strided
 */
export function convolution(
  x: Output,
  filters: number,
  options: Omit<DilatedConvOptions, "strides" | "dilationRate">,
  { size, strides, rate }: Windows,
): Output {
  const { dataFormat = "channels_last", padding = "valid" } = options;
  const baseName = `conv${size.length}d`;
  const at = options.name ?? baseName;
  const isDilated = rate.some((d) => d !== 1);
  if (isDilated && dataFormat === "channels_first") {
    const hint = "put the channels last";
    throw new VarscopeError("UNIMPLEMENTED", "a dilated convolution with channels first", { at, hint });
  }
  if (isDilated && strides.some((s) => s !== 1)) {
    const what = "strides > 1 not supported in conjunction with dilation_rate > 1";
    throw new VarscopeError("INVALID_ARGUMENT", what, { at });
  }
  return layer(x, baseName, options, (l) => {
    const shape = [...size, channelsOf(x, dataFormat, size.length + 2), filters];
    const kernel = l.weight("kernel", shape, kernelOptions(options));
    const bias = biasOf(l, filters, options);
    const attrs = {
      strides: spread(strides, dataFormat),
      padding: padding.toUpperCase(),
      data_format: size.length === 2 ? tfFormat(dataFormat) : volumeFormat(dataFormat),
    };
    const type = `Conv${size.length}D`;
    const y = isDilated
      ? dilated(x, type, kernel, shape, rate, padding)
      : addWith(l.graph, type, [x, kernel], { attrs });
    return finish(l, y, options, bias);
  });
}

type Sizes = [readonly [number, number], readonly [number, number], readonly [number, number]];

/**
 * A dilated convolution as TensorFlow builds it: every dilation-th pixel becomes an image of its own, so that a plain convolution does.
 *
 * @see TensorFlow python/ops/nn_ops.py "_WithSpaceToBatch"
 */
function dilated(
  x: Output,
  type: string,
  kernel: Variable,
  shape: readonly number[],
  rate: readonly number[],
  padding: Padding,
): Output {
  const g = x.graph;
  const dims = rate.map((_, i) => x.shape![i + 1] ?? null);
  if (dims.some((d) => d === null)) {
    throw new VarscopeError("UNIMPLEMENTED", "a dilated convolution of images whose size is not known", {
      at: x.name,
      hint: "give the placeholder its height and width",
    });
  }
  const ints = (value: number[] | number[][], name: string): Output =>
    g.constant(value, { dtype: "int32", name });
  return g.nameScope(type, (scope) => {
    ints([...rate], "dilation_rate");
    const { pads, crops } = spaceToBatchPads(dims as number[], shape, rate, padding);
    if (padding === "same") {
      ints([...shape], "filter_shape");
      ints(basePads(shape, rate), "stack");
    }
    g.nameScope("required_space_to_batch_paddings", () => {
      ints(dims as number[], "input_shape");
      ints(pads, "paddings");
      ints(crops, "crops");
    });
    const space = g.nameScope("SpaceToBatchND", (name) => {
      const inputs = [x, ints([...rate], "block_shape"), ints(pads, "paddings")];
      return g.add("SpaceToBatchND", inputs, { name });
    });
    const attrs = { strides: new Array<number>(rate.length + 2).fill(1), padding: "VALID" };
    const y = readInside(g, scope, kernel, (w) => g.add(type, [space, w], { name: scope, attrs }));
    return g.nameScope("BatchToSpaceND", (name) =>
      g.add("BatchToSpaceND", [y, ints([...rate], "block_shape"), ints(crops, "crops")], { name }),
    );
  });
}

/** Reads a variable in the name scope that an op will have. */
const readInside = (g: Graph, scope: string, v: Variable, body: (value: Output) => Output): Output =>
  v.isResource ? g.nameScope(scope, () => body(v.value())) : body(v.value());

/** Padding that makes a dilated kernel keep the image's size. */
const basePads = (shape: readonly number[], rate: readonly number[]): number[][] =>
  rate.map((r, i) => {
    const extra = (shape[i]! - 1) * r;
    return [Math.floor(extra / 2), extra - Math.floor(extra / 2)];
  });

function spaceToBatchPads(
  dims: readonly number[],
  shape: readonly number[],
  rate: readonly number[],
  padding: Padding,
): { pads: number[][]; crops: number[][] } {
  const base = padding === "same" ? basePads(shape, rate) : rate.map(() => [0, 0]);
  const extra = rate.map((r, i) => {
    const full = dims[i]! + base[i]![0]! + base[i]![1]!;
    return (r - (full % r)) % r;
  });
  return {
    pads: base.map(([before, after], i) => [before!, after! + extra[i]!]),
    crops: extra.map((e) => [0, e]),
  };
}

export interface SeparableConvOptions
  extends Omit<DilatedConvOptions, "kernelInitializer" | "kernelRegularizer" | "kernelConstraint"> {
  /** outputs of the depthwise convolution for each channel: 1 */
  readonly depthMultiplier?: number;
  readonly depthwiseInitializer?: Initializer;
  readonly pointwiseInitializer?: Initializer;
  readonly depthwiseRegularizer?: Regularizer;
  readonly pointwiseRegularizer?: Regularizer;
}

/**
 * A convolution for each channel, then one of 1x1 over all: variables `depthwise_kernel` [kh, kw, in, multiplier], `pointwise_kernel`
 * [1, 1, in · multiplier, filters], `bias`.
 */
export function separableConv2d(
  x: Output,
  filters: number,
  kernelSize: Pair,
  options: SeparableConvOptions = {},
): Output {
  const { dataFormat = "channels_last", padding = "valid", depthMultiplier = 1 } = options;
  const [strides, dilation, size] = [options.strides ?? 1, options.dilationRate ?? 1, kernelSize].map(
    pairOf,
  ) as Sizes;
  if (dilation.some((d) => d !== 1)) {
    throw new VarscopeError("UNIMPLEMENTED", "separableConv2d with dilation", {
      at: options.name ?? "separable_conv2d",
    });
  }
  return layer(x, "separable_conv2d", options, (l) => {
    const { graph: g } = l;
    const channels = channelsOf(x, dataFormat);
    const shape = [...size, channels, depthMultiplier];
    const depthwise = l.weight("depthwise_kernel", shape, {
      initializer: options.depthwiseInitializer,
      regularizer: options.depthwiseRegularizer,
    });
    const pointwise = l.weight("pointwise_kernel", [1, 1, channels * depthMultiplier, filters], {
      initializer: options.pointwiseInitializer,
      regularizer: options.pointwiseRegularizer,
    });
    const bias = biasOf(l, filters, options);
    const format = { data_format: tfFormat(dataFormat) };
    const y = g.nameScope("separable_conv2d", (scope) => {
      const deep = depthwise.value();
      const wide = pointwise.value();
      g.constant(shape, { dtype: "int32", name: "Shape" });
      g.constant([...dilation], { dtype: "int32", name: "dilation_rate" });
      const attrs = { strides: spread(strides, dataFormat), padding: padding.toUpperCase(), ...format };
      const each = g.add("DepthwiseConv2dNative", [x, deep], { name: "depthwise", attrs });
      return g.add("Conv2D", [each, wide], {
        name: scope,
        attrs: { strides: [1, 1, 1, 1], padding: "VALID", ...format },
      });
    });
    return finish(l, y, options, bias);
  });
}

/**
 * The transpose of a convolution: makes images larger. Variables `kernel` [kh, kw, filters, in] and `bias`. "same" gives h · stride,
 * "valid" h · stride + max(kh - stride, 0).
 */
export function conv2dTranspose(
  x: Output,
  filters: number,
  kernelSize: Pair,
  options: ConvOptions = {},
): Output {
  const { dataFormat = "channels_last", padding = "valid" } = options;
  const [strides, , size] = [options.strides ?? 1, 1, kernelSize].map(
    pairOf as (p: Pair | number) => readonly [number, number],
  ) as Sizes;
  return layer(x, "conv2d_transpose", options, (l) => {
    const { graph: g } = l;
    const shape = [...size, filters, channelsOf(x, dataFormat)];
    const kernel = l.weight("kernel", shape, kernelOptions(options));
    const bias = biasOf(l, filters, options);
    const outDims = largerShape(x, filters, size, strides, padding, dataFormat);
    const attrs = {
      strides: spread(strides, dataFormat),
      padding: padding.toUpperCase(),
      data_format: tfFormat(dataFormat),
    };
    const op = addOpWith(g, "Conv2DBackpropInput", [outDims.tensor, kernel, x], {
      name: "conv2d_transpose",
      attrs,
    });
    const y = op.output(0);
    y.shape = mergeShapes(y.shape, outDims.shape);
    return finish(l, y, options, bias);
  });
}

/** Dims as one vector. */
export const packed = (g: Graph, dims: readonly (number | Output)[]): Output =>
  g.nameScope("stack", (scope) => {
    const items = dims.map((d, i) =>
      d instanceof Output ? d : g.constant(d, { dtype: "int32", name: String(i) }),
    );
    return g.add("Pack", [items], { name: scope });
  });

/** The output's shape: as nodes, since the batch may be unknown, and as far as it is known. */
function largerShape(
  x: Output,
  filters: number,
  size: readonly [number, number],
  strides: readonly [number, number],
  padding: Padding,
  dataFormat: DataFormat,
): { tensor: Output; shape: Shape } {
  const g = x.graph;
  const dims = g.add("Shape", [x]);
  const at = (i: number): Output =>
    g.nameScope("strided_slice", (scope) => {
      const bounds = [i, i + 1, 1].map((v) => g.constant([v], { dtype: "int32", name: "stack" }));
      return g.add("StridedSlice", [dims, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
    });
  const batch = at(0);
  const axes = dataFormat === "channels_last" ? [1, 2] : [2, 3];
  const given = axes.map((axis) => x.shape![axis] ?? at(axis));
  const larger = given.map((d, i): number | Output => {
    const more = padding === "valid" ? Math.max(size[i]! - strides[i]!, 0) : null;
    if (typeof d === "number") return d * strides[i]! + (more ?? 0);
    const scaled = g.add("Mul", [d, strides[i]!], { name: "mul" });
    return more === null ? scaled : g.add("AddV2", [scaled, more], { name: "add" });
  });
  const all: (number | Output)[] =
    dataFormat === "channels_last" ? [batch, ...larger, filters] : [batch, filters, ...larger];
  const tensor = packed(g, all);
  g.nameScope("strided_slice", (scope) => {
    const bounds = [0, 1, 1].map((v) => g.constant([v], { dtype: "int32", name: "stack" }));
    return g.add("StridedSlice", [tensor, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
  });
  const shape = all.map((d) => (typeof d === "number" ? d : null));
  shape[0] = x.shape![0] ?? null;
  return { tensor, shape };
}
