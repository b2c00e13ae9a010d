/**
 * @file Dataset: a description of elements in an order, from which iterators are made that can be saved and go on in another process.
 * Start at `Dataset`.
 *
 * @see TensorFlow python/data/ops/dataset_ops.py
 */

import { type BatchOptions, batched } from "./batch.ts";
import { type Cursor, type CursorState, END, needCount, needState, type OpenCursor } from "./cursor.ts";
import { type ShuffleOptions, shuffled } from "./shuffle.ts";

/** Gives the elements of a dataset one after the other. */
export interface DataIterator<T> extends AsyncIterableIterator<T, undefined> {
  next(): Promise<IteratorResult<T, undefined>>;
  /** Where it stands, after what was asked for before: plain data, for JSON. */
  state(): Promise<CursorState>;
  /**
   * Goes to where an iterator of the same dataset stood, also of another process. Elements that were read for a shuffle are read again.
   *
   * @throws VarscopeError INVALID_ARGUMENT - the state is of another dataset
   */
  restore(state: CursorState): Promise<void>;
}

/** Elements in an order. A value: iterating leaves it as it is. */
export interface Dataset<T> extends AsyncIterable<T> {
  /** From the first element on. @param epoch - passes before it, which decides the order of shuffles: 0 */
  iterator(epoch?: number): DataIterator<T>;
  /** f of each element. f must give the same for the same, should the iterator be saved. */
  map<U>(f: (element: T) => U | Promise<U>): Dataset<U>;
  /** Another order: each element is drawn from a buffer of the next `bufferSize`. The order of TensorFlow for the same seed. */
  shuffle(bufferSize: number, options?: ShuffleOptions): Dataset<T>;
  /** All elements `count` times; without end where it is left out. */
  repeat(count?: number): Dataset<T>;
  /** Elements stacked along a new first axis: tensors of numbers and tensors, in the structure of the elements. */
  batch(size: number, options?: BatchOptions): Dataset<T>;
}

/** The dataset of a source: `open` makes a cursor that begins at the first element. */
export function dataset<T>(open: OpenCursor<T>): Dataset<T> {
  return {
    iterator: (epoch = 0) => iterator(open, epoch),
    [Symbol.asyncIterator]: () => iterator(open, 0),
    map: (f) => dataset((epoch) => mapped(open(epoch), f)),
    shuffle: (bufferSize, options) => dataset(shuffled(open, bufferSize, options)),
    repeat: (count) => dataset(repeated(open, count ?? Number.POSITIVE_INFINITY)),
    batch: (size, options) => dataset(batched(open, size, options)),
  };
}

function iterator<T>(open: OpenCursor<T>, epoch: number): DataIterator<T> {
  let cursor = open(epoch);
  let queue: Promise<unknown> = Promise.resolve();
  /** calls that are not awaited wait for each other */
  const inOrder = <R>(work: () => Promise<R>): Promise<R> => {
    const result = queue.then(work);
    queue = result.catch(() => undefined);
    return result;
  };
  return {
    next: () =>
      inOrder(async () => {
        const value = await cursor.next();
        return value === END ? { done: true, value: undefined } : { done: false, value };
      }),
    state: () => inOrder(async () => cursor.state()),
    restore: (state) =>
      inOrder(async () => {
        const fresh = open(epoch);
        await fresh.restore(state);
        cursor = fresh;
      }),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function mapped<T, U>(input: Cursor<T>, f: (element: T) => U | Promise<U>): Cursor<U> {
  return {
    async next() {
      const value = await input.next();
      return value === END ? END : f(value);
    },
    state: () => input.state(),
    restore: (state) => input.restore(state),
  };
}

function repeated<T>(open: OpenCursor<T>, count: number): OpenCursor<T> {
  return (epoch) => {
    // an endless repeat has no pass after it
    const first = Number.isFinite(count) ? epoch * count : 0;
    let round = 0;
    let input = open(first);
    return {
      async next() {
        for (let empty = false; round < count; empty = true) {
          const value = await input.next();
          if (value !== END) return value;
          if (empty) break; // a pass without elements: there will never be any
          round++;
          if (round < count) input = open(first + round);
        }
        return END;
      },
      state: () => ({ kind: "repeat", round, input: input.state() }),
      async restore(state) {
        round = needCount(state, "repeat", "round");
        input = open(first + round);
        await input.restore(needState(state, "input"));
      },
    };
  };
}
