/**
 * @file Windows along one axis of a tensor: what each tap of the window sees, and the way back. Values are names, with the dims they have;
 * the first dim alone may be null. Start at `tapsOf`.
 */

import type { Shape } from "../base/index.ts";
import type { Emitter } from "./emitter.ts";
import type { AxisGeometry } from "./geometry.ts";
import { dimsOf } from "./layout.ts";

/** A name, and the dims that it has. */
export interface View {
  readonly id: string;
  readonly dims: Shape;
}

const withDim = (dims: Shape, axis: number, d: number): Shape => dims.map((x, i) => (i === axis ? d : x));

/** x with elements of one value before and after along an axis. */
export function padded(e: Emitter, x: View, axis: number, before: number, after: number, value = 0): View {
  if (before === 0 && after === 0) return x;
  const at = (n: number): number[] => x.dims.map((_, i) => (i === axis ? n : 0));
  const id = e.emit("Pad", [x.id, e.ints([...at(before), ...at(after)]), e.filled(value, [])]);
  return { id, dims: withDim(x.dims, axis, x.dims[axis]! + before + after) };
}

/** `count` elements of an axis, from `begin`. */
function part(e: Emitter, x: View, axis: number, begin: number, count: number, step = 1): View {
  if (begin === 0 && step === 1 && count === x.dims[axis]) return x;
  const id = e.slice(x.id, [axis], [begin], [begin + (count - 1) * step + 1], [step]);
  return { id, dims: withDim(x.dims, axis, count) };
}

/** What each tap of a window sees of x: one value for each, as long as the result. @param value - what stands around x */
export function tapsOf(e: Emitter, x: View, axis: number, g: AxisGeometry, value = 0): View[] {
  const reach = (g.out - 1) * g.stride + (g.kernel - 1) * g.dilation + 1;
  const whole = padded(e, x, axis, g.before, Math.max(reach - g.size - g.before, 0), value);
  return Array.from({ length: g.kernel }, (_, k) => part(e, whole, axis, k * g.dilation, g.out, g.stride));
}

/** Where the elements are that a tap sees, one for each element of the result; -1 is outside. */
export type Sources = readonly number[];

const inside = (i: number, size: number): number => (i >= 0 && i < size ? i : -1);

/** For each tap, what it sees of the input. */
export const sourcesOf = (g: AxisGeometry): Sources[] =>
  Array.from({ length: g.kernel }, (_, k) =>
    Array.from({ length: g.out }, (_, o) => inside(o * g.stride + k * g.dilation - g.before, g.size)),
  );

/** For each tap of a phase, what it sees of the output. */
export const sourcesBack = ({ taps, count }: Phase, g: AxisGeometry): Sources[] =>
  taps.map(({ shift }) => Array.from({ length: count }, (_, j) => inside(j + shift, g.out)));

/**
 * Slabs of x along axis 1, picked by taps: [n, result, taps, ...] in memory, [n, result, taps · rest] by its dims. One Gather, which copies whole
 * slabs; zeros stand where a tap sees nothing.
 *
 * @param x - [n, d, rest]
 */
export function picked(e: Emitter, x: View, taps: readonly Sources[]): View {
  const [n, d, rest] = x.dims as readonly [number | null, number, number];
  const out = taps[0]!.length;
  const dims = [n, out, taps.length * rest];
  if (taps.length === 1 && out === d && taps[0]!.every((i, o) => i === o)) return x;
  const isWhole = taps.every((tap) => tap.every((i) => i >= 0));
  const source = isWhole ? x.id : padded(e, x, 1, 0, 1).id;
  const indices = taps[0]!.flatMap((_, o) => taps.map((tap) => (tap[o]! < 0 ? d : tap[o]!)));
  return { id: e.reshape(e.emit("Gather", [source, e.ints(indices)], { axis: 1 }), dimsOf(dims)), dims };
}

/** Elements of one residue of a strided axis: the taps that meet them, each with the shift of its output. */
export interface Phase {
  readonly residue: number;
  readonly taps: readonly { readonly tap: number; readonly shift: number }[];
  /** elements of each phase; those behind the end of the axis are cut off when phases are interleaved */
  readonly count: number;
}

/** Element residue + stride · j meets output j + shift through tap. One phase for each residue. */
export function phasesOf(g: AxisGeometry): Phase[] {
  const count = Math.ceil(g.size / g.stride);
  return Array.from({ length: g.stride }, (_, residue) => {
    const taps = Array.from({ length: g.kernel }, (_, tap) => {
      return { tap, shift: (residue + g.before - tap * g.dilation) / g.stride };
    }).filter(({ shift }) => Number.isInteger(shift));
    return { residue, taps, count };
  });
}

/** What each tap of a phase takes of the output y; zeros outside. */
export function shiftedOf(e: Emitter, y: View, axis: number, { taps, count }: Phase): View[] {
  const shifts = taps.map((t) => t.shift);
  const before = Math.max(0, -Math.min(...shifts));
  const after = Math.max(0, Math.max(...shifts) + count - y.dims[axis]!);
  const whole = padded(e, y, axis, before, after);
  return shifts.map((shift) => part(e, whole, axis, shift + before, count));
}

/** The elements of a phase. */
export function elementsOf(e: Emitter, x: View, axis: number, phase: Phase, g: AxisGeometry): View {
  const whole = padded(e, x, axis, 0, phase.count * g.stride - g.size);
  return part(e, whole, axis, phase.residue, phase.count, g.stride);
}

/** Phases back in their places; null is a phase of zeros. */
export function interleaved(
  e: Emitter,
  phases: readonly (View | null)[],
  axis: number,
  g: AxisGeometry,
): View {
  const first = phases.find((p) => p !== null)!; // every window has a tap
  if (phases.length === 1) return first;
  const { dims } = first;
  const zeros = (): string => e.emit("ConstantOfShape", [e.emit("Shape", [first.id])]);
  const column = dimsOf([...dims.slice(0, axis + 1), 1, ...dims.slice(axis + 1)]);
  const columns = phases.map((p) => e.reshape(p?.id ?? zeros(), column));
  const all = withDim(dims, axis, dims[axis]! * g.stride);
  return part(e, { id: e.reshape(e.concat(columns, axis + 1), dimsOf(all)), dims: all }, axis, 0, g.size);
}
