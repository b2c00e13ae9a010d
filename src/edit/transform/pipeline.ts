/**
 * @file Several passes one after the other, each shown to compute the same on random inputs, with a record from which constants can be made
 * anew. Start at `transformGraph`.
 */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import { nearestNames } from "../../formats/collection/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import {
  type Comparison,
  compareResults,
  describeFeeds,
  evaluate,
  evaluateRandomly,
  resultsOf,
  sameVariables,
} from "../graph/prove.ts";
import type { FoldResult } from "./fold-norms.ts";
import { Origins, type PlaceOf } from "./origins.ts";
import { outputsOf, type PassOptions, type PassReport } from "./pass.ts";
import { PASSES, type PassEntry } from "./passes.ts";
import { namedPlace } from "./provenance.ts";
import type { RangeReport } from "./ranges.ts";

export interface TransformOptions extends Omit<PassOptions, "origins"> {
  /** names from `PASSES`, in order */
  readonly passes: readonly string[];
  /** which variables the constants were; by default those that look like weights, under their own names */
  readonly placeOf?: PlaceOf;
  /** run the graphs before and after each pass. Default true */
  readonly prove?: boolean;
  /** the graph with variables that this one was frozen from: shown equal, too */
  readonly original?: Graph;
  /** values of variables, by the ops of `original`, or of the graph that is transformed */
  readonly variables?: ReadonlyMap<Operation, Tensor>;
  readonly signal?: AbortSignal;
}

/** What a pass did, and how far its graph's outputs are from those of the graph before it. */
export interface PassOutcome extends PassReport {
  /** null where nothing was to be shown; `unproven` says why */
  readonly proof: Omit<Comparison, "inputs"> | null;
  readonly unproven?: string;
}

export interface Transformed {
  readonly graph: Graph;
  readonly outputs: readonly string[];
  readonly passes: readonly PassOutcome[];
  /** weights of folded layers, per channel */
  readonly ranges: readonly RangeReport[];
  /** the last graph against the first, or `original`; null where they were not run, or a pass changed the results by purpose */
  readonly proof: Comparison | null;
  readonly origins: Origins;
}

/** Largest difference, in proportion to an output's largest value, that float rounding explains. */
export const TOLERANCE = 1e-4;

/**
 * Runs passes over a graph.
 *
 * @throws VarscopeError NOT_FOUND - no such pass or output; INTERNAL - a graph computes something else than before; and as `Session.run`
 */
export async function transformGraph(graph: Graph, options: TransformOptions): Promise<Transformed> {
  const entries = options.passes.map(needPass);
  const outputs = outputsOf(graph, options);
  const origins = new Origins(graph.registry, options.placeOf ?? namedPlace);
  const graphs = [graph];
  const reports: PassReport[] = [];
  const ranges: RangeReport[] = [];
  for (const { run } of entries) {
    const result = run(graphs.at(-1)!, { ...options, outputs, origins });
    graphs.push(result.graph);
    reports.push(result.report);
    ranges.push(...((result as Partial<FoldResult>).ranges ?? []));
  }
  const last = graphs.at(-1)!;
  const common = { graph: last, outputs, ranges, origins };
  if (options.prove === false) {
    const passes = reports.map((r) => ({ ...r, proof: null, unproven: "proofs are off" }));
    return { ...common, passes, proof: null };
  }
  return { ...common, ...(await prove(graphs, reports, entries, outputs, options)) };
}

function needPass(name: string): PassEntry {
  const entry = PASSES.get(name);
  if (entry !== undefined) return entry;
  const near = nearestNames(name, [...PASSES.keys()]);
  throw new VarscopeError("NOT_FOUND", `no pass is called '${name}'`, {
    at: name,
    hint: near.length > 0 ? `did you mean ${near.join(", ")}` : `there are ${[...PASSES.keys()].join(", ")}`,
  });
}

/** Runs each graph that is new once, all on the same inputs. */
async function prove(
  graphs: readonly Graph[],
  reports: readonly PassReport[],
  entries: readonly PassEntry[],
  outputs: readonly string[],
  options: TransformOptions,
): Promise<Pick<Transformed, "passes" | "proof">> {
  const [first, last] = [options.original ?? graphs[0]!, graphs.at(-1)!];
  const names = resultsOf(last, outputs).filter((name) => hasOutput(first, name));
  const variables = options.variables ?? new Map<Operation, Tensor>();
  const signal = options.signal;
  const start = await evaluateRandomly(first, names, {
    variables,
    // what a pass settles is fed to the graph before it, too; what it cuts at is fed to both
    fixed: new Map(
      Object.entries(options.placeholders ?? {}).map(([name, value]) => [tensorName(name), value]),
    ),
    cut: (options.inputs ?? []).map(tensorName),
    ...(signal && { signal }),
  });
  const known = new Map<Graph, Tensor[]>([[first, start.values]]);
  if (options.original !== undefined) {
    const frozen = graphs[0]!;
    const values = await evaluate(frozen, names, start.feeds, sameVariables(variables, frozen), signal);
    known.set(frozen, values);
    needEqual(compareResults(names, start.values, values), "freezing");
  }
  const passes: PassOutcome[] = [];
  let purposeful = false;
  for (const [i, report] of reports.entries()) {
    const [before, after] = [graphs[i]!, graphs[i + 1]!];
    const changes = entries[i]!.changes;
    if (before === after) {
      passes.push({ ...report, proof: null, unproven: "nothing changed" });
      continue;
    }
    const values = await evaluate(after, names, start.feeds, sameVariables(variables, after), signal);
    known.set(after, values);
    if (changes === "purpose") {
      purposeful = true;
      passes.push({ ...report, proof: null, unproven: "it changes what is computed, by purpose" });
      continue;
    }
    const proof = compareResults(names, known.get(before)!, values);
    if (changes === undefined) needEqual(proof, report.pass);
    passes.push({ ...report, proof });
  }
  const whole = compareResults(names, start.values, known.get(last)!);
  return { passes, proof: purposeful ? null : { inputs: describeFeeds(start.feeds), ...whole } };
}

const hasOutput = (graph: Graph, name: string): boolean => {
  const [, op, index] = /^(.*):(\d+)$/.exec(name)!;
  return (graph.findOperation(op!)?.outputs.length ?? 0) > Number(index);
};

const tensorName = (name: string): string => (/:\d+$/.test(name) ? name : `${name}:0`);

function needEqual(proof: Omit<Comparison, "inputs">, pass: string): void {
  if (proof.maxRelDifference <= TOLERANCE) return;
  throw new VarscopeError(
    "INTERNAL",
    `after ${pass} the graph differs by ${proof.maxAbsDifference} (${proof.maxRelDifference} of the largest value)`,
    { at: proof.at ?? "", hint: "report it with the graph" },
  );
}
