/**
 * @file CropAndResize: boxes of images, resized to one size, and its gradients for image and boxes. Boxes are [y1, x1, y2, x2] as parts of
 * the image's sides; y1 above y2 flips.
 *
 * @see TensorFlow core/ops/image_ops.cc, core/kernels/image/crop_and_resize_op.cc; python/ops/image_grad.py
 */

import { isStatic, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, needDim, sizedShape } from "./image-facts.ts";
import { type Boxes, cropGradBoxes, cropGradImage, crops } from "./kernels/crop.ts";
import { shape } from "./pieces.ts";
import { invalid, mergeDims, needRank, shapeFrom } from "./window.ts";

const IMAGES = [
  "uint8",
  "uint16",
  "int8",
  "int16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
] as const;

const method = attr.string({ default: "bilinear", allowed: ["bilinear", "nearest"] });
const noOnnx = absent("ONNX has no crop by sampling points; RoiAlign averages, and samples at other points");

/** @throws VarscopeError INVALID_ARGUMENT, OUT_OF_RANGE - what TensorFlow's kernels refuse */
function placesOf(image: readonly number[], boxes: Tensor, images: Tensor, size: readonly number[]): Boxes {
  if (image[1]! <= 0 || image[2]! <= 0) throw invalid("image dimensions must be positive");
  if (boxes.shape.length !== 2) throw invalid(`boxes must be 2-D, got: [${boxes.shape.join(",")}]`);
  if (boxes.shape[1] !== 4) throw invalid("boxes must have 4 columns");
  if (images.shape.length !== 1) throw invalid("box_index must be 1-D");
  if (images.shape[0] !== boxes.shape[0]) throw invalid("box_index has incompatible shape");
  if (toNumbers(images).some((i) => i < 0 || i >= image[0]!))
    throw new VarscopeError("OUT_OF_RANGE", "box_index has values outside [0, batch_size)");
  return { shape: image, boxes, images, size: [size[0]!, size[1]!] };
}

/**
 * Crops of `image` [batch, height, width, channels]: box i is of image box_ind[i]. `crop_size`: int32 [2]; outside the image is
 * `extrapolation_value`. @returns float32 [boxes, crop height, crop width, channels]
 */
export const CropAndResize = defineOp("CropAndResize", {
  inputs: { image: "T", boxes: "float32", box_ind: "int32", crop_size: "int32" },
  outputs: { crops: "float32" },
  attrs: { T: attr.type(...IMAGES), method, extrapolation_value: attr.float({ default: 0 }) },
  infer: ({ image, boxes, box_ind, crop_size }) => {
    needRank(image.shape, 4);
    needRank(boxes.shape, 2);
    needRank(box_ind.shape, 1);
    const count = mergeDims(dimAt(boxes.shape, 0), dimAt(box_ind.shape, 0));
    needDim(dimAt(boxes.shape, 1), 4);
    return [sizedShape(count, crop_size, dimAt(image.shape, 3))];
  },
  grad: (g, op, [dy], { T, method }) => {
    const [image, boxes, owners] = op.inputs;
    const size = isStatic(image!.shape) ? [...image!.shape] : shape(image!);
    const differentiable = T === "float16" || T === "float32" || T === "float64";
    const toImage = differentiable
      ? g.add("CropAndResizeGradImage", [dy!, boxes!, owners!, size], { attrs: { T, method } })
      : null;
    return [toImage, g.add("CropAndResizeGradBoxes", [dy!, image!, boxes!, owners!]), null, null];
  },
  lower: noOnnx,
  host: ({ image, boxes, box_ind, crop_size }, { method, extrapolation_value }) => {
    const size = toNumbers(crop_size);
    const places = placesOf(image.shape, boxes, box_ind, size);
    if (size.some((d) => d <= 0)) throw invalid("crop dimensions must be positive");
    boundedSize([boxes.shape[0]!, ...size, image.shape[3]!], "float32");
    if (!toNumbers(boxes).every(Number.isFinite))
      throw invalid("Boxes contains at least one element that is not finite");
    return [crops(image, places, method, extrapolation_value)];
  },
});

/** Checks the gradient of crops. */
function needGrads(grads: Tensor, boxes: Tensor): void {
  needRank(grads.shape, 4);
  if (grads.shape[1] === 0 || grads.shape[2] === 0) throw invalid("grads dimensions must be positive");
  if (grads.shape[0] !== boxes.shape[0]) throw invalid("boxes and grads have incompatible shape");
}

/** Gradient of CropAndResize for an image of the shape `image_size`, int32 [4]. */
export const CropAndResizeGradImage = defineOp("CropAndResizeGradImage", {
  inputs: { grads: "float32", boxes: "float32", box_ind: "int32", image_size: "int32" },
  outputs: { output: "T" },
  attrs: { T: attr.type("float32", "float16", "float64"), method },
  infer: ({ image_size }) => [{ shape: shapeFrom(image_size, 4) }],
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
  host: ({ grads, boxes, box_ind, image_size }, { T, method }) => {
    needGrads(grads, boxes);
    const image = toNumbers(image_size);
    const places = placesOf(image, boxes, box_ind, grads.shape.slice(1, 3));
    if (grads.shape[3] !== image[3]) throw invalid("image_size and grads are incompatible");
    boundedSize(image, T);
    return [cropGradImage(grads, places, method, T)];
  },
});

/** Gradient of bilinear CropAndResize for the boxes. @returns float32 [boxes, 4] */
export const CropAndResizeGradBoxes = defineOp("CropAndResizeGradBoxes", {
  inputs: { grads: "float32", image: "T", boxes: "float32", box_ind: "int32" },
  outputs: { output: "float32" },
  attrs: { T: attr.type(...IMAGES), method: attr.string({ default: "bilinear", allowed: ["bilinear"] }) },
  infer: ({ boxes }) => [{ shape: boxes.shape }],
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
  host: ({ grads, image, boxes, box_ind }) => {
    needGrads(grads, boxes);
    needRank(image.shape, 4);
    const places = placesOf(image.shape, boxes, box_ind, grads.shape.slice(1, 3));
    if (image.shape[3] !== grads.shape[3]) throw invalid("image, grads depth differ");
    return [cropGradBoxes(grads, image, places)];
  },
});
