/** @file float16 and bfloat16: bits to number and back, rounding to nearest even. Start at `halfToFloat`. */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** Number of IEEE binary16 bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** IEEE binary16 bits of a number, rounded once, to nearest even. */
export function floatToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const a = Math.abs(value);
  if (a >= 65520) return sign | 0x7c00;
  // One unit of the last place: 2^-24 among subnormals, else 2^(exponent - 10).
  const exponent = a < 2 ** -14 ? -14 : Math.floor(Math.log2(a));
  const adjusted = 2 ** exponent > a ? exponent - 1 : exponent;
  const unit = 2 ** (Math.max(adjusted, -14) - 10);
  const steps = roundHalfEven(a / unit);
  // steps = 1024 + fraction for a normal number; a carry into 2048 raises the exponent by itself.
  return a < 2 ** -14 ? sign | steps : sign | (((adjusted + 15) << 10) + (steps - 1024));
}

/** `x` rounded to an integer, ties to even. x must be below 2^52. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Number of bfloat16 bits: the upper half of a float32. */
export function bfloat16ToFloat(bits: number): number {
  u32[0] = bits << 16;
  return f32[0]!;
}

/** bfloat16 bits of a number, through float32, to nearest even. */
export function floatToBfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  f32[0] = value;
  const bits = u32[0]!;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
