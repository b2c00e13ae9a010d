/** @file Which elements are the largest: ArgMax and ArgMin, TopK, InTopK. */

import {
  type DType,
  isFloat,
  normalizeAxis,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
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
import { argBest } from "./kernels/reduce.ts";
import { inLargest, largest } from "./kernels/scan.ts";
import { outShape } from "./onnx-facts.ts";
import { add, sub } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { FLOATS, INTS, QUANTIZED, test, UINTS, where } from "./signatures.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

interface ArgInputs<X> {
  readonly input: X;
  readonly dimension: X;
}

/** @throws VarscopeError INVALID_ARGUMENT - as TensorFlow says it */
function dimensionOf(dimension: Tensor, rank: number): number {
  const axis = toNumbers(dimension)[0]!;
  if (axis >= -rank && axis < rank) return normalizeAxis(axis, rank);
  throw invalid(
    `Dimension (${axis}) must be in the range [${-rank}, ${rank}), where ${rank} is the number of dimensions in the input.`,
  );
}

/** @see TensorFlow core/ops/math_ops.cc "ArgOpShape" */
function argShape({ input, dimension }: ArgInputs<Spec>): readonly Inferred[] {
  if (input.shape === null) return [{ shape: null }];
  const { length } = input.shape;
  if (length <= 1) return [{ shape: [] }];
  if (dimension.value === null) return [{ shape: new Array<null>(length - 1).fill(null) }];
  const axis = dimensionOf(dimension.value, length);
  return [{ shape: input.shape.filter((_, i) => i !== axis) }];
}

/** NaN is never the best: it takes the value that loses to all. */
const lowerArg =
  (type: "ArgMax" | "ArgMin", worst: number) =>
  (
    onnx: Onnx,
    inputs: ArgInputs<OnnxValue>,
    attrs: { readonly output_type: DType },
    op: Operation,
  ): readonly OnnxValue[] => {
    const { input: x, dimension } = inputs;
    const axis = dimensionOf(dimension.constant!, x.shape!.length);
    const shape = outShape(op, { ...inputs });
    const known = isFloat(x.dtype)
      ? where(onnx, test(onnx, "IsNaN", x), onnx.constant(tensor([worst], x.dtype, [])), x)
      : x;
    const index = onnx.add(type, [known], { axis, keepdims: 0 }, { dtype: "int64", shape });
    return [onnx.cast(index, attrs.output_type)];
  };

const COMPARED: ReadonlySet<DType> = new Set([
  "float32",
  "float64",
  "float16",
  "int8",
  "uint8",
  "int32",
  "int64",
] as const);

const lowersArg = ({ T }: { readonly T: DType }, { input, dimension }: ArgInputs<Spec>): boolean =>
  COMPARED.has(T) &&
  input.shape !== null &&
  input.shape.length > 0 &&
  !input.shape.includes(0) &&
  dimension.value !== null;

const hostArg =
  (better: (a: number | bigint, b: number | bigint) => boolean) =>
  (
    { input, dimension }: ArgInputs<Tensor>,
    { output_type }: { readonly output_type: DType },
  ): readonly Tensor[] => {
    const axis = dimensionOf(dimension, input.shape.length);
    if (input.shape[axis] === 0)
      throw invalid(`Reduction axis ${axis} is empty in shape [${input.shape.join(",")}]`);
    return [argBest(input, axis, better, output_type)];
  };

const REALS = [...FLOATS, ...INTS, ...UINTS, ...QUANTIZED, "bool"] as const;

/** Index of the largest along an axis, the first of equals; NaN is passed over. @see TensorFlow core/ops/math_ops.cc "ArgMax" */
export const ArgMax = defineOp("ArgMax", {
  inputs: { input: "T", dimension: "Tidx" },
  outputs: { output: "output_type" },
  attrs: {
    T: attr.type(...REALS),
    Tidx: attr.typeOr("int32", "int16", "int32", "int64"),
    output_type: attr.typeOr("int64", "int16", "uint16", "int32", "int64"),
  },
  infer: argShape,
  grad: () => [null, null],
  lower: lowerArg("ArgMax", Number.NEGATIVE_INFINITY),
  lowers: lowersArg,
  host: hostArg((a, b) => a > b),
});

/** Index of the smallest along an axis, the first of equals; NaN is passed over. @see TensorFlow core/ops/math_ops.cc "ArgMin" */
export const ArgMin = defineOp("ArgMin", {
  inputs: { input: "T", dimension: "Tidx" },
  outputs: { output: "output_type" },
  attrs: {
    T: attr.type(...REALS),
    Tidx: attr.typeOr("int32", "int32", "int64"),
    output_type: attr.typeOr("int64", "int32", "int64"),
  },
  infer: argShape,
  grad: () => [null, null],
  lower: lowerArg("ArgMin", Number.POSITIVE_INFINITY),
  lowers: lowersArg,
  host: hostArg((a, b) => a < b),
});

export interface ArgOptions {
  /** 0 */
  readonly axis?: Input;
  /** int64 */
  readonly outputType?: DType;
  readonly name?: string;
}

const argOp =
  (type: string) =>
  (x: Output, options: ArgOptions = {}): Output =>
    x.graph.add(type, [x, options.axis ?? 0], {
      name: options.name ?? type,
      attrs: { output_type: options.outputType ?? "int64" },
    });

/** Index of the largest along an axis. Named "ArgMax", axis "ArgMax/dimension". @returns int64 by default */
export const argmax = argOp("ArgMax");
/** Index of the smallest along an axis. Named "ArgMin", axis "ArgMin/dimension". @returns int64 by default */
export const argmin = argOp("ArgMin");

/** Values and indices of the k largest. @see TensorFlow core/ops/nn_ops.cc "TopKShapeFn" */
function topShape(input: Spec, k: number | null): readonly Inferred[] {
  if (input.shape === null) return [{ shape: null }, { shape: null }];
  if (input.shape.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
  const columns = input.shape[input.shape.length - 1]!;
  if (k !== null && k < 0) throw invalid(`Need k >= 0, got ${k}`);
  if (k !== null && columns !== null && columns < k) {
    throw invalid(`input must have last dimension >= k = ${k} but is ${columns}`);
  }
  const shape = [...input.shape.slice(0, -1), k];
  return [{ shape }, { shape }];
}

const TOPPED: ReadonlySet<DType> = new Set([
  "float32",
  "float64",
  "float16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
] as const);

/** Spreads dy over zeros of the input's shape. @see TensorFlow python/ops/nn_grad.py "_TopKGrad" */
function topGrad(g: Graph, op: Operation, dy: Output): Output {
  const inShape = pieces.shape(op.inputs[0]!);
  const indexShape = pieces.shape(op.output(1));
  const lastOf = (shape: Output): Output => {
    const wide = pieces.cast(shape, "int64");
    const last = sub(pieces.size(shape), 1);
    return g.add("GatherV2", [wide, last, 0], { attrs: { Taxis: "int32" } });
  };
  const k = lastOf(indexShape);
  const rows = pieces.reshape(op.output(1), pieces.pack(g, [-1, k], "int64", "stack"));
  const columns = lastOf(inShape);
  const count = pieces.element(g, pieces.shape(rows), 0);
  const end = g.add("Mul", [pieces.cast(count, "int64"), columns], { name: "mul" });
  const begins = g.nameScope("range", (scope) => {
    const start = pieces.cast(g.constant(0, { dtype: "int32", name: "start" }), "int64");
    return g.add("Range", [start, end, columns], { name: scope });
  });
  const column = g.add("ExpandDims", [begins, -1], { attrs: { Tdim: "int32" } });
  const places = pieces.reshape(add(rows, pieces.cast(column, "int32")), [-1]);
  const tuples = g.add("ExpandDims", [places, -1], { attrs: { Tdim: "int32" } });
  const flat = pieces.reshape(dy, [-1]);
  const axes = g.constant([0], { dtype: "int32" });
  const total = g.add("Prod", [inShape, axes]);
  const scattered = g.nameScope("ScatterNd", (scope) =>
    g.add("ScatterNd", [tuples, flat, pieces.pack(g, [total], "int32", "shape")], { name: scope }),
  );
  return pieces.reshape(scattered, inShape);
}

/**
 * The k largest along the last axis, largest first and the first of equals first, and their indices.
 *
 * @see TensorFlow core/kernels/topk_op.cc
 */
export const TopKV2 = defineOp("TopKV2", {
  inputs: { input: "T", k: "Tk" },
  outputs: { values: "T", indices: "index_type" },
  attrs: {
    sorted: attr.bool({ default: true }),
    T: attr.type(...FLOATS, ...INTS, ...UINTS),
    Tk: attr.typeOr("int32", "int16", "int32", "int64"),
    index_type: attr.typeOr("int32", "int16", "int32", "int64"),
  },
  infer: ({ input, k }) => topShape(input, k.value === null ? null : toNumbers(k.value)[0]!),
  grad: (g, op, [dy]) => [topGrad(g, op, dy!), pieces.zeros(g, [], { dtype: "int32" })],
  lower: (onnx, { input, k }, { sorted, index_type }, op) => {
    const shape = outShape(op, { input, k });
    const count = onnx.ints(toNumbers(k.constant!));
    const [values, indices] = onnx.addMany(
      "TopK",
      [input, count],
      { axis: -1, largest: 1, sorted: sorted ? 1 : 0 },
      [
        { dtype: input.dtype, shape },
        { dtype: "int64", shape },
      ],
    );
    return [values!, onnx.cast(indices!, index_type)];
  },
  lowers: ({ T }, { input, k }) =>
    TOPPED.has(T) && input.shape !== null && !input.shape.includes(0) && k.value !== null,
  host: ({ input, k }, { index_type }) => largest(input, toNumbers(k)[0]!, index_type),
});

export interface TopKOptions {
  /** largest first: true */
  readonly sorted?: boolean;
  /** int32 */
  readonly indexType?: DType;
  readonly name?: string;
}

/** Values and indices of the `k` (1 by default) largest along the last axis. Named "TopKV2", k "TopKV2/k". */
export function topK(
  x: Output,
  k: Input = 1,
  options: TopKOptions = {},
): { readonly values: Output; readonly indices: Output } {
  const { sorted = true, indexType = "int32", name = "TopKV2" } = options;
  const op = x.graph.addOp(TopKV2, [x, k], { name, attrs: { sorted, index_type: indexType } });
  return { values: op.output(0), indices: op.output(1) };
}

function inTopShape(predictions: Spec, targets: Spec): readonly Inferred[] {
  for (const [x, rank] of [
    [predictions, 2],
    [targets, 1],
  ] as const) {
    if (x.shape !== null && x.shape.length !== rank) {
      throw invalid(`Shape must be rank ${rank} but is rank ${x.shape.length}`);
    }
  }
  const [a, b] = [predictions.shape?.[0] ?? null, targets.shape?.[0] ?? null];
  if (a !== null && b !== null && a !== b) throw invalid(`Dimensions must be equal, but are ${a} and ${b}`);
  return [{ shape: [a ?? b] }];
}

/** Rows whose target is among the k largest: all finite, and fewer than k larger. @param k - int64, a scalar or vector of one */
function lowerInTop(onnx: Onnx, x: OnnxValue, targets: OnnxValue, k: OnnxValue): OnnxValue {
  const rows = targets.shape;
  const [n, columns] = x.shape as [number | null, number];
  const labels = onnx.cast(targets, "int64");
  const zero = onnx.scalar(0, "int64");
  const inside = test(
    onnx,
    "And",
    test(onnx, "GreaterOrEqual", labels, zero),
    test(onnx, "Less", labels, onnx.scalar(columns, "int64")),
  );
  const safe = onnx.reshape(where(onnx, inside, labels, zero), [n, 1]);
  const mine = onnx.add("GatherElements", [x, safe], { axis: 1 }, { shape: [n, 1] });
  const larger = onnx.cast(test(onnx, "Greater", x, mine), "int32");
  const count = onnx.add("ReduceSum", [larger, onnx.ints([1])], { keepdims: 0 }, { shape: rows });
  const finite = test(onnx, "Equal", onnx.map("Sub", [x, x]), onnx.scalar(0, x.dtype));
  const allFinite = onnx.add(
    "ReduceMin",
    [finite, onnx.ints([1])],
    { keepdims: 0 },
    { dtype: "bool", shape: rows },
  );
  const among = test(onnx, "Less", onnx.cast(count, "int64"), k);
  return test(onnx, "And", test(onnx, "And", inside, allFinite), among);
}

const lowersInTop = (predictions: Spec): boolean =>
  predictions.shape?.length === 2 && predictions.shape[1] !== null && predictions.shape[1]! > 0;

/**
 * Whether each target is among the k largest of its row, ties counting for it; false where it is no class, or anything is not finite.
 *
 * @see TensorFlow core/kernels/in_topk_op.h
 */
export const InTopKV2 = defineOp("InTopKV2", {
  inputs: { predictions: "float32", targets: "T", k: "T" },
  outputs: { precision: "bool" },
  attrs: { T: attr.typeOr("int32", "int32", "int64") },
  infer: ({ predictions, targets }) => inTopShape(predictions, targets),
  grad: () => [null, null, null],
  lower: (onnx, { predictions, targets, k }) => [
    lowerInTop(onnx, predictions, targets, onnx.cast(k, "int64")),
  ],
  lowers: (_, { predictions }) => lowersInTop(predictions),
  host: ({ predictions, targets, k }) => [inLargest(predictions, toNumbers(targets), toNumbers(k)[0]!)],
});

/** InTopKV2 with k as an attribute. @see TensorFlow core/ops/nn_ops.cc "InTopK" */
export const InTopK = defineOp("InTopK", {
  inputs: { predictions: "float32", targets: "T" },
  outputs: { precision: "bool" },
  attrs: { k: attr.int(), T: attr.typeOr("int32", "int32", "int64") },
  infer: ({ predictions, targets }) => inTopShape(predictions, targets),
  grad: () => [null, null],
  lower: (onnx, { predictions, targets }, { k }) => [
    lowerInTop(onnx, predictions, targets, onnx.scalar(k, "int64")),
  ],
  lowers: (_, { predictions }) => lowersInTop(predictions),
  host: ({ predictions, targets }, { k }) => [inLargest(predictions, toNumbers(targets), k)],
});

/**
 * Whether each target is among the `k` largest predictions of its row. Named "in_top_k/InTopKV2".
 *
 * @param predictions - float32 [batch, classes]
 * @param targets - int32 or int64 [batch]
 * @returns bool [batch]
 */
export const inTopK = (predictions: Output, targets: Output, k: Input, name = "in_top_k"): Output =>
  predictions.graph.nameScope(name, () => predictions.graph.add(InTopKV2, [predictions, targets, k]));
