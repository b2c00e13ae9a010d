/** @file Random numbers that are the same on every machine. Start at `randomOf`. */

export interface Random {
  /** an integer in [0, n) */
  below(n: number): number;
  /** true one time in `n` */
  once(n: number): boolean;
  pick<T>(from: readonly T[]): T;
}

/** A generator for mutant `index` of `what`. @see Tommy Ettinger, mulberry32; FNV-1a for the seed */
export function randomOf(seed: number, what: string, index: number): Random {
  let state = 0x811c9dc5;
  for (const c of `${seed}/${what}/${index}`) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { below, once: (n) => below(n) === 0, pick: (from) => from[below(from.length)]! };
}
