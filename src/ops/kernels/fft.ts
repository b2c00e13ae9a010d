/**
 * @file Discrete Fourier transforms of any length in float64: powers of two by butterflies in place, other lengths as a convolution of
 * such a length (Bluestein), whole tensors axis by axis. Start at `transformAxis`.
 */

/** e^(-πi·k/n) as pairs, for k below `count`. */
function roots(count: number, n: number): Float64Array {
  const out = new Float64Array(2 * count);
  for (let k = 0; k < count; k++) {
    const angle = (-Math.PI * k) / n;
    out[2 * k] = Math.cos(angle);
    out[2 * k + 1] = Math.sin(angle);
  }
  return out;
}

/** Exchanges elements whose numbers mirror each other bit by bit. */
function reorder(x: Float64Array, n: number): void {
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i >= j) continue;
    for (const part of [0, 1]) {
      const held = x[2 * i + part]!;
      x[2 * i + part] = x[2 * j + part]!;
      x[2 * j + part] = held;
    }
  }
}

/** Transforms n complex numbers, a power of two, in place. @param w - e^(-2πi·k/n) for k below n/2 */
function butterflies(x: Float64Array, n: number, w: Float64Array): void {
  reorder(x, n);
  for (let half = 1; half < n; half *= 2) {
    const stride = n / (2 * half);
    for (let start = 0; start < n; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const [re, im] = [w[2 * k * stride]!, w[2 * k * stride + 1]!];
        const p = 2 * (start + k);
        const q = p + 2 * half;
        const tr = x[q]! * re - x[q + 1]! * im;
        const ti = x[q]! * im + x[q + 1]! * re;
        x[q] = x[p]! - tr;
        x[q + 1] = x[p + 1]! - ti;
        x[p]! += tr;
        x[p + 1]! += ti;
      }
    }
  }
}

/** out[k] = a[k]·b[k], conjugated where asked; `out` may be `a`. */
function multiply(
  a: Float64Array,
  b: Float64Array,
  count: number,
  conjugate: boolean,
  out: Float64Array,
): void {
  for (let i = 0; i < 2 * count; i += 2) {
    const re = a[i]! * b[i]! - a[i + 1]! * b[i + 1]!;
    const im = a[i]! * b[i + 1]! + a[i + 1]! * b[i]!;
    out[i] = re;
    out[i + 1] = conjugate ? -im : im;
  }
}

type Transform = (x: Float64Array) => void;

/** A function that transforms n complex numbers in place: Σ x[j]·e^(-2πi·jk/n). */
function transformOf(n: number): Transform {
  if (n <= 1) return () => {};
  if ((n & (n - 1)) === 0) {
    const w = roots(n / 2, n / 2);
    return (x) => butterflies(x, n, w);
  }
  // jk = (j² + k² - (k-j)²) / 2: a product with a chirp, a convolution with its conjugate, a product again
  const chirp = new Float64Array(2 * n);
  const turn = roots(2 * n, n);
  for (let k = 0, square = 0; k < n; square = (square + 2 * k + 1) % (2 * n), k++) {
    chirp[2 * k] = turn[2 * square]!;
    chirp[2 * k + 1] = turn[2 * square + 1]!;
  }
  const size = 2 ** Math.ceil(Math.log2(2 * n - 1));
  const inner = transformOf(size);
  const filter = new Float64Array(2 * size);
  for (let k = 0; k < n; k++) {
    for (const at of k === 0 ? [0] : [k, size - k]) {
      filter[2 * at] = chirp[2 * k]! / size;
      filter[2 * at + 1] = -chirp[2 * k + 1]! / size;
    }
  }
  inner(filter);
  const wide = new Float64Array(2 * size);
  return (x) => {
    wide.fill(0);
    multiply(x, chirp, n, false, wide);
    inner(wide);
    multiply(wide, filter, size, true, wide); // the transform of the conjugate, conjugated, is the inverse
    inner(wide);
    for (let i = 1; i < 2 * n; i += 2) wide[i] = -wide[i]!;
    multiply(wide, chirp, n, false, x);
  };
}

/**
 * Transforms a complex tensor along one axis, in place.
 *
 * @param data - pairs (re, im) in row-major order
 * @param inverse - Σ x[j]·e^(+2πi·jk/n) / n
 */
export function transformAxis(
  data: Float64Array,
  shape: readonly number[],
  axis: number,
  inverse: boolean,
): void {
  const n = shape[axis]!;
  const stride = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const transform = transformOf(n);
  const line = new Float64Array(2 * n);
  const sign = inverse ? -1 : 1;
  const scale = inverse ? 1 / n : 1;
  for (let block = 0; 2 * block < data.length; block += n * stride) {
    for (let at = block; at < block + stride; at++) {
      for (let k = 0; k < n; k++) {
        line[2 * k] = data[2 * (at + k * stride)]!;
        line[2 * k + 1] = sign * data[2 * (at + k * stride) + 1]!;
      }
      transform(line);
      for (let k = 0; k < n; k++) {
        data[2 * (at + k * stride)] = line[2 * k]! * scale;
        data[2 * (at + k * stride) + 1] = sign * line[2 * k + 1]! * scale;
      }
    }
  }
}
