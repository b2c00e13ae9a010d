/**
 * @file A container with its variables renamed, left out, cast, replaced, and changed by steps of surgery. Start at `planEdit`; what a
 * plan gives is written by `writeModel`.
 */

import { type DType, formatShape, isFloat, sameShape, type Tensor, VarscopeError } from "../../base/index.ts";
import { type VariableCollection, type VariableEntry, variableOf } from "../../formats/collection/index.ts";
import { castValues } from "./cast-values.ts";
import { fresh } from "./family.ts";
import type { Draft, EditOptions, EditPlan, PlannedLoss, PlannedVariable } from "./plan.ts";
import { renameDrafts } from "./rename.ts";
import { placeShadows } from "./shadows.ts";
import { operate, type Surgery } from "./surgery.ts";

/**
 * What an edit would write. Reads values only of variables that are cast, to count what is lost.
 *
 * @throws VarscopeError NOT_FOUND - an option names a variable that is not there; INVALID_ARGUMENT - two variables of one name, another
 *   element count, no such axis, what a step of surgery refuses, a dtype that the values cannot have; FAILED_PRECONDITION - a variable
 *   without a known shape
 */
export async function planEdit(from: VariableCollection, options: EditOptions): Promise<EditPlan> {
  const drafts = from.variables.map((entry) => draftOf(from, entry));
  const unused: string[] = [];
  if (options.ema !== undefined) placeShadows(drafts, options.ema, unused);
  setValues(from, drafts, options.set ?? new Map());
  select(drafts, options, unused);
  await operate({ from, drafts, unused }, stepsOf(options));
  const live = drafts.filter((d) => d.dropped === null);
  const losses = await castAll(live, options, unused);
  const ofs = renameDrafts(live, options.rename ?? [], unused);
  needOnce(live);
  return {
    variables: live.map((d) => plannedOf(d, ofs)),
    dropped: drafts.flatMap((d) => (d.dropped === null ? [] : [{ name: d.entry.name, why: d.dropped }])),
    losses,
    unused,
    extras: from.extras,
  };
}

function draftOf(from: VariableCollection, entry: VariableEntry): Draft {
  const shape = entry.shape;
  if (shape === null || shape.some((n) => n === null)) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `its shape ${formatShape(shape)} is not known, and no values are here`,
      {
        at: entry.name,
      },
    );
  }
  return {
    entry,
    from: entry.name,
    isNew: false,
    dropped: null,
    name: entry.name,
    dtype: entry.dtype,
    shape: shape as readonly number[],
    keepsParts: true,
    values: (reading) => from.stream(entry.name, reading),
    changes: [],
  };
}

const stepsOf = ({ reshape, reverse = [], surgery = [] }: EditOptions): Surgery[] => [
  ...[...(reshape ?? [])].map(([name, shape]): Surgery => ({ do: "reshape", name, shape })),
  ...reverse.map((r): Surgery => ({ do: "reverse", ...r })),
  ...surgery,
];

function setValues(from: VariableCollection, drafts: Draft[], set: ReadonlyMap<string, Tensor>): void {
  for (const [given, t] of set) {
    const known = from.variables.find((v) => v.name === given || v.key === given);
    const { values } = variableOf(given, t);
    if (known === undefined) {
      drafts.push(fresh(given, { dtype: t.dtype, shape: t.shape, values }));
      continue;
    }
    for (const d of drafts) {
      const follows = d.entry.of === known.name && d.entry.role === "slot";
      if (follows && !sameShape(t.shape, d.shape) && sameShape(known.shape, d.shape))
        d.dropped = `its variable has another shape now, ${formatShape(t.shape)}`;
    }
    const draft = drafts.find((d) => d.entry === known)!;
    draft.changes.push("set");
    draft.keepsParts = sameShape(draft.shape, t.shape);
    Object.assign(draft, { dtype: t.dtype, shape: t.shape, values });
  }
}

/** Leaves out what is not wanted; slots and averages go where their variable goes. */
function select(drafts: readonly Draft[], { keep, drop, dropSlots }: EditOptions, unused: string[]): void {
  const byName = new Map(drafts.map((d) => [d.entry.name, d]));
  const matches = (patterns: readonly RegExp[], d: Draft): boolean => {
    const owner = byName.get(d.entry.of ?? "");
    return patterns.some((p) => p.test(d.entry.name) || (owner !== undefined && p.test(owner.entry.name)));
  };
  noteUnused(drafts, keep ?? [], "--keep", unused);
  noteUnused(drafts, drop ?? [], "--drop", unused);
  for (const d of drafts) {
    if (d.dropped !== null || d.isNew) continue;
    if (dropSlots && isOptimizerState(d.entry)) d.dropped = "state of the optimizer";
    else if (keep !== undefined && keep.length > 0 && !matches(keep, d))
      d.dropped = "not among those to keep";
    else if (drop !== undefined && matches(drop, d)) d.dropped = "to be dropped";
  }
}

/** What role says, not where it lies: Keras 3 keeps the model's weights under `optimizer/`, too. */
const isOptimizerState = (v: VariableEntry): boolean =>
  v.role === "slot" || (v.optimizer !== undefined && (v.role === "step" || v.role === "other"));

function noteUnused(
  drafts: readonly Draft[],
  patterns: readonly RegExp[],
  option: string,
  unused: string[],
): void {
  for (const p of patterns) {
    if (!drafts.some((d) => p.test(d.entry.name))) unused.push(`${option} ${p.source}`);
  }
}

async function castAll(
  live: readonly Draft[],
  { cast = [], signal }: EditOptions,
  unused: string[],
): Promise<PlannedLoss[]> {
  for (const [p, dtype] of cast) noteUnused(live, [p], `--cast to ${dtype}:`, unused);
  const losses: PlannedLoss[] = [];
  for (const d of live) {
    const to = cast.findLast(([p, dtype]) => p.test(d.entry.name) && isMeant(p, d, dtype))?.[1];
    if (to === undefined || to === d.dtype) continue;
    const made = await castValues(d, to, signal);
    if (made.loss !== null) losses.push({ name: d.entry.name, dtype: [d.dtype, to], ...made.loss });
    d.changes.push(`cast from ${d.dtype}`);
    Object.assign(d, { dtype: to, values: made.values });
  }
  return losses;
}

/** `.*=float16` means the floats; counters stay what they are. */
const isMeant = (p: RegExp, d: Draft, to: DType): boolean =>
  isFloat(d.dtype) ||
  !isFloat(to) ||
  p.source.replace(/^\^|\$$/g, "").replace(/\\(.)/g, "$1") === d.entry.name;

function needOnce(live: readonly Draft[]): void {
  const seen = new Map<string, Draft>();
  for (const d of live) {
    const before = seen.get(d.name);
    if (before !== undefined) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `${before.entry.name} and ${d.entry.name} would both be called ${d.name}`,
        {
          at: d.name,
          hint: "make the pattern narrower, or drop one of them",
        },
      );
    }
    seen.set(d.name, d);
  }
}

function plannedOf(d: Draft, ofs: ReadonlyMap<string, string>): PlannedVariable {
  const { parts, aliases, of, key, layer, bytes, ...facts } = d.entry;
  const renamed = d.name !== d.entry.name;
  return {
    ...facts,
    // A key that is another spelling than the name is the container's own; of a new name it is not known.
    ...(d.isNew || (renamed && key === d.entry.name) ? {} : { key }),
    ...(d.isNew || renamed ? {} : { layer }),
    ...(parts !== undefined && d.keepsParts ? { parts } : {}),
    ...(aliases !== undefined && !renamed ? { aliases } : {}),
    ...(of === undefined ? {} : { of: ofs.get(of) ?? of }),
    from: d.from,
    name: d.name,
    dtype: d.dtype,
    shape: d.shape,
    changes: d.changes,
    values: d.values,
  };
}
