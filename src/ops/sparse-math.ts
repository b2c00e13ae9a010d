/**
 * @file Sparse tensors multiplied and summed up, to dense ones.
 *
 * @see TensorFlow core/ops/sparse_ops.cc; core/kernels/sparse_tensor_dense_matmul_op.cc, sparse_reduce_op.cc; python/ops/sparse_grad.py
 */

import { getElement, isComplex, setElement, stridesOf, toNumbers } from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import { floordiv } from "./division.ts";
import { gather, gatherNd } from "./gather.ts";
import { invalid, needRank } from "./host-facts.ts";
import { matmul } from "./matmul.ts";
import * as pieces from "./pieces.ts";
import { reducedShape } from "./reduction.ts";
import { expandDims, squeeze } from "./shape.ts";
import { NUMBER_TYPES } from "./signatures.ts";
import {
  boundedZeros,
  checkTuples,
  conjugate,
  flatOf,
  onHost,
  plus,
  shapeIn,
  times,
  tuplesOf,
} from "./sparse-facts.ts";

/** A sparse matrix times a dense one. */
export const SparseTensorDenseMatMul = defineOp("SparseTensorDenseMatMul", {
  ...onHost,
  inputs: { a_indices: "Tindices", a_values: "T", a_shape: "int64", b: "T" },
  outputs: { product: "T" },
  attrs: {
    T: attr.type(),
    Tindices: attr.typeOr("int64", "int32", "int64"),
    adjoint_a: attr.bool({ default: false }),
    adjoint_b: attr.bool({ default: false }),
  },
  infer: ({ a_shape, b }, { adjoint_a, adjoint_b }) => {
    const a = shapeIn(a_shape);
    if (a !== null && a.length !== 2) throw invalid(`Shape must be rank 2 but is rank ${a.length}`);
    needRank(b, 2);
    const [m, k] = adjoint_a ? [a?.[1], a?.[0]] : [a?.[0], a?.[1]];
    const [l, n] = adjoint_b ? [b.shape?.[1], b.shape?.[0]] : [b.shape?.[0], b.shape?.[1]];
    mergeDims(k ?? null, l ?? null);
    return [{ shape: [m ?? null, n ?? null] }];
  },
  grad: (_, op, [dy], { adjoint_a, adjoint_b }) => {
    const g = op.graph;
    const [indices, values, shape, b] = op.inputs as [Output, Output, Output, Output];
    let db = g.add("SparseTensorDenseMatMul", [indices, values, shape, dy!], {
      attrs: { adjoint_a: !adjoint_a },
    });
    if (adjoint_b) db = adjointOf(db);
    const [rows, cols] = [columnOf(indices, 0), columnOf(indices, 1)];
    const left = gather(dy!, adjoint_a ? cols : rows);
    const right = gather(adjoint_b ? pieces.transpose(b) : b, adjoint_a ? rows : cols);
    const product = matmul(
      expandDims(left, adjoint_a ? -1 : -2),
      expandDims(right, adjoint_a === adjoint_b ? -2 : -1),
      {
        ...(adjoint_a ? { adjointA: true } : {}),
        ...((adjoint_a && adjoint_b) || (!adjoint_a && !adjoint_b) ? { adjointB: true } : {}),
      },
    );
    return [null, squeeze(product, { axis: [-2, -1] }), null, db];
  },
  host: ({ a_indices, a_values, a_shape, b }, { adjoint_a, adjoint_b }) => {
    const [rows, inner] = dims2(toNumbers(a_shape), adjoint_a);
    const [depth, columns] = dims2(b.shape, adjoint_b);
    if (inner !== depth) {
      throw invalid(
        `Cannot multiply A and B because inner dimension does not match: ${inner} vs. ${depth}.  Did you forget a transpose?  Dimensions of A: [${rows}, ${inner}).  Dimensions of B: [${b.shape}]`,
      );
    }
    const out = boundedZeros(b.dtype, [rows, columns]);
    for (const [i, tuple] of tuplesOf(a_indices).entries()) {
      const [m, k] = dims2(tuple, adjoint_a);
      if (!(k >= 0 && k < inner))
        throw invalid(`k (${k}) from index[${i},${adjoint_a ? 0 : 1}] out of bounds (>=${inner})`);
      if (!(m >= 0 && m < rows))
        throw invalid(`m (${m}) from index[${i},${adjoint_a ? 1 : 0}] out of bounds (>=${rows})`);
      const value = getElement(a_values, i);
      const a = adjoint_a ? conjugate(value) : value;
      for (let n = 0; n < columns; n++) {
        const from = adjoint_b ? conjugate(getElement(b, n * depth + k)) : getElement(b, k * columns + n);
        setElement(out, m * columns + n, plus(getElement(out, m * columns + n), times(a, from)));
      }
    }
    return [out];
  },
});

const dims2 = (pair: readonly number[], swap: boolean): readonly [number, number] =>
  swap ? [pair[1]!, pair[0]!] : [pair[0]!, pair[1]!];

function mergeDims(a: number | null, b: number | null): void {
  if (a !== null && b !== null && a !== b) throw invalid(`Dimensions must be equal, but are ${a} and ${b}`);
}

/** `indices[:, axis]` as Python writes it. */
const columnOf = (indices: Output, axis: number): Output =>
  pieces.cut(indices.graph, indices, [0, axis], [0, axis + 1], { begin: 1, end: 1, shrink: 2 });

/** `matrix_transpose(x, conjugate=True)` of a matrix. */
function adjointOf(x: Output): Output {
  return x.graph.nameScope("matrix_transpose", () => {
    const type = isComplex(x.dtype) ? "ConjugateTranspose" : "Transpose";
    const name = isComplex(x.dtype) ? "transpose" : "transpose";
    return x.graph.add(type, [x, x.graph.constant([1, 0], { dtype: "int32", name: `${name}/perm` })], {
      name,
    });
  });
}

/** Sums of a sparse tensor along axes, as a dense one. */
export const SparseReduceSum = defineOp("SparseReduceSum", {
  ...onHost,
  inputs: { input_indices: "int64", input_values: "T", input_shape: "int64", reduction_axes: "int32" },
  outputs: { output: "T" },
  attrs: {
    keep_dims: attr.bool({ default: false }),
    T: attr.type(...NUMBER_TYPES),
  },
  infer: ({ input_shape, reduction_axes }, { keep_dims }) => {
    if (input_shape.value === null || reduction_axes.value === null) return [{ shape: null }];
    const shape = toNumbers(input_shape.value);
    const axes = toNumbers(reduction_axes.value).map((axis) => (axis < 0 ? axis + shape.length : axis));
    return [{ shape: shape.flatMap((d, i) => (axes.includes(i) ? (keep_dims ? [1] : []) : [d])) }];
  },
  grad: (g, op, [dy]) => {
    const [indices, , shape, axes] = op.inputs as [Output, Output, Output, Output];
    const kept = reducedShape(g, shape, axes);
    const spread = pieces.reshape(dy!, kept);
    const dims = pieces.isOutput(kept) ? kept : g.constant([...kept], { dtype: "int32", name: "Cast/x" });
    const scale = floordiv(shape, pieces.cast(dims, "int64"));
    return [null, gatherNd(spread, floordiv(indices, scale)), null, null];
  },
  host: ({ input_indices, input_values, input_shape, reduction_axes }, { keep_dims }) => {
    const shape = toNumbers(input_shape);
    const axes = toNumbers(reduction_axes).map((axis) => {
      if (axis < -shape.length || axis >= shape.length) {
        throw invalid(`Invalid reduction dimension ${axis}, for input with ${shape.length} dimensions.`);
      }
      return axis < 0 ? axis + shape.length : axis;
    });
    const kept = [...shape.keys()].filter((axis) => !axes.includes(axis));
    const dims = kept.map((axis) => shape[axis]!);
    const out = boundedZeros(input_values.dtype, dims);
    const strides = stridesOf(dims);
    const tuples = tuplesOf(input_indices);
    checkTuples(tuples, shape, false);
    for (const [i, tuple] of tuples.entries()) {
      const at = flatOf(
        kept.map((axis) => tuple[axis]!),
        strides,
      );
      setElement(out, at, plus(getElement(out, at), getElement(input_values, i)));
    }
    return [keep_dims ? { ...out, shape: shape.map((d, i) => (axes.includes(i) ? 1 : d)) } : out];
  },
});
