/** @file An image or a volume of known size under a window: offsets of its elements and the padding before it. */

import type { VolumeWindow, Window } from "../../graph/index.ts";

/** A window over images or over volumes. */
export type AnyWindow = Window | VolumeWindow;

/** A window along one axis. */
export interface Along {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
}

/** Offsets count elements; `front`, `top` and `left` are the padding that the window sees before the image. */
export interface Frame {
  readonly batch: number;
  readonly channels: number;
  /** 1 for an image */
  readonly depth: number;
  readonly height: number;
  readonly width: number;
  readonly front: number;
  readonly top: number;
  readonly left: number;
  /** from one channel to the next */
  readonly step: number;
  /** channel 0 of a position */
  at(n: number, d: number, h: number, w: number): number;
}

const planeOf = (window: AnyWindow): Window => ("plane" in window ? window.plane : window);

/** The window along depth, height and width; an image is one deep. */
export function alongOf(window: AnyWindow): readonly [Along, Along, Along] {
  const { kernel, strides, dilations } = planeOf(window);
  const along = (i: 0 | 1): Along => ({ kernel: kernel[i], stride: strides[i], dilation: dilations[i] });
  const depth = "plane" in window ? window.depth : { kernel: 1, stride: 1, dilation: 1 };
  return [depth, along(0), along(1)];
}

/** SAME puts the odd element behind. @see TensorFlow core/framework/kernel_shape_util.cc */
function before({ kernel, stride, dilation }: Along, padding: string, pad: number, size: number): number {
  if (padding !== "SAME") return padding === "VALID" ? 0 : pad;
  const extent = (kernel - 1) * dilation + 1;
  return Math.max((Math.ceil(size / stride) - 1) * stride + extent - size, 0) >> 1;
}

export function frameOf(shape: readonly number[], window: AnyWindow): Frame {
  const { dataFormat, padding, pads } = planeOf(window);
  const last = dataFormat === "NHWC";
  const spatial = last ? shape.slice(1, -1) : shape.slice(2);
  const channels = last ? shape.at(-1)! : shape[1]!;
  const [depth, height, width] = (spatial.length === 2 ? [1, ...spatial] : spatial) as [
    number,
    number,
    number,
  ];
  const [alongDepth, alongHeight, alongWidth] = alongOf(window);
  const pixel = last ? channels : 1;
  const image = channels * depth * height * width;
  return {
    batch: shape[0]!,
    channels,
    depth,
    height,
    width,
    front: before(alongDepth, padding, 0, depth),
    top: before(alongHeight, padding, pads[0], height),
    left: before(alongWidth, padding, pads[1], width),
    step: last ? 1 : depth * height * width,
    at: (n, d, h, w) => n * image + ((d * height + h) * width + w) * pixel,
  };
}
