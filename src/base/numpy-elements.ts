/** @file Elements as numpy prints them inside an array, aligned with each other, and alone. Start at `elementFormat`. */

import { type FloatKind, formatExponent, formatG, positional, scientific } from "./decimal.ts";
import { DTYPES } from "./dtype.ts";
import { float8ToFloat, isFloat8 } from "./float8.ts";
import { type Element, getElement, type Tensor } from "./tensor.ts";

export interface ElementOptions {
  /** digits after the point, at most */
  readonly precision: number;
  /** no exponents because of small numbers */
  readonly suppress: boolean;
}

type Format = (value: Element) => string;

/** Decimal digits that every float of a kind has: beyond them whole numbers are not exact. @see numpy.finfo.precision */
const EXACT_DIGITS: Readonly<Record<FloatKind, number>> = { float16: 3, float32: 6, float64: 15 };

/** Float kind of real and imaginary parts, or of the float itself. */
function kindOf(dtype: Tensor["dtype"]): FloatKind | undefined {
  if (dtype === "complex64") return "float32";
  if (dtype === "complex128") return "float64";
  return dtype === "float16" || dtype === "float32" || dtype === "float64" ? dtype : undefined;
}

/** What prints the elements at `shown`, all to one pattern. */
export function elementFormat(
  t: Tensor,
  shown: readonly number[],
  options: ElementOptions,
): (index: number) => string {
  const { dtype } = t;
  const values = (): Element[] => shown.map((i) => getElement(t, i));
  const kind = kindOf(dtype);
  let format: Format;
  if (kind !== undefined && DTYPES[dtype].kind === "complex") {
    format = complexFormat(values() as (readonly [number, number])[], kind, options);
  } else if (kind !== undefined) format = asNumbers(floatFormat(values() as number[], kind, options, ""));
  else if (dtype === "bool") format = boolFormat(t.shape.length);
  else if (isPlainInteger(dtype)) format = integerFormat(values());
  else format = (value) => formatLoose(dtype, value);
  return (index) => format(getElement(t, index));
}

const asNumbers =
  (format: (x: number) => string): Format =>
  (value) =>
    format(value as number);

/** Numpy's own integers; int4 and its like come from ml_dtypes, whose elements are not aligned. */
const isPlainInteger = (dtype: Tensor["dtype"]): boolean =>
  ["int", "uint"].includes(DTYPES[dtype].kind) && !/^u?int[24]$/.test(dtype);

const boolFormat =
  (rank: number): Format =>
  (value) =>
    value ? (rank === 0 ? "True" : " True") : "False";

function integerFormat(values: readonly Element[]): Format {
  const width = values.reduce<number>((most, v) => Math.max(most, String(v).length), 0);
  return (value) => String(value).padStart(width);
}

/** Dtypes without a pattern of their own in numpy: bfloat16, float8, int4, strings. */
function formatLoose(dtype: Tensor["dtype"], value: Element): string {
  if (value instanceof Uint8Array) return formatBytes(value);
  if (isFloat8(dtype)) return formatG(float8ToFloat(dtype, value as number));
  return dtype === "bfloat16" ? formatG(value as number) : String(value);
}

/** Bytes as Python's repr: b'..', escapes where not printable ASCII. */
export function formatBytes(bytes: Uint8Array): string {
  const named: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };
  const quote = bytes.includes(39) && !bytes.includes(34) ? '"' : "'";
  let out = "";
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (named[byte] !== undefined) out += named[byte];
    else if (char === quote) out += `\\${char}`;
    else out += byte >= 0x20 && byte < 0x7f ? char : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `b${quote}${out}${quote}`;
}

const isNegative = (x: number): boolean => x < 0 || Object.is(x, -0);
const signOf = (x: number, plus: string): string => (isNegative(x) ? "-" : plus);

/** Whether numpy chooses exponents for these finite values. */
function needsExponent(finite: readonly number[], kind: FloatKind, suppress: boolean): boolean {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const x of finite) {
    if (x === 0) continue;
    least = Math.min(least, Math.abs(x));
    most = Math.max(most, Math.abs(x));
  }
  if (most === 0) return false;
  if (most >= 10 ** Math.min(8, EXACT_DIGITS[kind])) return true;
  // Constants and quotient are of the array's own precision.
  const small =
    kind === "float16" ? 0.00010001659393310547 : kind === "float32" ? Math.fround(0.0001) : 0.0001;
  const ratio = kind === "float32" ? Math.fround(most / least) : most / least;
  return !suppress && (least < small || ratio > (kind === "float16" ? 1000.25 : 1000));
}

/** Pads every value to one pattern. `plus` is printed before values that are not negative. */
function floatFormat(values: readonly number[], kind: FloatKind, options: ElementOptions, plus: string) {
  const finite = values.filter(Number.isFinite);
  const pattern = needsExponent(finite, kind, options.suppress)
    ? scientificPattern(finite, kind, options.precision, plus)
    : positionalPattern(finite, kind, options.precision, plus);
  let { left } = pattern;
  if (finite.length < values.length) {
    const signed = plus !== "" || values.includes(Number.NEGATIVE_INFINITY) ? 1 : 0;
    left = Math.max(left, 3 - pattern.right - 1, 3 + signed - pattern.right - 1);
  }
  return (x: number): string => {
    if (Number.isFinite(x)) return pattern.format(x, left);
    const text = Number.isNaN(x) ? `${plus}nan` : `${signOf(x, plus)}inf`;
    return text.padStart(left + pattern.right + 1);
  };
}

interface Pattern {
  /** characters before the point, sign included, and after it */
  readonly left: number;
  readonly right: number;
  format(x: number, left: number): string;
}

const longest = (texts: readonly string[]): number =>
  texts.reduce((most, text) => Math.max(most, text.length), 0);

function positionalPattern(
  finite: readonly number[],
  kind: FloatKind,
  precision: number,
  plus: string,
): Pattern {
  const parts = (x: number) => positional(Math.abs(x), kind, precision);
  const all = finite.map((x) => ({ ...parts(x), sign: signOf(x, plus) }));
  const right = longest(all.map((p) => p.fraction));
  return {
    left: longest(all.map((p) => p.sign + p.whole)),
    right,
    format: (x, left) => {
      const { whole, fraction } = parts(x);
      return `${(signOf(x, plus) + whole).padStart(left)}.${fraction.padEnd(right)}`;
    },
  };
}

function scientificPattern(
  finite: readonly number[],
  kind: FloatKind,
  precision: number,
  plus: string,
): Pattern {
  const parts = (x: number) => scientific(Math.abs(x), kind, precision);
  const all = finite.map((x) => ({ ...parts(x), sign: signOf(x, plus) }));
  const digits = longest(all.map((p) => p.fraction));
  const exponentDigits = longest(all.map((p) => formatExponent(p.exponent))) - 1;
  return {
    left: longest(all.map((p) => p.sign + p.whole)),
    right: exponentDigits + 2 + digits,
    format: (x, left) => {
      const { whole, fraction, exponent } = scientific(Math.abs(x), kind, digits, digits);
      const mantissa = `${(signOf(x, plus) + whole).padStart(left)}.${fraction}`;
      return `${mantissa}e${formatExponent(exponent, exponentDigits)}`;
    },
  };
}

function complexFormat(
  values: readonly (readonly [number, number])[],
  kind: FloatKind,
  options: ElementOptions,
): Format {
  const re = floatFormat(
    values.map((v) => v[0]),
    kind,
    options,
    "",
  );
  const im = floatFormat(
    values.map((v) => v[1]),
    kind,
    options,
    "+",
  );
  return (value) => {
    const [x, y] = value as readonly [number, number];
    const text = im(y);
    const end = text.trimEnd().length;
    return `${re(x)}${text.slice(0, end)}j${text.slice(end)}`;
  };
}

/** The first element alone, as Python's str of a numpy scalar. */
export function formatScalar(t: Tensor): string {
  const value = getElement(t, 0);
  const kind = kindOf(t.dtype);
  if (t.dtype === "bool") return value ? "True" : "False";
  if (kind === undefined) return formatLoose(t.dtype, value);
  if (!Array.isArray(value)) return aloneFloat(value as number, kind, ".0");
  const [re, im] = value as readonly [number, number];
  if (re === 0 && !isNegative(re)) return `${aloneFloat(im, kind, "")}j`;
  return `(${aloneFloat(re, kind, "")}${isNegative(im) ? "" : "+"}${aloneFloat(im, kind, "")}j)`;
}

/** Shortest digits; `whole` is what ends a whole number. */
function aloneFloat(x: number, kind: FloatKind, whole: string): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : `${signOf(x, "")}inf`;
  const magnitude = Math.abs(x);
  const limit = kind === "float64" ? 1e16 : 10 ** EXACT_DIGITS[kind];
  if (magnitude === 0 || (magnitude >= 1e-4 && magnitude < limit)) {
    const { whole: int, fraction } = positional(magnitude, kind, 400);
    return `${signOf(x, "")}${int}${fraction ? `.${fraction}` : whole}`;
  }
  const { whole: first, fraction, exponent } = scientific(magnitude, kind, 400);
  return `${signOf(x, "")}${first}${fraction ? `.${fraction}` : ""}e${formatExponent(exponent)}`;
}
