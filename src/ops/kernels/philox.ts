/**
 * @file TensorFlow's random bits: the counter-based generator Philox 4x32-10. A generator is four counter words and two key words;
 * every step gives four 32-bit words. Distributions over them are in random.ts. Start at `Philox`.
 *
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; TensorFlow lib/random/philox_random.h
 */

const ROUNDS = 10;
/** Multipliers and key steps of the paper. */
const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const TWO_32 = 2 ** 32;

/** 32 bits of a 64-bit seed, 0 or 1 from the low end; negative seeds in two's complement. */
const word = (seed: number | bigint, index: 0 | 1): number =>
  Number((BigInt.asUintN(64, BigInt(seed)) >> BigInt(32 * index)) & 0xffffffffn);

/** A generator. `fill` reads ahead from where it stands; `skip` moves it. */
export class Philox {
  /** two key words, then four counter words, low first */
  private readonly words: Uint32Array;

  private constructor(words: Uint32Array) {
    this.words = words;
  }

  /** The generator of a pair of 64-bit seeds, as stateful ops have. */
  static seeded(seed: number | bigint, seed2: number | bigint): Philox {
    return new Philox(Uint32Array.of(word(seed, 0), word(seed, 1), 0, 0, word(seed2, 0), word(seed2, 1)));
  }

  /** The generator that stands at a 128-bit counter (low half first) under a 64-bit key. */
  static at(key: bigint, counter: readonly [bigint, bigint]): Philox {
    const [low, high] = counter;
    return new Philox(
      Uint32Array.of(word(key, 0), word(key, 1), word(low, 0), word(low, 1), word(high, 0), word(high, 1)),
    );
  }

  get key(): bigint {
    return join(this.words[0]!, this.words[1]!);
  }

  get counter(): [bigint, bigint] {
    return [join(this.words[2]!, this.words[3]!), join(this.words[4]!, this.words[5]!)];
  }

  copy(): Philox {
    return new Philox(this.words.slice());
  }

  /** Moves on by `steps` (of four words each), below 2^53. */
  skip(steps: number): void {
    const w = this.words;
    let carry = steps;
    for (let i = 2; i < 6 && carry > 0; i++) {
      const sum = w[i]! + (carry % TWO_32);
      w[i] = sum % TWO_32;
      carry = Math.floor(carry / TWO_32) + Math.floor(sum / TWO_32);
    }
  }

  /** Writes the next words to `out`, whose length is a multiple of 4, and moves on past them. */
  fill(out: Int32Array): void {
    const w = this.words;
    let [c0, c1, c2, c3] = [w[2]! | 0, w[3]! | 0, w[4]! | 0, w[5]! | 0];
    const [key0, key1] = [w[0]! | 0, w[1]! | 0];
    for (let i = 0; i < out.length; i += 4) {
      let [x0, x1, x2, x3, k0, k1] = [c0, c1, c2, c3, key0, key1];
      for (let round = 0; round < ROUNDS; round++) {
        const low0 = Math.imul(x0, M0);
        const low1 = Math.imul(x2, M1);
        const high0 = highOf(x0, M0, low0);
        const high1 = highOf(x2, M1, low1);
        x0 = high1 ^ x1 ^ k0;
        x1 = low1;
        x2 = high0 ^ x3 ^ k1;
        x3 = low0;
        k0 = (k0 + W0) | 0;
        k1 = (k1 + W1) | 0;
      }
      out[i] = x0;
      out[i + 1] = x1;
      out[i + 2] = x2;
      out[i + 3] = x3;
      c0 = (c0 + 1) | 0;
      if (c0 === 0) {
        c1 = (c1 + 1) | 0;
        if (c1 === 0) {
          c2 = (c2 + 1) | 0;
          if (c2 === 0) c3 = (c3 + 1) | 0;
        }
      }
    }
    w[2] = c0;
    w[3] = c1;
    w[4] = c2;
    w[5] = c3;
  }
}

/**
 * Upper 32 bits of the product of two words whose lower bits are `low`. The product as a double is off by at most 2^11; without its
 * lower bits it is a multiple of 2^32, so rounding finds the right one.
 */
function highOf(a: number, b: number, low: number): number {
  return (((a >>> 0) * b - (low >>> 0)) * 2 ** -32 + 0.5) | 0;
}

const join = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low);

/** Key and counter that stateless ops make of a pair of seeds. @see TensorFlow core/kernels/stateless_random_ops.cc GenerateKey */
export function scrambled(seed: readonly [number | bigint, number | bigint]): Philox {
  // So that a seed need not be strong in both halves: one step under a fixed key mixes them.
  const key = 0x02461e293ec8f720n;
  const mixer = Philox.at(key, [BigInt.asUintN(64, BigInt(seed[0])), BigInt.asUintN(64, BigInt(seed[1]))]);
  const mix = new Int32Array(4);
  mixer.fill(mix);
  const [a, b, c, d] = [...mix].map((x) => x >>> 0) as [number, number, number, number];
  return Philox.at(join(a, b), [0n, join(c, d)]);
}
