/**
 * @file Goes through batches and collects moments. Where the graph cannot take the statistics that are wanted (it was built for training and
 * the moving ones are wanted, or the other way round), a normalization is computed here and fed: the graph stays as it is. Start at `Calibration`.
 */

import { allocate, setElement, type Tensor, tensor, toNumbers, VarscopeError } from "../../base/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import { type FeedValue, type Session, variableKey } from "../../run/index.ts";
import type { OpenFeeds } from "./batches.ts";
import { ChannelMoments, needNumbers } from "./channel-moments.ts";
import { depths, type Norm, type Passes, type Place, statisticOf, varianceOf } from "./norms.ts";

export interface CalibrationOptions {
  readonly passes: Passes;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((batches: number, pass: number, allPasses: number) => void) | undefined;
}

/** A part of the graph that is run at once: between places that are computed here. */
interface Segment {
  readonly places: readonly Place[];
  /** results of earlier segments that it needs */
  readonly cuts: readonly Output[];
}

/** Float64 statistics as tensors of a variable's dtype. */
export interface Estimate {
  readonly mean: Tensor;
  readonly variance: Tensor;
}

export class Calibration {
  private readonly session: Session;
  private readonly norms: readonly Norm[];
  private readonly feeds: OpenFeeds;
  private readonly options: CalibrationOptions;
  private readonly places: readonly Place[];
  private readonly cutDepths: ReadonlyMap<Place, number>;
  /** what every run is fed besides the data: predicates, and statistics that are constants */
  private readonly always = new Map<Output, FeedValue>();
  private readonly affine = new Map<Place, { gamma: ArrayLike<number>; beta: ArrayLike<number> }>();
  private batches = 0;

  constructor(session: Session, norms: readonly Norm[], feeds: OpenFeeds, options: CalibrationOptions) {
    this.session = session;
    this.norms = norms;
    this.feeds = feeds;
    this.options = options;
    this.places = norms.flatMap((n) => n.places);
    this.cutDepths = depths(
      this.places,
      (p) => p,
      (p) => p.isCut,
    );
    for (const { site } of this.places)
      for (const p of site.predicates) this.always.set(p, tensor(options.passes === "one", "bool", []));
  }

  /** @returns how many passes were made, and how many batches one has */
  async run(): Promise<{ readonly passes: number; readonly batches: number }> {
    if (this.options.passes === "one") {
      await this.pass(new Set(this.norms), 1, 1);
      return { passes: 1, batches: this.batches };
    }
    const levels = depths(
      this.places,
      (p) => p.norm,
      () => true,
    );
    const all = Math.max(...levels.values()) + 1;
    const before: [string, Tensor][] = [];
    try {
      for (let level = 0; level < all; level++) {
        const norms = new Set(this.places.filter((p) => levels.get(p) === level).map((p) => p.norm));
        await this.pass(norms, level + 1, all);
        if (level + 1 < all) for (const norm of norms) before.push(...this.install(norm));
      }
    } finally {
      for (const [key, value] of before) this.session.variables.commit(key, value, false);
    }
    return { passes: all, batches: this.batches };
  }

  /** The layers after this one are to see its new statistics. @returns the old values of variables */
  private install(norm: Norm): [string, Tensor][] {
    const { mean, variance } = this.estimate(norm);
    const put = (op: Operation, value: Tensor): [string, Tensor][] => {
      if (op.def?.variable === undefined) {
        this.always.set(op.output(0), value);
        return [];
      }
      const old = statisticOf(this.session, op);
      const copy = { ...old, data: old.data.slice() as Tensor["data"] };
      this.session.variables.commit(variableKey(op), value, false);
      return [[variableKey(op), copy]];
    };
    return [...put(norm.mean, mean), ...put(norm.variance, variance)];
  }

  estimate(norm: Norm): Estimate {
    const { moments } = norm;
    const like = (values: Float64Array, op: Operation): Tensor => {
      const { dtype, shape } = statisticOf(this.session, op);
      return filled(dtype, shape, values);
    };
    return {
      mean: like(moments.mean, norm.mean),
      variance: like(varianceOf(norm), norm.variance),
    };
  }

  private async pass(targets: ReadonlySet<Norm>, pass: number, allPasses: number): Promise<void> {
    const segments = this.segments(targets);
    await this.readAffine();
    this.batches = 0;
    for await (const feeds of this.feeds.pass()) {
      this.batches++;
      await this.batch(feeds, segments, targets);
      this.options.onProgress?.(this.batches, pass, allPasses);
    }
    const empty = [...targets].find((n) => n.moments.count === 0);
    if (empty !== undefined)
      throw new VarscopeError("INVALID_ARGUMENT", "the data have no elements", { at: empty.layer });
  }

  /** The targets, and the places computed here that come before them. */
  private segments(targets: ReadonlySet<Norm>): Segment[] {
    const wanted = this.places.filter((p) => targets.has(p.norm));
    const deepest = Math.max(...wanted.map((p) => this.cutDepths.get(p)!));
    const needed = this.places.filter(
      (p) => targets.has(p.norm) || (p.isCut && this.cutDepths.get(p)! < deepest),
    );
    const segments: Segment[] = [];
    const done = new Set<Output>();
    for (let depth = 0; depth <= deepest; depth++) {
      const places = needed.filter((p) => this.cutDepths.get(p) === depth);
      if (places.length > 0) segments.push({ places, cuts: reached(places, done) });
      for (const p of places) if (p.isCut) done.add(p.site.x).add(p.site.y);
    }
    return segments;
  }

  private async batch(
    feeds: ReadonlyMap<Output, FeedValue>,
    segments: readonly Segment[],
    targets: ReadonlySet<Norm>,
  ): Promise<void> {
    const { signal } = this.options;
    const results = new Map<Output, Tensor>();
    for (const { places, cuts } of segments) {
      const known = cuts.map((x) => [x, results.get(x)!] as const);
      const values = await this.session.run(
        places.map((p) => p.site.x),
        { feeds: new Map([...feeds, ...this.always, ...known]), ...(signal ? { signal } : {}) },
      );
      for (const [i, place] of places.entries()) {
        const x = values[i]!;
        const own = this.take(place, x, targets.has(place.norm));
        if (place.isCut) results.set(place.site.x, x).set(place.site.y, this.normalize(place, x, own));
      }
    }
  }

  /** Adds a batch to a place's moments. @returns the batch's own */
  private take({ norm, site, channels }: Place, x: Tensor, isTarget: boolean): ChannelMoments {
    const own = new ChannelMoments(norm.moments.mean.length);
    if (!isTarget) return own;
    own.add(needNumbers(x, site.x.name), channels.of(x.shape, site.x.name));
    const bad = own.m2.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `channel ${bad} of the input is not finite in batch ${this.batches}`,
        { at: norm.layer, hint: "'varscope doctor' finds NaN in the variables; look at the data next" },
      );
    }
    norm.moments.merge(own);
    return own;
  }

  /** gamma · (x - mean) / √(variance + epsilon) + beta: by the batch's statistics in one pass, else by the new moving ones. */
  private normalize(place: Place, x: Tensor, own: ChannelMoments): Tensor {
    const { site, norm, channels } = place;
    const isOne = this.options.passes === "one";
    const mean = isOne ? own.mean : norm.moments.mean;
    const variance = isOne ? own.variance() : varianceOf(norm);
    const { gamma, beta } = this.affine.get(place)!;
    const map = channels.of(x.shape, site.x.name);
    const at = (values: ArrayLike<number>, c: number): number => values[values.length === 1 ? 0 : c]!;
    const scale = mean.map((_, c) => at(gamma, c) / Math.sqrt(variance[c]! + site.epsilon));
    const numbers = needNumbers(x, site.x.name);
    const out = new Float64Array(numbers.length);
    for (let i = 0; i < out.length; i++) {
      const c = map[i]!;
      out[i] = (numbers[i]! - mean[c]!) * scale[c]! + at(beta, c);
    }
    return filled(site.y.dtype, x.shape, out);
  }

  /** Gamma and beta of the places that are computed here. */
  private async readAffine(): Promise<void> {
    for (const place of this.places) {
      if (!place.isCut || this.affine.has(place)) continue;
      const { gamma, beta } = place.site;
      const read = async (x: Output | null, none: number): Promise<ArrayLike<number>> =>
        x === null ? [none] : toNumbers(await this.session.run(x));
      this.affine.set(place, { gamma: await read(gamma, 1), beta: await read(beta, 0) });
    }
  }
}

function filled(dtype: Tensor["dtype"], shape: readonly number[], values: Float64Array): Tensor {
  const out = { dtype, shape, data: allocate(dtype, values.length) };
  if (dtype === "float32" || dtype === "float64") (out.data as Float64Array).set(values);
  else for (let i = 0; i < values.length; i++) setElement(out, i, values[i]!);
  return out;
}

/** Those of `known` at which the way back from the inputs of places ends. */
function reached(places: readonly Place[], known: ReadonlySet<Output>): Output[] {
  const found = new Set<Output>();
  const seen = new Set<Operation>();
  const stack = places.map((p) => p.site.x);
  while (stack.length > 0) {
    const x = stack.pop()!;
    if (known.has(x)) found.add(x);
    else if (!seen.has(x.op)) {
      seen.add(x.op);
      for (const y of x.op.inputs) stack.push(y);
    }
  }
  return [...found];
}
