/** @file The batch normalizations of a container, each with the variables it has, and how they are. Start at `batchNorms`. */

import type { VariableCollection, VariableEntry } from "../formats/collection/index.ts";
import { type Stats, statsOf } from "./stats.ts";

/** Variables of one batch normalization. Gamma or beta may be left out by its maker; a statistic that is null is missing. */
export interface BatchNorm {
  readonly layer: string;
  readonly gamma: VariableEntry | null;
  readonly beta: VariableEntry | null;
  readonly mean: VariableEntry | null;
  readonly variance: VariableEntry | null;
}

/** Layers that have a moving statistic. */
export function batchNorms(variables: readonly VariableEntry[]): BatchNorm[] {
  const layers = new Map<string, Map<string, VariableEntry>>();
  for (const v of variables) {
    if (!["gamma", "beta", "moving-mean", "moving-variance"].includes(v.role)) continue;
    const layer = layers.get(v.layer) ?? new Map<string, VariableEntry>();
    if (!layer.has(v.role)) layer.set(v.role, v);
    layers.set(v.layer, layer);
  }
  return [...layers].flatMap(([layer, by]) => {
    const get = (role: string): VariableEntry | null => by.get(role) ?? null;
    const norm = {
      layer,
      gamma: get("gamma"),
      beta: get("beta"),
      mean: get("moving-mean"),
      variance: get("moving-variance"),
    };
    return norm.mean === null && norm.variance === null ? [] : [norm];
  });
}

export const variablesOf = ({ gamma, beta, mean, variance }: BatchNorm): VariableEntry[] =>
  [gamma, beta, mean, variance].filter((v) => v !== null);

export interface Health {
  readonly state: "good" | "bad" | "unknown";
  /** in a few words */
  readonly words: string;
}

/** How a batch normalization is, told by its statistics alone; the doctor tells more. */
export function healthOf(norm: BatchNorm, stats: (v: VariableEntry) => Stats | undefined): Health {
  const bad = (words: string): Health => ({ state: "bad", words });
  if (norm.mean === null) return bad("no moving mean");
  if (norm.variance === null) return bad("no moving variance");
  const found = variablesOf(norm).map(stats);
  const [mean, variance] = [stats(norm.mean), stats(norm.variance)];
  if (mean === undefined || variance === undefined) return { state: "unknown", words: "" };
  if (found.some((s) => s !== undefined && s.nan > 0)) return bad("NaN");
  if (found.some((s) => s !== undefined && s.inf > 0)) return bad("infinite");
  if (variance.min < 0) return bad("negative variance");
  if (mean.min === 0 && mean.max === 0 && variance.min === 1 && variance.max === 1)
    return bad("never updated");
  return { state: "good", words: "ok" };
}

/** Batch normalizations of more bytes than this in all are not read just to say how they are. */
const MOST_BYTES = 4 << 20;

/** Statistics of the batch normalizations' variables, where they are small and can be read. */
export async function batchNormStats(
  model: VariableCollection,
  norms: readonly BatchNorm[],
): Promise<Map<string, Stats>> {
  const found = new Map<string, Stats>();
  const variables = norms.flatMap(variablesOf);
  if (variables.reduce((n, v) => n + v.bytes, 0) > MOST_BYTES) return found;
  for (const { name } of variables) {
    const stats = await model.read(name).then(statsOf, () => null); // damaged or missing: to say so is the doctor's work
    if (stats !== null) found.set(name, stats);
  }
  return found;
}
