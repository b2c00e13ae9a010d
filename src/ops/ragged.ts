/**
 * @file Ragged tensors: values, and for each level where its rows end. Made dense or sparse.
 *
 * @see TensorFlow core/ops/ragged_conversion_ops.cc; core/kernels/ragged_tensor_to_tensor_op.cc, ragged_tensor_to_sparse_kernel.cc
 */

import {
  allocate,
  broadcastShapes,
  getElement,
  type Shape,
  setElement,
  sizeOf,
  type Tensor,
  toNumbers,
} from "../base/index.ts";
import { absent, attr, defineOp, type Spec } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { broadcastIndex, invalid, longs, needRank } from "./host-facts.ts";
import * as pieces from "./pieces.ts";
import { checkedSplits, onHost, pickedRows, Tsplits } from "./ragged-facts.ts";

/** How a level's rows are told. */
type Partition = "FIRST_DIM_SIZE" | "VALUE_ROWIDS" | "ROW_SPLITS";

function partitionsOf(types: readonly string[]): Partition[] {
  for (const type of types) {
    if (!["FIRST_DIM_SIZE", "VALUE_ROWIDS", "ROW_SPLITS"].includes(type))
      throw invalid(`Unsupported row partition type: ${type}`);
  }
  const [first] = types;
  if (first !== "FIRST_DIM_SIZE" && first !== "ROW_SPLITS")
    throw invalid(first === undefined ? "row_partition_types is empty" : `${first} cannot be first`);
  return types as Partition[];
}

const raggedRank = (types: readonly Partition[]): number =>
  types[0] === "FIRST_DIM_SIZE" ? types.length - 1 : types.length;

/** Rows of each level as splits, the outer one first. */
function levelsOf(
  types: readonly Partition[],
  partitions: readonly Tensor[],
): { rows: number; levels: number[][] } {
  const levels: number[][] = [];
  let rows = types[0] === "FIRST_DIM_SIZE" ? toNumbers(partitions[0]!)[0]! : partitions[0]!.data.length - 1;
  boundedSize([rows], "string");
  const first = rows;
  types.forEach((type, i) => {
    if (type === "FIRST_DIM_SIZE") return;
    const splits =
      type === "ROW_SPLITS" ? checkedSplits(partitions[i]!) : splitsOfRows(toNumbers(partitions[i]!), rows);
    levels.push(splits);
    rows = splits.at(-1)!;
  });
  return { rows: first, levels };
}

function splitsOfRows(rowOfValue: readonly number[], rows: number): number[] {
  const splits = new Array<number>(rows + 1).fill(0);
  let before = 0;
  for (const row of rowOfValue) {
    if (row < before || row >= rows) throw invalid(`row ids must rise and stay below ${rows}, got ${row}`);
    before = row;
    splits[row + 1]!++;
  }
  for (let i = 0; i < rows; i++) splits[i + 1]! += splits[i]!;
  return splits;
}

const widest = (splits: readonly number[]): number =>
  splits.reduce((most, end, i) => (i === 0 ? 0 : Math.max(most, end - splits[i - 1]!)), 0);

/** A dense tensor of a ragged one; rows are cut or filled up to `shape`, whose -1 stand for the widest row. */
export const RaggedTensorToTensor = defineOp("RaggedTensorToTensor", {
  ...onHost,
  inputs: {
    shape: "Tshape",
    values: "T",
    default_value: "T",
    row_partition_tensors: "num_row_partition_tensors*Tindex",
  },
  outputs: { result: "T" },
  attrs: {
    T: attr.type(),
    Tindex: attr.type("int64", "int32"),
    Tshape: attr.type("int64", "int32"),
    num_row_partition_tensors: attr.int({ min: 1 }),
    row_partition_types: attr.strings(),
  },
  infer: ({ shape, values }, { row_partition_types }) => [
    { shape: denseShape(shape, values.shape, raggedRank(partitionsOf(row_partition_types))) },
  ],
  grad: absent("TensorFlow's rule masks and sums, and is not here yet"),
  host: ({ shape, values, default_value, row_partition_tensors }, attrs) => {
    const types = partitionsOf(attrs.row_partition_types);
    const { rows, levels } = levelsOf(types, row_partition_tensors);
    const asked = shape.shape.length === 0 ? null : toNumbers(shape);
    const own = [rows, ...levels.map(widest), ...values.shape.slice(1)];
    if (asked !== null && asked.length !== own.length)
      throw invalid(`shape has rank ${asked.length}, the ragged tensor ${own.length}`);
    const dims = own.map((d, i) => (asked === null || asked[i]! < 0 ? d : asked[i]!));
    const inner = dims.slice(levels.length + 1);
    if (inner.some((d, i) => d !== values.shape[i + 1]))
      throw invalid(`shape [${dims}] and values [${values.shape}] differ in their inner dims`);
    if (values.shape[0] !== levels.at(-1)?.at(-1))
      throw invalid(
        `there are ${values.shape[0]} values, the row partition tensors tell of ${levels.at(-1)?.at(-1)}`,
      );
    const outer = dims.slice(0, levels.length + 1);
    const sources = new Array<number>(boundedSize(outer, "string")).fill(-1);
    for (const [value, place] of placesOf(rows, levels, outer).entries())
      if (place >= 0) sources[place] = value;
    return [pickedRows(values, sources, dims, widened(default_value, inner))];
  },
});

/** Where each value goes in the dense tensor; -1: nowhere. */
function placesOf(rows: number, levels: readonly (readonly number[])[], dims: readonly number[]): number[] {
  let places = Array.from({ length: rows }, (_, row) => (row < dims[0]! ? row : -1));
  levels.forEach((splits, level) => {
    const width = dims[level + 1]!;
    places = places.flatMap((place, row) =>
      Array.from({ length: splits[row + 1]! - splits[row]! }, (_, k) =>
        place >= 0 && k < width ? place * width + k : -1,
      ),
    );
  });
  return places;
}

/** A default value for each element of a row. */
function widened(value: Tensor, inner: readonly number[]): Tensor {
  if (value.shape.length === 0) return value;
  const shape = broadcastShapes(value.shape, inner) as readonly number[];
  if (shape.length !== inner.length || shape.some((d, i) => d !== inner[i]))
    throw invalid(`default_value.shape=[${value.shape}] does not broadcast to [${inner}]`);
  const size = sizeOf(inner);
  const out: Tensor = { dtype: value.dtype, shape: inner, data: allocate(value.dtype, size) };
  for (let i = 0; i < size; i++) setElement(out, i, getElement(value, broadcastIndex(i, inner, value.shape)));
  return out;
}

/** @see TensorFlow core/util/ragged_to_dense_util_common.cc "CombineRaggedTensorToTensorShapes" */
function denseShape(shape: Spec, values: Shape | null, rank: number): Shape | null {
  const asked = shape.shape?.length === 1 ? askedShape(shape) : null;
  if (values === null) return asked;
  const own = [...new Array<null>(rank + 1).fill(null), ...values.slice(1)];
  if (asked === null) return own;
  if (asked.length !== own.length)
    throw invalid(
      `shape has rank ${asked.length}, but ragged_rank ${rank} and the values make ${own.length}`,
    );
  return own.map((d, i) => asked[i] ?? d);
}

function askedShape({ shape, value, partial }: Spec): Shape | null {
  const known = value === null ? partial : toNumbers(value).map((d) => (d < 0 ? null : d));
  const size = shape![0]!;
  return known ?? (size === null ? null : new Array<null>(size).fill(null));
}

/** A sparse tensor of a ragged one. */
export const RaggedTensorToSparse = defineOp("RaggedTensorToSparse", {
  ...onHost,
  inputs: { rt_nested_splits: "RAGGED_RANK*Tsplits", rt_dense_values: "T" },
  outputs: { sparse_indices: "int64", sparse_values: "T", sparse_dense_shape: "int64" },
  attrs: { RAGGED_RANK: attr.int({ min: 1 }), T: attr.type(), Tsplits },
  infer: ({ rt_nested_splits, rt_dense_values }) => {
    for (const splits of rt_nested_splits) needRank(splits, 1);
    if (rt_dense_values.shape === null)
      return [{ shape: [null, null] }, { shape: [null] }, { shape: [null] }];
    if (rt_dense_values.shape.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
    const rank = rt_dense_values.shape.length + rt_nested_splits.length;
    const count = rt_dense_values.shape.reduce<number | null>(
      (n, d) => (n === null || d === null ? null : n * d),
      1,
    );
    return [{ shape: [count, rank] }, { shape: [count] }, { shape: [rank] }];
  },
  grad: (_, op, [, dy]) => {
    const back = pieces.reshape(dy!, pieces.shape(op.inputs.at(-1)!));
    return [...op.inputs.slice(0, -1).map(() => null), back];
  },
  host: ({ rt_nested_splits, rt_dense_values }) => {
    const levels = rt_nested_splits.map(checkedSplits);
    const inner = rt_dense_values.shape.slice(1);
    if (levels.at(-1)!.at(-1) !== rt_dense_values.shape[0])
      throw invalid("Final value of ragged splits must match the length the corresponding ragged values.");
    const width = sizeOf(inner);
    const indices = indicesOf(levels).flatMap((outer) =>
      Array.from({ length: width }, (_, k) => [...outer, ...unflat(k, inner)]),
    );
    const shape = [levels[0]!.length - 1, ...levels.map(widest), ...inner];
    return [
      longs([indices.length, shape.length], indices.flat()),
      { ...rt_dense_values, shape: [indices.length] },
      longs([shape.length], shape),
    ];
  },
});

/** The place of each value, by levels. */
function indicesOf(levels: readonly (readonly number[])[]): number[][] {
  let places = Array.from({ length: levels[0]!.length - 1 }, (_, row) => [row]);
  for (const splits of levels) {
    if (splits.length - 1 !== places.length)
      throw invalid("Final value of ragged splits must match the length the corresponding ragged values.");
    places = places.flatMap((place, row) =>
      Array.from({ length: splits[row + 1]! - splits[row]! }, (_, k) => [...place, k]),
    );
  }
  return places;
}

function unflat(index: number, shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length);
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    out[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return out;
}
