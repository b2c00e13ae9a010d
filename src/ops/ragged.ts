/**
 * @file Ragged tensors: values, and for each level where its rows end. Made dense or sparse, gathered, counted up.
 *
 * @see TensorFlow core/ops/ragged_conversion_ops.cc, ragged_array_ops.cc, ragged_math_ops.cc; core/kernels/ragged_tensor_to_tensor_op.cc,
 * ragged_tensor_to_sparse_kernel.cc, ragged_gather_op.cc, ragged_range_op.cc
 */

import {
  allocate,
  broadcastShapes,
  type DType,
  getElement,
  isBigInt,
  type Shape,
  setElement,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import { absent, attr, defineOp, type Output, type Spec, stopsGradients } from "../graph/index.ts";
import * as pieces from "./pieces.ts";
import { invalid, longs, needRank, splitsOf } from "./string-facts.ts";

const onHost = { lower: absent("ONNX has no ragged tensors") } as const;
type SplitType = "int32" | "int64";
const Tsplits = attr.typeOr("int64", "int32", "int64");

/** More elements than memory holds. */
const MOST_ELEMENTS = 2 ** 31;

function boundedSize(shape: readonly number[]): number {
  const size = sizeOf(shape);
  if (size <= MOST_ELEMENTS) return size;
  throw new VarscopeError(
    "RESOURCE_EXHAUSTED",
    `a tensor of shape [${shape}] has over ${MOST_ELEMENTS} elements`,
  );
}

/** A tensor of rows that `from` has, by number; `fill` where that is -1. */
function pickedRows(
  from: Tensor,
  rows: readonly number[],
  shape: readonly number[],
  fill: Tensor | null,
): Tensor {
  const width = sizeOf(from.shape.slice(1));
  const out: Tensor = { dtype: from.dtype, shape, data: allocate(from.dtype, boundedSize(shape)) };
  for (const [i, row] of rows.entries()) {
    for (let k = 0; k < width; k++) {
      if (row >= 0) setElement(out, i * width + k, getElement(from, row * width + k));
      else if (fill !== null)
        setElement(out, i * width + k, getElement(fill, fill.data.length === 1 ? 0 : k));
    }
  }
  return out;
}

/** Splits of one level, checked. @throws VarscopeError INVALID_ARGUMENT */
function checkedSplits(splits: Tensor): number[] {
  const ends = toNumbers(splits);
  if (ends.length === 0) throw invalid("Invalid row split: the row splits are empty");
  if (ends[0] !== 0) throw invalid(`First value of ragged splits must be 0.`);
  ends.forEach((end, i) => {
    if (i > 0 && end < ends[i - 1]!) throw invalid("Ragged splits must be monotonically increasing");
  });
  return ends;
}

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
    boundedSize(dims);
    const sources = new Array<number>(boundedSize(outer)).fill(-1);
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
  if (value.data.length === 1 || value.shape.length === 0) return value;
  const shape = broadcastShapes(value.shape, inner) as readonly number[];
  if (shape.length !== inner.length || shape.some((d, i) => d !== inner[i]))
    throw invalid(`default_value.shape=[${value.shape}] does not broadcast to [${inner}]`);
  const size = sizeOf(inner);
  const out: Tensor = { dtype: value.dtype, shape: inner, data: allocate(value.dtype, size) };
  for (let i = 0; i < size; i++) setElement(out, i, getElement(value, i % value.data.length));
  if (value.shape.length !== inner.length && value.shape.some((d) => d === 1))
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `default_value of shape [${value.shape}] for rows of shape [${inner}]`,
    );
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

/** One element a row: a scalar goes with every row. */
function columnOf(x: Tensor, rows: number, what: string): (row: number) => number | bigint {
  if (x.shape.length > 1) throw invalid(`${what} must be a scalar or vector`);
  if (x.shape.length === 1 && x.data.length !== rows)
    throw invalid("starts, limits, and deltas must have the same shape");
  return (row) => getElement(x, x.shape.length === 0 ? 0 : row) as number | bigint;
}

/** start, start + delta, ... below limit, one range a row. */
export const RaggedRange = defineOp("RaggedRange", {
  ...onHost,
  inputs: { starts: "T", limits: "T", deltas: "T" },
  outputs: { rt_nested_splits: "Tsplits", rt_dense_values: "T" },
  attrs: { T: attr.typeOr("int32", "bfloat16", "float32", "float64", "int32", "int64"), Tsplits },
  infer: (inputs) => {
    const all = Object.values(inputs).map((x) => x.shape);
    const deep = all.find((shape) => shape !== null && shape.length > 1);
    if (deep !== undefined) throw invalid(`Shape must be at most rank 1 but is rank ${deep!.length}`);
    if (all.every((shape) => shape?.length === 0)) return [{ shape: [2] }, { shape: [null] }];
    if (all.some((shape) => shape === null) && all.every((shape) => shape === null || shape.length === 0))
      return [{ shape: [null] }, { shape: [null] }];
    const sizes = all.flatMap((shape) => shape ?? []);
    const known = [...new Set(sizes.filter((d) => d !== null))];
    if (known.length > 1) throw invalid(`Dimensions must be equal, but are ${known[0]} and ${known[1]}`);
    return [{ shape: [known.length === 0 ? null : known[0]! + 1] }, { shape: [null] }];
  },
  grad: stopsGradients,
  host: ({ starts, limits, deltas }, attrs) => {
    const vectors = [starts, limits, deltas].filter((x) => x.shape.length > 0);
    const rows = vectors.length === 0 ? 1 : vectors[0]!.data.length;
    const at = {
      start: columnOf(starts, rows, "starts"),
      limit: columnOf(limits, rows, "limits"),
      delta: columnOf(deltas, rows, "deltas"),
    };
    const ends = [0];
    for (let row = 0; row < rows; row++) {
      ends.push(ends.at(-1)! + rangeSize(at.start(row), at.limit(row), at.delta(row)));
      if (ends.at(-1)! > MOST_ELEMENTS)
        throw new VarscopeError("RESOURCE_EXHAUSTED", `ranges of over ${MOST_ELEMENTS} elements`);
    }
    const dtype = attrs.T as DType;
    const values: Tensor = { dtype, shape: [ends.at(-1)!], data: allocate(dtype, ends.at(-1)!) };
    for (let row = 0; row < rows; row++)
      fillRange(values, ends[row]!, ends[row + 1]!, at.start(row), at.delta(row));
    return [splitsOf(attrs.Tsplits as SplitType, ends), values];
  },
});

function rangeSize(start: number | bigint, limit: number | bigint, delta: number | bigint): number {
  const step = Number(delta);
  if (step === 0) throw invalid("Requires delta != 0");
  const span = Number(limit) - Number(start);
  return span === 0 || span > 0 !== step > 0 ? 0 : Math.ceil(Math.abs(span / step));
}

/** Adds delta step by step, and rounds each time, as TensorFlow does. */
function fillRange(
  out: Tensor,
  from: number,
  to: number,
  start: number | bigint,
  delta: number | bigint,
): void {
  let value = start;
  for (let i = from; i < to; i++) {
    setElement(out, i, value);
    const kept = getElement(out, i);
    value = isBigInt(out.dtype) ? (kept as bigint) + (delta as bigint) : (kept as number) + (delta as number);
  }
}

/** Ragged rows by index. */
export const RaggedGather = defineOp("RaggedGather", {
  ...onHost,
  inputs: {
    params_nested_splits: "PARAMS_RAGGED_RANK*Tsplits",
    params_dense_values: "Tvalues",
    indices: "Tindices",
  },
  outputs: { output_nested_splits: "OUTPUT_RAGGED_RANK*Tsplits", output_dense_values: "Tvalues" },
  attrs: {
    Tvalues: attr.type(),
    Tindices: attr.type("int32", "int64"),
    Tsplits,
    PARAMS_RAGGED_RANK: attr.int({ min: 1 }),
    OUTPUT_RAGGED_RANK: attr.int({ min: 0 }),
  },
  infer: ({ params_nested_splits, params_dense_values, indices }, { OUTPUT_RAGGED_RANK }) => {
    for (const splits of params_nested_splits) needRank(splits, 1);
    const { shape } = params_dense_values;
    const rank =
      indices.shape === null ? OUTPUT_RAGGED_RANK : indices.shape.length + params_nested_splits.length - 1;
    if (rank !== OUTPUT_RAGGED_RANK)
      throw invalid("output_ragged_rank must be equal to indices.rank + params_ragged_rank - 1");
    return [
      ...new Array(OUTPUT_RAGGED_RANK).fill({ shape: [null] }),
      { shape: shape === null ? null : [null, ...shape.slice(1)] },
    ];
  },
  grad: absent("TensorFlow's rule is not here yet"),
  host: ({ params_nested_splits, params_dense_values, indices }, attrs) => {
    const levels = params_nested_splits.map(checkedSplits);
    const type = attrs.Tsplits as SplitType;
    const count = levels[0]!.length - 1;
    const wanted = toNumbers(indices);
    wanted.forEach((row, i) => {
      if (row < 0 || row >= count) throw invalid(`indices[${i}] = ${row} is not in [0, ${count})`);
    });
    const outer = indices.shape.slice(0, -1).map((_, axis) => {
      const [rows, width] = [sizeOf(indices.shape.slice(0, axis + 1)), indices.shape[axis + 1]!];
      return Array.from({ length: rows + 1 }, (_, i) => i * width);
    });
    let ranges: readonly (readonly [number, number])[] = wanted.map((row) => [row, row + 1]);
    const inner = levels.map((splits) => {
      const ends = [0];
      for (const [from, to] of ranges)
        for (let row = from; row < to; row++) ends.push(ends.at(-1)! + splits[row + 1]! - splits[row]!);
      ranges = ranges.map(([from, to]) => [splits[from]!, splits[to]!]);
      return ends;
    });
    const rows = ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, k) => from + k));
    const shape = [rows.length, ...params_dense_values.shape.slice(1)];
    return [
      // a single row has no outer level
      ...[...outer, ...inner.slice(indices.shape.length === 0 ? 1 : 0)].map((ends) => splitsOf(type, ends)),
      pickedRows(params_dense_values, rows, shape, null),
    ];
  },
});

/** A ragged matrix: where rows end, and all values. */
export interface RaggedRows {
  /** int64 [rows + 1] */
  readonly rowSplits: Output;
  readonly values: Output;
}

/** Ranges [start, limit), one a row. Named "RaggedRange". @see TensorFlow python/ops/ragged/ragged_math_ops.py "range" */
export function raggedRange(
  starts: Output,
  limits: Output | number,
  deltas: Output | number = 1,
  name = "RaggedRange",
): RaggedRows {
  const op = starts.graph.addOp(RaggedRange, [starts, limits, deltas], { name });
  return { rowSplits: op.output(0), values: op.output(1) };
}
