/** @file Products of batches of matrices. */

import {
  broadcastShapes,
  type DType,
  formatShape,
  isStatic,
  mergeShapes,
  type Shape,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { conjugate, matmulTensors } from "./kernels/matmul.ts";
import { matmul } from "./matmul.ts";
import { checkInner, type Flags, lowerMatrices, matrixDims, PRODUCTS, swap } from "./matrices.ts";
import { outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const flag = attr.bool({ default: false });

/** @param broadcast - the axes before the matrices may broadcast */
function batchShape(x: Shape | null, y: Shape | null, flags: Flags, broadcast: boolean): Shape | null {
  for (const shape of [x, y]) {
    if (shape !== null && shape.length < 2) {
      throw invalid(`Shape must be at least rank 2 but is rank ${shape.length}`);
    }
  }
  if (broadcast) {
    if (x === null || y === null) return null;
    return [...broadcastShapes(x.slice(0, -2), y.slice(0, -2))!, ...matrixDims(x, y, flags)];
  }
  const rank = (x ?? y)?.length;
  if (rank === undefined) return null;
  const unknown = new Array<null>(rank).fill(null);
  const [a, b] = [x ?? unknown, y ?? unknown];
  return [...mergeShapes(a.slice(0, -2), b.slice(0, -2))!, ...matrixDims(a, b, flags)];
}

interface BatchAttrs {
  readonly adj_x: boolean;
  readonly adj_y: boolean;
}
interface Pair<X> {
  readonly x: X;
  readonly y: X;
}

const flagsOf = ({ adj_x, adj_y }: BatchAttrs): Flags => ({ transposeA: adj_x, transposeB: adj_y });

function lowerBatch(
  onnx: Onnx,
  { x, y }: Pair<OnnxValue>,
  attrs: BatchAttrs,
  op: Operation,
): readonly OnnxValue[] {
  const shape = outShape(op, { x, y });
  if (x.shape!.length === 2 && y.shape!.length === 2)
    return [lowerMatrices(onnx, x, y, flagsOf(attrs), shape)];
  return [
    onnx.add("MatMul", [attrs.adj_x ? swap(onnx, x) : x, attrs.adj_y ? swap(onnx, y) : y], {}, { shape }),
  ];
}

function hostBatch(
  { x, y }: Pair<Tensor>,
  attrs: BatchAttrs,
  dtype: DType,
  broadcast = true,
): readonly Tensor[] {
  const flags = flagsOf(attrs);
  for (const t of [x, y]) {
    if (t.shape.length < 2)
      throw invalid(
        `In[0] and In[1] must be at least rank 2: ${formatShape(x.shape)}, ${formatShape(y.shape)}`,
      );
  }
  checkInner(x, y, flags);
  const shape = batchShape(x.shape, y.shape, flags, broadcast) as number[];
  const left = attrs.adj_x ? conjugate(x) : x;
  const right = attrs.adj_y ? conjugate(y) : y;
  return [matmulTensors(left, right, shape, { ...flags, dtype })];
}

const lowersBatch = ({ T }: { readonly T: DType }, { x, y }: Pair<Spec>): boolean =>
  PRODUCTS.has(T) && x.shape !== null && y.shape !== null;

/** Gradients of a batch of products, without regard to broadcasting. @see TensorFlow python/ops/math_grad.py "_BatchMatMulV2" */
function batchGrad(
  op: Operation,
  dy: Output,
  { adj_x, adj_y }: BatchAttrs,
  marked: boolean,
): [Output, Output] {
  const [x, y] = op.inputs as [Output, Output];
  const mm = (a: Output, b: Output, adjointA: boolean, adjointB: boolean, gradA: boolean): Output =>
    matmul(a, b, { adjointA, adjointB, gradA: marked && gradA, gradB: marked && !gradA });
  if (adj_x && adj_y) return [mm(y, dy, true, true, true), mm(dy, x, true, true, false)];
  if (adj_x) return [mm(y, dy, false, true, true), mm(x, dy, false, false, false)];
  if (adj_y) return [mm(dy, y, false, false, true), mm(dy, x, true, false, false)];
  return [mm(dy, y, false, true, true), mm(x, dy, true, false, false)];
}

function broadcastGrad(g: Graph, op: Operation, dy: Output, attrs: BatchAttrs): Output[] {
  const [x, y] = op.inputs as [Output, Output];
  const [gx, gy] = batchGrad(op, dy, attrs, true);
  const [bx, by] = [x.shape?.slice(0, -2) ?? null, y.shape?.slice(0, -2) ?? null];
  const matrices = x.shape?.length === 2 && y.shape?.length === 2;
  if (matrices || (isStatic(bx) && isStatic(by) && bx.join() === by.join())) return [gx, gy];
  const [sx, sy] = [pieces.shape(x), pieces.shape(y)];
  const batches = [pieces.part(g, sx, null, -2), pieces.part(g, sy, null, -2)];
  const [rx, ry] = g.addOp("BroadcastGradientArgs", batches).outputs;
  const shrink = (grad: Output, axes: Output, shape: Output): Output =>
    pieces.reshape(g.add("Sum", [grad, axes]), shape);
  return [shrink(gx, rx!, sx), shrink(gy, ry!, sy)];
}

const batchFlags = { adj_x: flag, adj_y: flag, grad_x: flag, grad_y: flag } as const;

/** Products of matrices of one batch shape. @see TensorFlow core/ops/math_ops.cc "BatchMatMul" */
export const BatchMatMul = defineOp("BatchMatMul", {
  inputs: { x: "T", y: "T" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type("bfloat16", "float16", "float32", "float64", "int32", "int64", "complex64", "complex128"),
    ...batchFlags,
  },
  infer: ({ x, y }, attrs) => [{ shape: batchShape(x.shape, y.shape, flagsOf(attrs), false) }],
  grad: (_, op, [dy], attrs) => batchGrad(op, dy!, attrs, false),
  lower: lowerBatch,
  lowers: lowersBatch,
  host: (inputs, attrs) => hostBatch(inputs, attrs, attrs.T, false),
});

/** Products of matrices whose batch shapes broadcast. @see TensorFlow core/ops/math_ops.cc "BatchMatMulV2" */
export const BatchMatMulV2 = defineOp("BatchMatMulV2", {
  inputs: { x: "T", y: "T" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type(
      "bfloat16",
      "float16",
      "float32",
      "float64",
      "int16",
      "int32",
      "int64",
      "uint8",
      "uint16",
      "uint32",
      "uint64",
      "complex64",
      "complex128",
    ),
    ...batchFlags,
  },
  infer: ({ x, y }, attrs) => [{ shape: batchShape(x.shape, y.shape, flagsOf(attrs), true) }],
  grad: (g, op, [dy], attrs) => broadcastGrad(g, op, dy!, attrs),
  lower: lowerBatch,
  lowers: lowersBatch,
  host: (inputs, attrs) => hostBatch(inputs, attrs, attrs.T),
});

const MIXED = [
  "bfloat16",
  "float16",
  "float32",
  "float64",
  "uint8",
  "int8",
  "int16",
  "int32",
  "int64",
  "complex64",
  "complex128",
] as const;

/** BatchMatMulV2 of two dtypes into a third. @see TensorFlow core/ops/math_ops.cc "BatchMatMulV3" */
export const BatchMatMulV3 = defineOp("BatchMatMulV3", {
  inputs: { x: "Ta", y: "Tb" },
  outputs: { output: "Tout" },
  attrs: {
    Ta: attr.type(...MIXED),
    Tb: attr.type(...MIXED),
    Tout: attr.type(...MIXED.filter((t) => t !== "uint8" && t !== "int8")),
    ...batchFlags,
  },
  infer: ({ x, y }, attrs) => [{ shape: batchShape(x.shape, y.shape, flagsOf(attrs), true) }],
  grad: (g, op, [dy], attrs) => broadcastGrad(g, op, dy!, attrs),
  lower: (onnx, { x, y }, attrs, op) => {
    const wide = { x: onnx.cast(x, attrs.Tout), y: onnx.cast(y, attrs.Tout) };
    return lowerBatch(onnx, wide, attrs, op);
  },
  lowers: ({ Ta, Tb, Tout }, inputs) =>
    lowersBatch({ T: Tout }, inputs) &&
    [Ta, Tb].every((t) => PRODUCTS.has(t) || t === "int8" || t === "uint8"),
  host: (inputs, attrs) => hostBatch(inputs, attrs, attrs.Tout),
});
