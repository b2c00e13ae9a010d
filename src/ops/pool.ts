/**
 * @file Pooling: the maximum or mean of a window that slides over height and width, and the gradient ops. The V2
 * forms, whose windows are tensors, and MaxPoolWithArgmax are in pool-variants.ts; the arithmetic of windows is in
 * window.ts.
 *
 * @see TensorFlow core/ops/nn_ops.cc, core/kernels/maxpooling_op.cc, avgpooling_op.cc; python/ops/nn_grad.py
 */

import { isCompatible, type Shape, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
} from "../graph/index.ts";
import * as kernels from "./kernels/pool.ts";
import { outShape } from "./onnx-facts.ts";
import { shape, zerosLike } from "./pieces.ts";
import { REAL_TYPES } from "./signatures.ts";
import {
  axesOf,
  checkWindow,
  dimSizes,
  invalid,
  isSized,
  isSpatial,
  needRank,
  outputSize,
  type Padding,
  paddingAttrs,
  type Sizes,
  shapeFrom,
  type WindowAttrs,
  windowed,
  windowOf,
} from "./window.ts";

export type PoolAttrs = WindowAttrs & { readonly ksize: readonly number[] };

const FLOATS = ["float16", "bfloat16", "float32", "float64"] as const;
/** What MaxPool takes; MaxPoolGrad takes fewer and others. @see core/ops/nn_ops.cc */
export const MAX_TYPES = [...FLOATS, "int32", "int64", "uint8", "int16", "int8", "uint16", "qint8"] as const;

const window = { ksize: attr.ints({ min: 4 }), strides: attr.ints({ min: 4 }) };
const padding = attr.string({ allowed: ["SAME", "VALID"] });
const withExplicit = {
  padding: attr.string({ allowed: ["SAME", "VALID", "EXPLICIT"] }),
  explicit_paddings: attr.ints({ default: [] }),
};
const layout = attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW"] });

/** Height and width of the window. */
export function kernelOf(attrs: PoolAttrs): [number, number] {
  const { h, w } = axesOf(attrs.data_format);
  return [attrs.ksize[h]!, attrs.ksize[w]!];
}

/** Shape of max pooling's output; the channels may be pooled too. @throws VarscopeError INVALID_ARGUMENT */
export function maxPoolShape(image: Shape | null, attrs: PoolAttrs): Shape {
  needRank(image, 4);
  checkWindow("MaxPool", attrs);
  if (attrs.data_format === "NCHW_VECT_C")
    throw new VarscopeError("UNIMPLEMENTED", "NCHW_VECT_C is not supported");
  const { c } = axesOf(attrs.data_format);
  const channels = outputSize(image?.[c] ?? null, attrs.ksize[c]!, attrs, c);
  return windowed(image, kernelOf(attrs), channels, attrs);
}

function avgPoolShape(image: Shape | null, attrs: PoolAttrs): Shape {
  needRank(image, 4);
  checkWindow("AvgPool", attrs);
  const { c } = axesOf(attrs.data_format);
  return windowed(image, kernelOf(attrs), image?.[c] ?? null, attrs);
}

const SIDES = ["Top", "Left", "Bottom", "Right"];

/** The window of max pooling. @throws VarscopeError INVALID_ARGUMENT - the padding holds a whole window */
export function maxWindow(attrs: PoolAttrs): ReturnType<typeof windowOf> {
  const found = windowOf(attrs, kernelOf(attrs));
  const i = found.pads.findIndex((p, k) => p >= found.kernel[k % 2]!);
  if (i < 0) return found;
  throw invalid(
    `${SIDES[i]} padding ${found.pads[i]} needs to be smaller than the window size ${found.kernel[i % 2]}`,
  );
}

/** Maximum over windows, which may run over channels instead of height and width. */
export function maxPooled(x: Tensor, attrs: PoolAttrs): Tensor {
  const { c } = axesOf(attrs.data_format);
  if (attrs.ksize[c] === 1 || attrs.ksize[0] !== 1) {
    return kernels.maxPool(x, maxPoolShape(x.shape, attrs) as number[], maxWindow(attrs));
  }
  const refuse = (what: string): never => {
    throw new VarscopeError("UNIMPLEMENTED", what);
  };
  const depth = attrs.ksize[c]!;
  if (kernelOf(attrs).some((k) => k !== 1)) {
    refuse("MaxPooling supports exactly one of pooling across depth or pooling across width/height.");
  }
  if (attrs.data_format !== "NHWC") refuse("Depthwise max pooling is currently only implemented for NHWC.");
  if (attrs.strides[c] !== depth)
    refuse("Depthwise max pooling requires the depth window to equal the depth stride");
  if (x.shape[c]! % depth !== 0) {
    refuse("Depthwise max pooling requires the depth window to evenly divide the input depth");
  }
  return kernels.maxPoolDepth(x, depth);
}

interface Shaped {
  readonly shape: Shape | null;
}

/** Checks that a gradient op's tensor has the shape of the pooled image, as far as both are known. */
export function needShape(name: string, { shape: found }: Shaped, want: Shape): void {
  if (found !== null && !isCompatible(found, want)) {
    throw invalid(`Expected ${name} shape to be [${want.join(",")}], but got [${found.join(",")}]`);
  }
}

/** Checks the output and its gradient of a max pooling of `image`. */
export function needPooled(image: Shaped, output: Shaped, grad: Shaped, attrs: PoolAttrs): void {
  const want = maxPoolShape(image.shape, attrs);
  needShape("orig_output", output, want);
  needShape("grad", grad, want);
}

/** ONNX Runtime's pooling is float32; float16 goes through it. */
export const lowersPool = (attrs: WindowAttrs & { readonly T: string }): boolean =>
  (attrs.T === "float32" || attrs.T === "float16") && isSpatial(attrs) && attrs.data_format !== "NCHW_VECT_C";

/** Runs `make` on float32 images, whatever they are. */
export function inFloat32(
  onnx: Onnx,
  xs: readonly OnnxValue[],
  make: (...xs: OnnxValue[]) => OnnxValue,
): OnnxValue {
  const { dtype } = xs[0]!;
  return onnx.cast(make(...xs.map((x) => onnx.cast(x, "float32"))), dtype);
}

/** Attributes that a pooling op hands on to its gradient. */
export const geometryOf = (op: Operation, ...names: string[]): Record<string, never> =>
  Object.fromEntries(
    ["ksize", "strides", "padding", "data_format", ...names].map((n) => [n, op.attrs[n]]),
  ) as Record<string, never>;

/** The gradients of MaxPoolGrad and MaxPoolGradGrad: none for the images, the other one for dy. */
export function secondOrder(g: Graph, op: Operation, dy: Output, type: string): Output[] {
  const [x, y] = op.inputs;
  const zeros = [zerosLike(x!), zerosLike(y!)];
  return [...zeros, g.add(type, [x!, y!, dy], { attrs: geometryOf(op) })];
}

/** Maximum of each window of an image. */
export const MaxPool = defineOp("MaxPool", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: {
    T: attr.typeOr("float32", ...MAX_TYPES),
    ...window,
    ...withExplicit,
    data_format: attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW", "NCHW_VECT_C"] }),
  },
  infer: ({ input }, attrs) => [{ shape: maxPoolShape(input.shape, attrs) }],
  grad: (g, op, [dy]) => [
    g.add("MaxPoolGrad", [op.inputs[0]!, op.outputs[0]!, dy!], {
      attrs: geometryOf(op, "explicit_paddings"),
    }),
  ],
  lowers: (attrs, { input }) => lowersPool(attrs) && input.shape !== null,
  lower: (onnx, { input }, attrs) => [inFloat32(onnx, [input], (x) => onnx.nn.maxPool(x!, maxWindow(attrs)))],
  host: ({ input }, attrs) => [maxPooled(input, attrs)],
});

/** Gradient of MaxPool: dy at the first maximum of each window. */
export const MaxPoolGrad = defineOp("MaxPoolGrad", {
  inputs: { orig_input: "T", orig_output: "T", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...window, ...withExplicit, data_format: layout, T: attr.typeOr("float32", ...REAL_TYPES) },
  infer: ({ orig_input }) => {
    needRank(orig_input.shape, 4);
    return [{ shape: orig_input.shape ?? [null, null, null, null] }];
  },
  grad: (g, op, [dy]) => secondOrder(g, op, dy!, "MaxPoolGradGrad"),
  lowers: (attrs, { orig_input }) => lowersPool(attrs) && isSized(orig_input.shape, attrs.data_format),
  lower: (onnx, { orig_input, orig_output, grad }, attrs) => {
    needPooled(orig_input, orig_output, grad, attrs);
    return [
      inFloat32(onnx, [orig_input, orig_output, grad], (x, y, dy) =>
        onnx.nn.maxPoolGrad(x!, y!, dy!, maxWindow(attrs)),
      ),
    ];
  },
  host: ({ orig_input, orig_output, grad }, attrs) => {
    needPooled(orig_input, orig_output, grad, attrs);
    return [kernels.maxPoolGrad(orig_input, grad, maxWindow(attrs))];
  },
});

/** Gradient of MaxPoolGrad for its `grad`: the element of `grad` here that stands at each window's maximum. */
export const MaxPoolGradGrad = defineOp("MaxPoolGradGrad", {
  inputs: { orig_input: "T", orig_output: "T", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...window, padding, data_format: layout, T: attr.type(...REAL_TYPES) },
  infer: ({ orig_input }, attrs) => [{ shape: maxPoolShape(orig_input.shape, attrs) }],
  grad: (g, op, [dy]) => secondOrder(g, op, dy!, "MaxPoolGrad"),
  lower: absent("ONNX has no op that gathers at another tensor's maxima"),
  host: ({ orig_input, orig_output, grad }, attrs) => {
    needShape("orig_output", orig_output, maxPoolShape(orig_input.shape, attrs));
    needShape("grad", grad, orig_input.shape);
    return [kernels.maxPoolGradGrad(orig_input, orig_output, grad, maxWindow(attrs))];
  },
});

/** Mean of each window, over the elements that lie in the image. */
export const AvgPool = defineOp("AvgPool", {
  inputs: { value: "T" },
  outputs: { output: "T" },
  attrs: { ...window, padding, data_format: layout, T: attr.type(...FLOATS) },
  infer: ({ value }, attrs) => [{ shape: avgPoolShape(value.shape, attrs) }],
  grad: (g, op, [dy]) => [g.add("AvgPoolGrad", [shape(op.inputs[0]!), dy!], { attrs: geometryOf(op) })],
  lowers: (attrs, { value }) => lowersPool(attrs) && value.shape !== null,
  lower: (onnx, { value }, attrs) => [
    inFloat32(onnx, [value], (x) => onnx.nn.avgPool(x!, windowOf(attrs, kernelOf(attrs)))),
  ],
  host: ({ value }, attrs) => {
    const out = avgPoolShape(value.shape, attrs) as number[];
    return [kernels.avgPool(value, out, windowOf(attrs, kernelOf(attrs)))];
  },
});

/** Gradient of AvgPool: dy / (elements of the window), spread over it. `orig_input_shape`: int32 [4]. */
export const AvgPoolGrad = defineOp("AvgPoolGrad", {
  inputs: { orig_input_shape: "int32", grad: "T" },
  outputs: { output: "T" },
  attrs: { ...window, padding, data_format: layout, T: attr.type(...FLOATS) },
  infer: ({ orig_input_shape }) => [{ shape: shapeFrom(orig_input_shape, 4) }],
  grad: (g, op, [dy]) => [
    g.add("StopGradient", [op.inputs[0]!]),
    g.add("AvgPool", [dy!], { attrs: geometryOf(op) }),
  ],
  lowers: (attrs, { orig_input_shape, grad }) => {
    const image = shapeFrom(orig_input_shape, 4);
    const { c } = axesOf(attrs.data_format);
    return lowersPool(attrs) && isSized(image, attrs.data_format) && image[c] !== null && grad.shape !== null;
  },
  lower: (onnx, inputs, attrs, op) => {
    const image = outShape(op, inputs)!;
    const found = windowOf(attrs, kernelOf(attrs));
    return [inFloat32(onnx, [inputs.grad], (dy) => onnx.nn.avgPoolGrad(image, dy!, found))];
  },
  host: ({ orig_input_shape, grad }, attrs) => {
    const image = toNumbers(orig_input_shape);
    needRank(image, 4);
    needShape("grad", grad, avgPoolShape(image, attrs));
    return [kernels.avgPoolGrad(image, grad, windowOf(attrs, kernelOf(attrs)))];
  },
});

export interface PoolOptions {
  readonly padding: Padding;
  readonly dataFormat?: "NHWC" | "NCHW"; // NHWC
  readonly name?: string; // as TensorFlow's function of that name: MaxPool, MaxPool2d, AvgPool, AvgPool2D
}

function pooled(
  type: string,
  x: Output,
  ksize: Sizes,
  strides: Sizes,
  options: PoolOptions,
  name: string,
): Output {
  const { dataFormat = "NHWC" } = options;
  const { padding, explicit_paddings } = paddingAttrs(options.padding);
  const attrs = {
    ksize: dimSizes(ksize, dataFormat, "ksize"),
    strides: dimSizes(strides, dataFormat, "strides"),
    padding,
    data_format: dataFormat,
    ...(type === "MaxPool" ? { explicit_paddings } : {}),
  };
  return x.graph.add(type, [x], { name: options.name ?? name, attrs });
}

/** Maximum of each window; `x` is an image of any real dtype. Named "MaxPool", as tf.compat.v1.nn.max_pool. */
export const maxPool = (x: Output, ksize: Sizes, strides: Sizes, options: PoolOptions): Output =>
  pooled("MaxPool", x, ksize, strides, options, "MaxPool");

/** The same as tf.nn.max_pool2d: named "MaxPool2d". */
export const maxPool2d = (x: Output, ksize: Sizes, strides: Sizes, options: PoolOptions): Output =>
  pooled("MaxPool", x, ksize, strides, options, "MaxPool2d");

/** Mean of each window over its real elements; `x` is a float image. Named "AvgPool". */
export const avgPool = (x: Output, ksize: Sizes, strides: Sizes, options: PoolOptions): Output =>
  pooled("AvgPool", x, ksize, strides, options, "AvgPool");

/** The same as tf.nn.avg_pool2d: named "AvgPool2D". */
export const avgPool2d = (x: Output, ksize: Sizes, strides: Sizes, options: PoolOptions): Output =>
  pooled("AvgPool", x, ksize, strides, options, "AvgPool2D");
