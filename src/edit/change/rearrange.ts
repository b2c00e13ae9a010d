/** @file Steps of surgery that move the elements of one variable: other shapes, orders and choices of places. Start at `takePlaces`. */

import { formatShape, normalizeAxis, sizeOf, VarscopeError } from "../../base/index.ts";
import { type Bench, change, familyOf } from "./family.ts";
import { runsOf, taken, transposed } from "./pieces.ts";
import type { Draft } from "./plan.ts";
import type { Step } from "./surgery.ts";

const invalid = (
  what: string,
  details: { readonly at?: string; readonly hint?: string } = {},
): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what, details);

/** Another shape of as many elements. @throws VarscopeError INVALID_ARGUMENT */
export function reshape(family: readonly Draft[], shape: readonly number[]): void {
  for (const d of family) {
    if (sizeOf(shape) !== sizeOf(d.shape)) {
      throw invalid(
        `${formatShape(d.shape)} has ${sizeOf(d.shape)} elements, ${formatShape(shape)} has ${sizeOf(shape)}`,
        { at: d.entry.name, hint: "give a shape of as many elements" },
      );
    }
    change(d, `reshaped from ${formatShape(d.shape)}`, { shape });
  }
}

/** The places of a variable's axis, in another order. */
function rearrange(d: Draft, axis: number, indexes: readonly number[], what: string): void {
  const before = { ...d };
  const runs = runsOf(indexes);
  change(d, what, {
    shape: d.shape.with(axis, indexes.length),
    values: (reading) => taken(before, axis, runs, reading),
  });
}

/** An axis the other way round. */
export function reverse(family: readonly Draft[], given: number): void {
  for (const d of family) {
    const axis = normalizeAxis(given, d.shape.length);
    const size = d.shape[axis]!;
    const indexes = Array.from({ length: size }, (_, i) => size - 1 - i);
    rearrange(d, axis, indexes, `axis ${axis} reversed`);
  }
}

/** Places of an axis, in another order. @throws VarscopeError INVALID_ARGUMENT - no such place */
export function takePlaces(family: readonly Draft[], { axis: given, indexes }: Step<"take">): void {
  const [{ shape }] = family as [Draft];
  const axis = normalizeAxis(given, shape.length);
  const bad = indexes.find((i) => !Number.isInteger(i) || i < 0 || i >= shape[axis]!);
  if (bad !== undefined)
    throw invalid(
      `place ${bad} is not in [0, ${shape[axis]!}), the size of axis ${axis} of ${formatShape(shape)}`,
    );
  const isOrder = indexes.length === shape[axis] && new Set(indexes).size === indexes.length;
  const what = isOrder
    ? `axis ${axis} reordered`
    : `${indexes.length} places of ${shape[axis]!} along axis ${axis}`;
  for (const d of family) rearrange(d, axis, indexes, what);
}

/** Axes in another order. @throws VarscopeError INVALID_ARGUMENT - no order of axes */
export function transpose(bench: Bench, { pattern, perm }: Step<"transpose">): void {
  if (perm.toSorted((a, b) => a - b).some((axis, i) => axis !== i))
    throw invalid(`${perm.join(",")} is no order of the axes 0 to ${perm.length - 1}`);
  const owners = bench.drafts.filter(
    (d) =>
      d.dropped === null &&
      d.entry.of === undefined &&
      d.shape.length === perm.length &&
      pattern.test(d.entry.name),
  );
  if (owners.length === 0) bench.unused.push(`--transpose of rank ${perm.length}: ${pattern.source}`);
  for (const d of owners.flatMap((owner) => familyOf(bench, owner.entry.name))) {
    const before = { ...d };
    change(d, `transposed ${perm.join(",")} from ${formatShape(d.shape)}`, {
      shape: perm.map((axis) => before.shape[axis]!),
      values: (reading) => transposed(before, perm, reading),
    });
  }
}
