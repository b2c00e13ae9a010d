/**
 * @file Convolutions in ONNX's own NCHW layout: where the blocked layout is missing (WASM, other CPUs) or does not fit. Filters are HWIO
 * names; images are [N,C,H,W] names.
 */

import type { Emitter } from "./emitter.ts";
import { backwardPads, type Geometry, windowAttrs } from "./geometry.ts";

const flat = (g: Geometry) => ({
  kernel_shape: [...g.kernel],
  strides: [...g.strides],
  dilations: [...g.dilations],
  pads: [...g.before, ...g.after],
});

/** Gradient for the image: ConvTranspose, or at stride 1 a Conv with flipped filters. */
export function inputGrad(
  e: Emitter,
  filter: string,
  filterShape: readonly number[],
  dy: string,
  g: Geometry,
  groups: number,
): string {
  const pads = groups === 1 ? backwardPads(g) : null;
  if (pads !== null) {
    const flippedWeights = e.transpose(flipped(e, filter, filterShape), [2, 3, 0, 1]);
    return e.emit("Conv", [dy, flippedWeights], { ...flat(g), pads });
  }
  const w = e.transpose(filter, [3, 2, 0, 1]);
  return e.emit("ConvTranspose", [dy, w], { ...flat(g), group: groups, output_padding: outputPadding(g) });
}

/** Rows and columns of the image that no window reaches at its end. */
function outputPadding(g: Geometry): number[] {
  return [0, 1].map((i) => {
    const extent = (g.kernel[i]! - 1) * g.dilations[i]! + 1;
    return g.size[i]! - (g.strides[i]! * (g.out[i]! - 1) + extent - g.before[i]! - g.after[i]!);
  });
}

/** HWIO filter with height and width reversed. */
export function flipped(e: Emitter, filter: string, filterShape: readonly number[]): string {
  const [kh, kw, i, o] = filterShape as [number, number, number, number];
  if (kh * kw === 1) return filter;
  const reversed = Array.from({ length: kh * kw }, (_, t) => kh * kw - 1 - t);
  const taps = e.reshape(filter, [kh * kw, i, o]);
  return e.reshape(e.emit("Gather", [taps, e.ints(reversed)], { axis: 0 }), [kh, kw, i, o]);
}

/**
 * Gradient for the filter from NHWC images: for each tap a matrix product of the shifted image and dy.
 *
 * @param x - NHWC @param dy - NHWC @returns HWIO
 */
export function filterGrad(
  e: Emitter,
  x: string,
  dy: string,
  filterShape: readonly number[],
  g: Geometry,
  groups: number,
): string {
  const [kh, kw, i, o] = filterShape as [number, number, number, number];
  const padded = padImage(e, x, g);
  const taps: string[] = [];
  for (let y = 0; y < kh; y++) {
    for (let z = 0; z < kw; z++) {
      const part =
        kh * kw === 1 && g.strides[0] === 1 && g.strides[1] === 1 ? padded : tapSlice(e, padded, g, y, z);
      taps.push(groups === 1 ? outer(e, part, dy, i, o) : groupedOuter(e, part, dy, i, o, groups));
    }
  }
  return e.reshape(e.concat(taps, 0), [kh, kw, i, o]);
}

function tapSlice(e: Emitter, padded: string, g: Geometry, y: number, x: number): string {
  const begin = [y * g.dilations[0], x * g.dilations[1]];
  const end = begin.map((b, i) => b + (g.out[i]! - 1) * g.strides[i]! + 1);
  return e.slice(padded, [1, 2], begin, end, g.strides);
}

const outer = (e: Emitter, x: string, dy: string, i: number, o: number): string =>
  e.emit("Gemm", [e.reshape(x, [-1, i]), e.reshape(dy, [-1, o])], { transA: 1 });

function groupedOuter(e: Emitter, x: string, dy: string, i: number, o: number, groups: number): string {
  const parts = Array.from({ length: groups }, (_, k) => {
    const xs = e.slice(x, [3], [k * i], [(k + 1) * i]);
    const ys = e.slice(dy, [3], [(k * o) / groups], [((k + 1) * o) / groups]);
    return outer(e, xs, ys, i, o / groups);
  });
  return e.concat(parts, 1);
}

/** NHWC image padded with zeros, enough for every tap. */
export function padImage(e: Emitter, x: string, g: Geometry): string {
  const after = [0, 1].map((i) =>
    Math.max(
      0,
      (g.out[i]! - 1) * g.strides[i]! + (g.kernel[i]! - 1) * g.dilations[i]! + 1 - g.size[i]! - g.before[i]!,
    ),
  );
  if (g.before.every((p) => p === 0) && after.every((p) => p === 0)) return x;
  return e.emit("Pad", [x, e.ints([0, g.before[0], g.before[1], 0, 0, after[0]!, after[1]!, 0])]);
}

/** HWCM depthwise filter as ONNX's [C*M, 1, kh, kw]. */
export function depthwiseWeights(e: Emitter, filter: string, shape: readonly number[]): string {
  const [kh, kw, c, m] = shape as [number, number, number, number];
  return e.reshape(e.transpose(filter, [2, 3, 0, 1]), [c * m, 1, kh, kw]);
}

export function depthwiseInputGrad(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  dy: string,
  g: Geometry,
): string {
  const weights = depthwiseWeights(e, filter, shape);
  return e.emit("ConvTranspose", [dy, weights], {
    ...flat(g),
    group: shape[2]!,
    output_padding: outputPadding(g),
  });
}

/** From NHWC images: for each tap the sum over positions of shifted image times dy. @returns HWCM */
export function depthwiseFilterGrad(
  e: Emitter,
  x: string,
  dy: string,
  shape: readonly number[],
  g: Geometry,
): string {
  const [kh, kw, c, m] = shape as [number, number, number, number];
  const padded = padImage(e, x, g);
  const grads = e.reshape(dy, [-1, c, m]);
  const taps: string[] = [];
  for (let y = 0; y < kh; y++) {
    for (let z = 0; z < kw; z++) {
      const part = e.reshape(tapSlice(e, padded, g, y, z), [-1, c, 1]);
      taps.push(e.emit("ReduceSum", [e.emit("Mul", [part, grads]), e.ints([0])], { keepdims: 0 }));
    }
  }
  return e.reshape(e.concat(taps, 0), [kh, kw, c, m]);
}

/** Forward convolution; with unknown image size the padding is ONNX's to compute. */
export function conv(
  e: Emitter,
  x: string,
  weights: string,
  window: Parameters<typeof windowAttrs>[0],
  g: Geometry | null,
  group: number,
): string {
  return e.emit("Conv", [x, weights], { ...windowAttrs(window, g), group });
}
