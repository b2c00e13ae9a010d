/** @file An image of known size under a window: offsets of its elements and the padding before it. */

import type { Window } from "../../graph/index.ts";

/** Offsets count elements; `top` and `left` are the padding that the window sees before the image. */
export interface Frame {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly top: number;
  readonly left: number;
  /** from one channel to the next */
  readonly step: number;
  /** channel 0 of a position */
  at(n: number, h: number, w: number): number;
}

/** SAME puts the odd element behind. @see TensorFlow core/framework/kernel_shape_util.cc */
function before(window: Window, i: 0 | 1, size: number): number {
  if (window.padding !== "SAME") return window.padding === "VALID" ? 0 : window.pads[i];
  const extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
  const stride = window.strides[i];
  return Math.max((Math.ceil(size / stride) - 1) * stride + extent - size, 0) >> 1;
}

export function frameOf(shape: readonly number[], window: Window): Frame {
  const last = window.dataFormat === "NHWC";
  const [batch, a, b, c] = shape as [number, number, number, number];
  const [channels, height, width] = last ? [c, a, b] : [a, b, c];
  const pixel = last ? channels : 1;
  const image = channels * height * width;
  return {
    batch,
    channels,
    height,
    width,
    top: before(window, 0, height),
    left: before(window, 1, width),
    step: last ? 1 : height * width,
    at: (n, h, w) => n * image + (h * width + w) * pixel,
  };
}
