/**
 * @file Splitting, permuting and joining axes: what space-to-depth and space-to-batch are made of. Start at
 * `permuted`.
 */

import { reshaped, stridesOf, type Tensor } from "../../base/index.ts";
import { pickAlong, ramp } from "./pick.ts";

/** `t` seen under `view`, its axes permuted, then seen under `shape`. */
export function permuted(
  t: Tensor,
  view: readonly number[],
  perm: readonly number[],
  shape: readonly number[],
): Tensor {
  const strides = stridesOf(view);
  const moved = pickAlong(
    t,
    perm.map((axis) => ramp(view[axis]!, 0, strides[axis]!)),
  );
  return reshaped(moved, shape);
}

/** Zeros around, or crops (negative) of each axis. */
export function padded(t: Tensor, pads: readonly (readonly [number, number])[]): Tensor {
  const strides = stridesOf(t.shape);
  const tables = t.shape.map((size, axis) => {
    const [before, after] = pads[axis]!;
    return ramp(size + before + after, -before, 1).map((i) => (i < 0 || i >= size ? -1 : i * strides[axis]!));
  });
  return pickAlong(t, tables);
}
