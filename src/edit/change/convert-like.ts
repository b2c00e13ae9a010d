/** @file The values of one container in the layout of another: its names, keys, object graph, Keras model. Start at `planLike`. */

import { type DType, formatShape, sameShape, sizeOf, VarscopeError, type zeros } from "../../base/index.ts";
import type { VariableCollection, VariableEntry, WritableVariable } from "../../formats/collection/index.ts";
import { variableOf } from "../../formats/collection/index.ts";
import { type Matching, matchVariables, optimizerFamily, type Pair } from "../../formats/matching/index.ts";
import { castValues } from "./cast-values.ts";
import type { ConvertPlan } from "./convert.ts";

export interface LikeOptions {
  /** name in the input -> name in the template */
  readonly map?: ReadonlyMap<string, string>;
  /** variables of the model that the input lacks keep the template's values: false, and they are an error */
  readonly partial?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * The variables of `template` with the values of `from`. State of an optimizer that `from` lacks keeps the template's values.
 *
 * @throws VarscopeError NOT_FOUND - variables of the model have no counterpart, and not `partial`; INVALID_ARGUMENT - one has another
 *   shape, or a dtype that it cannot be cast to; OUT_OF_RANGE - the template's dtype is too narrow for the values
 */
export async function planLike(
  from: VariableCollection,
  template: VariableCollection,
  options: LikeOptions = {},
): Promise<ConvertPlan> {
  const { map, partial, signal } = options;
  const matching = matchVariables(from.variables, template.variables, {
    structure: true,
    ...(map && { map }),
  });
  const pairOf = new Map(matching.pairs.map((p) => [p.b.name, p]));
  const misfits = matching.pairs.filter((p) => !sameShape(p.a.shape, p.b.shape));
  if (misfits.length > 0) throw misfit(misfits, template.path);
  const lacking = template.variables.filter((v) => !pairOf.has(v.name));
  const needed = lacking.filter((v) => !isState(v));
  if (needed.length > 0 && !partial) throw missing(needed, matching, from, template);
  const powers = await powersOf(from, lacking);
  const variables: WritableVariable[] = [];
  const left: { what: string; why: string }[] = [];
  for (const v of template.variables) {
    const pair = pairOf.get(v.name);
    const power = powers.get(v.name);
    if (power !== undefined) variables.push({ ...v, ...variableOf(v.name, power) });
    else if (pair === undefined) variables.push(own(template, v));
    else variables.push({ ...own(template, v), ...(await valuesFor(from, pair, signal)) });
  }
  const trained = template.variables.find((v) => v.role === "slot" && v.optimizer !== undefined)?.optimizer;
  for (const { name } of matching.onlyInA)
    left.push({ what: name, why: whyLeft(from.find(name), trained, template.path) });
  const kept = lacking.filter((v) => !powers.has(v.name)).map((v) => v.name);
  return { contents: { variables, extras: template.extras }, left, pairs: matching.pairs, kept };
}

/** @param trained - the template's optimizer */
function whyLeft(v: VariableEntry, trained: string | undefined, at: string): string {
  const isOther =
    v.role === "slot" && trained !== undefined && optimizerFamily(trained) !== optimizerFamily(v.optimizer);
  return isOther ? `${at} was trained with ${trained}` : `${at} has no variable for it`;
}

/** Slots, averages, counters, rates: a model works without. */
const isState = (v: VariableEntry): boolean =>
  v.role === "slot" || v.role === "ema" || v.role === "step" || v.optimizer !== undefined;

const own = (template: VariableCollection, v: VariableEntry): WritableVariable => ({
  ...v,
  shape: v.shape as readonly number[],
  values: (reading) => template.stream(v.name, reading),
});

/** The input's values in the template's dtype. */
async function valuesFor(
  from: VariableCollection,
  { a, b }: Pair,
  signal: AbortSignal | undefined,
): Promise<Pick<WritableVariable, "values">> {
  const values: WritableVariable["values"] = (reading) => from.stream(a.name, reading);
  if (a.dtype === b.dtype) return { values };
  const cast = await castValues({ entry: a, dtype: a.dtype, values }, b.dtype, signal);
  if (cast.loss?.refused) {
    throw new VarscopeError(
      "OUT_OF_RANGE",
      `${a.dtype} values do not fit into ${b.dtype}: ${countOf(cast.loss)}`,
      {
        at: a.name,
        hint: `cast with 'varscope edit --cast ${a.name}=${b.dtype} --allow-lossy' first, or take a template of ${a.dtype}`,
      },
    );
  }
  return { values: cast.values };
}

const countOf = ({
  overflow,
  flushed,
  inexact,
}: {
  overflow: number;
  flushed: number;
  inexact: number;
}): string => `${overflow} overflow, ${flushed} become 0, ${inexact} lose digits`;

function misfit(pairs: readonly Pair[], at: string): VarscopeError {
  const say = ({ a, b }: Pair): string =>
    `${a.name} is ${formatShape(a.shape)}, ${b.name} ${formatShape(b.shape)}`;
  const [{ a, b }] = pairs as [Pair];
  const [x, y] = [a.shape, b.shape] as readonly (readonly number[])[];
  const fits = sizeOf(x!) === sizeOf(y!);
  return new VarscopeError("INVALID_ARGUMENT", `shapes differ: ${listed(pairs.map(say))}`, {
    at,
    hint: fits
      ? `reshape with 'varscope edit --reshape ${a.name}=${y!.join(",")}' first`
      : "take a template of the same model",
  });
}

const listed = (names: readonly string[]): string =>
  `${names.slice(0, 5).join("; ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;

function missing(
  needed: readonly VariableEntry[],
  { onlyInB }: Matching,
  from: VariableCollection,
  template: VariableCollection,
): VarscopeError {
  const hints = new Map(onlyInB.map((u) => [u.name, [...new Set([...u.near, ...u.sameShape])].slice(0, 2)]));
  const say = ({ name }: VariableEntry): string => {
    const near = hints.get(name) ?? [];
    return near.length === 0 ? name : `${name} (perhaps ${near.join(" or ")})`;
  };
  return new VarscopeError(
    "NOT_FOUND",
    `${template.path} has variables without a counterpart: ${listed(needed.map(say))}`,
    {
      at: from.path,
      hint: "tell names with --map or --rename, or give --partial to keep the template's values",
    },
  );
}

/** Adam of TF 1 keeps beta1^(t+1) and beta2^(t+1), which Keras reckons from its step. @see TensorFlow python/training/adam.py */
const BETAS: Readonly<Record<string, number>> = { beta1_power: 0.9, beta2_power: 0.999 };

/** Powers of Adam's betas for a template of TF 1, from the input's step. */
async function powersOf(from: VariableCollection, lacking: readonly VariableEntry[]) {
  const step = from.variables.find((v) => v.role === "step" && optimizerFamily(v.optimizer) === "adam");
  const powers = new Map<string, ReturnType<typeof zeros>>();
  if (step === undefined) return powers;
  const t = Number((await from.read(step.name)).data[0]);
  for (const v of lacking) {
    const beta = BETAS[v.name.slice(v.name.lastIndexOf("/") + 1)];
    if (beta === undefined || v.dtype !== ("float32" satisfies DType)) continue;
    powers.set(v.name, { dtype: "float32", shape: [], data: Float32Array.of(beta ** (t + 1)) });
  }
  return powers;
}
