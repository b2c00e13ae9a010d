/**
 * @file Colors of pixels, three numbers each: red, green, blue in [0, 1], or hue, saturation, value. Steps are rounded to float32, as
 * TensorFlow's are, where a color changes its sector. Start at `rgbToHsv`.
 *
 * @see TensorFlow core/kernels/image/colorspace_op.h, adjust_hue_op.cc, adjust_saturation_op.cc
 */

import type { Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

type Color = readonly [number, number, number];

const f = Math.fround;

/** Every pixel of a tensor [..., 3] by `change`. */
export function mapColors(t: Tensor, change: (a: number, b: number, c: number) => Color): Tensor {
  const from = numbersOf(t);
  const out = new Float64Array(from.length);
  for (let i = 0; i < from.length; i += 3) out.set(change(from[i]!, from[i + 1]!, from[i + 2]!), i);
  return fromNumbers(t.dtype, t.shape, out);
}

/** Sixths of the circle of hues, or 0 where there is no hue; not below 0. */
export function rgbToHsv(r: number, g: number, b: number): Color {
  const value = Math.max(r, g, b);
  const range = value - Math.min(r, g, b);
  const saturation = value > 0 ? range / value : 0;
  if (!(range > 0)) return [0, saturation, value];
  const part = 1 / (6 * range);
  const hue = r === value ? part * (g - b) : g === value ? part * (b - r) + 2 / 6 : part * (r - g) + 4 / 6;
  return [hue < 0 ? hue + 1 : hue, saturation, value];
}

const within1 = (x: number): number => Math.min(Math.max(x, 0), 1);

/** Of any hue, also outside [0, 1], where it is not wrapped. */
export function hsvToRgb(hue: number, saturation: number, value: number): Color {
  const at = hue * 6;
  const part = (x: number): number => (1 - saturation + saturation * within1(x)) * value;
  return [part(Math.abs(at - 3) - 1), part(2 - Math.abs(at - 2)), part(2 - Math.abs(at - 4))];
}

/** Places of the largest, the middle and the smallest component, by sixths of the circle. */
const SECTORS: readonly Color[] = [
  [0, 1, 2],
  [1, 0, 2],
  [1, 2, 0],
  [2, 1, 0],
  [2, 0, 1],
  [0, 2, 1],
];

const sectorOf = (r: number, g: number, b: number): number => {
  if (r < g) return b < r ? 1 : b > g ? 3 : 2;
  return b < g ? 0 : b > r ? 4 : 5;
};

/** The hue turned by `delta` of the circle; the largest and the smallest component stay. */
export function turnedHue(color: Color, delta: number): Color {
  const sector = sectorOf(...color);
  const [top, middle, bottom] = SECTORS[sector]!.map((i) => color[i]!) as [number, number, number];
  const range = f(top - bottom);
  const part = range === 0 ? 0 : f(f(middle - bottom) / range);
  const hue = range === 0 ? 0 : f(sector + (sector % 2 === 0 ? part : f(1 - part)));
  const turned = f(hue + f(delta * 6));
  const wrapped = f(turned - 6 * Math.floor(turned / 6));
  const to = wrapped < 6 ? Math.floor(wrapped) : 0;
  const rest = wrapped < 6 ? f(wrapped - to) : 0;
  const between = f(bottom + f((to % 2 === 0 ? rest : f(1 - rest)) * range));
  const out: [number, number, number] = [0, 0, 0];
  [top, between, bottom].forEach((x, i) => {
    out[SECTORS[to]?.[i] ?? i] = x;
  });
  return out;
}

/** The saturation times `scale`, within [0, 1]; hue and value stay. */
export function scaledSaturation(color: Color, scale: number): Color {
  const [hue, saturation, value] = rgbToHsv(...color).map(f) as [number, number, number];
  const chroma = f(f(within1(f(saturation * scale))) * value);
  const rest = f(value - chroma);
  const at = f(hue * 6);
  const sector = Math.floor(at);
  const middle = f(chroma * f(1 - Math.abs(f(f(at - 2 * Math.floor(at / 2)) - 1))));
  const out: [number, number, number] = [rest, rest, rest];
  const places = SECTORS[sector];
  if (places === undefined) return out;
  out[places[0]] = f(chroma + rest);
  out[places[1]] = f(middle + rest);
  return out;
}

/** Each channel of each image [height, width, channels] spread around its mean by `factor`. */
export function spreadAroundMean(t: Tensor, factor: number): Tensor {
  const [height, width, channels] = t.shape.slice(-3) as [number, number, number];
  const from = numbersOf(t);
  const out = new Float64Array(from.length);
  const plane = height * width * channels;
  for (let start = 0; start < from.length; start += plane) {
    for (let c = start; c < start + channels; c++) {
      let sum = 0;
      for (let i = c; i < start + plane; i += channels) sum += from[i]!;
      const mean = sum / (height * width);
      for (let i = c; i < start + plane; i += channels) out[i] = mean + (from[i]! - mean) * factor;
    }
  }
  return fromNumbers(t.dtype, t.shape, out);
}
