/** @file How variables and layers are, told by numbers that were read; the doctor tells more. Start at `healthOfGroup`. */

import { type BatchNorm, healthOf as normHealth } from "../edit/batch-norms.ts";
import type { Stats } from "../edit/stats.ts";
import type { VariableEntry } from "../formats/collection/index.ts";

/** What a dot says. */
export interface Health {
  readonly state: "good" | "warning" | "bad" | "unknown";
  readonly words: string;
}

/** Statistics that were read; null of strings. */
export type Numbers = ReadonlyMap<string, Stats | null>;

const UNKNOWN: Health = { state: "unknown", words: "values not read yet" };
const RANK = ["unknown", "good", "warning", "bad"] as const;

/** The worse of two. */
export const worse = (a: Health, b: Health): Health =>
  RANK.indexOf(b.state) > RANK.indexOf(a.state) ? b : a;

/** How a single variable is. */
export function healthOfVariable(v: VariableEntry, numbers: Numbers): Health {
  const s = numbers.get(v.name);
  if (s === undefined) return UNKNOWN;
  if (s === null) return { state: "good", words: "strings" };
  if (s.nan > 0) return { state: "bad", words: `${s.nan} NaN` };
  if (s.inf > 0) return { state: "bad", words: `${s.inf} infinite` };
  if (v.role === "moving-variance" && s.min < 0) return { state: "bad", words: "negative variance" };
  if ((v.role === "weight" || v.role === "gamma") && s.min === 0 && s.max === 0)
    return { state: "warning", words: "all zero" };
  return { state: "good", words: "all finite" };
}

/** How a layer is: the worst of its variables, and what a batch normalization's four say together. */
export function healthOfGroup(
  members: readonly VariableEntry[],
  norm: BatchNorm | null,
  numbers: Numbers,
): Health {
  const each = members.map((v) => healthOfVariable(v, numbers));
  const known = each.filter((h) => h.state !== "unknown");
  const worst =
    known.length < each.length && !known.some((h) => h.state === "bad")
      ? UNKNOWN
      : known.reduce(worse, UNKNOWN);
  if (norm === null) return worst;
  const { state, words } = normHealth(norm, (v) => numbers.get(v.name) ?? undefined);
  return state === "unknown" ? worst : worse({ state, words }, worst);
}
