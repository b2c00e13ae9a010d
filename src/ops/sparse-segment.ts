/**
 * @file Rows of a table picked by index and put together by segment: sums, means, sums over √n. What weighted embeddings are made of.
 *
 * @see TensorFlow core/ops/math_ops.cc; core/kernels/segment_reduction_ops_impl.h; python/ops/math_grad.py
 */

import {
  getElement,
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
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { invalid, needRank } from "./host-facts.ts";
import * as pieces from "./pieces.ts";
import { FLOATS, REAL_TYPES } from "./signatures.ts";

type Kind = "Sum" | "Mean" | "SqrtN";

const index = attr.typeOr("int32", "int32", "int64");
const attrsOf = (kind: Kind) => ({
  T: attr.type(...(kind === "Sum" ? REAL_TYPES : FLOATS)),
  Tidx: index,
  Tsegmentids: index,
  sparse_gradient: attr.bool({ default: false }),
});
const onHost = { lower: absent("segments of any length are the host's") } as const;

/** What one row of a segment of `count` rows weighs. */
const weightOf = (kind: Kind, count: number): number =>
  kind === "Sum" ? 1 : kind === "Mean" ? 1 / count : 1 / Math.sqrt(count);

function inferRows(data: Spec, indices: Spec, ids: Spec, rows: number | null): { shape: Shape | null }[] {
  needRank(indices, 1);
  needRank(ids, 1);
  if (data.shape === null) return [{ shape: null }];
  if (data.shape.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
  return [{ shape: [rows, ...data.shape.slice(1)] }];
}

interface Picked {
  readonly data: Tensor;
  readonly indices: readonly number[];
  readonly ids: readonly number[];
  readonly rows: number;
}

function checked(data: Tensor, indices: Tensor, segments: Tensor, count: number | null): Picked {
  const [picks, ids] = [toNumbers(indices), toNumbers(segments)];
  if (picks.length !== ids.length) throw invalid("segment_ids and indices should have same size.");
  if (ids.some((id, i) => i > 0 && id < ids[i - 1]!)) throw invalid("segment ids are not increasing");
  const rows = count ?? (ids.length === 0 ? 0 : ids.at(-1)! + 1);
  if (rows < 0) throw invalid("segment ids must be >= 0");
  if (rows <= (ids.at(-1) ?? -1)) throw invalid("segment ids must be < num_segments");
  ids.forEach((id) => {
    if (id < 0 || id >= rows) {
      throw invalid(
        `Segment id ${id} out of range [0, ${rows}), possibly because 'segment_ids' input is not sorted.`,
      );
    }
  });
  boundedSize([rows], "string");
  const size = data.shape[0]!;
  picks.forEach((pick, i) => {
    if (pick < 0 || pick >= size) throw invalid(`Bad: indices[${i}] == ${pick} out of range [0, ${size})`);
  });
  return { data, indices: picks, ids, rows };
}

const countsOf = (ids: readonly number[], rows: number): number[] => {
  const counts = new Array<number>(rows).fill(0);
  for (const id of ids) counts[id]!++;
  return counts;
};

/** Rows `from` of data added to rows `to`, each times its weight. */
function addRows(
  data: Tensor,
  rows: number,
  from: readonly number[],
  to: readonly number[],
  weights: readonly number[] | null,
): Tensor {
  const inner = data.shape.slice(1);
  const width = sizeOf(inner);
  boundedSize([rows, width], "string");
  const isBig = data.data instanceof BigInt64Array || data.data instanceof BigUint64Array;
  const sums = new Array<number | bigint>(rows * width).fill(isBig ? 0n : 0);
  for (const [i, row] of from.entries()) {
    for (let k = 0; k < width; k++) {
      const at = to[i]! * width + k;
      const value = getElement(data, row * width + k) as number;
      sums[at] = (sums[at] as number) + (weights === null ? value : value * weights[i]!);
    }
  }
  const out = zeros(data.dtype, [rows, ...inner]);
  for (const [i, sum] of sums.entries()) setElement(out, i, sum);
  return out;
}

function reduced(kind: Kind, { data, indices, ids, rows }: Picked): Tensor {
  if (kind === "Sum") return addRows(data, rows, indices, ids, null);
  const counts = countsOf(ids, rows);
  const weights = ids.map((id) => weightOf(kind, counts[id]!));
  return addRows(data, rows, indices, ids, weights);
}

/** The gradient: rows of dy at the picked rows. */
function grad(kind: Kind) {
  return (_: Graph, op: Operation, [dy]: readonly Output[], attrs: { readonly sparse_gradient: boolean }) => {
    if (attrs.sparse_gradient)
      throw new VarscopeError("UNIMPLEMENTED", `sparse_gradient of ${op.type}`, {
        at: op.name,
        hint: "set it to false",
      });
    const g = op.graph;
    const size = pieces.element(g, pieces.shape(op.inputs[0]!), 0);
    const type = `SparseSegment${kind}Grad`;
    const dx = g.add(type, [dy!, op.inputs[1]!, op.inputs[2]!, size]);
    return [dx, ...op.inputs.slice(1).map(() => null)];
  };
}

const reducer = (kind: Kind) =>
  defineOp(`SparseSegment${kind}`, {
    ...onHost,
    inputs: { data: "T", indices: "Tidx", segment_ids: "Tsegmentids" },
    outputs: { output: "T" },
    attrs: attrsOf(kind),
    infer: ({ data, indices, segment_ids }) => inferRows(data, indices, segment_ids, null),
    grad: grad(kind),
    host: ({ data, indices, segment_ids }) => [reduced(kind, checked(data, indices, segment_ids, null))],
  });

const counted = (kind: Kind) =>
  defineOp(`SparseSegment${kind}WithNumSegments`, {
    ...onHost,
    inputs: { data: "T", indices: "Tidx", segment_ids: "Tsegmentids", num_segments: "Tnumsegments" },
    outputs: { output: "T" },
    attrs: { ...attrsOf(kind), Tnumsegments: index },
    infer: ({ data, indices, segment_ids, num_segments }) => {
      needRank(num_segments, 0);
      const rows = num_segments.value === null ? null : toNumbers(num_segments.value)[0]!;
      if (rows !== null && rows < 0) throw invalid("Cannot specify a negative value for num_segments");
      return inferRows(data, indices, segment_ids, rows);
    },
    grad: grad(kind),
    host: ({ data, indices, segment_ids, num_segments }) => [
      reduced(kind, checked(data, indices, segment_ids, toNumbers(num_segments)[0]!)),
    ],
  });

const gradient = (kind: Kind) =>
  defineOp(`SparseSegment${kind}Grad`, {
    ...onHost,
    inputs: { grad: "T", indices: "Tidx", segment_ids: "Tsegmentids", output_dim0: "int32" },
    outputs: { output: "T" },
    attrs: { T: attr.type(...FLOATS), Tidx: index, Tsegmentids: index },
    infer: ({ grad, indices, segment_ids, output_dim0 }) => {
      needRank(output_dim0, 0);
      const rows =
        output_dim0.value === null ? (output_dim0.partial?.[0] ?? null) : toNumbers(output_dim0.value)[0]!;
      return inferRows(grad, indices, segment_ids, rows);
    },
    grad: absent("TensorFlow registers none"),
    host: ({ grad, indices, segment_ids, output_dim0 }) => {
      const [picks, ids, rows] = [toNumbers(indices), toNumbers(segment_ids), toNumbers(output_dim0)[0]!];
      if (picks.length !== ids.length) throw invalid("segment_ids and indices should have same size.");
      const size = grad.shape[0]!;
      if ((ids.at(-1) ?? -1) + 1 > size) throw invalid("Invalid number of segments");
      picks.forEach((pick, i) => {
        if (pick < 0 || pick >= rows) throw invalid(`Index ${pick} out of range [0, ${rows}).`);
        if (ids[i]! < 0 || ids[i]! >= size) throw invalid(`Segment id ${ids[i]} out of range [0, ${size}).`);
      });
      const counts = countsOf(ids, grad.shape[0]!);
      const weights = kind === "Sum" ? null : ids.map((id) => weightOf(kind, counts[id]!));
      return [addRows(grad, rows, ids, picks, weights)];
    },
  });

/** Sums of picked rows, by segment. */
export const SparseSegmentSum = reducer("Sum");
/** Means of picked rows, by segment; 0 where there are none. */
export const SparseSegmentMean = reducer("Mean");
/** Sums of picked rows over the root of their number, by segment. */
export const SparseSegmentSqrtN = reducer("SqrtN");
/** Sums of picked rows, for a number of segments. */
export const SparseSegmentSumWithNumSegments = counted("Sum");
/** Means of picked rows, for a number of segments. */
export const SparseSegmentMeanWithNumSegments = counted("Mean");
/** Sums of picked rows over the root of their number, for a number of segments. */
export const SparseSegmentSqrtNWithNumSegments = counted("SqrtN");
/** The gradient of SparseSegmentSum. */
export const SparseSegmentSumGrad = gradient("Sum");
/** The gradient of SparseSegmentMean. */
export const SparseSegmentMeanGrad = gradient("Mean");
/** The gradient of SparseSegmentSqrtN. */
export const SparseSegmentSqrtNGrad = gradient("SqrtN");
