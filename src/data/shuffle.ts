/**
 * @file Shuffling: each element is drawn at random from a buffer of the next ones, in the order that tf.data gives for the same seed.
 * Start at `shuffled`.
 *
 * @see TensorFlow core/kernels/data/shuffle_dataset_op.cc, random_seed_ops.cc
 */

import { VarscopeError } from "../base/index.ts";
import { Philox } from "../ops/kernels/philox.ts";
import {
  type Cursor,
  type CursorState,
  END,
  needCount,
  needState,
  type OpenCursor,
  otherDataset,
} from "./cursor.ts";

export interface ShuffleOptions {
  /** by default another order each time */
  readonly seed?: number;
  /** each pass of a repeat has an order of its own: true */
  readonly reshuffleEachIteration?: boolean;
}

/** A state cannot have taken more: going there would take minutes. */
const MAX_TAKEN = 1e9;

/** What stands for the graph's seed where only an op's is given. @see TensorFlow python/framework/random_seed.py */
const DEFAULT_GRAPH_SEED = 87_654_321;

type Seeds = readonly [number, number];

/** Single words of a Philox generator, from word `first` on. */
function words([seed, seed2]: Seeds, first = 0): () => number {
  const group = new Int32Array(4);
  const generator = Philox.seeded(seed, seed2);
  generator.skip(Math.floor(first / group.length));
  generator.fill(group);
  let used = first % group.length;
  return () => {
    if (used === group.length) {
      generator.fill(group);
      used = 0;
    }
    return group[used++]! >>> 0;
  };
}

/** Seeds of a pass: the n-th pair that a generator of the dataset's own seeds gives. */
function seedsOf(seeds: Seeds, epoch: number, reshuffle: boolean): Seeds {
  if (!reshuffle) return seeds;
  const next = words(seeds, 2 * epoch);
  return [next(), next()];
}

const randomSeeds = (): Seeds => {
  const [a, b] = crypto.getRandomValues(new Uint32Array(2));
  return [a!, b!];
};

/** @throws VarscopeError INVALID_ARGUMENT - the buffer has no positive size */
export function shuffled<T>(
  open: OpenCursor<T>,
  bufferSize: number,
  { seed, reshuffleEachIteration = true }: ShuffleOptions = {},
): OpenCursor<T> {
  if (!Number.isSafeInteger(bufferSize) || bufferSize <= 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `buffer_size must be greater than zero, got ${bufferSize}.`);
  }
  // of the dataset: all its passes draw from them
  let base: Seeds = seed === undefined ? randomSeeds() : [DEFAULT_GRAPH_SEED, seed];
  return (epoch) => {
    const start = (seeds: Seeds): Draw<T> =>
      new Draw(open(epoch), bufferSize, words(seedsOf(seeds, epoch, reshuffleEachIteration)));
    let draw = start(base);
    return {
      next: () => draw.next(),
      state: () => ({ kind: "shuffle", seeds: [...base], taken: draw.taken, input: draw.begin }),
      async restore(state) {
        const taken = needCount(state, "shuffle", "taken");
        const seeds = needSeeds(state);
        if (seed !== undefined && seeds.join() !== base.join()) throw otherDataset(seeds, `seeds ${base}`);
        const restored = start(seeds);
        await restored.goTo(needState(state, "input"), taken);
        base = seeds;
        draw = restored;
      },
    };
  };
}

function needSeeds({ seeds }: CursorState): Seeds {
  if (Array.isArray(seeds) && seeds.length === 2 && seeds.every(Number.isSafeInteger)) {
    return seeds as unknown as Seeds;
  }
  throw otherDataset(seeds, "a pair of seeds");
}

/** One pass: a ring of elements that came in and have not been drawn. */
class Draw<T> implements Pick<Cursor<T>, "next"> {
  /** elements that were given */
  taken = 0;
  /** where the input stood before the first */
  begin: CursorState;
  private readonly input: Cursor<T>;
  private readonly size: number;
  private readonly random: () => number;
  private readonly ring: T[] = [];
  private filled = 0;
  private ended = false;

  constructor(input: Cursor<T>, size: number, random: () => number) {
    this.input = input;
    this.begin = input.state();
    this.size = size;
    this.random = random;
  }

  async next(): Promise<T | typeof END> {
    while (!this.ended && this.filled - this.taken < this.size) {
      const value = await this.input.next();
      if (value === END) this.ended = true;
      else this.ring[this.filled++ % this.size] = value;
    }
    if (this.filled === this.taken) return END;
    const at = (this.taken + (this.random() % (this.filled - this.taken))) % this.size;
    const first = this.taken++ % this.size;
    const value = this.ring[at]!;
    this.ring[at] = this.ring[first]!;
    return value;
  }

  /** Begins with the input at `begin` and gives `taken` elements to nobody. */
  async goTo(begin: CursorState, taken: number): Promise<void> {
    if (taken > MAX_TAKEN) {
      throw new VarscopeError("RESOURCE_EXHAUSTED", `${taken} elements were taken before, to be read again`, {
        hint: "shuffle before you repeat: each pass then begins anew",
      });
    }
    await this.input.restore(begin);
    this.begin = begin;
    while (this.taken < taken) {
      if ((await this.next()) !== END) continue;
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `${taken} elements were taken before, there are ${this.taken}`,
        {
          hint: "restore with the data that the state was saved with",
        },
      );
    }
  }
}
