/** @file Batches of feeds that are gone through once or several times. Start at `openFeeds`. */

import { VarscopeError } from "../../base/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import type { Feeds, FeedValue } from "../../run/index.ts";

type Batches = AsyncIterable<Feeds> | Iterable<Feeds>;
/** Batches of feeds. Several passes need an array, or a function that starts anew. */
export type FeedData = Batches | (() => Batches);

const iteratorOf = (data: Batches): AsyncIterator<Feeds> | Iterator<Feeds> =>
  Symbol.asyncIterator in data ? data[Symbol.asyncIterator]() : data[Symbol.iterator]();

const startOf = (data: FeedData) => iteratorOf(typeof data === "function" ? data() : data);

export interface OpenFeeds {
  /** outputs that the first batch feeds */
  readonly fed: ReadonlySet<Output>;
  /** Goes through all batches. @throws VarscopeError INVALID_ARGUMENT - for the second time, and they can be read once only */
  pass(): AsyncGenerator<ReadonlyMap<Output, FeedValue>>;
}

/** Reads the first batch. @throws VarscopeError INVALID_ARGUMENT - there is none; NOT_FOUND - it feeds what is not in the graph */
export async function openFeeds(graph: Graph, data: FeedData): Promise<OpenFeeds> {
  let begun: ReturnType<typeof startOf> | null = startOf(data);
  const first = await begun.next();
  if (first.done) throw new VarscopeError("INVALID_ARGUMENT", "there are no batches", { at: "data" });
  return {
    fed: new Set(feedsOf(graph, first.value).keys()),
    async *pass() {
      if (begun === null && isOnce(data)) {
        throw new VarscopeError("INVALID_ARGUMENT", "the batches can be read only once", {
          at: "data",
          hint: "give an array, or a function that starts them anew",
        });
      }
      const iterator = begun ?? startOf(data);
      let next = begun === null ? await iterator.next() : first;
      begun = null;
      try {
        for (; !next.done; next = await iterator.next()) yield feedsOf(graph, next.value);
      } finally {
        await iterator.return?.();
      }
    },
  };
}

/** A generator is its own iterator. */
const isOnce = (data: FeedData): boolean =>
  typeof data !== "function" && iteratorOf(data) === (data as unknown);

function feedsOf(graph: Graph, feeds: Feeds): Map<Output, FeedValue> {
  const entries = (feeds instanceof Map ? [...feeds] : Object.entries(feeds)) as [
    Output | string,
    FeedValue,
  ][];
  return new Map(
    entries.map(([key, value]) => {
      if (typeof key !== "string") return [key, value];
      return [graph.output(/:\d+$/.test(key) ? key : `${key}:0`), value];
    }),
  );
}
