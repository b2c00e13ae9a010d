/** @file Numbers as C's printf writes them, from their exact value, ties to even. */

import { scaledDecimal } from "../../base/index.ts";

/** A number in C's way. */
export interface NumberFormat {
  /** "f" fixed, "e" with an exponent, "g" the shorter of both, "d" whole */
  readonly kind: "f" | "e" | "g" | "d";
  /** digits after the point ("g": digits in all); -1: C's 6 */
  readonly precision: number;
  /** at least so many characters; -1: as many as it takes */
  readonly width: number;
  /** C's flag: "" or one of "0", " ", "+", "-", "#" */
  readonly flag: string;
}

const pointed = (digits: string, decimals: number, always: boolean): string => {
  const padded = digits.padStart(decimals + 1, "0");
  const whole = padded.slice(0, padded.length - decimals);
  const fraction = padded.slice(padded.length - decimals);
  return decimals > 0 ? `${whole}.${fraction}` : always ? `${whole}.` : whole;
};

const fixed = (x: number, decimals: number, point: boolean): string =>
  pointed(scaledDecimal(x, decimals).toString(), decimals, point);

/** Digits and exponent of ten, rounded to `decimals` after the first digit. */
function rounded(x: number, decimals: number): { digits: string; exponent: number } {
  if (x === 0) return { digits: "0".repeat(decimals + 1), exponent: 0 };
  const exponent = Number(x.toExponential().split("e")[1]);
  const digits = scaledDecimal(x, decimals - exponent).toString();
  // 9.99 became 10.0
  return digits.length > decimals + 1
    ? { digits: digits.slice(0, -1), exponent: exponent + 1 }
    : { digits, exponent };
}

function exponential(x: number, decimals: number, point: boolean): string {
  const { digits, exponent } = rounded(x, decimals);
  const sign = exponent < 0 ? "-" : "+";
  return `${pointed(digits, decimals, point)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

function general(x: number, precision: number, point: boolean): string {
  const wanted = Math.max(1, precision);
  const { exponent } = rounded(x, wanted - 1);
  const isFixed = exponent >= -4 && exponent < wanted;
  const text = isFixed ? fixed(x, wanted - 1 - exponent, point) : exponential(x, wanted - 1, point);
  return point ? text : text.replace(/(\.\d*?)0+(e|$)/, "$1$2").replace(/\.(e|$)/, "$1");
}

/** One number in a format. Whole numbers may be beyond 2^53 as bigint. */
export function printNumber(value: number | bigint, { kind, precision, width, flag }: NumberFormat): string {
  const isNegative = typeof value === "bigint" ? value < 0n : value < 0 || Object.is(value, -0);
  const magnitude = isNegative ? -value : value;
  const decimals = precision < 0 ? 6 : precision;
  const isPlain = typeof magnitude === "bigint" || Number.isFinite(magnitude);
  let body: string;
  if (!isPlain) body = Number.isNaN(magnitude) ? "nan" : "inf";
  else if (kind === "d") body = String(magnitude).padStart(precision < 0 ? 1 : precision, "0");
  else if (kind === "f") body = fixed(Number(magnitude), decimals, flag === "#");
  else if (kind === "e") body = exponential(Number(magnitude), decimals, flag === "#");
  else body = general(Number(magnitude), decimals, flag === "#");
  const sign = isNegative ? "-" : flag === "+" || flag === " " ? flag : "";
  const isZeroed = flag === "0" && isPlain && !(kind === "d" && precision >= 0);
  if (isZeroed) return sign + body.padStart(width - sign.length, "0");
  return flag === "-" ? (sign + body).padEnd(width) : (sign + body).padStart(width);
}
