/**
 * @file Products of matrices, and of any tensors by a rule of labels (einsum), for every dtype: floats are summed in double and rounded once,
 * integers wrap, complex are pairs. Start at `matmulTensors` and `contract`.
 */

import {
  allocate,
  type DType,
  getElement,
  isBigInt,
  isComplex,
  isFloat,
  sizeOf,
  type Tensor,
} from "../../base/index.ts";
import { cadd, cmul } from "./complex.ts";
import { broadcastIndex, type Complex } from "./elementwise.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** Elements of one kind, how they multiply and add, and how they make a tensor. */
interface Field<E> {
  readonly zero: E;
  read(t: Tensor): ArrayLike<E>;
  add(a: E, b: E): E;
  mul(a: E, b: E): E;
  make(dtype: DType, shape: readonly number[], values: readonly E[]): Tensor;
}

const FLOAT: Field<number> = {
  zero: 0,
  read: numbersOf,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  make: fromNumbers,
};

const INT: Field<number> = { ...FLOAT, add: (a, b) => (a + b) | 0, mul: Math.imul };

const BIG: Field<bigint> = {
  zero: 0n,
  read: (t) => t.data as BigInt64Array,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  make: (dtype, shape, values) => {
    const data = allocate(dtype, values.length) as BigInt64Array;
    values.forEach((v, i) => {
      data[i] = v;
    });
    return { dtype, shape, data };
  },
};

const COMPLEX: Field<Complex> = {
  zero: [0, 0],
  read: (t) => Array.from({ length: sizeOf(t.shape) }, (_, i) => getElement(t, i) as Complex),
  add: cadd,
  mul: cmul,
  make: (dtype, shape, values) => {
    const data = allocate(dtype, values.length) as Float64Array;
    values.forEach(([re, im], i) => {
      data[2 * i] = re;
      data[2 * i + 1] = im;
    });
    return { dtype, shape, data };
  },
};

const fieldOf = (dtype: DType): Field<unknown> =>
  (isComplex(dtype) ? COMPLEX : isBigInt(dtype) ? BIG : isFloat(dtype) ? FLOAT : INT) as Field<unknown>;

/** The complex conjugate; a real tensor itself. */
export function conjugate(t: Tensor): Tensor {
  if (!isComplex(t.dtype)) return t;
  const data = (t.data as Float64Array).slice();
  for (let i = 1; i < data.length; i += 2) data[i] = -data[i]!;
  return { ...t, data };
}

export interface MatmulOptions {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** of the result; that of the first by default */
  readonly dtype?: DType;
}

/** Matrix products of the last two axes; those before broadcast. @param shape - of the result */
export function matmulTensors(
  a: Tensor,
  b: Tensor,
  shape: readonly number[],
  options: MatmulOptions,
): Tensor {
  const { transposeA, transposeB, dtype = a.dtype } = options;
  const [m, n] = shape.slice(-2) as [number, number];
  const k = a.shape[a.shape.length - (transposeA ? 2 : 1)]!;
  const batch = shape.slice(0, -2);
  const [pa, pb] = [a, b].map((t) => broadcastIndex(t.shape.slice(0, -2), batch));
  const [aRow, aCol] = transposeA ? [1, m] : [k, 1];
  const [bRow, bCol] = transposeB ? [1, k] : [n, 1];
  const field = fieldOf(dtype);
  const [x, y] = [field.read(a), field.read(b)];
  const out = new Array<unknown>(sizeOf(shape));
  for (let g = 0, at = 0; g < pa!.length; g++) {
    const [left, right] = [pa![g]! * m * k, pb![g]! * k * n];
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = field.zero;
        for (let p = 0; p < k; p++) {
          sum = field.add(sum, field.mul(x[left + i * aRow + p * aCol], y[right + p * bRow + j * bCol]));
        }
        out[at++] = sum;
      }
    }
  }
  return field.make(dtype, shape, out);
}

/** A tensor whose axes have labels; a repeated label runs along the diagonal. */
export interface Labelled {
  readonly tensor: Tensor;
  readonly labels: readonly string[];
}

/** Step of a label in elements: of an axis of size 1 that broadcasts 0. */
function stepOf(shape: readonly number[], labels: readonly string[], label: string, size: number): number {
  let step = 0;
  for (let axis = shape.length - 1, stride = 1; axis >= 0; axis--) {
    if (labels[axis] === label && (shape[axis] === size || size === 1)) step += stride;
    stride *= shape[axis]!;
  }
  return step;
}

/**
 * Products of all elements whose labels agree, summed over the labels that the output does not have. A label that the output has twice fills
 * its diagonal; the rest is zero.
 */
export function contract(
  operands: readonly Labelled[],
  out: readonly string[],
  sizes: ReadonlyMap<string, number>,
): Tensor {
  const { dtype } = operands[0]!.tensor;
  const field = fieldOf(dtype);
  const kept = [...new Set(out)];
  const labels = [...kept, ...[...sizes.keys()].filter((l) => !kept.includes(l))];
  const shape = out.map((l) => sizes.get(l)!);
  const dims = labels.map((l) => sizes.get(l)!);
  const values = new Array<unknown>(sizeOf(shape)).fill(field.zero);
  const data = operands.map((x) => field.read(x.tensor));
  const steps = operands.map((x) => labels.map((l, i) => stepOf(x.tensor.shape, x.labels, l, dims[i]!)));
  const outSteps = labels.map((l, i) => (kept.includes(l) ? stepOf(shape, out, l, dims[i]!) : 0));
  const at = operands.map(() => 0);
  const visit = (axis: number, to: number): void => {
    if (axis === labels.length) {
      let product = data[0]![at[0]!];
      for (let o = 1; o < data.length; o++) product = field.mul(product, data[o]![at[o]!]);
      values[to] = field.add(values[to], product);
      return;
    }
    const start = [...at];
    for (let i = 0; i < dims[axis]!; i++) {
      for (let o = 0; o < at.length; o++) at[o] = start[o]! + i * steps[o]![axis]!;
      visit(axis + 1, to + i * outSteps[axis]!);
    }
    for (let o = 0; o < at.length; o++) at[o] = start[o]!;
  };
  visit(0, 0);
  return field.make(dtype, shape, values);
}
