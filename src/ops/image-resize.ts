/**
 * @file Resizing images: bilinear, bicubic, area and nearest neighbor, and the gradient ops. All but nearest neighbor give float32. The
 * weights are in kernels/sampling-weights.ts; ScaleAndTranslate is in image-scale.ts, the public functions in image-api.ts.
 *
 * @see TensorFlow core/ops/image_ops.cc, core/kernels/image/resize_*_op.cc; python/ops/image_grad.py
 */

import { type DType, type Shape, stridesOf, type Tensor, toNumbers } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
  stopsGradients,
} from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import {
  dimAt,
  IMAGE_TYPES,
  isKnownImage,
  lowerSampled,
  lowersSampled,
  lowersTo,
  resizedShape,
  targetSize,
} from "./image-facts.ts";
import { pickAlong, ramp, sourcesAlong } from "./kernels/pick.ts";
import { scatterAdd } from "./kernels/pool.ts";
import { resampled, type Sampling, transposed } from "./kernels/sampling.ts";
import { area, cubic, type Grid, linear, nearest, picked } from "./kernels/sampling-weights.ts";
import { part, shape } from "./pieces.ts";
import { invalid, needRank } from "./window.ts";

type Method = (inputs: number, outputs: number, grid: Grid) => Sampling;
type Pair = readonly [number, number];

/** ResizeArea has no half_pixel_centers, and no need of it. */
interface Corners {
  readonly align_corners: boolean;
  readonly half_pixel_centers?: boolean;
}

const alignCorners = { align_corners: attr.bool({ default: false }) };
const corners = { ...alignCorners, half_pixel_centers: attr.bool({ default: false }) };
const imageAttrs = { T: attr.type(...IMAGE_TYPES), ...corners };

/** @throws VarscopeError INVALID_ARGUMENT - both ways to place pixels */
function gridOf({ align_corners, half_pixel_centers = false }: Corners): Grid {
  if (align_corners && half_pixel_centers)
    throw invalid("If half_pixel_centers is True, align_corners must be False.");
  return { align_corners, half_pixel_centers };
}

/** How rows and columns of one size become another. */
const both = (method: Method, [h, w]: Pair, [height, width]: Pair, grid: Grid): [Sampling, Sampling] => [
  method(h, height, grid),
  method(w, width, grid),
];

const sizeOfImage = (image: Shape): Pair => [image[1]!, image[2]!];

interface Resize<X> {
  readonly images: X;
  readonly size: X;
}

function forward(method: Method, image: Shape, size: Tensor, attrs: Corners): [Sampling, Sampling] {
  const grid = gridOf(attrs);
  return both(method, sizeOfImage(image), targetSize(image, size), grid);
}

/** An op that resizes to float32. */
const resizing = (method: Method) => ({
  inputs: { images: "T", size: "int32" } as const,
  outputs: { resized_images: "float32" } as const,
  infer: ({ images, size }: Resize<Spec>) => resizedShape(images, size),
  lowers: ({ T }: { readonly T: DType }, { images, size }: Resize<Spec>): boolean =>
    lowersSampled(T, images.shape) && lowersTo(size),
  lower: (onnx: Onnx, { images, size }: Resize<OnnxValue>, attrs: Corners): readonly OnnxValue[] => [
    lowerSampled(onnx, images, ...forward(method, images.shape!, size.constant!, attrs)),
  ],
  host: ({ images, size }: Resize<Tensor>, attrs: Corners): readonly Tensor[] => [
    resampled(images, ...forward(method, images.shape, size, attrs), "float32"),
  ],
});

interface ResizeGrad<X> {
  readonly grads: X;
  readonly original_image: X;
}

function backward(method: Method, grads: Shape, original: Shape, attrs: Corners): [Sampling, Sampling] {
  const grid = gridOf(attrs);
  needRank(grads, 4);
  if (grads[1] === 0 || grads[2] === 0) throw invalid("resized dimensions must be positive");
  needRank(original, 4);
  if (original[1] === 0 || original[2] === 0) throw invalid("original dimensions must be positive");
  const [rows, columns] = both(method, sizeOfImage(original), sizeOfImage(grads), grid);
  return [transposed(rows), transposed(columns)];
}

/** The gradient op of one that resizes to float32: each dy goes to the pixels that it came of, by their weights. */
const resizingBack = (method: Method) => ({
  inputs: { grads: "float32", original_image: "T" } as const,
  outputs: { output: "T" } as const,
  infer: ({ original_image }: ResizeGrad<Spec>) => [{ shape: original_image.shape }],
  lowers: ({ T }: { readonly T: DType }, { grads, original_image }: ResizeGrad<Spec>): boolean =>
    T !== "float64" && lowersSampled(T, original_image.shape) && lowersSampled("float32", grads.shape),
  lower: (onnx: Onnx, { grads, original_image }: ResizeGrad<OnnxValue>, attrs: Corners) => [
    onnx.cast(
      lowerSampled(onnx, grads, ...backward(method, grads.shape!, original_image.shape!, attrs)),
      original_image.dtype,
    ),
  ],
  host: ({ grads, original_image }: ResizeGrad<Tensor>, attrs: Corners): readonly Tensor[] => [
    resampled(grads, ...backward(method, grads.shape, original_image.shape, attrs), original_image.dtype),
  ],
});

const cornersOf = ({ attrs }: Operation) => ({
  align_corners: attrs.align_corners!,
  half_pixel_centers: attrs.half_pixel_centers!,
});

const imageGrad = (g: Graph, op: Operation, dy: Output, type: string): Output =>
  g.add(type, [dy, op.inputs[0]!], { attrs: cornersOf(op) });

/** Each pixel by distance from its four neighbours. `size`: int32 [2], height and width. @returns float32 */
export const ResizeBilinear = defineOp("ResizeBilinear", {
  ...resizing(linear),
  attrs: imageAttrs,
  grad: (g, op, [dy]) => [imageGrad(g, op, dy!, "ResizeBilinearGrad"), null],
});

/** Gradient of ResizeBilinear. @see TensorFlow core/kernels/image/resize_bilinear_op.cc */
export const ResizeBilinearGrad = defineOp("ResizeBilinearGrad", {
  ...resizingBack(linear),
  attrs: { T: attr.type("float32", "bfloat16", "float16", "float64"), ...corners },
  grad: stopsGradients,
});

/** Each pixel from its sixteen neighbours, by a cubic that TensorFlow keeps in steps of 1/1024. @returns float32 */
export const ResizeBicubic = defineOp("ResizeBicubic", {
  ...resizing(cubic),
  attrs: imageAttrs,
  grad: (g, op, [dy], { T }) => [
    T === "float32" || T === "float64" ? imageGrad(g, op, dy!, "ResizeBicubicGrad") : null,
    null,
  ],
});

/** Gradient of ResizeBicubic. @see TensorFlow core/kernels/image/resize_bicubic_op.cc */
export const ResizeBicubicGrad = defineOp("ResizeBicubicGrad", {
  ...resizingBack(cubic),
  attrs: { T: attr.type("float32", "float64"), ...corners },
  grad: absent("TensorFlow registers none"),
});

/** Mean of the pixels that each covers. @returns float32 */
export const ResizeArea = defineOp("ResizeArea", {
  ...resizing(area),
  attrs: { T: attr.type(...IMAGE_TYPES), ...alignCorners },
  grad: absent("TensorFlow registers none"),
});

/** Index of the pixel that each row, and each column, is a copy of. */
const sources = ([h, w]: Pair, [height, width]: Pair, grid: Grid): [Int32Array, Int32Array] => [
  nearest(h, height, grid),
  nearest(w, width, grid),
];

/** Offsets along each axis of the pixels at these rows and columns of an image. */
function tablesOf(image: readonly number[], rows: Int32Array, columns: Int32Array): Int32Array[] {
  const [n, , , channels] = image as [number, number, number, number];
  const strides = stridesOf(image) as [number, number, number, number];
  const [down, right] = [rows.map((i) => i * strides[1]), columns.map((i) => i * strides[2])];
  return [ramp(n, 0, strides[0]), down, right, ramp(channels, 0, 1)];
}

/** How often each index comes, if all come in order and equally often; else null. */
function repeats(indices: Int32Array, count: number): number | null {
  const times = indices.length / count;
  return Number.isInteger(times) && indices.every((x, i) => x === Math.floor(i / times)) ? times : null;
}

/** The nearest pixel, unchanged. @returns of the image's dtype */
export const ResizeNearestNeighbor = defineOp("ResizeNearestNeighbor", {
  inputs: { images: "T", size: "int32" },
  outputs: { resized_images: "T" },
  attrs: imageAttrs,
  infer: ({ images, size }) => resizedShape(images, size),
  grad: (g, op, [dy]) => {
    const image = op.inputs[0]!;
    const [h, w] = [dimAt(image.shape, 1), dimAt(image.shape, 2)];
    const size = h !== null && w !== null ? [h, w] : part(g, shape(image), 1, 3);
    return [g.add("ResizeNearestNeighborGrad", [dy!, size], { attrs: cornersOf(op) }), null];
  },
  lowers: ({ T }, { images, size }) => isKnownImage(T, images.shape) && size.value !== null,
  lower: (onnx, { images, size }, attrs) => {
    const from = sizeOfImage(images.shape!);
    const to = targetSize(images.shape!, size.constant!);
    const [rows, columns] = sources(from, to, gridOf(attrs));
    const times = [repeats(rows, from[0]), repeats(columns, from[1])];
    if (images.dtype === "float32" && times[0] !== null && times[1] !== null)
      return [onnx.nn.repeat(images, times[0]!, times[1]!)];
    const [n, , w, c] = images.shape!;
    const tall = onnx.add(
      "Gather",
      [images, onnx.ints([...rows])],
      { axis: 1 },
      { shape: [n!, to[0], w!, c!] },
    );
    return [onnx.add("Gather", [tall, onnx.ints([...columns])], { axis: 2 }, { shape: [n!, ...to, c!] })];
  },
  host: ({ images, size }, attrs) => {
    const grid = gridOf(attrs);
    const to = targetSize(images.shape, size);
    const [rows, columns] = sources(sizeOfImage(images.shape), to, grid);
    return [pickAlong(images, tablesOf(images.shape, rows, columns))];
  },
});

/** Height and width of the original image. @throws VarscopeError INVALID_ARGUMENT */
function originalSize(grads: Shape, size: Tensor): [number, number] {
  const [height, width] = toNumbers(size) as [number, number];
  if (height <= 0 || width <= 0) throw invalid("shape_t's elements must be positive");
  boundedSize([grads[0] ?? 1, height, width, grads[3] ?? 1], "float32");
  return [height, width];
}

/** Gradient of ResizeNearestNeighbor: the sum of dy over the copies of each pixel. `size`: int32 [2], of the original. */
export const ResizeNearestNeighborGrad = defineOp("ResizeNearestNeighborGrad", {
  inputs: { grads: "T", size: "int32" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type("uint8", "int8", "int32", "float16", "float32", "float64", "bfloat16"),
    ...corners,
  },
  infer: ({ grads, size }) => resizedShape(grads, size),
  grad: absent("TensorFlow registers none"),
  lowers: ({ T }, { grads, size }) =>
    (T === "float32" || T === "float16") && lowersSampled(T, grads.shape) && lowersTo(size),
  lower: (onnx, { grads, size }, attrs) => {
    const to = originalSize(grads.shape!, size.constant!);
    const [rows, columns] = sources(to, sizeOfImage(grads.shape!), attrs);
    const [up, left] = [transposed(picked(to[0], rows)), transposed(picked(to[1], columns))];
    return [onnx.cast(lowerSampled(onnx, grads, up, left), grads.dtype)];
  },
  host: ({ grads, size }, attrs) => {
    const to = originalSize(grads.shape, size);
    const [rows, columns] = sources(to, sizeOfImage(grads.shape), attrs);
    const [n, , , c] = grads.shape as [number, number, number, number];
    const whole = [n, ...to, c];
    return [scatterAdd(grads, sourcesAlong(tablesOf(whole, rows, columns)), whole)];
  },
});
