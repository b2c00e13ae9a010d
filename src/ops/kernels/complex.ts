/** @file Complex functions on pairs (re, im), principal values. The inverse functions follow Kahan's branch cuts. */

import type { Complex } from "./elementwise.ts";

export const cadd = ([a, b]: Complex, [c, d]: Complex): Complex => [a + c, b + d];
export const csub = ([a, b]: Complex, [c, d]: Complex): Complex => [a - c, b - d];
export const cmul = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
export const cscale = ([a, b]: Complex, s: number): Complex => [a * s, b * s];
export const cneg = ([a, b]: Complex): Complex => [-a, -b];
export const cconj = ([a, b]: Complex): Complex => [a, -b];
export const cabs = ([a, b]: Complex): number => Math.hypot(a, b);

/** x / y by Smith's method, which does not overflow in between. */
export function cdiv([a, b]: Complex, [c, d]: Complex): Complex {
  if (Math.abs(c) >= Math.abs(d)) {
    const r = d / c;
    const s = c + d * r;
    return [(a + b * r) / s, (b - a * r) / s];
  }
  const r = c / d;
  const s = c * r + d;
  return [(a * r + b) / s, (b * r - a) / s];
}

export const creciprocal = (x: Complex): Complex => cdiv([1, 0], x);
export const isZero = ([a, b]: Complex): boolean => a === 0 && b === 0;

export function cexp([a, b]: Complex): Complex {
  const m = Math.exp(a);
  return [m * Math.cos(b), m * Math.sin(b)];
}

/** eˣ - 1, without cancellation near 0. */
export function cexpm1([a, b]: Complex): Complex {
  const half = Math.sin(b / 2);
  return [Math.expm1(a) * Math.cos(b) - 2 * half * half, Math.exp(a) * Math.sin(b)];
}

export const clog = ([a, b]: Complex): Complex => [Math.log(Math.hypot(a, b)), Math.atan2(b, a)];

/** ln(1 + x), without cancellation near 0. */
export const clog1p = ([a, b]: Complex): Complex => [
  Math.log1p(a * (2 + a) + b * b) / 2,
  Math.atan2(b, 1 + a),
];

export function csqrt([a, b]: Complex): Complex {
  if (a === 0 && b === 0) return [0, b];
  const t = Math.sqrt((Math.abs(a) + Math.hypot(a, b)) / 2);
  const sign = b < 0 || Object.is(b, -0) ? -1 : 1;
  return a >= 0 ? [t, b / (2 * t)] : [Math.abs(b) / (2 * t), sign * t];
}

export const cpow = (x: Complex, y: Complex): Complex => {
  if (isZero(y)) return [1, 0];
  return isZero(x) ? [0, 0] : cexp(cmul(y, clog(x)));
};

export const csin = ([a, b]: Complex): Complex => [Math.sin(a) * Math.cosh(b), Math.cos(a) * Math.sinh(b)];
export const ccos = ([a, b]: Complex): Complex => [Math.cos(a) * Math.cosh(b), -Math.sin(a) * Math.sinh(b)];
export const csinh = ([a, b]: Complex): Complex => [Math.sinh(a) * Math.cos(b), Math.cosh(a) * Math.sin(b)];
export const ccosh = ([a, b]: Complex): Complex => [Math.cosh(a) * Math.cos(b), Math.sinh(a) * Math.sin(b)];

export function ctanh([a, b]: Complex): Complex {
  if (Math.abs(a) > 20) return [Math.sign(a), 0]; // 1 - tanh a < 2^-53
  const d = Math.cosh(2 * a) + Math.cos(2 * b);
  return [Math.sinh(2 * a) / d, Math.sin(2 * b) / d];
}

const timesI = ([a, b]: Complex): Complex => [-b, a];
const overI = ([a, b]: Complex): Complex => [b, -a];

/** tan x = -i tanh ix */
export const ctan = (x: Complex): Complex => overI(ctanh(timesI(x)));

/** @see Kahan 1987, Branch cuts for complex elementary functions */
export function casinh([a, b]: Complex): Complex {
  const s1 = csqrt([1 + b, -a]);
  const s2 = csqrt([1 - b, a]);
  return [Math.asinh(s1[0] * s2[1] - s1[1] * s2[0]), Math.atan2(b, s1[0] * s2[0] - s1[1] * s2[1])];
}

export const casin = (x: Complex): Complex => overI(casinh(timesI(x)));

export function cacos([a, b]: Complex): Complex {
  const s1 = csqrt([1 - a, -b]);
  const s2 = csqrt([1 + a, b]);
  return [2 * Math.atan2(s1[0], s2[0]), Math.asinh(s2[0] * s1[1] - s2[1] * s1[0])];
}

export function cacosh([a, b]: Complex): Complex {
  const s1 = csqrt([a - 1, b]);
  const s2 = csqrt([a + 1, b]);
  return [Math.asinh(s1[0] * s2[0] + s1[1] * s2[1]), 2 * Math.atan2(s1[1], s2[0])];
}

export function catanh([a, b]: Complex): Complex {
  const re = Math.log1p((4 * a) / ((1 - a) ** 2 + b * b)) / 4;
  return [re, Math.atan2(2 * b, (1 - a) * (1 + a) - b * b) / 2];
}

export const catan = (x: Complex): Complex => overI(catanh(timesI(x)));

/** x / |x|, 0 for 0 */
export const csign = (x: Complex): Complex => (isZero(x) ? [0, 0] : cscale(x, 1 / cabs(x)));
export const csigmoid = (x: Complex): Complex => creciprocal(cadd([1, 0], cexp(cneg(x))));
