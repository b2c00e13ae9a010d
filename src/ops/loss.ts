/** @file Softmax and the cross entropies. Their public functions are in cross-entropy.ts. */

import {
  broadcastShapes,
  type DType,
  formatShape,
  type Shape,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  constantValue,
  defineOp,
  type Graph,
  type Inferred,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { broadcastTo } from "./kernels/pick.ts";
import { crossEntropyRows, softmaxRows, sparseCrossEntropyRows } from "./kernels/softmax.ts";
import { add, mul, sub } from "./operators.ts";
import { where } from "./signatures.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const floats = attr.type("float16", "bfloat16", "float32", "float64");
const lowered = (dtype: DType): boolean => dtype !== "bfloat16";

function atLeastVector({ shape }: Spec): readonly Inferred[] {
  if (shape !== null && shape.length < 1) throw invalid("Shape must be at least rank 1 but is rank 0");
  return [{ shape }];
}

/** Sum over the last axis, which stays with size 1. */
const sumLast = (x: Output): Output =>
  x.graph.add("Sum", [x, -1], { attrs: { keep_dims: true, Tidx: "int32" } });

/** exp(x) / Σ exp(x) along the last axis. @see TensorFlow core/ops/nn_ops.cc "Softmax"; python/ops/nn_grad.py "_SoftmaxGrad" */
export const Softmax = defineOp("Softmax", {
  inputs: { logits: "T" },
  outputs: { softmax: "T" },
  attrs: { T: floats },
  infer: ({ logits }) => atLeastVector(logits),
  grad: (_, op, [dy]) => {
    const y = op.output(0);
    return [mul(sub(dy!, sumLast(mul(dy!, y))), y)];
  },
  lower: (onnx, { logits }) => [onnx.add("Softmax", [logits], { axis: -1 }, { shape: logits.shape })],
  lowers: ({ T }) => lowered(T),
  host: ({ logits }) => [softmaxRows(logits, false)],
});

/** x - ln Σ exp(x) along the last axis. @see TensorFlow core/ops/nn_ops.cc "LogSoftmax"; python/ops/nn_grad.py "_LogSoftmaxGrad" */
export const LogSoftmax = defineOp("LogSoftmax", {
  inputs: { logits: "T" },
  outputs: { logsoftmax: "T" },
  attrs: { T: floats },
  infer: ({ logits }) => atLeastVector(logits),
  grad: (g, op, [dy]) => {
    const softmax = g.add("Exp", [op.output(0)]);
    return [sub(dy!, mul(sumLast(dy!), softmax))];
  },
  lower: (onnx, { logits }) => [onnx.add("LogSoftmax", [logits], { axis: -1 }, { shape: logits.shape })],
  lowers: ({ T }) => lowered(T),
  host: ({ logits }) => [softmaxRows(logits, true)],
});

/** Each row of `matrix` times its element of `vector`. */
const timesRows = (vector: Output, matrix: Output): Output =>
  mul(vector.graph.add("ExpandDims", [vector, -1], { attrs: { Tdim: "int32" } }), matrix);

/** Zeros that stand for "no gradient arrives here". */
const isZeros = (dy: Output): boolean => {
  if (dy.op.type === "ZerosLike") return true;
  if (dy.op.type !== "Fill" && dy.op.type !== "Const") return false;
  const value = constantValue(dy.op.type === "Fill" ? dy.op.inputs[1]! : dy);
  return value !== null && Array.from(value.data as Float32Array).every((v) => v === 0);
};

/** Gradient of the logits: dy of the loss times the second output, and softmax's own derivative where that output is used. */
function logitsGrad(g: Graph, logits: Output, backprop: Output, dLoss: Output, dBackprop: Output): Output {
  const grad = timesRows(dLoss, backprop);
  if (isZeros(dBackprop)) return grad;
  const softmax = g.add("Softmax", [logits]);
  const expand = (x: Output, axis: number): Output =>
    g.add("ExpandDims", [x, axis], { attrs: { Tdim: "int32" } });
  const [row, column] = [expand(dBackprop, 1), expand(softmax, 2)];
  const dot = g.add("BatchMatMulV2", [row, column], { name: "MatMul" });
  const inner = g.add("Squeeze", [dot], { attrs: { squeeze_dims: [1] } });
  return add(grad, mul(sub(dBackprop, inner), softmax));
}

/** Logits and labels as one shape. @throws VarscopeError INVALID_ARGUMENT - they are not matrices, or do not broadcast */
function commonShape(features: Shape | null, labels: Shape | null): Shape {
  const both = [features, labels].filter((s) => s !== null);
  for (const shape of both)
    if (shape.length !== 2)
      throw invalid(`Shape must be broadcasted with rank 2, but is rank ${shape.length}`);
  if (features === null || labels === null) return [null, null];
  try {
    return broadcastShapes(features, labels)!;
  } catch (cause) {
    const what = `logits and labels must be broadcastable: logits_size=${formatShape(features)} labels_size=${formatShape(labels)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what, { cause });
  }
}

/**
 * -Σ labels · log softmax(features) of each row; second output: its gradient, softmax - labels.
 *
 * @see TensorFlow core/ops/nn_ops.cc "SoftmaxCrossEntropyWithLogits"; python/ops/nn_grad.py
 */
export const SoftmaxCrossEntropyWithLogits = defineOp("SoftmaxCrossEntropyWithLogits", {
  inputs: { features: "T", labels: "T" },
  outputs: { loss: "T", backprop: "T" },
  attrs: { T: floats },
  infer: ({ features, labels }) => {
    const shape = commonShape(features.shape, labels.shape);
    return [{ shape: [shape[0]!] }, { shape }];
  },
  grad: (g, op, [dLoss, dBackprop]) => {
    const logits = op.inputs[0]!;
    const grad = logitsGrad(g, logits, op.output(1), dLoss!, dBackprop!);
    const log = g.add("LogSoftmax", [logits]);
    return [grad, timesRows(dLoss!, g.add("Neg", [log]))];
  },
  lower: (onnx, { features, labels }) => {
    const shape = commonShape(features.shape, labels.shape);
    const log = onnx.add("LogSoftmax", [features], { axis: -1 }, { shape: features.shape });
    const weighted = onnx.map("Mul", [labels, log], {}, { shape });
    const total = onnx.add("ReduceSum", [weighted, onnx.ints([1])], { keepdims: 0 }, { shape: [shape[0]!] });
    const softmax = onnx.add("Softmax", [features], { axis: -1 }, { shape: features.shape });
    return [onnx.map("Neg", [total]), onnx.map("Sub", [softmax, labels], {}, { shape })];
  },
  lowers: ({ T }, { features, labels }) => lowered(T) && features.shape !== null && labels.shape !== null,
  host: ({ features, labels }) => {
    const shape = commonShape(features.shape, labels.shape) as number[];
    return crossEntropyRows(broadcastTo(features, shape), broadcastTo(labels, shape));
  },
});

/** @throws VarscopeError INVALID_ARGUMENT - as TensorFlow's shape function and kernel say it */
function sparseShapes(features: Shape | null, labels: Shape | null): readonly Inferred[] {
  if (features !== null && features.length !== 2)
    throw invalid(`Shape must be rank 2 but is rank ${features.length}`);
  if (labels !== null && labels.length !== 1)
    throw invalid(`Shape must be rank 1 but is rank ${labels.length}`);
  const [n, m] = [features?.[0] ?? null, labels?.[0] ?? null];
  if (n !== null && m !== null && n !== m) throw invalid(`Dimensions must be equal, but are ${n} and ${m}`);
  return [{ shape: [n ?? m] }, { shape: [n ?? m, features?.[1] ?? null] }];
}

/** @throws VarscopeError INVALID_ARGUMENT - a label is no class, in TensorFlow's words */
function checkLabels(labels: readonly number[], classes: number): void {
  const bad = labels.find((label) => label < 0 || label >= classes);
  if (bad === undefined) return;
  throw invalid(
    `Received a label value of ${bad} which is outside the valid range of [0, ${classes}).  Label values: ${labels.join(" ")}`,
  );
}

/**
 * Class numbers as a column. They are looked up in 0, 1, ..., since Gather says which index it refuses; a negative one is lowered by the
 * number of classes first, because ONNX would count it from the end.
 */
function labelColumn(onnx: Onnx, labels: OnnxValue, features: OnnxValue): OnnxValue {
  const [n, classes] = features.shape as [number | null, number | null];
  const wide = onnx.cast(labels, "int64");
  const zero = onnx.scalar(0, "int64");
  const count =
    classes === null
      ? onnx.add(
          "Gather",
          [onnx.shapeOf(features), onnx.scalar(1, "int64")],
          { axis: 0 },
          { dtype: "int64", shape: [] },
        )
      : onnx.scalar(classes, "int64");
  const table = onnx.add(
    "Range",
    [zero, count, onnx.scalar(1, "int64")],
    {},
    { dtype: "int64", shape: [classes] },
  );
  const negative = onnx.map("Less", [wide, zero], {}, { dtype: "bool" });
  const index = where(onnx, negative, onnx.map("Sub", [wide, count]), wide);
  const found = onnx.add("Gather", [table, index], { axis: 0 }, { dtype: "int64", shape: labels.shape });
  return onnx.reshape(found, [n ?? labels.shape?.[0] ?? null, 1]);
}

/** TensorFlow's sentence about a label that `labelColumn` refused. */
function explainLabel(message: string): string | null {
  const found = /idx=(-?\d+) must be within the inclusive range \[-?(\d+),/.exec(message);
  if (found === null) return null;
  const [index, classes] = [Number(found[1]), Number(found[2])];
  const label = index < 0 ? index + classes : index;
  return `Received a label value of ${label} which is outside the valid range of [0, ${classes}).`;
}

/**
 * -log softmax(features)[label] of each row; second output: its gradient, softmax - one-hot.
 *
 * A label outside [0, classes) is an error, as on TensorFlow's CPU (its GPU kernel gives NaN). The host kernel says all of TensorFlow's
 * sentence; lowered, ONNX Runtime refuses the index, and `explain` makes the first half of the sentence of what it says.
 *
 * @see TensorFlow core/kernels/sparse_xent_op.cc; python/ops/nn_grad.py "_SparseSoftmaxCrossEntropyWithLogitsGrad"
 */
export const SparseSoftmaxCrossEntropyWithLogits = defineOp("SparseSoftmaxCrossEntropyWithLogits", {
  inputs: { features: "T", labels: "Tlabels" },
  outputs: { loss: "T", backprop: "T" },
  attrs: { T: floats, Tlabels: attr.typeOr("int64", "int32", "int64") },
  infer: ({ features, labels }) => sparseShapes(features.shape, labels.shape),
  grad: (g, op, [dLoss, dBackprop]) => [logitsGrad(g, op.inputs[0]!, op.output(1), dLoss!, dBackprop!), null],
  lower: (onnx, { features, labels }, { T }) => {
    const column = labelColumn(onnx, labels, features);
    const { shape } = features;
    const log = onnx.add("LogSoftmax", [features], { axis: -1 }, { shape });
    const chosen = onnx.add("GatherElements", [log, column], { axis: 1 }, { shape: column.shape });
    const softmax = onnx.add("Softmax", [features], { axis: -1 }, { shape });
    const minusOne = onnx.constant(tensor([-1], T, []));
    const less = onnx.map("Add", [
      onnx.add("GatherElements", [softmax, column], { axis: 1 }, { shape: column.shape }),
      minusOne,
    ]);
    const backprop = onnx.add("ScatterElements", [softmax, column, less], { axis: 1 }, { shape });
    return [onnx.reshape(onnx.map("Neg", [chosen]), [column.shape![0]!]), backprop];
  },
  lowers: ({ T }, { features }) => lowered(T) && features.shape !== null && !features.shape.includes(0),
  explain: explainLabel,
  host: ({ features, labels }) => {
    sparseShapes(features.shape, labels.shape);
    const list = toNumbers(labels as Tensor);
    const classes = features.shape[1]!;
    if (classes === 0)
      throw invalid(`Must have at least one class, but got logits shape ${formatShape(features.shape)}`);
    checkLabels(list, classes);
    return sparseCrossEntropyRows(features, list);
  },
});
