/**
 * @file ScaleAndTranslate: an image sampled with a kernel at any scale and place, as tf.image.resize does with antialias and for the
 * methods that no resize op has. The kernels are in kernels/sampling-spans.ts.
 *
 * @see TensorFlow core/ops/image_ops.cc, core/kernels/image/scale_and_translate_op.cc; python/ops/image_grad.py
 */

import { type Shape, type Tensor, toNumbers } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import {
  IMAGE_TYPES,
  lowerSampled,
  lowersSampled,
  lowersTo,
  resizedShape,
  targetSize,
} from "./image-facts.ts";
import { resampled, type Sampling, transposed } from "./kernels/sampling.ts";
import { isKernel, spans } from "./kernels/sampling-spans.ts";
import { invalid, needRank } from "./window.ts";

interface KernelAttrs {
  readonly kernel_type: string;
  readonly antialias: boolean;
}

const kernelAttrs = {
  kernel_type: attr.string({ default: "lanczos3" }),
  antialias: attr.bool({ default: true }),
};

/** Where an image of the size `to` lies in one of the size `from`. */
interface Place {
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly scale: Tensor;
  readonly translation: Tensor;
}

function needPair(t: Tensor): readonly number[] {
  if (t.shape.length !== 1) throw invalid("t must be 1-dimensional");
  if (t.shape[0] !== 2) throw invalid("t must have two elements");
  return toNumbers(t);
}

/** Samples of rows and columns. @throws VarscopeError INVALID_ARGUMENT - a scale of 0, a kernel that is none */
function samplings({ from, to, scale, translation }: Place, attrs: KernelAttrs): [Sampling, Sampling] {
  if (!isKernel(attrs.kernel_type)) throw invalid(`Unrecognized kernel type: ${attrs.kernel_type}`);
  const scales = needPair(scale);
  if (!scales.every((s) => s > 0)) throw invalid("Scale must be greater than zero.");
  const translations = needPair(translation);
  const along = (i: number): Sampling =>
    spans(from[i]!, to[i]!, {
      kernel: attrs.kernel_type,
      scale: scales[i]!,
      translation: translations[i]!,
      antialias: attrs.antialias,
    });
  return [along(0), along(1)];
}

/**
 * Pixel x of the result lies at (x + 1/2 - translation) / scale of the image. `size`, `scale`, `translation`: [2], height and width; what
 * lies outside the image is 0. @returns float32
 */
export const ScaleAndTranslate = defineOp("ScaleAndTranslate", {
  inputs: { images: "T", size: "int32", scale: "float32", translation: "float32" },
  outputs: { resized_images: "float32" },
  attrs: { T: attr.type(...IMAGE_TYPES), ...kernelAttrs },
  infer: ({ images, size }) => resizedShape(images, size),
  grad: (g, op, [dy]) => {
    const [image, , scale, translation] = op.inputs;
    const { kernel_type, antialias } = op.attrs;
    const attrs = { kernel_type: kernel_type!, antialias: antialias! };
    const dx = g.add("ScaleAndTranslateGrad", [dy!, image!, scale!, translation!], { attrs });
    return [dx, null, null, null];
  },
  lowers: ({ T }, { images, size, scale, translation }) =>
    lowersSampled(T, images.shape) && scale.value !== null && translation.value !== null && lowersTo(size),
  lower: (onnx, { images, size, scale, translation }, attrs) => {
    const to = targetSize(images.shape!, size.constant!);
    const place = { to, scale: scale.constant!, translation: translation.constant! };
    const from = images.shape!.slice(1, 3) as number[];
    return [lowerSampled(onnx, images, ...samplings({ ...place, from }, attrs))];
  },
  host: ({ images, size, scale, translation }, attrs) => {
    const to = targetSize(images.shape, size);
    const place = { from: images.shape.slice(1, 3), to, scale, translation };
    return [resampled(images, ...samplings(place, attrs), "float32")];
  },
});

function backward(grads: Shape, original: Shape, scale: Tensor, translation: Tensor, attrs: KernelAttrs) {
  needRank(grads, 4);
  needRank(original, 4);
  const [from, to] = [original, grads].map((s) => s.slice(1, 3) as number[]) as [number[], number[]];
  const [rows, columns] = samplings({ from, to, scale, translation }, attrs);
  return [transposed(rows), transposed(columns)] as const;
}

/** Gradient of ScaleAndTranslate. */
export const ScaleAndTranslateGrad = defineOp("ScaleAndTranslateGrad", {
  inputs: { grads: "T", original_image: "T", scale: "float32", translation: "float32" },
  outputs: { output: "T" },
  attrs: { T: attr.type("float32"), ...kernelAttrs },
  infer: ({ original_image }) => [{ shape: original_image.shape }],
  grad: absent("TensorFlow registers none"),
  lowers: (_, { grads, original_image, scale, translation }) =>
    lowersSampled("float32", grads.shape) &&
    lowersSampled("float32", original_image.shape) &&
    scale.value !== null &&
    translation.value !== null,
  lower: (onnx, { grads, original_image, scale, translation }, attrs) => [
    lowerSampled(
      onnx,
      grads,
      ...backward(grads.shape!, original_image.shape!, scale.constant!, translation.constant!, attrs),
    ),
  ],
  host: ({ grads, original_image, scale, translation }, attrs) => [
    resampled(grads, ...backward(grads.shape, original_image.shape, scale, translation, attrs), "float32"),
  ],
});
