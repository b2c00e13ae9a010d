/**
 * @file Resampling along one axis: each result is a weighted sum of some elements, found once and used for all rows, images and channels.
 * An image is resampled by one `Sampling` for its rows and one for its columns. What the weights are is in sampling-weights.ts. Start at
 * `resampled`.
 */

import { allocate, type DType, isBigInt, sizeOf, type Tensor } from "../../base/index.ts";
import { boundedSize } from "../bounds.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** Result i is the sum over k < taps of weights[i taps + k] times element indices[i taps + k] of `inputs` elements. */
export interface Sampling {
  readonly inputs: number;
  readonly outputs: number;
  readonly taps: number;
  readonly indices: Int32Array;
  readonly weights: Float32Array;
}

/** One weight of one result. */
export interface Tap {
  readonly index: number;
  readonly weight: number;
}

/**
 * A sampling from the taps of each result, at most `taps`; missing ones weigh nothing.
 *
 * @throws VarscopeError RESOURCE_EXHAUSTED - there are too many
 */
export function samplingOf(
  inputs: number,
  outputs: number,
  taps: number,
  tapsOf: (result: number) => readonly Tap[],
): Sampling {
  boundedSize([outputs, taps], "float32");
  const indices = new Int32Array(outputs * taps);
  const weights = new Float32Array(outputs * taps);
  for (let i = 0; i < outputs; i++) {
    tapsOf(i).forEach(({ index, weight }, k) => {
      indices[i * taps + k] = index;
      weights[i * taps + k] = weight;
    });
  }
  return { inputs, outputs, taps, indices, weights };
}

/** The sampling that gradients go through: from results back to elements. */
export function transposed(s: Sampling): Sampling {
  const counts = new Int32Array(s.inputs);
  const eachTap = (visit: (element: number, result: number, weight: number) => void): void => {
    for (let i = 0; i < s.indices.length; i++) {
      if (s.weights[i] !== 0) visit(s.indices[i]!, Math.floor(i / s.taps), s.weights[i]!);
    }
  };
  eachTap((element) => {
    counts[element]!++;
  });
  const taps = counts.reduce((most, n) => Math.max(most, n), 1);
  const back = samplingOf(s.outputs, s.inputs, taps, () => []);
  counts.fill(0);
  eachTap((element, result, weight) => {
    const at = element * taps + counts[element]!++;
    back.indices[at] = result;
    back.weights[at] = weight;
  });
  return back;
}

/** The same as a matrix, float32 [outputs, inputs]. */
export function matrixOf(s: Sampling): Tensor {
  const data = new Float32Array(s.outputs * s.inputs);
  for (let i = 0; i < s.indices.length; i++) {
    data[Math.floor(i / s.taps) * s.inputs + s.indices[i]!]! += s.weights[i]!;
  }
  return { dtype: "float32", shape: [s.outputs, s.inputs], data };
}

/** Elements of any real dtype as numbers; int64 is rounded as a cast to float would. */
export const realsOf = (t: Tensor): ArrayLike<number> =>
  isBigInt(t.dtype) ? Float64Array.from(t.data as BigInt64Array, Number) : numbersOf(t);

/** One axis of values [outer, inputs, inner]. */
function along(values: ArrayLike<number>, s: Sampling, outer: number, inner: number): Float64Array {
  const result = new Float64Array(outer * s.outputs * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < s.outputs; i++) {
      const to = (o * s.outputs + i) * inner;
      for (let k = i * s.taps; k < (i + 1) * s.taps; k++) {
        const weight = s.weights[k]!;
        if (weight === 0) continue;
        const from = (o * s.inputs + s.indices[k]!) * inner;
        for (let j = 0; j < inner; j++) result[to + j]! += weight * values[from + j]!;
      }
    }
  }
  return result;
}

/** Images [n, height, width, channels] with their rows and columns resampled, each element rounded once to `dtype`. */
export function resampled(image: Tensor, rows: Sampling, columns: Sampling, dtype: DType): Tensor {
  const [n, , width, channels] = image.shape as [number, number, number, number];
  const shape = [n, rows.outputs, columns.outputs, channels];
  if (sizeOf(shape) === 0) return { dtype, shape, data: allocate(dtype, 0) };
  const tall = along(realsOf(image), rows, n, width * channels);
  return fromNumbers(dtype, shape, along(tall, columns, n * rows.outputs, channels));
}
