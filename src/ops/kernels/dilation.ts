/**
 * @file Grayscale dilation: the largest of image plus filter over a window. Where it is, once for each result, serves the gradients.
 *
 * @see TensorFlow core/kernels/dilation_ops.cc
 */

import {
  allocate,
  bfloat16ToFloat,
  type DType,
  floatToBfloat16,
  floatToHalf,
  halfToFloat,
  setElement,
  sizeOf,
  type Tensor,
  zeros,
} from "../../base/index.ts";
import { numbersOf } from "./numbers.ts";

/** Windows along one axis of the image; `before`: what the first sees before it. */
export interface Slide {
  readonly count: number;
  readonly stride: number;
  readonly rate: number;
  readonly before: number;
}

type Values = ArrayLike<number | bigint>;

const isHalf = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16";
const valuesOf = (t: Tensor): Values => (isHalf(t.dtype) ? numbersOf(t) : (t.data as Float32Array));

/** Sums as the dtype rounds or wraps them. */
function adder(dtype: DType): (a: number | bigint, b: number | bigint) => number | bigint {
  if (dtype === "float16") return (a, b) => halfToFloat(floatToHalf((a as number) + (b as number)));
  if (dtype === "bfloat16") return (a, b) => bfloat16ToFloat(floatToBfloat16((a as number) + (b as number)));
  const cell = allocate(dtype, 1) as Float64Array; // or of bigint: the same in JavaScript
  return (a, b) => {
    cell[0] = (a as number) + (b as number);
    return cell[0]!;
  };
}

const FLOATS: Partial<Record<DType, number>> = {
  float32: -3.4028234663852886e38,
  float64: -Number.MAX_VALUE,
  float16: -65504,
  bfloat16: -3.3895313892515355e38,
};

/** The lowest finite value of a dtype, where TensorFlow's maxima begin: NaN and -inf alone give it. */
function lowest(dtype: DType): number | bigint {
  const known = FLOATS[dtype];
  if (known !== undefined) return known;
  if (dtype === "int64") return -(2n ** 63n);
  if (dtype === "uint64") return 0n;
  const bits = 8 * (allocate(dtype, 1) as Int32Array).BYTES_PER_ELEMENT;
  return dtype.startsWith("u") ? 0 : -(2 ** (bits - 1));
}

/** The largest sums, and for each where it lies in the image and in the filter; the first of equals. */
export interface Dilated {
  readonly output: Tensor;
  readonly inImage: Int32Array;
  readonly inFilter: Int32Array;
}

/** @param image - [n, height, width, channels] @param filter - [rows, columns, channels] */
export function dilated(image: Tensor, filter: Tensor, down: Slide, right: Slide): Dilated {
  const [n, height, width, channels] = image.shape as [number, number, number, number];
  const [rows, columns] = filter.shape as [number, number];
  const [x, w, plus, low] = [valuesOf(image), valuesOf(filter), adder(image.dtype), lowest(image.dtype)];
  const output = zeros(image.dtype, [n, down.count, right.count, channels]);
  const size = sizeOf(output.shape);
  const [inImage, inFilter] = [new Int32Array(size), new Int32Array(size)];
  let at = 0;
  const one = (b: number, top: number, left: number, c: number): void => {
    let best = low;
    inImage[at] = ((b * height + Math.max(top, 0)) * width + Math.max(left, 0)) * channels + c;
    inFilter[at] = c;
    for (let i = 0; i < rows; i++) {
      const y = top + i * down.rate;
      if (y < 0 || y >= height) continue;
      for (let j = 0; j < columns; j++) {
        const z = left + j * right.rate;
        if (z < 0 || z >= width) continue;
        const [from, tap] = [((b * height + y) * width + z) * channels + c, (i * columns + j) * channels + c];
        const sum = plus(x[from]!, w[tap]!);
        if (sum > best) [best, inImage[at], inFilter[at]] = [sum, from, tap];
      }
    }
    setElement(output, at++, best);
  };
  for (let b = 0; b < n; b++) {
    for (let i = 0; i < down.count; i++) {
      for (let j = 0; j < right.count; j++) {
        for (let c = 0; c < channels; c++)
          one(b, i * down.stride - down.before, j * right.stride - right.before, c);
      }
    }
  }
  return { output, inImage, inFilter };
}
