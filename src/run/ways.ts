/**
 * @file The way from a request to one that can be planned: predicates of its conditionals are computed first, and in loops the values whose
 * shapes only a kernel knows. Ways are remembered by what was decided, so that an iteration of a loop does not look for its way again. Start at
 * `Ways`.
 */

import type { Tensor } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { type Pruned, predicatesOf, prune, type Request } from "./prune.ts";

/** A request, as far as its conditionals are decided. */
export interface Way {
  readonly request: Request;
  /** of its plans: the request, and what was decided of the conditionals in it */
  readonly key: string;
  prune(): Pruned;
  /** runs before this request can be planned; null: nothing has to, as far as was seen */
  first: Request | null;
  /** whether `first` computes predicates, not values to feed */
  readonly decides: boolean;
  /** predicates that are known */
  readonly decided: Decided;
  readonly next: Map<string, Way>;
}

type Feeds = ReadonlyMap<Output, Tensor>;
type Decided = ReadonlyMap<Output, boolean>;

const NOTHING: Decided = new Map();
/** False, true, not known. */
const DECISIONS = "01-";

/** More ways of one request than this are not remembered: conditionals may decide differently in each run. */
const MAX_WAYS = 256;

/** All ways of a request. */
export class Ways {
  private readonly asked: Request;
  private readonly predicates: readonly Output[];
  private readonly starts = new Map<string, Way>();

  constructor(asked: Request) {
    this.asked = asked;
    this.predicates = predicatesOf(asked);
  }

  from(feeds: Feeds): Way {
    return this.goOn(this.starts, feeds, this.decide(NOTHING, feeds));
  }

  /** The way behind `way.first`, which gave `values`. @param feeds - with what that run leaves */
  after(way: Way, values: readonly Tensor[], feeds: Feeds): Way {
    let known = way.decided;
    if (way.decides)
      known = new Map([...known, ...way.first!.fetches.map((x, i) => [x, isTrue(values[i]!)] as const)]);
    return this.goOn(way.next, feeds, this.decide(known, feeds));
  }

  private decide(known: Decided, feeds: Feeds): Decided {
    if (this.predicates.length === 0) return known;
    const decided = new Map(known);
    for (const x of this.predicates) {
      const value = feeds.get(x);
      if (value !== undefined) decided.set(x, isTrue(value));
    }
    return decided;
  }

  private goOn(ways: Map<string, Way>, fed: Feeds, decided: Decided): Way {
    let key = String(fed.size);
    for (const x of this.predicates) key += DECISIONS[Number(decided.get(x) ?? 2)];
    const known = ways.get(key);
    if (known !== undefined) return known;
    const way = wayOf({ ...this.asked, fed: new Set(fed.keys()) }, decided);
    if (ways.size < MAX_WAYS) ways.set(key, way);
    return way;
  }
}

function wayOf(request: Request, decided: Decided): Way {
  const pruned = (): Pruned => prune(request, (x) => decided.get(x) ?? null);
  let fresh: Pruned | null = pruned();
  const { unknown, alias } = fresh;
  const decides = unknown.length > 0;
  const pruneOnce = (): Pruned => {
    const found = fresh ?? pruned();
    fresh = null; // for the plan that follows at once: kept, it would hold all ops of each request
    return found;
  };
  const first: Request | null = decides ? { fetches: unknown, targets: [], fed: request.fed } : null;
  const solved = [...alias.keys()].filter((x) => x.op.def?.control === "switch").map((x) => x.op.inputs[1]!);
  const decisions = [...new Set(solved)].map((x) => `${x.name}=${decided.get(x) ?? null}`);
  const key = requestKey(request) + (decisions.length === 0 ? "" : `?${decisions.join()}`);
  if (decides) fresh = null;
  return { request, key, prune: pruneOnce, first, decides, decided, next: new Map() };
}

const isTrue = (t: Tensor): boolean => t.data[0] !== 0;

/** Ids are unique in a graph: of ops, and of outputs with their index. */
export function requestKey({ fetches, targets, fed }: Request): string {
  let key = "";
  for (const x of fetches) key += `${x.op.id}:${x.index},`;
  key += "|";
  for (const op of targets) key += `${op.id},`;
  key += "|";
  for (const x of fed) key += `${x.op.id}:${x.index},`;
  return key;
}
