/**
 * @file Pooling in plain loops, for every dtype and layout. Maxima are found as positions, so that values are only
 * compared. Start at `argMax`.
 */

import { allocate, bfloat16ToFloat, halfToFloat, sizeOf, type Tensor } from "../../base/index.ts";
import type { Window } from "../../graph/index.ts";
import { type Frame, frameOf } from "./frame.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";
import { pick } from "./pick.ts";

type Ordered = ArrayLike<number | bigint>;

/** Elements in an order that `<` understands. */
function orderedOf(t: Tensor): Ordered {
  if (t.dtype === "float16") return Float32Array.from(t.data as Uint16Array, halfToFloat);
  if (t.dtype === "bfloat16") return Float32Array.from(t.data as Uint16Array, bfloat16ToFloat);
  return t.data as Float32Array;
}

/** Visits each output element: its offset, the bounds of its window inside the image, batch and channel. */
function eachWindow(
  x: Frame,
  y: Frame,
  window: Window,
  visit: (
    out: number,
    n: number,
    c: number,
    rows: readonly [number, number],
    columns: readonly [number, number],
  ) => void,
): void {
  const span = (at: number, i: 0 | 1, pad: number, size: number): [number, number] => {
    const start = at * window.strides[i] - pad;
    return [Math.max(start, 0), Math.min(start + window.kernel[i], size)];
  };
  for (let n = 0; n < y.batch; n++) {
    for (let h = 0; h < y.height; h++) {
      const rows = span(h, 0, x.top, x.height);
      for (let w = 0; w < y.width; w++) {
        const columns = span(w, 1, x.left, x.width);
        for (let c = 0; c < y.channels; c++) visit(y.at(n, h, w) + c * y.step, n, c, rows, columns);
      }
    }
  }
}

/**
 * For each output element the index in `x` of the first maximum of its window. NaN is larger than nothing and smaller
 * than nothing: it stays where it comes first and is passed over elsewhere, as in TF's MaxPoolGrad.
 */
export function argMax(x: Tensor, outShape: readonly number[], window: Window): Int32Array {
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = orderedOf(x);
  const best = new Int32Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, n, c, rows, columns) => {
    let found = -1;
    for (let h = rows[0]; h < rows[1]; h++) {
      for (let w = columns[0]; w < columns[1]; w++) {
        const i = image.at(n, h, w) + c * image.step;
        if (found < 0 || values[found]! < values[i]!) found = i;
      }
    }
    best[at] = found;
  });
  return best;
}

/** Largest finite value below which TF's CPU pooling never goes: NaN and -inf alone give it. */
const LOWEST: Partial<Record<string, number>> = {
  float32: -3.4028234663852886e38,
  float64: -Number.MAX_VALUE,
  float16: -65504,
  bfloat16: -3.3895313892515355e38,
};

/** Maximum of each window. TF's kernel starts from the lowest finite number and passes over NaN. */
export function maxPool(x: Tensor, outShape: readonly number[], window: Window): Tensor {
  const lowest = LOWEST[x.dtype];
  if (lowest === undefined) return pick(x, outShape, argMax(x, outShape, window));
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = numbersOf(x);
  const result = new Float64Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, n, c, rows, columns) => {
    let max = lowest;
    for (let h = rows[0]; h < rows[1]; h++) {
      for (let w = columns[0]; w < columns[1]; w++) {
        const v = values[image.at(n, h, w) + c * image.step]!;
        if (max < v) max = v;
      }
    }
    result[at] = max;
  });
  return fromNumbers(x.dtype, outShape, result);
}

/** Maximum of each run of `depth` channels. @param x - NHWC */
export function maxPoolDepth(x: Tensor, depth: number): Tensor {
  const rows = sizeOf(x.shape) / depth;
  const window = { dataFormat: "NHWC", kernel: [1, depth], strides: [1, depth] } as const;
  const flat = { dtype: x.dtype, shape: [1, rows, depth, 1], data: x.data };
  const pooled = maxPool(flat, [1, rows, 1, 1], {
    ...window,
    dilations: [1, 1],
    padding: "VALID",
    pads: [0, 0, 0, 0],
  });
  return { ...pooled, shape: [...x.shape.slice(0, 3), x.shape[3]! / depth] };
}

/** dy added at the given indices of an image of zeros; integers wrap. */
export function scatterAdd(dy: Tensor, indices: ArrayLike<number>, shape: readonly number[]): Tensor {
  const size = sizeOf(shape);
  if (dy.dtype === "float16" || dy.dtype === "bfloat16") {
    const [from, sums] = [numbersOf(dy), new Float64Array(size)];
    for (let i = 0; i < indices.length; i++) sums[indices[i]!]! += from[i]!;
    return fromNumbers(dy.dtype, shape, sums);
  }
  const out = { dtype: dy.dtype, shape, data: allocate(dy.dtype, size) };
  const to = out.data as Float64Array; // or of bigint: += is the same
  const from = dy.data as Float64Array;
  for (let i = 0; i < indices.length; i++) to[indices[i]!]! += from[i]!;
  return out;
}

/** Gradient of MaxPool: dy goes to the first maximum of each window. */
export const maxPoolGrad = (x: Tensor, dy: Tensor, window: Window): Tensor =>
  scatterAdd(dy, argMax(x, dy.shape, window), x.shape);

/**
 * Gradient of MaxPoolGrad for its dy: `dx` taken where the window first has the value of `y`; 0 where nowhere (NaN).
 */
export function maxPoolGradGrad(x: Tensor, y: Tensor, dx: Tensor, window: Window): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(y.shape, window)];
  const [values, maxima] = [orderedOf(x), orderedOf(y)];
  const sources = new Int32Array(sizeOf(y.shape)).fill(-1);
  eachWindow(image, out, window, (at, n, c, rows, columns) => {
    for (let h = rows[0]; h < rows[1]; h++) {
      for (let w = columns[0]; w < columns[1]; w++) {
        const i = image.at(n, h, w) + c * image.step;
        if (sources[at]! < 0 && values[i] === maxima[at]) sources[at] = i;
      }
    }
  });
  return pick(dx, y.shape, sources);
}

/** Mean of each window over the elements that lie in the image. */
export function avgPool(x: Tensor, outShape: readonly number[], window: Window): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = numbersOf(x);
  const result = new Float64Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, n, c, rows, columns) => {
    let sum = 0;
    for (let h = rows[0]; h < rows[1]; h++) {
      for (let w = columns[0]; w < columns[1]; w++) sum += values[image.at(n, h, w) + c * image.step]!;
    }
    result[at] = sum / ((rows[1] - rows[0]) * (columns[1] - columns[0]));
  });
  return fromNumbers(x.dtype, outShape, result);
}

/** Gradient of `avgPool` for an image of `shape`. */
export function avgPoolGrad(shape: readonly number[], dy: Tensor, window: Window): Tensor {
  const [image, out] = [frameOf(shape, window), frameOf(dy.shape, window)];
  const from = numbersOf(dy);
  const result = new Float64Array(sizeOf(shape));
  eachWindow(image, out, window, (at, n, c, rows, columns) => {
    const share = from[at]! / ((rows[1] - rows[0]) * (columns[1] - columns[0]));
    for (let h = rows[0]; h < rows[1]; h++) {
      for (let w = columns[0]; w < columns[1]; w++) result[image.at(n, h, w) + c * image.step]! += share;
    }
  });
  return fromNumbers(dy.dtype, shape, result);
}
