/** @file Shapes: an unknown dim is null, an unknown rank a null shape. Start at `Shape`. */

import { VarscopeError } from "./errors.ts";

/** Dims of known rank; null is an unknown dim. Unknown rank is written `Shape | null`. */
export type Shape = readonly (number | null)[];

/** Whether every dim is known. */
export const isStatic = (shape: Shape | null): shape is readonly number[] =>
  shape?.every((d) => d !== null) ?? false;

/** Product of the dims; 1 for a scalar. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

/** Number of elements, or null where a dim or the rank is unknown. */
export const sizeOrNull = (shape: Shape | null): number | null => (isStatic(shape) ? sizeOf(shape) : null);

/** Row-major strides in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  for (let i = dims.length - 1, step = 1; i >= 0; i--) {
    strides[i] = step;
    step *= dims[i]!;
  }
  return strides;
}

/** As TensorFlow's C++ prints it: `[?,3]`, `<unknown>`. */
export const formatShape = (shape: Shape | null): string =>
  shape === null ? "<unknown>" : `[${shape.map((d) => d ?? "?").join(",")}]`;

/** As TensorFlow's Python prints it: `(None, 3)`, `(2,)`, `<unknown>`. */
export function formatPyShape(shape: Shape | null): string {
  if (shape === null) return "<unknown>";
  const dims = shape.map((d) => d ?? "None").join(", ");
  return shape.length === 1 ? `(${dims},)` : `(${dims})`;
}

export const sameShape = (a: Shape | null, b: Shape | null): boolean =>
  a === b || (a !== null && b !== null && a.length === b.length && a.every((d, i) => d === b[i]));

/** Whether `b` may be the same shape as `a` where dims are unknown. */
export const isCompatible = (a: Shape | null, b: Shape | null): boolean =>
  a === null ||
  b === null ||
  (a.length === b.length && a.every((d, i) => d === null || b[i] === null || d === b[i]));

/** The more definite of two compatible shapes, dim by dim. @throws VarscopeError INVALID_ARGUMENT - they differ */
export function mergeShapes(a: Shape | null, b: Shape | null): Shape | null {
  if (a === null || b === null) return a ?? b;
  if (a.length !== b.length) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Shapes must be equal rank, but are ${a.length} and ${b.length}`,
    );
  }
  return a.map((d, i) => {
    const e = b[i]!;
    if (d !== null && e !== null && d !== e) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Dimension ${i} in both shapes must be equal, but are ${d} and ${e}. Shapes are ${formatShape(a)} and ${formatShape(b)}.`,
      );
    }
    return d ?? b[i] ?? null;
  });
}

/** Numpy broadcasting of two shapes. @throws VarscopeError INVALID_ARGUMENT - a pair of dims differs and none is 1 */
export function broadcastShapes(a: Shape | null, b: Shape | null): Shape | null {
  if (a === null || b === null) return null;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = i - rank + a.length < 0 ? 1 : a[i - rank + a.length]!;
    const y = i - rank + b.length < 0 ? 1 : b[i - rank + b.length]!;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    if (x === null) return y;
    if (y === null) return x;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Dimensions must be equal, but are ${x} and ${y}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`,
    );
  });
}

/** Axis counted from 0; negative counts from the end. @throws VarscopeError INVALID_ARGUMENT - out of range */
export function normalizeAxis(axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new VarscopeError("INVALID_ARGUMENT", `axis ${axis} is not in [${-rank}, ${rank})`);
  }
  return axis < 0 ? axis + rank : axis;
}
