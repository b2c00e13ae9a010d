/**
 * @file Pooling in plain loops, for every dtype and layout. Maxima are found as positions, so that values are only
 * compared. Start at `argMax`.
 */

import { allocate, bfloat16ToFloat, halfToFloat, sizeOf, type Tensor } from "../../base/index.ts";
import { type AnyWindow, alongOf, type Frame, frameOf } from "./frame.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";
import { pick } from "./pick.ts";

type Ordered = ArrayLike<number | bigint>;

/** Elements in an order that `<` understands. */
function orderedOf(t: Tensor): Ordered {
  if (t.dtype === "float16") return Float32Array.from(t.data as Uint16Array, halfToFloat);
  if (t.dtype === "bfloat16") return Float32Array.from(t.data as Uint16Array, bfloat16ToFloat);
  return t.data as Float32Array;
}

type Span = readonly [from: number, to: number];

/** The elements of a window that lie inside the image. */
interface Cells {
  readonly count: number;
  each(visit: (i: number) => void): void;
}

function cellsOf(x: Frame, n: number, c: number, spans: readonly [Span, Span, Span]): Cells {
  const [planes, rows, columns] = spans;
  return {
    count: spans.reduce((product, [from, to]) => product * (to - from), 1),
    each(visit) {
      for (let d = planes[0]; d < planes[1]; d++) {
        for (let h = rows[0]; h < rows[1]; h++) {
          for (let w = columns[0]; w < columns[1]; w++) visit(x.at(n, d, h, w) + c * x.step);
        }
      }
    },
  };
}

/** Visits each output element: its offset, and its window. */
function eachWindow(x: Frame, y: Frame, window: AnyWindow, visit: (out: number, cells: Cells) => void): void {
  const [along, down, across] = alongOf(window);
  const span = (
    at: number,
    { kernel, stride }: { kernel: number; stride: number },
    pad: number,
    size: number,
  ): Span => {
    const start = at * stride - pad;
    return [Math.max(start, 0), Math.min(start + kernel, size)];
  };
  for (let n = 0; n < y.batch; n++) {
    for (let d = 0; d < y.depth; d++) {
      const planes = span(d, along, x.front, x.depth);
      for (let h = 0; h < y.height; h++) {
        const rows = span(h, down, x.top, x.height);
        for (let w = 0; w < y.width; w++) {
          const spans = [planes, rows, span(w, across, x.left, x.width)] as const;
          for (let c = 0; c < y.channels; c++) visit(y.at(n, d, h, w) + c * y.step, cellsOf(x, n, c, spans));
        }
      }
    }
  }
}

/**
 * For each output element the index in `x` of the first maximum of its window. NaN is larger than nothing and smaller
 * than nothing: it stays where it comes first and is passed over elsewhere, as in TF's MaxPoolGrad.
 */
export function argMax(x: Tensor, outShape: readonly number[], window: AnyWindow): Int32Array {
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = orderedOf(x);
  const best = new Int32Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, cells) => {
    let found = -1;
    cells.each((i) => {
      if (found < 0 || values[found]! < values[i]!) found = i;
    });
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
export function maxPool(x: Tensor, outShape: readonly number[], window: AnyWindow): Tensor {
  const lowest = LOWEST[x.dtype];
  if (lowest === undefined) return pick(x, outShape, argMax(x, outShape, window));
  return largest(x, outShape, window, lowest, (max, v) => max < v);
}

/** Maximum of each window of a volume. TF's kernel for these starts from -inf, and forgets what it had before a NaN. */
export const maxPoolVolume = (x: Tensor, outShape: readonly number[], window: AnyWindow): Tensor =>
  largest(x, outShape, window, Number.NEGATIVE_INFINITY, (max, v) => !(max > v));

function largest(
  x: Tensor,
  outShape: readonly number[],
  window: AnyWindow,
  start: number,
  replaces: (max: number, v: number) => boolean,
): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = numbersOf(x);
  const result = new Float64Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, cells) => {
    let max = start;
    cells.each((i) => {
      if (replaces(max, values[i]!)) max = values[i]!;
    });
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
export const maxPoolGrad = (x: Tensor, dy: Tensor, window: AnyWindow): Tensor =>
  scatterAdd(dy, argMax(x, dy.shape, window), x.shape);

/** Gradient of MaxPool3D: dy goes to every element of a window whose difference to `y` is 0, which no infinity's is. */
export function maxPoolVolumeGrad(x: Tensor, y: Tensor, dy: Tensor, window: AnyWindow): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(y.shape, window)];
  const [values, maxima, grads] = [numbersOf(x), numbersOf(y), numbersOf(dy)];
  const result = new Float64Array(sizeOf(x.shape));
  eachWindow(image, out, window, (at, cells) => {
    cells.each((i) => {
      if (values[i]! - maxima[at]! === 0) result[i]! += grads[at]!;
    });
  });
  return fromNumbers(dy.dtype, x.shape, result);
}

/**
 * Gradient of MaxPoolGrad for its dy: `dx` taken where the window first has the value of `y`; 0 where nowhere (NaN).
 */
export function maxPoolGradGrad(x: Tensor, y: Tensor, dx: Tensor, window: AnyWindow): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(y.shape, window)];
  const [values, maxima] = [orderedOf(x), orderedOf(y)];
  const sources = new Int32Array(sizeOf(y.shape)).fill(-1);
  eachWindow(image, out, window, (at, cells) => {
    cells.each((i) => {
      if (sources[at]! < 0 && values[i] === maxima[at]) sources[at] = i;
    });
  });
  return pick(dx, y.shape, sources);
}

/** Mean of each window over the elements that lie in the image. */
export function avgPool(x: Tensor, outShape: readonly number[], window: AnyWindow): Tensor {
  const [image, out] = [frameOf(x.shape, window), frameOf(outShape, window)];
  const values = numbersOf(x);
  const result = new Float64Array(sizeOf(outShape));
  eachWindow(image, out, window, (at, cells) => {
    let sum = 0;
    cells.each((i) => {
      sum += values[i]!;
    });
    result[at] = sum / cells.count;
  });
  return fromNumbers(x.dtype, outShape, result);
}

/** Gradient of `avgPool` for an image of `shape`. */
export function avgPoolGrad(shape: readonly number[], dy: Tensor, window: AnyWindow): Tensor {
  const [image, out] = [frameOf(shape, window), frameOf(dy.shape, window)];
  const from = numbersOf(dy);
  const result = new Float64Array(sizeOf(shape));
  eachWindow(image, out, window, (at, cells) => {
    const share = from[at]! / cells.count;
    cells.each((i) => {
      result[i]! += share;
    });
  });
  return fromNumbers(dy.dtype, shape, result);
}
