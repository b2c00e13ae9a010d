/**
 * @file Histograms whose bins are powers of two wide, at multiples of their width: the bins depend on the least and the largest value
 * alone, so that values may come in pieces and in any order. Start at `Histogram`.
 */

/** Counts of the values in [from + i * width, from + (i + 1) * width). */
export interface Histogram {
  readonly from: number;
  /** a power of two */
  readonly width: number;
  /** 16 to 32 bins where the values differ; one where they are all the same */
  readonly counts: readonly number[];
}

/** A histogram under way. */
export interface Bins {
  /** number of the first bin: bin i holds the values x with floor(x / width) = i */
  readonly start: number;
  /** width = 2^exponent */
  readonly exponent: number;
  /** 1 / width */
  readonly perUnit: number;
  readonly counts: Float64Array;
}

const MOST_BINS = 32;
/** Numbers of bins stay below 2^40, where floor(x / width) is exact. */
const NUMBER_BITS = 40;
/** 2^-1000 and its inverse are both normal numbers. */
const LEAST_EXPONENT = -1000;

/** Bins for [min, max]; what `before` has counted is moved into them. */
export function binsOf(before: Bins | null, min: number, max: number): Bins {
  const exponent = Math.max(before?.exponent ?? LEAST_EXPONENT, exponentFor(min, max));
  const width = 2 ** exponent;
  const start = Math.floor(min / width);
  const size = Math.floor(max / width) - start + 1;
  if (
    before !== null &&
    before.exponent === exponent &&
    before.start === start &&
    before.counts.length === size
  )
    return before;
  const counts = new Float64Array(size);
  const merged = before === null ? 1 : 2 ** (exponent - before.exponent);
  before?.counts.forEach((n, i) => {
    if (n > 0) counts[Math.floor((before.start + i) / merged) - start]! += n;
  });
  return { start, exponent, perUnit: 1 / width, counts };
}

/** The least exponent with which [min, max] takes at most 32 bins. */
function exponentFor(min: number, max: number): number {
  const largest = Math.max(Math.abs(min), Math.abs(max));
  const floor = largest === 0 ? LEAST_EXPONENT : Math.ceil(Math.log2(largest)) - NUMBER_BITS;
  const range = max - min;
  const guess = range > 0 && Number.isFinite(range) ? Math.floor(Math.log2(range / MOST_BINS)) - 1 : floor;
  let exponent = Math.max(LEAST_EXPONENT, floor, guess);
  const bins = (): number => Math.floor(max / 2 ** exponent) - Math.floor(min / 2 ** exponent) + 1;
  while (bins() > MOST_BINS) exponent++;
  return exponent;
}

export const histogramOf = ({ start, exponent, counts }: Bins): Histogram => ({
  from: start * 2 ** exponent,
  width: 2 ** exponent,
  counts: [...counts],
});

const BARS = "▁▂▃▄▅▆▇█";

/** A histogram as one line of blocks: a blank is 0, the least block at least 1. */
export function formatHistogram({ counts }: Histogram): string {
  const most = Math.max(...counts);
  return counts.map((n) => (n === 0 ? " " : BARS[Math.ceil((n / most) * BARS.length) - 1])).join("");
}
