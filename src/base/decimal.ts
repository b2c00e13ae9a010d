/**
 * @file Floats in decimal: the shortest digits that give the same float back, or rounded from the exact value, ties to
 * even. Start at `positional`.
 *
 * @see Steele and White 1990, "How to Print Floating-Point Numbers Accurately" (what numpy calls dragon4)
 */

import { floatToHalf, halfToFloat } from "./half.ts";

/** Precision of the float whose digits are wanted. */
export type FloatKind = "float16" | "float32" | "float64";

/** A number's digits d.ddd and its exponent of ten; no sign. */
interface Digits {
  readonly digits: string;
  readonly exponent: number;
}

const ROUND: Readonly<Record<FloatKind, (x: number) => number>> = {
  float16: (x) => halfToFloat(floatToHalf(x)),
  float32: Math.fround,
  float64: (x) => x,
};

/** The fewest digits that only this float is nearest to. */
function shortest(magnitude: number, kind: FloatKind): Digits {
  if (magnitude === 0) return { digits: "0", exponent: 0 };
  if (kind === "float64") return split(magnitude.toExponential());
  for (let fraction = 0; ; fraction++) {
    const text = magnitude.toExponential(fraction); // ties away from zero
    if (ROUND[kind](Number(text)) !== magnitude) continue;
    const found = split(text);
    const even = scaledDecimal(magnitude, fraction - found.exponent).toString();
    const same = ROUND[kind](Number(`${even}e${found.exponent - fraction}`)) === magnitude;
    return same && even.length === found.digits.length ? { ...found, digits: even } : found;
  }
}

function split(text: string): Digits {
  const [mantissa, exponent] = text.split("e") as [string, string];
  return { digits: mantissa.replace(".", ""), exponent: Number(exponent) };
}

const bits = new DataView(new ArrayBuffer(8));

/** magnitude · 10^decimals, exactly, rounded to an integer, ties to even. */
export function scaledDecimal(magnitude: number, decimals: number): bigint {
  bits.setFloat64(0, magnitude);
  const word = bits.getBigUint64(0);
  const biased = Number(word >> 52n);
  const fraction = word & ((1n << 52n) - 1n);
  const exponent = Math.max(biased, 1) - 1075;
  let top = biased === 0 ? fraction : fraction | (1n << 52n);
  let bottom = 1n;
  if (exponent >= 0) top <<= BigInt(exponent);
  else bottom <<= BigInt(-exponent);
  if (decimals >= 0) top *= 10n ** BigInt(decimals);
  else bottom *= 10n ** BigInt(-decimals);
  const whole = top / bottom;
  const twice = 2n * (top - whole * bottom);
  return twice > bottom || (twice === bottom && whole & 1n) ? whole + 1n : whole;
}

const trimZeros = (digits: string): string => digits.replace(/0+$/, "");

/** Whole and fraction digits of a magnitude, at most `decimals` after the point, no zeros at the end. */
export function positional(
  magnitude: number,
  kind: FloatKind,
  decimals: number,
): { whole: string; fraction: string } {
  const { digits, exponent } = shortest(magnitude, kind);
  if (digits.length - 1 - exponent > decimals) {
    const text = scaledDecimal(magnitude, decimals)
      .toString()
      .padStart(decimals + 1, "0");
    return {
      whole: text.slice(0, text.length - decimals),
      fraction: trimZeros(text.slice(text.length - decimals)),
    };
  }
  if (exponent < 0) return { whole: "0", fraction: trimZeros("0".repeat(-exponent - 1) + digits) };
  const padded = digits.padEnd(exponent + 1, "0");
  return { whole: padded.slice(0, exponent + 1), fraction: trimZeros(padded.slice(exponent + 1)) };
}

/**
 * First digit, at most `decimals` more without zeros at the end, and the exponent of ten.
 *
 * @param least - digits after the first, at least: those beyond the shortest are of the exact value, zeros kept
 */
export function scientific(
  magnitude: number,
  kind: FloatKind,
  decimals: number,
  least = 0,
): { whole: string; fraction: string; exponent: number } {
  let { digits, exponent } = shortest(magnitude, kind);
  const wanted = digits.length - 1 > decimals ? decimals : Math.max(digits.length - 1, least);
  if (wanted !== digits.length - 1 && magnitude > 0) {
    digits = scaledDecimal(magnitude, wanted - exponent).toString();
    if (digits.length > wanted + 1) exponent++; // 9.99 became 10.0
  }
  const fraction = trimZeros(digits.slice(1, wanted + 1));
  return { whole: digits[0]!, fraction: fraction.padEnd(least, "0"), exponent };
}

/** Exponent as `+05`, with at least `size` digits. */
export const formatExponent = (exponent: number, size = 2): string =>
  (exponent < 0 ? "-" : "+") + String(Math.abs(exponent)).padStart(size, "0");

/** C's `%g`: six significant digits. */
export function formatG(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const { whole, fraction, exponent } = scientific(Math.abs(value), "float64", 5);
  if (exponent < -4 || exponent >= 6) {
    return `${sign}${whole}${fraction ? `.${fraction}` : ""}e${formatExponent(exponent)}`;
  }
  const fixed = positional(Number(`${whole}.${fraction}e${exponent}`), "float64", 5 - exponent);
  return `${sign}${fixed.whole}${fixed.fraction ? `.${fixed.fraction}` : ""}`;
}
