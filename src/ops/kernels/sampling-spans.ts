/**
 * @file Resampling with a kernel function, as ScaleAndTranslate does: along one axis, result i lies at (i + 1/2 - translation) / scale of
 * the original and takes all elements within the kernel's radius. Start at `spans`.
 *
 * @see TensorFlow core/kernels/image/scale_and_translate_op.cc, sampling_kernels.h
 */

import { type Sampling, samplingOf, type Tap } from "./sampling.ts";
import { normalized } from "./sampling-weights.ts";

const f = Math.fround;
const PI = f(Math.PI);

/** A kernel: its weight at a distance, which is never negative; nothing from `radius` on. */
interface Kernel {
  readonly radius: number;
  readonly at: (x: number) => number;
}

const lanczos = (radius: number): Kernel => ({
  radius,
  at: (x) => {
    if (x > radius) return 0;
    if (x <= f(1e-3)) return 1;
    const p = f(PI * x);
    return f(f(f(radius * f(Math.sin(p))) * f(Math.sin(f(p / radius)))) / f(f(f(PI * PI) * x) * x));
  },
});

/** (((a x + b) x + c) x + d, and the same from 1 to 2. */
const cubic = (inner: readonly number[], outer: readonly number[]): Kernel => ({
  radius: 2,
  at: (x) => (x >= 2 ? 0 : (x >= 1 ? outer : inner).reduce((sum, c) => f(f(sum * x) + f(c)), 0)),
});

/** By the names that the attribute kernel_type takes. */
const KERNELS: Readonly<Record<string, Kernel>> = {
  lanczos1: lanczos(1),
  lanczos3: lanczos(3),
  lanczos5: lanczos(5),
  // sigma is a third of the radius
  gaussian: { radius: 1.5, at: (x) => (x >= 1.5 ? 0 : f(Math.exp((-x * x) / (2 * 0.5 * 0.5)))) },
  box: { radius: 1, at: (x) => (x < 0.5 ? 1 : x === 0.5 ? 0.5 : 0) },
  triangle: { radius: 1, at: (x) => (x < 1 ? f(1 - x) : 0) },
  keyscubic: cubic([1.5, -2.5, 0, 1], [-0.5, 2.5, -4, 2]),
  mitchellcubic: cubic([7 / 6, -2, 0, 8 / 9], [-7 / 18, 2, -10 / 3, 16 / 9]),
};

/** Whether an attribute kernel_type names a kernel. */
export const isKernel = (type: string): boolean => Object.hasOwn(KERNELS, type);

/** What a sampling by kernel takes. */
export interface SpanOptions {
  readonly kernel: string;
  readonly scale: number;
  readonly translation: number;
  /** widen the kernel where the image shrinks */
  readonly antialias: boolean;
}

/** Samples along one axis. A result that lies outside the original is 0. */
export function spans(inputs: number, outputs: number, options: SpanOptions): Sampling {
  const { radius, at } = KERNELS[options.kernel]!;
  const inverse = f(1 / options.scale);
  const shift = f(-inverse * options.translation);
  const width = options.antialias ? Math.max(inverse, 1) : 1;
  const narrow = f(1 / width);
  const reach = f(radius * width);
  const most = Math.min(2 * Math.ceil(reach) + 1, inputs);
  return samplingOf(inputs, outputs, most, (x) => {
    const sample = f(f(f(x + 0.5) * inverse) + shift);
    if (sample < 0 || sample > inputs) return [];
    const inside = (i: number): number => Math.min(Math.max(i, 0), inputs - 1);
    const start = inside(Math.ceil(f(f(sample - reach) - 0.5)));
    const end = inside(Math.floor(f(f(sample + reach) - 0.5)));
    const taps = Array.from({ length: end - start + 1 }, (_, k): Tap => {
      const distance = f(f(start + k + 0.5) - sample);
      return { index: start + k, weight: at(Math.abs(f(distance * narrow))) };
    });
    return normalized(taps) ?? [];
  });
}
