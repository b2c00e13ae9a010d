/** @file Values in another dtype, and what is lost by it. Start at `castPiece`. */

import {
  allocate,
  DTYPES,
  type DType,
  type Element,
  getElement,
  isComplex,
  isFloat,
  isFloat8,
  isInteger,
  setElement,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { narrow, numbersOf } from "./numbers.ts";

/** Elements that a cast does not carry. */
export interface CastLoss {
  /** finite numbers that the dtype is too narrow for: they become infinite, or the nearest integer there is */
  readonly overflow: number;
  /** numbers that become 0 */
  readonly flushed: number;
  /** integers that are not exact any more; fractions, NaN and infinities that become integers */
  readonly inexact: number;
}

/** The counts while values pass. */
export interface LossCount {
  overflow: number;
  flushed: number;
  inexact: number;
}

/** @throws VarscopeError INVALID_ARGUMENT - no number in one of the dtypes; UNIMPLEMENTED - float8 is not written */
export function needCastable(from: DType, to: DType, at: string): void {
  const isNumber = (d: DType): boolean => isFloat(d) || isInteger(d) || d === "bool" || isComplex(d);
  if (isFloat8(to)) {
    throw new VarscopeError("UNIMPLEMENTED", `a cast to ${to} is not there`, {
      at,
      hint: "cast to bfloat16 or float16",
    });
  }
  if (!isNumber(from) || !isNumber(to) || (isComplex(from) && !isComplex(to))) {
    throw new VarscopeError("INVALID_ARGUMENT", `${from} cannot be cast to ${to}`, {
      at,
      hint: "leave the variable out of the pattern",
    });
  }
}

/** Lowest and highest integer of a dtype. */
function rangeOf(dtype: DType): readonly [bigint, bigint] {
  const name = /(\d+)$/.exec(dtype)?.[1];
  const bits = BigInt(dtype === "bool" ? 1 : name!);
  return DTYPES[dtype].kind === "int"
    ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n]
    : [0n, (1n << bits) - 1n];
}

/** The piece in another dtype; adds to `loss`. Rounds to nearest even; integers saturate, NaN becomes 0 there. */
export function castPiece(t: Tensor, dtype: DType, loss: LossCount): Tensor {
  if (t.dtype === dtype) return t;
  const count = t.shape[0]!;
  const out = { dtype, shape: t.shape, data: allocate(dtype, count) };
  const numbers = isFloat(dtype) ? numbersOf(t) : null;
  if (numbers !== null) {
    fillFloats(numbers, out);
    countFloatLoss(numbers, out, isInteger(t.dtype), loss);
  } else if (isFloat(dtype)) {
    for (let i = 0; i < count; i++) {
      setElement(out, i, getElement(t, i));
      countOne(getElement(t, i), getElement(out, i) as number, loss);
    }
  } else if (isComplex(dtype)) {
    for (let i = 0; i < count; i++) setElement(out, i, getElement(t, i));
  } else {
    const range = rangeOf(dtype);
    for (let i = 0; i < count; i++) setElement(out, i, toInteger(getElement(t, i), range, dtype, loss));
  }
  return out;
}

function fillFloats(from: ArrayLike<number>, out: Tensor): void {
  const isHalf = out.dtype === "float16" || out.dtype === "bfloat16";
  if (!isHalf) (out.data as Float64Array).set(from);
  else if (from instanceof Float32Array) narrow(from, out.dtype as "float16", out.data as Uint16Array);
  else for (let i = 0; i < from.length; i++) setElement(out, i, from[i]!);
}

function countFloatLoss(from: ArrayLike<number>, out: Tensor, exact: boolean, loss: LossCount): void {
  // The bits tell zero and infinity without decoding: only suspicious elements are looked at.
  const bits = out.data as Uint16Array;
  const halves = out.dtype === "float16" || out.dtype === "bfloat16";
  const infinite = out.dtype === "float16" ? 0x7c00 : 0x7f80;
  for (let i = 0; i < from.length; i++) {
    const x = from[i]!;
    const y = bits[i]!;
    const magnitude = halves ? y & 0x7fff : Math.abs(y);
    if (magnitude === 0) loss.flushed += x !== 0 ? 1 : 0;
    else if (halves ? magnitude === infinite : magnitude === Number.POSITIVE_INFINITY)
      loss.overflow += Number.isFinite(x) ? 1 : 0;
    if (exact && (getElement(out, i) as number) !== x) loss.inexact++;
  }
}

function countOne(x: Element, y: number, loss: LossCount): void {
  const number = Number(x);
  if (number !== 0 && y === 0) loss.flushed++;
  else if (Number.isFinite(number) && !Number.isFinite(y)) loss.overflow++;
  else if (typeof x === "bigint" && BigInt(y) !== x) loss.inexact++;
}

function toInteger(
  x: Element,
  [low, high]: readonly [bigint, bigint],
  dtype: DType,
  loss: LossCount,
): Element {
  if (typeof x === "number" && !Number.isInteger(x)) loss.inexact++;
  const whole =
    typeof x === "bigint"
      ? x
      : Number.isFinite(Number(x))
        ? BigInt(Math.trunc(Number(x)))
        : x === Number.POSITIVE_INFINITY
          ? high
          : x === Number.NEGATIVE_INFINITY
            ? low
            : 0n;
  const held = whole < low ? low : whole > high ? high : whole;
  if (held !== whole) loss.overflow++;
  return dtype === "int64" || dtype === "uint64" ? held : Number(held);
}
