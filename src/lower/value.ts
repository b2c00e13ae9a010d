/** @file A lowered value: TF's dtype and shape, and how it really lies in memory. Start at `Value`. */

import type { DType, Shape, Tensor } from "../base/index.ts";
import type { OnnxValue } from "../graph/index.ts";

/**
 * `plain`: as TF's shape says. `nchw`: TF's shape is [N,H,W,C], memory [N,C,H,W]. `nchwc`: memory is [N,C/B,H,W,B], which ONNX sees
 * as [N,C,H,W]; TF's shape has its channels on `channelAxis`.
 */
export interface Value extends OnnxValue {
  readonly channelAxis: 1 | 3;
}

export const plainValue = (
  id: string,
  dtype: DType,
  shape: Shape | null,
  constant: Tensor | null = null,
): Value => ({
  id,
  dtype,
  shape,
  layout: "plain",
  constant,
  channelAxis: 3,
});

/** N, C, H, W of an image of TF's shape, null where unknown. */
export function imageDims(
  shape: Shape,
  channelAxis: 1 | 3,
): { n: number | null; c: number | null; h: number | null; w: number | null } {
  const [n, a, b, d] = shape as [number | null, number | null, number | null, number | null];
  return channelAxis === 3 ? { n, h: a, w: b, c: d } : { n, c: a, h: b, w: d };
}
