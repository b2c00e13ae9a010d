/**
 * @file Fourier transforms of the innermost one, two or three dims. ONNX's DFT has one axis and float inputs laid out as pairs, so all of it
 * runs on the host. Start at `complexTransform`.
 *
 * @see TensorFlow core/ops/spectral_ops.cc; core/kernels/fft_ops.cc; python/ops/signal/fft_ops.py
 */

import {
  allocate,
  type DType,
  formatShape,
  fromData,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Operation,
  type Output,
  type Spec,
} from "../../graph/index.ts";
import { transformAxis } from "../kernels/fft.ts";
import { apply, mul, truediv } from "../operators.ts";
import * as pieces from "../pieces.ts";
import { innerSize, inverseGradient, realOf, transformGradient } from "./real-spectral.ts";

const noDft = absent("ONNX's DFT has other layouts and one axis");
const Tcomplex = attr.typeOr("complex64", "complex64", "complex128");
const Treal = attr.typeOr("float32", "float32", "float64");

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

function checkRank(shape: Shape, rank: number): void {
  if (shape.length < rank) throw invalid(`Shape must be at least rank ${rank} but is rank ${shape.length}`);
}

/** A transform of complex numbers and its inverse: FFT and IFFT, FFT2D and IFFT2D, ... */
function complexTransform(type: string, other: string, rank: number, inverse: boolean) {
  return defineOp(type, {
    inputs: { input: "Tcomplex" },
    outputs: { output: "Tcomplex" },
    attrs: { Tcomplex },
    infer: ({ input }) => {
      if (input.shape !== null) checkRank(input.shape, rank);
      return [{ shape: input.shape }];
    },
    grad: (g, _, [dy]) => {
      const size = innerSize(dy!, rank);
      if (!inverse) {
        const factor = pieces.cast(size, dy!.dtype);
        return [mul(apply(other, dy!), factor)];
      }
      const share = truediv(1, pieces.cast(size, realOf(dy!.dtype)));
      const factor = pieces.cast(share, dy!.dtype);
      return [mul(g.add(other, [dy!]), factor)];
    },
    lower: noDft,
    host: ({ input }) => {
      const data = Float64Array.from(input.data as Float64Array);
      for (let axis = input.shape.length - rank; axis < input.shape.length; axis++)
        transformAxis(data, input.shape, axis, inverse);
      return [fromData(input.dtype, input.shape, stored(data, input.dtype))];
    },
  });
}

/** Numbers in the array type of a dtype. */
function stored(data: Float64Array, dtype: DType): Float64Array {
  const out = allocate(dtype, dtype.startsWith("complex") ? data.length / 2 : data.length) as Float64Array;
  out.set(data);
  return out;
}

/** Over the last dim. @see TensorFlow core/ops/spectral_ops.cc "FFT" */
export const FFT = complexTransform("FFT", "IFFT", 1, false);
/** @see TensorFlow core/ops/spectral_ops.cc "IFFT" */
export const IFFT = complexTransform("IFFT", "FFT", 1, true);
/** Over the last two dims. @see TensorFlow core/ops/spectral_ops.cc "FFT2D" */
export const FFT2D = complexTransform("FFT2D", "IFFT2D", 2, false);
/** @see TensorFlow core/ops/spectral_ops.cc "IFFT2D" */
export const IFFT2D = complexTransform("IFFT2D", "FFT2D", 2, true);
/** Over the last three dims. @see TensorFlow core/ops/spectral_ops.cc "FFT3D" */
export const FFT3D = complexTransform("FFT3D", "IFFT3D", 3, false);
/** @see TensorFlow core/ops/spectral_ops.cc "IFFT3D" */
export const IFFT3D = complexTransform("IFFT3D", "FFT3D", 3, true);

/** Dims of what a real transform makes; those of unknown lengths are null. */
function realShape(input: Spec, length: Spec, rank: number, forward: boolean): { shape: Shape | null }[] {
  if (length.shape !== null) {
    if (length.shape.length !== 1) throw invalid(`Shape must be rank 1 but is rank ${length.shape.length}`);
    const given = length.shape[0] ?? rank;
    if (given !== rank) throw invalid(`Dimension must be ${rank} but is ${given}`);
  }
  if (input.shape === null) return [{ shape: null }];
  checkRank(input.shape, rank);
  const lengths = length.value === null ? null : Array.from(length.value.data as Int32Array, Number);
  const inner = Array.from({ length: rank }, (_, i) => {
    const n = lengths?.[i] ?? null;
    return n !== null && n > 0 && forward && i === rank - 1 ? Math.floor(n / 2) + 1 : n;
  });
  return [{ shape: [...input.shape.slice(0, -rank), ...inner] }];
}

/** Lengths of the transform, checked. @throws VarscopeError INVALID_ARGUMENT - in the words of TensorFlow's kernel */
function lengthsOf(input: Tensor, length: Tensor, rank: number, forward: boolean): number[] {
  if (input.shape.length < rank)
    throw invalid(`Input must have rank of at least ${rank} but got: ${formatShape(input.shape)}`);
  if (length.shape.length !== 1 || length.shape[0] !== rank)
    throw invalid(`fft_length must have shape [${rank}]`);
  return Array.from(length.data as Int32Array, (n, i) => {
    if (n < 0) throw invalid(`fft_length[${i}] must >= 0, but got: ${n}`);
    const axis = input.shape.length - rank + i;
    const dim = input.shape[axis]!;
    const least = !forward && i === rank - 1 ? Math.floor(n / 2) + 1 : n;
    if (dim !== 0 && dim < least)
      throw invalid(`Input dimension ${axis} must have length of at least ${least} but got: ${dim}`);
    return n;
  });
}

/** Copies the first elements of each dim; `pair` takes element `from` of `shape` to element `to` of `kept`. */
function corner(
  shape: readonly number[],
  kept: readonly number[],
  pair: (from: number, to: number) => void,
): void {
  const columns = kept[kept.length - 1]!;
  const at = kept.map(() => 0);
  for (let to = 0; to < sizeOf(kept); to += columns) {
    const from = at.reduce((sum, i, axis) => sum * shape[axis]! + i, 0);
    for (let i = 0; i < columns; i++) pair(from + i, to + i);
    for (let axis = at.length - 2; axis >= 0; axis--) {
      at[axis]! += 1;
      if (at[axis]! < kept[axis]!) break;
      at[axis] = 0;
    }
  }
}

/** Real numbers to the half of their spectrum that says all. */
function hostForward(input: Tensor, length: Tensor, rank: number, dtype: DType): Tensor {
  const lengths = lengthsOf(input, length, rank, true);
  const outer = input.shape.slice(0, -rank);
  const whole = [...outer, ...lengths];
  const last = lengths[rank - 1]!;
  const shape = [...outer, ...lengths.slice(0, -1), last === 0 ? 0 : Math.floor(last / 2) + 1];
  if (sizeOf(input.shape) === 0)
    return fromData(dtype, shape, allocate(dtype, sizeOf(shape)) as Float64Array);
  const source = input.data as Float64Array;
  const data = new Float64Array(2 * sizeOf(whole));
  corner(input.shape, whole, (from, to) => {
    data[2 * to] = source[from]!;
  });
  for (let axis = outer.length; axis < whole.length; axis++) transformAxis(data, whole, axis, false);
  const out = allocate(dtype, sizeOf(shape)) as Float64Array;
  corner(whole, shape, (from, to) => {
    out[2 * to] = data[2 * from]!;
    out[2 * to + 1] = data[2 * from + 1]!;
  });
  return fromData(dtype, shape, out);
}

/** The half of a spectrum to real numbers; the half that is not there is the conjugate of the one that is. */
function hostInverse(input: Tensor, length: Tensor, rank: number, dtype: DType): Tensor {
  const lengths = lengthsOf(input, length, rank, false);
  const outer = input.shape.slice(0, -rank);
  const shape = [...outer, ...lengths];
  const out = allocate(dtype, sizeOf(shape)) as Float64Array;
  if (sizeOf(input.shape) === 0) return fromData(dtype, shape, out);
  const last = lengths[rank - 1]!;
  const half = [...shape.slice(0, -1), Math.floor(last / 2) + 1];
  const source = input.data as Float64Array;
  const data = new Float64Array(2 * sizeOf(half));
  corner(input.shape, half, (from, to) => {
    data[2 * to] = source[2 * from]!;
    data[2 * to + 1] = source[2 * from + 1]!;
  });
  for (let axis = outer.length; axis < half.length - 1; axis++) transformAxis(data, half, axis, true);
  inverseLines(data, half[half.length - 1]!, last, out);
  return fromData(dtype, shape, out);
}

/** Lines of n/2 + 1 pairs to lines of n real numbers. */
function inverseLines(data: Float64Array, pairs: number, n: number, out: Float64Array): void {
  const line = new Float64Array(2 * n);
  for (let row = 0; row * n < out.length; row++) {
    for (let k = 0; k < n; k++) {
      const there = 2 * k <= n;
      const from = 2 * (row * pairs + (there ? k : n - k));
      const alone = k === 0 || 2 * k === n; // its own conjugate: what is imaginary is left out
      line[2 * k] = data[from]!;
      line[2 * k + 1] = alone ? 0 : there ? data[from + 1]! : -data[from + 1]!;
    }
    transformAxis(line, [n], 0, true);
    for (let k = 0; k < n; k++) out[row * n + k] = line[2 * k]!;
  }
}

type RealGrad = (g: Graph, op: Operation, dy: Output) => Output;
const noGrad = absent("TensorFlow registers none");

function realTransform(type: string, rank: number, grad: RealGrad | null) {
  return defineOp(type, {
    inputs: { input: "Treal", fft_length: "int32" },
    outputs: { output: "Tcomplex" },
    attrs: { Treal, Tcomplex },
    infer: ({ input, fft_length }) => realShape(input, fft_length, rank, true),
    grad: grad === null ? noGrad : (g, op, [dy]) => [grad(g, op, dy!), null],
    lower: noDft,
    host: ({ input, fft_length }, attrs) => [hostForward(input, fft_length, rank, attrs.Tcomplex)],
  });
}

function realInverse(type: string, rank: number, grad: RealGrad | null) {
  return defineOp(type, {
    inputs: { input: "Tcomplex", fft_length: "int32" },
    outputs: { output: "Treal" },
    attrs: { Treal, Tcomplex },
    infer: ({ input, fft_length }) => realShape(input, fft_length, rank, false),
    grad: grad === null ? noGrad : (g, op, [dy]) => [grad(g, op, dy!), null],
    lower: noDft,
    host: ({ input, fft_length }, attrs) => [hostInverse(input, fft_length, rank, attrs.Treal)],
  });
}

/** The half of the spectrum of real numbers that says all. @see TensorFlow core/ops/spectral_ops.cc "RFFT" */
export const RFFT = realTransform("RFFT", 1, transformGradient(1));
/** @see TensorFlow core/ops/spectral_ops.cc "IRFFT" */
export const IRFFT = realInverse("IRFFT", 1, inverseGradient(1));
/** @see TensorFlow core/ops/spectral_ops.cc "RFFT2D" */
export const RFFT2D = realTransform("RFFT2D", 2, transformGradient(2));
/** @see TensorFlow core/ops/spectral_ops.cc "IRFFT2D" */
export const IRFFT2D = realInverse("IRFFT2D", 2, inverseGradient(2));
/** @see TensorFlow core/ops/spectral_ops.cc "RFFT3D" */
export const RFFT3D = realTransform("RFFT3D", 3, null);
/** @see TensorFlow core/ops/spectral_ops.cc "IRFFT3D" */
export const IRFFT3D = realInverse("IRFFT3D", 3, null);

/** Fourier transform over the last dim of complex numbers. Named "FFT". */
export const fft = (x: Output, name = "FFT"): Output => x.graph.add(FFT, [x], { name });
/** The inverse of `fft`. Named "IFFT". */
export const ifft = (x: Output, name = "IFFT"): Output => x.graph.add(IFFT, [x], { name });
/** Fourier transform over the last two dims of complex numbers. Named "FFT2D". */
export const fft2d = (x: Output, name = "FFT2D"): Output => x.graph.add(FFT2D, [x], { name });
/** The inverse of `fft2d`. Named "IFFT2D". */
export const ifft2d = (x: Output, name = "IFFT2D"): Output => x.graph.add(IFFT2D, [x], { name });
/** Fourier transform over the last three dims of complex numbers. Named "FFT3D". */
export const fft3d = (x: Output, name = "FFT3D"): Output => x.graph.add(FFT3D, [x], { name });
/** The inverse of `fft3d`. Named "IFFT3D". */
export const ifft3d = (x: Output, name = "IFFT3D"): Output => x.graph.add(IFFT3D, [x], { name });
