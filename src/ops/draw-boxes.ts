/**
 * @file Boxes drawn on images, one pixel wide, in colors that take turns.
 *
 * @see TensorFlow core/ops/image_ops.cc "DrawBoundingBoxes"; core/kernels/image/draw_bounding_box_op.cc
 */

import { type Shape, type Tensor, toNumbers } from "../base/index.ts";
import { absent, attr, defineOp, type Spec, stopsGradients } from "../graph/index.ts";
import { dimAt, needDim } from "./image-facts.ts";
import { fromNumbers, numbersOf } from "./kernels/numbers.ts";
import { invalid, needRank } from "./window.ts";

type Colors = readonly (readonly number[])[];

/** Yellow, blue, red, lime, purple, olive, maroon, navy blue, aqua, fuchsia; all opaque. */
const COLORS: Colors = [
  [1, 1, 0, 1],
  [0, 0, 1, 1],
  [1, 0, 0, 1],
  [0, 1, 0, 1],
  [0.5, 0, 0.5, 1],
  [0.5, 0.5, 0, 1],
  [0.5, 0, 0, 1],
  [0, 0, 0.5, 1],
  [0, 1, 1, 1],
  [1, 0, 1, 1],
];

const DEPTHS = "Channel depth should be either 1 (GRY), 3 (RGB), or 4 (RGBA)";
const isDrawable = (depth: number | null): boolean =>
  depth === null || depth === 1 || depth === 3 || depth === 4;

const noOnnx = absent("ONNX has no drawing");

/** @throws VarscopeError INVALID_ARGUMENT - what TensorFlow's kernel refuses */
function needCanvas(images: Shape, boxes: Shape): void {
  if (images.length !== 4) throw invalid("The rank of the images should be 4");
  if (boxes.length !== 3) throw invalid("The rank of the boxes tensor should be 3");
  if (images[0] !== boxes[0]) throw invalid("The batch sizes should be the same");
  if (!isDrawable(images[3]!)) throw invalid(DEPTHS);
  if (boxes[2] !== 4)
    throw invalid(`The size of the third dimension of the box must be 4. Received: ${boxes[2]}`);
}

/** A part of a side as a pixel, as C++ casts it: towards zero, and far below where it is no number. */
function pixelAt(part: number, side: number): number {
  const at = Math.fround(part * (side - 1));
  return Math.abs(at) < 2 ** 63 ? Math.trunc(at) : -(2 ** 63);
}

function drawn(images: Tensor, boxes: Tensor, colors: Colors): Tensor {
  needCanvas(images.shape, boxes.shape);
  const [n, height, width, depth] = images.shape as [number, number, number, number];
  const canvas = Float64Array.from(numbersOf(images));
  const corners = toNumbers(boxes);
  const count = boxes.shape[1]!;
  for (let b = 0; b < n; b++) {
    for (let i = 0; i < count; i++) {
      const color = colors[i % colors.length]!;
      const at = 4 * (b * count + i);
      const [top, bottom] = [pixelAt(corners[at]!, height), pixelAt(corners[at + 2]!, height)];
      const [left, right] = [pixelAt(corners[at + 1]!, width), pixelAt(corners[at + 3]!, width)];
      if (top > bottom || left > right || top >= height || bottom < 0 || left >= width || right < 0) continue;
      const dot = (y: number, x: number): void => {
        if (y < 0 || y >= height || x < 0 || x >= width) return;
        canvas.set(color.slice(0, depth), ((b * height + y) * width + x) * depth);
      };
      for (let x = Math.max(left, 0); x <= Math.min(right, width - 1); x++) {
        dot(top, x);
        dot(bottom, x);
      }
      for (let y = Math.max(top, 0); y <= Math.min(bottom, height - 1); y++) {
        dot(y, left);
        dot(y, right);
      }
    }
  }
  return fromNumbers(images.dtype, images.shape, canvas);
}

/** The colors given, or the usual ones; of gray images these are white. */
function colorsOf(colors: Tensor | null, depth: number): Colors {
  if (colors !== null) {
    if (colors.shape.length !== 2) throw invalid("colors must be a 2-D matrix");
    const channels = colors.shape[1]!;
    if (channels < depth) {
      const found = `[${colors.shape.join(",")}]`;
      throw invalid(`colors must have equal or more channels than the image provided: ${found}`);
    }
    const values = toNumbers(colors);
    if (values.length > 0)
      return Array.from({ length: colors.shape[0]! }, (_, i) =>
        values.slice(i * channels, (i + 1) * channels),
      );
  }
  return depth === 1 ? [[1]] : COLORS;
}

const attrs = { T: attr.typeOr("float32", "float32", "float16") };

/**
 * Boxes drawn on images [batch, height, width, 1, 3 or 4]. `boxes`: [batch, boxes, 4], y1, x1, y2, x2 as parts of the image's sides.
 */
export const DrawBoundingBoxes = defineOp("DrawBoundingBoxes", {
  inputs: { images: "T", boxes: "float32" },
  outputs: { output: "T" },
  attrs,
  infer: ({ images, boxes }) => {
    needRank(images.shape, 4);
    if (!isDrawable(dimAt(images.shape, 3))) throw invalid(DEPTHS);
    needRank(boxes.shape, 3);
    needDim(dimAt(boxes.shape, 2), 4);
    return [{ shape: images.shape }];
  },
  grad: stopsGradients,
  lower: noOnnx,
  host: ({ images, boxes }) => [drawn(images, boxes, colorsOf(null, images.shape[3]!))],
});

/** The same with colors [colors, channels], which boxes take in turn. */
export const DrawBoundingBoxesV2 = defineOp("DrawBoundingBoxesV2", {
  inputs: { images: "T", boxes: "float32", colors: "float32" },
  outputs: { output: "T" },
  attrs,
  infer: ({ images }: { readonly images: Spec }) => {
    if (images.shape !== null && images.shape.length < 3)
      throw invalid(`Shape must be at least rank 3 but is rank ${images.shape.length}`);
    return [{ shape: images.shape }];
  },
  grad: absent("TensorFlow registers none"),
  lower: noOnnx,
  host: ({ images, boxes, colors }) => {
    needCanvas(images.shape, boxes.shape);
    return [drawn(images, boxes, colorsOf(colors, images.shape[3]!))];
  },
});
