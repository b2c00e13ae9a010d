/**
 * @file Which elements a resized image takes, and with what weights: for each of TensorFlow's methods along one axis, in float32 step by
 * step as its kernels compute them, so that positions at a boundary fall on the same side. Start at `linear`.
 *
 * @see TensorFlow core/util/image_resizer_state.h, core/kernels/image/resize_bilinear_op.cc, resize_bicubic_op.cc, resize_area_op.cc,
 * resize_nearest_neighbor_op.cc
 */

import { roundHalfEven } from "../../base/index.ts";
import { type Sampling, samplingOf, type Tap } from "./sampling.ts";

const f = Math.fround;

/** Which point of the original a pixel of the resized image is. */
export interface Grid {
  readonly align_corners: boolean;
  readonly half_pixel_centers: boolean;
}

/** Pixels of the original for each of the resized image. */
const scaleOf = (inputs: number, outputs: number, { align_corners }: Grid): number =>
  align_corners && outputs > 1 ? f((inputs - 1) / (outputs - 1)) : f(inputs / outputs);

/** A sampling by where each result lies in the original. */
function placed(
  inputs: number,
  outputs: number,
  grid: Grid,
  taps: number,
  at: (x: number) => Tap[],
): Sampling {
  const scale = scaleOf(inputs, outputs, grid);
  return samplingOf(inputs, outputs, taps, (i) =>
    at(grid.half_pixel_centers ? f(f(f(i + 0.5) * scale) - 0.5) : f(i * scale)),
  );
}

/** The two neighbours, by their distance. */
export const linear = (inputs: number, outputs: number, grid: Grid): Sampling =>
  placed(inputs, outputs, grid, 2, (x) => {
    const floor = Math.floor(x);
    const weight = f(x - floor);
    const [lower, upper] = [Math.max(floor, 0), Math.min(Math.ceil(x), inputs - 1)];
    if (lower === upper) return [{ index: lower, weight: 1 }];
    return [
      { index: lower, weight: f(1 - weight) },
      { index: upper, weight },
    ];
  });

/** Index of the nearest element for each result: the one that holds the point, or the closest where corners are aligned. */
export function nearest(inputs: number, outputs: number, grid: Grid): Int32Array {
  const scale = scaleOf(inputs, outputs, grid);
  return Int32Array.from({ length: outputs }, (_, i) => {
    const x = f((grid.half_pixel_centers ? f(i + 0.5) : i) * scale);
    // C's roundf goes away from zero, and no position is negative
    return Math.min(grid.align_corners ? Math.floor(x + 0.5) : Math.floor(x), inputs - 1);
  });
}

/** One tap of weight 1 at each index. */
export const picked = (inputs: number, indices: Int32Array): Sampling => ({
  inputs,
  outputs: indices.length,
  taps: 1,
  indices,
  weights: new Float32Array(indices.length).fill(1),
});

/** Steps in which TensorFlow's table holds the cubic. */
const STEPS = 1024;

/** Cubic convolution at distance x < 1 and at x + 1. */
function cubicAt(step: number, a: number): readonly [number, number] {
  const x = step / STEPS;
  const y = x + 1;
  return [f(((a + 2) * x - (a + 3)) * x * x + 1), f(((a * y - 5 * a) * y + 8 * a) * y - 4 * a)];
}

/** Smallest sum of weights that is divided by: 1000 of the smallest normal float32. */
const TINY = 1000 * 2 ** -126;

/** Weights divided by their sum, as float32; null where the sum is next to nothing. */
export function normalized(taps: readonly Tap[]): Tap[] | null {
  const sum = taps.reduce((total, { weight }) => f(total + weight), 0);
  if (Math.abs(sum) < TINY) return null;
  const share = f(1 / sum);
  return taps.map(({ index, weight }) => ({ index, weight: f(weight * share) }));
}

/**
 * Four neighbours. With half pixel centers Keys' cubic (a = -1/2), where neighbours outside the image weigh nothing; else a = -3/4, and
 * the edge stands for them.
 */
export const cubic = (inputs: number, outputs: number, grid: Grid): Sampling =>
  placed(inputs, outputs, grid, 4, (x) => {
    const keys = grid.half_pixel_centers;
    const floor = Math.floor(x);
    const step = roundHalfEven(f(f(x - floor) * STEPS));
    const [near, far] = cubicAt(step, keys ? -0.5 : -0.75);
    const [nearAfter, farAfter] = cubicAt(STEPS - step, keys ? -0.5 : -0.75);
    const taps = [far, near, nearAfter, farAfter].map((weight, k): Tap => {
      const at = floor - 1 + k;
      const index = Math.min(Math.max(at, 0), inputs - 1);
      return { index, weight: keys && index !== at ? 0 : weight };
    });
    return (keys ? normalized(taps) : null) ?? taps;
  });

/** Part of element i that lies between a and b, which are `scale` apart. */
const covered = (i: number, a: number, b: number, scale: number): number =>
  i < a ? (i + 1 > b ? scale : f(i + 1 - a)) : i + 1 > b ? f(b - i) : 1;

/** All elements that the pixel covers, by their share. */
export function area(inputs: number, outputs: number, grid: Grid): Sampling {
  const scale = scaleOf(inputs, outputs, grid);
  return samplingOf(inputs, outputs, Math.ceil(scale) + 2, (x) => {
    const [a, b] = [f(x * scale), f((x + 1) * scale)];
    const start = Math.floor(a);
    return Array.from({ length: Math.max(Math.ceil(b) - start, 1) }, (_, k): Tap => {
      const index = Math.min(start + k, inputs - 1);
      return { index, weight: f(covered(start + k, a, b, scale) / scale) };
    });
  });
}
