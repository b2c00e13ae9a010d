/**
 * @file Distributions over TensorFlow's random bits, filled in the order of its CPU kernels and equal to them bit for bit. Each takes
 * a generator that stands where the op's output begins, and moves it. Bits come from philox.ts. Start at `uniform`.
 *
 * @see TensorFlow lib/random/random_distributions.h, core/kernels/random_op_cpu.h
 */

import { floatToBfloat16, floatToHalf, sizeOf, type Tensor, VarscopeError, zeros } from "../../base/index.ts";
import { logf, sincosf } from "./glibc-float.ts";
import type { Philox } from "./philox.ts";

export type RandomFloat = "float16" | "bfloat16" | "float32" | "float64";
export type RandomInt = "int32" | "int64" | "uint32" | "uint64";

/** Words drawn at once: small enough to stay in the cache. */
const CHUNK = 1 << 14;

/** Draws words for `count` outputs, `each` words an output, and hands them over in chunks that begin at output `first`. */
function draw(
  gen: Philox,
  count: number,
  each: 1 | 2,
  use: (words: Int32Array, first: number, n: number) => void,
): void {
  const words = new Int32Array(Math.min(CHUNK, Math.ceil((count * each) / 4) * 4));
  const perChunk = words.length / each;
  for (let first = 0; first < count; first += perChunk) {
    const n = Math.min(perChunk, count - first);
    const used = Math.ceil((n * each) / 4) * 4;
    gen.fill(used === words.length ? words : words.subarray(0, used));
    use(words, first, n);
  }
}

/** Uniform in [0, 1): the fraction bits of a number in [1, 2), less 1. */
export function uniform(gen: Philox, dtype: RandomFloat, shape: readonly number[]): Tensor {
  const out = zeros(dtype, shape);
  const to = out.data as Float64Array | Uint16Array;
  draw(gen, sizeOf(shape), dtype === "float64" ? 2 : 1, (words, first, n) => {
    if (dtype === "float32") for (let i = 0; i < n; i++) to[first + i] = unit32(words[i]!);
    else if (dtype === "float64") {
      for (let i = 0; i < n; i++) to[first + i] = unit64(words[2 * i]!, words[2 * i + 1]!);
    } else if (dtype === "float16") {
      for (let i = 0; i < n; i++) to[first + i] = floatToHalf((words[i]! & 0x3ff) * 2 ** -10);
    } else for (let i = 0; i < n; i++) to[first + i] = floatToBfloat16((words[i]! & 0x7f) * 2 ** -7);
  });
  return out;
}

const unit32 = (word: number): number => (word & 0x7fffff) * 2 ** -23;
const unit64 = (high: number, low: number): number => ((high & 0xfffff) * 2 ** 32 + (low >>> 0)) * 2 ** -52;

/** Smallest argument of the logarithm. @see random_distributions.h BoxMullerFloat */
const EPSILON = 1e-7;
const EPSILON_32 = Math.fround(EPSILON);

const trig = new Float64Array(2);

/** Two standard normal float32 from two words, by Box and Muller: sine first. */
function pair32(a: number, b: number, out: Float64Array): void {
  const u = unit32(a);
  const radius = Math.fround(Math.sqrt(Math.fround(-2 * logf(Math.max(u, EPSILON_32)))));
  sincosf(Math.fround(2 * Math.PI * unit32(b)), trig);
  out[0] = Math.fround(trig[0]! * radius);
  out[1] = Math.fround(trig[1]! * radius);
}

/** Two standard normal float64 from four words at `i`. Math's functions may differ from the C library's in the last bit. */
function pair64(words: Int32Array, i: number, out: Float64Array): void {
  const u = unit64(words[i]!, words[i + 1]!);
  const radius = Math.sqrt(-2 * Math.log(Math.max(u, EPSILON)));
  const angle = 2 * Math.PI * unit64(words[i + 2]!, words[i + 3]!);
  out[0] = Math.sin(angle) * radius;
  out[1] = Math.cos(angle) * radius;
}

/** A number as the dtype's storage holds it. */
const STORED: Record<RandomFloat, (x: number) => number> = {
  float16: floatToHalf,
  bfloat16: floatToBfloat16,
  float32: (x) => x,
  float64: (x) => x,
};

/** Standard normal. */
export function normal(gen: Philox, dtype: RandomFloat, shape: readonly number[]): Tensor {
  const out = zeros(dtype, shape);
  const to = out.data as Float64Array;
  const stored = STORED[dtype];
  const f = new Float64Array(2);
  const each = dtype === "float64" ? 2 : 1;
  draw(gen, sizeOf(shape), each, (words, first, n) => {
    for (let i = 0; i < n; i += 2) {
      if (each === 2) pair64(words, 2 * i, f);
      else pair32(words[i]!, words[i + 1]!, f);
      to[first + i] = stored(f[0]!);
      if (i + 1 < n) to[first + i + 1] = stored(f[1]!);
    }
  });
  return out;
}

/** Words that are set aside for every output, since nobody knows how many draws it takes. @see random_op_cpu.h */
const RESERVED_PER_OUTPUT = 256;
const TRUNCATE_AT = 2;

/** Standard normal, drawn again where it is 2 or more away from 0. Each group of outputs has its own stretch of the generator. */
export function truncatedNormal(gen: Philox, dtype: RandomFloat, shape: readonly number[]): Tensor {
  const out = zeros(dtype, shape);
  const to = out.data as Float64Array;
  const count = sizeOf(shape);
  const wide = dtype === "float64";
  const group = wide ? 2 : 4;
  const stretch = (group * RESERVED_PER_OUTPUT) / 4;
  const stored = STORED[dtype];
  const words = new Int32Array(8);
  const f = new Float64Array(2);
  for (let first = 0; first < count; first += group) {
    const local = gen.copy();
    gen.skip(stretch);
    let [at, word] = [first, words.length];
    const end = first + group;
    while (at < end) {
      if (word === words.length) {
        local.fill(words);
        word = 0;
      }
      if (wide) pair64(words, word, f);
      else pair32(words[word]!, words[word + 1]!, f);
      word += wide ? 4 : 2;
      for (const x of f) if (Math.abs(x) < TRUNCATE_AT && at < end) to[at++] = stored(x); // past the end: ignored
    }
  }
  return out;
}

/**
 * Integers in [low, high): low + word mod (high - low), of 32 or 64 bits.
 * @throws VarscopeError INVALID_ARGUMENT - low is not below high
 */
export function uniformInt(
  gen: Philox,
  dtype: RandomInt,
  shape: readonly number[],
  low: bigint,
  high: bigint,
): Tensor {
  const count = sizeOf(shape);
  if (count > 0 && low >= high) {
    throw new VarscopeError("INVALID_ARGUMENT", `Need minval < maxval, got ${low} >= ${high}`);
  }
  const out = uniformBits(gen, dtype, shape);
  if (dtype === "int32" || dtype === "uint32") {
    const to = out.data as Int32Array;
    const [start, range] = [Number(low), Number(high - low)];
    for (let i = 0; i < count; i++) to[i] = start + ((to[i]! >>> 0) % range);
    return out;
  }
  const to = out.data as BigInt64Array;
  for (let i = 0; i < count; i++) to[i] = low + (BigInt.asUintN(64, to[i]!) % (high - low));
  return out;
}

/** Integers of the dtype's whole range. */
export function uniformBits(gen: Philox, dtype: RandomInt, shape: readonly number[]): Tensor {
  const out = zeros(dtype, shape);
  const wide = dtype === "int64" || dtype === "uint64";
  const { buffer } = out.data as Int32Array;
  const to = new Int32Array(buffer); // low word first, as the machine stores 64 bits
  draw(gen, sizeOf(shape), wide ? 2 : 1, (words, first, n) => {
    if (wide) to.set(words.subarray(0, 2 * n), 2 * first);
    else to.set(words.subarray(0, n), first);
  });
  return out;
}

/** A permutation of 0 .. count-1: each place in turn swaps with one at or behind it. @see random_shuffle_op.cc */
export function permutation(gen: Philox, count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  draw(gen, count - 1, 1, (words, first, n) => {
    for (let i = 0; i < n; i++) {
      const at = first + i;
      const other = at + ((words[i]! >>> 0) % (count - at));
      const kept = order[at]!;
      order[at] = order[other]!;
      order[other] = kept;
    }
  });
  return order;
}
