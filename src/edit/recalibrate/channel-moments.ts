/**
 * @file Mean and variance of each channel over all of a stream, exactly: sums of squared distances are merged, not averaged. Start at
 * `ChannelMoments`.
 *
 * @see Chan, Golub, LeVeque 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances"
 */

import { formatShape, type Tensor, VarscopeError } from "../../base/index.ts";
import { numbersOf } from "../change/numbers.ts";

/** Moments of the elements seen so far, in float64. */
export class ChannelMoments {
  readonly mean: Float64Array;
  /** sum of squared distances from the mean */
  readonly m2: Float64Array;
  /** elements of each channel */
  count = 0;

  constructor(channels: number) {
    this.mean = new Float64Array(channels);
    this.m2 = new Float64Array(channels);
  }

  /** @param channelOf - of each element; the same number of elements for each channel */
  add(values: ArrayLike<number>, channelOf: Int32Array): void {
    const { length: channels } = this.mean;
    const n = values.length / channels;
    if (n === 0) return;
    const mean = new Float64Array(channels);
    for (let i = 0; i < values.length; i++) mean[channelOf[i]!]! += values[i]!;
    for (let c = 0; c < channels; c++) mean[c]! /= n;
    const m2 = new Float64Array(channels);
    for (let i = 0; i < values.length; i++) {
      const c = channelOf[i]!;
      const d = values[i]! - mean[c]!;
      m2[c]! += d * d;
    }
    this.take(mean, m2, n);
  }

  merge(other: ChannelMoments): void {
    if (other.count > 0) this.take(other.mean, other.m2, other.count);
  }

  private take(mean: Float64Array, m2: Float64Array, n: number): void {
    const all = this.count + n;
    for (let c = 0; c < mean.length; c++) {
      const delta = mean[c]! - this.mean[c]!;
      this.mean[c]! += (delta * n) / all;
      this.m2[c]! += m2[c]! + (delta * delta * this.count * n) / all;
    }
    this.count = all;
  }

  /** @param divisor - of the sum of squared distances: the number of elements, or what a convention makes of it */
  variance(divisor = this.count): Float64Array {
    return this.m2.map((x) => (x === 0 ? 0 : x / divisor));
  }
}

/** Which channel each element of a tensor belongs to: statistics of shape `wide` are broadcast to it. Remembers the last shape. */
export class ChannelMap {
  private readonly wide: readonly number[];
  private shape = "";
  private map = new Int32Array(0);

  constructor(wide: readonly number[]) {
    this.wide = wide;
  }

  /** @throws VarscopeError INVALID_ARGUMENT - the statistics do not fit */
  of(shape: readonly number[], at: string): Int32Array {
    if (this.shape === shape.join()) return this.map;
    const wide = [...Array(Math.max(0, shape.length - this.wide.length)).fill(1), ...this.wide];
    if (wide.length !== shape.length || wide.some((d, i) => d !== 1 && d !== shape[i])) {
      const what = `the input has shape ${formatShape(shape)}, the statistics ${formatShape(this.wide)}`;
      throw new VarscopeError("INVALID_ARGUMENT", what, { at });
    }
    // from the last axis to the first: what is known of the inner axes is laid out once for each index of the outer one
    let inner = new Int32Array(1);
    let channels = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis]!;
      const next = new Int32Array(size * inner.length);
      for (let i = 0; i < size; i++) {
        const offset = wide[axis] === 1 ? 0 : i * channels;
        for (let k = 0; k < inner.length; k++) next[i * inner.length + k] = inner[k]! + offset;
      }
      channels *= wide[axis]!;
      inner = next;
    }
    this.shape = shape.join();
    this.map = inner;
    return inner;
  }
}

/** The elements of a tensor as numbers. @throws VarscopeError INVALID_ARGUMENT - integers of 64 bits, strings */
export function needNumbers(t: Tensor, at: string): ArrayLike<number> {
  const numbers = numbersOf(t);
  if (numbers !== null) return numbers;
  throw new VarscopeError("INVALID_ARGUMENT", `${t.dtype} has no mean`, { at });
}
