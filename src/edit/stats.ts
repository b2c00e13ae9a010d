/** @file Numbers that tell a tensor's health, in one pass and of any size. Start at `streamStats`. */

import { DTYPES, type DType, type Element, getElement, isBigInt, type Tensor } from "../base/index.ts";
import { type Bins, binsOf, type Histogram, histogramOf } from "./histogram.ts";

/** Least, largest, mean and standard deviation are of the finite values; NaN where there are none. */
export interface Stats {
  /** bigint where a 64-bit integer is beyond 2^53 */
  readonly min: number | bigint;
  readonly max: number | bigint;
  readonly mean: number;
  /** of the population, as numpy's */
  readonly std: number;
  /** elements that are zero */
  readonly zeros: number;
  readonly nan: number;
  readonly inf: number;
  /** of the finite values; null where there are none */
  readonly histogram: Histogram | null;
}

/** Whether a dtype's values have statistics. */
export const hasStats = (dtype: DType): boolean => dtype !== "string" && DTYPES[dtype].bytes > 0;

/** Statistics of a tensor; false is 0 and true 1; of complex numbers their absolute values. null for strings. */
export function statsOf(t: Tensor): Stats | null {
  if (!hasStats(t.dtype)) return null;
  const gathered = new Gathered(t.dtype);
  gathered.add(t);
  return gathered.stats();
}

/** Statistics of a tensor that comes in pieces, as `VariableCollection.stream` gives them. null for strings. */
export async function streamStats(dtype: DType, pieces: AsyncIterable<Tensor>): Promise<Stats | null> {
  if (!hasStats(dtype)) return null;
  const gathered = new Gathered(dtype);
  for await (const piece of pieces) gathered.add(piece);
  return gathered.stats();
}

/** What is known of the values so far. Pieces are joined exactly as one pass over all of them would, but for rounding of the sums. */
class Gathered {
  private readonly dtype: DType;
  private count = 0;
  private finite = 0;
  private zeros = 0;
  private nan = 0;
  private min = Number.POSITIVE_INFINITY;
  private max = Number.NEGATIVE_INFINITY;
  private mean = 0;
  /** sum of squared distances from the mean */
  private squares = 0;
  private exact: readonly [bigint, bigint] | null = null;
  private bins: Bins | null = null;

  constructor(dtype: DType) {
    this.dtype = dtype;
  }

  add(t: Tensor): void {
    const { values, count } = numbersOf(t);
    let [min, max, sum, finite, zeros, nan] = [
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      0,
      0,
      0,
      0,
    ];
    for (let i = 0; i < count; i++) {
      const x = values[i]!;
      if (x - x === 0) {
        if (x < min) min = x;
        if (x > max) max = x;
        sum += x;
        finite++;
        if (x === 0) zeros++;
      } else if (Number.isNaN(x)) nan++;
    }
    this.count += count;
    this.zeros += zeros;
    this.nan += nan;
    if (finite === 0) return;
    this.min = Math.min(this.min, min);
    this.max = Math.max(this.max, max);
    this.bins = binsOf(this.bins, this.min, this.max);
    this.join(finite, sum / finite, this.spread(values, count, sum / finite));
    if (isBigInt(this.dtype)) this.exact = wider(this.exact, t.data as BigInt64Array);
  }

  /** Counts values into the bins; gives the sum of their squared distances from `mean`. */
  private spread(values: ArrayLike<number>, count: number, mean: number): number {
    const { start, perUnit, counts } = this.bins!;
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const x = values[i]!;
      if (x - x !== 0) continue;
      squares += (x - mean) * (x - mean);
      counts[Math.floor(x * perUnit) - start]!++;
    }
    return squares;
  }

  /** @see Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances" */
  private join(finite: number, mean: number, squares: number): void {
    const all = this.finite + finite;
    const apart = mean - this.mean;
    this.mean += (apart * finite) / all;
    this.squares += squares + (apart * apart * this.finite * finite) / all;
    this.finite = all;
  }

  stats(): Stats {
    const { finite, nan, zeros, exact } = this;
    const none = finite === 0;
    return {
      min: none ? Number.NaN : (plain(exact?.[0]) ?? this.min),
      max: none ? Number.NaN : (plain(exact?.[1]) ?? this.max),
      mean: none ? Number.NaN : this.mean,
      std: none ? Number.NaN : Math.sqrt(this.squares / finite),
      zeros,
      nan,
      inf: this.count - finite - nan,
      histogram: this.bins === null ? null : histogramOf(this.bins),
    };
  }
}

/** Dtypes whose storage is the number itself. */
const PLAIN: ReadonlySet<string> = new Set([
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "uint8",
  "uint16",
  "uint32",
  "bool",
]);

/** The elements as numbers. */
export function numbersOf(t: Tensor): { readonly values: ArrayLike<number>; readonly count: number } {
  if (PLAIN.has(t.dtype)) return { values: t.data as Float32Array, count: t.data.length };
  const count = DTYPES[t.dtype].kind === "complex" ? t.data.length / 2 : t.data.length;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = asNumber(getElement(t, i));
  return { values, count };
}

function asNumber(x: Element): number {
  if (Array.isArray(x)) return Math.hypot(x[0] as number, x[1] as number);
  return Number(x);
}

/** A 64-bit integer as a number where it is exact. */
const plain = (x: bigint | undefined): number | bigint | undefined =>
  x === undefined || !Number.isSafeInteger(Number(x)) ? x : Number(x);

/** Least and largest integer of those before and `data`. */
function wider(before: readonly [bigint, bigint] | null, data: BigInt64Array): readonly [bigint, bigint] {
  let [min, max] = before ?? [data[0]!, data[0]!];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return [min, max];
}
