/**
 * @file Convolutions in the blocked layout of ONNX Runtime's own NCHWc kernels, with weights that change from run to run. Images are
 * blocked names (memory [N, C/B, H, W, B]), filters HWIO names that are laid out anew in the graph. The recipes and their measurements
 * are in docs/lowering.md.
 */

import { type Emitter, NCHWC } from "./emitter.ts";
import { backwardPads, type Geometry } from "./geometry.ts";
import { flipped } from "./plain-conv.ts";

const windowOf = (g: Geometry) => ({
  kernel_shape: [...g.kernel],
  strides: [...g.strides],
  dilations: [...g.dilations],
  pads: [...g.before, ...g.after],
});

/** HWIO to memory [O/B, I/B, kh, kw, Bi, Bo], or [O/B, I, kh, kw, Bo] where the input has fewer channels than a block. */
export function blockedWeights(e: Emitter, filter: string, shape: readonly number[], block: number): string {
  const [kh, kw, i, o] = shape as [number, number, number, number];
  if (i < block) {
    const view = e.reshape(filter, [kh, kw, i, o / block, block]);
    return e.reshape(e.transpose(view, [3, 2, 0, 1, 4]), [o, i, kh, kw]);
  }
  const view = e.reshape(filter, [kh, kw, i / block, block, o / block, block]);
  return e.reshape(e.transpose(view, [4, 2, 0, 1, 3, 5]), [o, i, kh, kw]);
}

/** The same filter for the way back: input and output channels swapped. */
function swappedWeights(e: Emitter, filter: string, shape: readonly number[], block: number): string {
  const [kh, kw, i, o] = shape as [number, number, number, number];
  const view = e.reshape(filter, [kh, kw, i / block, block, o / block, block]);
  return e.reshape(e.transpose(view, [2, 4, 0, 1, 5, 3]), [i, o, kh, kw]);
}

export function conv(
  e: Emitter,
  x: string,
  filter: string,
  shape: readonly number[],
  g: Geometry,
  block: number,
): string {
  return e.emit("Conv", [x, blockedWeights(e, filter, shape, block)], { ...windowOf(g), group: 1 }, NCHWC);
}

/** Per-channel x * scale + bias. scale, bias: [C] names, "" for none. */
export function affine(
  e: Emitter,
  x: string,
  scale: string,
  bias: string,
  channels: number,
  sum = "",
): string {
  const weights = scale === "" ? e.filled(1, [channels, 1, 1, 1]) : e.reshape(scale, [channels, 1, 1, 1]);
  const inputs = sum === "" ? (bias === "" ? [x, weights] : [x, weights, bias]) : [x, weights, bias, sum];
  const attrs = {
    kernel_shape: [1, 1],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [0, 0, 0, 0],
    group: channels,
  };
  return e.emit("Conv", inputs, attrs, NCHWC);
}

/** Images of one parity of rows and columns; the full image is all of them interleaved. */
export interface Phases {
  /** [row parity][column parity]; null is all zeros */
  readonly images: readonly (readonly (string | null)[])[];
  readonly batch: number | null;
  readonly channels: number;
  /** height and width of one phase */
  readonly size: readonly [number, number];
}

/** Gradient for the image at stride 1: a convolution with flipped, swapped filters. Null where it does not fit. */
export function inputGradStride1(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  dy: string,
  g: Geometry,
  block: number,
): string | null {
  const pads = backwardPads(g);
  if (pads === null) return null;
  const weights = swappedWeights(e, flipped(e, filter, shape), shape, block);
  return e.emit("Conv", [dy, weights], { ...windowOf(g), pads, group: 1 }, NCHWC);
}

interface AxisPhase {
  /** taps of the filter that reach this parity, last first */
  readonly taps: readonly number[];
  readonly before: number;
  readonly after: number;
}

/** dx[2i+a] = sum over taps k = 2t+r of w[k] dy[i - t + (a+p-r)/2], where r = (a+p) mod 2. */
function axisPhase(g: Geometry, axis: 0 | 1, parity: number): AxisPhase {
  const r = (parity + g.before[axis]) % 2;
  const shift = (parity + g.before[axis] - r) / 2;
  const taps: number[] = [];
  for (let k = r; k < g.kernel[axis]; k += 2) taps.unshift(k);
  const before = taps.length - 1 - shift;
  return { taps, before, after: g.size[axis] / 2 + taps.length - 1 - g.out[axis] - before };
}

/** Gradient for the image at stride 2: one small convolution for each parity of rows and columns. Null where it does not fit. */
export function inputGradStride2(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  dy: string,
  g: Geometry,
  block: number,
  batch: number | null,
): Phases | null {
  if (g.strides.some((s) => s !== 2) || g.dilations.some((d) => d !== 1) || g.size.some((s) => s % 2 !== 0))
    return null;
  const rows = [0, 1].map((a) => axisPhase(g, 0, a));
  const cols = [0, 1].map((b) => axisPhase(g, 1, b));
  const used = [...rows, ...cols].filter((p) => p.taps.length > 0);
  if (used.some((p) => p.before < 0 || p.after < 0)) return null;
  const images = rows.map((row) => cols.map((col) => phaseConv(e, filter, shape, dy, row, col, block)));
  if (images.flat().every((x) => x === null)) return null;
  return { images, batch, channels: shape[2]!, size: [g.size[0] / 2, g.size[1] / 2] };
}

function phaseConv(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  dy: string,
  row: AxisPhase,
  col: AxisPhase,
  block: number,
): string | null {
  if (row.taps.length === 0 || col.taps.length === 0) return null;
  const [kh, kw, i, o] = shape as [number, number, number, number];
  const picked = row.taps.flatMap((y) => col.taps.map((x) => y * kw + x));
  const taps = e.emit("Gather", [e.reshape(filter, [kh * kw, i, o]), e.ints(picked)], { axis: 0 });
  const small = [row.taps.length, col.taps.length, i, o];
  const weights = swappedWeights(e, e.reshape(taps, small), small, block);
  const attrs = {
    kernel_shape: [row.taps.length, col.taps.length],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [row.before, col.before, row.after, col.after],
    group: 1,
  };
  return e.emit("Conv", [dy, weights], attrs, NCHWC);
}

/** Phases to one blocked image: columns, then rows, each by one Concat on a view. Needs the batch where a phase is zero. */
export function interleave(e: Emitter, phases: Phases, block: number): string | null {
  const [h, w] = phases.size;
  const blocks = phases.channels / block;
  const needsZero = phases.images.flat().some((x) => x === null);
  if (needsZero && phases.batch === null) return null;
  const rows = phases.images.map((row) => {
    if (row.every((x) => x === null)) return null;
    const parts = row.map((x) =>
      x === null
        ? e.filled(0, [phases.batch!, blocks * h, w, block])
        : e.reshape(x, [0, blocks * h, w, block]),
    );
    return e.reshape(e.concat(parts, 3), [0, blocks, h, 2 * w * block]);
  });
  const full = rows.map((x) => x ?? e.filled(0, [phases.batch!, blocks, h, 2 * w * block]));
  return e.reshape(e.concat(full, 3), [0, phases.channels, 2 * h, 2 * w]);
}

/** Phase by phase sum of two gradients of one image. */
export function addPhases(e: Emitter, a: Phases, b: Phases): Phases {
  const sum = (x: string | null, y: string | null): string | null =>
    x === null ? y : y === null ? x : e.emit("Add", [x, y]);
  return { ...a, images: a.images.map((row, i) => row.map((x, j) => sum(x, b.images[i]![j]!))) };
}

/**
 * Gradient for the filter as one convolution whose channels are the batch: the image's batch becomes channels (blocks of images), dy
 * becomes the weights, and rows and columns of the "output" are the taps. Needs a batch that is a multiple of the block.
 *
 * @param x - blocked, or NHWC where the image has fewer channels than a block (`channels` < block)
 * @returns HWIO
 */
export function filterGrad(
  e: Emitter,
  x: string,
  dy: string,
  shape: readonly number[],
  g: Geometry,
  batch: number,
  block: number,
): string {
  const [kh, kw, i, o] = shape as [number, number, number, number];
  const inner = Math.min(i, block);
  const outer = i / inner;
  const [h, w] = g.size;
  const padded = padColumns(e, x, g, batch * outer * h, inner);
  const width = w + padded.before + padded.after;
  const groups = batch / block;
  const images = e.emit(
    "ReorderInput",
    [e.reshape(padded.id, [1, batch, outer * h, width * inner])],
    { channels_last: 0 },
    NCHWC,
  );
  const data = channelsOutside(e, images, outer, groups, h * width * inner * block, [
    outer,
    batch,
    h,
    width * inner,
  ]);
  const view = e.reshape(dy, [groups, block, 1, o * g.out[0] * g.out[1]]);
  const weights = e.reshape(e.emit("ReorderInput", [view], { channels_last: 1 }, NCHWC), [
    groups * o,
    block,
    ...g.out,
  ]);
  const after = Math.max(0, (g.out[0] - 1) * g.strides[0] + kh - h - g.before[0]);
  const attrs = {
    kernel_shape: [...g.out],
    strides: [1, 1],
    dilations: [g.strides[0], g.strides[1] * inner],
    pads: [g.before[0], 0, after, 0],
    group: groups,
  };
  const conv = e.emit("Conv", [data, weights], attrs, NCHWC);
  const rows = h + g.before[0] + after - (g.out[0] - 1) * g.strides[0];
  const cols = width - (g.out[1] - 1) * g.strides[1];
  const parts = e.reshape(conv, [outer, groups, o / block, rows, cols * inner, block]);
  const summed =
    groups === 1
      ? e.reshape(parts, [outer, o / block, rows, cols * inner, block])
      : e.emit("ReduceSum", [parts, e.ints([1])], { keepdims: 0 });
  const cut = rows === kh && cols === kw ? summed : e.slice(summed, [2, 3], [0, 0], [kh, kw * inner]);
  const taps = e.reshape(cut, [outer, o / block, kh, kw, inner, block]);
  return e.reshape(e.transpose(taps, [2, 3, 0, 4, 1, 5]), [kh, kw, i, o]);
}

/** Memory [groups, outer, rest] to [outer, groups, rest], under new dims. */
function channelsOutside(
  e: Emitter,
  x: string,
  outer: number,
  groups: number,
  rest: number,
  dims: readonly number[],
): string {
  if (outer === 1 || groups === 1) return e.reshape(x, dims);
  return e.reshape(e.transpose(e.reshape(x, [groups, outer, rest]), [1, 0, 2]), dims);
}

/** Columns of zeros left and right: on this view one Concat. Padding by the convolution's own `pads` is slower in this direction. */
function padColumns(
  e: Emitter,
  x: string,
  g: Geometry,
  rows: number,
  inner: number,
): { id: string; before: number; after: number } {
  const need = (g.out[1] - 1) * g.strides[1] + g.kernel[1];
  const before = g.before[1];
  const after = Math.max(0, need - g.size[1] - before);
  if (before === 0 && after === 0) return { id: x, before, after };
  const parts = [e.reshape(x, [rows, g.size[1] * inner])];
  if (before > 0) parts.unshift(e.filled(0, [rows, before * inner]));
  if (after > 0) parts.push(e.filled(0, [rows, after * inner]));
  return { id: e.concat(parts, 1), before, after };
}

/** HWC1 depthwise filter to memory [C/B, 1, kh, kw, B]. */
export function depthwiseWeights(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  block: number,
): string {
  const [kh, kw, c] = shape as [number, number, number];
  return e.reshape(e.transpose(e.reshape(filter, [kh, kw, c / block, block]), [2, 0, 1, 3]), [c, 1, kh, kw]);
}

export function depthwise(
  e: Emitter,
  x: string,
  filter: string,
  shape: readonly number[],
  g: Geometry,
  block: number,
): string {
  return e.emit(
    "Conv",
    [x, depthwiseWeights(e, filter, shape, block)],
    { ...windowOf(g), group: shape[2]! },
    NCHWC,
  );
}

/** Depthwise gradient for the image at stride 1. Null where it does not fit. */
export function depthwiseInputGrad(
  e: Emitter,
  filter: string,
  shape: readonly number[],
  dy: string,
  g: Geometry,
  block: number,
): string | null {
  const pads = backwardPads(g);
  if (pads === null) return null;
  const weights = depthwiseWeights(e, flipped(e, filter, shape), shape, block);
  return e.emit("Conv", [dy, weights], { ...windowOf(g), pads, group: shape[2]! }, NCHWC);
}

/** Depthwise gradient for the filter: every image and channel is a group of its own, then a sum over the batch. @returns HWC1 */
export function depthwiseFilterGrad(
  e: Emitter,
  x: string,
  dy: string,
  shape: readonly number[],
  g: Geometry,
  batch: number,
  block: number,
): string {
  const [kh, kw, c] = shape as [number, number, number];
  const after = [0, 1].map((i) =>
    Math.max(0, (g.out[i]! - 1) * g.strides[i]! + g.kernel[i]! - g.size[i]! - g.before[i]!),
  );
  const attrs = {
    kernel_shape: [...g.out],
    strides: [1, 1],
    dilations: [...g.strides],
    pads: [...g.before, ...after],
    group: batch * c,
  };
  const conv = e.emit(
    "Conv",
    [e.reshape(x, [1, batch * c, ...g.size]), e.reshape(dy, [batch * c, 1, ...g.out])],
    attrs,
    NCHWC,
  );
  const rows = [0, 1].map((i) => g.size[i]! + g.before[i]! + after[i]! - (g.out[i]! - 1) * g.strides[i]!);
  const parts = e.reshape(conv, [batch, c / block, rows[0]!, rows[1]!, block]);
  const summed = e.emit("ReduceSum", [parts, e.ints([0])], { keepdims: 0 });
  const cut = rows[0] === kh && rows[1] === kw ? summed : e.slice(summed, [1, 2], [0, 0], [kh, kw]);
  return e.reshape(e.transpose(cut, [1, 2, 0, 3]), [kh, kw, c, 1]);
}

/** Sum over height and width of x * d, without writing the product. @returns [batch, channels] */
export function dot(
  e: Emitter,
  x: string,
  d: string,
  batch: number,
  channels: number,
  size: readonly [number, number],
): string {
  const n = batch * channels;
  const attrs = { kernel_shape: [...size], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: n };
  const conv = e.emit("Conv", [e.reshape(x, [1, n, ...size]), e.reshape(d, [n, 1, ...size])], attrs, NCHWC);
  return e.reshape(conv, [batch, channels]);
}
