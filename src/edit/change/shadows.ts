/** @file Moving averages in the place of their variables. Start at `placeShadows`. */

import { formatShape, sameShape, VarscopeError } from "../../base/index.ts";
import { roleOf } from "../../formats/collection/index.ts";
import type { Draft } from "./plan.ts";

/**
 * Gives variables the values of their moving averages; with "swap" also the averages those of their variables.
 *
 * @throws VarscopeError NOT_FOUND - there are no averages; INVALID_ARGUMENT - one has another shape than its variable
 */
export function placeShadows(drafts: readonly Draft[], how: "take" | "swap", unused: string[]): void {
  const byName = new Map(drafts.map((d) => [d.entry.name, d]));
  const shadows = drafts.filter((d) => d.entry.role === "ema");
  if (shadows.length === 0) {
    throw new VarscopeError("NOT_FOUND", "no moving averages are here", {
      hint: "they are called <variable>/ExponentialMovingAverage, or <variable>_average in Keras",
    });
  }
  for (const shadow of shadows) {
    const owner = ownerOf(shadow, byName);
    if (owner === undefined) {
      if (how === "take" && shadow.entry.of !== undefined) standIn(shadow, shadow.entry.of);
      else
        unused.push(
          `the moving average ${shadow.entry.name}: its variable ${shadow.entry.of ?? ""} is not here`,
        );
      continue;
    }
    if (!sameShape(owner.shape, shadow.shape)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `${formatShape(shadow.shape)}, its variable has ${formatShape(owner.shape)}`,
        {
          at: shadow.entry.name,
        },
      );
    }
    const [{ values, dtype }, mine] = [shadow, { values: owner.values, dtype: owner.dtype }];
    Object.assign(owner, { values, dtype });
    owner.changes.push(`value of ${shadow.entry.name}`);
    if (how === "take") shadow.dropped = `in the place of ${owner.entry.name}`;
    else {
      Object.assign(shadow, mine);
      shadow.changes.push(`value of ${owner.entry.name}`);
    }
  }
}

/** A file that holds averages alone: they are the variables. */
function standIn(shadow: Draft, name: string): void {
  const { of, ...entry } = shadow.entry;
  Object.assign(shadow, {
    name,
    entry: { ...entry, ...roleOf(name, shadow.shape, () => undefined), key: entry.name },
  });
  shadow.changes.push(`in the place of ${name}`);
}

/**
 * The variable of an average. One made inside a scope has the scope's name twice.
 *
 * @see TensorFlow python/training/slot_creator.py: the shadow of `a/w` made in scope `a` is `a/a/w/ExponentialMovingAverage`
 */
function ownerOf(shadow: Draft, byName: ReadonlyMap<string, Draft>): Draft | undefined {
  for (
    let name = shadow.entry.of ?? "";
    name !== "";
    name = name.slice(name.indexOf("/") + 1 || name.length)
  ) {
    const owner = byName.get(name);
    if (owner !== undefined && sameShape(owner.shape, shadow.shape)) return owner;
    if (owner !== undefined && name === shadow.entry.of) return owner;
  }
  return undefined;
}
