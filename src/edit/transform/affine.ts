/**
 * @file Ops that change each channel of their input by itself, x · a + b with constants a and b: what batch normalization is in
 * inference, fused or in small ops, and what bias is. Start at `stepOf`.
 */

import { type Tensor, toNumbers } from "../../base/index.ts";
import { constantValue, type Graph, type Operation, type Output } from "../../graph/index.ts";
import type { Origins } from "./origins.ts";

/** Where the channels are. */
export interface Channels {
  readonly axis: number;
  readonly rank: number;
  readonly count: number;
}

/** One op of a chain. */
export interface Step {
  readonly op: Operation;
  /** the input that is changed; the others are constants */
  readonly index: number;
  /** whether it multiplies channels by numbers of their own */
  readonly scales: boolean;
  readonly fused: boolean;
}

/** What a chain of steps does: x · a + b. */
export interface Affine {
  /** a: one number a channel */
  readonly scale: Float64Array;
  readonly offset: Float64Array;
}

/** The same as nodes of a recipe, float [channels] each. */
export interface AffineRecipe {
  readonly scale: Output;
  readonly offset: Output;
}

export const isFusedNorm = (op: Operation): boolean => /^FusedBatchNorm(V2|V3)?$/.test(op.type);

/** Ops that hand their input on. */
export const PASSES_ON: ReadonlySet<string> = new Set([
  "Identity",
  "StopGradient",
  "PreventGradient",
  "Snapshot",
  "CheckNumerics",
]);

const FLOATS: ReadonlySet<string> = new Set(["float32", "float64"]);

/** Channel axis that a data format means. */
export const channelAxis = (format: string, rank: number): number => (format.startsWith("NC") ? 1 : rank - 1);

/** The op as a step on its input `x`; null if it is none. */
export function stepOf(op: Operation, x: Output, channels: Channels): Step | null {
  const index = op.inputs.indexOf(x);
  if (index < 0 || op.inputs.lastIndexOf(x) !== index || !FLOATS.has(x.dtype)) return null;
  if (isFusedNorm(op)) {
    const format = String(op.attrs.data_format);
    const fits = channelAxis(format, channels.rank) === channels.axis && format.length === channels.rank;
    if (index !== 0 || !fits || op.attrs.is_training !== false) return null;
    return op.inputs.slice(1).every((y) => perChannel(y, channels, true) !== null)
      ? { op, index, scales: true, fused: true }
      : null;
  }
  if (op.type === "BiasAdd") {
    const axis = channelAxis(String(op.attrs.data_format), channels.rank);
    if (index !== 0 || axis !== channels.axis || perChannel(op.inputs[1]!, channels, true) === null)
      return null;
    return { op, index, scales: false, fused: false };
  }
  if (!["Add", "AddV2", "Sub", "Mul", "RealDiv"].includes(op.type)) return null;
  if (op.type === "RealDiv" && index !== 0) return null;
  const other = op.inputs[1 - index]!;
  const value = perChannel(other, channels, false);
  if (value === null) return null;
  const multiplies = op.type === "Mul" || op.type === "RealDiv";
  return { op, index, scales: multiplies && value.shape.length > 0, fused: false };
}

/** A constant that holds one number a channel, or one for all; as a vector where it must be one. */
function perChannel(x: Output, { axis, rank, count }: Channels, asVector: boolean): Tensor | null {
  const value = constantValue(x);
  if (value === null || !FLOATS.has(value.dtype)) return null;
  if (asVector) return value.shape.length === 1 && value.shape[0] === count ? value : null;
  const shift = rank - value.shape.length;
  if (shift < 0) return null;
  const fits = value.shape.every((d, i) => d === 1 || (i + shift === axis && d === count));
  return fits ? value : null;
}

/** The numbers of a constant, one a channel. */
function numbers(x: Output, count: number): Float64Array {
  const values = toNumbers(constantValue(x)!);
  return Float64Array.from({ length: count }, (_, i) => values[values.length === 1 ? 0 : i]!);
}

/** The steps together. @see Jacob et al. 2018, section 3.2 (arXiv:1712.05877) */
export function affineOf(steps: readonly Step[], count: number): Affine {
  const scale = new Float64Array(count).fill(1);
  const offset = new Float64Array(count);
  const each = (f: (c: number) => void): void => {
    for (let c = 0; c < count; c++) f(c);
  };
  for (const { op, index, fused } of steps) {
    if (fused) {
      const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((i) => numbers(op.inputs[i]!, count));
      const epsilon = Number(op.attrs.epsilon);
      each((c) => {
        const s = gamma![c]! / Math.sqrt(variance![c]! + epsilon);
        scale[c]! *= s;
        offset[c] = offset[c]! * s + beta![c]! - mean![c]! * s;
      });
      continue;
    }
    const value = numbers(op.inputs[1 - index]!, count);
    each((c) => {
      const v = value[c]!;
      if (op.type === "Mul") [scale[c], offset[c]] = [scale[c]! * v, offset[c]! * v];
      else if (op.type === "RealDiv") [scale[c], offset[c]] = [scale[c]! / v, offset[c]! / v];
      else if (op.type !== "Sub") offset[c]! += v;
      else if (index === 0) offset[c]! -= v;
      else [scale[c], offset[c]] = [-scale[c]!, v - offset[c]!];
    });
  }
  return { scale, offset };
}

/** The steps as a recipe. */
export function affineRecipe(steps: readonly Step[], count: number, origins: Origins): AffineRecipe {
  const g = origins.recipe;
  const dtype = steps[0]!.op.inputs[steps[0]!.index]!.dtype;
  let scale = g.constant(1, { dtype, name: "one" });
  let offset = g.constant(0, { dtype, name: "zero" });
  for (const { op, index, fused } of steps) {
    if (fused) {
      const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((i) =>
        cast(g, origins.ofValue(op.inputs[i]!), dtype),
      );
      const epsilon = g.constant(Number(op.attrs.epsilon), { dtype, name: "epsilon" });
      const s = g.add("Mul", [gamma!, g.add("Rsqrt", [g.add("AddV2", [variance!, epsilon])])]);
      scale = g.add("Mul", [scale, s]);
      const shift = g.add("Sub", [beta!, g.add("Mul", [mean!, s])]);
      offset = g.add("AddV2", [g.add("Mul", [offset, s]), shift]);
      continue;
    }
    const value = g.add("Reshape", [origins.ofValue(op.inputs[1 - index]!), [-1]]);
    if (op.type === "Mul" || op.type === "RealDiv") {
      scale = g.add(op.type, [scale, value]);
      offset = g.add(op.type, [offset, value]);
    } else if (op.type !== "Sub") offset = g.add("AddV2", [offset, value]);
    else if (index === 0) offset = g.add("Sub", [offset, value]);
    else [scale, offset] = [g.add("Neg", [scale]), g.add("Sub", [value, offset])];
  }
  const wide = (x: Output): Output => g.add("BroadcastTo", [x, [count]]);
  return { scale: wide(scale), offset: wide(offset) };
}

const cast = (g: Graph, x: Output, dtype: string): Output =>
  x.dtype === dtype ? x : g.add("Cast", [x], { attrs: { DstT: dtype } });
