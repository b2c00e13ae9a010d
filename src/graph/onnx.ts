/**
 * @file What an op's `lower` may use: the interface of the ONNX builder. It is implemented on floor `lower/`; layouts are that
 * floor's affair, so an op says what it means (a convolution, a mean over channels) and not how it is laid out.
 */

import type { DType, Shape, Tensor } from "../base/index.ts";

/** A value of the ONNX model under construction, with TF's dtype and TF's shape, whatever its layout in memory. */
export interface OnnxValue {
  readonly id: string;
  readonly dtype: DType;
  /** as far as known; symbolic dims are null */
  readonly shape: Shape | null;
  /** how memory is laid out; only the builder looks at it */
  readonly layout: "plain" | "nchw" | "nchwc";
  readonly constant: Tensor | null;
}

export type OnnxAttr =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly tensor: Tensor };

/** Dtype and shape of a node's output; by default those of its first input. */
export interface OnnxOut {
  readonly dtype?: DType;
  readonly shape?: Shape | null;
}

export interface Onnx {
  /**
   * One node of the default domain (opset 21) with one output; inputs come in TF's layout; null is an omitted input.
   * Attributes: integers are ints; write floats as { float: 0.5 }.
   */
  add(
    type: string,
    inputs: readonly (OnnxValue | null)[],
    attrs?: Record<string, OnnxAttr>,
    out?: OnnxOut,
  ): OnnxValue;
  /** A node with several outputs. */
  addMany(
    type: string,
    inputs: readonly (OnnxValue | null)[],
    attrs: Record<string, OnnxAttr>,
    outs: readonly OnnxOut[],
  ): OnnxValue[];
  /** A node that works element by element with numpy broadcasting: keeps whatever layout its inputs have. Shape is inferred. */
  map(type: string, inputs: readonly OnnxValue[], attrs?: Record<string, OnnxAttr>, out?: OnnxOut): OnnxValue;
  /** Sum of values of one shape: of gradients above all. */
  sum(inputs: readonly OnnxValue[]): OnnxValue;
  constant(value: Tensor): OnnxValue;
  /** int64 vector */
  ints(values: readonly number[]): OnnxValue;
  /** scalar of a dtype */
  scalar(value: number, dtype: DType): OnnxValue;
  cast(x: OnnxValue, dtype: DType): OnnxValue;
  /** at most one dim null: it is computed */
  reshape(x: OnnxValue, shape: Shape): OnnxValue;
  transpose(x: OnnxValue, perm: readonly number[]): OnnxValue;
  /** int64 vector of the dims: constant where they are known */
  shapeOf(x: OnnxValue): OnnxValue;
  /** the same value under the op's statically inferred shape */
  withShape(x: OnnxValue, shape: Shape | null): OnnxValue;
  /** convolution, pooling and normalization, which choose layouts */
  readonly nn: OnnxNn;
  /** convolution and pooling of volumes */
  readonly volumes: OnnxVolumes;
}

export type DataFormat = "NHWC" | "NCHW";

/** Geometry of a 2-D window. */
export interface Window {
  readonly dataFormat: DataFormat;
  /** [height, width] */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** TF's word; `pads` are [top, left, bottom, right] for EXPLICIT */
  readonly padding: "SAME" | "VALID" | "EXPLICIT";
  readonly pads: readonly [number, number, number, number];
}

/** Geometry of a window over volumes: along their depth, and in each plane. TF's word for the padding is the plane's, SAME or VALID. */
export interface VolumeWindow {
  readonly depth: { readonly kernel: number; readonly stride: number; readonly dilation: number };
  readonly plane: Window;
}

/**
 * All images are float32 rank 4 in `dataFormat`, filters HWIO (depthwise: [kh, kw, in, multiplier]). Normalization and bias take volumes,
 * too, with their channels last (NHWC stands for NDHWC) and all dims but the batch known.
 */
export interface OnnxNn {
  conv2d(x: OnnxValue, filter: OnnxValue, window: Window): OnnxValue;
  /** gradient with respect to the image; also transposed convolution. `shape`: of the image */
  conv2dInputGrad(shape: Shape, filter: OnnxValue, dy: OnnxValue, window: Window): OnnxValue;
  /** gradient with respect to the filter, HWIO */
  conv2dFilterGrad(x: OnnxValue, filterShape: readonly number[], dy: OnnxValue, window: Window): OnnxValue;
  depthwise(x: OnnxValue, filter: OnnxValue, window: Window): OnnxValue;
  depthwiseInputGrad(shape: Shape, filter: OnnxValue, dy: OnnxValue, window: Window): OnnxValue;
  depthwiseFilterGrad(x: OnnxValue, filterShape: readonly number[], dy: OnnxValue, window: Window): OnnxValue;
  maxPool(x: OnnxValue, window: Window): OnnxValue;
  /** dy goes to the first maximum of each window, as TF */
  maxPoolGrad(x: OnnxValue, y: OnnxValue, dy: OnnxValue, window: Window): OnnxValue;
  avgPool(x: OnnxValue, window: Window): OnnxValue;
  avgPoolGrad(shape: Shape, dy: OnnxValue, window: Window): OnnxValue;
  /** training mode: y, batch mean, population variance; scale and the rest float32 [channels] */
  batchNormTrain(
    x: OnnxValue,
    scale: OnnxValue,
    offset: OnnxValue,
    epsilon: number,
    format: DataFormat,
  ): { y: OnnxValue; mean: OnnxValue; variance: OnnxValue };
  batchNormInfer(
    x: OnnxValue,
    scale: OnnxValue,
    offset: OnnxValue,
    mean: OnnxValue,
    variance: OnnxValue,
    epsilon: number,
    format: DataFormat,
  ): OnnxValue;
  /** mean and variance: of the batch (training) or moving (inference); gradients of x, scale, offset */
  batchNormGrad(
    dy: OnnxValue,
    x: OnnxValue,
    scale: OnnxValue,
    mean: OnnxValue,
    variance: OnnxValue,
    options: { epsilon: number; format: DataFormat; training: boolean },
  ): { dx: OnnxValue; dscale: OnnxValue; doffset: OnnxValue };
  /** rows and columns of an image mapped by float32 matrices [new, old]; NHWC, all dims but the batch known */
  resample(x: OnnxValue, rows: Tensor, columns: Tensor): OnnxValue;
  /** every row and column of an image repeated so often; NHWC, height and width known */
  repeat(x: OnnxValue, rows: number, columns: number): OnnxValue;
  /** x + bias along the channels */
  biasAdd(x: OnnxValue, bias: OnnxValue, format: DataFormat): OnnxValue;
  /** sum of dy over all but the channels */
  biasGrad(dy: OnnxValue, format: DataFormat): OnnxValue;
  /** dy where y > 0, else 0 */
  reluGrad(dy: OnnxValue, y: OnnxValue): OnnxValue;
  /** mean or sum over height and width of an NHWC/NCHW image; any other axes go the plain way */
  reduceImage(
    kind: "Mean" | "Sum",
    x: OnnxValue,
    axes: readonly number[],
    keepDims: boolean,
  ): OnnxValue | null;
}

/**
 * All volumes are float32 rank 5, NDHWC or NCDHW as the plane's format is, filters DHWIO without groups.
 * Throws UNIMPLEMENTED where a dim other than the batch is symbolic; the planner then compiles for the size at hand.
 */
export interface OnnxVolumes {
  conv(x: OnnxValue, filter: OnnxValue, window: VolumeWindow): OnnxValue;
  /** gradient with respect to the volume; also transposed convolution. `shape`: of the volume */
  convInputGrad(shape: Shape, filter: OnnxValue, dy: OnnxValue, window: VolumeWindow): OnnxValue;
  /** gradient with respect to the filter, DHWIO */
  convFilterGrad(
    x: OnnxValue,
    filterShape: readonly number[],
    dy: OnnxValue,
    window: VolumeWindow,
  ): OnnxValue;
  maxPool(x: OnnxValue, window: VolumeWindow): OnnxValue;
  /** dy goes to every maximum of each window, as TF does for volumes */
  maxPoolGrad(x: OnnxValue, y: OnnxValue, dy: OnnxValue, window: VolumeWindow): OnnxValue;
  avgPool(x: OnnxValue, window: VolumeWindow): OnnxValue;
  avgPoolGrad(shape: Shape, dy: OnnxValue, window: VolumeWindow): OnnxValue;
}
