/** @file Steps of surgery that make variables of others: split, joined, renamed, summed. Start at `split`. */

import {
  allocate,
  formatShape,
  isFloat,
  normalizeAxis,
  sameShape,
  sizeOf,
  VarscopeError,
} from "../../base/index.ts";
import { type Bench, change, derived, familyOf, fresh, leaveOut, putOn, useUp } from "./family.ts";
import { joined, shifted, summed, taken } from "./pieces.ts";
import type { Draft } from "./plan.ts";
import type { Step } from "./surgery.ts";

const invalid = (what: string, at?: string, hint?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { ...(at && { at }), ...(hint && { hint }) });

/** Puts on the bench what `make` gives for each part of each member; what has no new name is left out. */
function putParts(
  bench: Bench,
  family: readonly Draft[],
  names: readonly string[],
  make: (member: Draft, part: number) => Pick<Draft, "shape" | "values"> & { readonly change: string },
): void {
  useUp(bench, family);
  const owner = family[0]!.entry.name;
  for (const [i, name] of names.entries()) {
    for (const member of family) {
      const made = derived(member, owner, name, { ...make(member, i), from: member.from });
      if (made !== null) putOn(bench, made);
      else if (!bench.drafts.includes(member)) {
        leaveOut(member, `its name does not hold that of ${owner}, which has another now`);
        bench.drafts.push(member);
      }
    }
  }
}

/** A variable as several. @throws VarscopeError INVALID_ARGUMENT - sizes that do not add up, a name that is there */
export function split(bench: Bench, { name, axis: given, parts }: Step<"split">): void {
  const family = familyOf(bench, name);
  const { shape } = family[0]!;
  const axis = normalizeAxis(given, shape.length);
  const sizes = sizesOf(parts, shape, axis);
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((n, size) => n + size, 0));
  putParts(
    bench,
    family,
    parts.map((p) => p.name),
    (member, i) => {
      const [start, size] = [starts[i]!, sizes[i]!];
      return {
        shape: shape.with(axis, size),
        values: (reading) => taken(member, axis, [[start, size]], reading),
        change: `${start} to ${start + size} along axis ${axis} of ${member.entry.name}`,
      };
    },
  );
}

function sizesOf(parts: Step<"split">["parts"], shape: readonly number[], axis: number): number[] {
  const whole = shape[axis]!;
  const told = parts.flatMap((p) => p.size ?? []);
  if (told.length === 0 && whole % parts.length === 0) return parts.map(() => whole / parts.length);
  const sum = told.reduce((n, size) => n + size, 0);
  if (told.length === parts.length && sum === whole) return told;
  const found = told.length === 0 ? `${parts.length} equal parts` : `parts of ${told.join(" + ")}`;
  throw invalid(
    `axis ${axis} of ${formatShape(shape)} is not ${found}`,
    undefined,
    "give the size of each part: NAME:SIZE,NAME:SIZE",
  );
}

/** Several variables as one. @throws VarscopeError INVALID_ARGUMENT - dtypes or other dims differ, a name that is there */
export function concat(bench: Bench, { name, axis: given, parts }: Step<"concat">): void {
  if (new Set(parts).size < parts.length) throw invalid("a part comes twice");
  const families = parts.map((part) => familyOf(bench, part));
  const heads = families.map(([head]) => head!);
  const [first] = heads as [Draft];
  const axis = normalizeAxis(given, first.shape.length);
  for (const d of heads) {
    if (d.dtype === first.dtype && sameShape(d.shape.with(axis, 0), first.shape.with(axis, 0))) continue;
    throw invalid(
      `${d.dtype} ${formatShape(d.shape)} does not join ${first.dtype} ${formatShape(first.shape)} along axis ${axis}`,
      d.name,
    );
  }
  useUp(bench, families.flat());
  const size = heads.reduce((n, d) => n + d.shape[axis]!, 0);
  const shape = first.shape.with(axis, size);
  // by the name that it gets; what gets none stands for itself
  const spelled = families.map(
    (family, i) => new Map(family.map((d) => [derivedName(d, heads[i]!.entry.name, name) ?? d, d])),
  );
  for (const [own, member] of spelled[0]!) {
    const members = spelled.map((family) => family.get(own));
    if (members.some((m) => m === undefined || m.dtype !== member.dtype)) continue;
    const all = members as Draft[];
    for (const others of spelled) others.delete(own);
    const made = derived(member, first.entry.name, name, {
      shape,
      values: (reading) => joined(all, axis, reading),
      change: `joined of ${all.map(told).join(", ")} along axis ${axis}`,
      from: null,
    });
    putOn(bench, made!);
  }
  for (const d of spelled.flatMap((family) => [...family.values()])) {
    leaveOut(d, `not all parts of ${name} have one`);
    bench.drafts.push(d);
  }
}

/** A part with what happened to it before. */
const told = ({ entry, changes }: Draft): string =>
  changes.length === 0 ? entry.name : `${entry.name} (${changes.join(", ")})`;

/** What a member of the family of `owner` is called in that of `name`; null where its name does not tell. */
const derivedName = (d: Draft, owner: string, name: string): string | null =>
  derived(d, owner, name, { shape: d.shape, values: d.values, change: "", from: null })?.name ?? null;

/** A variable under another name. @throws VarscopeError INVALID_ARGUMENT - it is there */
export function rename(bench: Bench, { name, to }: Step<"rename">): void {
  const family = familyOf(bench, name);
  putParts(bench, family, [to], ({ entry, shape, values }) => ({
    shape,
    values,
    change: `renamed from ${entry.name}`,
  }));
}

/** A number added to elements of a vector and of its average. @throws VarscopeError INVALID_ARGUMENT - no float */
export function shift(family: readonly Draft[], { start, count, by }: Step<"shift">): void {
  if (by === 0) return;
  const [head] = family as [Draft];
  needFloat(head);
  for (const d of family.filter((member) => member === head || member.entry.role === "ema")) {
    const before = { ...d };
    change(d, `${by > 0 ? "+" : "-"} ${Math.abs(by)} from ${start} to ${start + count}`, {
      values: (reading) => shifted(before, { start, count, by }, reading),
    });
  }
}

/** Several variables added up. @throws VarscopeError INVALID_ARGUMENT - dtypes or shapes differ */
export function sum(bench: Bench, { name, parts }: Step<"sum">): void {
  const families = parts.map((part) => familyOf(bench, part));
  const heads = families.map(([head]) => head!);
  const [first] = heads as [Draft];
  for (const d of heads) {
    needFloat(d);
    if (d.dtype !== first.dtype || !sameShape(d.shape, first.shape))
      throw invalid(`${formatShape(d.shape)}, ${first.name} has ${formatShape(first.shape)}`, d.name);
  }
  useUp(bench, heads);
  for (const d of families.flatMap(([, ...followers]) => followers)) leaveOut(d, `${name} is a sum`);
  const made = fresh(name, {
    dtype: first.dtype,
    shape: first.shape,
    values: (reading) => summed(heads, reading),
  });
  putOn(bench, { ...made, changes: [`sum of ${heads.map(told).join(", ")}`] });
}

/** A new variable of zeros. @throws VarscopeError INVALID_ARGUMENT - it is there */
export function zeros(bench: Bench, { name, like, shape }: Step<"zeros">): void {
  const { dtype } = familyOf(bench, like)[0]!;
  putOn(
    bench,
    fresh(name, {
      dtype,
      shape,
      async *values() {
        yield { dtype, shape: [sizeOf(shape)], data: allocate(dtype, sizeOf(shape)) };
      },
    }),
  );
}

/** @throws VarscopeError INVALID_ARGUMENT */
export function needFloat(d: Draft): void {
  if (!isFloat(d.dtype)) throw invalid(`${d.dtype}, a float is wanted`, d.name);
}
