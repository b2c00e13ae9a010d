/** @file The mean of containers that have the same variables. Start at `planAverage`; what it gives is written by `writeModel`. */

import {
  allocate,
  formatShape,
  isComplex,
  isFloat,
  sameShape,
  setElement,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import type {
  Contents,
  ReadOptions,
  VariableCollection,
  VariableEntry,
  WritableVariable,
} from "../../formats/collection/index.ts";
import { matchVariables } from "../../formats/matching/index.ts";
import { lockstep } from "../compare/lockstep.ts";
import { numbersOf } from "./numbers.ts";

export interface AverageOptions {
  /** of each container, in any unit: 1 each */
  readonly weights?: readonly number[];
}

export interface AveragePlan extends Contents {
  readonly averaged: readonly string[];
  /** names of those that are the last container's: counters, rates, integers, strings */
  readonly fromLast: readonly string[];
  /** statistics that are means now, and belong to none of the models */
  readonly statistics: readonly string[];
}

/**
 * The mean of `models`, summed up in float64, under the names of the first. Names may differ in spelling.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no models, other weights than models, or variables that are not in all, or of another dtype or shape
 */
export function planAverage(
  models: readonly VariableCollection[],
  options: AverageOptions = {},
): AveragePlan {
  const [first] = models;
  if (first === undefined) throw new VarscopeError("INVALID_ARGUMENT", "nothing to average");
  const weights = shares(models, options.weights ?? models.map(() => 1));
  const counterparts = models.map((m) => counterpartsIn(first, m));
  const fromLast: string[] = [];
  const averaged: string[] = [];
  const variables = first.variables.map((v): WritableVariable => {
    const names = counterparts.map((found) => found.get(v.name)!);
    const facts = { ...v, shape: v.shape as readonly number[] };
    if (!isAveraged(v)) {
      fromLast.push(v.name);
      return { ...facts, values: (reading) => models.at(-1)!.stream(names.at(-1)!, reading) };
    }
    averaged.push(v.name);
    return { ...facts, values: (reading) => mean(models, names, weights, reading) };
  });
  const statistics = first.variables.filter((v) => v.role === "moving-mean" || v.role === "moving-variance");
  return { variables, extras: first.extras, averaged, fromLast, statistics: statistics.map((v) => v.name) };
}

/** Counters, rates and beta powers are where training stands: a mean of them is nowhere. */
const isAveraged = (v: VariableEntry): boolean => {
  const isState =
    v.role === "step" ||
    (v.role === "slot" && v.of === undefined) ||
    (v.role === "other" && v.optimizer !== undefined);
  return !isState && (isFloat(v.dtype) || isComplex(v.dtype));
};

function shares(models: readonly VariableCollection[], weights: readonly number[]): number[] {
  const sum = weights.reduce((n, w) => n + w, 0);
  const isFine =
    weights.length === models.length && weights.every((w) => Number.isFinite(w) && w >= 0) && sum > 0;
  if (!isFine) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${models.length} containers, weights ${weights.join(", ")}`,
      {
        at: "weights",
        hint: "give one weight for each container, none negative, not all 0",
      },
    );
  }
  return weights.map((w) => w / sum);
}

/** Name in `first` -> name in `other`. @throws VarscopeError INVALID_ARGUMENT - they do not have the same variables */
function counterpartsIn(first: VariableCollection, other: VariableCollection): Map<string, string> {
  if (other === first) return new Map(first.variables.map((v) => [v.name, v.name]));
  const { pairs, onlyInA, onlyInB } = matchVariables(first.variables, other.variables);
  const wrong = (what: string): VarscopeError =>
    new VarscopeError("INVALID_ARGUMENT", what, {
      at: other.path,
      hint: `average checkpoints of one model; 'varscope diff ${first.path} ${other.path}' lists what differs`,
    });
  const sample = (names: readonly { readonly name: string }[]): string =>
    `${names
      .slice(0, 3)
      .map((n) => n.name)
      .join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
  if (onlyInA.length > 0) throw wrong(`it lacks ${sample(onlyInA)}`);
  if (onlyInB.length > 0) throw wrong(`${sample(onlyInB)} is not in ${first.path}`);
  for (const { a, b } of pairs) {
    if (a.dtype === b.dtype && sameShape(a.shape, b.shape)) continue;
    throw wrong(
      `${b.name} is ${b.dtype} ${formatShape(b.shape)}, ${a.dtype} ${formatShape(a.shape)} in ${first.path}`,
    );
  }
  return new Map(pairs.map((p) => [p.a.name, p.b.name]));
}

async function* mean(
  models: readonly VariableCollection[],
  names: readonly string[],
  weights: readonly number[],
  reading: ReadOptions,
): AsyncGenerator<Tensor> {
  const streams = models.map((m, i) => m.stream(names[i]!, reading));
  for await (const pieces of lockstep(streams, names[0]!)) yield weightedSum(pieces, weights);
}

/** The sum of tensors of one dtype and length, each times its weight. */
export function weightedSum(pieces: readonly Tensor[], weights: readonly number[]): Tensor {
  const { dtype, shape, data } = pieces[0]!;
  const out = { dtype, shape, data: allocate(dtype, shape[0]!) };
  const sum = new Float64Array(data.length);
  for (const [k, piece] of pieces.entries()) addTimes(sum, partsOf(piece), weights[k]!);
  if (isStored(dtype)) (out.data as Float32Array).set(sum);
  else for (let i = 0; i < sum.length; i++) setElement(out, i, sum[i]!);
  return out;
}

/** Whether the numbers are stored as such; of complex dtypes both parts are. */
const isStored = (dtype: Tensor["dtype"]): boolean =>
  dtype === "float32" || dtype === "float64" || isComplex(dtype);

/** The numbers that are summed: of complex dtypes both parts. */
const partsOf = (t: Tensor): ArrayLike<number> =>
  isComplex(t.dtype) ? (t.data as Float32Array) : numbersOf(t)!;

function addTimes(sum: Float64Array, values: ArrayLike<number>, weight: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += weight * values[i]!;
}
