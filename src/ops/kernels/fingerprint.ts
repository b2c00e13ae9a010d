/**
 * @file Hashes of byte strings, of 64 bits: FarmHash's fingerprint, SipHash under a key, and TensorFlow's own first one. All are part of models:
 * they say which bucket a word falls in.
 *
 * @see Google FarmHash farmhash.cc "farmhashna"; Aumasson, Bernstein, SipHash (2012); TensorFlow core/platform/hash.cc "Hash64"
 */

const MASK = (1n << 64n) - 1n;
const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;

const wrap = (x: bigint): bigint => x & MASK;
/** to the right */
const rotate = (x: bigint, by: bigint): bigint => wrap((wrap(x) >> by) | (wrap(x) << (64n - by)));
const shiftMix = (x: bigint): bigint => x ^ (x >> 47n);

function hash16(u: bigint, v: bigint, mul: bigint): bigint {
  const a = shiftMix(wrap((u ^ v) * mul));
  return wrap(shiftMix(wrap((v ^ a) * mul)) * mul);
}

type Words = (at: number) => bigint;
const wordsOf = (bytes: Uint8Array): Words => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (at) => view.getBigUint64(at, true);
};

function upTo16(bytes: Uint8Array): bigint {
  const size = bytes.length;
  const mul = K2 + BigInt(size) * 2n;
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  if (size >= 8) {
    const a = wrap(view.getBigUint64(0, true) + K2);
    const b = view.getBigUint64(size - 8, true);
    return hash16(wrap(rotate(b, 37n) * mul + a), wrap((rotate(a, 25n) + b) * mul), mul);
  }
  if (size >= 4) {
    const [a, b] = [BigInt(view.getUint32(0, true)), BigInt(view.getUint32(size - 4, true))];
    return hash16(BigInt(size) + (a << 3n), b, mul);
  }
  if (size === 0) return K2;
  const y = BigInt(bytes[0]! + (bytes[size >> 1]! << 8));
  const z = BigInt(size + (bytes[size - 1]! << 2));
  return wrap(shiftMix(wrap(y * K2) ^ wrap(z * K0)) * K2);
}

function upTo32(size: number, word: Words): bigint {
  const mul = K2 + BigInt(size) * 2n;
  const [a, b] = [wrap(word(0) * K1), word(8)];
  const [c, d] = [wrap(word(size - 8) * mul), wrap(word(size - 16) * K2)];
  return hash16(wrap(rotate(a + b, 43n) + rotate(c, 30n) + d), wrap(a + rotate(b + K2, 18n) + c), mul);
}

function upTo64(size: number, word: Words): bigint {
  const mul = K2 + BigInt(size) * 2n;
  const [a, b] = [wrap(word(0) * K2), word(8)];
  const [c, d] = [wrap(word(size - 8) * mul), wrap(word(size - 16) * K2)];
  const y = wrap(rotate(a + b, 43n) + rotate(c, 30n) + d);
  const z = hash16(y, wrap(a + rotate(b + K2, 18n) + c), mul);
  const [e, f] = [wrap(word(16) * mul), word(24)];
  const [g, h] = [wrap((y + word(size - 32)) * mul), wrap((z + word(size - 24)) * mul)];
  return hash16(wrap(rotate(e + f, 43n) + rotate(g, 30n) + h), wrap(e + rotate(f + a, 18n) + g), mul);
}

/** Half of a block of 64 bytes, mixed into two seeds. */
function mix32(word: Words, at: number, a: bigint, b: bigint): readonly [bigint, bigint] {
  const [w, x, y, z] = [word(at), word(at + 8), word(at + 16), word(at + 24)];
  const first = a + w;
  const second = rotate(b + first + z, 21n);
  const sum = first + x + y;
  return [wrap(sum + z), wrap(second + rotate(sum, 44n) + first)];
}

function long(size: number, word: Words): bigint {
  const seed = 81n;
  let x = wrap(seed * K2 + word(0));
  let y = wrap(seed * K1 + 113n);
  let z = wrap(shiftMix(wrap(y * K2 + 113n)) * K2);
  let v: readonly [bigint, bigint] = [0n, 0n];
  let w: readonly [bigint, bigint] = [0n, 0n];
  /** one block of 64 bytes; the last one overlaps and counts more */
  const block = (at: number, mul: bigint, weight: bigint): void => {
    x = wrap(rotate(x + y + v[0] + word(at + 8), 37n) * mul);
    y = wrap(rotate(y + v[1] + word(at + 48), 42n) * mul);
    x ^= wrap(w[1] * weight);
    y = wrap(y + v[0] * weight + word(at + 40));
    z = wrap(rotate(z + w[0], 33n) * mul);
    v = mix32(word, at, wrap(v[1] * mul), wrap(x + w[0]));
    w = mix32(word, at + 32, wrap(z + w[1]), wrap(y + word(at + 16)));
    [z, x] = [x, z];
  };
  const end = Math.floor((size - 1) / 64) * 64;
  for (let at = 0; at < end; at += 64) block(at, K1, 1n);
  const mul = K1 + ((z & 0xffn) << 1n);
  const carried = wrap(w[0] + BigInt((size - 1) & 63));
  v = [wrap(v[0] + carried), v[1]];
  w = [wrap(carried + v[0]), w[1]];
  block(size - 64, mul, 9n);
  return hash16(wrap(hash16(v[0], w[0], mul) + shiftMix(y) * K0 + z), wrap(hash16(v[1], w[1], mul) + x), mul);
}

/** FarmHash's `Fingerprint64`: unsigned. */
export function fingerprint64(bytes: Uint8Array): bigint {
  const size = bytes.length;
  if (size <= 16) return upTo16(bytes);
  if (size <= 32) return upTo32(size, wordsOf(bytes));
  return size <= 64 ? upTo64(size, wordsOf(bytes)) : long(size, wordsOf(bytes));
}

const MURMUR = 0xc6a4a7935bd1e995n;
const MURMUR_SEED = 0xdecafcaffen;

/** TensorFlow's `Hash64`, a MurmurHash: unsigned. */
export function hash64(bytes: Uint8Array): bigint {
  const word = wordsOf(bytes);
  const whole = bytes.length & ~7;
  let h = MURMUR_SEED ^ wrap(BigInt(bytes.length) * MURMUR);
  for (let at = 0; at < whole; at += 8) {
    const k = wrap(word(at) * MURMUR);
    h = wrap((h ^ wrap((k ^ (k >> 47n)) * MURMUR)) * MURMUR);
  }
  if (whole < bytes.length) {
    let rest = 0n;
    for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8n) | BigInt(bytes[at]!);
    h = wrap((h ^ rest) * MURMUR);
  }
  h = wrap((h ^ (h >> 47n)) * MURMUR);
  return h ^ (h >> 47n);
}

/** SipHash-2-4 under a key of two unsigned words: unsigned. */
export function sipHash(bytes: Uint8Array, key: readonly [bigint, bigint]): bigint {
  let v0 = key[0] ^ 0x736f6d6570736575n;
  let v1 = key[1] ^ 0x646f72616e646f6dn;
  let v2 = key[0] ^ 0x6c7967656e657261n;
  let v3 = key[1] ^ 0x7465646279746573n;
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) {
      v0 = wrap(v0 + v1);
      v1 = rotate(v1, 51n) ^ v0;
      v0 = rotate(v0, 32n);
      v2 = wrap(v2 + v3);
      v3 = rotate(v3, 48n) ^ v2;
      v0 = wrap(v0 + v3);
      v3 = rotate(v3, 43n) ^ v0;
      v2 = wrap(v2 + v1);
      v1 = rotate(v1, 47n) ^ v2;
      v2 = rotate(v2, 32n);
    }
  };
  const take = (word: bigint): void => {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  const word = wordsOf(bytes);
  const whole = bytes.length & ~7;
  for (let at = 0; at < whole; at += 8) take(word(at));
  let rest = BigInt(bytes.length & 0xff) << 56n;
  for (let at = whole; at < bytes.length; at++) rest |= BigInt(bytes[at]!) << BigInt(8 * (at - whole));
  take(rest);
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}
