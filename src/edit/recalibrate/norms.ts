/** @file Normalizations to estimate: the sites that share statistics, and what must be known before each. Start at `normsOf`. */

import { sizeOf, type Tensor, VarscopeError } from "../../base/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import { type Session, variableKey } from "../../run/index.ts";
import { ancestors } from "../doctor/graph-norms.ts";
import { ChannelMap, ChannelMoments } from "./channel-moments.ts";
import { CONVENTIONS, type Convention, type ConventionName, divisorOf } from "./convention.ts";
import { type NormSite, normSites } from "./norm-sites.ts";

/** "one": each layer sees what the layers before it make of batch statistics; "per-layer": of their new moving statistics. */
export type Passes = "one" | "per-layer";

/** A site with what is remembered of it from batch to batch. */
export interface Place {
  readonly site: NormSite;
  readonly channels: ChannelMap;
  readonly norm: Norm;
  /** whether the graph cannot take the statistics that are wanted here, so that its result is computed outside and fed */
  readonly isCut: boolean;
}

/** One pair of moving statistics. */
export interface Norm {
  readonly layer: string;
  readonly mean: Operation;
  readonly variance: Operation;
  readonly convention: Convention;
  readonly moments: ChannelMoments;
  readonly places: Place[];
}

/** A normalization that was passed over. */
export interface LeftNorm {
  readonly layer: string;
  readonly why: string;
}

export interface NormChoice {
  /** layers to take: names, or a pattern that names match; by default all */
  readonly layers?: readonly string[] | RegExp | undefined;
  readonly passes: Passes;
  readonly convention: ConventionName;
  /** what will be fed */
  readonly fed: ReadonlySet<Output>;
}

/** Norms of a graph that can be computed from what is fed. @throws VarscopeError NOT_FOUND - there are none, or not of these names */
export function normsOf(
  graph: Graph,
  choice: NormChoice,
): { readonly norms: Norm[]; readonly left: LeftNorm[] } {
  const { layers } = choice;
  const all = normSites(graph);
  const isWanted = ({ layer }: NormSite): boolean =>
    layers === undefined || (layers instanceof RegExp ? layer.search(layers) >= 0 : layers.includes(layer));
  needLayers(all, layers);
  const left = new Map<string, LeftNorm>();
  const groups = new Map<Operation, NormSite[]>();
  for (const site of all) {
    const lacks = unfed(site.x, choice.fed);
    const stddev = graph.findOperation(`${site.layer}/moving_stddev`);
    if (!isWanted(site)) left.set(site.layer, { layer: site.layer, why: "not asked for" });
    else if (stddev?.def?.variable !== undefined)
      left.set(site.layer, {
        layer: site.layer,
        why: "batch renormalization trains on statistics of its own",
      });
    else if (site.isWeighted)
      left.set(site.layer, { layer: site.layer, why: "masks or weighs what it sees in training" });
    else if (lacks !== null)
      left.set(site.layer, { layer: site.layer, why: `needs ${lacks}, which is not fed` });
    else groups.set(site.mean, [...(groups.get(site.mean) ?? []), site]);
  }
  const norms = inOrder([...groups.values()].map((sites) => normOf(sites, choice)));
  for (const { layer } of norms) left.delete(layer);
  if (norms.length > 0) return { norms, left: [...left.values()] };
  throw new VarscopeError("NOT_FOUND", "no batch normalization with moving statistics can be computed", {
    at: graph.operations[0]?.name ?? "graph",
    hint: hintOf(graph, [...left.values()]),
  });
}

function hintOf(graph: Graph, left: readonly LeftNorm[]): string {
  if (left.length > 0)
    return left
      .slice(0, 3)
      .map((l) => `${l.layer} ${l.why}`)
      .join("; ");
  return graph.functions.size > 0
    ? "inline the functions that it calls; planRecalibration does"
    : "'varscope inspect' lists a graph's ops; what is folded into convolutions cannot be recalibrated";
}

/** Layers as data meet them: what comes after another needs more ops. */
function inOrder(norms: readonly Norm[]): Norm[] {
  const size = (norm: Norm): number => ancestors(norm.places.map((p) => p.site.x.op)).size;
  const keyed = norms.map((norm) => [size(norm), norm] as const);
  return keyed.sort(([a], [b]) => a - b).map(([, norm]) => norm);
}

function needLayers(all: readonly NormSite[], layers: readonly string[] | RegExp | undefined): void {
  if (!Array.isArray(layers)) return;
  const known = new Set(all.map((s) => s.layer));
  const wrong = (layers as readonly string[]).find((name) => !known.has(name));
  if (wrong === undefined) return;
  throw new VarscopeError("NOT_FOUND", `no batch normalization ${wrong}`, {
    at: wrong,
    hint: `there are ${[...known].slice(0, 5).join(", ")}`,
  });
}

/** A placeholder that `x` needs and nobody feeds. */
function unfed(x: Output, fed: ReadonlySet<Output>): string | null {
  const seen = new Set<Operation>();
  const stack = [x];
  while (stack.length > 0) {
    const y = stack.pop()!;
    if (fed.has(y) || seen.has(y.op)) continue;
    seen.add(y.op);
    // the predicate of a conditional around a normalization is fed here
    if (y.op.type === "Placeholder" && y.dtype !== "bool") return y.name;
    for (const x of y.op.inputs) stack.push(x);
  }
  return null;
}

function normOf(sites: readonly NormSite[], { passes, convention }: NormChoice): Norm {
  const wanted = passes === "one" ? "training" : "inference";
  const native = sites.filter((s) => s.mode === "switched" || s.mode === wanted);
  const [first] = sites;
  const norm: Norm = {
    layer: first!.layer,
    mean: first!.mean,
    variance: first!.variance,
    convention: CONVENTIONS[convention].of(first!),
    moments: new ChannelMoments(sizeOf(first!.wide)),
    places: [],
  };
  // where a graph holds the layer for training and for inference, the one that is wanted
  for (const site of native.length > 0 ? native : sites)
    norm.places.push({ site, channels: new ChannelMap(site.wide), norm, isCut: native.length === 0 });
  return norm;
}

/**
 * How many steps come before each place: 0 where it needs no other, else one more than the largest of those that it needs.
 *
 * @param stepOf - places of one step are taken together
 * @param counts - places that others have to wait for
 * @throws VarscopeError UNIMPLEMENTED - a step needs itself
 */
export function depths(
  places: readonly Place[],
  stepOf: (p: Place) => unknown,
  counts: (p: Place) => boolean,
): Map<Place, number> {
  const needs = new Map<unknown, { readonly layer: string; readonly steps: Set<unknown> }>();
  for (const p of places) {
    const ops = ancestors([p.site.x.op]);
    const step = needs.get(stepOf(p)) ?? { layer: p.norm.layer, steps: new Set() };
    for (const q of places) if (counts(q) && ops.has(q.site.y.op)) step.steps.add(stepOf(q));
    needs.set(stepOf(p), step);
  }
  const found = new Map<unknown, number>();
  const depthOf = (key: unknown, path: ReadonlySet<unknown>): number => {
    const known = found.get(key);
    if (known !== undefined) return known;
    const { layer, steps } = needs.get(key)!;
    if (path.has(key)) {
      throw new VarscopeError("UNIMPLEMENTED", `${layer} is applied to its own results`, {
        at: layer,
        hint: "estimate all layers in one pass: passes: one",
      });
    }
    const before = [...steps].map((k) => depthOf(k, new Set([...path, key])));
    const depth = Math.max(-1, ...before) + 1;
    found.set(key, depth);
    return depth;
  };
  return new Map(places.map((p) => [p, depthOf(stepOf(p), new Set())]));
}

/** The variance of all that was seen, by the layer's convention. */
export const varianceOf = ({ moments, convention, places }: Norm): Float64Array =>
  moments.variance(divisorOf(convention, moments.count, places[0]!.site));

/** Value of a statistic: a variable's in the session, or a constant's. @throws VarscopeError FAILED_PRECONDITION - no value */
export function statisticOf(session: Session, op: Operation): Tensor {
  if (op.def?.variable === undefined) return op.attrs.value as unknown as Tensor;
  return session.variables.need(variableKey(op), op.outputs[0]!.isRef);
}
