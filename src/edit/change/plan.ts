/**
 * @file What an edit is asked for and what it will do: values stay where they are until the new container is written.
 * Start at `EditOptions` and `EditPlan`; edit.ts makes the plan.
 */

import type { DType, Tensor } from "../../base/index.ts";
import type { Extras, ReadOptions, VariableEntry, WritableVariable } from "../../formats/collection/index.ts";
import type { CastLoss } from "./cast.ts";
import type { Surgery } from "./surgery.ts";

/** Names and patterns are those of the input. */
export interface EditOptions {
  /** pattern -> replacement with $1 for groups, one after another; all places in a name where it matches */
  readonly rename?: readonly (readonly [RegExp, string])[];
  /** only variables that one of these matches; slots and averages of those, too */
  readonly keep?: readonly RegExp[];
  /** not those that one of these matches, nor their slots and averages */
  readonly drop?: readonly RegExp[];
  /** pattern -> dtype; the last that matches. Casts to a float leave integers alone, unless the pattern is the name itself */
  readonly cast?: readonly (readonly [RegExp, DType])[];
  /** leaves out slots, counters and rates of optimizers: false */
  readonly dropSlots?: boolean;
  /** moving averages take the place of their variables, or change places with them */
  readonly ema?: "take" | "swap";
  readonly set?: ReadonlyMap<string, Tensor>;
  /** slots and averages follow */
  readonly reshape?: ReadonlyMap<string, readonly number[]>;
  /** axis counts from 0, negative from the end, of the new shape; slots and averages follow */
  readonly reverse?: readonly { readonly name: string; readonly axis: number }[];
  /** after those, one after another; names are those that the steps before left */
  readonly surgery?: readonly Surgery[];
  readonly signal?: AbortSignal;
}

/** A variable of the new container. */
export interface PlannedVariable extends WritableVariable {
  /** in the input; null where it is new */
  readonly from: string | null;
  /** what happens to it, in words */
  readonly changes: readonly string[];
}

/** A variable of which a cast loses values. */
export interface PlannedLoss extends CastLoss {
  readonly name: string;
  readonly dtype: readonly [DType, DType];
  /** whether it is refused, unless allowed */
  readonly refused: boolean;
}

export interface EditPlan {
  readonly variables: readonly PlannedVariable[];
  readonly dropped: readonly { readonly name: string; readonly why: string }[];
  readonly losses: readonly PlannedLoss[];
  /** options that match nothing */
  readonly unused: readonly string[];
  readonly extras: Extras;
}

/** A variable on its way: changed step by step while the plan is made. */
export interface Draft {
  readonly entry: VariableEntry;
  /** in the input; null where it is new */
  readonly from: string | null;
  /** whether it was made here: `entry` is what it would be in a container */
  readonly isNew: boolean;
  /** null: it stays; else why it is left out */
  dropped: string | null;
  name: string;
  dtype: DType;
  shape: readonly number[];
  /** of the value before it, where that keeps its place in rows */
  keepsParts: boolean;
  values(options: ReadOptions): AsyncIterable<Tensor>;
  readonly changes: string[];
}
