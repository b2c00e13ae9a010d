/**
 * @file Sparse tensors: indices, values and a dense shape. Made dense, put in order, in another shape, with no row empty, summed and multiplied.
 *
 * @see TensorFlow core/ops/sparse_ops.cc; core/kernels/sparse_*.cc; python/ops/sparse_grad.py
 */

import {
  allocate,
  type Element,
  formatShape,
  getElement,
  isComplex,
  mergeShapes,
  setElement,
  sizeOf,
  stridesOf,
  type Tensor,
  toNumbers,
  zeros,
} from "../base/index.ts";
import { absent, attr, defineOp, type Output } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { gather, gatherNd } from "./gather.ts";
import { invalid, longs, needRank } from "./host-facts.ts";
import { sub } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { reduceSum } from "./reduce.ts";
import {
  boundedZeros,
  checkTuples,
  compared,
  flatOf,
  onHost,
  plus,
  shapeIn,
  tuplesOf,
} from "./sparse-facts.ts";

/** A dense tensor of a sparse one, whose other elements are the default. */
export const SparseToDense = defineOp("SparseToDense", {
  ...onHost,
  inputs: { sparse_indices: "Tindices", output_shape: "Tindices", sparse_values: "T", default_value: "T" },
  outputs: { dense: "T" },
  attrs: {
    validate_indices: attr.bool({ default: true }),
    T: attr.type(),
    Tindices: attr.type("int32", "int64"),
  },
  infer: ({ output_shape }) => [{ shape: shapeIn(output_shape) }],
  grad: (_, op, [dy]) => {
    const [indices, shape] = op.inputs as [Output, Output];
    const values = gatherNd(dy!, indices);
    const fallback = sub(reduceSum(dy!), reduceSum(values));
    return [pieces.zerosLike(indices), pieces.zerosLike(shape), values, fallback];
  },
  host: ({ sparse_indices, output_shape, sparse_values, default_value }, { validate_indices }) => {
    const shape = toNumbers(output_shape);
    if (sparse_indices.shape.length > 2)
      throw invalid(
        `sparse_indices should be a scalar, vector, or matrix, got shape ${formatShape(sparse_indices.shape)}`,
      );
    const tuples = tuplesOf(sparse_indices);
    if (tuples.some((tuple) => tuple.length !== shape.length)) {
      throw invalid(
        `output_shape has incorrect number of elements: ${shape.length} should be: ${tuples[0]!.length}`,
      );
    }
    if (sparse_values.shape.length > 0 && sparse_values.data.length !== tuples.length * per(sparse_values))
      throw invalid(
        `sparse_values has incorrect shape ${formatShape(sparse_values.shape)}, should be [] or [${tuples.length}]`,
      );
    if (default_value.shape.length !== 0) throw invalid("default_value should be a scalar.");
    checkTuples(tuples, shape, validate_indices);
    const out = boundedZeros(sparse_values.dtype, shape);
    const fallback = getElement(default_value, 0);
    for (let i = 0; i < sizeOf(shape); i++) setElement(out, i, fallback);
    const strides = stridesOf(shape);
    for (const [i, tuple] of tuples.entries())
      setElement(
        out,
        flatOf(tuple, strides),
        getElement(sparse_values, sparse_values.shape.length === 0 ? 0 : i),
      );
    return [out];
  },
});

/** Numbers of one element. */
const per = (t: Tensor): number => (isComplex(t.dtype) ? 2 : 1);

/** Elements of a vector, in another order. */
function reordered(values: Tensor, order: readonly number[]): Tensor {
  const out: Tensor = { ...values, shape: [order.length], data: allocate(values.dtype, order.length) };
  for (const [i, from] of order.entries()) setElement(out, i, getElement(values, from));
  return out;
}

/** Indices and values in the order of rows. */
export const SparseReorder = defineOp("SparseReorder", {
  ...onHost,
  inputs: { input_indices: "int64", input_values: "T", input_shape: "int64" },
  outputs: { output_indices: "int64", output_values: "T" },
  attrs: { T: attr.type() },
  infer: ({ input_indices, input_values, input_shape }) => {
    needRank(input_indices, 2);
    needRank(input_values, 1);
    needRank(input_shape, 1);
    return [{ shape: input_indices.shape ?? [null, null] }, { shape: input_values.shape ?? [null] }];
  },
  grad: (g, op, [, dy]) => {
    const [indices, , shape] = op.inputs as [Output, Output, Output];
    const count = pieces.element(g, pieces.shape(indices), 0);
    const entries = pieces.range(g, 0, count);
    const ordered = g.addOp("SparseReorder", [indices, entries, shape]);
    g.add("Identity", [shape]); // the shape of a SparseTensor that Python makes
    const inverse = g.add("InvertPermutation", [ordered.output(1)]);
    return [null, gather(dy!, inverse), null];
  },
  host: ({ input_indices, input_values }) => {
    const tuples = tuplesOf(input_indices);
    const order = [...tuples.keys()].sort((a, b) => compared(tuples[a]!, tuples[b]!));
    const sorted = order.flatMap((i) => tuples[i]!);
    return [longs(input_indices.shape, sorted), reordered(input_values, order)];
  },
});

/** @throws VarscopeError INVALID_ARGUMENT - no shape of as many elements */
function targetShape(from: readonly number[], to: readonly number[]): number[] {
  const unknown = to.flatMap((d, i) => (d === -1 ? [i] : []));
  if (unknown.length > 1)
    throw invalid(`only one output dimension may be -1, not both ${unknown[0]} and ${unknown[1]}`);
  const negative = to.findIndex((d) => d < -1);
  if (negative >= 0) throw invalid(`size ${negative} must be non-negative, not ${to[negative]}`);
  const total = from.reduce((n, d) => n * BigInt(d), 1n);
  const known = to.reduce((n, d) => (d === -1 ? n : n * BigInt(d)), 1n);
  if (unknown.length === 0) {
    if (known !== total) {
      throw invalid(
        `Input to reshape is a tensor with ${total} dense values, but the requested shape has ${known}`,
      );
    }
    return [...to];
  }
  if (known === 0n) {
    throw invalid(
      "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are non-zero",
    );
  }
  if (total % known !== 0n) {
    throw invalid(
      `Input to reshape is a SparseTensor with ${total} dense values, but the requested shape requires a multiple of ${known}. input_shape=[${from}] output_shape= [${to}]`,
    );
  }
  return to.map((d) => (d === -1 ? Number(total / known) : d));
}

/** Indices in a dense shape of as many elements. */
export const SparseReshape = defineOp("SparseReshape", {
  ...onHost,
  inputs: { input_indices: "int64", input_shape: "int64", new_shape: "int64" },
  outputs: { output_indices: "int64", output_shape: "int64" },
  infer: ({ input_indices, input_shape, new_shape }) => {
    needRank(input_indices, 2);
    needRank(input_shape, 1);
    needRank(new_shape, 1);
    const rank = new_shape.shape?.[0] ?? null;
    return [{ shape: [input_indices.shape?.[0] ?? null, rank] }, { shape: [rank] }];
  },
  grad: absent("TensorFlow registers none"),
  host: ({ input_indices, input_shape, new_shape }) => {
    const from = toNumbers(input_shape);
    const to = targetShape(from, toNumbers(new_shape));
    const strides = stridesOf(from);
    const indices = tuplesOf(input_indices).flatMap((tuple) => {
      let rest = flatOf(tuple, strides);
      const out = new Array<number>(to.length);
      for (let axis = to.length - 1; axis >= 0; axis--) {
        out[axis] = rest % to[axis]!;
        rest = Math.floor(rest / to[axis]!);
      }
      return out;
    });
    return [longs([input_indices.shape[0]!, to.length], indices), longs([to.length], to)];
  },
});

/** A sparse tensor with one default value in each row that has none. */
export const SparseFillEmptyRows = defineOp("SparseFillEmptyRows", {
  ...onHost,
  inputs: { indices: "int64", values: "T", dense_shape: "int64", default_value: "T" },
  outputs: {
    output_indices: "int64",
    output_values: "T",
    empty_row_indicator: "bool",
    reverse_index_map: "int64",
  },
  attrs: { T: attr.type() },
  infer: ({ indices, values, dense_shape, default_value }) => {
    needRank(indices, 2);
    needRank(values, 1);
    needRank(dense_shape, 1);
    needRank(default_value, 0);
    const n = mergeShapes([indices.shape?.[0] ?? null], values.shape)![0]!;
    const rank = mergeShapes([indices.shape?.[1] ?? null], dense_shape.shape)![0]!;
    const rows = shapeIn(dense_shape)?.[0] ?? null;
    return [{ shape: [null, rank] }, { shape: [null] }, { shape: [rows] }, { shape: [n] }];
  },
  grad: (g, op, [, dy]) => {
    const back = g.addOp("SparseFillEmptyRowsGrad", [op.output(3), dy!]);
    return [null, back.output(0), null, back.output(1)];
  },
  host: ({ indices, values, dense_shape, default_value }) => {
    const rows = toNumbers(dense_shape)[0];
    if (rows === undefined) throw invalid("Dense shape cannot be empty.");
    const [tuples, rank] = [tuplesOf(indices), indices.shape[1]!];
    boundedSize([rows], "string");
    const empty = boundedZeros("bool", [rows]);
    const byRow = Array.from({ length: rows }, (): number[] => []);
    tuples.forEach((tuple, i) => {
      const row = tuple[0]!;
      if (row < 0 || row >= rows) throw invalid(`indices(${i}, 0) is invalid: ${row} >= ${rows}`);
      byRow[row]!.push(i);
    });
    const reverse = new Array<number>(tuples.length);
    const places: number[][] = [];
    const elements: Element[] = [];
    for (const [row, own] of byRow.entries()) {
      for (const i of own) {
        reverse[i] = places.push(tuples[i]!) - 1;
        elements.push(getElement(values, i));
      }
      if (own.length > 0) continue;
      places.push([row, ...new Array<number>(rank - 1).fill(0)]);
      elements.push(getElement(default_value, 0));
      (empty.data as Uint8Array)[row] = 1;
    }
    const out: Tensor = {
      ...values,
      shape: [elements.length],
      data: allocate(values.dtype, elements.length),
    };
    for (const [i, element] of elements.entries()) setElement(out, i, element);
    return [longs([places.length, rank], places.flat()), out, empty, longs([tuples.length], reverse)];
  },
});

/** The gradient of SparseFillEmptyRows: of the values, and the sum of the rest for the default. */
export const SparseFillEmptyRowsGrad = defineOp("SparseFillEmptyRowsGrad", {
  ...onHost,
  inputs: { reverse_index_map: "int64", grad_values: "T" },
  outputs: { d_values: "T", d_default_value: "T" },
  attrs: { T: attr.type() },
  infer: ({ reverse_index_map, grad_values }) => {
    needRank(reverse_index_map, 1);
    needRank(grad_values, 1);
    return [{ shape: reverse_index_map.shape ?? [null] }, { shape: [] }];
  },
  grad: absent("TensorFlow registers none"),
  host: ({ reverse_index_map, grad_values }) => {
    const from = toNumbers(reverse_index_map);
    const size = grad_values.shape[0]!;
    from.forEach((at) => {
      if (at < 0 || at >= size)
        throw invalid(`Elements in reverse index must be in [0, ${size}) but got ${at}`);
    });
    const kept = new Set(from);
    const others = [...new Array(size).keys()].filter((i) => !kept.has(i));
    const sum = zeros(grad_values.dtype, []);
    for (const i of others) setElement(sum, 0, plus(getElement(sum, 0), getElement(grad_values, i)));
    return [reordered(grad_values, from), sum];
  },
});
