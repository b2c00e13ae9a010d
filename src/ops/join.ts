/** @file Joining tensors and cutting them apart: concat, split, stack, unstack, tile. */

import { mergeShapes, normalizeAxis, reshaped, type Shape, toNumbers, VarscopeError } from "../base/index.ts";
import {
  attr,
  defineOp,
  type Graph,
  type Inferred,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { concatGrad } from "./concat-grad.ts";
import { concatTensors, splitTensor } from "./kernels/join.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const scalarOf = (x: Spec | { value?: undefined; data: ArrayLike<number | bigint> }): number | null =>
  "data" in x ? Number(x.data[0]) : x.value === null || x.value === undefined ? null : toNumbers(x.value)[0]!;
const constantAxis = (x: OnnxValue): number => toNumbers(x.constant!)[0]!;

function concatShape(values: readonly Spec[], axisAsked: number | null): Inferred {
  const known = values.find((v) => v.shape !== null)?.shape;
  if (known === undefined || known === null) return { shape: null };
  const rank = known.length;
  if (rank === 0) throw invalid("Can't concatenate scalars (use tf.stack instead)");
  const odd = values.find((v) => v.shape !== null && v.shape.length !== rank);
  if (odd !== undefined) throw invalid(`Shapes must be equal rank, but are ${rank} and ${odd.shape!.length}`);
  if (axisAsked === null) return { shape: new Array<null>(rank).fill(null) };
  const axis = normalizeAxis(axisAsked, rank);
  let common: Shape | null = null;
  let total: number | null = 0;
  for (const { shape } of values) {
    const d = shape?.[axis] ?? null;
    total = total === null || d === null ? null : total + d;
    common = mergeShapes(common, shape?.map((x, i) => (i === axis ? null : x)) ?? null);
  }
  return { shape: common!.map((d, i) => (i === axis ? total : d)) };
}

/** An int vector as a shape; unknown elements where only its length is known. */
const vector = (x: Spec): Shape | null => {
  if (x.partial !== null) return x.partial;
  const length = x.shape?.[0] ?? null;
  return length === null ? null : new Array<null>(length).fill(null);
};

function joined(values: readonly Spec[]): Shape | null {
  const parts = values.map(vector);
  return parts.includes(null) ? null : (parts.flat() as Shape);
}

function lowerConcat(
  onnx: Onnx,
  values: readonly OnnxValue[],
  axis: OnnxValue,
  shape: Shape | null,
): OnnxValue {
  return onnx.add("Concat", values, { axis: constantAxis(axis) }, { dtype: values[0]!.dtype, shape });
}

/** Tensors next to each other along an axis. @see TensorFlow core/ops/array_ops.cc "ConcatV2"; array_grad.py "_ConcatGradHelper" */
export const ConcatV2 = defineOp("ConcatV2", {
  inputs: { values: "N*T", axis: "Tidx" },
  outputs: { output: "T" },
  attrs: { N: attr.int({ min: 2 }), T: attr.type(), Tidx: indexType },
  infer: ({ values, axis }) => [concatShape(values, scalarOf(axis))],
  partial: ({ values }) => joined(values),
  grad: (g, op, [dy]) => [...concatGrad(g, dy!, op.inputs.slice(0, -1), op.inputs.at(-1)!), null],
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => [lowerConcat(onnx, inputs.values, inputs.axis, outShape(op, inputs))],
  lowers: ({ T }, { axis }) => movable(T) && axis.value !== null,
  host: ({ values, axis }) => [
    concatTensors(values, normalizeAxis(toNumbers(axis)[0]!, values[0]!.shape.length)),
  ],
});

/** ConcatV2 with the axis first: graphs of TensorFlow before 1.0. @see TensorFlow core/ops/array_ops.cc "Concat" */
export const Concat = defineOp("Concat", {
  inputs: { concat_dim: "int32", values: "N*T" },
  outputs: { output: "T" },
  attrs: { N: attr.int({ min: 2 }), T: attr.type() },
  infer: ({ values, concat_dim }) => [concatShape(values, scalarOf(concat_dim))],
  partial: ({ values }) => joined(values),
  grad: (g, op, [dy]) => [null, ...concatGrad(g, dy!, op.inputs.slice(1), op.inputs[0]!)],
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => [lowerConcat(onnx, inputs.values, inputs.concat_dim, outShape(op, inputs))],
  lowers: ({ T }, { concat_dim }) => movable(T) && concat_dim.value !== null,
  host: ({ values, concat_dim }) => [
    concatTensors(values, normalizeAxis(toNumbers(concat_dim)[0]!, values[0]!.shape.length)),
  ],
});

function splitShapes(
  value: Shape | null,
  axisAsked: number | null,
  sizes: readonly (number | null)[],
): Inferred[] {
  if (value === null) return sizes.map(() => ({ shape: null }));
  if (axisAsked === null) return sizes.map(() => ({ shape: value.map(() => null) }));
  const axis = normalizeAxis(axisAsked, value.length);
  return sizes.map((size) => ({ shape: value.map((d, i) => (i === axis ? size : d)) }));
}

function lowerSplit(
  onnx: Onnx,
  value: OnnxValue,
  axis: number,
  shapes: readonly (Shape | null)[],
): OnnxValue[] {
  if (shapes.length === 1) return [onnx.withShape(value, shapes[0]!)];
  const at = value.shape === null ? axis : normalizeAxis(axis, value.shape.length);
  const sizes = shapes.map((s) => s?.[at] ?? null);
  const outs = shapes.map((shape) => ({ dtype: value.dtype, shape }));
  if (sizes.includes(null)) return onnx.addMany("Split", [value], { axis, num_outputs: shapes.length }, outs);
  return onnx.addMany("Split", [value, onnx.ints(sizes as number[])], { axis }, outs);
}

const shapesOf = (op: Operation, inputs: Readonly<Record<string, OnnxValue>>): (Shape | null)[] =>
  op.outputs.map((_, i) => outShape(op, inputs, i));

/** Equal parts along an axis. @see TensorFlow core/ops/array_ops.cc "Split" */
export const Split = defineOp("Split", {
  inputs: { split_dim: "int32", value: "T" },
  outputs: { output: "num_split*T" },
  attrs: { num_split: attr.int({ min: 1 }), T: attr.type() },
  infer: ({ split_dim, value }, { num_split }) => {
    const axis = scalarOf(split_dim);
    const dim =
      axis === null || value.shape === null ? null : value.shape[normalizeAxis(axis, value.shape.length)]!;
    if (dim !== null && dim % num_split !== 0) {
      throw invalid(`Dimension size must be evenly divisible by ${num_split} but is ${dim}`);
    }
    return splitShapes(value.shape, axis, new Array(num_split).fill(dim === null ? null : dim / num_split));
  },
  grad: (_g, op, dys) => [null, pieces.concat(dys, op.inputs[0]!)],
  lower: (onnx, inputs, _, op) =>
    lowerSplit(onnx, inputs.value, constantAxis(inputs.split_dim), shapesOf(op, inputs)),
  lowers: ({ T }, { split_dim }) => movable(T) && split_dim.value !== null,
  host: ({ split_dim, value }, { num_split }) => {
    const axis = normalizeAxis(toNumbers(split_dim)[0]!, value.shape.length);
    const dim = value.shape[axis]!;
    if (dim % num_split !== 0) {
      throw invalid(
        `Number of ways to split should evenly divide the split dimension, but got split_dim ${axis} (size = ${dim}) and num_split ${num_split}`,
      );
    }
    return splitTensor(value, new Array<number>(num_split).fill(dim / num_split), axis);
  },
});

/** Sizes with the one that may be -1 filled in. */
function fullSizes(sizes: readonly number[], dim: number | null): (number | null)[] {
  const open = sizes.indexOf(-1);
  if (open !== sizes.lastIndexOf(-1)) throw invalid("size_splits can only have one -1");
  const rest = sizes.reduce((n, s) => (s === -1 ? n : n + s), 0);
  if (dim !== null && (open < 0 ? rest !== dim : rest > dim)) {
    throw invalid(
      `Determined shape must either match input shape along split_dim exactly if fully specified, or be less than the size of the input along split_dim if not fully specified.  Got: ${rest}`,
    );
  }
  return sizes.map((s) => (s !== -1 ? s : dim === null ? null : dim - rest));
}

/** Parts of given sizes along an axis; one size may be -1. @see TensorFlow core/ops/array_ops.cc "SplitV" */
export const SplitV = defineOp("SplitV", {
  inputs: { value: "T", size_splits: "Tlen", split_dim: "int32" },
  outputs: { output: "num_split*T" },
  attrs: {
    num_split: attr.int({ min: 1 }),
    T: attr.type(),
    Tlen: attr.typeOr("int64", "int8", "int32", "int64"),
  },
  infer: ({ value, size_splits, split_dim }, { num_split }) => {
    const axis = scalarOf(split_dim);
    const dim =
      axis === null || value.shape === null ? null : value.shape[normalizeAxis(axis, value.shape.length)]!;
    const unknown = new Array<null>(num_split).fill(null);
    const sizes = size_splits.value === null ? null : toNumbers(size_splits.value);
    const single = num_split === 1 ? [dim] : unknown;
    return splitShapes(value.shape, axis, sizes === null || axis === null ? single : fullSizes(sizes, dim));
  },
  grad: (_g, op, dys) => [pieces.concat(dys, op.inputs[2]!), null, null],
  lower: (onnx, inputs, { num_split }, op) => {
    const axis = constantAxis(inputs.split_dim);
    const shapes = shapesOf(op, inputs);
    const known = inputs.value.shape !== null && shapes.every((s) => s?.at(axis) != null);
    if (known || num_split === 1) return lowerSplit(onnx, inputs.value, axis, shapes);
    const outs = shapes.map((shape) => ({ dtype: inputs.value.dtype, shape }));
    return onnx.addMany("Split", [inputs.value, onnx.cast(inputs.size_splits, "int64")], { axis }, outs);
  },
  lowers: ({ T }, { value, size_splits, split_dim }) => {
    if (!movable(T) || split_dim.value === null || size_splits.value === null) return false;
    const dim = value.shape?.at(toNumbers(split_dim.value)[0]!) ?? null;
    return dim !== null || !toNumbers(size_splits.value).includes(-1);
  },
  host: ({ value, size_splits, split_dim }) => {
    const axis = normalizeAxis(toNumbers(split_dim)[0]!, value.shape.length);
    return splitTensor(value, fullSizes(toNumbers(size_splits), value.shape[axis]!) as number[], axis);
  },
});

/**
 * `x` in parts along `axis`: a number of equal ones, or of the given sizes (one may be -1). Named "split".
 * @see TensorFlow python/ops/array_ops.py "split"
 */
export function split(
  x: Output,
  parts: number | readonly number[],
  options: { readonly axis?: number | Output; readonly name?: string } = {},
): Output[] {
  const { axis = 0, name = "split" } = options;
  const g = x.graph;
  if (typeof parts === "number")
    return g.addOp(Split, [axis, x], { name, attrs: { num_split: parts } }).outputs;
  const sizes = g.constant([...parts], { dtype: "int32" });
  return g.addOp(SplitV, [x, sizes, axis], { name, attrs: { num_split: parts.length } }).outputs;
}

const withAxis = (shape: Shape, axis: number, dim: number): Shape => [
  ...shape.slice(0, axis),
  dim,
  ...shape.slice(axis),
];

/** Tensors of one shape along a new axis. @see TensorFlow core/ops/array_ops.cc "Pack" */
export const Pack = defineOp("Pack", {
  inputs: { values: "N*T" },
  outputs: { output: "T" },
  attrs: { N: attr.int({ min: 1 }), T: attr.type(), axis: attr.int({ default: 0 }) },
  infer: ({ values }, { N, axis }) => {
    const shape = values.reduce<Shape | null>((s, v) => mergeShapes(s, v.shape), null);
    return [{ shape: shape === null ? null : withAxis(shape, normalizeAxis(axis, shape.length + 1), N) }];
  },
  partial: ({ values }) => values.map((v) => v.partial?.[0] ?? null),
  grad: (g, _op, [dy], { N, axis }) =>
    g.addOp("Unpack", [dy!], { name: "unstack", attrs: { num: N, axis } }).outputs,
  lower: (onnx, inputs, { axis }, op) => {
    const shape = outShape(op, inputs);
    const at = shape === null ? axis : normalizeAxis(axis, shape.length);
    const row = shape?.map((d, i) => (i === at ? 1 : d)) ?? null;
    const rows = inputs.values.map((v) => onnx.add("Unsqueeze", [v, onnx.ints([axis])], {}, { shape: row }));
    return [rows.length === 1 ? rows[0]! : onnx.add("Concat", rows, { axis: at }, { shape })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ values }, { axis }) => {
    const shape = values.reduce<Shape | null>((s, v) => mergeShapes(s, v.shape), null) as number[];
    const at = normalizeAxis(axis, shape.length + 1);
    return [
      concatTensors(
        values.map((v) => reshaped(v, withAxis(v.shape, at, 1) as number[])),
        at,
      ),
    ];
  },
});

/** Tensors (or numbers) of one shape along a new axis. Named "stack". */
export function stack(
  graph: Graph,
  xs: readonly Input[],
  options: { readonly axis?: number; readonly name?: string } = {},
): Output {
  const { axis = 0, name = "stack" } = options;
  if (axis !== 0) return graph.add(Pack, [xs], { name, attrs: { axis } });
  const first = xs.find(pieces.isOutput);
  if (first === undefined) return graph.constant(xs as never, { name });
  return graph.nameScope(name, (scope) => {
    const items = xs.map((x, i) =>
      pieces.isOutput(x) ? x : graph.constant(x as never, { dtype: first.dtype, name: String(i) }),
    );
    return graph.add(Pack, [items], { name: scope });
  });
}

/** The rows of a tensor along an axis. @see TensorFlow core/ops/array_ops.cc "Unpack" */
export const Unpack = defineOp("Unpack", {
  inputs: { value: "T" },
  outputs: { output: "num*T" },
  attrs: { num: attr.int({ min: 0 }), T: attr.type(), axis: attr.int({ default: 0 }) },
  infer: ({ value }, { num, axis }) => {
    if (value.shape === null) return Array.from({ length: num }, () => ({ shape: null }));
    const at = normalizeAxis(axis, value.shape.length);
    const dim = value.shape[at]!;
    if (dim !== null && dim !== num) throw invalid(`Dimension must be ${num} but is ${dim}`);
    const shape = value.shape.filter((_, i) => i !== at);
    return Array.from({ length: num }, () => ({ shape }));
  },
  partial: ({ value }, _, index) => (value.partial === null ? null : [value.partial[index] ?? null]),
  grad: (g, _op, dys, { axis }) => [g.add("Pack", [dys], { name: "stack", attrs: { axis } })],
  lower: (onnx, inputs, { num, axis }, op) => {
    if (num === 0) return [];
    const rowShape =
      inputs.value.shape?.map((d, i, s) => (i === normalizeAxis(axis, s.length) ? 1 : d)) ?? null;
    const rows = lowerSplit(onnx, inputs.value, axis, new Array(num).fill(rowShape));
    return rows.map((row, i) =>
      onnx.add("Squeeze", [row, onnx.ints([axis])], {}, { shape: outShape(op, inputs, i) }),
    );
  },
  lowers: ({ T }) => movable(T),
  host: ({ value }, { num, axis }) => {
    const at = normalizeAxis(axis, value.shape.length);
    if (value.shape[at] !== num)
      throw invalid(`Input shape axis ${at} must equal ${num}, got shape [${value.shape}]`);
    const rows = splitTensor(value, new Array<number>(num).fill(1), at);
    return rows.map((row) =>
      reshaped(
        row,
        value.shape.filter((_, i) => i !== at),
      ),
    );
  },
});

/** The rows of `x` along `axis`. @param options.num - needed where the dim is not known. Named "unstack". */
export function unstack(
  x: Output,
  options: { readonly num?: number; readonly axis?: number; readonly name?: string } = {},
): Output[] {
  const { axis = 0, name = "unstack" } = options;
  const num = options.num ?? (x.shape === null ? null : x.shape[normalizeAxis(axis, x.shape.length)]);
  if (num === null || num === undefined)
    throw invalid(`Cannot infer argument \`num\` from shape of ${x.name}`);
  return x.graph.addOp(Unpack, [x], { name, attrs: { num, axis } }).outputs;
}
