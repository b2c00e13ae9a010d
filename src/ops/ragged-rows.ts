/**
 * @file Rows of ragged tensors: ranges, one a row, and rows gathered.
 *
 * @see TensorFlow core/ops/ragged_math_ops.cc, ragged_array_ops.cc; core/kernels/ragged_range_op.cc, ragged_gather_op.cc
 */

import {
  allocate,
  type DType,
  getElement,
  isBigInt,
  setElement,
  sizeOf,
  type Tensor,
  toNumbers,
} from "../base/index.ts";
import { absent, attr, defineOp, type Output, stopsGradients } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { invalid, needRank, splitsOf } from "./host-facts.ts";
import { checkedSplits, onHost, pickedRows, type SplitType, Tsplits } from "./ragged-facts.ts";

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
      boundedSize([ends.at(-1)!], attrs.T);
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
