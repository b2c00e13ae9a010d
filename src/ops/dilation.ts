/**
 * @file Dilation2D, the morphological dilation of an image by a filter, and its gradients.
 *
 * @see TensorFlow core/ops/nn_ops.cc "Dilation2D"; core/kernels/dilation_ops.cc; python/ops/nn_grad.py
 */

import { type Shape, sameShape, type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp, type Inferred, type Operation, type Spec } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, paddingBefore, type WindowAlong, windowCount } from "./image-facts.ts";
import { type Dilated, dilated, type Slide } from "./kernels/dilation.ts";
import { scatterAdd } from "./kernels/pool.ts";
import { FLOATS, INTS, UINTS } from "./signatures.ts";
import { invalid, mergeDims, needRank } from "./window.ts";

interface DilationAttrs {
  readonly strides: readonly number[];
  readonly rates: readonly number[];
  readonly padding: string;
}

const attrs = {
  T: attr.type(...FLOATS, ...INTS, ...UINTS),
  strides: attr.ints({ min: 4 }),
  rates: attr.ints({ min: 4 }),
  padding: attr.string({ allowed: ["SAME", "VALID"] }),
};

const noOnnx = absent("ONNX has no largest sum over a window");

const windowAlong = (
  axis: 1 | 2,
  kernel: number,
  { strides, rates, padding }: DilationAttrs,
): WindowAlong => ({
  kernel,
  stride: strides[axis]!,
  rate: rates[axis]!,
  padding,
});

function dilationShape(input: Shape | null, filter: Shape | null, attrs: DilationAttrs): Shape {
  needRank(input, 4);
  needRank(filter, 3);
  const { strides, rates } = attrs;
  if (strides.length !== 4)
    throw invalid(`Dilation2D requires the stride attribute to contain 4 values, but got: ${strides.length}`);
  if (rates.length !== 4)
    throw invalid(`Dilation2D requires the rates attribute to contain 4 values, but got: ${rates.length}`);
  const [batch, depth] = [dimAt(input, 0), dimAt(filter, 2)];
  const sides = [dimAt(input, 1), dimAt(input, 2), dimAt(filter, 0), dimAt(filter, 1)];
  // where one side is not known, TensorFlow leaves all open
  if (sides.includes(null)) return [batch, null, null, depth];
  const [h, w, rows, columns] = sides as [number, number, number, number];
  mergeDims(dimAt(input, 3), depth);
  const height = windowCount(h, windowAlong(1, rows, attrs));
  return [batch, height, windowCount(w, windowAlong(2, columns, attrs)), depth];
}

/** @throws VarscopeError UNIMPLEMENTED, INVALID_ARGUMENT - what TensorFlow's kernels refuse */
function run(input: Tensor, filter: Tensor, attrs: DilationAttrs): Dilated {
  const refuse = (what: string): never => {
    throw new VarscopeError("UNIMPLEMENTED", `${what} is only supported across spatial dimensions.`);
  };
  if (attrs.strides[0] !== 1 || attrs.strides[3] !== 1) refuse("Stride");
  if (attrs.rates[0] !== 1 || attrs.rates[3] !== 1) refuse("Rate");
  if (input.shape[3] !== filter.shape[2])
    throw invalid(`input and filter must have the same depth: ${input.shape[3]} vs ${filter.shape[2]}`);
  const out = dilationShape(input.shape, filter.shape, attrs) as number[];
  boundedSize(out, input.dtype);
  const slide = (axis: 1 | 2): Slide => {
    const window = windowAlong(axis, filter.shape[axis - 1]!, attrs);
    const before = paddingBefore(input.shape[axis]!, out[axis]!, window);
    return { count: out[axis]!, stride: window.stride, rate: window.rate, before };
  };
  return dilated(input, filter, slide(1), slide(2));
}

const windowAttrs = ({ attrs }: Operation) => ({
  strides: attrs.strides!,
  rates: attrs.rates!,
  padding: attrs.padding!,
});

/**
 * The largest of image plus filter over each window, channel by channel. @param input - [batch, height, width, channels]
 * @param filter - [rows, columns, channels]
 */
export const Dilation2D = defineOp("Dilation2D", {
  inputs: { input: "T", filter: "T" },
  outputs: { output: "T" },
  attrs,
  infer: ({ input, filter }, attrs) => [{ shape: dilationShape(input.shape, filter.shape, attrs) }],
  grad: (g, op, [dy]) => {
    const inputs = [...op.inputs, dy!];
    return [
      g.add("Dilation2DBackpropInput", inputs, { attrs: windowAttrs(op) }),
      g.add("Dilation2DBackpropFilter", inputs, { attrs: windowAttrs(op) }),
    ];
  },
  lower: noOnnx,
  host: ({ input, filter }, attrs) => [run(input, filter, attrs).output],
});

interface Backprop<X> {
  readonly input: X;
  readonly filter: X;
  readonly out_backprop: X;
}

/** dy at the place of each maximum, in the image or in the filter. */
function spread(
  { input, filter, out_backprop }: Backprop<Tensor>,
  attrs: DilationAttrs,
  of: "input" | "filter",
): Tensor {
  const found = run(input, filter, attrs);
  if (!sameShape(found.output.shape, out_backprop.shape))
    throw invalid("out_backprop has incompatible size.");
  return of === "input"
    ? scatterAdd(out_backprop, found.inImage, input.shape)
    : scatterAdd(out_backprop, found.inFilter, filter.shape);
}

const backprop = {
  inputs: { input: "T", filter: "T", out_backprop: "T" },
  attrs,
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
} as const;

/** Gradient of Dilation2D for the image: dy where each maximum was. */
export const Dilation2DBackpropInput = defineOp("Dilation2DBackpropInput", {
  ...backprop,
  outputs: { in_backprop: "T" },
  infer: ({ input }: Backprop<Spec>): readonly Inferred[] => [{ shape: input.shape }],
  host: (inputs, attrs) => [spread(inputs, attrs, "input")],
});

/** Gradient of Dilation2D for the filter: dy at the tap that gave each maximum. */
export const Dilation2DBackpropFilter = defineOp("Dilation2DBackpropFilter", {
  ...backprop,
  outputs: { filter_backprop: "T" },
  infer: ({ filter }: Backprop<Spec>): readonly Inferred[] => [{ shape: filter.shape }],
  host: (inputs, attrs) => [spread(inputs, attrs, "filter")],
});
