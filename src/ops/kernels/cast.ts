/**
 * @file Cast between dtypes as TensorFlow's CPU kernels do on x86-64: floats truncate, what does not fit an integer becomes
 * its lowest value (then wraps to the narrow type), complex loses its imaginary part. Start at `castTensor`.
 *
 * @see TensorFlow core/kernels/cast_op.h
 */

import {
  DTYPES,
  type DType,
  type Element,
  getElement,
  isFloat,
  setElement,
  sizeOf,
  type Tensor,
  zeros,
} from "../../base/index.ts";

/** `t` as `dtype`. @param truncate - to a narrower float: drop bits rather than round */
export function castTensor(t: Tensor, dtype: DType, truncate = false): Tensor {
  if (t.dtype === dtype) return t;
  const out = zeros(dtype, t.shape);
  const convert = converter(t.dtype, dtype, truncate);
  const size = sizeOf(t.shape);
  for (let i = 0; i < size; i++) setElement(out, i, convert(getElement(t, i)));
  return out;
}

function converter(from: DType, to: DType, truncate: boolean): (x: Element) => Element {
  const kind = DTYPES[to].kind;
  if (kind === "bool") return isTrue;
  if (kind === "complex")
    return (x) => (Array.isArray(x) ? (x as Element) : [floatOf(x, to === "complex64"), 0]);
  if (kind === "float") {
    // Eigen converts everything but float32 to half and bfloat16 through float32.
    const toNumber = (x: Element) => floatOf(real(x), to !== "float64");
    return truncate && isFloat(from) ? (x) => dropBits(toNumberOf(x), from, to) : toNumber;
  }
  const fromFloat = isFloat(from) || DTYPES[from].kind === "complex";
  if (DTYPES[to].bytes === 8)
    return fromFloat
      ? (x) => truncate64(Number(real(x)))
      : (x) => BigInt(real(x) as number | bigint | boolean);
  if (to === "uint32" && fromFloat) return (x) => Number(BigInt.asUintN(32, truncate64(Number(real(x)))));
  if (fromFloat) return (x) => truncate32(Number(real(x)));
  return (x) => {
    const v = real(x);
    return typeof v === "bigint" ? Number(BigInt.asIntN(32, v)) : Number(v);
  };
}

const real = (x: Element): Element => (Array.isArray(x) ? (x[0] as number) : x);
const toNumberOf = (x: Element): number => Number(real(x));
const isTrue = (x: Element): boolean =>
  Array.isArray(x) ? x[0] !== 0 || x[1] !== 0 : typeof x === "bigint" ? x !== 0n : Number(x) !== 0;

// cvttss2si gives the "integer indefinite" value, the lowest integer, for what does not fit.
const truncate32 = (x: number): number => (x > -2147483649 && x < 2147483648 ? Math.trunc(x) : -2147483648);
const truncate64 = (x: number): bigint =>
  x >= -(2 ** 63) && x < 2 ** 63 ? BigInt(Math.trunc(x)) : -9223372036854775808n;

function floatOf(x: Element, single: boolean): number {
  if (typeof x !== "bigint") return single ? Math.fround(Number(x)) : Number(x);
  return single ? Math.fround(oddRounded(x)) : Number(x);
}

/** A double that rounds to the float32 that `x` itself rounds to: the bits below are folded into the last one kept. */
function oddRounded(x: bigint): number {
  const high = x >> 24n;
  return Number.isSafeInteger(Number(x)) ? Number(x) : Number(high << 24n === x ? x : (high | 1n) << 24n);
}

const F64 = new DataView(new ArrayBuffer(8));
/** Mantissa bits without the hidden one. */
const MANTISSA: Partial<Record<DType, number>> = { float64: 52, float32: 23, float16: 10, bfloat16: 7 };

/** `x` without the mantissa bits that `to` cannot hold. @see TensorFlow core/kernels/cast_op.h LSBZeroSetter */
function dropBits(x: number, from: DType, to: DType): number {
  if (MANTISSA[from]! <= MANTISSA[to]! || Number.isNaN(x)) return x;
  F64.setFloat64(0, x);
  const lost = BigInt(52 - MANTISSA[to]!);
  F64.setBigUint64(0, (F64.getBigUint64(0) >> lost) << lost);
  return F64.getFloat64(0);
}
