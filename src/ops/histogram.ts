/**
 * @file How often values are there, in tensors, ragged and sparse matrices; and which of some ranges each value falls in.
 *
 * @see TensorFlow core/ops/math_ops.cc; core/kernels/bincount_op.cc, bucketize_op.cc
 */

import { getElement, type Shape, setElement, sizeOf, type Tensor, toNumbers, zeros } from "../base/index.ts";
import { absent, attr, defineOp, type Output, type Spec, stopsGradients } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { invalid, needRank } from "./host-facts.ts";

const counting = {
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX has no histogram, and the host is quick"),
  outputs: { output: "T" },
  attrs: {
    Tidx: attr.type("int32", "int64"),
    T: attr.type("int32", "int64", "float32", "float64"),
    binary_output: attr.bool({ default: false }),
  },
} as const;

function sizeIn(size: Spec): number | null {
  needRank(size, 0);
  const n = size.value === null ? null : toNumbers(size.value)[0]!;
  if (n !== null && n < 0) throw invalid(`size (${n}) must be non-negative`);
  return n;
}

function neededSize(size: Tensor): number {
  if (size.data.length !== 1) throw invalid(`size must be a scalar tensor, got shape [${size.shape}]`);
  const n = toNumbers(size)[0]!;
  if (n < 0) throw invalid(`size (${n}) must be non-negative`);
  return n;
}

interface Counted {
  readonly values: Tensor;
  readonly weights: Tensor;
  readonly size: number;
  /** the row of each value; null: all in one */
  readonly rowOf: ((i: number) => number) | null;
  readonly rows: number;
  readonly binary: boolean;
}

/** Sums of weights (of ones where there are none) by row and value; values beyond `size` do not count. */
function count({ values, weights, size, rowOf, rows, binary }: Counted): Tensor {
  const shape = rowOf === null ? [size] : [rows, size];
  boundedSize(shape, weights.dtype);
  const out = zeros(weights.dtype, shape);
  const isWeighted = sizeOf(weights.shape) > 0;
  const numbers = toNumbers(values);
  if (isWeighted && weights.data.length !== numbers.length) {
    throw invalid(
      `\`weights\` must be the same shape as \`arr\` or a length-0 \`Tensor\`, in which case it acts as all weights equal to 1. Received ${weights.shape}`,
    );
  }
  if (numbers.some((v) => v < 0)) throw invalid("Input arr must be non-negative!");
  const sums = out.data as Record<number, number | bigint>;
  const one = weights.dtype === "int64" ? 1n : 1;
  for (const [i, v] of numbers.entries()) {
    if (v >= size) continue;
    const at = (rowOf === null ? 0 : rowOf(i)) * size + v;
    const weight = isWeighted ? (getElement(weights, i) as number | bigint) : one;
    setElement(out, at, binary ? one : (((sums[at] as number) + (weight as number)) as number));
  }
  return out;
}

/** Counts of a vector's values, or of a matrix's row by row. */
export const DenseBincount = defineOp("DenseBincount", {
  ...counting,
  inputs: { input: "Tidx", size: "Tidx", weights: "T" },
  infer: ({ input, size }) => {
    if (input.shape !== null && input.shape.length > 2)
      throw invalid(`Shape must be at most rank 2 but is rank ${input.shape.length}`);
    const n = sizeIn(size);
    if (input.shape === null) return [{ shape: null }];
    return [{ shape: input.shape.length === 2 ? [n === null ? null : input.shape[0]!, n] : [n] }];
  },
  host: ({ input, size, weights }, { binary_output }) => {
    const [rows, width] = input.shape.length === 2 ? (input.shape as [number, number]) : [1, 0];
    const rowOf = input.shape.length === 2 ? (i: number): number => Math.floor(i / width) : null;
    return [count({ values: input, weights, size: neededSize(size), rowOf, rows, binary: binary_output })];
  },
});

/** Counts of a sparse vector's values, or of a matrix's row by row. */
export const SparseBincount = defineOp("SparseBincount", {
  ...counting,
  inputs: { indices: "int64", values: "Tidx", dense_shape: "int64", size: "Tidx", weights: "T" },
  infer: () => [{ shape: null }],
  host: ({ indices, values, dense_shape, size, weights }, { binary_output }) => {
    const shape = toNumbers(dense_shape);
    const places = toNumbers(indices);
    const [rows, rank] = [shape[0] ?? 0, shape.length];
    const rowOf = (i: number): number => {
      const row = places[i * rank]!;
      if (!(row >= 0 && row < rows))
        throw invalid(
          `Sparse index tuple indices[${i}, :] = [${places.slice(i * rank, (i + 1) * rank).join(", ")}] is out of bounds`,
        );
      return row;
    };
    const isMatrix = rank > 1;
    return [
      count({
        values,
        weights,
        size: neededSize(size),
        rowOf: isMatrix ? rowOf : null,
        rows,
        binary: binary_output,
      }),
    ];
  },
});

/** Counts of a ragged matrix's values, row by row. */
export const RaggedBincount = defineOp("RaggedBincount", {
  ...counting,
  inputs: { splits: "int64", values: "Tidx", size: "Tidx", weights: "T" },
  infer: () => [{ shape: null }],
  host: ({ splits, values, size, weights }, { binary_output }) => {
    const ends = toNumbers(splits);
    if (ends[0] !== 0) throw invalid(`Splits must start with 0, not with ${ends[0]}`);
    if (ends.at(-1) !== values.data.length) {
      throw invalid(
        `Splits must end with the number of values, got ${ends.at(-1)} instead of ${values.data.length}`,
      );
    }
    const rows: number[] = [];
    for (let row = 0; row + 1 < ends.length; row++) {
      if (ends[row + 1]! < ends[row]!) throw invalid("Splits must be sorted");
      for (let i = ends[row]!; i < ends[row + 1]!; i++) rows.push(row);
    }
    const rowOf = (i: number): number => rows[i]!;
    return [
      count({
        values,
        weights,
        size: neededSize(size),
        rowOf,
        rows: ends.length - 1,
        binary: binary_output,
      }),
    ];
  },
});

/** The number of boundaries that a value reaches: int32. NaN is beyond all. */
export const Bucketize = defineOp("Bucketize", {
  inputs: { input: "T" },
  outputs: { output: "int32" },
  attrs: { T: attr.type("int32", "int64", "float32", "float64"), boundaries: attr.floats() },
  grad: stopsGradients,
  lower: absent("the host is quick"),
  infer: ({ input }): { shape: Shape | null }[] => [{ shape: input.shape }],
  host: ({ input }, { boundaries }) => {
    if (boundaries.some((b, i) => i > 0 && b < boundaries[i - 1]!))
      throw invalid("Expected sorted boundaries");
    const reached = Float32Array.from(boundaries);
    const data = new Int32Array(sizeOf(input.shape));
    for (let i = 0; i < data.length; i++) {
      const x = Number(getElement(input, i));
      let [low, high] = [0, reached.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (x < reached[middle]!) high = middle;
        else low = middle + 1;
      }
      data[i] = low;
    }
    return [{ dtype: "int32", shape: input.shape, data }];
  },
});

/** Which range between sorted `boundaries` each value falls in: int32, the values' shape. Named "Bucketize". */
export const bucketize = (input: Output, boundaries: readonly number[], name = "Bucketize"): Output =>
  input.graph.add(Bucketize, [input], { name, attrs: { boundaries } });
