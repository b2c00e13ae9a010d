/**
 * @file Natural logarithm, sine and cosine of float32 to the last bit as glibc has them on x86-64, since TensorFlow's normal numbers
 * are made with those: Math.log and its like, rounded to float32, differ in the last bit here and there.
 *
 * The method is the published one of Arm's Optimized Routines, which glibc took over in 2.27 and 2.28: a short polynomial in double,
 * after reduction by a table (logarithm) or by multiples of π/2 (sine, cosine). The coefficients are theirs; no others give these bits.
 *
 * @see https://github.com/ARM-software/optimized-routines math/logf.c, math/sincosf.h
 */

const f32 = new Float32Array(1);
const i32 = new Int32Array(f32.buffer);

// biome-ignore format: a table of numbers
/** 1/c for c near the middle of each sixteenth of [0.7, 1.4), chosen so that ln c is nearly exact. */
const INVERSE = Float64Array.of(
  1.398907162146528, 1.3403141896637998, 1.286432210124115, 1.2367150214269895,
  1.1906977166711752, 1.1479821020556429, 1.1082251448272158, 1.0711297413057381,
  1.036437278977283, 1.0, 0.9492859795739057, 0.8951049428609004,
  0.8476821620351103, 0.8050314851692001, 0.7664671008843108, 0.731428603316328,
);

// biome-ignore format: a table of numbers
/** ln c */
const LOG_C = Float64Array.of(
  -0.33569133332882284, -0.2929040563774074, -0.2518726580937369, -0.21245868807117255,
  -0.17453945183745634, -0.1380057072319758, -0.10275976698545139, -0.06871392447020525,
  -0.0357891387398228, 0, 0.05204517742929496, 0.11081431298787942,
  0.1652495223695143, 0.21687389031699977, 0.2659635028121397, 0.3127556664073557,
);

/** Bits of 0.69921875, where the table begins. */
const TABLE_START = 0x3f330000;

/** ln x of a normal positive float32, rounded to float32. */
export function logf(x: number): number {
  f32[0] = x;
  const bits = i32[0]!;
  if (bits === 0x3f800000) return 0;
  const offset = bits - TABLE_START;
  const entry = (offset >> 19) & 15;
  const exponent = offset >> 23;
  i32[0] = bits - (offset & 0xff800000);
  const r = f32[0]! * INVERSE[entry]! - 1;
  const base = LOG_C[entry]! + exponent * Math.LN2;
  const r2 = r * r;
  const head = -0.25089342214237154 * r2 + (0.333456765744066 * r - 0.4999997485802103);
  return Math.fround(head * r2 + (base + r));
}

/** 2^24 · 2/π: so that the quadrant of a product stands above bit 24. */
const QUADRANTS = 10680707.430881744;

/** Sine and cosine of a float32 in [0, 120), each rounded to float32, written to out[0] and out[1]. */
export function sincosf(y: number, out: Float32Array | Float64Array): void {
  if (y < 0.75) {
    if (y < 2 ** -12) {
      out[0] = y;
      out[1] = 1;
      return;
    }
    out[0] = sine(y, y * y);
    out[1] = cosine(y * y);
    return;
  }
  const n = (((y * QUADRANTS) | 0) + 0x800000) >> 24;
  const x = y - n * (Math.PI / 2);
  const s = sine((n & 3) === 1 || (n & 3) === 2 ? -x : x, x * x);
  const c = (n & 2) === 0 ? cosine(x * x) : -cosine(x * x);
  out[n & 1] = s;
  out[1 - (n & 1)] = c;
}

function sine(x: number, x2: number): number {
  const x3 = x2 * x;
  const tail = 0.008332178146138854 + x2 * -0.00019517298981385725;
  return Math.fround(x + x3 * -0.16666654943701084 + x3 * x2 * tail);
}

function cosine(x2: number): number {
  const x4 = x2 * x2;
  const tail = -0.001388676379437604 + x2 * 2.4390450703564542e-5;
  const head = 1 + x2 * -0.49999999725108224;
  return Math.fround(head + x4 * 0.041666623324344516 + x4 * x2 * tail);
}
