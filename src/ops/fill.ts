/** @file Tensors of one value, and of other dtypes. Sequences and one-hot rows are in sequence.ts. */

import { type DType, isStatic, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import {
  attr,
  defineOp,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { castTensor } from "./kernels/cast.ts";
import { filled } from "./kernels/pick.ts";
import { zerosLike as zerosLikeTensor } from "./kernels/variant.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");

/** A tensor of one value. @see TensorFlow core/ops/array_ops.cc "Fill" */
export const Fill = defineOp("Fill", {
  inputs: { dims: "index_type", value: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), index_type: indexType },
  infer: ({ dims, value }) => {
    if (value.shape !== null && value.shape.length !== 0) {
      throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 0 but is rank ${value.shape.length}`);
    }
    return [{ shape: shapeFrom(dims) }];
  },
  partial: ({ dims, value }) => {
    const count = dims.partial?.[0] ?? null;
    return count === null || value.partial === null
      ? null
      : new Array<number | null>(count).fill(value.partial[0]!);
  },
  grad: (g, _op, [dy]) => [null, g.add("Sum", [dy!, allAxes(g, dy!)], { attrs: { keep_dims: false } })],
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    const dims = isStatic(shape) ? onnx.ints(shape) : onnx.cast(inputs.dims, "int64");
    return [onnx.add("Expand", [inputs.value, dims], {}, { dtype: inputs.value.dtype, shape })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ dims, value }) => [filled(value, dimsOf(dims))],
});

/** All axes, as Python's reduce_sum names them: a Const where the rank is known and not 0, else a Range. */
function allAxes(g: Graph, x: Output): Output {
  const rank = x.shape?.length ?? 0;
  if (rank > 0) return g.constant([...Array(rank).keys()], { dtype: "int32" });
  return g.add("Range", [0, pieces.rank(x), 1], { name: "range", attrs: { Tidx: "int32" } });
}

/** A shape argument: its partial value, or unknown dims where only its length is known. */
export function shapeFrom(dims: Spec): Shape | null {
  if (dims.shape !== null && dims.shape.length !== 1) {
    throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 1 but is rank ${dims.shape.length}`);
  }
  const length = dims.shape?.[0] ?? null;
  return dims.partial ?? (length === null ? null : new Array<null>(length).fill(null));
}

function dimsOf(dims: Tensor): number[] {
  const out = Array.from(dims.data as Int32Array, Number);
  const bad = out.find((d) => d < 0);
  if (bad !== undefined) throw new VarscopeError("INVALID_ARGUMENT", `Dimension ${bad} must be >= 0`);
  return out;
}

/** A tensor of `dims` that is `value` everywhere. Named "Fill", inputs "Fill/dims", "Fill/value". */
export const fill = (
  graph: Graph,
  dims: Input,
  value: Input,
  options: { readonly dtype?: DType; readonly name?: string } = {},
): Output => graph.add(Fill, [dims, value], { name: options.name ?? "Fill", attrs: { T: options.dtype } });

function constantOfShape(onnx: Onnx, x: OnnxValue, value: number, dtype: DType): OnnxValue {
  const one = onnx.scalar(value, dtype).constant;
  const tensor = { dtype, shape: [1], data: one!.data };
  return onnx.add("ConstantOfShape", [onnx.shapeOf(x)], { value: { tensor } }, { dtype, shape: x.shape });
}

/** Zeros of the shape of x. @see TensorFlow core/ops/array_ops.cc "ZerosLike" */
export const ZerosLike = defineOp("ZerosLike", {
  inputs: { x: "T" },
  outputs: { y: "T" },
  attrs: { T: attr.type() },
  infer: ({ x }) => [{ shape: x.shape, handle: x.dtype === "variant" ? x.handle : null }],
  shapeOnly: true,
  grad: () => [null],
  lower: (onnx, { x }, { T }) => [constantOfShape(onnx, x, 0, T)],
  lowers: ({ T }) => movable(T),
  host: ({ x }) => [zerosLikeTensor(x)],
});

const ONES_TYPES = [
  "bfloat16",
  "float16",
  "float32",
  "float64",
  "int8",
  "uint8",
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "complex64",
  "complex128",
  "bool",
] as const;

/** Ones of the shape of x. @see TensorFlow core/ops/array_ops.cc "OnesLike" */
export const OnesLike = defineOp("OnesLike", {
  inputs: { x: "T" },
  outputs: { y: "T" },
  attrs: { T: attr.type(...ONES_TYPES) },
  infer: ({ x }) => [{ shape: x.shape }],
  shapeOnly: true,
  grad: () => [null],
  lower: (onnx, { x }, { T }) => [constantOfShape(onnx, x, 1, T)],
  lowers: ({ T }) => movable(T),
  host: ({ x }) => [
    filled(castTensor({ dtype: "uint8", shape: [], data: Uint8Array.of(1) }, x.dtype), x.shape),
  ],
});

/** y = x as another dtype. @see TensorFlow core/ops/math_ops.cc "Cast"; python/ops/math_grad.py "_CastGrad" */
export const Cast = defineOp("Cast", {
  inputs: { x: "SrcT" },
  outputs: { y: "DstT" },
  attrs: { SrcT: attr.type(), DstT: attr.type(), Truncate: attr.bool({ default: false }) },
  infer: ({ x }) => [{ shape: x.shape }],
  partial: ({ x }) => x.partial,
  grad: (g, _op, [dy], { SrcT, DstT }) =>
    GRADIENT_TYPES.has(SrcT) && GRADIENT_TYPES.has(DstT)
      ? [SrcT === dy!.dtype ? dy! : g.add("Cast", [dy!], { attrs: { DstT: SrcT } })]
      : [null],
  lower: (onnx, { x }, { DstT }) => [onnx.cast(x, DstT)],
  lowers: ({ SrcT, DstT, Truncate }) => !Truncate && movable(SrcT) && movable(DstT),
  host: ({ x }, { DstT, Truncate }) => [castTensor(x, DstT, Truncate)],
});

/** Dtypes between which gradients are cast. */
const GRADIENT_TYPES: ReadonlySet<DType> = new Set<DType>([
  "float16",
  "float32",
  "float64",
  "bfloat16",
  "complex64",
  "complex128",
]);
