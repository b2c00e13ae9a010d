/** @file Shapes as values, and tensors under other shapes. Broadcasting is in broadcast.ts, builders of `shape`, `size`, `rank` in pieces.ts. */

import {
  formatShape,
  isStatic,
  normalizeAxis,
  reshaped,
  type Shape,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import { absent, attr, defineOp, type Output, type Spec, shapeTensor } from "../graph/index.ts";
import { movable, outShape, unknownDims } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** FullTypeId of a shape; 207 and 208 are those of int32 and int64. @see TensorFlow core/framework/full_type.proto */
const TFT_SHAPE_TENSOR = 1005;

/** Dims of the input as an int vector. @see TensorFlow core/ops/array_ops.cc "Shape" */
export const Shape_ = defineOp("Shape", {
  inputs: { input: "T" },
  outputs: { output: "out_type" },
  attrs: { T: attr.type(), out_type: indexType },
  infer: ({ input }) => [{ shape: [input.shape?.length ?? null] }],
  partial: ({ input }) => input.shape,
  shapeOnly: true,
  measures: true,
  fullType: ({ out_type }) => ({
    id: TFT_SHAPE_TENSOR,
    args: [{ id: out_type === "int32" ? 207 : 208, args: [] }],
  }),
  grad: () => [null],
  lower: (onnx, { input }, { out_type }) => [onnx.cast(onnx.shapeOf(input), out_type as "int32")],
  lowers: ({ T }) => movable(T),
  host: ({ input }, { out_type }) => [shapeTensor(input.shape, out_type as "int32")],
});

/** `Shape` of several tensors. @see TensorFlow core/ops/array_ops.cc "ShapeN" */
export const ShapeN = defineOp("ShapeN", {
  inputs: { input: "N*T" },
  outputs: { output: "N*out_type" },
  attrs: { N: attr.int({ min: 1 }), T: attr.type(), out_type: indexType },
  infer: ({ input }) => input.map((x) => ({ shape: [x.shape?.length ?? null] })),
  partial: ({ input }, _, index) => input[index]!.shape,
  shapeOnly: true,
  grad: (_g, op) => op.inputs.map(() => null),
  lower: (onnx, { input }, { out_type }) => input.map((x) => onnx.cast(onnx.shapeOf(x), out_type as "int32")),
  lowers: ({ T }) => movable(T),
  host: ({ input }, { out_type }) => input.map((x) => shapeTensor(x.shape, out_type as "int32")),
});

/** Number of elements, int scalar. @see TensorFlow core/ops/array_ops.cc "Size" */
export const Size = defineOp("Size", {
  inputs: { input: "T" },
  outputs: { output: "out_type" },
  attrs: { T: attr.type(), out_type: indexType },
  infer: () => [{ shape: [] }],
  partial: ({ input }) => (isStatic(input.shape) ? [sizeOf(input.shape)] : null),
  shapeOnly: true,
  measures: true,
  grad: () => [null],
  lower: (onnx, { input }, { out_type }) => {
    const size = onnx.add("Size", [input], {}, { dtype: "int64", shape: [] });
    return [onnx.cast(size, out_type)];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input }, { out_type }) => [reshaped(shapeTensor([sizeOf(input.shape)], out_type as "int32"), [])],
});

/** Number of dims, int32 scalar. @see TensorFlow core/ops/array_ops.cc "Rank" */
export const Rank = defineOp("Rank", {
  inputs: { input: "T" },
  outputs: { output: "int32" },
  attrs: { T: attr.type() },
  infer: () => [{ shape: [] }],
  partial: ({ input }) => (input.shape === null ? null : [input.shape.length]),
  shapeOnly: true,
  measures: true,
  grad: () => [null],
  lower: (onnx, { input }) => {
    if (input.shape !== null) return [onnx.constant(reshaped(shapeTensor([input.shape.length]), []))];
    const rank = onnx.add("Size", [onnx.shapeOf(input)], {}, { dtype: "int64", shape: [] });
    return [onnx.cast(rank, "int32")];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input }) => [reshaped(shapeTensor([input.shape.length]), [])],
});

/** The same elements under another shape; one dim may be -1. @see TensorFlow core/ops/array_ops.cc "Reshape" */
export const Reshape = defineOp("Reshape", {
  inputs: { tensor: "T", shape: "Tshape" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tshape: indexType },
  infer: ({ tensor, shape }) => [{ shape: reshapedShape(tensor.shape, wantedDims(shape)) }],
  partial: ({ tensor }) => tensor.partial,
  grad: (_g, op, [dy]) => {
    const known = op.inputs[0]!.shape;
    const grad = pieces.dense(dy!);
    if (known !== null && unknownDims(known) === 1 && !known.includes(0)) {
      return [
        pieces.reshape(
          grad,
          known.map((d) => d ?? -1),
        ),
        null,
      ];
    }
    return [pieces.reshape(grad, pieces.shape(op.inputs[0]!)), null];
  },
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => {
    const out = outShape(op, inputs);
    if (out !== null && unknownDims(out) <= 1) return [onnx.reshape(inputs.tensor, out)];
    const dims = onnx.cast(inputs.shape, "int64");
    // allowzero: TF's 0 is a dim of no elements, not "as in the input".
    return [onnx.add("Reshape", [inputs.tensor, dims], { allowzero: 1 }, { shape: out })];
  },
  // A fed shape may be wrong, which is for the host to say; one made of other shapes is right.
  lowers: ({ T }, { shape }) => movable(T) && shape.partial !== null,
  host: ({ tensor, shape }) => [reshaped(tensor, resolveDims(tensor, toNumbers(shape)))],
});

/** Dims asked for, null where unknown or -1. @throws VarscopeError INVALID_ARGUMENT - two are -1, one is below */
function wantedDims(shape: Spec): Shape | null {
  if (shape.shape !== null && shape.shape.length !== 1) {
    throw invalid(`Shape must be rank 1 but is rank ${shape.shape.length}`);
  }
  if (shape.value !== null) {
    const dims = toNumbers(shape.value);
    if (dims.some((d) => d < -1)) throw invalid(`Dimension ${dims.find((d) => d < -1)} must be >= -1`);
    if (dims.filter((d) => d === -1).length > 1) {
      throw invalid(
        `Only one input size may be -1, not both ${dims.indexOf(-1)} and ${dims.lastIndexOf(-1)}`,
      );
    }
  }
  const length = shape.shape?.[0] ?? null;
  return shape.partial ?? (length === null ? null : new Array<null>(length).fill(null));
}

const knownSize = (dims: Shape): number => dims.reduce<number>((n, d) => n * (d ?? 1), 1);

/** The shape asked for, with what follows from the number of elements. */
function reshapedShape(from: Shape | null, wanted: Shape | null): Shape | null {
  if (wanted === null || from === null) return wanted;
  const [gaps, holes] = [unknownDims(from), unknownDims(wanted)];
  const [have, need] = [knownSize(from), knownSize(wanted)];
  const mismatch = (): VarscopeError =>
    invalid(
      `Cannot reshape a tensor with ${have} elements to shape ${formatShape(wanted)} (${need} elements)`,
    );
  if (gaps === 0 && holes === 0 && have !== need) throw mismatch();
  if (gaps === 0 && holes === 1 && need > 0) {
    if (have % need !== 0) {
      throw invalid(`Dimension size must be evenly divisible by ${need} but is ${have}`);
    }
    return wanted.map((d) => d ?? have / need);
  }
  if (gaps === 1 && holes === 0 && have > 0 && need % have !== 0) {
    throw invalid(`Dimension size, given by scalar input ${need}, must be evenly divisible by ${have}`);
  }
  return wanted;
}

function resolveDims(t: Tensor, dims: readonly number[]): number[] {
  const size = sizeOf(t.shape);
  const open = dims.indexOf(-1);
  if (open !== dims.lastIndexOf(-1)) {
    throw invalid(`Only one input size may be -1, not both ${open} and ${dims.lastIndexOf(-1)}`);
  }
  const negative = dims.findIndex((d) => d < -1);
  if (negative >= 0) throw invalid(`Size ${negative} must be non-negative, not ${dims[negative]}`);
  const rest = dims.reduce((n, d) => (d === -1 ? n : n * d), 1);
  if (open < 0 ? rest !== size : rest > 0 && size % rest !== 0) {
    const wish =
      open < 0 ? `the requested shape has ${rest}` : `the requested shape requires a multiple of ${rest}`;
    throw invalid(`Input to reshape is a tensor with ${size} values, but ${wish}`);
  }
  if (open >= 0 && rest === 0)
    throw invalid(
      "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are non-zero",
    );
  return dims.map((d) => (d === -1 ? size / rest : d));
}

/** Drops dims of size 1: those named, or all. @see TensorFlow core/ops/array_ops.cc "Squeeze" */
export const Squeeze = defineOp("Squeeze", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), squeeze_dims: attr.ints({ default: [], min: 0 }) },
  infer: ({ input }, { squeeze_dims }) => [{ shape: squeezed(input.shape, squeeze_dims) }],
  partial: ({ input }) => input.partial,
  grad: (_g, op, [dy]) => [pieces.reshape(pieces.dense(dy!), pieces.shape(op.inputs[0]!))],
  gradTakesSlices: true,
  lower: (onnx, inputs, { squeeze_dims }, op) => {
    const out = outShape(op, inputs);
    if (out !== null && unknownDims(out) <= 1) return [onnx.reshape(inputs.input, out)];
    const axes = squeeze_dims.length === 0 ? null : onnx.ints(squeeze_dims);
    return [onnx.add("Squeeze", [inputs.input, axes], {}, { shape: out })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input }, { squeeze_dims }) => [reshaped(input, squeezed(input.shape, squeeze_dims) as number[])],
});

function squeezed(shape: Shape | null, dims: readonly number[]): Shape | null {
  if (shape === null) return null;
  const axes = new Set(dims.map((d) => normalizeAxis(d, shape.length)));
  if (axes.size === 0) return shape.includes(null) ? null : shape.filter((d) => d !== 1);
  for (const axis of axes) {
    const d = shape[axis];
    if (d !== null && d !== 1)
      throw invalid(`Can not squeeze dim[${axis}], expected a dimension of 1, got ${d}`);
  }
  return shape.filter((_, i) => !axes.has(i));
}

/** Without the dims of size 1: all of them, or those at `axis`. Named "Squeeze". */
export function squeeze(
  x: Output,
  options: { readonly axis?: number | readonly number[]; readonly name?: string } = {},
): Output {
  const axis =
    options.axis === undefined ? [] : typeof options.axis === "number" ? [options.axis] : options.axis;
  return x.graph.add(Squeeze, [x], { name: options.name ?? "Squeeze", attrs: { squeeze_dims: axis } });
}

/** Puts in a dim of size 1. @see TensorFlow core/ops/array_ops.cc "ExpandDims" */
export const ExpandDims = defineOp("ExpandDims", {
  inputs: { input: "T", dim: "Tdim" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tdim: indexType },
  infer: ({ input, dim }) => [
    { shape: expanded(input.shape, dim.value === null ? null : toNumbers(dim.value)) },
  ],
  partial: ({ input }) => input.partial,
  grad: (_g, op, [dy]) => [pieces.reshape(pieces.dense(dy!), pieces.shape(op.inputs[0]!)), null],
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => {
    const out = outShape(op, inputs);
    if (out !== null && unknownDims(out) <= 1) return [onnx.reshape(inputs.input, out)];
    const axes = onnx.reshape(onnx.cast(inputs.dim, "int64"), [1]);
    return [onnx.add("Unsqueeze", [inputs.input, axes], {}, { shape: out })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input, dim }) => [reshaped(input, expanded(input.shape, toNumbers(dim)) as number[])],
});

function expanded(shape: Shape | null, dim: readonly number[] | null): Shape | null {
  if (dim !== null && dim.length !== 1)
    throw invalid(`'dim' input must be a tensor with a single value, it has ${dim.length}`);
  if (shape === null) return null;
  if (dim === null) return null;
  const rank = shape.length + 1;
  if (dim[0]! < -rank || dim[0]! >= rank) {
    throw invalid(`dim ${dim[0]} not in the interval [${-rank}, ${rank - 1}].`);
  }
  const axis = normalizeAxis(dim[0]!, rank);
  return [...shape.slice(0, axis), 1, ...shape.slice(axis)];
}

/** `x` with a dim of size 1 at `axis` (negative from the end). Named "ExpandDims", axis "ExpandDims/dim". */
export const expandDims = (x: Output, axis: number | Output, name = "ExpandDims"): Output =>
  x.graph.add(ExpandDims, [x, axis], { name });

/** The permutation that undoes `x`. @see TensorFlow core/kernels/transpose_op.cc "InvertPermutation" */
export const InvertPermutation = defineOp("InvertPermutation", {
  inputs: { x: "T" },
  outputs: { y: "T" },
  attrs: { T: indexType },
  infer: ({ x }) => {
    if (x.shape !== null && x.shape.length !== 1)
      throw invalid(`Shape must be rank 1 but is rank ${x.shape.length}`);
    return [{ shape: x.shape ?? [null] }];
  },
  grad: () => [null],
  lower: absent("what is no permutation is an error, which ONNX would not see"),
  host: ({ x }, { T }) => {
    const perm = toNumbers(x);
    const inverse = new Array<number>(perm.length).fill(-1);
    perm.forEach((p, i) => {
      if (p < 0 || p >= perm.length) throw invalid(`${p} is not between 0 and ${perm.length}`);
      if (inverse[p] !== -1) throw invalid(`${p} is duplicated in the input.`);
      inverse[p] = i;
    });
    return [shapeTensor(inverse, T as "int32")];
  },
});

/** The permutation that undoes `x`: y[x[i]] = i. */
export const invertPermutation = (x: Output, name = "InvertPermutation"): Output =>
  x.graph.add(InvertPermutation, [x], { name });

/** Where each of some tensors begins in their concatenation. @see TensorFlow core/kernels/concat_op.cc "ConcatOffset" */
export const ConcatOffset = defineOp("ConcatOffset", {
  inputs: { concat_dim: "int32", shape: "N*shape_type" },
  outputs: { offset: "N*shape_type" },
  attrs: { N: attr.int({ min: 2 }), shape_type: indexType },
  infer: ({ shape }) => shape.map((s) => ({ shape: s.shape })),
  partial: ({ shape }, _, index) => shape[index]!.partial?.map(() => null) ?? null,
  grad: (_g, op) => op.inputs.map(() => null),
  lower: (onnx, { concat_dim, shape }, { shape_type }) => {
    const rank = shape[0]!.shape![0]!;
    const axis = normalizeAxis(toNumbers(concat_dim.constant!)[0]!, rank);
    const mask = onnx.ints(Array.from({ length: rank }, (_, i) => Number(i === axis)));
    const out = { dtype: "int64", shape: [rank] } as const;
    let offset = onnx.ints(new Array<number>(rank).fill(0));
    return shape.map((s) => {
      const here = offset;
      const step = onnx.add("Mul", [onnx.cast(s, "int64"), mask], {}, out);
      offset = onnx.add("Add", [offset, step], {}, out);
      return onnx.cast(here, shape_type);
    });
  },
  // Shapes that do not agree are an error, which ONNX would not see: those of tensors do.
  lowers: (_, { concat_dim, shape }) =>
    concat_dim.value !== null && shape.every((s) => s.partial !== null) && shape[0]!.shape?.[0] != null,
  host: ({ concat_dim, shape }, { shape_type }) => {
    const rank = shape[0]!.shape[0]!;
    const axis = normalizeAxis(toNumbers(concat_dim)[0]!, rank);
    let offset = 0;
    return shape.map((s, i) => {
      const dims = toNumbers(s);
      const first = toNumbers(shape[0]!);
      const odd = dims.findIndex((d, k) => k !== axis && d !== first[k]);
      if (odd >= 0 || dims.length !== rank) {
        throw invalid(
          `All dimensions except ${axis} must match. Input ${i} has shape [${dims.join(" ")}] and doesn't match input 0 with shape [${first.join(" ")}].`,
        );
      }
      const at = offset;
      offset += dims[axis]!;
      return shapeTensor(
        dims.map((_, k) => (k === axis ? at : 0)),
        shape_type as "int32",
      );
    });
  },
});
