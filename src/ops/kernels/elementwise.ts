/**
 * @file Element-by-element loops with broadcasting: functions of one and two elements over tensors of any dtype. Floats are computed in
 * double and rounded once; int64 are bigint and wrap; complex are pairs. Start at `mapBinary`.
 */

import {
  allocate,
  broadcastShapes,
  type DType,
  formatShape,
  isBigInt,
  isComplex,
  isFloat,
  isVarscopeError,
  sameShape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** A complex number: real and imaginary part. */
export type Complex = readonly [number, number];

/** One function for each kind of element; a kind without one is not supported. Results of 0 and 1 stand for booleans too. */
export interface UnaryKernel {
  readonly float?: (x: number) => number;
  /** integers up to 32 bits (result is wrapped) and bool */
  readonly int?: (x: number) => number;
  readonly big?: (x: bigint) => bigint;
  readonly complex?: (x: Complex) => Complex;
}

export interface BinaryKernel<R = number, B = bigint> {
  readonly float?: (x: number, y: number) => R;
  readonly int?: (x: number, y: number) => R;
  readonly big?: (x: bigint, y: bigint) => B;
  readonly complex?: (x: Complex, y: Complex) => Complex;
}

type Loop<E, R> = (x: E, y: E) => R;
type Out<R> = Record<number, R>;

const isHalf = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16";

function noKernel(dtype: DType): never {
  throw new VarscopeError("INVALID_ARGUMENT", `No OpKernel was registered to support T=${dtype}`);
}

/** f of every element. */
export function mapUnary(x: Tensor, kernel: UnaryKernel): Tensor {
  const { dtype, shape } = x;
  const size = sizeOf(shape);
  if (isComplex(dtype)) return complexUnary(x, kernel.complex ?? noKernel(dtype), size);
  const f = (isBigInt(dtype) ? kernel.big : isFloat(dtype) ? kernel.float : kernel.int) as
    | ((x: number) => number)
    | undefined;
  if (f === undefined) return noKernel(dtype);
  const from = numbersOf(x);
  const half = isHalf(dtype);
  const data = (half ? new Float64Array(size) : allocate(dtype, size)) as Float64Array;
  for (let i = 0; i < size; i++) data[i] = f(from[i]!);
  return half ? fromNumbers(dtype, shape, data) : { dtype, shape, data };
}

/** Whether something holds, for every element of a float tensor. */
export function testFloat(x: Tensor, f: (x: number) => boolean): Tensor {
  const from = numbersOf(x);
  const data = new Uint8Array(sizeOf(x.shape));
  for (let i = 0; i < data.length; i++) data[i] = f(from[i]!) ? 1 : 0;
  return { dtype: "bool", shape: x.shape, data };
}

function complexUnary(x: Tensor, f: (x: Complex) => Complex, size: number): Tensor {
  const from = x.data as Float64Array;
  const data = allocate(x.dtype, size) as Float64Array;
  for (let i = 0; i < size; i++)
    [data[2 * i], data[2 * i + 1]] = f([from[2 * i]!, from[2 * i + 1]!]) as [number, number];
  return { dtype: x.dtype, shape: x.shape, data };
}

/** The shape of x and y together. @throws VarscopeError INVALID_ARGUMENT - as TensorFlow's kernels say it */
export function broadcastOf(x: Tensor, y: Tensor): readonly number[] {
  if (sameShape(x.shape, y.shape)) return x.shape;
  try {
    return broadcastShapes(x.shape, y.shape) as readonly number[];
  } catch (cause) {
    if (!isVarscopeError(cause)) throw cause;
    const what = `Incompatible shapes: ${formatShape(x.shape)} vs. ${formatShape(y.shape)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what, { cause });
  }
}

/** Position in `from` of every element of `to`, which it broadcasts to. */
export function broadcastIndex(from: readonly number[], to: readonly number[]): Int32Array {
  let index = new Int32Array([0]);
  for (let axis = 0, lead = to.length - from.length; axis < to.length; axis++) {
    const own = axis < lead ? 1 : from[axis - lead]!;
    const want = to[axis]!;
    const next = new Int32Array(index.length * want);
    for (let i = 0, at = 0; i < index.length; i++) {
      for (let j = 0; j < want; j++) next[at++] = index[i]! * own + (own === 1 ? 0 : j);
    }
    index = next;
  }
  return index;
}

/** f of every pair of elements, with broadcasting. @param dtype - of the result, by default that of x */
export function mapBinary<R, B>(
  x: Tensor,
  y: Tensor,
  kernel: BinaryKernel<R, B>,
  dtype: DType = x.dtype,
): Tensor {
  const shape = broadcastOf(x, y);
  if (isComplex(x.dtype)) return complexBinary(x, y, kernel.complex ?? noKernel(x.dtype), shape);
  const f = isBigInt(x.dtype) ? kernel.big : isFloat(x.dtype) ? kernel.float : kernel.int;
  if (f === undefined) return noKernel(x.dtype);
  const half = isHalf(dtype);
  const size = sizeOf(shape);
  const data = half ? new Float64Array(size) : allocate(dtype, size);
  fillPairs(x, y, shape, data as unknown as Out<unknown>, f as Loop<number, unknown>);
  return half ? fromNumbers(dtype, shape, data as Float64Array) : { dtype, shape, data };
}

/** Fills `out` with f of pairs: straight through equal shapes and past scalars, by index otherwise. */
function fillPairs<R>(x: Tensor, y: Tensor, shape: readonly number[], out: Out<R>, f: Loop<number, R>): void {
  const [a, b] = [numbersOf(x), numbersOf(y)];
  const size = sizeOf(shape);
  const [whole, other] = [sizeOf(x.shape) === size, sizeOf(y.shape) === size];
  if (whole && other) for (let i = 0; i < size; i++) out[i] = f(a[i]!, b[i]!);
  else if (whole && b.length === 1) for (let i = 0, s = b[0]!; i < size; i++) out[i] = f(a[i]!, s);
  else if (other && a.length === 1) for (let i = 0, s = a[0]!; i < size; i++) out[i] = f(s, b[i]!);
  else {
    const [p, q] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
    for (let i = 0; i < size; i++) out[i] = f(a[p[i]!]!, b[q[i]!]!);
  }
}

function complexBinary(
  x: Tensor,
  y: Tensor,
  f: (x: Complex, y: Complex) => Complex,
  shape: readonly number[],
): Tensor {
  const [a, b] = [x.data as Float64Array, y.data as Float64Array];
  const [p, q] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const data = allocate(x.dtype, p.length) as Float64Array;
  for (let i = 0; i < p.length; i++) {
    const [j, k] = [2 * p[i]!, 2 * q[i]!];
    [data[2 * i], data[2 * i + 1]] = f([a[j]!, a[j + 1]!], [b[k]!, b[k + 1]!]) as [number, number];
  }
  return { dtype: x.dtype, shape, data };
}

/** Every string of x with its partner of y behind it. */
export function joinStrings(x: Tensor, y: Tensor): Tensor {
  const shape = broadcastOf(x, y);
  const [a, b] = [x.data as readonly Uint8Array[], y.data as readonly Uint8Array[]];
  const [p, q] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const data = Array.from(p, (j, i) => Uint8Array.of(...a[j]!, ...b[q[i]!]!));
  return { dtype: "string", shape, data };
}
