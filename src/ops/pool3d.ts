/**
 * @file Pooling of volumes: the maximum or mean of a window that slides over depth, height and width, and the gradient
 * ops. Unlike images', every maximum of a window gets the gradient, not the first alone.
 *
 * @see TensorFlow core/ops/nn_ops.cc, core/kernels/pooling_ops_3d.cc; python/ops/nn_grad.py "_MaxPool3DGrad"
 */

import { type Shape, toNumbers } from "../base/index.ts";
import { absent, attr, defineOp, type Output, type Spec } from "../graph/index.ts";
import * as kernels from "./kernels/pool.ts";
import { outShape } from "./onnx-facts.ts";
import { shape } from "./pieces.ts";
import { geometryOf, inFloat32, lowersPool, needShape, type PoolAttrs, secondOrder } from "./pool.ts";
import { REAL_TYPES } from "./signatures.ts";
import {
  axesOf,
  dimSizes,
  invalid,
  mergeDims,
  needRank,
  type Sizes,
  shapeFrom,
  spatialAxes,
  volumeWindowOf,
  windowed,
} from "./window.ts";

const HALVES = ["float16", "bfloat16", "float32"] as const;
const FLOATS = [...HALVES, "float64"] as const;

const geometry = {
  ksize: attr.ints({ min: 5 }),
  strides: attr.ints({ min: 5 }),
  padding: attr.string({ allowed: ["SAME", "VALID"] }),
  data_format: attr.string({ default: "NDHWC", allowed: ["NDHWC", "NCDHW"] }),
};

const kernelOf = (attrs: PoolAttrs): number[] =>
  spatialAxes(attrs.data_format).map((axis) => attrs.ksize[axis]!);

const windowOf = (attrs: PoolAttrs): ReturnType<typeof volumeWindowOf> =>
  volumeWindowOf(attrs, kernelOf(attrs));

/** Shape of the pooled volume. @throws VarscopeError INVALID_ARGUMENT - with TF's sentences */
function pooledShape(image: Shape | null, attrs: PoolAttrs): Shape {
  needRank(image, 5);
  const { ksize, strides } = attrs;
  if (ksize.length !== 5)
    throw invalid(`Pool3D requires the ksize attribute to contain 5 values, but got: ${ksize.length}`);
  if (strides.length !== 5)
    throw invalid(`Pool3D ops require the stride attribute to contain 5 values, but got: ${strides.length}`);
  return windowed(image, kernelOf(attrs), image?.[axesOf(attrs.data_format).c] ?? null, attrs);
}

/** Elements of a window, and of one whose maxima are looked for, that are made pieces of a model; larger ones are the host's. */
const MAX_WINDOW = 4096;
const MAX_GRAD_WINDOW = 125;

/** Of a known rank, with channels, nowhere empty, and no larger window. */
const isFull = (attrs: PoolAttrs, image: Shape | null, largest = MAX_WINDOW): boolean =>
  image !== null &&
  image[axesOf(attrs.data_format).c] !== null &&
  !image.includes(0) &&
  kernelOf(attrs).reduce((a, b) => a * b, 1) <= largest;

/** Maximum of each window of a volume. */
export const MaxPool3D = defineOp("MaxPool3D", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { ...geometry, T: attr.type(...HALVES) },
  infer: ({ input }, attrs) => [{ shape: pooledShape(input.shape, attrs) }],
  grad: (g, op, [dy]) => [
    g.add("MaxPool3DGrad", [op.inputs[0]!, op.outputs[0]!, dy!], { attrs: geometryOf(op) }),
  ],
  lowers: (attrs, { input }) => lowersPool(attrs) && isFull(attrs, input.shape),
  lower: (onnx, { input }, attrs) => [
    inFloat32(onnx, [input], (x) => onnx.volumes.maxPool(x!, windowOf(attrs))),
  ],
  host: ({ input }, attrs) => {
    const window = windowOf(attrs);
    return [kernels.maxPoolVolume(input, pooledShape(input.shape, attrs) as number[], window)];
  },
});

/** Gradient of MaxPool3D: dy at every element of a window that equals its maximum. */
export const MaxPool3DGrad = defineOp("MaxPool3DGrad", {
  inputs: { orig_input: "TInput", orig_output: "TInput", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...geometry, T: attr.typeOr("float32", ...HALVES), TInput: attr.typeOr("float32", ...HALVES) },
  infer: ({ orig_input }) => {
    needRank(orig_input.shape, 5);
    return [{ shape: orig_input.shape ?? [null, null, null, null, null] }];
  },
  grad: (g, op, [dy]) => secondOrder(g, op, dy!, "MaxPool3DGradGrad"),
  lowers: (attrs, { orig_input, orig_output, grad }) =>
    lowersPool(attrs) &&
    attrs.TInput === attrs.T &&
    isFull(attrs, orig_input.shape, MAX_GRAD_WINDOW) &&
    orig_output.shape !== null &&
    grad.shape !== null,
  lower: (onnx, { orig_input, orig_output, grad }, attrs) => {
    needPooled(orig_input, orig_output, grad, attrs);
    return [
      inFloat32(onnx, [orig_input, orig_output, grad], (x, y, dy) =>
        onnx.volumes.maxPoolGrad(x!, y!, dy!, windowOf(attrs)),
      ),
    ];
  },
  host: ({ orig_input, orig_output, grad }, attrs) => {
    const window = windowOf(attrs);
    needPooled(orig_input, orig_output, grad, attrs);
    return [kernels.maxPoolVolumeGrad(orig_input, orig_output, grad, window)];
  },
});

type Shaped = Pick<Spec, "shape">;

function needPooled(image: Shaped, output: Shaped, grad: Shaped, attrs: PoolAttrs): void {
  const want = pooledShape(image.shape, attrs);
  needShape("orig_output", output, want);
  needShape("grad", grad, want);
}

/** Gradient of MaxPool3DGrad for its `grad`: the element of `grad` here at the first maximum of each window. */
export const MaxPool3DGradGrad = defineOp("MaxPool3DGradGrad", {
  inputs: { orig_input: "T", orig_output: "T", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...geometry, T: attr.type(...REAL_TYPES) },
  infer: ({ orig_input, orig_output, grad }, attrs) => {
    const out = pooledShape(orig_input.shape, attrs);
    needSame(orig_output.shape, out);
    needSame(grad.shape, orig_input.shape);
    return [{ shape: out }];
  },
  grad: (g, op, [dy]) => secondOrder(g, op, dy!, "MaxPool3DGrad"),
  lower: absent("ONNX has no op that gathers at another tensor's maxima"),
  host: ({ orig_input, orig_output, grad }, attrs) => {
    const window = windowOf(attrs);
    needShape("orig_output", orig_output, pooledShape(orig_input.shape, attrs));
    needShape("grad", grad, orig_input.shape);
    return [kernels.maxPoolGradGrad(orig_input, orig_output, grad, window)];
  },
});

function needSame(a: Shape | null, b: Shape | null): void {
  if (a === null || b === null) return;
  if (a.length !== b.length) throw invalid(`Shapes must be equal rank, but are ${b.length} and ${a.length}`);
  a.forEach((d, i) => void mergeDims(b[i]!, d));
}

/** Mean of each window of a volume, over the elements that lie in it. */
export const AvgPool3D = defineOp("AvgPool3D", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { ...geometry, T: attr.type(...FLOATS) },
  infer: ({ input }, attrs) => [{ shape: pooledShape(input.shape, attrs) }],
  grad: (g, op, [dy]) => [g.add("AvgPool3DGrad", [shape(op.inputs[0]!), dy!], { attrs: geometryOf(op) })],
  lowers: (attrs, { input }) => lowersPool(attrs) && isFull(attrs, input.shape),
  lower: (onnx, { input }, attrs) => [
    inFloat32(onnx, [input], (x) => onnx.volumes.avgPool(x!, windowOf(attrs))),
  ],
  host: ({ input }, attrs) => {
    const window = windowOf(attrs);
    return [kernels.avgPool(input, pooledShape(input.shape, attrs) as number[], window)];
  },
});

/** Gradient of AvgPool3D: dy / (elements of the window), spread over it. `orig_input_shape`: int32 [5]. */
export const AvgPool3DGrad = defineOp("AvgPool3DGrad", {
  inputs: { orig_input_shape: "int32", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...geometry, T: attr.type(...FLOATS) },
  infer: ({ orig_input_shape }) => [{ shape: shapeFrom(orig_input_shape, 5) }],
  grad: (g, op, [dy]) => [
    g.add("StopGradient", [op.inputs[0]!]),
    g.add("AvgPool3D", [dy!], { attrs: geometryOf(op) }),
  ],
  lowers: (attrs, { orig_input_shape, grad }) =>
    lowersPool(attrs) && isFull(attrs, shapeFrom(orig_input_shape, 5)) && grad.shape !== null,
  lower: (onnx, inputs, attrs, op) => {
    const image = outShape(op, inputs)!;
    return [inFloat32(onnx, [inputs.grad], (dy) => onnx.volumes.avgPoolGrad(image, dy!, windowOf(attrs)))];
  },
  host: ({ orig_input_shape, grad }, attrs) => {
    const image = toNumbers(orig_input_shape);
    if (image.length !== 5) throw invalid("tensor_in must be 1-dimensional and 5 elements");
    const window = windowOf(attrs);
    needShape("grad", grad, pooledShape(image, attrs));
    return [kernels.avgPoolGrad(image, grad, window)];
  },
});

export interface Pool3dOptions {
  readonly padding: "SAME" | "VALID";
  readonly dataFormat?: "NDHWC" | "NCDHW"; // NDHWC
  readonly name?: string; // MaxPool3D, AvgPool3D
}

function pooled(type: string, x: Output, ksize: Sizes, strides: Sizes, options: Pool3dOptions): Output {
  const { dataFormat = "NDHWC", padding, name = type } = options;
  const attrs = {
    ksize: dimSizes(ksize, dataFormat, "ksize"),
    strides: dimSizes(strides, dataFormat, "strides"),
    padding,
    data_format: dataFormat,
  };
  return x.graph.add(type, [x], { name, attrs });
}

/** Maximum of each window of a volume; `x` is float32 or a half, rank 5. Named "MaxPool3D". @see tf.nn.max_pool3d */
export const maxPool3d = (x: Output, ksize: Sizes, strides: Sizes, options: Pool3dOptions): Output =>
  pooled("MaxPool3D", x, ksize, strides, options);

/** Mean of each window of a volume over its real elements; `x` is float, rank 5. Named "AvgPool3D". @see tf.nn.avg_pool3d */
export const avgPool3d = (x: Output, ksize: Sizes, strides: Sizes, options: Pool3dOptions): Output =>
  pooled("AvgPool3D", x, ksize, strides, options);
