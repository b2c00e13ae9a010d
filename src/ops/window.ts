/**
 * @file Windows that slide over images and volumes: TensorFlow's padding arithmetic, attribute checks and sentences,
 * for convolution and pooling. Start at `windowed` (shapes, with unknown dims) and `windowOf` and `volumeWindowOf`
 * (what kernels and lowerings take).
 *
 * @see TensorFlow core/framework/common_shape_fns.cc, core/util/padding.cc
 */

import { type Shape, VarscopeError } from "../base/index.ts";
import type { DataFormat, Spec, VolumeWindow, Window } from "../graph/index.ts";

type Pair = readonly [number, number];

/** Attributes that give a window; lists have one entry for each dim of the image. */
export interface WindowAttrs {
  readonly strides: readonly number[];
  readonly padding: string;
  readonly data_format: string;
  readonly explicit_paddings?: readonly number[];
  readonly dilations?: readonly number[];
  readonly ksize?: readonly number[];
}

/** Rank of an image, or of a volume, in a format. */
export const rankOf = (format: string): number => (format.includes("D") ? 5 : 4);

/** Axes that a window slides along: (depth,) height, width. */
export const spatialAxes = (format: string): readonly number[] => {
  const { c } = axesOf(format);
  return Array.from({ length: rankOf(format) - 2 }, (_, i) => i + (c === 1 ? 2 : 1));
};

/** Where an image has its channels and its height; width is next to height, the batch first. */
export const axesOf = (format: string): { readonly c: number; readonly h: number; readonly w: number } => {
  const rank = rankOf(format);
  return format[1] === "C" ? { c: 1, h: rank - 2, w: rank - 1 } : { c: rank - 1, h: rank - 3, w: rank - 2 };
};

export const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** @throws VarscopeError INVALID_ARGUMENT - `shape` is known and its rank is another */
export function needRank(shape: Shape | null, rank: number): void {
  if (shape !== null && shape.length !== rank) {
    throw invalid(`Shape must be rank ${rank} but is rank ${shape.length}`);
  }
}

/** The two dims as one. @throws VarscopeError INVALID_ARGUMENT - both are known and differ */
export function mergeDims(a: number | null, b: number | null): number | null {
  if (a !== null && b !== null && a !== b) throw invalid(`Dimensions must be equal, but are ${a} and ${b}`);
  return a ?? b;
}

/** Checks lengths and signs as TF's shape functions do. `op` is the word that its sentence begins with. */
export function checkWindow(op: string, attrs: WindowAttrs): void {
  const { dilations, strides, ksize, padding, explicit_paddings: pads = [] } = attrs;
  const rank = rankOf(attrs.data_format);
  if (dilations !== undefined && dilations.length !== rank) {
    throw invalid(
      `${op} requires the dilation attribute to contain ${rank} values, but got: ${dilations.length}`,
    );
  }
  if (strides.length !== rank) {
    const on = ksize === undefined && rank === 4 ? ` on data format ${attrs.data_format}` : "";
    throw invalid(
      `${op}${on} requires the stride attribute to contain ${rank} values, but got: ${strides.length}`,
    );
  }
  if (ksize !== undefined && ksize.length !== 4) {
    throw invalid(`${op} requires the ksize attribute to contain 4 values, but got: ${ksize.length}`);
  }
  if (padding !== "EXPLICIT") {
    if (pads.length === 0) return;
    throw invalid("explicit_paddings attribute must be empty if the padding attribute is not EXPLICIT");
  }
  if (pads.length !== 8) {
    throw invalid(`explicit_paddings attribute must contain 8 values, but got: ${pads.length}`);
  }
  if (pads.some((p) => p < 0)) throw invalid("All elements of explicit_paddings must be nonnegative");
  const { c } = axesOf(attrs.data_format);
  if ([0, 1, 2 * c, 2 * c + 1].some((i) => pads[i] !== 0)) {
    throw invalid("Nonzero explicit padding in the batch or depth dimensions is not supported");
  }
}

/** Elements added before and after an axis of the image under EXPLICIT padding. */
const explicitPads = (attrs: WindowAttrs, axis: number): Pair =>
  attrs.padding === "EXPLICIT"
    ? [attrs.explicit_paddings![2 * axis]!, attrs.explicit_paddings![2 * axis + 1]!]
    : [0, 0];

/**
 * Number of window positions along an axis; null where it depends on an unknown size.
 *
 * @throws VarscopeError INVALID_ARGUMENT - stride or dilation below 1, window larger than the image
 */
export function outputSize(
  size: number | null,
  kernel: number | null,
  attrs: WindowAttrs,
  axis: number,
): number | null {
  const stride = attrs.strides[axis]!;
  const dilation = attrs.dilations?.[axis] ?? 1;
  if (stride <= 0) throw invalid(`Stride must be > 0, but got ${stride}`);
  if (dilation < 1) throw invalid(`Dilation rate must be >= 1, but got ${dilation}`);
  if (attrs.padding === "SAME") return size === null ? null : Math.ceil(size / stride);
  if (size === null || kernel === null) return null;
  const [before, after] = explicitPads(attrs, axis);
  const extent = (kernel - 1) * dilation + 1;
  const padded = size + before + after;
  if (padded < extent)
    throw invalid(`Negative dimension size caused by subtracting ${extent} from ${padded}`);
  return Math.floor((padded - extent) / stride) + 1;
}

/**
 * Shape after a window: batch kept, height and width by the window, `channels` as given. @param kernel - [(depth,)
 * height, width]
 */
export function windowed(
  image: Shape | null,
  kernel: readonly (number | null)[],
  channels: number | null,
  attrs: WindowAttrs,
): Shape {
  const { data_format: format } = attrs;
  const dims = image ?? new Array<null>(rankOf(format)).fill(null);
  const sizes = spatialAxes(format).map((axis, i) => outputSize(dims[axis]!, kernel[i]!, attrs, axis));
  return axesOf(format).c === 1 ? [dims[0]!, channels, ...sizes] : [dims[0]!, ...sizes, channels];
}

/** Dims in the order of the format. */
export function imageShape<D>(format: string, n: D, h: D, w: D, c: D): [D, D, D, D] {
  return format === "NHWC" ? [n, h, w, c] : [n, c, h, w];
}

/** What TF's kernels refuse, in their words. */
function checkKernel(attrs: WindowAttrs, dilations: readonly number[]): void {
  const refuse = (what: string): never => {
    throw new VarscopeError("UNIMPLEMENTED", what);
  };
  const { c } = axesOf(attrs.data_format);
  const { ksize, strides } = attrs;
  if (ksize !== undefined) {
    if (ksize.some((k) => k <= 0)) {
      throw invalid(
        `Sliding window ksize must be positive. The specified or inferred ksize is: ${ksize.join(",")}`,
      );
    }
    if (ksize[0] !== 1 || strides[0] !== 1) refuse("Pooling is not yet supported on the batch dimension.");
    if (ksize[c] !== 1 || strides[c] !== 1) refuse("Non-spatial pooling is not yet supported.");
    return;
  }
  const along = "in the batch and depth dimensions.";
  if (strides[0] !== 1 || strides[c] !== 1)
    refuse(`Current implementation does not yet support strides ${along}`);
  if (dilations[0] !== 1 || dilations[c] !== 1) {
    refuse(`Current implementation does not yet support dilations ${along}`);
  }
}

/**
 * The window as kernels and lowerings take it.
 *
 * @throws VarscopeError UNIMPLEMENTED - it moves over batch or channels, as TF's kernels refuse it
 */
export function windowOf(attrs: WindowAttrs, kernel: Pair): Window {
  const { h, w } = axesOf(attrs.data_format);
  const dilations = attrs.dilations ?? [1, 1, 1, 1];
  checkKernel(attrs, dilations);
  const [rows, columns] = [explicitPads(attrs, h), explicitPads(attrs, w)];
  return {
    dataFormat: attrs.data_format as DataFormat,
    kernel,
    strides: [attrs.strides[h]!, attrs.strides[w]!],
    dilations: [dilations[h]!, dilations[w]!],
    padding: attrs.padding as Window["padding"],
    pads: [rows[0], columns[0], rows[1], columns[1]],
  };
}

/**
 * The window over a volume as kernels and lowerings take it. @param kernel - [depth, height, width]
 *
 * @throws VarscopeError INVALID_ARGUMENT - a convolution moves over batch or channels; UNIMPLEMENTED - pooling does
 */
export function volumeWindowOf(attrs: WindowAttrs, kernel: readonly number[]): VolumeWindow {
  const [d, h, w] = spatialAxes(attrs.data_format) as [number, number, number];
  const { strides, dilations = [1, 1, 1, 1, 1] } = attrs;
  checkVolume(attrs, dilations);
  const depth = { kernel: kernel[0]!, stride: strides[d]!, dilation: dilations[d]! };
  const plane: Window = {
    dataFormat: attrs.data_format === "NDHWC" ? "NHWC" : "NCHW",
    kernel: [kernel[1]!, kernel[2]!],
    strides: [strides[h]!, strides[w]!],
    dilations: [dilations[h]!, dilations[w]!],
    padding: attrs.padding as Window["padding"],
    pads: [0, 0, 0, 0],
  };
  return { depth, plane };
}

/** What TF's kernels for volumes refuse, in their words. */
function checkVolume({ strides, ksize, data_format }: WindowAttrs, dilations: readonly number[]): void {
  const { c } = axesOf(data_format);
  if (ksize === undefined) {
    const along = "in the batch and depth dimensions.";
    if (strides[0] !== 1 || strides[c] !== 1)
      throw invalid(`Current implementation does not yet support strides ${along}`);
    if (dilations[0] !== 1 || dilations[c] !== 1)
      throw invalid(`Current implementation does not yet support dilation rates ${along}`);
    return;
  }
  if (ksize.some((k) => k <= 0))
    throw invalid("Sliding window ksize field must have non-negative dimensions");
  for (const [axis, name] of [
    [0, "batch"],
    [c, "depth"],
  ] as const) {
    if (ksize[axis] === 1 && strides[axis] === 1) continue;
    throw new VarscopeError("UNIMPLEMENTED", `Pooling is not yet supported on the ${name} dimension.`);
  }
}

/** Whether the window moves over height and width alone, as ONNX's does. */
export function isSpatial(attrs: WindowAttrs): boolean {
  const { c } = axesOf(attrs.data_format);
  return [attrs.strides, attrs.dilations, attrs.ksize].every(
    (list) => list === undefined || (list[0] === 1 && list[c] === 1),
  );
}

/** Height and width of an image are known, and the depth of a volume. */
export const isSized = (shape: Shape | null, format: string): boolean =>
  shape !== null && spatialAxes(format).every((axis) => shape[axis] !== null);

/** The shape that an int vector of `rank` dims holds, as far as known. */
export function shapeFrom(sizes: Spec, rank: number): Shape {
  needRank(sizes.shape, 1);
  const length = sizes.shape?.[0] ?? rank;
  if (length !== rank) throw invalid(`Shape must be rank ${rank} but is rank ${length}`);
  return sizes.partial ?? new Array<null>(rank).fill(null);
}

/** Padding as public functions take it: a word, or [before, after] of each dim. */
export type Padding = "SAME" | "VALID" | readonly (readonly [number, number])[];

/** One number for height and width (and depth), one for each, or one for each dim of the image. */
export type Sizes = number | readonly number[];

/** @throws VarscopeError INVALID_ARGUMENT - explicit padding not of four pairs */
export function paddingAttrs(padding: Padding): { padding: string; explicit_paddings: number[] } {
  if (typeof padding === "string") return { padding, explicit_paddings: [] };
  if (padding.length !== 4 || padding.some((p) => p.length !== 2)) {
    throw invalid(`explicit padding must have four pairs, got ${JSON.stringify(padding)}`);
  }
  return { padding: "EXPLICIT", explicit_paddings: padding.flat() };
}

/** Sizes for all dims. @throws VarscopeError INVALID_ARGUMENT - a list of another length than 1, n or n + 2, n = 2 or 3 */
export function dimSizes(sizes: Sizes, format: string, name: string): number[] {
  const list = typeof sizes === "number" ? [sizes] : [...sizes];
  const rank = rankOf(format);
  const n = rank - 2;
  if (list.length === rank) return list;
  if (list.length !== 1 && list.length !== n) {
    throw invalid(
      `${name} should be of length 1, ${n} or ${rank}. Received: ${name}=[${list}] of length ${list.length}`,
    );
  }
  const each = list.length === n ? list : new Array<number>(n).fill(list[0]!);
  return axesOf(format).c === 1 ? [1, 1, ...each] : [1, ...each, 1];
}
