/** @file A variable with what follows it: slots of optimizers and moving averages, which every step of surgery treats alike. Start at `familyOf`. */

import { formatShape, sameShape, VarscopeError } from "../../base/index.ts";
import { roleOf, type VariableCollection, type VariableEntry } from "../../formats/collection/index.ts";
import type { Draft } from "./plan.ts";
import { followed } from "./rename.ts";

/** The variables of an edit on their way. */
export interface Bench {
  readonly from: VariableCollection;
  /** all of them; those that a step used up are gone */
  readonly drafts: Draft[];
  /** steps that match nothing */
  readonly unused: string[];
}

/** The variable of that name now, if it is there. */
export const draftNamed = ({ drafts }: Bench, name: string): Draft | undefined =>
  drafts.find((d) => d.dropped === null && d.entry.name === name);

/**
 * A variable, and behind it its slots and averages of its shape; those of another shape are left out, since nobody knows how they would follow.
 *
 * @throws VarscopeError NOT_FOUND
 */
export function familyOf(bench: Bench, given: string): Draft[] {
  const head = draftNamed(bench, given) ?? draftNamed(bench, bench.from.find(given).name);
  if (head === undefined) {
    throw new VarscopeError("NOT_FOUND", "the variable is left out, split or joined by another option", {
      at: given,
    });
  }
  const family = new Set([head]);
  for (const member of family) {
    for (const d of bench.drafts) {
      if (d.dropped !== null || d.entry.of !== member.entry.name) continue;
      if (sameShape(d.shape, head.shape)) family.add(d);
      else leaveOut(d, `its shape ${formatShape(d.shape)} is not that of ${head.name}, which changes`);
    }
  }
  return [...family];
}

/** Leaves a variable out, with the reason for the report. */
export function leaveOut(d: Draft, why: string): void {
  d.dropped = why;
}

/** Takes drafts off the bench that a step has made others of. */
export function useUp({ drafts }: Bench, used: readonly Draft[]): void {
  const gone = new Set(used);
  drafts.splice(0, drafts.length, ...drafts.filter((d) => !gone.has(d)));
}

/** Gives a variable another shape and values. */
export function change(d: Draft, what: string, made: Partial<Pick<Draft, "shape" | "values">>): void {
  d.changes.push(what);
  Object.assign(d, made, { keepsParts: false });
}

/**
 * The variable that a member of the family of `owner` becomes in the family of `name`.
 *
 * @returns null where the member's name does not hold its owner's, so that it has no new one
 */
export function derived(
  member: Draft,
  owner: string,
  name: string,
  made: Pick<Draft, "shape" | "values"> & { readonly change: string; readonly from: string | null },
): Draft | null {
  const own = followed(member.entry.name, owner, name);
  if (own === member.entry.name && name !== owner) return null;
  const { aliases: _, parts: __, of, ...facts } = member.entry;
  const place =
    of === undefined
      ? roleOf(own, made.shape, () => undefined)
      : { layer: roleOf(name, made.shape, () => undefined).layer, of: followed(of, owner, name) };
  const entry: VariableEntry = { ...facts, ...place, name: own, key: own, shape: made.shape };
  const { shape, values, from } = made;
  const changes = [...(from === null ? [] : member.changes), made.change];
  return {
    entry,
    from,
    isNew: true,
    dropped: null,
    name: own,
    dtype: member.dtype,
    shape,
    keepsParts: false,
    values,
    changes,
  };
}

/** A new variable. */
export function fresh(name: string, t: Pick<Draft, "dtype" | "shape" | "values">): Draft {
  const place = roleOf(name, t.shape, () => undefined);
  return {
    entry: { ...place, name, key: name, dtype: t.dtype, shape: t.shape, bytes: 0 },
    from: null,
    isNew: true,
    dropped: null,
    name,
    ...t,
    keepsParts: false,
    changes: ["new"],
  };
}

/**
 * Puts a variable on the bench.
 *
 * @throws VarscopeError INVALID_ARGUMENT - there is one of that name
 */
export function putOn(bench: Bench, d: Draft): void {
  if (draftNamed(bench, d.name) !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `a variable ${d.name} is there already`, {
      at: d.name,
      hint: "give the new one another name, or drop that one",
    });
  }
  bench.drafts.push(d);
}
