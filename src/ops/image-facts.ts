/**
 * @file What ops that resample images share: shapes from a `size` input, TensorFlow's checks in its words, and the lowering of a pair of
 * samplings. Images are [batch, height, width, channels]. Start at `sizedShape`.
 *
 * @see TensorFlow core/ops/image_ops.cc "SetOutputToSizedImage"; core/util/image_resizer_state.h
 */

import { type DType, isStatic, type Shape, type Tensor, toNumbers } from "../base/index.ts";
import type { Inferred, Onnx, OnnxValue, Spec } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { matrixOf, type Sampling } from "./kernels/sampling.ts";
import { movable } from "./onnx-facts.ts";
import { invalid, needRank } from "./window.ts";

/** What the ops that resize take; ONNX and our kernels compute in float32, as TensorFlow's. */
export const IMAGE_TYPES = [
  "int8",
  "uint8",
  "int16",
  "uint16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
  "bfloat16",
] as const;

/** The dim at `axis`; null where it or the rank is not known. */
export const dimAt = (shape: Shape | null, axis: number): number | null => shape?.[axis] ?? null;

/** @throws VarscopeError INVALID_ARGUMENT - the dim is known and another */
export function needDim(found: number | null, want: number): void {
  if (found !== null && found !== want) throw invalid(`Dimension must be ${want} but is ${found}`);
}

/**
 * [batch, height, width, channels], where height and width are the value of `size`, int32 [2].
 *
 * @throws VarscopeError INVALID_ARGUMENT - `size` has another shape
 */
export function sizedShape(batch: number | null, size: Spec, channels: number | null): Inferred {
  needRank(size.shape, 1);
  needDim(dimAt(size.shape, 0), 2);
  const [height, width] = size.value === null ? [null, null] : toNumbers(size.value).map(dimOf);
  return { shape: [batch, height!, width!, channels] };
}

/** A negative size is a dim that is not known, until the kernel refuses it. */
const dimOf = (size: number): number | null => (size < 0 ? null : size);

/** Shape of a resized image. @throws VarscopeError INVALID_ARGUMENT - not of rank 4 */
export function resizedShape(images: Spec, size: Spec): readonly Inferred[] {
  needRank(images.shape, 4);
  return [sizedShape(dimAt(images.shape, 0), size, dimAt(images.shape, 3))];
}

/** A window that slides along one axis. */
export interface WindowAlong {
  readonly kernel: number;
  readonly stride: number;
  /** distance of the window's elements */
  readonly rate: number;
  readonly padding: string;
}

const extentOf = ({ kernel, rate }: WindowAlong): number => (kernel - 1) * rate + 1;

/**
 * Number of windows along an axis, which may be 0; null where the size is not known.
 *
 * @see TensorFlow core/framework/kernel_shape_util.cc "GetWindowedOutputSizeVerbose"
 */
export function windowCount(size: number | null, window: WindowAlong): number | null {
  const { stride, padding } = window;
  if (stride <= 0) throw invalid(`Stride must be > 0, but got ${stride}`);
  if (size === null) return null;
  if (padding === "SAME") return Math.ceil(size / stride);
  const extent = extentOf(window);
  const count = Math.trunc((size - extent + stride) / stride);
  if (count >= 0) return count;
  throw invalid(
    `Computed output size would be negative: ${count} [input_size: ${size}, effective_filter_size: ${extent}, stride: ${stride}]`,
  );
}

/** Elements that the first window sees before the axis. */
export function paddingBefore(size: number, count: number, window: WindowAlong): number {
  if (window.padding !== "SAME") return 0;
  return Math.max((count - 1) * window.stride + extentOf(window) - size, 0) >> 1;
}

/**
 * Height and width that an image is resized to.
 *
 * @throws VarscopeError INVALID_ARGUMENT - an empty image or size
 */
export function targetSize(image: Shape, size: Tensor): [number, number] {
  if (image[3] === 0) throw invalid("image must have at least one channel");
  if (image[1] === 0 || image[2] === 0) throw invalid("input image must be of non-zero size");
  const [height, width] = toNumbers(size) as [number, number];
  if (height <= 0 || width <= 0) throw invalid("output dimensions must be positive");
  const [n, h, w, c] = image.map((d) => d ?? 1) as [number, number, number, number];
  boundedSize([n, height, Math.max(w, width), c], "float32");
  boundedSize([n, Math.max(h, height), width, c], "float32");
  return [height, width];
}

/**
 * The longest side that a matrix product maps: it takes time for each element of a row, where the loop of the host kernel takes only those
 * that weigh. From 512 x 512 x 3 to 224 x 224 both take 8 to 11 ms; from 1024 to 512 the loop takes 89 ms, the product 127.
 */
const LONGEST = 512;

/** The longest side that a lowered image grows to: its weights are constants of the model, 8 MB each at this. */
const MOST = 4096;

/** Whether ONNX Runtime takes images of this dtype and all but their number is known. */
export const isKnownImage = (dtype: DType, image: Shape | null): boolean =>
  movable(dtype) && image !== null && isStatic(image.slice(1)) && !image.includes(0);

/** Whether an image of this shape is known enough, and small enough, for `onnx.nn.resample`. */
export const lowersSampled = (dtype: DType, image: Shape | null): boolean =>
  isKnownImage(dtype, image) && image![1]! <= LONGEST && image![2]! <= LONGEST;

/** Whether the size that an image is resized to is known, and small enough. */
export const lowersTo = (size: Spec): boolean =>
  size.value !== null && toNumbers(size.value).every((d) => d <= MOST);

/** Rows and columns resampled; the result is float32. */
export const lowerSampled = (onnx: Onnx, x: OnnxValue, rows: Sampling, columns: Sampling): OnnxValue =>
  onnx.nn.resample(onnx.cast(x, "float32"), matrixOf(rows), matrixOf(columns));
