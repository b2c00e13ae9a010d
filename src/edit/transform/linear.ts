/**
 * @file Ops that are linear in one input, with constant weights: convolutions and matrix products; where their weights hold the channels
 * of input and output, and the arithmetic on them. Start at `linearOf`.
 */

import type { Tensor } from "../../base/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import { type Channels, channelAxis, PASSES_ON } from "./affine.ts";
import type { Origins } from "./origins.ts";

/** An op y = linear(x, weights). */
export interface Linear {
  readonly op: Operation;
  /** index of the input with the data, and of that with the weights */
  readonly data: number;
  readonly weights: number;
  /** the Const behind the weights */
  readonly constant: Operation;
  readonly value: Tensor;
  /** axes of the weights that are, together, the channels of the output, and of the input */
  readonly outAxes: readonly number[];
  readonly inAxes: readonly number[];
  /** channels of y */
  readonly channels: Channels;
}

interface Kind {
  readonly data: number;
  readonly weights: number;
  readonly outAxes: readonly number[];
  readonly inAxes: readonly number[];
}

/** @see TensorFlow core/ops/nn_ops.cc: filters are [(depth,) height, width, in, out], in a gradient's place [..., out, in] */
const KINDS: Readonly<Record<string, Kind>> = {
  Conv2D: { data: 0, weights: 1, outAxes: [3], inAxes: [2] },
  DepthwiseConv2dNative: { data: 0, weights: 1, outAxes: [2, 3], inAxes: [2] },
  Conv2DBackpropInput: { data: 2, weights: 1, outAxes: [2], inAxes: [3] },
  Conv3D: { data: 0, weights: 1, outAxes: [4], inAxes: [3] },
  Conv3DBackpropInputV2: { data: 2, weights: 1, outAxes: [3], inAxes: [4] },
};

/** Whether the op is a convolution backwards, which makes images larger. */
export const isTransposed = ({ type }: Operation): boolean => KINDS[type]?.data === 2;

/** The op as a linear one with constant weights; null if it is none, or why its weights do not serve. */
export function linearOf(op: Operation): Linear | string | null {
  const kind = op.type === "MatMul" ? matMul(op) : KINDS[op.type];
  if (kind === undefined) return null;
  const constant = constantBehind(op.inputs[kind.weights]!);
  if (constant === null) return "its weights are not constant";
  const value = constant.attrs.value as unknown as Tensor;
  if (value.dtype !== "float32" && value.dtype !== "float64") return `its weights are ${value.dtype}`;
  const y = op.outputs[0]!;
  const rank = y.shape?.length ?? value.shape.length;
  const count = kind.outAxes.reduce((n, axis) => n * value.shape[axis]!, 1);
  const axis = channelAxis(String(op.attrs.data_format ?? "NHWC"), rank);
  return { op, ...kind, constant, value, channels: { axis, rank, count } };
}

const matMul = (op: Operation): Kind => {
  const out = op.attrs.transpose_b === true ? 0 : 1;
  return { data: 0, weights: 1, outAxes: [out], inAxes: [1 - out] };
};

/** The Const whose value an output has, through ops that hand it on. */
export function constantBehind(x: Output): Operation | null {
  let { op } = x;
  while (PASSES_ON.has(op.type) && op.inputs.length > 0) op = op.inputs[0]!.op;
  return op.type === "Const" && op.attrs.value !== undefined ? op : null;
}

/** Channels of the input; null where the convolution has groups, so that the weights do not tell. */
export function inputChannels({ op, data, inAxes, value }: Linear): Channels | null {
  const x = op.inputs[data]!;
  const count = inAxes.reduce((n, axis) => n * value.shape[axis]!, 1);
  const rank = x.shape?.length ?? value.shape.length;
  if (op.type === "MatMul" && op.attrs.transpose_a === true) return null;
  const axis = channelAxis(String(op.attrs.data_format ?? "NHWC"), rank);
  const known = x.shape?.[axis] ?? null;
  return known !== null && known !== count ? null : { axis, rank, count };
}

/** Weights times one number for each index along `axes` together: w · scale. */
export function scaleWeights(weights: Tensor, axes: readonly number[], scale: Float64Array): Tensor {
  const { inner, count } = strides(weights.shape, axes);
  const from = weights.data as Float32Array;
  const data = weights.dtype === "float64" ? new Float64Array(from.length) : new Float32Array(from.length);
  for (let i = 0; i < from.length; ) {
    for (let c = 0; c < count; c++) {
      const s = scale[c]!;
      for (const end = i + inner; i < end; i++) data[i] = from[i]! * s;
    }
  }
  return { ...weights, data };
}

/** Elements behind an index along `axes` (neighbours), and the number of such indices. */
function strides(
  shape: readonly number[],
  axes: readonly number[],
): { readonly inner: number; readonly count: number } {
  const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);
  return {
    inner: product(shape.slice(axes.at(-1)! + 1)),
    count: product(axes.map((axis) => shape[axis]!)),
  };
}

/**
 * What a shift of the input adds to each channel of the output where no padding takes part: Σ w · shift over all but the output's axes.
 *
 * @param shift - one number a channel of the input
 */
export function shiftThrough(
  { value, inAxes, outAxes, channels }: Linear,
  shift: Float64Array,
): Float64Array {
  const out = new Float64Array(channels.count);
  const ins = strides(value.shape, inAxes);
  const outs = strides(value.shape, outAxes);
  const data = value.data as Float32Array;
  for (let i = 0; i < data.length; i++) {
    const a = Math.floor(i / ins.inner) % ins.count;
    out[Math.floor(i / outs.inner) % outs.count]! += data[i]! * shift[a]!;
  }
  return out;
}

/** `scaleWeights` as a recipe. */
export function scaleRecipe(
  linear: Linear,
  axes: readonly number[],
  scale: Output,
  origins: Origins,
): Output {
  const shape = linear.value.shape.map((d, i) => (axes.includes(i) ? d : 1));
  const g = origins.recipe;
  return g.add("Mul", [origins.of(linear.constant), g.add("Reshape", [scale, shape])]);
}

/** `shiftThrough` as a recipe: float [channels]. */
export function shiftRecipe(linear: Linear, shift: Output, origins: Origins): Output {
  const summed = linear.value.shape.map((_, i) => i).filter((i) => !linear.outAxes.includes(i));
  const g = origins.recipe;
  const products = scaleRecipe(linear, linear.inAxes, shift, origins);
  return g.add("Reshape", [g.add("Sum", [products, summed], { attrs: { keep_dims: false } }), [-1]]);
}

/** Whether the convolution sees its input alone, no zeros around it, so that a shift of the input is a shift of the output. */
export function isUnpadded({ op, value }: Linear): boolean {
  if (op.type === "MatMul") return true;
  if (isTransposed(op)) return false; // at the borders fewer taps meet
  if (op.attrs.padding === "VALID") return true;
  if (op.attrs.padding === "EXPLICIT") return (op.attrs.explicit_paddings as number[]).every((p) => p === 0);
  return value.shape.slice(0, -2).every((k) => k === 1);
}

/** Largest and smallest weight of each channel of the output. */
export function channelRanges(
  value: Tensor,
  axes: readonly number[],
): { min: Float64Array; max: Float64Array } {
  const { inner, count } = strides(value.shape, axes);
  const min = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const max = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
  const data = value.data as Float32Array;
  for (let i = 0; i < data.length; ) {
    for (let c = 0; c < count; c++) {
      let [low, high] = [min[c]!, max[c]!];
      for (const end = i + inner; i < end; i++) {
        const v = data[i]!;
        if (v < low) low = v;
        if (v > high) high = v;
      }
      min[c] = low;
      max[c] = high;
    }
  }
  return { min, max };
}
