/**
 * @file Batch normalization's moving statistics, estimated anew over data: no moving average of batches, but mean and variance of all elements
 * that each layer sees. Start at `recalibrate`.
 *
 * @see Izmailov et al. 2018, arXiv 1803.05407, section 3.2 (statistics after averaging weights)
 */

import { type Tensor, toNumbers, VarscopeError } from "../../base/index.ts";
import type { Operation } from "../../graph/index.ts";
import { type Session, variableKey } from "../../run/index.ts";
import { type FeedData, openFeeds } from "./batches.ts";
import { Calibration } from "./calibration.ts";
import type { Convention, ConventionName } from "./convention.ts";
import { type Gap, gapOf } from "./gap.ts";
import { type LeftNorm, type Norm, normsOf, type Passes, statisticOf, varianceOf } from "./norms.ts";

export interface RecalibrateOptions {
  readonly data: FeedData;
  /**
   * "one": one pass over the data; each layer sees what batch statistics make of them, as in training and in PyTorch's update_bn.
   * "per-layer": as many passes as layers stand one after the other; each sees what the new statistics make of the data, as in inference.
   * Default: "one"
   */
  readonly passes?: Passes;
  /** names of layers (scopes of their variables), or a pattern: all */
  readonly layers?: readonly string[] | RegExp;
  /** which variance, by whose habit; "as-written" is what the layer's own update op would store, n - 1 for fused ops and n for others: "as-written" */
  readonly convention?: ConventionName;
  /** false: measures and leaves the variables as they are: true */
  readonly write?: boolean;
  readonly signal?: AbortSignal;
  /** told after each batch; passes count from 1 */
  onProgress?(batches: number, pass: number, allPasses: number): void;
}

/** A layer's new statistics, and how far the old ones were from them. */
export interface RecalibratedNorm {
  readonly layer: string;
  /** names of the variables, or of the constants that took their place */
  readonly names: { readonly mean: string; readonly variance: string };
  /** elements of each channel that were seen */
  readonly count: number;
  readonly convention: Convention;
  readonly gap: Gap;
  readonly mean: Tensor;
  readonly variance: Tensor;
}

export interface Recalibration {
  readonly passes: number;
  /** of each pass */
  readonly batches: number;
  readonly layers: readonly RecalibratedNorm[];
  /** normalizations that keep their statistics */
  readonly left: readonly LeftNorm[];
}

/**
 * Estimates the moving statistics of a session's graph over data, in float64, and writes them to its variables. Where a predicate (a placeholder
 * `training`) chooses between batch and moving statistics it is decided here, whatever the data feed: true with passes "one", false with
 * "per-layer"; what else it decides, dropout perhaps, follows. No run may be on its way. Nothing is written before all is known: an error leaves
 * the variables as they were.
 *
 * @throws VarscopeError NOT_FOUND - no batch normalization, or none of that name; INVALID_ARGUMENT - no data, inputs that are not finite, or
 *   several passes over data that can be read once; FAILED_PRECONDITION - variables without values, or constants to write to; UNIMPLEMENTED -
 *   "per-layer" where a layer is applied to its own results
 */
export async function recalibrate(session: Session, options: RecalibrateOptions): Promise<Recalibration> {
  const { passes = "one", convention = "as-written", write = true, layers, signal, onProgress } = options;
  const feeds = await openFeeds(session.graph, options.data);
  const { norms, left } = normsOf(session.graph, { layers, passes, convention, fed: feeds.fed });
  if (write) needVariables(norms);
  const calibration = new Calibration(session, norms, feeds, { passes, signal, onProgress });
  const done = await calibration.run();
  const found = norms.map((norm) => reportOf(session, norm, calibration.estimate(norm)));
  if (write) {
    for (const [i, { mean, variance }] of found.entries()) {
      session.variables.commit(variableKey(norms[i]!.mean), mean, false);
      session.variables.commit(variableKey(norms[i]!.variance), variance, false);
    }
  }
  return { ...done, layers: found, left };
}

function reportOf(
  session: Session,
  norm: Norm,
  estimate: Pick<RecalibratedNorm, "mean" | "variance">,
): RecalibratedNorm {
  const { layer, convention, moments } = norm;
  const old = (op: Operation): number[] => toNumbers(statisticOf(session, op));
  const moving = { mean: old(norm.mean), variance: old(norm.variance) };
  const data = { mean: moments.mean, variance: varianceOf(norm) };
  return {
    layer,
    names: { mean: norm.mean.name, variance: norm.variance.name },
    count: moments.count,
    convention,
    gap: gapOf(moving, data, norm.places[0]!.site.epsilon),
    ...estimate,
  };
}

function needVariables(norms: readonly Norm[]): void {
  const frozen = norms.find((n) => n.mean.def?.variable === undefined);
  if (frozen === undefined) return;
  throw new VarscopeError("FAILED_PRECONDITION", "the statistics are constants of the graph", {
    at: frozen.mean.name,
    hint: "measure with write: false, and write the values to the graph's file",
  });
}
