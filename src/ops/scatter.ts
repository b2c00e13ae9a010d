/** @file Writing at index tuples: ScatterNd and the TensorScatter family. Reading is in gather.ts. */

import { type DType, type Shape, toNumbers, VarscopeError, zeros } from "../base/index.ts";
import {
  type Attrs,
  attr,
  defineOp,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { checkedIndices, pointsOutside } from "./gather.ts";
import { type Combine, scatterNd as scatterTuples } from "./kernels/gather.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";
import { scatterTupleNodes } from "./scatter-onnx.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** Checks that updates are slices of `shape` at the indices. */
function checkUpdates(indices: Shape | null, updates: Shape | null, shape: Shape | null): void {
  const depth = indices?.at(-1) ?? null;
  if (indices === null || updates === null || shape === null || depth === null) return;
  if (depth > shape.length)
    throw invalid(
      `The innermost dimension of indices, ${depth}, must be at most the rank of the output, ${shape.length}`,
    );
  const want = [...indices.slice(0, -1), ...shape.slice(depth)];
  const fits =
    want.length === updates.length &&
    want.every((d, i) => d === null || updates[i] === null || d === updates[i]);
  if (!fits) {
    const text = (dims: Shape): string => `[${dims.map((d) => d ?? "?").join(",")}]`;
    throw invalid(
      `Dimensions ${text(updates)} of updates must be ${text(want)}: those of indices ${text(indices)} and then the slices of ${text(shape)}`,
    );
  }
}

/** Dtypes that ONNX Runtime's ScatterElements adds up. */
const SUMMABLE = new Set<DType>(["float32", "float64", "int32", "int64"]);

function canLower(
  dtype: DType,
  indices: Spec,
  shape: Shape | null,
  policy: string | Uint8Array,
  how: Combine,
): boolean {
  const depth = indices.shape?.at(-1) ?? 0;
  const types = how === "set" ? movable(dtype) : SUMMABLE.has(dtype);
  return (
    types && policy !== "IGNORE" && depth > 0 && !pointsOutside(indices, shape?.slice(0, depth) ?? [null])
  );
}

const REDUCTION = { add: "add", sub: "add", max: "max", min: "min" } as const;

function lowerScatter(
  onnx: Onnx,
  target: OnnxValue,
  indices: OnnxValue,
  updates: OnnxValue,
  how: Combine,
): OnnxValue {
  const by = how === "sub" ? onnx.add("Neg", [updates], {}, { shape: updates.shape }) : updates;
  const tuples = checkedIndices(onnx, indices);
  if (how === "set") return onnx.add("ScatterND", [target, tuples, by], {});
  return scatterTupleNodes(onnx, target, tuples, by, REDUCTION[how]);
}

/** Zeros of a shape plus updates at index tuples. @see TensorFlow core/ops/array_ops.cc "ScatterNd" */
export const ScatterNd = defineOp("ScatterNd", {
  inputs: { indices: "Tindices", updates: "T", shape: "Tindices" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type(),
    Tindices: attr.type("int16", "int32", "int64"),
    bad_indices_policy: attr.string({ default: "" }),
  },
  infer: ({ indices, updates, shape }) => {
    const length = shape.shape?.[0] ?? null;
    const value = shape.value === null ? null : toNumbers(shape.value);
    const out = value ?? shape.partial ?? (length === null ? null : new Array<null>(length).fill(null));
    checkUpdates(indices.shape, updates.shape, out);
    return [{ shape: out }];
  },
  grad: (g, op, [dy]) => [null, g.add("GatherNd", [dy!, op.inputs[0]!]), null],
  lower: (onnx, inputs, { T }, op) => {
    const shape = outShape(op, inputs);
    const zero = onnx.constant(zeros(T, [1]));
    const base = onnx.add(
      "ConstantOfShape",
      [onnx.cast(inputs.shape, "int64")],
      { value: { tensor: zero.constant! } },
      { dtype: T, shape },
    );
    return [lowerScatter(onnx, base, inputs.indices, inputs.updates, "add")];
  },
  lowers: ({ T, bad_indices_policy }, { indices, shape }) =>
    canLower(T, indices, shape.partial, bad_indices_policy, "add"),
  host: ({ indices, updates, shape }, { T, bad_indices_policy }) => {
    const dims = toNumbers(shape);
    checkUpdates(indices.shape, updates.shape, dims);
    const how = T === "string" || T === "bool" ? "set" : "add";
    return [scatterTuples(zeros(T, dims), indices, updates, how, bad_indices_policy === "IGNORE")];
  },
});

/** Zeros of `shape` plus `updates` at index tuples; those of one tuple add up. Named "ScatterNd". */
export const scatterNd = (indices: Input, updates: Output, shape: Input, name = "ScatterNd"): Output => {
  const known = [indices, shape].find(pieces.isOutput) as Output | undefined;
  return updates.graph.add(ScatterNd, [indices, updates, shape], {
    name,
    attrs: { Tindices: known?.dtype ?? "int32" },
  });
};

const scatterArgs = {
  inputs: { tensor: "T", indices: "Tindices", updates: "T" },
  outputs: { output: "T" },
  infer: ({ tensor, indices, updates }: { tensor: Spec; indices: Spec; updates: Spec }) => {
    checkUpdates(indices.shape, updates.shape, tensor.shape);
    return [{ shape: tensor.shape }];
  },
} as const;

const scatterAttrs = {
  T: attr.type(),
  Tindices: attr.type("int32", "int64"),
  bad_indices_policy: attr.string({ default: "" }),
};

type ScatterGrad = (g: Graph, op: Operation, dy: Output, attrs: Attrs) => readonly (Output | null)[];

function tensorScatter(type: string, how: Exclude<Combine, "set">, grad: ScatterGrad) {
  return defineOp(type, {
    ...scatterArgs,
    attrs: scatterAttrs,
    grad: (g, op, [dy], attrs) => grad(g, op, dy!, attrs as Attrs),
    lower: (onnx, { tensor, indices, updates }) => [lowerScatter(onnx, tensor, indices, updates, how)],
    lowers: ({ T, bad_indices_policy }, { tensor, indices }) =>
      canLower(T, indices, tensor.shape, bad_indices_policy, how),
    host: ({ tensor, indices, updates }, { bad_indices_policy }) => {
      checkUpdates(indices.shape, updates.shape, tensor.shape);
      return [scatterTuples(tensor, indices, updates, how, bad_indices_policy === "IGNORE")];
    },
  });
}

/** x with slices at index tuples replaced. @see TensorFlow core/ops/array_ops.cc "TensorScatterUpdate" */
export const TensorScatterUpdate = defineOp("TensorScatterUpdate", {
  ...scatterArgs,
  attrs: { ...scatterAttrs, Tindices: attr.type("int16", "int32", "int64", "uint16") },
  grad: (g, op, [dy]) => {
    const [, indices, updates] = op.inputs as [Output, Output, Output];
    const updatesGrad = g.add("GatherNd", [dy!, indices]);
    const inputs = [g.add("Identity", [dy!]), indices, pieces.zerosLike(updates, { dtype: dy!.dtype })];
    return [g.add("TensorScatterUpdate", inputs), null, updatesGrad];
  },
  lower: (onnx, { tensor, indices, updates }) => [lowerScatter(onnx, tensor, indices, updates, "set")],
  lowers: ({ T, bad_indices_policy }, { tensor, indices }) =>
    canLower(T, indices, tensor.shape, bad_indices_policy, "set"),
  host: ({ tensor, indices, updates }, { bad_indices_policy }) => {
    checkUpdates(indices.shape, updates.shape, tensor.shape);
    return [scatterTuples(tensor, indices, updates, "set", bad_indices_policy === "IGNORE")];
  },
});

/** x plus updates at index tuples. @see TensorFlow core/ops/array_ops.cc "TensorScatterAdd" */
export const TensorScatterAdd = tensorScatter("TensorScatterAdd", "add", (g, op, dy) => {
  const updatesGrad = g.add("GatherNd", [dy, op.inputs[1]!]);
  return [g.add("Identity", [dy]), null, updatesGrad];
});

/** x minus updates at index tuples. @see TensorFlow core/ops/array_ops.cc "TensorScatterSub" */
export const TensorScatterSub = tensorScatter("TensorScatterSub", "sub", (g, op, dy) => {
  const updatesGrad = g.add("GatherNd", [dy, op.inputs[1]!]);
  const tensorGrad = g.add("Identity", [dy]);
  return [tensorGrad, null, g.add("Neg", [updatesGrad])];
});

/** The gradient goes to what won, in equal shares. @see TensorFlow python/ops/array_grad.py "_TensorScatterMinOrMaxGrad" */
const extremeGrad: ScatterGrad = (g, op, dy, { bad_indices_policy }) => {
  const [x, indices, y] = op.inputs as [Output, Output, Output];
  const attrs = { bad_indices_policy: bad_indices_policy! };
  const out = op.output(0);
  const xs = pieces.cast(g.add("Equal", [x, out]), dy.dtype);
  const yOut = g.add("GatherNd", [out, indices], { attrs });
  const ys = pieces.cast(g.add("Equal", [y, yOut]), dy.dtype);
  const spread = g.add("ScatterNd", [indices, ys, pieces.shape(x, { outType: indices.dtype as "int32" })], {
    attrs,
  });
  const count = g.add("AddV2", [xs, spread], { name: "add" });
  const xGrad = g.add("RealDiv", [g.add("Mul", [dy, xs], { name: "mul" }), count], { name: "truediv" });
  const share = g.add("RealDiv", [dy, count], { name: "truediv" });
  const yGrad = g.add("Mul", [g.add("GatherNd", [share, indices], { attrs }), ys], { name: "mul" });
  return [xGrad, null, yGrad];
};

/** The larger of x and updates at index tuples. @see TensorFlow core/ops/array_ops.cc "TensorScatterMax" */
export const TensorScatterMax = tensorScatter("TensorScatterMax", "max", extremeGrad);

/** The smaller of x and updates at index tuples. @see TensorFlow core/ops/array_ops.cc "TensorScatterMin" */
export const TensorScatterMin = tensorScatter("TensorScatterMin", "min", extremeGrad);

/** `x` with slices at index tuples replaced by `updates`. Named "TensorScatterUpdate". */
export const tensorScatterNdUpdate = (
  x: Output,
  indices: Input,
  updates: Output,
  name = "TensorScatterUpdate",
): Output =>
  x.graph.add(TensorScatterUpdate, [x, indices, updates], {
    name,
    attrs: { Tindices: pieces.isOutput(indices) ? indices.dtype : "int32" },
  });
