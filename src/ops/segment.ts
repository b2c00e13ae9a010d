/** @file Sums over segments, distinct values, counts. */

import {
  type DType,
  getElement,
  type Shape,
  setElement,
  sizeOf,
  sizeOrNull,
  type Tensor,
  toNumbers,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import { absent, attr, defineOp, type Graph, type Input, type Output, shapeTensor } from "../graph/index.ts";
import { checkedIndices } from "./gather.ts";
import { segmentSum as sumSegments } from "./kernels/gather.ts";
import { outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";
import { scatterRowNodes } from "./scatter-onnx.ts";
import { NUMBER_TYPES } from "./signatures.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** Dtypes that ONNX Runtime's ScatterElements adds up. */
const SUMMABLE = new Set<DType>(["float32", "float64", "int32", "int64"]);

function unsortedShape(data: Shape | null, ids: Shape | null, count: number | null): Shape | null {
  if (data === null || ids === null) return null;
  const leading = data.slice(0, ids.length);
  if (ids.length > data.length || ids.some((d, i) => d !== null && leading[i] !== null && d !== leading[i])) {
    throw invalid(`data.shape = [${data}] does not start with segment_ids.shape = [${ids}]`);
  }
  return [count, ...data.slice(ids.length)];
}

/** Rows of data summed by segment; negative segments are left out. @see TensorFlow core/ops/math_ops.cc "UnsortedSegmentSum" */
export const UnsortedSegmentSum = defineOp("UnsortedSegmentSum", {
  inputs: { data: "T", segment_ids: "Tindices", num_segments: "Tnumsegments" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type(...NUMBER_TYPES),
    Tindices: attr.type("int16", "int32", "int64"),
    Tnumsegments: attr.typeOr("int32", "int32", "int64"),
  },
  infer: ({ data, segment_ids, num_segments }) => {
    const count =
      num_segments.value === null ? (num_segments.partial?.[0] ?? null) : toNumbers(num_segments.value)[0]!;
    if (count !== null && count < 0)
      throw invalid(`Dimension size, given by scalar input ${count}, must be non-negative`);
    return [{ shape: unsortedShape(data.shape, segment_ids.shape, count) }];
  },
  grad: (g, op, [dy]) => [dropNegatives(g, dy!, op.inputs[1]!), null, null],
  lower: (onnx, inputs, { T }, op) => {
    const shape = outShape(op, inputs)!;
    const [data, ids] = [inputs.data, onnx.cast(inputs.segment_ids, "int64")];
    const tail = data.shape!.slice(ids.shape!.length);
    const count = onnx.reshape(onnx.cast(inputs.num_segments, "int64"), [1]);
    // One more row takes what has a negative segment, and is cut off.
    const spill = onnx.add("Add", [count, onnx.scalar(1, "int64")], {}, { dtype: "int64", shape: [1] });
    const dims =
      tail.length === 0
        ? spill
        : onnx.add(
            "Concat",
            [spill, onnx.ints(tail as number[])],
            { axis: 0 },
            { dtype: "int64", shape: [shape.length] },
          );
    const wide = [shape[0] === null ? null : shape[0]! + 1, ...tail];
    const zero = { tensor: zeros(T, [1]) };
    const base = onnx.add("ConstantOfShape", [dims], { value: zero }, { dtype: T, shape: wide });
    const negative = onnx.add(
      "Less",
      [ids, onnx.scalar(0, "int64")],
      {},
      { dtype: "bool", shape: ids.shape },
    );
    const rows = onnx.add("Where", [negative, count, ids], {}, { dtype: "int64", shape: ids.shape });
    const n = sizeOrNull(ids.shape);
    const sums = scatterRowNodes(
      onnx,
      base,
      onnx.reshape(rows, [n]),
      onnx.reshape(data, [n, ...tail]),
      "add",
    );
    return [onnx.add("Slice", [sums, onnx.ints([0]), count], {}, { shape })];
  },
  lowers: ({ T }, { data, segment_ids, num_segments }) =>
    SUMMABLE.has(T) &&
    !beyond(segment_ids.value, num_segments.value) &&
    segment_ids.shape !== null &&
    data.shape !== null &&
    !data.shape.slice(segment_ids.shape.length).includes(null),
  host: ({ data, segment_ids, num_segments }) => {
    const count = toNumbers(num_segments)[0]!;
    const shape = unsortedShape(data.shape, segment_ids.shape, count) as number[];
    return [sumSegments(data, toNumbers(segment_ids), count, shape.slice(1))];
  },
});

const beyond = (ids: Tensor | null, count: Tensor | null): boolean =>
  ids !== null && count !== null && toNumbers(ids).some((id) => id >= toNumbers(count)[0]!);

/** Rows of `params` at `ids`, zeros where an id is negative. @see TensorFlow python/ops/math_grad.py "_GatherDropNegatives" */
function dropNegatives(g: Graph, params: Output, ids: Output): Output {
  const clipped = g.add("Maximum", [ids, pieces.zerosLike(ids)]);
  const gathered = g.add("GatherV2", [params, clipped, 0], { attrs: { Taxis: "int32" } });
  const positive = g.add("GreaterEqual", [ids, 0]);
  const shape = pieces.shape(positive);
  const rank = pieces.rank(gathered);
  const extra = g.add("Sub", [rank, pieces.rank(positive)], { name: "sub" });
  const tail = pieces.ones(g, [extra], { dtype: "int32" });
  const column = pieces.reshape(positive, pieces.concat([shape, tail], 0));
  const mask = g.add("LogicalAnd", [column, pieces.onesLike(gathered, { dtype: "bool" })], { name: "and" });
  return g.add("SelectV2", [mask, gathered, pieces.zerosLike(gathered)]);
}

/** Rows of `data` summed by segment into `count` rows. Named "UnsortedSegmentSum". */
export const unsortedSegmentSum = (
  data: Output,
  segmentIds: Input,
  count: Input,
  name = "UnsortedSegmentSum",
): Output =>
  data.graph.add(UnsortedSegmentSum, [data, segmentIds, count], {
    name,
    attrs: { Tindices: pieces.isOutput(segmentIds) ? segmentIds.dtype : "int32" },
  });

function checkSorted(ids: readonly number[]): void {
  const bad = ids.findIndex((id, i) => i > 0 && id < ids[i - 1]!);
  if (bad >= 0) throw invalid("segment ids are not increasing");
  if ((ids[0] ?? 0) < 0) throw invalid("segment ids must be >= 0");
}

/** Rows of data summed by segment, in rising order. @see TensorFlow core/kernels/segment_reduction_ops_impl.h "SegmentSum" */
export const SegmentSum = defineOp("SegmentSum", {
  inputs: { data: "T", segment_ids: "Tindices" },
  outputs: { output: "T" },
  attrs: { T: attr.type(...NUMBER_TYPES), Tindices: attr.type("int32", "int64") },
  infer: ({ data, segment_ids }) => {
    if (segment_ids.shape !== null && segment_ids.shape.length !== 1) {
      throw invalid(`Shape must be rank 1 but is rank ${segment_ids.shape.length}`);
    }
    return [{ shape: data.shape === null ? null : [null, ...data.shape.slice(1)] }];
  },
  grad: (g, op, [dy]) => [g.add("GatherV2", [dy!, op.inputs[1]!, 0], { attrs: { Taxis: "int32" } }), null],
  lower: (onnx, { data, segment_ids }, { T }) => {
    const rows = toNumbers(segment_ids.constant!).at(-1)! + 1;
    const shape = [rows, ...data.shape!.slice(1)] as number[];
    const base = onnx.add(
      "ConstantOfShape",
      [onnx.ints(shape)],
      { value: { tensor: zeros(T, [1]) } },
      { dtype: T, shape },
    );
    return [scatterRowNodes(onnx, base, checkedIndices(onnx, segment_ids), data, "add")];
  },
  // The number of segments is a value: it must be known.
  lowers: ({ T }, { data, segment_ids }) =>
    SUMMABLE.has(T) &&
    segment_ids.value !== null &&
    isRising(toNumbers(segment_ids.value)) &&
    data.shape !== null &&
    !data.shape.slice(1).includes(null),
  host: ({ data, segment_ids }) => {
    const ids = toNumbers(segment_ids);
    if (ids.length !== data.shape[0])
      throw invalid(`segment_ids should be the same size as dimension 0 of input.`);
    checkSorted(ids);
    return [sumSegments(data, ids, (ids.at(-1) ?? -1) + 1, data.shape.slice(1))];
  },
});

const isRising = (ids: readonly number[]): boolean =>
  ids.length > 0 && ids[0]! >= 0 && ids.every((id, i) => i === 0 || id >= ids[i - 1]!);

/** Key of an element that Map tells apart as TF does: NaN is never equal to itself, -0 is 0. */
function keyOf(x: ReturnType<typeof getElement>, i: number): unknown {
  if (x instanceof Uint8Array) return Array.from(x, (b) => String.fromCharCode(b)).join("");
  if (typeof x === "number" && Number.isNaN(x)) return { nan: i };
  return Array.isArray(x) ? x.join() : x;
}

function distinct(x: Tensor): { values: number[]; places: number[]; counts: number[] } {
  if (x.shape.length !== 1) throw invalid("unique expects a 1D vector.");
  const seen = new Map<unknown, number>();
  const [values, counts]: number[][] = [[], []];
  const places = Array.from({ length: x.shape[0]! }, (_, i) => {
    const key = keyOf(getElement(x, i), i);
    const at = seen.get(key) ?? values!.length;
    if (at === values!.length) {
      seen.set(key, at);
      values!.push(i);
      counts!.push(0);
    }
    counts![at]!++;
    return at;
  });
  return { values: values!, places, counts: counts! };
}

function rowsAt(x: Tensor, rows: readonly number[]): Tensor {
  const out = zeros(x.dtype, [rows.length]);
  rows.forEach((row, i) => {
    setElement(out, i, getElement(x, row));
  });
  return out;
}

const indexOut = attr.typeOr("int32", "int32", "int64");

/** Distinct values in order of appearance, and which of them each element is. @see TensorFlow core/kernels/unique_op.cc */
export const Unique = defineOp("Unique", {
  inputs: { x: "T" },
  outputs: { y: "T", idx: "out_idx" },
  attrs: { T: attr.type(), out_idx: indexOut },
  infer: ({ x }) => [{ shape: [null] }, { shape: x.shape }],
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX's Unique compares NaN otherwise, and the host is quick"),
  host: ({ x }, { out_idx }) => {
    const { values, places } = distinct(x);
    return [rowsAt(x, values), shapeTensor(places, out_idx as "int32")];
  },
});

/** Unique, with how often each value is there. @see TensorFlow core/kernels/unique_op.cc */
export const UniqueWithCounts = defineOp("UniqueWithCounts", {
  inputs: { x: "T" },
  outputs: { y: "T", idx: "out_idx", count: "out_idx" },
  attrs: { T: attr.type(), out_idx: indexOut },
  infer: ({ x }) => [{ shape: [null] }, { shape: x.shape }, { shape: [null] }],
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX's Unique compares NaN otherwise, and the host is quick"),
  host: ({ x }, { out_idx }) => {
    const { values, places, counts } = distinct(x);
    const type = out_idx as "int32";
    return [rowsAt(x, values), shapeTensor(places, type), shapeTensor(counts, type)];
  },
});

/** Distinct values of a vector and the index of each element among them. Named "Unique". */
export function unique(x: Output, name = "Unique"): { readonly y: Output; readonly idx: Output } {
  const [y, idx] = x.graph.addOp(Unique, [x], { name }).outputs;
  return { y: y!, idx: idx! };
}

/** How often each value below size is there, or the sum of its weights. @see TensorFlow core/kernels/bincount_op.cc */
export const Bincount = defineOp("Bincount", {
  inputs: { arr: "int32", size: "int32", weights: "T" },
  outputs: { bins: "T" },
  attrs: { T: attr.type("int32", "int64", "float32", "float64") },
  infer: ({ size }) => {
    if (size.shape !== null && size.shape.length !== 0)
      throw invalid(`Shape must be rank 0 but is rank ${size.shape.length}`);
    const n = size.value === null ? null : toNumbers(size.value)[0]!;
    if (n !== null && n < 0) throw invalid(`size (${n}) must be non-negative`);
    return [{ shape: [n] }];
  },
  grad: () => [null, null, null],
  lower: absent("ONNX has no histogram, and the host is quick"),
  host: ({ arr, size, weights }, { T }) => {
    const n = toNumbers(size)[0]!;
    if (n < 0) throw invalid(`size (${n}) must be non-negative`);
    const values = toNumbers(arr);
    if (values.some((v) => v < 0)) throw invalid("Input arr must be non-negative!");
    const weighted = sizeOf(weights.shape) > 0;
    const ones = weighted ? weights : countingOnes(T, values.length);
    return [
      sumSegments(
        ones,
        values.map((v) => (v < n ? v : -1)),
        n,
        [],
      ),
    ];
  },
});

function countingOnes(dtype: DType, count: number): Tensor {
  const out = zeros(dtype, [count]);
  for (let i = 0; i < count; i++) setElement(out, i, dtype === "int64" ? 1n : 1);
  return out;
}
