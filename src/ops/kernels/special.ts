/**
 * @file Special functions in double precision, by series and asymptotic expansions rather than fitted coefficients where those will do.
 * Poles and signs as C's libm and TensorFlow have them.
 */

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI);

/** 2/√π ∫₀ˣ e^(-t²) dt. Error about 1e-16. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 2.5)) return Number.isNaN(x) ? x : Math.sign(x) * (1 - erfcTail(a));
  // All terms are positive: 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_ROOT_PI * Math.exp(-x * x) * sum;
}

/** 1 - erf x, exact in the tail. */
export const erfc = (x: number): number => (x >= 1 ? erfcTail(x) : 1 - erf(x));

/** erfc by its continued fraction, for x >= 1. @see Abramowitz and Stegun 7.1.14 */
function erfcTail(x: number): number {
  if (x > 27) return 0; // below the smallest double
  const terms = Math.ceil(12 + 180 / (x * x));
  let f = 0;
  for (let k = terms; k > 0; k--) f = k / 2 / (x + f);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + f);
}

const poly = (x: number, coefficients: readonly number[]): number =>
  coefficients.reduceRight((sum, c) => sum * x + c, 0);

// Wichura 1988, algorithm AS 241 "PPND16" (Applied Statistics 37, 477-484), relative error 1e-16
const CENTRAL = {
  a: [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987,
    67265.7709270087, 33430.57558358813, 2509.0809287301227,
  ],
  b: [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271,
    28729.085735721943, 5226.495278852546,
  ],
};
const MIDDLE = {
  a: [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
    0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  b: [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
    0.0005475938084995345, 1.0507500716444169e-9,
  ],
};
const TAIL = {
  a: [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
    0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
  ],
  b: [
    1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
    1.8463183175100548e-5, 1.421511758316446e-7, 2.0442631033899397e-15,
  ],
};

/** Normal quantile of 1/2 + q, where `tail` is the smaller of the two probabilities. */
function quantile(q: number, tail: number): number {
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * poly(r, CENTRAL.a)) / poly(r, CENTRAL.b);
  }
  const r = Math.sqrt(-Math.log(tail));
  const [shift, { a, b }] = r <= 5 ? [1.6, MIDDLE] : [5, TAIL];
  return (Math.sign(q) * poly(r - shift, a)) / poly(r - shift, b);
}

/** x with erf(erfinv x) = x; ±∞ at ±1, NaN beyond. */
export function erfinv(x: number): number {
  if (Math.abs(x) === 1) return x * Number.POSITIVE_INFINITY;
  return Math.abs(x) < 1 ? quantile(x / 2, (1 - Math.abs(x)) / 2) / Math.SQRT2 : Number.NaN;
}

/** Normal quantile of p; ±∞ at 0 and 1. */
export function ndtri(p: number): number {
  if (p === 0) return Number.NEGATIVE_INFINITY;
  if (p === 1) return Number.POSITIVE_INFINITY;
  return p > 0 && p < 1 ? quantile(p - 0.5, Math.min(p, 1 - p)) : Number.NaN;
}

/** B₂, B₄, ... @see Abramowitz and Stegun table 23.2 */
const BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510];
/** From here on eight terms of the asymptotic series give 1e-16. */
const FAR = 12;

/** ln |Γ(x)|; ∞ at 0 and the negative integers. */
export function lgamma(x: number): number {
  if (Number.isNaN(x)) return x;
  if (!Number.isFinite(x) || (x <= 0 && Number.isInteger(x))) return Number.POSITIVE_INFINITY;
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * (x % 2)))) - lgamma(1 - x);
  if (x === 1 || x === 2) return 0;
  let product = 1;
  let z = x;
  while (z < FAR) product *= z++;
  const series = BERNOULLI.reduceRight((sum, b, i) => sum / (z * z) + b / ((2 * i + 2) * (2 * i + 1)), 0) / z;
  return (z - 0.5) * Math.log(z) - z + Math.log(2 * Math.PI) / 2 + series - Math.log(product);
}

/** Γ'(x) / Γ(x); NaN at 0 and the negative integers. */
export function digamma(x: number): number {
  if (Number.isNaN(x) || x === Number.POSITIVE_INFINITY) return x;
  if (x <= 0) {
    if (Number.isInteger(x) || x === Number.NEGATIVE_INFINITY) return Number.NaN;
    return digamma(1 - x) - Math.PI / Math.tan(Math.PI * (x % 1));
  }
  let shift = 0;
  let z = x;
  while (z < FAR) shift += 1 / z++;
  const series = BERNOULLI.reduceRight((sum, b, i) => sum / (z * z) + b / (2 * i + 2), 0) / (z * z);
  return Math.log(z) - 1 / (2 * z) - series - shift;
}

/** Hurwitz zeta: Σ (q + n)^(-x), by Euler and Maclaurin. NaN for x < 1, and where the sum has no real value. */
export function zeta(x: number, q: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  if (!(x > 1) || Number.isNaN(q)) return Number.NaN;
  if (q <= 0) {
    if (Number.isInteger(q) || q === Number.NEGATIVE_INFINITY)
      return Number.isInteger(x) && x % 2 !== 0 ? Number.NaN : Number.POSITIVE_INFINITY;
    // Below, the sum has more terms than anybody waits for.
    if (!Number.isInteger(x) || q < -1e6) return Number.NaN;
  }
  let sum = 0;
  let z = q;
  for (; z < FAR; z++) sum += z === 1 ? 1 : z ** -x;
  if (x > 1e3 || z === Number.POSITIVE_INFINITY) return sum; // the rest is below the smallest double
  sum += z ** (1 - x) / (x - 1) + z ** -x / 2;
  let factor = x * z ** (-x - 1);
  for (let i = 0; i < BERNOULLI.length; i++) {
    const k = 2 * i + 2;
    sum += (BERNOULLI[i]! * factor) / factorial(k);
    factor *= ((x + k - 1) * (x + k)) / (z * z);
  }
  return sum;
}

const factorial = (n: number): number => Math.exp(lgamma(n + 1));

/** n-th derivative of digamma: (-1)^(n+1) n! ζ(n + 1, x). NaN where n is not a natural number. */
export function polygamma(n: number, x: number): number {
  if (n === 0) return digamma(x);
  if (!Number.isInteger(n) || n < 0) return Number.NaN;
  return (n % 2 === 0 ? -1 : 1) * factorial(n) * zeta(n + 1, x);
}
