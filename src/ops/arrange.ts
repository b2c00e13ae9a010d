/** @file Elements in another order: transpose, reverse, roll, tile. */

import {
  getElement,
  isComplex,
  isStatic,
  normalizeAxis,
  type Shape,
  setElement,
  sizeOf,
  stridesOf,
  type Tensor,
  toNumbers,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Grad,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { pickAlong, ramp } from "./kernels/pick.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

function permuted(x: Shape | null, perm: Spec): Shape | null {
  const rank = x?.length ?? perm.shape?.[0] ?? perm.partial?.length ?? null;
  if (rank === null) return null;
  if (perm.value === null) return new Array<null>(rank).fill(null);
  const order = checkedPerm(toNumbers(perm.value), rank);
  return order.map((axis) => x?.[axis] ?? null);
}

function checkedPerm(perm: readonly number[], rank: number): number[] {
  if (perm.length !== rank)
    throw invalid(
      `transpose expects a vector of size ${rank}. But input(1) is a vector of size ${perm.length}`,
    );
  const order = perm.map((axis) => (axis < 0 ? axis + rank : axis));
  const bad = order.findIndex((axis, i) => axis < 0 || axis >= rank || order.indexOf(axis) !== i);
  if (bad >= 0)
    throw invalid(
      `${perm[bad]} at ${bad} of perm [${perm}] is out of range or there twice; axes 0 to ${rank - 1} are wanted once each`,
    );
  return order;
}

function transposed(x: Tensor, perm: Tensor): Tensor {
  const strides = stridesOf(x.shape);
  return pickAlong(
    x,
    checkedPerm(toNumbers(perm), x.shape.length).map((axis) => ramp(x.shape[axis]!, 0, strides[axis]!)),
  );
}

/** y = x with its axes permuted. @see TensorFlow core/ops/array_ops.cc "Transpose" */
export const Transpose = defineOp("Transpose", {
  inputs: { x: "T", perm: "Tperm" },
  outputs: { y: "T" },
  attrs: { T: attr.type(), Tperm: indexType },
  infer: ({ x, perm }) => [{ shape: permuted(x.shape, perm) }],
  grad: (g, op, [dy]) => [pieces.transpose(dy!, g.add("InvertPermutation", [op.inputs[1]!])), null],
  lower: (onnx, { x, perm }) => [onnx.transpose(x, order(perm))],
  lowers: ({ T }, { perm }) => movable(T) && perm.value !== null,
  host: ({ x, perm }) => [transposed(x, perm)],
});

const order = (perm: OnnxValue): number[] => {
  const axes = toNumbers(perm.constant!);
  return checkedPerm(axes, axes.length);
};

/** y = the complex conjugate of x with its axes permuted. @see TensorFlow core/ops/array_ops.cc "ConjugateTranspose" */
export const ConjugateTranspose = defineOp("ConjugateTranspose", {
  inputs: { x: "T", perm: "Tperm" },
  outputs: { y: "T" },
  attrs: { T: attr.type(), Tperm: indexType },
  infer: ({ x, perm }) => [{ shape: permuted(x.shape, perm) }],
  grad: (g, op, [dy]) => {
    const inverse = g.add("InvertPermutation", [op.inputs[1]!]);
    const type = isComplex(dy!.dtype) ? "ConjugateTranspose" : "Transpose";
    return [g.add(type, [dy!, inverse], { name: "transpose" }), null];
  },
  lower: (onnx, { x, perm }) => [onnx.transpose(x, order(perm))],
  lowers: ({ T }, { perm }) => movable(T) && perm.value !== null,
  host: ({ x, perm }) => {
    const y = transposed(x, perm);
    if (isComplex(x.dtype)) {
      for (let i = 1; i < y.data.length; i += 2) (y.data as Float64Array)[i] = -(y.data as Float64Array)[i]!;
    }
    return [y];
  },
});

function reversed(x: Tensor, axes: readonly number[]): Tensor {
  const strides = stridesOf(x.shape);
  const tables = x.shape.map((d, i) => {
    const step = strides[i]!;
    return axes.includes(i) ? ramp(d, (d - 1) * step, -step) : ramp(d, 0, step);
  });
  return pickAlong(x, tables);
}

function lowerReverse(onnx: Onnx, x: OnnxValue, axes: readonly number[]): OnnxValue {
  if (axes.length === 0) return x;
  const all = (value: number): OnnxValue => onnx.ints(axes.map(() => value));
  // Slice of ONNX clamps: from the last element to before the first.
  const inputs = [x, all(-1), all(-(2 ** 31)), onnx.ints(axes), all(-1)];
  return onnx.add("Slice", inputs, {}, { shape: x.shape });
}

const REVERSIBLE = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "bool",
  "bfloat16",
  "float16",
  "float32",
  "float64",
  "complex64",
  "complex128",
  "string",
] as const;

function reverseAxes(axis: Tensor, rank: number): number[] {
  const axes = toNumbers(axis).map((a) => {
    if (a < -rank || a >= rank) throw invalid(`'axis' ${a} is out of valid range [${-rank}, ${rank - 1}]`);
    return normalizeAxis(a, rank);
  });
  const twice = axes.find((a, i) => axes.indexOf(a) !== i);
  if (twice !== undefined) throw invalid(`axis ${twice} specified more than once.`);
  return axes;
}

/** x backwards along some axes. @see TensorFlow core/ops/array_ops.cc "ReverseV2" */
export const ReverseV2 = defineOp("ReverseV2", {
  inputs: { tensor: "T", axis: "Tidx" },
  outputs: { output: "T" },
  attrs: { Tidx: indexType, T: attr.type(...REVERSIBLE) },
  infer: ({ tensor, axis }) => {
    if (tensor.shape !== null && axis.value !== null) reverseAxes(axis.value, tensor.shape.length);
    return [{ shape: tensor.shape }];
  },
  grad: (g, op, [dy]) => [g.add("ReverseV2", [dy!, op.inputs[1]!]), null],
  lower: (onnx, { tensor, axis }) => [lowerReverse(onnx, tensor, toNumbers(axis.constant!))],
  lowers: ({ T }, { axis }) => movable(T) && axis.value !== null,
  host: ({ tensor, axis }) => [reversed(tensor, reverseAxes(axis, tensor.shape.length))],
});

/** `x` backwards along `axis` (several: in any order). Named "ReverseV2", axis "ReverseV2/axis". */
export const reverse = (x: Output, axis: readonly number[] | Output, name = "ReverseV2"): Output =>
  x.graph.add(ReverseV2, [x, axis as Input], { name });

const marked = (dims: Tensor): number[] => toNumbers(dims).flatMap((on, i) => (on ? [i] : []));

/** ReverseV2 with a flag for each axis. @see TensorFlow core/ops/array_ops.cc "Reverse" */
export const Reverse = defineOp("Reverse", {
  inputs: { tensor: "T", dims: "bool" },
  outputs: { output: "T" },
  attrs: { T: attr.type(...REVERSIBLE) },
  infer: ({ tensor }) => [{ shape: tensor.shape }],
  grad: (g, op, [dy]) => [g.add("Reverse", [dy!, op.inputs[1]!]), null],
  lower: (onnx, { tensor, dims }) => [lowerReverse(onnx, tensor, marked(dims.constant!))],
  lowers: ({ T }, { dims }) => movable(T) && dims.value !== null,
  host: ({ tensor, dims }) => [reversed(tensor, marked(dims))],
});

/** x shifted along axes, what leaves at the end comes in at the start. @see TensorFlow core/kernels/roll_op.cc */
export const Roll = defineOp("Roll", {
  inputs: { input: "T", shift: "Tshift", axis: "Taxis" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tshift: attr.type("int32", "int64"), Taxis: attr.type("int32", "int64") },
  infer: ({ input }) => [{ shape: input.shape }],
  grad: (g, op, [dy]) => {
    const back = g.add("Neg", [op.inputs[1]!]);
    return [g.add("Roll", [dy!, back, op.inputs[2]!]), null, null];
  },
  lower: (onnx, { input, shift, axis }) => {
    const [shifts, axes] = [toNumbers(shift.constant!), toNumbers(axis.constant!)];
    return [
      axes.reduce((x, a, i) => lowerRoll(onnx, x, shifts[i]!, normalizeAxis(a, input.shape!.length)), input),
    ];
  },
  lowers: ({ T }, { input, shift, axis }) =>
    movable(T) && isStatic(input.shape) && shift.value !== null && axis.value !== null,
  host: ({ input, shift, axis }) => {
    const rank = input.shape.length;
    const shifts = new Array<number>(rank).fill(0);
    const by = toNumbers(shift);
    toNumbers(axis).forEach((a, i) => {
      shifts[normalizeAxis(a, rank)]! += by[i]!;
    });
    const strides = stridesOf(input.shape);
    const tables = input.shape.map((d, k) =>
      Int32Array.from({ length: d }, (_, i) => modulo(i - shifts[k]!, d) * strides[k]!),
    );
    return [pickAlong(input, tables)];
  },
});

const modulo = (a: number, n: number): number => ((a % n) + n) % n;

function lowerRoll(onnx: Onnx, x: OnnxValue, shift: number, axis: number): OnnxValue {
  const dim = x.shape![axis]!;
  if (dim === 0) return x;
  const indices = onnx.ints(Array.from({ length: dim }, (_, i) => modulo(i - shift, dim)));
  return onnx.add("Gather", [x, indices], { axis }, { shape: x.shape });
}

/** `x` shifted by `shift` along `axis`. Named "Roll". */
export const roll = (x: Output, shift: Input, axis: Input, name = "Roll"): Output =>
  x.graph.add(Roll, [x, shift, axis], {
    name,
    attrs: { Tshift: indexTypeOf(shift), Taxis: indexTypeOf(axis) },
  });

const indexTypeOf = (x: Input): "int32" | "int64" => (pieces.isOutput(x) ? (x.dtype as "int32") : "int32");

/** The first `seq_lengths[i]` elements of each sequence backwards. @see TensorFlow core/kernels/reverse_sequence_op.cc */
export const ReverseSequence = defineOp("ReverseSequence", {
  inputs: { input: "T", seq_lengths: "Tlen" },
  outputs: { output: "T" },
  attrs: {
    seq_dim: attr.int(),
    batch_dim: attr.int({ default: 0 }),
    T: attr.type(),
    Tlen: attr.typeOr("int64", "int32", "int64"),
  },
  infer: ({ input }) => [{ shape: input.shape }],
  grad: (g, op, [dy], { seq_dim, batch_dim }) => [
    g.add("ReverseSequence", [dy!, op.inputs[1]!], { attrs: { seq_dim, batch_dim } }),
    null,
  ],
  lower: (onnx, { input, seq_lengths }, { seq_dim, batch_dim }) => [
    onnx.add("ReverseSequence", [input, onnx.cast(seq_lengths, "int64")], {
      time_axis: seq_dim,
      batch_axis: batch_dim,
    }),
  ],
  // ONNX allows axes 0 and 1 only, one for each.
  lowers: ({ T, seq_dim, batch_dim }) =>
    movable(T) && seq_dim + batch_dim === 1 && seq_dim >= 0 && batch_dim >= 0,
  host: ({ input, seq_lengths }, { seq_dim, batch_dim }) => {
    const lengths = toNumbers(seq_lengths);
    const out = zeros(input.dtype, input.shape);
    const strides = stridesOf(input.shape);
    const [time, batch] = [strides[seq_dim]!, strides[batch_dim]!];
    const size = sizeOf(input.shape);
    for (let i = 0; i < size; i++) {
      const t = Math.floor(i / time) % input.shape[seq_dim]!;
      const n = lengths[Math.floor(i / batch) % input.shape[batch_dim]!]!;
      setElement(out, t < n ? i + (n - 1 - 2 * t) * time : i, getElement(input, i));
    }
    return [out];
  },
});

/** x repeated along each axis. @see TensorFlow core/ops/array_ops.cc "Tile"; python/ops/array_grad.py "_TileGrad" */
export const Tile = defineOp("Tile", {
  inputs: { input: "T", multiples: "Tmultiples" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tmultiples: indexType },
  infer: ({ input, multiples }) => {
    const times = multiples.partial ?? unknownVector(multiples);
    if (times === null) return [{ shape: input.shape?.map(() => null) ?? null }];
    if (input.shape === null) return [{ shape: times.map(() => null) }];
    if (times.length !== input.shape.length) {
      throw invalid(
        `Shape must be rank ${input.shape.length} but is rank ${times.length}: one multiple for each dim`,
      );
    }
    return [{ shape: input.shape.map((d, i) => (d === null || times[i] === null ? null : d * times[i]!)) }];
  },
  grad: (g, op, [dy]) => [tileGrad(g, op, dy!), null],
  gradTakesSlices: true,
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    return [onnx.add("Tile", [inputs.input, onnx.cast(inputs.multiples, "int64")], {}, { shape })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input, multiples }) => {
    const times = toNumbers(multiples);
    const strides = stridesOf(input.shape);
    const bad = times.findIndex((n) => n < 0);
    if (bad >= 0) throw invalid(`Expected multiples[${bad}] >= 0, but got ${times[bad]}`);
    const tables = input.shape.map((d, axis) =>
      Int32Array.from({ length: d * times[axis]! }, (_, i) => (i % d) * strides[axis]!),
    );
    return [pickAlong(input, tables)];
  },
});

function tileGrad(g: Graph, op: Operation, dy: Grad): Output {
  const [x, multiples] = op.inputs as [Output, Output];
  const inputShape = pieces.shape(x, { outType: multiples.dtype as "int32" });
  const pairs = g.add("Pack", [[multiples, inputShape]], { name: "stack" });
  let splitShape = pieces.reshape(pieces.transpose(pairs), [-1]);
  const axes = pieces.range(g, 0, pieces.size(splitShape), 2);
  let dense: Output;
  if (pieces.isOutput(dy)) dense = dy;
  else {
    const rows = pieces.cast(pieces.element(g, inputShape, 0), dy.indices.dtype);
    const ids = g.add("FloorMod", [dy.indices, rows], { name: "FloorMod" });
    dense = g.add("UnsortedSegmentSum", [dy.values, ids, rows]);
    const rest = pieces.part(g, splitShape, 1, null);
    splitShape = g.nameScope("concat", (scope) =>
      g.add("ConcatV2", [[g.constant([1], { dtype: rest.dtype, name: "values_0" }), rest], 0], {
        name: scope,
        attrs: { Tidx: "int32" },
      }),
    );
  }
  const sum = g.add("Sum", [pieces.reshape(dense, splitShape), axes], { attrs: { keep_dims: false } });
  return isStatic(sum.shape) ? sum : pieces.setShape(sum, x.shape);
}

/** `x` repeated `multiples[i]` times along axis i. Named "Tile", multiples "Tile/multiples". */
export const tile = (x: Output, multiples: Input, name = "Tile"): Output =>
  x.graph.add(Tile, [x, multiples], { name });

const unknownVector = (x: Spec): Shape | null => {
  const length = x.shape?.[0] ?? null;
  return length === null ? null : new Array<null>(length).fill(null);
};
