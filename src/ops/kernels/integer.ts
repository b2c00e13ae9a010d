/** @file Quotients, remainders and powers as C and TensorFlow define them, for floats and for integers that wrap. */

import { VarscopeError } from "../../base/index.ts";

function nonZero<N extends number | bigint>(y: N): N {
  if (!y) throw new VarscopeError("INVALID_ARGUMENT", "Integer division by zero");
  return y;
}

/** Toward zero. @throws VarscopeError INVALID_ARGUMENT - y is 0 */
export const quotient = (x: number, y: number): number => Math.trunc(x / nonZero(y));
export const longQuotient = (x: bigint, y: bigint): bigint => x / nonZero(y);

/** Of the sign of x, as C's `%`. @throws VarscopeError INVALID_ARGUMENT - y is 0 */
export const remainder = (x: number, y: number): number => x % nonZero(y);
export const longRemainder = (x: bigint, y: bigint): bigint => x % nonZero(y);

/** Toward -∞. @throws VarscopeError INVALID_ARGUMENT - y is 0 */
export const floorQuotient = (x: number, y: number): number => Math.floor(x / nonZero(y));

export function longFloorQuotient(x: bigint, y: bigint): bigint {
  const q = x / nonZero(y);
  return x % y !== 0n && x < 0n !== y < 0n ? q - 1n : q;
}

/** Of the sign of y, as Python's `%`. For floats NaN at y = 0. */
export function floorRemainder(x: number, y: number): number {
  const r = x % y;
  return r !== 0 && r < 0 !== y < 0 ? r + y : r;
}

/** @throws VarscopeError INVALID_ARGUMENT - y is 0 */
export const intFloorRemainder = (x: number, y: number): number => floorRemainder(x, nonZero(y));

export function longFloorRemainder(x: bigint, y: bigint): bigint {
  const r = x % nonZero(y);
  return r !== 0n && r < 0n !== y < 0n ? r + y : r;
}

/** Math.max for bigint. */
export function longMax(x: bigint, y: bigint): bigint {
  if (x > y) return x;
  return y;
}

/** Math.min for bigint. */
export function longMin(x: bigint, y: bigint): bigint {
  if (x < y) return x;
  return y;
}

/** C's pow: 1 to any power and -1 to ±∞ are 1, where JavaScript has NaN. */
export const floatPower = (x: number, y: number): number =>
  x === 1 || (x === -1 && Math.abs(y) === Number.POSITIVE_INFINITY) ? 1 : x ** y;

const negativePower = (): never => {
  throw new VarscopeError("INVALID_ARGUMENT", "Integers to negative integer powers are not allowed");
};

/** By squaring, modulo 2^32. @throws VarscopeError INVALID_ARGUMENT - y is negative */
export function intPower(x: number, y: number): number {
  if (y < 0) negativePower();
  let out = 1;
  for (let base = x, n = y; n > 0; n >>>= 1) {
    if (n & 1) out = Math.imul(out, base);
    base = Math.imul(base, base);
  }
  return out;
}

/** By squaring, modulo 2^64. @throws VarscopeError INVALID_ARGUMENT - y is negative */
export function longPower(x: bigint, y: bigint): bigint {
  if (y < 0n) negativePower();
  let out = 1n;
  for (let base = x, n = y; n > 0n; n >>= 1n) {
    if (n & 1n) out = BigInt.asIntN(64, out * base);
    base = BigInt.asIntN(64, base * base);
  }
  return out;
}
