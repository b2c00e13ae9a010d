/**
 * @file Values that are there already or come later, so that a loop whose steps need no waiting takes none: a promise costs more than most
 * steps. Start at `Soon`.
 */

/** A value, or the promise of one. */
export type Soon<T> = T | Promise<T>;

/** `f` of a value, at once where the value is there. */
export const andThen = <T, R>(x: Soon<T>, f: (value: T) => Soon<R>): Soon<R> =>
  x instanceof Promise ? x.then(f) : f(x);

/** `f` of one item after the other, from the item at `start` on. */
export function inTurn<T>(items: readonly T[], f: (item: T) => Soon<void>, start = 0): Soon<void> {
  for (let i = start; i < items.length; i++) {
    const done = f(items[i]!);
    if (done instanceof Promise) return done.then(() => inTurn(items, f, i + 1));
  }
}
