/** @file Reading at indices: Gather, GatherV2, GatherNd. Writing is in scatter.ts, the gradient of GatherV2 in gather-grad.ts. */

import {
  mergeShapes,
  normalizeAxis,
  type Shape,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  constantValue,
  defineOp,
  type Grad,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { countOf, gatherGrad, rowsGrad } from "./gather-grad.ts";
import { gatherAlong, gatherNd as gatherTuples } from "./kernels/gather.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** Indices for ONNX, which would count negative ones from the end: those are sent outside, so that they fail as in TF. */
export function checkedIndices(onnx: Onnx, indices: OnnxValue): OnnxValue {
  const { constant } = indices;
  if (constant !== null && toNumbers(constant).every((i) => i >= 0)) return onnx.cast(indices, "int64");
  const wide = onnx.cast(indices, "int64");
  const out = { dtype: "int64", shape: indices.shape } as const;
  const negative = onnx.add(
    "Less",
    [wide, onnx.scalar(0, "int64")],
    {},
    { dtype: "bool", shape: indices.shape },
  );
  return onnx.add("Where", [negative, onnx.scalar(2 ** 31 - 1, "int64"), wide], {}, out);
}

/**
 * Whether constant indices (tuples of as many as `dims`) point outside: then the host says so in TF's words. Indices that are fed and
 * point outside fail in ONNX Runtime, in its words.
 */
export function pointsOutside(indices: Spec, dims: Shape): boolean {
  if (indices.value === null) return false;
  return toNumbers(indices.value).some((at, i) => {
    const dim = dims[i % dims.length] ?? null;
    return at < 0 || (dim !== null && at >= dim);
  });
}

/** Rows of params along axis 0: graphs before TF 1.4. @see TensorFlow core/ops/array_ops.cc "Gather" */
export const Gather = defineOp("Gather", {
  inputs: { params: "Tparams", indices: "Tindices" },
  outputs: { output: "Tparams" },
  attrs: {
    validate_indices: attr.bool({ default: true }),
    Tparams: attr.type(),
    Tindices: attr.type("int32", "int64"),
  },
  infer: ({ params, indices }) => {
    if (params.shape?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
    const known = params.shape !== null && indices.shape !== null;
    return [{ shape: known ? [...indices.shape, ...params.shape.slice(1)] : null }];
  },
  partial: ({ params, indices }) => partialGather(params, indices),
  grad: (g, op, [dy]) => {
    const [params, indices] = op.inputs as [Output, Output];
    const shape = g.colocateWith(params, () => pieces.shape(params));
    return [rowsGrad(g, dy as Grad, indices, countOf(g, indices), shape), null];
  },
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    return [
      onnx.add("Gather", [inputs.params, checkedIndices(onnx, inputs.indices)], { axis: 0 }, { shape }),
    ];
  },
  lowers: ({ Tparams }, { params, indices }) =>
    movable(Tparams) && !pointsOutside(indices, [params.shape?.[0] ?? null]),
  host: ({ params, indices }) => [gatherAlong(params, indices, 0, 0)],
});

function partialGather(params: Spec, indices: Spec): Shape | null {
  if (params.partial === null || indices.value === null) return null;
  return toNumbers(indices.value).map((i) => params.partial![i] ?? null);
}

interface GatherFacts {
  readonly params: { readonly shape: Shape | null };
  readonly indices: { readonly shape: Shape | null };
}

/** Axis and batch dims counted from 0; the axis null where it is not known. */
function placeOf({ params, indices }: GatherFacts, axis: number | null, batchDims: number) {
  const batch =
    batchDims < 0 ? (indices.shape === null ? null : batchDims + indices.shape.length) : batchDims;
  if (axis === null || params.shape === null)
    return { axis: axis !== null && axis >= 0 ? axis : null, batch };
  const rank = params.shape.length;
  if (axis < -rank || axis >= rank)
    throw invalid(`Shape must be at least rank ${axis < 0 ? -axis : axis + 1} but is rank ${rank}`);
  return { axis: normalizeAxis(axis, rank), batch };
}

function gatheredShape(facts: GatherFacts, axisValue: number | null, batchDims: number): Shape | null {
  const [p, i] = [facts.params.shape, facts.indices.shape];
  const { axis, batch } = placeOf(facts, axisValue, batchDims);
  if (p === null || i === null || batch === null) return null;
  if (batch < 0 || batch > i.length)
    throw invalid(`batch_dims must be in [-${i.length}, ${i.length}], got ${batchDims}`);
  const total = p.length + i.length - 1 - batch;
  if (axis === null)
    return batch === 0
      ? new Array<null>(total).fill(null)
      : [...p.slice(0, batch), ...new Array<null>(total - batch).fill(null)];
  if (batch > axis) throw invalid(`batch_dims (${batch}) must be less than or equal to axis (${axis})`);
  const common = mergeShapes(p.slice(0, batch), i.slice(0, batch)) ?? [];
  return [...common, ...p.slice(batch, axis), ...i.slice(batch), ...p.slice(axis + 1)];
}

const scalarOf = (x: {
  readonly value?: Tensor | null;
  readonly constant?: Tensor | null;
}): number | null => {
  const value = x.value ?? x.constant ?? null;
  return value === null ? null : toNumbers(value)[0]!;
};

/** Slices of params at indices along an axis. @see TensorFlow core/ops/array_ops.cc "GatherV2" */
export const GatherV2 = defineOp("GatherV2", {
  inputs: { params: "Tparams", indices: "Tindices", axis: "Taxis" },
  outputs: { output: "Tparams" },
  attrs: {
    batch_dims: attr.int({ default: 0 }),
    Tparams: attr.type(),
    Tindices: attr.type("int16", "int32", "int64"),
    Taxis: attr.type("int32", "int64"),
  },
  infer: (inputs, { batch_dims }) => {
    if (inputs.params.shape?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
    return [{ shape: gatheredShape(inputs, scalarOf(inputs.axis), batch_dims) }];
  },
  partial: ({ params, indices, axis }) => (scalarOf(axis) === 0 ? partialGather(params, indices) : null),
  grad: (g, op, [dy]) => {
    const axis = constantValue(op.inputs[2]!);
    return [gatherGrad(g, op, dy as Grad, axis === null ? null : toNumbers(axis)[0]!), null, null];
  },
  gradTakesSlices: true,
  lower: (onnx, inputs, { batch_dims }, op) => {
    const { params, indices } = inputs;
    const shape = outShape(op, inputs);
    const { axis, batch } = placeOf(inputs, scalarOf(inputs.axis), batch_dims);
    const rows = checkedIndices(onnx, indices);
    if (batch === 0)
      return [onnx.add("Gather", [params, rows], { axis: axis ?? scalarOf(inputs.axis)! }, { shape })];
    const rank = indices.shape!.length;
    const tuples = onnx.add("Unsqueeze", [rows, onnx.ints([rank])], {}, { shape: [...indices.shape!, 1] });
    return [onnx.add("GatherND", [params, tuples], { batch_dims: batch! }, { shape })];
  },
  lowers: ({ Tparams, batch_dims }, inputs) => {
    if (!movable(Tparams) || inputs.axis.value === null) return false;
    const { axis, batch } = placeOf(inputs, scalarOf(inputs.axis), batch_dims);
    if (pointsOutside(inputs.indices, [axis === null ? null : (inputs.params.shape?.[axis] ?? null)]))
      return false;
    return batch === 0 || (batch !== null && batch === axis && inputs.indices.shape !== null);
  },
  host: (inputs, { batch_dims }) => {
    const { axis, batch } = placeOf(inputs, toNumbers(inputs.axis)[0]!, batch_dims);
    return [gatherAlong(inputs.params, inputs.indices, axis!, batch!)];
  },
});

export interface GatherOptions {
  /** 0, or `batchDims` where that is given */
  readonly axis?: number | Output;
  /** 0: leading axes that params and indices have in common */
  readonly batchDims?: number;
  readonly name?: string;
}

const indexTypeOf = (x: Input): "int32" | "int64" => (pieces.isOutput(x) ? (x.dtype as "int32") : "int32");

/** Slices of `params` at `indices`. Named "GatherV2", axis "GatherV2/axis". @see TensorFlow python/ops/array_ops.py "gather" */
export function gather(params: Output, indices: Input, options: GatherOptions = {}): Output {
  const { batchDims = 0, name = "GatherV2" } = options;
  const axis = options.axis ?? batchDims;
  return params.graph.add(GatherV2, [params, indices, axis], {
    name,
    attrs: { batch_dims: batchDims, Tindices: indexTypeOf(indices), Taxis: indexTypeOf(axis) },
  });
}

/** Slices of params at index tuples. @see TensorFlow core/ops/array_ops.cc "GatherNd"; array_grad.py "_GatherNdGrad" */
export const GatherNd = defineOp("GatherNd", {
  inputs: { params: "Tparams", indices: "Tindices" },
  outputs: { output: "Tparams" },
  attrs: {
    Tparams: attr.type(),
    Tindices: attr.type("int16", "int32", "int64"),
    bad_indices_policy: attr.string({ default: "" }),
  },
  infer: ({ params, indices }) => {
    const [p, i] = [params.shape, indices.shape];
    if (i?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
    const depth = i?.at(-1) ?? null;
    if (p === null || i === null || depth === null) return [{ shape: null }];
    if (depth > p.length)
      throw invalid(
        `indices.shape[-1] must be <= params.rank, but saw indices shape: [${i}] and params shape: [${p}]`,
      );
    return [{ shape: [...i.slice(0, -1), ...p.slice(depth)] }];
  },
  grad: (g, op, [dy], { bad_indices_policy }) => {
    const [params, indices] = op.inputs as [Output, Output];
    const shape = pieces.shape(params, { outType: indices.dtype as "int32" });
    if (indices.shape?.length === 2 && indices.shape[1] === 1) {
      const flat = g.add("Squeeze", [indices], { attrs: { squeeze_dims: [-1] } });
      return [{ values: dy!, indices: flat, denseShape: shape }, null];
    }
    return [g.add("ScatterNd", [indices, dy!, shape], { attrs: { bad_indices_policy } }), null];
  },
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    return [onnx.add("GatherND", [inputs.params, checkedIndices(onnx, inputs.indices)], {}, { shape })];
  },
  lowers: ({ Tparams, bad_indices_policy }, { params, indices }) => {
    const depth = indices.shape?.at(-1) ?? 0;
    const dims = params.shape?.slice(0, depth) ?? [null];
    return movable(Tparams) && bad_indices_policy !== "IGNORE" && depth > 0 && !pointsOutside(indices, dims);
  },
  host: ({ params, indices }, { bad_indices_policy }) => [
    gatherTuples(params, indices, bad_indices_policy === "IGNORE"),
  ],
});

/** Slices of `params` at the index tuples along the last axis of `indices`. Named "GatherNd". */
export const gatherNd = (params: Output, indices: Input, name = "GatherNd"): Output =>
  params.graph.add(GatherNd, [params, indices], { name, attrs: { Tindices: indexTypeOf(indices) } });
