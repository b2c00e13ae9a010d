/**
 * @file ExtractImagePatches: the windows of an image laid side by side as channels.
 *
 * @see TensorFlow core/ops/array_ops.cc "ExtractImagePatches"; core/kernels/extract_image_patches_op.cc; python/ops/array_grad.py
 */

import {
  type DType,
  isStatic,
  type Shape,
  sizeOf,
  stridesOf,
  type Tensor,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
} from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, paddingBefore, type WindowAlong, windowCount } from "./image-facts.ts";
import { pick } from "./kernels/pick.ts";
import { add, mul, sub } from "./operators.ts";
import { cast, part, reshape, shape, transpose } from "./pieces.ts";
import { imageShape, invalid, needRank } from "./window.ts";

interface PatchAttrs {
  readonly ksizes: readonly number[];
  readonly strides: readonly number[];
  readonly rates: readonly number[];
  readonly padding: string;
}

function patchShape(image: Shape | null, attrs: PatchAttrs): Shape {
  needRank(image, 4);
  for (const name of ["ksizes", "strides", "rates"] as const) {
    const { length } = attrs[name];
    if (length !== 4)
      throw invalid(
        `ExtractImagePatches requires the ${name} attribute to contain 4 values, but got: ${length}`,
      );
  }
  // where one side is not known, TensorFlow leaves both open
  const sized = dimAt(image, 1) !== null && dimAt(image, 2) !== null;
  const along = (axis: 1 | 2): number | null =>
    windowCount(sized ? image![axis]! : null, windowAlong(axis, attrs));
  const depth = image?.[3] ?? null;
  const taps = attrs.ksizes[1]! * attrs.ksizes[2]!;
  return imageShape("NHWC", image?.[0] ?? null, along(1), along(2), depth === null ? null : depth * taps);
}

const windowAlong = (axis: 1 | 2, { ksizes, strides, rates, padding }: PatchAttrs): WindowAlong => ({
  kernel: ksizes[axis]!,
  stride: strides[axis]!,
  rate: rates[axis]!,
  padding,
});

/** One axis: number of windows, and where the taps of window 0 lie in the image, before it too. */
interface Axis {
  readonly size: number;
  readonly count: number;
  readonly stride: number;
  readonly taps: readonly number[];
}

/** @throws VarscopeError UNIMPLEMENTED, OUT_OF_RANGE - windows over the batch or the channels, or of nothing */
function axesOf(image: Shape, attrs: PatchAttrs): [Axis, Axis] {
  for (const name of ["ksizes", "strides", "rates"] as const) {
    const [batch, h, w, c] = attrs[name] as [number, number, number, number];
    if (batch !== 1 || c !== 1)
      throw new VarscopeError("UNIMPLEMENTED", `Only support ${name} across space.`);
    if (h < 1 || w < 1) throw new VarscopeError("OUT_OF_RANGE", `${name} is out of range.`);
  }
  const out = patchShape(image, attrs);
  const along = (axis: 1 | 2): Axis => {
    const [size, count] = [image[axis]!, out[axis]!];
    const along = windowAlong(axis, attrs);
    const before = paddingBefore(size, count, along);
    const taps = Array.from({ length: along.kernel }, (_, k) => k * along.rate - before);
    return { size, count, stride: along.stride, taps };
  };
  return [along(1), along(2)];
}

/** Offset of each row, or column, of each window in an image whose rows, or columns, are `step` apart; -1 outside. */
const offsets = ({ size, count, stride, taps }: Axis, step: number): Int32Array[] =>
  Array.from({ length: count }, (_, i) =>
    Int32Array.from(taps, (tap) =>
      i * stride + tap < 0 || i * stride + tap >= size ? -1 : (i * stride + tap) * step,
    ),
  );

function patches(images: Tensor, attrs: PatchAttrs): Tensor {
  const out = patchShape(images.shape, attrs) as number[];
  boundedSize(out, images.dtype);
  if (sizeOf(out) === 0) return zeros(images.dtype, out);
  const [rows, columns] = axesOf(images.shape, attrs);
  const [imageStep, rowStep, pixelStep] = stridesOf(images.shape) as [number, number, number];
  const [down, right] = [offsets(rows, rowStep), offsets(columns, pixelStep)];
  const sources = new Int32Array(sizeOf(out));
  let at = 0;
  for (let n = 0; n < images.shape[0]!; n++) {
    for (const ys of down) {
      for (const xs of right) {
        for (const y of ys) {
          for (const x of xs) {
            const from = y < 0 || x < 0 ? -1 : n * imageStep + y + x;
            for (let c = 0; c < pixelStep; c++) sources[at++] = from < 0 ? -1 : from + c;
          }
        }
      }
    }
  }
  return pick(images, out, sources);
}

/** What ONNX Runtime's Pad takes. */
const PADDED: ReadonlySet<DType> = new Set<DType>(["float32", "float64", "int32", "int64", "uint8", "int8"]);
/** More windows than these are no longer quicker as slices. */
const MOST_TAPS = 64;

/** Each tap a strided slice of the padded image; the slices side by side. */
function lowerPatches(onnx: Onnx, images: OnnxValue, attrs: PatchAttrs): OnnxValue {
  const image = images.shape!;
  const out = patchShape(image, attrs);
  const [rows, columns] = axesOf(image, attrs);
  const pads = [rows, columns].map(({ size, count, stride, taps }) => {
    const last = (count - 1) * stride + taps[taps.length - 1]!;
    return [-taps[0]!, Math.max(last + 1 - size, 0)] as const;
  });
  const needed = pads.some((p) => p[0] + p[1] > 0);
  const [top, bottom, left, right] = pads.flat() as [number, number, number, number];
  const ends = onnx.ints([0, top, left, 0, 0, bottom, right, 0]);
  const padded = needed
    ? onnx.add("Pad", [images, ends], {}, { shape: [image[0]!, null, null, image[3]!] })
    : images;
  const slices = rows.taps.flatMap((y) =>
    columns.taps.map((x) => {
      const begin = [y + top, x + left];
      const end = [rows, columns].map((axis, i) => begin[i]! + (axis.count - 1) * axis.stride + 1);
      const inputs = [
        padded,
        onnx.ints(begin),
        onnx.ints(end),
        onnx.ints([1, 2]),
        onnx.ints([rows.stride, columns.stride]),
      ];
      return onnx.add("Slice", inputs, {}, { shape: [...out.slice(0, 3), image[3]!] });
    }),
  );
  return onnx.add("Concat", slices, { axis: 3 }, { shape: out });
}

/** Sums dy over the windows that each pixel is in. @see TensorFlow python/ops/array_grad.py "_ExtractImagePatchesGrad" */
function patchesGrad(g: Graph, op: Operation, dy: Output): Output {
  const { ksizes, strides, rates, padding } = op.attrs;
  const unstack = (x: Output, num: number): readonly Output[] =>
    g.addOp("Unpack", [x], { name: "unstack", attrs: { num, axis: 0 } }).outputs;
  const [batch, rows, columns, channels] = unstack(shape(op.inputs[0]!, { outType: "int64" }), 4) as Output[];
  const size = part(g, shape(op.outputs[0]!, { outType: "int64" }), 1, 3);
  const [rowsOut, columnsOut] = unstack(size, 2) as Output[];
  const [, height, width] = ksizes as readonly number[];
  const pixels = mul(rows!, columns!);
  const end = add(pixels, 1);
  const numbers = g.nameScope("range", (scope) => {
    const start = g.constant(1, { dtype: "float32", name: "start" });
    const delta = g.constant(1, { dtype: "float32", name: "delta" });
    return g.add("Range", [start, cast(end, "float32"), delta], { name: scope });
  });
  const index = reshape(numbers, [1, rows!, columns!, 1]);
  const attrs = { ksizes: ksizes!, strides: strides!, rates: rates!, padding: padding! };
  const windows = cast(g.add("ExtractImagePatches", [index], { attrs }), "int64");
  const apart = reshape(dy, [batch!, rowsOut!, columnsOut!, height!, width!, channels!]);
  const turned = transpose(apart, [1, 2, 3, 4, 0, 5]);
  const flat = reshape(turned, [-1, mul(batch!, channels!)]);
  const places = sub(reshape(windows, [-1]), 1);
  const summed = g.add("UnsortedSegmentSum", [flat, places, pixels]);
  return transpose(reshape(summed, [rows!, columns!, batch!, channels!]), [2, 0, 1, 3]);
}

/**
 * Windows of images [batch, height, width, channels], each as one pixel of [batch, rows, columns, window height · window width · channels];
 * zeros where a window leaves the image. `rates`: distance of the pixels of a window.
 */
export const ExtractImagePatches = defineOp("ExtractImagePatches", {
  inputs: { images: "T" },
  outputs: { patches: "T" },
  attrs: {
    ksizes: attr.ints({ min: 4 }),
    strides: attr.ints({ min: 4 }),
    rates: attr.ints({ min: 4 }),
    T: attr.type(
      ...(["bfloat16", "float16", "float32", "float64", "int8", "int16", "int32", "int64"] as const),
      ...(["uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "bool"] as const),
    ),
    padding: attr.string({ allowed: ["SAME", "VALID"] }),
  },
  infer: ({ images }, attrs) => [{ shape: patchShape(images.shape, attrs) }],
  grad: (g, op, [dy]) => [patchesGrad(g, op, dy!)],
  lowers: ({ T, ksizes }, { images }) =>
    PADDED.has(T) &&
    images.shape !== null &&
    isStatic(images.shape.slice(1)) &&
    !images.shape.includes(0) &&
    ksizes[1]! * ksizes[2]! <= MOST_TAPS,
  lower: (onnx, { images }, attrs) => [lowerPatches(onnx, images, attrs)],
  host: ({ images }, attrs) => [patches(images, attrs)],
});

export interface PatchOptions {
  /** [1, height, width, 1] */
  readonly sizes: readonly number[];
  /** [1, rows, columns, 1] from window to window */
  readonly strides: readonly number[];
  /** [1, rows, columns, 1] from pixel to pixel of a window */
  readonly rates: readonly number[];
  readonly padding: "SAME" | "VALID";
  readonly name?: string;
}

/** Windows of images, as tf.image.extract_patches. Named "ExtractImagePatches". @param images - [batch, height, width, channels] */
export const extractPatches = (images: Output, options: PatchOptions): Output => {
  const { sizes, strides, rates, padding, name = "ExtractImagePatches" } = options;
  return images.graph.add(ExtractImagePatches, [images], {
    name,
    attrs: { ksizes: sizes, strides, rates, padding },
  });
};
