/**
 * @file Strided slices: masks and sparse bounds to one start, step and count for each axis. Start at `resolveSlice`.
 *
 * @see TensorFlow core/util/strided_slice_op.cc "ValidateStridedSliceOp"
 */

import {
  isStatic,
  type Shape,
  sizeOf,
  stridesOf,
  type Tensor,
  VarscopeError,
  zeros,
} from "../../base/index.ts";
import { pick, ramp, sourcesAlong } from "./pick.ts";

export interface SliceMasks {
  readonly begin_mask: number;
  readonly end_mask: number;
  readonly ellipsis_mask: number;
  readonly new_axis_mask: number;
  readonly shrink_axis_mask: number;
}

/** Bounds as given: null for values that are not known while building. */
export interface SliceBounds {
  readonly begin: readonly number[] | null;
  readonly end: readonly number[] | null;
  readonly strides: readonly number[];
}

/** One axis of the input. `index`: position in the sparse bounds, null where an ellipsis takes all of it. */
export interface SliceAxis {
  readonly index: number | null;
  readonly start: number;
  readonly step: number;
  /** null where it is not known; `start` means nothing then */
  readonly count: number | null;
  readonly shrink: boolean;
  readonly beginMasked: boolean;
  readonly endMasked: boolean;
}

export interface ResolvedSlice {
  readonly axes: readonly SliceAxis[];
  /** for each dim of the result: the input axis, or "new" */
  readonly layout: readonly (number | "new")[];
  readonly shape: Shape;
}

const bit = (mask: number, i: number): boolean => ((mask >> i) & 1) === 1;
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** What a strided slice takes of each axis of an input of known rank. @throws VarscopeError INVALID_ARGUMENT */
export function resolveSlice(input: Shape, bounds: SliceBounds, masks: SliceMasks): ResolvedSlice {
  const { places, layout } = spread(input.length, bounds.strides.length, masks);
  const axes = places.map((index, axis) => resolveAxis(input[axis]!, axis, index, bounds, masks));
  const shape = layout.map((from) => (from === "new" ? 1 : axes[from]!.count));
  return { axes, layout, shape };
}

/** Which sparse entry each input axis has, and where the result's dims come from. */
function spread(rank: number, count: number, masks: SliceMasks) {
  const ellipses = Array.from({ length: count }, (_, i) => bit(masks.ellipsis_mask, i)).filter(
    Boolean,
  ).length;
  if (ellipses > 1) throw invalid("Multiple ellipses in slice spec not allowed");
  const places: (number | null)[] = [];
  const layout: (number | "new")[] = [];
  const isNew = (i: number): boolean => bit(masks.new_axis_mask, i) && !bit(masks.ellipsis_mask, i);
  const takeAll = (until: number): void => {
    while (places.length < until) {
      layout.push(places.length);
      places.push(null);
    }
  };
  for (let i = 0; i < count; i++) {
    if (bit(masks.ellipsis_mask, i)) {
      let after = 0;
      for (let k = i + 1; k < count; k++) if (!isNew(k)) after++;
      takeAll(Math.max(places.length, rank - after));
    } else if (isNew(i)) layout.push("new");
    else {
      if (places.length === rank)
        throw invalid(`Index out of range using input dim ${rank}; input has only ${rank} dims`);
      if (!bit(masks.shrink_axis_mask, i)) layout.push(places.length);
      places.push(i);
    }
  }
  takeAll(rank);
  return { places, layout };
}

function resolveAxis(
  dim: number | null,
  axis: number,
  index: number | null,
  bounds: SliceBounds,
  masks: SliceMasks,
): SliceAxis {
  if (index === null)
    return { index, start: 0, step: 1, count: dim, shrink: false, beginMasked: true, endMasked: true };
  const step = bounds.strides[index]!;
  if (step === 0) throw invalid(`strides[${index}] must be non-zero`);
  const shrink = bit(masks.shrink_axis_mask, index);
  if (shrink && step < 0) throw invalid("only stride 1 allowed on non-range indexing.");
  const beginMasked = bit(masks.begin_mask, index);
  const endMasked = bit(masks.end_mask, index);
  const fact = { index, step, shrink, beginMasked, endMasked };
  const begin = bounds.begin?.[index] ?? null;
  if (shrink)
    return { ...fact, beginMasked: false, endMasked: false, start: shrunkStart(begin, dim, axis), count: 1 };
  const end = bounds.end?.[index] ?? null;
  if (dim === null || (begin === null && !beginMasked) || (end === null && !endMasked)) {
    return { ...fact, start: 0, count: null };
  }
  const [low, high] = step > 0 ? [0, dim] : [-1, dim - 1];
  const clamp = (x: number): number => Math.min(Math.max(x < 0 ? x + dim : x, low), high);
  const start = beginMasked ? (step > 0 ? low : high) : clamp(begin!);
  const stop = endMasked ? (step > 0 ? high : low) : clamp(end!);
  return { ...fact, start, count: Math.max(0, Math.ceil((stop - start) / step)) };
}

function shrunkStart(begin: number | null, dim: number | null, axis: number): number {
  if (begin === null || dim === null) return 0;
  const start = begin < 0 ? begin + dim : begin;
  if (start < 0 || start >= dim) throw invalid(`slice index ${begin} of dimension ${axis} out of bounds.`);
  return start;
}

function sliceSources(shape: readonly number[], slice: ResolvedSlice): Int32Array {
  const strides = stridesOf(shape);
  return sourcesAlong(slice.axes.map((a, i) => ramp(a.count!, a.start * strides[i]!, a.step * strides[i]!)));
}

/** The slice of a tensor. */
export function stridedSlice(t: Tensor, bounds: SliceBounds, masks: SliceMasks): Tensor {
  const slice = resolveSlice(t.shape, bounds, masks);
  return pick(t, slice.shape as number[], sliceSources(t.shape, slice));
}

/** Zeros of `shape` with `dy` where the slice takes from. */
export function stridedSliceGrad(
  shape: readonly number[],
  dy: Tensor,
  bounds: SliceBounds,
  masks: SliceMasks,
): Tensor {
  const slice = resolveSlice(shape, bounds, masks);
  if (!isStatic(slice.shape) || sizeOf(slice.shape) !== sizeOf(dy.shape)) {
    throw invalid(`shape of dy was [${dy.shape}] instead of [${slice.shape}]`);
  }
  const back = new Int32Array(sizeOf(shape)).fill(-1);
  sliceSources(shape, slice).forEach((source, i) => {
    back[source] = i;
  });
  return sizeOf(dy.shape) === 0 ? zeros(dy.dtype, shape) : pick(dy, shape, back);
}
