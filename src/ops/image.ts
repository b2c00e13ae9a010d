/** @file `image`: ops on images and boxes under the names that `tf.image` has; `resizeArea` and its like are those of TensorFlow 1. */

export { adjustContrast, adjustHue, adjustSaturation, hsvToRgb, rgbToHsv } from "./color.ts";
export {
  type CropOptions,
  cropAndResize,
  type ImageSize,
  type ResizeMethod,
  type ResizeOptions,
  type ResizeV1Options,
  resizeArea,
  resizeBicubic,
  resizeBilinear,
  resizeImages as resize,
  resizeNearestNeighbor,
} from "./image-api.ts";
export {
  type CombinedNmsOptions,
  combinedNonMaxSuppression,
  type Detections,
  type NmsOptions,
  nonMaxSuppression,
  nonMaxSuppressionWithScores,
  type SoftNmsOptions,
} from "./nms-api.ts";
export { extractPatches, type PatchOptions } from "./patches.ts";
