/** @file A lowered value: TF's dtype and shape, and how it really lies in memory. Start at `Value`. */

import type { DType, Shape, Tensor } from "../base/index.ts";
import type { OnnxValue } from "../graph/index.ts";

/**
 * `plain`: as TF's shape says. `nchw`: TF's shape is [N,H,W,C], memory [N,C,H,W]. `nchwc`: memory is [N,C/B,H,W,B], which ONNX sees
 * as [N,C,H,W]; TF's shape has its channels on `channelAxis`. A volume [N,D,H,W,C] lies in both as the images [N*D,H,W,C] do.
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

/** A volume [N,D,H,W,C] as [N*D,H,W,C]: its planes, one after the other. Images stay. */
export function planesOf(shape: Shape): Shape {
  if (shape.length !== 5) return shape;
  const [n, d, ...plane] = shape;
  return [n === null || d === null ? null : n! * d!, ...plane];
}

/** N, C, H, W of an image of TF's shape, null where unknown; of a volume's planes. */
export function imageDims(
  shape: Shape,
  channelAxis: 1 | 3,
): { n: number | null; c: number | null; h: number | null; w: number | null } {
  const [n, a, b, d] = planesOf(shape) as [number | null, number | null, number | null, number | null];
  return channelAxis === 3 ? { n, h: a, w: b, c: d } : { n, c: a, h: b, w: d };
}
