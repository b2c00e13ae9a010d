/** @file A vector added along the channels, and its gradient. */

import {
  type DType,
  formatShape,
  isStatic,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  type DataFormat,
  defineOp,
  type Graph,
  type Inferred,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { cadd } from "./kernels/complex.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import { type Reducer, reduceTensor } from "./kernels/reduce.ts";
import * as pieces from "./pieces.ts";
import { summable, sumRows } from "./reduction.ts";
import { COMPLEX, FLOATS, INTS, ort, QUANTIZED, UINTS } from "./signatures.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const numbers = attr.type(...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED);
const format = attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW"] });

const SUM = {
  float: (a: number, b: number) => a + b,
  int: (a: number, b: number) => a + b,
  big: (a: bigint, b: bigint) => a + b,
  complex: cadd,
};

/** Where the channels are in a shape. */
const channelAxis = (rank: number, dataFormat: string): number => (dataFormat === "NCHW" ? 1 : rank - 1);

/** @see TensorFlow core/framework/common_shape_fns.cc "BiasAddShape" */
function biasShape(value: Spec, bias: Spec, dataFormat: string): readonly Inferred[] {
  const least = dataFormat === "NCHW" ? 3 : 2;
  if (value.shape !== null && value.shape.length < least) {
    throw invalid(`Shape must be at least rank ${least} but is rank ${value.shape.length}`);
  }
  if (bias.shape !== null && bias.shape.length !== 1)
    throw invalid(`Shape must be rank 1 but is rank ${bias.shape.length}`);
  if (value.shape === null) return [{ shape: null }];
  const axis = channelAxis(value.shape.length, dataFormat);
  const [mine, given] = [value.shape[axis]!, bias.shape?.[0] ?? null];
  if (mine !== null && given !== null && mine !== given)
    throw invalid(`Dimensions must be equal, but are ${mine} and ${given}`);
  return [{ shape: value.shape.map((d, i) => (i === axis ? (d ?? given) : d)) }];
}

/** The bias as it broadcasts: [C] or [C, 1, ...]. */
const columnShape = (rank: number, channels: number | null, dataFormat: string): Shape =>
  dataFormat === "NCHW" ? [channels, ...new Array<number>(rank - 2).fill(1)] : [channels];

/** Float32 images, and volumes whose layout can be theirs. */
const isImage = ({ dtype, shape }: OnnxValue, dataFormat: string): boolean =>
  dtype === "float32" &&
  (shape?.length === 4 || (shape?.length === 5 && dataFormat === "NHWC" && isStatic(shape.slice(1))));

function lowerBias(onnx: Onnx, value: OnnxValue, bias: OnnxValue, dataFormat: string): OnnxValue {
  const rank = value.shape!.length;
  const channels = bias.shape?.[0] ?? null;
  if (isImage(value, dataFormat) && channels !== null) {
    const known = onnx.withShape(
      value,
      value.shape!.map((d, i) => (i === channelAxis(rank, dataFormat) ? channels : d)),
    );
    return onnx.nn.biasAdd(known, bias, dataFormat as DataFormat);
  }
  return onnx.map(
    "Add",
    [value, onnx.reshape(bias, columnShape(rank, channels, dataFormat))],
    {},
    { shape: value.shape },
  );
}

function hostBias(value: Tensor, bias: Tensor, dataFormat: string): Tensor {
  const rank = value.shape.length;
  const channels = value.shape[channelAxis(rank, dataFormat)];
  if (rank < 2 || bias.shape.length !== 1 || bias.shape[0] !== channels) {
    throw invalid(
      `Must provide as many biases as the last dimension of the input tensor: ${formatShape(bias.shape)} vs. ${formatShape(value.shape)}`,
    );
  }
  return mapBinary(value, { ...bias, shape: columnShape(rank, channels, dataFormat) as number[] }, SUM);
}

/** value + bias along the channels. @see TensorFlow core/ops/nn_ops.cc "BiasAdd"; python/ops/nn_grad.py "_BiasAddGrad" */
export const BiasAdd = defineOp("BiasAdd", {
  inputs: { value: "T", bias: "T" },
  outputs: { output: "T" },
  attrs: { T: numbers, data_format: format },
  infer: ({ value, bias }, { data_format }) => biasShape(value, bias, data_format),
  grad: (g, _, [dy], { data_format }) => [dy!, g.add("BiasAddGrad", [dy!], { attrs: { data_format } })],
  lower: (onnx, { value, bias }, { data_format }) => [lowerBias(onnx, value, bias, data_format)],
  lowers: ({ T }, { value }) => ort.numbers({ T }) && value.shape !== null,
  host: ({ value, bias }, { data_format }) => [hostBias(value, bias, data_format)],
});

/** BiasAdd of channels that come last. @see TensorFlow core/ops/nn_ops.cc "BiasAddV1"; python/ops/nn_grad.py "_BiasAddGradV1" */
export const BiasAddV1 = defineOp("BiasAddV1", {
  inputs: { value: "T", bias: "T" },
  outputs: { output: "T" },
  attrs: { T: numbers },
  infer: ({ value, bias }) => biasShape(value, bias, "NHWC"),
  grad: (g, _, [dy]) => {
    const last = g.add("Sub", [pieces.rank(dy!), 1], { name: "sub" });
    return [dy!, g.add("Sum", [dy!, pieces.range(g, 0, last)])];
  },
  lower: (onnx, { value, bias }) => [lowerBias(onnx, value, bias, "NHWC")],
  lowers: ({ T }, { value }) => ort.numbers({ T }) && value.shape !== null,
  host: ({ value, bias }) => [hostBias(value, bias, "NHWC")],
});

function gradShape({ shape }: Spec, dataFormat: string): readonly Inferred[] {
  const least = dataFormat === "NCHW" ? 3 : 2;
  if (shape === null) return [{ shape: [null] }];
  if (shape.length < least) throw invalid(`Shape must be at least rank ${least} but is rank ${shape.length}`);
  return [{ shape: [shape[channelAxis(shape.length, dataFormat)]!] }];
}

/** All axes but that of the channels. */
const otherAxes = (rank: number, dataFormat: string): number[] =>
  [...Array(rank).keys()].filter((i) => i !== channelAxis(rank, dataFormat));

function lowerGrad(onnx: Onnx, dy: OnnxValue, dataFormat: string): OnnxValue {
  const shape = dy.shape!;
  const channels = shape[channelAxis(shape.length, dataFormat)]!;
  if (isImage(dy, dataFormat) && channels !== null && !shape.includes(0)) {
    return onnx.nn.biasGrad(dy, dataFormat as DataFormat);
  }
  const leading = dataFormat === "NHWC" ? shape.slice(0, -1) : null;
  const rows = isStatic(leading) ? sizeOf(leading) : 0;
  if (rows > 0 && channels !== 0 && (dy.dtype === "float32" || dy.dtype === "float64")) {
    return onnx.reshape(sumRows(onnx, onnx.reshape(dy, [rows, channels]), rows, 1), [channels]);
  }
  const axes = onnx.ints(otherAxes(shape.length, dataFormat));
  return onnx.add("ReduceSum", [dy, axes], { keepdims: 0 }, { shape: [channels] });
}

const TOTAL: Reducer = {
  float: { start: 0, fold: SUM.float },
  int: { start: 0, fold: (a, b) => (a + b) | 0 },
  big: { start: 0n, fold: SUM.big },
  complex: { start: [0, 0], fold: cadd },
};

/** dy repeated along all but the channels. @see TensorFlow python/ops/nn_grad.py "_BiasAddGradGrad" */
function spread(g: Graph, x: Output, dy: Output, dataFormat: string): Output {
  const shape = pieces.shape(x);
  const channels = pieces.shape(dy);
  const ones = (begin: number | null, end: number | null): Output =>
    pieces.onesLike(pieces.part(g, shape, begin, end));
  const joined = (parts: readonly Output[]): Output => pieces.concat(parts, 0);
  if (dataFormat === "NCHW") {
    const expanded = joined([ones(null, 1), channels, ones(2, null)]);
    const multiples = multiplesOf(g, [pieces.part(g, shape, null, 1), null, pieces.part(g, shape, 2, null)]);
    return g.add("Tile", [pieces.reshape(dy, expanded), multiples]);
  }
  const expanded = joined([ones(null, -1), channels]);
  const multiples = multiplesOf(g, [pieces.part(g, shape, null, -1), null]);
  return g.add("Tile", [pieces.reshape(dy, expanded), multiples]);
}

/** A concatenation in which null is a one, "concat/values_<i>". */
function multiplesOf(g: Graph, parts: readonly (Output | null)[]): Output {
  return g.nameScope("concat", (scope) => {
    const values = parts.map((p, i) => p ?? g.constant([1], { dtype: "int32", name: `values_${i}` }));
    const axis = g.constant(0, { dtype: "int32", name: "axis" });
    return g.add("ConcatV2", [values, axis], { name: scope });
  });
}

/** Sum of dy over all but the channels. @see TensorFlow core/ops/nn_ops.cc "BiasAddGrad" */
export const BiasAddGrad = defineOp("BiasAddGrad", {
  inputs: { out_backprop: "T" },
  outputs: { output: "T" },
  attrs: { T: numbers, data_format: format },
  infer: ({ out_backprop }, { data_format }) => gradShape(out_backprop, data_format),
  grad: (g, op, [dy], { data_format }) => [spread(g, op.inputs[0]!, dy!, data_format)],
  lower: (onnx, { out_backprop }, { data_format }) => [lowerGrad(onnx, out_backprop, data_format)],
  lowers: ({ T }, { out_backprop }) => summable(T as DType) && out_backprop.shape !== null,
  host: ({ out_backprop }, { data_format }) => [
    reduceTensor(out_backprop, otherAxes(out_backprop.shape.length, data_format), false, TOTAL),
  ],
});

export interface BiasAddOptions {
  /** "N...C" (default) or "NC..." */
  readonly dataFormat?: string;
  readonly name?: string;
}

/** `value` + `bias` along the channels. Named "BiasAdd". @throws VarscopeError INVALID_ARGUMENT - unknown format */
export function biasAdd(value: Output, bias: Input, options: BiasAddOptions = {}): Output {
  const { dataFormat = "NHWC", name = "BiasAdd" } = options;
  const first = dataFormat.startsWith("NC");
  if (!first && !(dataFormat.startsWith("N") && dataFormat.endsWith("C"))) {
    throw invalid(`data_format must be of the form N...C or NC..., got '${dataFormat}'`);
  }
  return value.graph.add(BiasAdd, [value, bias], { name, attrs: { data_format: first ? "NCHW" : "NHWC" } });
}
