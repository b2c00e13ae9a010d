/**
 * @file Which plan serves a run. The first shapes that are fed get a plan of their own (static shapes lower best); other shapes share one
 * plan in which the dims that vary are symbolic, so that a new batch size compiles nothing; shapes that keep coming back earn their own.
 * Plans whose variables stay the same take them as constants.
 */

import { isVarscopeError, type Shape, sameShape, type Tensor } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import type { Plan } from "./plan.ts";
import type { VariableStore } from "./state.ts";

/** A shape must come so often before it gets a plan of its own, besides the first. */
const OWN_PLAN_AFTER = 8;
const MAX_OWN_PLANS = 6;
/** Runs with unchanged variables before they become constants; doubles each time that was wrong. */
const BAKE_AFTER = 3;

export type FeedShapes = ReadonlyMap<Output, Shape>;

/** Makes a plan for some fed shapes; `baked` variables are constants. */
export type Compile = (shapes: FeedShapes, baked: ReadonlyMap<string, Tensor> | null) => Promise<Plan>;

interface Baked {
  readonly plan: Plan;
  readonly versions: ReadonlyMap<string, number>;
}

interface Entry {
  readonly shapes: FeedShapes;
  readonly plan: Plan;
  /** it reads variables and writes none */
  readonly isBakeable: boolean;
  baked: Baked | null;
  /** commits of the store when `baked` was last found right */
  checkedAt: number;
  seen: ReadonlyMap<string, number> | null;
  unchanged: number;
  patience: number;
}

/** Plans of one request: the same fetches, targets and fed outputs. */
export class PlanFamily {
  private readonly own = new Map<string, Entry>();
  private shared: Entry | null = null;
  private sharable = true;
  private readonly counts = new Map<string, number>();
  private readonly bakes: boolean;
  private latest: Entry | undefined;

  /** @param bakes - whether variables that stay the same become constants */
  constructor(bakes: boolean) {
    this.bakes = bakes;
  }

  /** The plan that serves a run with these feeds, where that is known without a look at each variable. */
  ready(feeds: ReadonlyMap<Output, Tensor>, store: VariableStore): Plan | null {
    const entry = isFor(this.latest, feeds) ? this.latest : this.own.get(keyOf(feeds.values()));
    if (entry === undefined) return null;
    this.latest = entry;
    if (!this.bakes || !entry.isBakeable) return entry.plan;
    return entry.checkedAt === store.commits ? entry.baked!.plan : null;
  }

  /** The plan for these shapes, compiled if need be. */
  async planFor(shapes: FeedShapes, compile: Compile, store: VariableStore): Promise<Plan> {
    const entry = await this.entryFor(shapes, compile);
    return this.bakes && entry.isBakeable ? this.bakedOr(entry, compile, store) : entry.plan;
  }

  private async entryFor(shapes: FeedShapes, compile: Compile): Promise<Entry> {
    const key = keyOf(shapes.values());
    const hit = this.own.get(key);
    if (hit !== undefined) return hit;
    const count = (this.counts.get(key) ?? 0) + 1;
    if (this.counts.size < 1000) this.counts.set(key, count);
    const first = this.own.size === 0;
    if (first || !this.sharable || (count >= OWN_PLAN_AFTER && this.own.size < MAX_OWN_PLANS)) {
      const entry = await this.make(shapes, compile);
      this.own.set(key, entry);
      return entry;
    }
    return this.sharedFor(shapes, compile);
  }

  private async sharedFor(shapes: FeedShapes, compile: Compile): Promise<Entry> {
    const known = this.shared?.shapes ?? [...this.own.values()][0]!.shapes;
    const merged = new Map([...shapes].map(([x, s]) => [x, widen(s, known.get(x)!)] as const));
    if (this.shared !== null && [...merged].every(([x, s]) => s.join() === known.get(x)!.join()))
      return this.shared;
    try {
      const entry = await this.make(merged, compile);
      await this.drop(this.shared);
      this.shared = entry;
      return entry;
    } catch (e) {
      if (!isVarscopeError(e, "UNIMPLEMENTED")) throw e;
      this.sharable = false; // some op needs the size: one plan a shape
      return this.entryFor(shapes, compile);
    }
  }

  private async make(shapes: FeedShapes, compile: Compile): Promise<Entry> {
    const plan = await compile(shapes, null);
    const isBakeable = plan.analysis.final.size === 0 && plan.analysis.variables.size > 0;
    const unseen = { baked: null, checkedAt: -1, seen: null, unchanged: 0, patience: BAKE_AFTER };
    return { shapes, plan, isBakeable, ...unseen };
  }

  private async bakedOr(entry: Entry, compile: Compile, store: VariableStore): Promise<Plan> {
    const { commits } = store;
    const versions = new Map([...entry.plan.analysis.variables.keys()].map((k) => [k, store.version(k)]));
    const same = (other: ReadonlyMap<string, number> | null): boolean =>
      other !== null && [...versions].every(([k, v]) => other.get(k) === v);
    if (entry.baked !== null) {
      if (same(entry.baked.versions)) {
        entry.checkedAt = commits;
        return entry.baked.plan;
      }
      entry.checkedAt = -1;
      await entry.baked.plan.release();
      entry.baked = null;
      entry.patience *= 2;
    }
    entry.unchanged = same(entry.seen) ? entry.unchanged + 1 : 0;
    entry.seen = versions;
    if (entry.unchanged < entry.patience) return entry.plan;
    const values = new Map(
      [...versions.keys()].flatMap((k) => (store.get(k) === null ? [] : [[k, store.get(k)!] as const])),
    );
    entry.baked = { plan: await compile(entry.shapes, values), versions };
    entry.checkedAt = commits;
    return entry.baked.plan;
  }

  private async drop(entry: Entry | null): Promise<void> {
    await entry?.plan.release();
    await entry?.baked?.plan.release();
  }

  /** Frees all plans. */
  async release(): Promise<void> {
    await Promise.all([...this.own.values(), this.shared].map((e) => this.drop(e)));
    this.own.clear();
    this.shared = null;
    this.latest = undefined;
  }
}

/** Whether feeds have the shapes of an entry: loops ask in each round, so no key is made. */
function isFor(entry: Entry | undefined, feeds: ReadonlyMap<Output, Tensor>): entry is Entry {
  if (entry === undefined) return false;
  for (const [x, t] of feeds) if (!sameShape(entry.shapes.get(x) ?? null, t.shape)) return false;
  return true;
}

/** Of tensors or shapes, in their order. */
function keyOf(shapes: Iterable<Tensor | Shape>): string {
  let key = "";
  for (const x of shapes) key += `${("shape" in x ? x.shape : x).join()};`;
  return key;
}

const widen = (a: Shape, b: Shape): Shape =>
  a.length === b.length ? a.map((d, i) => (d === b[i] ? d : null)) : a;
