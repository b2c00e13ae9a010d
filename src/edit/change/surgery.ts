/**
 * @file Steps that change what variables are made of: split, joined, transposed, rearranged. Each is taken by a variable and by its slots and
 * averages alike; what cannot follow is left out and named. Start at `operate`.
 */

import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { changeChannels } from "./channels.ts";
import { type Bench, draftNamed, familyOf } from "./family.ts";
import { gateSteps, type RnnForm } from "./gates.ts";
import { concat, rename, shift, split, sum, zeros } from "./parts.ts";
import type { Draft } from "./plan.ts";
import { reshape, reverse, takePlaces, transpose } from "./rearrange.ts";
import { type NewEntries, remapRows } from "./vocabulary.ts";

/** A step; an axis counts from 0, negative from the end. */
export type Surgery =
  | ({ readonly name: string } & Named)
  /** every variable of that rank whose name `pattern` matches; axis i becomes what axis `perm[i]` was */
  | { readonly do: "transpose"; readonly pattern: RegExp; readonly perm: readonly number[] };

/** A step of one kind. */
export type Step<Do extends Surgery["do"]> = Extract<Surgery, { readonly do: Do }>;

type Named =
  | { readonly do: "reshape"; readonly shape: readonly number[] }
  | { readonly do: "reverse"; readonly axis: number }
  /** what stands at these places of an axis, in this order; some may be left out or come twice */
  | { readonly do: "take"; readonly axis: number; readonly indexes: readonly number[] }
  /** parts of an axis as variables of their own; without sizes equal ones */
  | {
      readonly do: "split";
      readonly axis: number;
      readonly parts: readonly { readonly name: string; readonly size?: number }[];
    }
  /** one variable of several, one behind the other */
  | { readonly do: "concat"; readonly axis: number; readonly parts: readonly string[] }
  /** another number of input channels: fewer and more of them carry the same sum; or new ones that are zeros or means of the old */
  | {
      readonly do: "channels";
      readonly count: number;
      /** of the input channels: -2, as in [height, width, in, out] and [in, out] */
      readonly axis?: number;
      /** "scale" */
      readonly how?: "scale" | "zeros" | "mean";
    }
  /** rows follow their entries from an old vocabulary file to a new one */
  | {
      readonly do: "vocabulary";
      readonly axis: number;
      readonly oldFile: string;
      readonly newFile: string;
      /** values of new entries: zeros */
      readonly fill?: NewEntries;
    }
  /** a recurrent layer's variables, whose scope is `name`, as another library has them */
  | { readonly do: "gates"; readonly from: RnnForm; readonly to: RnnForm }
  /** the variable under another name */
  | { readonly do: "rename"; readonly to: string }
  /** adds a number to some elements of a vector, not to its slots */
  | { readonly do: "shift"; readonly start: number; readonly count: number; readonly by: number }
  /** the sum of variables, without slots */
  | { readonly do: "sum"; readonly parts: readonly string[] }
  /** zeros, of the dtype of another */
  | { readonly do: "zeros"; readonly like: string; readonly shape: readonly number[] };

/** Takes the steps one after another. @throws VarscopeError as they say; INVALID_ARGUMENT - dims that do not fit */
export async function operate(bench: Bench, steps: readonly Surgery[]): Promise<void> {
  for (const step of steps) {
    try {
      await take(bench, step);
    } catch (e) {
      if (!isVarscopeError(e) || e.at !== undefined) throw e;
      const at = step.do === "transpose" ? `${step.pattern}` : step.name;
      throw new VarscopeError(e.code, e.what, { at, ...(e.hint && { hint: e.hint }), cause: e });
    }
  }
}

async function take(bench: Bench, step: Surgery): Promise<void> {
  if (step.do === "transpose") return transpose(bench, step);
  const family = (): Draft[] => familyOf(bench, step.name);
  switch (step.do) {
    case "reshape":
      return reshape(family(), step.shape);
    case "reverse":
      return reverse(family(), step.axis);
    case "take":
      return takePlaces(family(), step);
    case "split":
      return split(bench, step);
    case "concat":
      return concat(bench, step);
    case "channels":
      return changeChannels(family(), step);
    case "vocabulary":
      return remapRows(family(), step);
    case "gates":
      return operate(
        bench,
        gateSteps(step, (name) => draftNamed(bench, name)),
      );
    case "rename":
      return rename(bench, step);
    case "shift":
      return shift(family(), step);
    case "sum":
      return sum(bench, step);
    case "zeros":
      return zeros(bench, step);
  }
}
