/**
 * @file Images as public functions, with TensorFlow's node names: `resizeImages` and the resize functions of TensorFlow 1, and crops. The
 * ops are in image-resize.ts, image-scale.ts and crop.ts; detection is in nms-api.ts, color in color-api.ts.
 *
 * @see TensorFlow python/ops/image_ops_impl.py
 */

import { type Input, Output, specOf } from "../graph/index.ts";
import { mul, truediv } from "./operators.ts";
import { cast, element, part, setShape, shape, stack, zeros } from "./pieces.ts";
import { invalid } from "./window.ts";

/** How tf.image.resize finds pixels. */
export type ResizeMethod =
  | "bilinear"
  | "nearest"
  | "bicubic"
  | "area"
  | "lanczos3"
  | "lanczos5"
  | "gaussian"
  | "mitchellcubic";

/** Height and width: numbers, outputs (int32 scalars), or an int32 vector of two. */
export type ImageSize = readonly (number | Output)[] | Output;

export interface ResizeOptions {
  /** bilinear */
  readonly method?: ResizeMethod;
  /** the largest size within `size` of the image's own shape: false */
  readonly preserveAspectRatio?: boolean;
  /** filter where the image shrinks; of no effect for nearest and area: false */
  readonly antialias?: boolean;
  /** resize */
  readonly name?: string;
}

/** Ops that place pixels by their centers, and the kernels that stand for them with antialias. */
const OPS: Readonly<Record<string, readonly [op: string, kernel: string | null]>> = {
  bilinear: ["ResizeBilinear", "triangle"],
  bicubic: ["ResizeBicubic", "keyscubic"],
  nearest: ["ResizeNearestNeighbor", null],
};

const KERNELS: readonly string[] = ["lanczos3", "lanczos5", "gaussian", "mitchellcubic"];

/**
 * Images resized as tf.image.resize does. Named "resize".
 *
 * @param images - [batch, height, width, channels] or [height, width, channels]
 * @param size - new height and width
 * @returns float32; of the images' dtype with method nearest
 * @throws VarscopeError INVALID_ARGUMENT - the rank is not known or another, an unknown method
 */
export function resizeImages(images: Output, size: ImageSize, options: ResizeOptions = {}): Output {
  const { method = "bilinear", preserveAspectRatio = false, antialias = false } = options;
  const g = images.graph;
  if (images.shape === null) throw invalid("'images' contains no shape.");
  const rank = images.shape.length;
  if (rank !== 3 && rank !== 4) throw invalid("'images' must have either 3 or 4 dimensions.");
  return g.nameScope(options.name ?? "resize", () => {
    const batch = rank === 4 ? images : g.add("ExpandDims", [images, 0]);
    const wanted = size instanceof Output ? size : stack(g, size, "size");
    const target = preserveAspectRatio ? fittingSize(batch, wanted) : wanted;
    const resized = resizedBy(method, batch, target, antialias);
    const [height, width] = specOf(target).partial ?? [null, null];
    setShape(resized, [null, height!, width!, null]);
    return rank === 4 ? resized : g.add("Squeeze", [resized], { attrs: { squeeze_dims: [0] } });
  });
}

function resizedBy(method: ResizeMethod, images: Output, size: Output, antialias: boolean): Output {
  const g = images.graph;
  if (method === "area") return g.add("ResizeArea", [images, size]);
  const [op, kernel] = OPS[method] ?? [];
  if (op !== undefined && !(antialias && kernel !== null))
    return g.add(op, [images, size], { attrs: { half_pixel_centers: true } });
  if (op === undefined && !KERNELS.includes(method))
    throw invalid(`Resize method is not implemented: ${method}`);
  const wanted = cast(size, "float32");
  const scale = truediv(wanted, cast(part(g, shape(images), 1, 3), "float32"));
  return g.add("ScaleAndTranslate", [images, size, scale, zeros(g, [2])], {
    attrs: { kernel_type: kernel ?? method, antialias },
  });
}

/** The size within `size` that has the images' aspect ratio, rounded. */
function fittingSize(images: Output, size: Output): Output {
  const g = images.graph;
  const [height, width] = spatialDims(images);
  const asFloat = (x: number | Output): Output => {
    if (x instanceof Output) return cast(x, "float32");
    return g.nameScope("Cast", (scope) =>
      g.add("Cast", [g.constant(x, { dtype: "int32", name: "x" })], {
        name: scope,
        attrs: { DstT: "float32" },
      }),
    );
  };
  const ratio = (i: number, dim: number | Output): Output =>
    truediv(cast(element(g, size, i), "float32"), asFloat(dim));
  const scale = g.add("Minimum", [ratio(0, height), ratio(1, width)]);
  const scaled = (dim: number | Output): Output => cast(g.add("Round", [mul(scale, asFloat(dim))]), "int32");
  return stack(g, [scaled(height), scaled(width)], "size");
}

/** Height and width: numbers where they are known. */
function spatialDims(images: Output): [number | Output, number | Output] {
  const known = images.shape!;
  if (known.every((d) => d !== null)) return [known[1]!, known[2]!];
  const dims = images.graph.addOp("Unpack", [shape(images)], {
    name: "unstack",
    attrs: { num: 4, axis: 0 },
  }).outputs;
  return [known[1] ?? dims[1]!, known[2] ?? dims[2]!];
}

export interface ResizeV1Options {
  /** the centers of the corner pixels stay: false */
  readonly alignCorners?: boolean;
  /** false, as TensorFlow 1 */
  readonly halfPixelCenters?: boolean;
  readonly name?: string;
}

const sizeInput = (size: ImageSize): Input => size as Input;

const resizer =
  (type: string) =>
  (images: Output, size: ImageSize, options: ResizeV1Options = {}): Output =>
    images.graph.add(type, [images, sizeInput(size)], {
      name: options.name ?? type,
      attrs: {
        align_corners: options.alignCorners ?? false,
        half_pixel_centers: options.halfPixelCenters ?? false,
      },
    });

/** tf.compat.v1.image.resize_bilinear. Named "ResizeBilinear". @returns float32 */
export const resizeBilinear = resizer("ResizeBilinear");
/** tf.compat.v1.image.resize_bicubic. Named "ResizeBicubic". @returns float32 */
export const resizeBicubic = resizer("ResizeBicubic");
/** tf.compat.v1.image.resize_nearest_neighbor. Named "ResizeNearestNeighbor". @returns of the images' dtype */
export const resizeNearestNeighbor = resizer("ResizeNearestNeighbor");

/** tf.compat.v1.image.resize_area. Named "ResizeArea". @returns float32 */
export const resizeArea = (
  images: Output,
  size: ImageSize,
  options: Omit<ResizeV1Options, "halfPixelCenters"> = {},
): Output =>
  images.graph.add("ResizeArea", [images, sizeInput(size)], {
    name: options.name ?? "ResizeArea",
    attrs: { align_corners: options.alignCorners ?? false },
  });

export interface CropOptions {
  /** bilinear */
  readonly method?: "bilinear" | "nearest";
  /** what is outside the image: 0 */
  readonly extrapolationValue?: number;
  readonly name?: string;
}

/**
 * Boxes of images, each resized to `cropSize`. Named "CropAndResize".
 *
 * @param image - [batch, height, width, channels]
 * @param boxes - float32 [boxes, 4], y1, x1, y2, x2 as parts of the image's sides
 * @param boxIndices - int32 [boxes], which image of the batch
 * @returns float32 [boxes, crop height, crop width, channels]
 */
export const cropAndResize = (
  image: Output,
  boxes: Input,
  boxIndices: Input,
  cropSize: ImageSize,
  options: CropOptions = {},
): Output =>
  image.graph.add("CropAndResize", [image, boxes, boxIndices, sizeInput(cropSize)], {
    name: options.name ?? "CropAndResize",
    attrs: { method: options.method ?? "bilinear", extrapolation_value: options.extrapolationValue ?? 0 },
  });
