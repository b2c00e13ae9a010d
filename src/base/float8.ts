/** @file The 8-bit floats: bits to number. Start at `float8ToFloat`. */

import type { DType } from "./dtype.ts";

interface Float8 {
  readonly fractionBits: number;
  readonly bias: number;
  /** whether the greatest exponent holds infinity and NaN, as IEEE's; else only some patterns are NaN */
  readonly ieee: boolean;
  /** bits (without the sign, unless negative zero) that are NaN, where not `ieee` */
  readonly nan: number;
}

/** @see github.com/jax-ml/ml_dtypes README, "Specifications of implemented floating point formats" */
const FORMATS: Partial<Record<DType, Float8>> = {
  float8_e5m2: { fractionBits: 2, bias: 15, ieee: true, nan: -1 },
  float8_e4m3fn: { fractionBits: 3, bias: 7, ieee: false, nan: 0x7f },
  float8_e4m3fnuz: { fractionBits: 3, bias: 8, ieee: false, nan: 0x80 },
  float8_e4m3b11fnuz: { fractionBits: 3, bias: 11, ieee: false, nan: 0x80 },
  float8_e5m2fnuz: { fractionBits: 2, bias: 16, ieee: false, nan: 0x80 },
};

/** Whether `dtype` is one of the 8-bit floats. */
export const isFloat8 = (dtype: DType): boolean => dtype in FORMATS;

/** Number of the 8 bits of a float8 dtype. */
export function float8ToFloat(dtype: DType, bits: number): number {
  const { fractionBits, bias, ieee, nan } = FORMATS[dtype]!;
  if (bits === nan || (nan === 0x7f && (bits & 0x7f) === nan)) return Number.NaN;
  const sign = bits & 0x80 ? -1 : 1;
  const steps = 1 << fractionBits;
  const exponent = (bits & 0x7f) >> fractionBits;
  const fraction = bits & (steps - 1);
  if (ieee && exponent === 0x7f >> fractionBits)
    return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * (fraction / steps) * 2 ** (1 - bias);
  return sign * (1 + fraction / steps) * 2 ** (exponent - bias);
}
