/** @file Arithmetic of a 2-D window on an image of known size. Start at `geometry`. */

import { type Shape, VarscopeError } from "../base/index.ts";
import type { Window } from "../graph/index.ts";
import { imageDims } from "./value.ts";

/** Sizes and pads, resolved. All pairs are [height, width]. */
export interface Geometry {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly size: readonly [number, number];
  readonly out: readonly [number, number];
  readonly before: readonly [number, number];
  readonly after: readonly [number, number];
}

/** TF's channel axis. */
export const channelAxisOf = (window: Pick<Window, "dataFormat">): 1 | 3 =>
  window.dataFormat === "NHWC" ? 3 : 1;

/** A window along one axis. */
export interface Slide {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
}

/** The same on an axis of known size. */
export interface AxisGeometry extends Slide {
  readonly size: number;
  readonly out: number;
  readonly before: number;
  readonly after: number;
}

/** @param pads - elements before and after, under EXPLICIT padding */
export function axisGeometry(
  { kernel, stride, dilation }: Slide,
  padding: Window["padding"],
  pads: readonly [number, number],
  size: number,
): AxisGeometry {
  const slide = { kernel, stride, dilation, size };
  const extent = (kernel - 1) * dilation + 1;
  if (padding === "SAME") {
    const out = Math.ceil(size / stride);
    const total = Math.max((out - 1) * stride + extent - size, 0);
    return { ...slide, out, before: total >> 1, after: total - (total >> 1) };
  }
  const [before, after] = padding === "VALID" ? [0, 0] : pads;
  return { ...slide, out: Math.floor((size + before + after - extent) / stride) + 1, before, after };
}

/** One axis of an image's window. */
export function imageAxis(window: Window, i: 0 | 1, size: number): AxisGeometry {
  const { kernel, strides, dilations, padding, pads } = window;
  const slide = { kernel: kernel[i], stride: strides[i], dilation: dilations[i] };
  return axisGeometry(slide, padding, [pads[i], pads[i + 2]!], size);
}

/** The geometry of a window on an image of TF's shape; null where height or width is unknown. */
export function geometryOrNull(window: Window, imageShape: Shape): Geometry | null {
  const { h, w } = imageDims(imageShape, channelAxisOf(window));
  if (h === null || w === null) return null;
  const [y, x] = [imageAxis(window, 0, h), imageAxis(window, 1, w)];
  return {
    kernel: window.kernel,
    strides: window.strides,
    dilations: window.dilations,
    size: [h, w],
    out: [y.out, x.out],
    before: [y.before, x.before],
    after: [y.after, x.after],
  };
}

/** @throws VarscopeError UNIMPLEMENTED - the image's size is symbolic; the planner then compiles for the size at hand */
export function geometry(window: Window, imageShape: Shape): Geometry {
  const g = geometryOrNull(window, imageShape);
  if (g === null)
    throw new VarscopeError("UNIMPLEMENTED", "this gradient needs a known image height and width");
  return g;
}

/** ONNX's attributes of a window; pads as [top, left, bottom, right]. */
export function windowAttrs(
  window: Window,
  g: Geometry | null,
): Record<string, number | string | readonly number[]> {
  const common = {
    kernel_shape: [...window.kernel],
    strides: [...window.strides],
    dilations: [...window.dilations],
  };
  if (g !== null) return { ...common, pads: [...g.before, ...g.after] };
  if (window.padding === "EXPLICIT") return { ...common, pads: [...window.pads] };
  return { ...common, auto_pad: window.padding === "SAME" ? "SAME_UPPER" : "VALID" };
}

/** Pads under which a convolution of dy with the flipped filter is the gradient for the image; null where strides or pads forbid it. */
export function backwardPads(g: Geometry): readonly number[] | null {
  if (g.strides.some((s) => s !== 1)) return null;
  const reach = g.kernel.map((k, i) => (k - 1) * g.dilations[i]!);
  const before = reach.map((r, i) => r - g.before[i]!);
  const after = reach.map((r, i) => g.size[i]! + r - g.out[i]! - before[i]!);
  const pads = [...before, ...after];
  return pads.some((p) => p < 0) ? null : pads;
}

/** Groups of a convolution: one where the image's channels are unknown. */
export const groupsOf = (channels: number | null, filterChannels: number): number =>
  channels === null ? 1 : channels / filterChannels;

/** TF's shape of an image with `c` channels whose height and width are the geometry's. */
export function outShape(axis: 1 | 3, n: number | null, c: number | null, g: Geometry | null): Shape {
  const [h, w] = g === null ? [null, null] : g.out;
  return axis === 3 ? [n, h, w, c] : [n, c, h, w];
}
