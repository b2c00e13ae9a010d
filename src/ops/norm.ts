/**
 * @file Fused batch normalization in its three versions, and its gradient ops. The public functions are in
 * norm-api.ts, the second-order gradient in norm-second.ts.
 *
 * Training returns four vectors: batch_mean and batch_variance are for the moving averages, so the variance has n /
 * (n - 1) (Bessel); reserve_space_1 and reserve_space_2 are for the gradient, with the population variance that
 * normalized the batch.
 *
 * @see TensorFlow core/ops/nn_ops.cc, core/kernels/fused_batch_norm_op.cc; python/ops/nn_grad.py
 * "_BaseFusedBatchNormGrad"
 */

import {
  type DType,
  fromData,
  isStatic,
  type Shape,
  scalar,
  sizeOf,
  type Tensor,
  zeros,
} from "../base/index.ts";
import {
  attr,
  type DataFormat,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { moments, normalize, normGrad } from "./kernels/norm.ts";
import { fromNumbers, numbersOf } from "./kernels/numbers.ts";
import { batchNormSecondGrad } from "./norm-second.ts";
import { transpose } from "./pieces.ts";
import { invalid, mergeDims, needRank } from "./window.ts";

interface NormAttrs {
  readonly T: DType;
  readonly U?: DType;
  readonly epsilon: number;
  readonly data_format: string;
  readonly is_training: boolean;
  readonly exponential_avg_factor?: number;
}

type Version = "" | "V2" | "V3";

const common = (version: Version) => ({
  epsilon: attr.float({ default: 1e-4 }),
  data_format: attr.string({
    default: "NHWC",
    allowed: version === "V3" ? ["NHWC", "NCHW", "NDHWC", "NCDHW"] : ["NHWC", "NCHW"],
  }),
  is_training: attr.bool({ default: true }),
});

const channelAxis = (format: string): number => (format.endsWith("C") ? format.length - 1 : 1);

/** Checks ranks and merges the number of channels from images and vectors. */
function channelCount(images: readonly Spec[], vectors: readonly Spec[], attrs: NormAttrs): number | null {
  let channels: number | null = null;
  for (const { shape } of images) {
    needRank(shape, attrs.data_format.length);
    channels = mergeDims(channels, shape?.[channelAxis(attrs.data_format)] ?? null);
  }
  for (const { shape } of vectors) {
    needRank(shape, 1);
    channels = mergeDims(channels, shape?.[0] ?? null);
  }
  return channels;
}

function withChannels(shape: Shape | null, channels: number | null, format: string): Shape {
  const dims = shape ?? new Array<null>(format.length).fill(null);
  return dims.map((d, i) => (i === channelAxis(format) ? channels : d));
}

/** n / (n - 1), and 1 for a single element. */
const bessel = (n: number): number => n / Math.max(n - 1, 1);

/** Whether running averages are mixed in, which needs `mean` and `variance`. */
const mixes = (attrs: NormAttrs): boolean => attrs.is_training && attrs.exponential_avg_factor !== 1;

interface Forward<X> {
  readonly x: X;
  readonly scale: X;
  readonly offset: X;
  readonly mean: X;
  readonly variance: X;
}

function inferForward(
  { x, scale, offset, mean, variance }: Forward<Spec>,
  attrs: NormAttrs,
  version: Version,
) {
  const statistics = attrs.is_training && !mixes(attrs) ? [] : [mean, variance];
  const channels = channelCount([x], [scale, offset, ...statistics], attrs);
  const vectors = Array.from({ length: 4 }, () => ({ shape: [channels] }));
  const outs = [{ shape: withChannels(x.shape, channels, attrs.data_format) }, ...vectors];
  return version === "V3" ? [...outs, { shape: null }] : outs;
}

/** Outputs after y: vectors for the moving averages, vectors for the gradient, and V3's unused one. */
const outputsOf = <X>(y: X, running: readonly X[], reserve: readonly X[], unused: X | null): X[] => [
  y,
  ...running,
  ...reserve,
  ...(unused === null ? [] : [unused]),
];

function hostForward(inputs: Forward<Tensor>, attrs: NormAttrs, version: Version): Tensor[] {
  const { x, scale, offset, mean, variance } = inputs;
  const axis = channelAxis(attrs.data_format);
  const channels = x.shape[axis]!;
  const vector = (values: ArrayLike<number>): Tensor => fromNumbers(scale.dtype, [channels], values);
  const unused = version === "V3" ? scalar(0, scale.dtype) : null;
  const affine = { scale, offset, epsilon: attrs.epsilon };
  if (!attrs.is_training) {
    const y = normalize(x, axis, numbersOf(mean), numbersOf(variance), affine);
    return outputsOf(y, [mean, variance], [mean, variance], unused);
  }
  const batch = moments(x, axis);
  const factor = attrs.exponential_avg_factor ?? 1;
  const n = x.shape.length === 0 ? 0 : sizeOf(x.shape) / Math.max(channels, 1);
  const mix = (old: Tensor, fresh: Float64Array): Tensor => {
    if (factor === 1 || n === 0) return vector(fresh);
    const before = numbersOf(old);
    return vector(fresh.map((v, c) => (1 - factor) * before[c]! + factor * v));
  };
  const sample = batch.variance.map((v) => v * bessel(n));
  const y = normalize(x, axis, batch.mean, batch.variance, affine);
  return outputsOf(
    y,
    [mix(mean, batch.mean), mix(variance, sample)],
    [vector(batch.mean), vector(batch.variance)],
    unused,
  );
}

/** ONNX Runtime's float32, through which float16 goes; an empty batch gives NaN on the host. */
const lowersNorm = (attrs: NormAttrs, x: Spec): boolean =>
  (attrs.T === "float32" || attrs.T === "float16") &&
  (attrs.U ?? "float32") === "float32" &&
  x.shape !== null &&
  !x.shape.includes(0) &&
  x.shape[channelAxis(attrs.data_format)] !== null &&
  (x.shape.length === 4 || isStatic(x.shape.slice(1)));

/** An image, or a volume with its channels last; channels first, depth and height become one. */
function imageOf(onnx: Onnx, x: OnnxValue, format: string): OnnxValue {
  const image = onnx.cast(x, "float32");
  if (format !== "NCDHW") return image;
  const [n, c, d, h, w] = x.shape!;
  return onnx.reshape(image, [n!, c!, d! * h!, w!]);
}

const imageFormat = (format: string): DataFormat => (format.endsWith("C") ? "NHWC" : "NCHW");

/** `y` back in the dtype and shape of `x`. */
const like = (onnx: Onnx, y: OnnxValue, x: OnnxValue): OnnxValue =>
  onnx.cast(y.shape!.length === x.shape!.length ? y : onnx.reshape(y, x.shape!), x.dtype);

/** n / (n - 1) as a float32 scalar; computed where the batch is symbolic. */
function besselOf(onnx: Onnx, x: OnnxValue, channels: number): OnnxValue {
  if (isStatic(x.shape)) return onnx.scalar(bessel(sizeOf(x.shape) / channels), "float32");
  const size = onnx.cast(
    onnx.add("ReduceProd", [onnx.shapeOf(x)], { keepdims: 0 }, { shape: [] }),
    "float32",
  );
  const n = onnx.map("Div", [size, onnx.scalar(channels, "float32")]);
  const one = onnx.scalar(1, "float32");
  return onnx.map("Div", [n, onnx.map("Max", [onnx.map("Sub", [n, one]), one])]);
}

function lowerForward(
  onnx: Onnx,
  inputs: Forward<OnnxValue>,
  attrs: NormAttrs,
  version: Version,
): OnnxValue[] {
  const { x, scale, offset, mean, variance } = inputs;
  const format = imageFormat(attrs.data_format);
  const image = imageOf(onnx, x, attrs.data_format);
  const unused = version === "V3" ? onnx.scalar(0, "float32") : null;
  if (!attrs.is_training) {
    const y = onnx.nn.batchNormInfer(image, scale, offset, mean, variance, attrs.epsilon, format);
    return outputsOf(like(onnx, y, x), [mean, variance], [mean, variance], unused);
  }
  const out = onnx.nn.batchNormTrain(image, scale, offset, attrs.epsilon, format);
  const channels = x.shape![channelAxis(attrs.data_format)]!;
  const sample = onnx.map("Mul", [out.variance, besselOf(onnx, image, channels)]);
  const factor = attrs.exponential_avg_factor ?? 1;
  const mix = (old: OnnxValue, fresh: OnnxValue): OnnxValue => {
    if (factor === 1) return fresh;
    const kept = onnx.map("Mul", [old, onnx.scalar(1 - factor, "float32")]);
    return onnx.map("Add", [kept, onnx.map("Mul", [fresh, onnx.scalar(factor, "float32")])]);
  };
  const running = [mix(mean, out.mean), mix(variance, sample)];
  return outputsOf(like(onnx, out.y, x), running, [out.mean, out.variance], unused);
}

/**
 * As TF Python: in training from the reserved statistics, in inference from the given ones, there always channels
 * last.
 */
function gradForward(g: Graph, op: Operation, dy: Output, version: Version): (Output | null)[] {
  const { epsilon, data_format, is_training } = op.attrs as unknown as NormAttrs;
  const [x, scale, , mean, variance] = op.inputs;
  const reserve3 = version === "V3" ? [op.outputs[5]!] : [];
  const type = `FusedBatchNormGrad${version}`;
  if (is_training) {
    const inputs = [dy, x!, scale!, op.outputs[3]!, op.outputs[4]!, ...reserve3];
    const [dx, dscale, doffset] = g.addOp(type, inputs, {
      attrs: { epsilon, data_format, is_training },
    }).outputs;
    return [dx!, dscale!, doffset!, null, null];
  }
  const rank = data_format.length;
  const last = !data_format.endsWith("C");
  const spatial = Array.from({ length: rank - 2 }, (_, i) => i + 2);
  const toLast = (v: Output): Output => (last ? transpose(v, [0, ...spatial, 1]) : v);
  const image = toLast(x!);
  const grad = toLast(dy);
  const attrs = { epsilon, data_format: rank === 4 ? "NHWC" : "NDHWC", is_training };
  const node = g.addOp(type, [grad, image, scale!, mean!, variance!, ...reserve3], { attrs });
  const [dx, dscale, doffset] = node.outputs;
  const back = last ? transpose(dx!, [0, rank - 1, ...spatial.map((i) => i - 1)]) : dx!;
  return [back, dscale!, doffset!, null, null];
}

const forwardOf = (version: Version) => ({
  infer: (inputs: Forward<Spec>, attrs: NormAttrs) => inferForward(inputs, attrs, version),
  grad: (g: Graph, op: Operation, dys: readonly Output[]) => gradForward(g, op, dys[0]!, version),
  lowers: (attrs: NormAttrs, { x }: Forward<Spec>) => lowersNorm(attrs, x),
  lower: (onnx: Onnx, inputs: Forward<OnnxValue>, attrs: NormAttrs) =>
    lowerForward(onnx, inputs, attrs, version),
  host: (inputs: Forward<Tensor>, attrs: NormAttrs) => hostForward(inputs, attrs, version),
});

const averaged = (version: Version) => ({
  ...common(version),
  exponential_avg_factor: attr.float({ default: 1 }),
});

/** Batch normalization, float32. @see FusedBatchNormV3 */
export const FusedBatchNorm = defineOp("FusedBatchNorm", {
  inputs: { x: "T", scale: "T", offset: "T", mean: "T", variance: "T" },
  outputs: { y: "T", batch_mean: "T", batch_variance: "T", reserve_space_1: "T", reserve_space_2: "T" },
  attrs: { T: attr.type("float32"), ...averaged("") },
  ...forwardOf(""),
});

/** Batch normalization; images of T, vectors of U. @see FusedBatchNormV3 */
export const FusedBatchNormV2 = defineOp("FusedBatchNormV2", {
  inputs: { x: "T", scale: "U", offset: "U", mean: "U", variance: "U" },
  outputs: { y: "T", batch_mean: "U", batch_variance: "U", reserve_space_1: "U", reserve_space_2: "U" },
  attrs: { T: attr.type("float16", "bfloat16", "float32"), U: attr.type("float32"), ...averaged("V2") },
  ...forwardOf("V2"),
});

/**
 * y = (x - mean) / √(variance + epsilon) * scale + offset, by channel: with the batch's own mean and population
 * variance in training, with the given ones in inference. batch_mean, batch_variance = (1 - f) * given + f * batch, f
 * = exponential_avg_factor.
 */
export const FusedBatchNormV3 = defineOp("FusedBatchNormV3", {
  inputs: { x: "T", scale: "U", offset: "U", mean: "U", variance: "U" },
  outputs: {
    y: "T",
    batch_mean: "U",
    batch_variance: "U",
    reserve_space_1: "U",
    reserve_space_2: "U",
    reserve_space_3: "U",
  },
  attrs: {
    T: attr.type("float16", "bfloat16", "float32"),
    U: attr.type("bfloat16", "float32"),
    ...averaged("V3"),
  },
  ...forwardOf("V3"),
});

interface Backward<X> {
  readonly y_backprop: X;
  readonly x: X;
  readonly scale: X;
  readonly reserve_space_1: X;
  readonly reserve_space_2: X;
}

const gradOf = {
  infer: (inputs: Backward<Spec>, attrs: NormAttrs) => {
    const { y_backprop, x, scale, reserve_space_1, reserve_space_2 } = inputs;
    const channels = channelCount([y_backprop, x], [scale, reserve_space_1, reserve_space_2], attrs);
    const dx = { shape: withChannels(y_backprop.shape, channels, attrs.data_format) };
    return [dx, { shape: [channels] }, { shape: [channels] }, { shape: [0] }, { shape: [0] }];
  },
  grad: batchNormSecondGrad,
  lowers: (attrs: NormAttrs, { x, y_backprop }: Backward<Spec>) =>
    lowersNorm(attrs, x) && y_backprop.shape !== null,
  lower: (onnx: Onnx, inputs: Backward<OnnxValue>, attrs: NormAttrs) => {
    const { y_backprop, x, scale, reserve_space_1: mean, reserve_space_2: variance } = inputs;
    const [dy, image] = [y_backprop, x].map((v) => imageOf(onnx, v, attrs.data_format));
    const { epsilon, is_training: training } = attrs;
    const options = { epsilon, training, format: imageFormat(attrs.data_format) };
    const out = onnx.nn.batchNormGrad(dy!, image!, scale, mean, variance, options);
    const empty = onnx.constant(fromData("float32", [0], new Float32Array(0)));
    return [like(onnx, out.dx, x), out.dscale, out.doffset, empty, empty];
  },
  host: (inputs: Backward<Tensor>, attrs: NormAttrs) => {
    const { y_backprop: dy, x, reserve_space_1, reserve_space_2 } = inputs;
    if (dy.shape.join() !== x.shape.join()) {
      throw invalid(
        `x and y_backprop must have same shape: [${x.shape.join(",")}] vs. [${dy.shape.join(",")}]`,
      );
    }
    const axis = channelAxis(attrs.data_format);
    const statistics = { mean: numbersOf(reserve_space_1), variance: numbersOf(reserve_space_2) };
    const options = { scale: numbersOf(inputs.scale), epsilon: attrs.epsilon, training: attrs.is_training };
    const out = normGrad(dy, x, axis, statistics, options);
    const vector = (v: Float64Array): Tensor => fromNumbers(reserve_space_1.dtype, [v.length], v);
    const empty = zeros(reserve_space_1.dtype, [0]);
    return [out.dx, vector(out.dscale), vector(out.doffset), empty, empty];
  },
};

/** Gradient of FusedBatchNorm. @see FusedBatchNormGradV3 */
export const FusedBatchNormGrad = defineOp("FusedBatchNormGrad", {
  inputs: { y_backprop: "T", x: "T", scale: "T", reserve_space_1: "T", reserve_space_2: "T" },
  outputs: {
    x_backprop: "T",
    scale_backprop: "T",
    offset_backprop: "T",
    reserve_space_3: "T",
    reserve_space_4: "T",
  },
  attrs: { T: attr.type("float32"), ...common("") },
  ...gradOf,
});

const halfTypes = { T: attr.type("float16", "bfloat16", "float32"), U: attr.type("float32") };

/** Gradient of FusedBatchNormV2. @see FusedBatchNormGradV3 */
export const FusedBatchNormGradV2 = defineOp("FusedBatchNormGradV2", {
  inputs: { y_backprop: "T", x: "T", scale: "float32", reserve_space_1: "U", reserve_space_2: "U" },
  outputs: {
    x_backprop: "T",
    scale_backprop: "U",
    offset_backprop: "U",
    reserve_space_3: "U",
    reserve_space_4: "U",
  },
  attrs: { ...halfTypes, ...common("V2") },
  ...gradOf,
});

/**
 * Gradients of FusedBatchNormV3 for x, scale and offset. reserve_space_1 and _2: mean and population variance of the
 * batch in training, the given ones in inference.
 */
export const FusedBatchNormGradV3 = defineOp("FusedBatchNormGradV3", {
  inputs: {
    y_backprop: "T",
    x: "T",
    scale: "float32",
    reserve_space_1: "U",
    reserve_space_2: "U",
    reserve_space_3: "U",
  },
  outputs: {
    x_backprop: "T",
    scale_backprop: "U",
    offset_backprop: "U",
    reserve_space_4: "U",
    reserve_space_5: "U",
  },
  attrs: { ...halfTypes, ...common("V3") },
  ...gradOf,
});
