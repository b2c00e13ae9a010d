/** @file Reductions along axes: sums, means, products, extremes, truth, norms. Their gradients are in reduce-grad.ts. */

import { type DType, isFloat, type Shape, type Tensor, tensor } from "../base/index.ts";
import {
  attr,
  defineOp,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { cadd, cmul } from "./kernels/complex.ts";
import type { Complex } from "./kernels/elementwise.ts";
import {
  highestBig,
  highestInt,
  lowestBig,
  lowestInt,
  type Reducer,
  reduceTensor,
} from "./kernels/reduce.ts";
import { outShape } from "./onnx-facts.ts";
import { graphOf, mul } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { extremeGrad, meanGrad, normGrad, prodGrad, sumGrad } from "./reduce-grad.ts";
import {
  kernelAxes,
  lowerReduce,
  lowerSum,
  lowersSum,
  ordered,
  reducedShapes,
  summable,
} from "./reduction.ts";
import { COMPLEX, FLOATS, INTS, QUANTIZED, UINTS } from "./signatures.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
const keepDims = attr.bool({ default: false });

interface ReduceInputs<X> {
  readonly input: X;
  readonly reduction_indices: X;
}
interface ReduceAttrs {
  readonly keep_dims: boolean;
}

const signature = (...dtypes: DType[]) => ({
  inputs: { input: "T", reduction_indices: "Tidx" } as const,
  outputs: { output: "T" } as const,
  attrs: { keep_dims: keepDims, T: attr.type(...dtypes), Tidx: indexType },
  infer: ({ input, reduction_indices }: ReduceInputs<Spec>, { keep_dims }: ReduceAttrs) =>
    reducedShapes(input, reduction_indices, keep_dims),
});

const NUMBERS = [...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED];
const REALS = [...FLOATS, ...INTS, ...UINTS, ...QUANTIZED];

const host =
  (reducer: Reducer) =>
  ({ input, reduction_indices }: ReduceInputs<Tensor>, { keep_dims }: ReduceAttrs) => [
    reduceTensor(input, kernelAxes(reduction_indices, input.shape.length), keep_dims, reducer),
  ];

const sum = {
  float: { start: 0, fold: (s: number, x: number) => s + x },
  int: { start: 0, fold: (s: number, x: number) => (s + x) | 0 },
  big: { start: 0n, fold: (s: bigint, x: bigint) => s + x },
  complex: { start: [0, 0] as Complex, fold: cadd },
};

/** Sum along axes. @see TensorFlow core/ops/math_ops.cc "Sum"; python/ops/math_grad.py "_SumGrad" */
export const Sum = defineOp("Sum", {
  ...signature(...NUMBERS),
  grad: (g, op, [dy]) => [sumGrad(g, op, dy!), null],
  lower: (onnx, inputs, { keep_dims }, op) => [
    lowerSum(onnx, "Sum", inputs.input, inputs.reduction_indices, keep_dims, outShape(op, inputs)),
  ],
  lowers: ({ T }, { input, reduction_indices }) => lowersSum(T, input, reduction_indices),
  host: host(sum),
});

const MEAN: Reducer = {
  float: { ...sum.float, finish: (s, n) => s / n },
  int: { ...sum.int, finish: (s, n) => Math.trunc(s / n) },
  big: { ...sum.big, finish: (s, n) => BigInt.asIntN(64, s) / BigInt(n) },
  complex: { ...sum.complex, finish: ([re, im], n) => [re / n, im / n] },
};

/**
 * Mean along axes; of integers the sum, which may wrap, divided and cut off.
 *
 * @see TensorFlow core/kernels/reduction_ops_common.h; python/ops/math_grad.py "_MeanGrad"
 */
export const Mean = defineOp("Mean", {
  ...signature(...NUMBERS),
  grad: (g, op, [dy]) => [meanGrad(g, op, dy!), null],
  lower: (onnx, inputs, { keep_dims }, op) => [
    lowerSum(onnx, "Mean", inputs.input, inputs.reduction_indices, keep_dims, outShape(op, inputs)),
  ],
  // ONNX Runtime gives 0 for the mean of nothing, TensorFlow NaN
  lowers: ({ T }, { input }) => summable(T) && input.shape?.includes(0) === false,
  host: host(MEAN),
});

/** Product along axes. @see TensorFlow core/ops/math_ops.cc "Prod"; python/ops/math_grad.py "_ProdGrad" */
export const Prod = defineOp("Prod", {
  ...signature(...NUMBERS),
  grad: (g, op, [dy]) => [prodGrad(g, op, dy!), null],
  lower: (onnx, inputs, { keep_dims }, op) => [
    lowerReduce(onnx, "ReduceProd", inputs.input, inputs.reduction_indices, keep_dims, outShape(op, inputs)),
  ],
  lowers: ({ T }) => summable(T),
  host: host({
    float: { start: 1, fold: (p, x) => p * x },
    int: { start: 1, fold: Math.imul },
    big: { start: 1n, fold: (p, x) => BigInt.asIntN(64, p * x) },
    complex: { start: [1, 0], fold: cmul },
  }),
});

/** ONNX Runtime's own extremes of bool refuse empty tensors. */
function anyTrue(onnx: Onnx, x: OnnxValue, axes: OnnxValue, keep: boolean, shape: Shape | null): OnnxValue {
  const largest = lowerReduce(onnx, "ReduceMax", onnx.cast(x, "float32"), axes, keep, shape);
  return onnx.add("Greater", [largest, onnx.scalar(0, "float32")], {}, { dtype: "bool", shape });
}

/** NaN where there is one: ONNX Runtime's extremes lose it. */
const lowerExtreme =
  (type: "ReduceMax" | "ReduceMin") =>
  (
    onnx: Onnx,
    inputs: ReduceInputs<OnnxValue>,
    { keep_dims }: ReduceAttrs,
    op: Operation,
  ): readonly OnnxValue[] => {
    const { input: x, reduction_indices: axes } = inputs;
    const shape = outShape(op, { ...inputs });
    const best = lowerReduce(onnx, type, x, axes, keep_dims, shape);
    if (!isFloat(x.dtype)) return [best];
    const anyNan = anyTrue(onnx, onnx.map("IsNaN", [x], {}, { dtype: "bool" }), axes, keep_dims, shape);
    const nan = onnx.constant(tensor([Number.NaN], x.dtype, []));
    return [onnx.add("Where", [anyNan, nan, best], {}, { dtype: x.dtype, shape })];
  };

function largerBig(a: bigint, b: bigint): bigint {
  if (a < b) return b;
  return a;
}

function smallerBig(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

/** Largest along axes, NaN where there is one; -∞ or the lowest integer of nothing. @see TensorFlow core/ops/math_ops.cc "Max" */
export const Max = defineOp("Max", {
  ...signature(...REALS),
  grad: (g, op, [dy]) => [extremeGrad(g, op, dy!), null],
  lower: lowerExtreme("ReduceMax"),
  lowers: ({ T }) => ordered(T),
  host: host({
    float: { start: Number.NEGATIVE_INFINITY, fold: Math.max },
    int: { start: lowestInt, fold: Math.max },
    big: { start: lowestBig, fold: largerBig },
  }),
});

/** Smallest along axes, NaN where there is one; ∞ or the highest integer of nothing. @see TensorFlow core/ops/math_ops.cc "Min" */
export const Min = defineOp("Min", {
  ...signature(...REALS),
  grad: (g, op, [dy]) => [extremeGrad(g, op, dy!), null],
  lower: lowerExtreme("ReduceMin"),
  lowers: ({ T }) => ordered(T),
  host: host({
    float: { start: Number.POSITIVE_INFINITY, fold: Math.min },
    int: { start: highestInt, fold: Math.min },
    big: { start: highestBig, fold: smallerBig },
  }),
});

const logical = {
  inputs: { input: "bool", reduction_indices: "Tidx" },
  outputs: { output: "bool" },
  attrs: { keep_dims: keepDims, Tidx: indexType },
  infer: ({ input, reduction_indices }: ReduceInputs<Spec>, { keep_dims }: ReduceAttrs) =>
    reducedShapes(input, reduction_indices, keep_dims),
  grad: () => [null, null],
} as const;

/** Whether all along axes are true. @see TensorFlow core/ops/math_ops.cc "All" */
export const All = defineOp("All", {
  ...logical,
  lower: (onnx, inputs, { keep_dims }, op) => {
    const shape = outShape(op, inputs);
    const isFalse = onnx.map("Not", [inputs.input]);
    const any = anyTrue(onnx, isFalse, inputs.reduction_indices, keep_dims, shape);
    return [onnx.add("Not", [any], {}, { dtype: "bool", shape })];
  },
  host: host({ int: { start: 1, fold: (a, x) => a & x } }),
});

/** Whether any along axes is true. @see TensorFlow core/ops/math_ops.cc "Any" */
export const Any = defineOp("Any", {
  ...logical,
  lower: (onnx, inputs, { keep_dims }, op) => [
    anyTrue(onnx, inputs.input, inputs.reduction_indices, keep_dims, outShape(op, inputs)),
  ],
  host: host({ int: { start: 0, fold: (a, x) => a | x } }),
});

/** √Σ|x|² along axes. @see TensorFlow core/ops/math_ops.cc "EuclideanNorm"; python/ops/math_grad.py "_EuclideanNormGrad" */
export const EuclideanNorm = defineOp("EuclideanNorm", {
  ...signature(...NUMBERS),
  grad: (g, op, [dy]) => [normGrad(g, op, dy!), null],
  lower: (onnx, inputs, { keep_dims }, op) => {
    const { input: x, reduction_indices: axes } = inputs;
    const squares = lowerSum(onnx, "Sum", onnx.map("Mul", [x, x]), axes, keep_dims, outShape(op, inputs));
    return [onnx.map("Sqrt", [squares])];
  },
  lowers: ({ T }) => summable(T),
  host: host({
    float: { start: 0, fold: (s, x) => s + x * x, finish: Math.sqrt },
    int: { start: 0, fold: (s, x) => (s + Math.imul(x, x)) | 0, finish: (s) => Math.trunc(Math.sqrt(s)) },
    big: {
      start: 0n,
      fold: (s, x) => s + x * x,
      finish: (s) => BigInt(Math.trunc(Math.sqrt(Number(BigInt.asIntN(64, s))))),
    },
    complex: {
      start: [0, 0],
      fold: ([s], [re, im]) => [s + re * re + im * im, 0],
      finish: ([s]) => [Math.sqrt(s), 0],
    },
  }),
});

/** Σt² / 2, a scalar. @see TensorFlow core/ops/nn_ops.cc "L2Loss"; python/ops/nn_grad.py "_L2LossGrad" */
export const L2Loss = defineOp("L2Loss", {
  inputs: { t: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type("float16", "bfloat16", "float32", "float64") },
  infer: () => [{ shape: [] }],
  grad: (_, op, [dy]) => [mul(op.inputs[0]!, dy!)],
  lower: (onnx, { t }, { T }) => {
    const squares = onnx.add("ReduceSumSquare", [t], { keepdims: 0 }, { shape: [] });
    return [onnx.map("Mul", [squares, onnx.scalar(0.5, T)])];
  },
  lowers: ({ T }) => summable(T),
  host: ({ t }) => [
    reduceTensor(t, [...t.shape.keys()], false, {
      float: { start: 0, fold: (s, x) => s + x * x, finish: (s) => s / 2 },
    }),
  ],
});

/** Σt² / 2, a scalar. Named "L2Loss". */
export const l2Loss = (t: Output, name = "L2Loss"): Output => t.graph.add(L2Loss, [t], { name });

export interface ReduceOptions {
  /** axes to reduce; null: all of them */
  readonly axis?: Input | null;
  /** reduced axes stay with size 1: false */
  readonly keepDims?: boolean;
  readonly name?: string;
}

/** All axes of `x`: a Const named "Const" where the rank is known (and not 0), else a Range. */
function allAxes(x: Output): Output {
  const g = x.graph;
  if (x.shape !== null && x.shape.length > 0) return g.constant([...x.shape.keys()], { dtype: "int32" });
  return pieces.range(g, 0, pieces.rank(x));
}

const reducer =
  (type: string) =>
  (x: Output, options: ReduceOptions = {}): Output => {
    const { axis = null, keepDims: keep = false, name = type } = options;
    return graphOf(x).add(type, [x, axis ?? allAxes(x)], { name, attrs: { keep_dims: keep } });
  };

/** Sum of `x` along `axis` (all by default). Named "Sum", axis "Sum/reduction_indices" ("Const" for all). */
export const reduceSum = reducer("Sum");
/** Mean of `x` along `axis`. Named "Mean". */
export const reduceMean = reducer("Mean");
/** Product of `x` along `axis`. Named "Prod". */
export const reduceProd = reducer("Prod");
/** Largest of `x` along `axis`. Named "Max". */
export const reduceMax = reducer("Max");
/** Smallest of `x` along `axis`. Named "Min". */
export const reduceMin = reducer("Min");
/** Whether all of `x` (bool) along `axis` are true. Named "All". */
export const reduceAll = reducer("All");
/** Whether any of `x` (bool) along `axis` is true. Named "Any". */
export const reduceAny = reducer("Any");
/** √Σ|x|² along `axis`. Named "EuclideanNorm". */
export const reduceEuclideanNorm = reducer("EuclideanNorm");
