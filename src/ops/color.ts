/**
 * @file Colors of images [..., 3]: between RGB and HSV, and the ops that turn hues, scale saturation and spread contrast. The gradient of
 * RGBToHSV is in color-grad.ts.
 *
 * @see TensorFlow core/ops/image_ops.cc "ColorspaceShapeFn"; core/kernels/image/colorspace_op.cc, adjust_*_op.cc
 */

import { type DType, type Shape, type Tensor, toNumbers } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Inferred,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
  stopsGradients,
} from "../graph/index.ts";
import { rgbToHsvGrad } from "./color-grad.ts";
import { dimAt, needDim } from "./image-facts.ts";
import {
  hsvToRgb as hsvToRgbColor,
  mapColors,
  rgbToHsv as rgbToHsvColor,
  scaledSaturation,
  spreadAroundMean,
  turnedHue,
} from "./kernels/color.ts";
import { FLOATS, ort, test, where } from "./signatures.ts";
import { invalid, needRank } from "./window.ts";

/** @throws VarscopeError INVALID_ARGUMENT - the rank is known and smaller */
function needRankFrom(shape: Shape | null, rank: number): void {
  if (shape !== null && shape.length < rank)
    throw invalid(`Shape must be at least rank ${rank} but is rank ${shape.length}`);
}

const colorspace = {
  inputs: { images: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.typeOr("float32", ...FLOATS) },
  infer: ({ images }: { readonly images: Spec }): readonly Inferred[] => {
    needRankFrom(images.shape, 1);
    if (images.shape === null) return [{ shape: null }];
    needDim(dimAt(images.shape, images.shape.length - 1), 3);
    return [{ shape: [...images.shape.slice(0, -1), 3] }];
  },
  lowers: (attrs: { readonly T: DType }, { images }: { readonly images: Spec }): boolean =>
    ort.float(attrs) && images.shape !== null && !images.shape.includes(0),
} as const;

/** The three components of a color, each [..., 1]. */
function componentsOf(onnx: Onnx, x: OnnxValue): [OnnxValue, OnnxValue, OnnxValue] {
  const shape = [...x.shape!.slice(0, -1), 1];
  const outs = [0, 1, 2].map(() => ({ dtype: x.dtype, shape }));
  return onnx.addMany("Split", [x], { axis: -1, num_outputs: 3 }, outs) as [OnnxValue, OnnxValue, OnnxValue];
}

const joined = (onnx: Onnx, parts: readonly OnnxValue[], shape: Shape | null): OnnxValue =>
  onnx.add("Concat", parts, { axis: -1 }, { shape });

const arithmetic = (onnx: Onnx, dtype: DType) => ({
  number: (x: number) => onnx.scalar(x, dtype),
  sub: (a: OnnxValue, b: OnnxValue) => onnx.map("Sub", [a, b]),
  add: (a: OnnxValue, b: OnnxValue) => onnx.map("Add", [a, b]),
  mul: (a: OnnxValue, b: OnnxValue) => onnx.map("Mul", [a, b]),
  div: (a: OnnxValue, b: OnnxValue) => onnx.map("Div", [a, b]),
  max: (...xs: readonly OnnxValue[]) => onnx.map("Max", xs),
  min: (...xs: readonly OnnxValue[]) => onnx.map("Min", xs),
  abs: (x: OnnxValue) => onnx.map("Abs", [x]),
});

function lowerRgbToHsv(onnx: Onnx, images: OnnxValue): OnnxValue {
  const { number, sub, add, mul, div, max, min } = arithmetic(onnx, images.dtype);
  const [r, g, b] = componentsOf(onnx, images);
  const value = max(r, g, b);
  const range = sub(value, min(r, g, b));
  const zero = number(0);
  const saturation = where(onnx, test(onnx, "Greater", value, zero), div(range, value), zero);
  const part = div(number(1 / 6), range);
  const hue = where(
    onnx,
    test(onnx, "Equal", r, value),
    mul(part, sub(g, b)),
    where(
      onnx,
      test(onnx, "Equal", g, value),
      add(mul(part, sub(b, r)), number(2 / 6)),
      add(mul(part, sub(r, g)), number(4 / 6)),
    ),
  );
  const known = where(onnx, test(onnx, "Greater", range, zero), hue, zero);
  const wrapped = where(onnx, test(onnx, "Less", known, zero), add(known, number(1)), known);
  return joined(onnx, [wrapped, saturation, value], images.shape);
}

function lowerHsvToRgb(onnx: Onnx, images: OnnxValue): OnnxValue {
  const { number, sub, add, mul, max, min, abs } = arithmetic(onnx, images.dtype);
  const [hue, saturation, value] = componentsOf(onnx, images);
  const at = mul(hue, number(6));
  const rest = sub(number(1), saturation);
  const part = (x: OnnxValue): OnnxValue =>
    mul(add(rest, mul(saturation, min(max(x, number(0)), number(1)))), value);
  const from = (center: number): OnnxValue => abs(sub(at, number(center)));
  const parts = [sub(from(3), number(1)), sub(number(2), from(2)), sub(number(2), from(4))];
  return joined(onnx, parts.map(part), images.shape);
}

/** Hue, saturation and value, all in [0, 1], of RGB in [0, 1]; a gray has hue 0. */
export const RGBToHSV = defineOp("RGBToHSV", {
  ...colorspace,
  grad: (g, op, [dy]) => [rgbToHsvGrad(g, op, dy!)],
  lower: (onnx, { images }) => [lowerRgbToHsv(onnx, images)],
  host: ({ images }) => [mapColors(images, rgbToHsvColor)],
});

/** RGB of hue, saturation and value. */
export const HSVToRGB = defineOp("HSVToRGB", {
  ...colorspace,
  grad: stopsGradients,
  lower: (onnx, { images }) => [lowerHsvToRgb(onnx, images)],
  host: ({ images }) => [mapColors(images, hsvToRgbColor)],
});

const adjusted = { T: attr.typeOr("float32", "float16", "float32") };

function adjustedShape(images: Spec): readonly Inferred[] {
  needRankFrom(images.shape, 3);
  return [{ shape: images.shape }];
}

/** A scalar input, and three channels. @throws VarscopeError INVALID_ARGUMENT */
function scalarOf(name: string, x: Tensor, images: Tensor): number {
  if (x.shape.length !== 0) throw invalid(`${name} must be scalar: [${x.shape.join(",")}]`);
  const channels = images.shape[images.shape.length - 1];
  if (channels !== 3) throw invalid(`input must have 3 channels but instead has ${channels} channels.`);
  return toNumbers(x)[0]!;
}

const noOnnx = absent("ONNX has no op on hues");

/** Images [..., height, width, channels] spread by a factor around the mean of each channel of each image. */
export const AdjustContrastv2 = defineOp("AdjustContrastv2", {
  inputs: { images: "T", contrast_factor: "float32" },
  outputs: { output: "T" },
  attrs: adjusted,
  infer: ({ images, contrast_factor }) => {
    needRank(contrast_factor.shape, 0);
    return adjustedShape(images);
  },
  grad: absent("TensorFlow registers none"),
  lowers: ({ T }, { images }) => T === "float32" && images.shape !== null && !images.shape.includes(0),
  lower: (onnx, { images, contrast_factor }) => {
    const { add, sub, mul } = arithmetic(onnx, "float32");
    const shape = images.shape!.map((d, i) =>
      i >= images.shape!.length - 3 && i < images.shape!.length - 1 ? 1 : d,
    );
    const mean = onnx.add("ReduceMean", [images, onnx.ints([-3, -2])], { keepdims: 1 }, { shape });
    return [add(mean, mul(sub(images, mean), contrast_factor))];
  },
  host: ({ images, contrast_factor }) => [spreadAroundMean(images, toNumbers(contrast_factor)[0]!)],
});

/** Hues turned by `delta`, a scalar in parts of the circle. */
export const AdjustHue = defineOp("AdjustHue", {
  inputs: { images: "T", delta: "float32" },
  outputs: { output: "T" },
  attrs: adjusted,
  infer: ({ images }) => adjustedShape(images),
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
  host: ({ images, delta }) => {
    const turn = scalarOf("delta", delta, images);
    return [mapColors(images, (...color) => turnedHue(color, turn))];
  },
});

/** Saturations times `scale`, a scalar, within [0, 1]. */
export const AdjustSaturation = defineOp("AdjustSaturation", {
  inputs: { images: "T", scale: "float32" },
  outputs: { output: "T" },
  attrs: adjusted,
  infer: ({ images }) => adjustedShape(images),
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
  host: ({ images, scale }) => {
    const factor = scalarOf("scale", scale, images);
    return [mapColors(images, (...color) => scaledSaturation(color, factor))];
  },
});

/** Hue, saturation and value of RGB. Named "RGBToHSV". @param images - float [..., 3] in [0, 1] */
export const rgbToHsv = (images: Output, name = "RGBToHSV"): Output =>
  images.graph.add(RGBToHSV, [images], { name });

/** RGB of hue, saturation and value. Named "HSVToRGB". @param images - float [..., 3] in [0, 1] */
export const hsvToRgb = (images: Output, name = "HSVToRGB"): Output =>
  images.graph.add(HSVToRGB, [images], { name });

/** A function of float images that ends, as TensorFlow's, in an Identity of the images' dtype. */
function adjust(images: Output, scope: string, op: (name: string) => Output): Output {
  if (images.dtype !== "float32" && images.dtype !== "float16")
    throw invalid(`images must be float32 or float16, got ${images.dtype}`);
  const g = images.graph;
  return g.nameScope(scope, (name) => g.add("Identity", [op(name)]));
}

/** Contrast by a factor around each channel's mean. Named "adjust_contrast/Identity". @param images - float [..., height, width, channels] */
export const adjustContrast = (images: Output, contrastFactor: number | Output): Output =>
  adjust(images, "adjust_contrast", (name) => {
    const inputs = [images, contrastFactor];
    return images.graph.add(AdjustContrastv2, inputs, { name });
  });

/** Hues turned by `delta` in [-1, 1]. Named "adjust_hue/Identity". @param image - float [..., height, width, 3] in [0, 1] */
export const adjustHue = (image: Output, delta: number | Output, name = "adjust_hue"): Output =>
  adjust(image, name, () => image.graph.add(AdjustHue, [image, delta]));

/** Saturations times a factor. Named "adjust_saturation/Identity". @param image - float [..., height, width, 3] in [0, 1] */
export const adjustSaturation = (
  image: Output,
  saturationFactor: number | Output,
  name = "adjust_saturation",
): Output => adjust(image, name, () => image.graph.add(AdjustSaturation, [image, saturationFactor]));
