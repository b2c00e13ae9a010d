/** @file Pooling and its gradients, blocked and plain. Images are [N,C,H,W] names. */

import { interleave, type Phases } from "./blocked-conv.ts";
import { type Emitter, NCHWC } from "./emitter.ts";
import type { Geometry } from "./geometry.ts";

/** A slope so steep that HardSigmoid is the step function: 0 up to 0, then 1. */
const STEP = { alpha: { float: 3e38 }, beta: { float: 0 } };

/** 1 where x > 0, else 0. */
export const step = (e: Emitter, x: string): string => e.emit("HardSigmoid", [x], STEP);

const plainWindow = (g: Geometry) => ({
  kernel_shape: [...g.kernel],
  strides: [...g.strides],
  pads: [...g.before, ...g.after],
});

/** 2x2 windows side by side that cover the image: the gradient is then a choice among four. */
export const isHalving = (g: Geometry): boolean =>
  g.kernel.every((k) => k === 2) &&
  g.strides.every((s) => s === 2) &&
  [...g.before, ...g.after].every((p) => p === 0) &&
  g.size.every((s) => s % 2 === 0);

/**
 * Gradient of 2x2 max pooling, blocked. First the row of the maximum, then its column: a mask is 1 where the first of the two is smaller,
 * made in one pass by a depthwise convolution (pooled minus first) with a step behind it; so ties go to the first, as in TensorFlow.
 */
export function maxPoolGradHalving(
  e: Emitter,
  x: string,
  y: string,
  dy: string,
  channels: number,
  g: Geometry,
  block: number,
): string {
  const [h, w] = g.out;
  const blocks = channels / block;
  const columns = e.emit(
    "MaxPool",
    [x],
    { kernel_shape: [1, 2], strides: [1, 2], pads: [0, 0, 0, 0], dilations: [1, 1] },
    NCHWC,
  );
  const below = isSecond(e, columns, y, channels, [2, 1], block);
  const second = e.emit("Mul", [dy, below]);
  const first = e.emit("Sub", [dy, second]);
  const rows = e.concat(
    [first, second].map((p) => e.reshape(p, [0, blocks, h, w * block])),
    3,
  );
  const tall = e.reshape(rows, [0, channels, 2 * h, w]);
  const right = isSecond(e, x, columns, channels, [1, 2], block);
  const rightPart = e.emit("Mul", [tall, right]);
  const leftPart = e.emit("Sub", [tall, rightPart]);
  const both = e.concat(
    [leftPart, rightPart].map((p) => e.reshape(p, [0, blocks * 2 * h, w, block])),
    3,
  );
  return e.reshape(both, [0, channels, 2 * h, 2 * w]);
}

/** 1 where the maximum of a pair is not its first element. */
function isSecond(
  e: Emitter,
  x: string,
  max: string,
  channels: number,
  window: readonly [number, number],
  block: number,
): string {
  // -first + max, then the step: one node.
  const pick = e.constant({
    dtype: "float32",
    shape: [channels, 1, ...window],
    data: pairWeights(channels, block),
  });
  const attrs = {
    kernel_shape: [...window],
    strides: [...window],
    dilations: [1, 1],
    pads: [0, 0, 0, 0],
    group: channels,
    activation: "HardSigmoid",
    activation_params: { floats: [3e38, 0] },
  };
  return e.emit("Conv", [x, pick, "", max], attrs, NCHWC);
}

/** Depthwise weights in memory [C/B, 1, 2 taps, B]: -1 for the first tap, 0 for the second. */
function pairWeights(channels: number, block: number): Float32Array {
  return Float32Array.from({ length: channels * 2 }, (_, i) => (i % (2 * block) < block ? -1 : 0));
}

/** Gradient of any max pooling, plain: dy is added at the index of each window's maximum. */
export function maxPoolGradPlain(e: Emitter, x: string, dy: string, g: Geometry): string {
  const [, indices] = e.emitMany("MaxPool", [x], plainWindow(g), 2);
  const size = e.emit("ReduceProd", [e.emit("Shape", [x])], { keepdims: 1 });
  const zeros = e.emit("ConstantOfShape", [size]);
  const flat = e.emit("ScatterElements", [zeros, e.reshape(indices!, [-1]), e.reshape(dy, [-1])], {
    axis: 0,
    reduction: "add",
  });
  return e.emit("Reshape", [flat, e.emit("Shape", [x])]);
}

/** Gradient of 2x2 average pooling, blocked: every element gets a quarter. */
export function avgPoolGradHalving(
  e: Emitter,
  dy: string,
  phases: Omit<Phases, "images">,
  block: number,
): string {
  const quarter = e.emit("Mul", [dy, e.filled(0.25, [])]);
  return interleave(
    e,
    {
      ...phases,
      images: [
        [quarter, quarter],
        [quarter, quarter],
      ],
    },
    block,
  )!;
}

/** Gradient of any average pooling, plain: dy over the number of real elements, spread over its window. */
export function avgPoolGradPlain(e: Emitter, dy: string, channels: number, g: Geometry): string {
  const counts = windowCounts(g);
  const share = counts.every((c) => c === counts[0])
    ? e.filled(1 / counts[0]!, [])
    : e.constant({
        dtype: "float32",
        shape: [1, 1, ...g.out],
        data: Float32Array.from(counts, (c) => 1 / c),
      });
  const ones = e.filled(1, [channels, 1, ...g.kernel]);
  const extra = [0, 1].map(
    (i) => g.size[i]! - (g.strides[i]! * (g.out[i]! - 1) + g.kernel[i]! - g.before[i]! - g.after[i]!),
  );
  return e.emit("ConvTranspose", [e.emit("Mul", [dy, share]), ones], {
    ...plainWindow(g),
    group: channels,
    output_padding: extra,
  });
}

/** Number of image elements in each window. */
function windowCounts(g: Geometry): number[] {
  const along = (i: 0 | 1): number[] =>
    Array.from({ length: g.out[i] }, (_, o) => {
      const start = o * g.strides[i] - g.before[i];
      return Math.min(start + g.kernel[i], g.size[i]) - Math.max(start, 0);
    });
  return along(0).flatMap((a) => along(1).map((b) => a * b));
}
