/** @file Tensors put together from rows at indices, and taken apart by them: DynamicStitch, DynamicPartition. */

import {
  getElement,
  reshaped,
  type Shape,
  setElement,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Inferred,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { movable } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

interface Stitch<X> {
  readonly indices: readonly X[];
  readonly data: readonly X[];
}

function stitchedShape({ indices, data }: Stitch<Spec>): Inferred {
  const known = indices.every((i) => i.value !== null);
  const rows = known ? Math.max(-1, ...indices.flatMap((i) => toNumbers(i.value!))) + 1 : null;
  const at = data.findIndex((d, i) => d.shape !== null && indices[i]!.shape !== null);
  if (at < 0) return { shape: null };
  return { shape: [rows, ...data[at]!.shape!.slice(indices[at]!.shape!.length)] };
}

function stitched({ indices, data }: Stitch<Tensor>): Tensor {
  const all = indices.map(toNumbers);
  const rows = Math.max(-1, ...all.flat()) + 1;
  const tail = data[0]!.shape.slice(indices[0]!.shape.length);
  const out = zeros(data[0]!.dtype, [rows, ...tail]);
  const width = sizeOf(tail);
  all.forEach((ids, k) => {
    ids.forEach((row, i) => {
      if (row < 0) throw invalid(`indices[${k}] is out of range`);
      for (let j = 0; j < width; j++) setElement(out, row * width + j, getElement(data[k]!, i * width + j));
    });
  });
  return out;
}

/** Which row of all data, one behind the other, each merged row is; null where one is never given. */
function sourceRows(indices: readonly Tensor[]): number[] | null {
  const flat = indices.flatMap(toNumbers);
  const rows = new Array<number>(Math.max(-1, ...flat) + 1).fill(-1);
  flat.forEach((row, i) => {
    rows[row] = i;
  });
  return rows.includes(-1) ? null : rows;
}

function lowerStitch(onnx: Onnx, { indices, data }: Stitch<OnnxValue>): OnnxValue {
  const tail = data[0]!.shape!.slice(indices[0]!.shape!.length);
  const parts = data.map((d, k) => onnx.reshape(d, [sizeOf(indices[k]!.shape as number[]), ...tail]));
  const total = parts.reduce((n, p) => n + p.shape![0]!, 0);
  const all =
    parts.length === 1 ? parts[0]! : onnx.add("Concat", parts, { axis: 0 }, { shape: [total, ...tail] });
  const rows = sourceRows(indices.map((i) => i.constant!))!;
  return onnx.add("Gather", [all, onnx.ints(rows)], { axis: 0 }, { shape: [rows.length, ...tail] });
}

function canLower(dtype: Parameters<typeof movable>[0], { indices, data }: Stitch<Spec>): boolean {
  const values = indices.map((i) => i.value);
  if (!movable(dtype) || values.includes(null)) return false;
  const tail: Shape | undefined = data[0]!.shape?.slice(indices[0]!.shape?.length ?? 0);
  if (tail === undefined || tail.includes(null)) return false;
  const rows = sourceRows(values as Tensor[]);
  return rows !== null && rows.length > 0;
}

/** Rows of several tensors at their places in one. */
const stitchOp = <N extends string>(type: N) =>
  defineOp(type, {
    inputs: { indices: "N*int32", data: "N*T" },
    outputs: { merged: "T" },
    attrs: { N: attr.int({ min: 1 }), T: attr.type() },
    infer: (inputs) => [stitchedShape(inputs)],
    grad: (g, op, [dy], { N }) => stitchGrad(g, op.inputs.slice(0, N), dy!),
    lower: (onnx, inputs) => [lowerStitch(onnx, inputs)],
    lowers: ({ T }, inputs) => canLower(T, inputs),
    host: (inputs) => [stitched(inputs)],
  });

function stitchGrad(g: Graph, indices: readonly Output[], dy: Output): (Output | null)[] {
  const parts = indices.map((ids) => g.add("GatherV2", [dy, ids, 0], { attrs: { Taxis: "int32" } }));
  return [...indices.map(() => null), ...parts];
}

/**
 * merged[indices[m][i]] = data[m][i]; the last one given wins.
 * @see TensorFlow core/kernels/dynamic_stitch_op.cc; python/ops/data_flow_grad.py "_DynamicStitchGrads"
 */
export const DynamicStitch = stitchOp("DynamicStitch");

/** DynamicStitch that may write in any order. @see TensorFlow core/ops/data_flow_ops.cc "ParallelDynamicStitch" */
export const ParallelDynamicStitch = stitchOp("ParallelDynamicStitch");

/** Rows of `data[m]` at `indices[m]` of one tensor. Named "DynamicStitch". */
export const dynamicStitch = (
  graph: Graph,
  indices: readonly Input[],
  data: readonly Input[],
  name = "DynamicStitch",
): Output => graph.add(DynamicStitch, [indices, data], { name });

/**
 * Rows of data by the partition that each belongs to.
 * @see TensorFlow core/kernels/dynamic_partition_op.cc; python/ops/data_flow_grad.py "_DynamicPartitionGrads"
 */
export const DynamicPartition = defineOp("DynamicPartition", {
  inputs: { data: "T", partitions: "int32" },
  outputs: { outputs: "num_partitions*T" },
  attrs: { num_partitions: attr.int({ min: 1 }), T: attr.type() },
  infer: ({ data, partitions }, { num_partitions }) => {
    const known = data.shape !== null && partitions.shape !== null;
    const shape = known ? [null, ...data.shape.slice(partitions.shape.length)] : null;
    return Array.from({ length: num_partitions }, () => ({ shape }));
  },
  grad: (g, op, dys, { num_partitions }) => {
    const [data, partitions] = op.inputs as [Output, Output];
    const prefix = pieces.shape(partitions);
    const total = g.add("Prod", [prefix, g.constant([0], { dtype: "int32" })], {
      attrs: { keep_dims: false },
    });
    const ids = pieces.reshape(pieces.range(g, 0, total), prefix);
    const parts = g.addOp("DynamicPartition", [ids, partitions], { attrs: { num_partitions } }).outputs;
    const stitch = g.add("ParallelDynamicStitch", [parts, dys]);
    return [pieces.reshape(stitch, pieces.shape(data)), null];
  },
  lower: absent("the sizes of the outputs depend on values"),
  host: ({ data, partitions }, { num_partitions }) => {
    const ids = toNumbers(partitions);
    const tail = data.shape.slice(partitions.shape.length);
    const flat = reshaped(data, [ids.length, ...tail]);
    const width = sizeOf(tail);
    const bad = ids.findIndex((p) => p < 0 || p >= num_partitions);
    if (bad >= 0) throw invalid(`partitions[${bad}] = ${ids[bad]} is not in [0, ${num_partitions})`);
    return Array.from({ length: num_partitions }, (_, p) => {
      const rows = ids.flatMap((id, i) => (id === p ? [i] : []));
      const out = zeros(data.dtype, [rows.length, ...tail]);
      rows.forEach((row, i) => {
        for (let j = 0; j < width; j++) setElement(out, i * width + j, getElement(flat, row * width + j));
      });
      return out;
    });
  },
});

/** The rows of `data` in `count` tensors, by `partitions`. Named "DynamicPartition". */
export const dynamicPartition = (
  data: Output,
  partitions: Input,
  count: number,
  name = "DynamicPartition",
): Output[] =>
  data.graph.addOp(DynamicPartition, [data, partitions], { name, attrs: { num_partitions: count } }).outputs;
