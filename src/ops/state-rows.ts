/** @file Rows of variables: reading at indices and scattering into them. Whole variables are in state.ts. */

import { type DType, isStatic, mergeShapes, type Shape, VarscopeError } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Grad,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { checkedIndices } from "./gather.ts";
import { countOf, rowsGrad } from "./gather-grad.ts";
import { type RowUpdate, scatterRows } from "./kernels/accumulate.ts";
import { gatherAlong, gatherNd } from "./kernels/gather.ts";
import { movable } from "./onnx-facts.ts";
import { scatterRowNodes } from "./scatter-onnx.ts";
import { NUMBER_TYPES } from "./signatures.ts";
import { handleOf, variableShape } from "./state.ts";

const IS_REF = absent("its output is the variable after the update, which the session holds");
const NO_GRADIENT = absent("TensorFlow registers none");
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const indexType = attr.type("int32", "int64");

const unknown = (n: number): null[] => new Array<null>(n).fill(null);

function rowShape(params: Shape | null, indices: Shape | null, batchDims: number): Shape | null {
  if (params === null || indices === null) return null;
  if (params.length <= batchDims) {
    throw invalid(`Shape must be at least rank ${batchDims + 1} but is rank ${params.length}`);
  }
  const common = mergeShapes(params.slice(0, batchDims), indices.slice(0, batchDims)) ?? unknown(batchDims);
  return [...common, ...indices.slice(batchDims), ...params.slice(batchDims + 1)];
}

/** Batch dims counted from 0. */
const batchOf = (batchDims: number, indices: Shape | null): number | null =>
  batchDims >= 0 ? batchDims : indices === null ? null : batchDims + indices.length;

/**
 * Rows of a resource variable.
 *
 * @see TensorFlow core/ops/resource_variable_ops.cc "ResourceGather"; python/ops/resource_variable_ops.py "_GatherGrad"
 */
export const ResourceGather = defineOp("ResourceGather", {
  inputs: { resource: "resource", indices: "Tindices" },
  outputs: { output: "dtype" },
  attrs: {
    batch_dims: attr.int({ default: 0 }),
    validate_indices: attr.bool({ default: true }),
    dtype: attr.type(),
    Tindices: indexType,
  },
  stateful: true,
  infer: ({ resource, indices }, { dtype, batch_dims }) => {
    const { shape } = handleOf(resource, dtype);
    const batch = batchOf(batch_dims, indices.shape);
    return [{ shape: batch === null ? null : rowShape(shape, indices.shape, batch) }];
  },
  grad: (g, op, [dy]) => {
    const [handle, indices] = op.inputs as [Output, Output];
    const shape = variableShape(handle);
    return [rowsGrad(g, dy as Grad, indices, countOf(g, indices), shape), null];
  },
  access: { resource: "read" },
  lower: (onnx, { resource, indices }, { batch_dims }, op) => {
    const shape = rowShape(resource.shape, indices.shape, 0) ?? op.output(0).shape;
    if (batch_dims !== 0) throw new VarscopeError("INTERNAL", `batch_dims ${batch_dims} was to be declined`);
    return [onnx.add("Gather", [resource, checkedIndices(onnx, indices)], { axis: 0 }, { shape })];
  },
  lowers: ({ dtype, batch_dims }) => movable(dtype) && batch_dims === 0,
  host: ({ resource, indices }, { batch_dims }) => {
    const batch = batchOf(batch_dims, indices.shape)!;
    rowShape(resource.shape, indices.shape, batch);
    return [gatherAlong(resource, indices, batch, batch)];
  },
});

/** Slices of a resource variable at index tuples. @see TensorFlow core/ops/resource_variable_ops.cc "ResourceGatherNd" */
export const ResourceGatherNd = defineOp("ResourceGatherNd", {
  inputs: { resource: "resource", indices: "Tindices" },
  outputs: { output: "dtype" },
  attrs: { dtype: attr.type(), Tindices: indexType },
  stateful: true,
  infer: ({ resource, indices }, { dtype }) => [
    { shape: tupleShape(handleOf(resource, dtype).shape, indices.shape) },
  ],
  grad: NO_GRADIENT,
  access: { resource: "read" },
  lower: (onnx, { resource, indices }) => {
    const shape = tupleShape(resource.shape, indices.shape);
    return [onnx.add("GatherND", [resource, checkedIndices(onnx, indices)], {}, { shape })];
  },
  lowers: ({ dtype }, { indices }) => movable(dtype) && (indices.shape?.at(-1) ?? 0) > 0,
  host: ({ resource, indices }, _, { op }) => {
    try {
      return [gatherNd(resource, indices, false)];
    } catch (e) {
      throw named(e, op);
    }
  },
});

/** TensorFlow's sentence for tuples outside ends in the node's name. */
function named(e: unknown, op: Operation): unknown {
  const what = (e as { what?: string }).what;
  return what === undefined
    ? e
    : new VarscopeError("INVALID_ARGUMENT", `${what}, node name: ${op.name}`, { cause: e });
}

function tupleShape(params: Shape | null, indices: Shape | null): Shape | null {
  if (indices?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
  const depth = indices?.at(-1) ?? null;
  if (params === null || indices === null || depth === null) return null;
  if (depth > params.length) {
    throw invalid(
      `indices.shape[-1] must be <= params.rank, but saw indices shape: [${indices}] and params shape: [${params}]`,
    );
  }
  return [...indices.slice(0, -1), ...params.slice(depth)];
}

/** Updates are a scalar, or rows for all indices. */
function checkUpdates(params: Shape | null, indices: Shape | null, updates: Shape | null): void {
  if (params?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
  if (params === null || indices === null || updates === null || updates.length === 0) return;
  mergeShapes(updates, [...indices, ...params.slice(1)]);
}

/** Dtypes that ONNX Runtime's ScatterElements adds up. */
const ADDABLE: ReadonlySet<DType> = new Set<DType>(["float32", "float64", "int32", "int64"]);

interface RowArgs<V> {
  readonly params: V;
  readonly indices: V;
  readonly updates: V;
}

function scatterNodes(
  onnx: Onnx,
  { params, indices, updates }: RowArgs<OnnxValue>,
  kind: RowUpdate,
): OnnxValue {
  const change = kind === "sub" ? onnx.map("Neg", [updates]) : updates;
  return scatterRowNodes(
    onnx,
    params,
    checkedIndices(onnx, indices),
    change,
    kind === "set" ? "none" : "add",
  );
}

const canScatter = (dtype: DType, { params, indices, updates }: RowArgs<Spec>, kind: RowUpdate): boolean =>
  (kind === "set" ? movable(dtype) : ADDABLE.has(dtype)) &&
  isStatic(params.shape) &&
  isStatic(indices.shape) &&
  indices.shape.length === 1 &&
  isStatic(updates.shape) &&
  updates.shape.length === params.shape.length;

function resourceScatter(type: string, kind: RowUpdate) {
  return defineOp(type, {
    inputs: { resource: "resource", indices: "Tindices", updates: "dtype" },
    outputs: {},
    attrs: { dtype: kind === "set" ? attr.type() : attr.type(...NUMBER_TYPES), Tindices: indexType },
    stateful: true,
    infer: ({ resource, indices, updates }, { dtype }) => {
      checkUpdates(handleOf(resource, dtype).shape, indices.shape, updates.shape);
      return [];
    },
    grad: NO_GRADIENT,
    access: { resource: "update" },
    lower: () => [],
    lowers: ({ dtype }, { resource, indices, updates }) =>
      canScatter(dtype, { params: valueSpec(resource), indices, updates }, kind),
    host: () => [],
    update: (onnx, { resource, indices, updates }) => ({
      resource: scatterNodes(onnx, { params: resource, indices, updates }, kind),
    }),
    updateHost: ({ resource, indices, updates }) => ({
      resource: scatterRows(resource, indices, updates, kind),
    }),
  });
}

/** What is known of a variable's value: planners give the value's spec, the graph the handle's. */
const valueSpec = (x: Spec): Spec => (x.handle === null ? x : { ...x, shape: x.handle.shape });

/** variable[indices] += updates, of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc */
export const ResourceScatterAdd = resourceScatter("ResourceScatterAdd", "add");

/** variable[indices] -= updates, of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc */
export const ResourceScatterSub = resourceScatter("ResourceScatterSub", "sub");

/** variable[indices] = updates, of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc */
export const ResourceScatterUpdate = resourceScatter("ResourceScatterUpdate", "set");

function refScatter(type: string, kind: RowUpdate) {
  return defineOp(type, {
    inputs: { ref: "ref(T)", indices: "Tindices", updates: "T" },
    outputs: { output_ref: "ref(T)" },
    attrs: {
      T: kind === "set" ? attr.type() : attr.type(...NUMBER_TYPES),
      Tindices: indexType,
      use_locking: attr.bool({ default: kind === "set" }),
    },
    infer: ({ ref, indices, updates }) => {
      checkUpdates(ref.shape, indices.shape, updates.shape);
      return [{ shape: ref.shape }];
    },
    grad: NO_GRADIENT,
    access: { ref: "update" },
    lower: IS_REF,
    lowers: ({ T }, { ref, indices, updates }) => canScatter(T, { params: ref, indices, updates }, kind),
    host: IS_REF,
    update: (onnx, { ref, indices, updates }) => ({
      ref: scatterNodes(onnx, { params: ref, indices, updates }, kind),
    }),
    updateHost: ({ ref, indices, updates }) => ({ ref: scatterRows(ref, indices, updates, kind) }),
  });
}

/** variable[indices] += updates, of a ref variable. @see TensorFlow core/ops/state_ops.cc */
export const ScatterAdd = refScatter("ScatterAdd", "add");

/** variable[indices] -= updates, of a ref variable. @see TensorFlow core/ops/state_ops.cc */
export const ScatterSub = refScatter("ScatterSub", "sub");

/** variable[indices] = updates, of a ref variable. @see TensorFlow core/ops/state_ops.cc */
export const ScatterUpdate = refScatter("ScatterUpdate", "set");
