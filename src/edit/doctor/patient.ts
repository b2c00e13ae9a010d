/** @file A container with all that the rules ask about it, each asked once. Start at `Patient`. */

import type { Tensor } from "../../base/index.ts";
import type { VariableCollection, VariableEntry } from "../../formats/collection/index.ts";
import { type BatchNorm, batchNorms } from "../batch-norms.ts";
import type { GraphFile } from "../graph/open-graph.ts";
import type { Examination, Numbers } from "./examine.ts";
import { graphNorms } from "./graph-norms.ts";
import { kerasNorms } from "./keras-norms.ts";
import { largest, short } from "./rule.ts";

/** How a batch normalization was set, and where that is known from. */
export interface NormSetting {
  readonly momentum: number;
  readonly epsilon: number;
  /** false: these are the usual ones, nothing says so */
  readonly momentumKnown: boolean;
  readonly epsilonKnown: boolean;
}

/** What the rules look at. */
export interface Patient extends Examination {
  readonly collection: VariableCollection;
  readonly path: string;
  readonly variables: readonly VariableEntry[];
  /** the graph to compare with; null where none was given */
  readonly graph: GraphFile | null;
  /** as the graph was given on the command line */
  readonly graphPath: string | null;
  /** variables that the graph declares, by their names in checkpoints */
  readonly declared: readonly VariableEntry[];
  /** those that the container should have: none where the graph is its own */
  readonly wanted: readonly VariableEntry[];
  readonly norms: readonly BatchNorm[];
  /** training steps that the file counts; null where it counts none */
  readonly step: number | null;
  /** words that tell that training has changed the variables; null where nothing tells it */
  readonly trained: string | null;
  of(v: VariableEntry | null): Numbers | null;
  byName(name: string): VariableEntry | undefined;
  /** of a layer, its weight; where it has several, one of them */
  weightOf(layer: string): VariableEntry | undefined;
  /** whether the container has it, by name, key or alias */
  has(name: string): boolean;
  setting(norm: BatchNorm): NormSetting;
}

/** @see Keras layers/normalization/batch_normalization.py; PyTorch nn/modules/batchnorm.py (momentum 0.1 is 0.9 here, eps 1e-5) */
const KERAS_USUAL = { momentum: 0.99, epsilon: 1e-3 };
/** @see tf_slim layers/layers.py "batch_norm" (decay) */
const SLIM_USUAL = { momentum: 0.999, epsilon: 1e-3 };
const TORCH_USUAL = { momentum: 0.9, epsilon: 1e-5 };

/** A graph, with the variables that it declares and those of them that are looked for. */
export interface GivenGraph {
  readonly file: GraphFile | null;
  readonly declared: readonly VariableEntry[];
  readonly wanted: readonly VariableEntry[];
}

/** Gathers what the rules ask. */
export function patientOf(
  collection: VariableCollection,
  examined: Examination,
  { file: graph, declared, wanted }: GivenGraph,
): Patient {
  const { variables } = collection;
  const byName = new Map(variables.map((v) => [v.name, v]));
  const of = (v: VariableEntry | null): Numbers | null =>
    v === null ? null : (examined.numbers.get(v.name) ?? null);
  const weights = new Map(variables.filter((v) => v.role === "weight").map((v) => [v.layer, v]));
  const keys = new Set(variables.flatMap((v) => [v.key, ...(v.aliases ?? [])]));
  const norms = batchNorms(variables);
  const step = stepOf(variables, of);
  const [inGraph, inConfig] = [graphNorms(graph), kerasNorms(collection.extras.kerasConfig)];
  const setting = (norm: BatchNorm): NormSetting => {
    const last = norm.layer.slice(norm.layer.lastIndexOf("/") + 1);
    const known = inGraph.get(norm.layer) ?? inConfig.get(last);
    const usual = usualOf(norm, collection);
    return {
      momentum: known?.momentum ?? usual.momentum,
      epsilon: known?.epsilon ?? usual.epsilon,
      momentumKnown: known?.momentum !== undefined,
      epsilonKnown: known?.epsilon !== undefined,
    };
  };
  return {
    ...examined,
    collection,
    path: collection.path,
    variables,
    graph,
    graphPath: graph?.path ?? null,
    declared,
    wanted,
    norms,
    step,
    trained: trainedOf(variables, of, step),
    of,
    byName: (name) => byName.get(name),
    weightOf: (layer) => weights.get(layer),
    has: (name) => byName.has(name) || keys.has(name),
    setting,
  };
}

function usualOf(norm: BatchNorm, { format }: VariableCollection): typeof KERAS_USUAL {
  const mean = norm.mean?.name ?? norm.variance?.name ?? "";
  if (format === "safetensors" || /running_/.test(mean)) return TORCH_USUAL;
  return /(^|\/)BatchNorm(_\d+)?$/.test(norm.layer) ? SLIM_USUAL : KERAS_USUAL;
}

function stepOf(
  variables: readonly VariableEntry[],
  of: (v: VariableEntry) => Numbers | null,
): number | null {
  const counts = variables
    .filter((v) => v.role === "step" || /(^|\.)num_batches_tracked$/.test(v.name))
    .map((v) => Number(of(v)?.stats.max ?? Number.NaN))
    .filter((n) => n >= 0);
  return counts.length === 0 ? null : largest(counts);
}

/** Whether a tensor is all of one value. */
export const isAll = (n: Numbers | null, value: number): boolean =>
  n !== null &&
  n.count > 0 &&
  n.stats.min === value &&
  n.stats.max === value &&
  n.stats.nan + n.stats.inf === 0;

/** Initial values that makers give: what differs from them has been trained. Weights start at random and tell nothing. */
function trainedOf(
  variables: readonly VariableEntry[],
  of: (v: VariableEntry) => Numbers | null,
  step: number | null,
): string | null {
  if (step !== null) return step > 0 ? `${step} steps are counted` : null;
  const gammas = variables.filter(
    (v) => v.role === "gamma" && of(v) !== null && !isAll(of(v), 1) && !isAll(of(v), 0),
  );
  if (gammas.length > 0)
    return `${gammas[0]!.name} has moved from 1 by up to ${short(furthest(of(gammas[0]!)!, 1))}`;
  const betas = variables.filter(
    (v) => v.role === "beta" && of(v) !== null && !isAll(of(v), 0) && !isAll(of(v), 1),
  );
  if (betas.length > 0)
    return `${betas[0]!.name} has moved from 0 by up to ${short(furthest(of(betas[0]!)!, 0))}`;
  const slots = variables.filter((v) => v.role === "slot" && v.of !== undefined && !isUniform(of(v)));
  return slots.length > 0 ? `${slots[0]!.name} has taken gradients` : null;
}

const isUniform = (n: Numbers | null): boolean => n === null || n.count === 0 || n.stats.min === n.stats.max;

/** Largest distance of a finite value from `start`. */
export const furthest = ({ stats }: Numbers, start: number): number =>
  Math.max(Math.abs(Number(stats.min) - start), Math.abs(Number(stats.max) - start));

/** A scalar of a constant's attribute. */
export const scalarOf = (t: Tensor): number => Number((t.data as ArrayLike<number>)[0]);
