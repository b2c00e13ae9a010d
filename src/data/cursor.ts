/** @file Cursors: passes over the elements of a dataset, whose place is plain data. Start at `Cursor`. */

import { VarscopeError } from "../base/index.ts";

/** Where a cursor stands: plain data that JSON can hold, tagged by the kind of the cursor. */
export interface CursorState {
  readonly kind: string;
  readonly [field: string]: Plain;
}
type Plain = number | string | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

/** The end of a cursor's elements. */
export const END = Symbol("end");

/** One pass over the elements of a dataset; what iterators are made of. */
export interface Cursor<T> {
  next(): Promise<T | typeof END>;
  state(): CursorState;
  /** Goes to where a cursor of the same dataset stood. Called before `next`. */
  restore(state: CursorState): Promise<void>;
}

/** Opens a pass: `epoch` counts those before it, so that each may have another order. */
export type OpenCursor<T> = (epoch: number) => Cursor<T>;

/** The error of a state that does not fit. */
export const otherDataset = (found: unknown, wanted: string): VarscopeError =>
  new VarscopeError(
    "INVALID_ARGUMENT",
    `the state is of another dataset: ${wanted} wanted, ${String(found)} found`,
    {
      hint: "restore it with the same pipeline that it was saved with",
    },
  );

/** The count `field` of a state of `kind`. @throws VarscopeError INVALID_ARGUMENT - it has none */
export function needCount(state: CursorState, kind: string, field: string): number {
  if (state?.kind !== kind) throw otherDataset(state?.kind, `a state of ${kind}`);
  const value = state[field];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw otherDataset(value, `a count as ${field} of ${kind}`);
}

/** The state inside a state. @throws VarscopeError INVALID_ARGUMENT - it has none */
export function needState(state: CursorState, field: string): CursorState {
  const inner = state[field] as unknown;
  if (typeof inner === "object" && inner !== null && "kind" in inner) return inner as CursorState;
  throw otherDataset(inner, `a state as ${field} of ${state.kind}`);
}
