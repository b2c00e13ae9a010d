/** @file Softmax and cross entropies as functions: the nodes that `tf.nn` builds around the ops of loss.ts. */

import { isCompatible, isStatic, type Shape, sizeOf, VarscopeError } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { add, apply, mul, sub } from "./operators.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** A concatenation of int vectors; numbers and scalars in brackets become "concat/values_<i>". */
function concatDims(g: Graph, parts: readonly (Output | readonly [number | Output])[]): Output {
  return g.nameScope("concat", (scope) => {
    const values = parts.map((p, i) =>
      pieces.isOutput(p) ? p : pieces.stack(g, p as [number | Output], `values_${i}`),
    );
    const axis = g.constant(0, { dtype: "int32", name: "axis" });
    return g.add("ConcatV2", [values, axis], { name: scope });
  });
}

/** `x` with axis `dim` and the last exchanged. */
function swapWithLast(x: Output, dim: number | Output, last: Output, name = "transpose"): Output {
  const g = x.graph;
  const before = pieces.range(g, 0, dim);
  const between = pieces.range(g, pieces.isOutput(dim) ? add(dim, 1) : dim + 1, last);
  return pieces.transpose(x, concatDims(g, [before, [last], between, [dim]]), name);
}

export interface SoftmaxOptions {
  /** -1 */
  readonly axis?: number;
  readonly name?: string;
}

/** An op along the last axis, along any other by exchanging the two. @see TensorFlow python/ops/nn_ops.py "_wrap_2d_function" */
function alongLast(type: string, x: Output, { axis = -1, name }: SoftmaxOptions): Output {
  const g = x.graph;
  const rank = x.shape?.length ?? null;
  if (axis === -1 || (rank !== null && axis === rank - 1)) return g.add(type, [x], { name });
  if (rank === null) throw invalid(`axis ${axis} needs a tensor of known rank`);
  if (axis < -rank || axis >= rank) throw invalid(`axis ${axis} is not in [${-rank}, ${rank})`);
  const rankOf = pieces.rank(x);
  const counted = axis < 0 ? g.add("AddV2", [axis, rankOf], { name: "add" }) : axis;
  const inputRank = pieces.rank(x);
  const dim = pieces.isOutput(counted) ? g.add("FloorMod", [counted, rank], { name: "mod" }) : counted;
  const last = (): Output => sub(inputRank, 1, "Sub");
  const y = g.add(type, [swapWithLast(x, dim, last())]);
  return pieces.setShape(swapWithLast(y, dim, last(), name), x.shape);
}

/** exp(x) / Σ exp(x) along an axis, the last by default. Named "Softmax". */
export const softmax = (x: Output, options: SoftmaxOptions = {}): Output => alongLast("Softmax", x, options);

/** x - ln Σ exp(x) along an axis, the last by default. Named "LogSoftmax". */
export const logSoftmax = (x: Output, options: SoftmaxOptions = {}): Output =>
  alongLast("LogSoftmax", x, options);

/** Labels and logits by name, as TensorFlow asks for them. */
export interface CrossEntropyOptions {
  readonly labels: Output;
  readonly logits: Output;
  readonly name?: string;
}

/** A Slice whose bounds are "Slice/begin" and "Slice/size". */
function sliceDims(g: Graph, x: Output, begin: number | Output, size: number | Output): Output {
  return g.nameScope("Slice", (scope) => {
    const from = pieces.stack(g, [begin], "begin");
    return g.add("Slice", [x, from, pieces.stack(g, [size], "size")], { name: scope });
  });
}

/** All axes but the last as one. */
function flattenOuter(x: Output): Output {
  const g = x.graph;
  const rank = pieces.rank(x);
  const shape = pieces.shape(x);
  const columns = sliceDims(g, shape, sub(rank, 1, "Sub"), 1);
  const flat = pieces.reshape(x, concatDims(g, [[-1], columns]));
  const outer = x.shape?.slice(0, -1) ?? null;
  return isStatic(outer) ? pieces.setShape(flat, [sizeOf(outer), x.shape!.at(-1) ?? null]) : flat;
}

function moveToEnd(x: Output, axis: number, rank: Output): Output {
  const g = x.graph;
  const before = pieces.range(g, 0, axis);
  const behind = pieces.range(g, axis + 1, rank);
  return pieces.transpose(x, concatDims(g, [before, behind, [axis]]));
}

/**
 * -Σ labels · log softmax(logits) along `axis`. Named "softmax_cross_entropy_with_logits". Gradients flow to the labels too: put a
 * StopGradient before them if they should not.
 *
 * @param options.labels - probabilities, of the shape of the logits
 * @param options.axis - -1; counted from 0 otherwise
 * @returns the shape of the logits without `axis`
 * @see TensorFlow python/ops/nn_ops.py "softmax_cross_entropy_with_logits_v2"
 */
export function softmaxCrossEntropyWithLogits(
  options: CrossEntropyOptions & { readonly axis?: number },
): Output {
  const { labels, logits, axis = -1, name = "softmax_cross_entropy_with_logits" } = options;
  const g = logits.graph;
  if (axis < -1) throw invalid(`axis is ${axis}: -1 or a number from 0 is wanted`);
  return g.nameScope(name, (scope) => {
    const half = logits.dtype === "float16" || logits.dtype === "bfloat16";
    let x = half ? pieces.cast(logits, "float32") : logits;
    let p = pieces.cast(labels, x.dtype);
    const rank = pieces.rank(x);
    if (axis !== -1) {
      x = moveToEnd(x, axis, rank);
      p = moveToEnd(p, axis, rank);
    }
    const inputShape = pieces.shape(x);
    x = flattenOuter(x);
    p = flattenOuter(p);
    const cost = g.add("SoftmaxCrossEntropyWithLogits", [x, p], { name: scope });
    const shape = sliceDims(g, inputShape, 0, sub(rank, 1, "Sub"));
    const shaped = pieces.setShape(pieces.reshape(cost, shape), without(logits.shape, axis));
    return half ? pieces.cast(shaped, logits.dtype) : shaped;
  });
}

const without = (shape: Shape | null, axis: number): Shape | null =>
  shape === null ? null : shape.filter((_, i) => i !== (axis < 0 ? shape.length - 1 : axis));

/** @throws VarscopeError INVALID_ARGUMENT - in TensorFlow's words */
function checkSparse(labels: Output, logits: Output): void {
  if (logits.shape?.length === 0) throw invalid(`logits cannot be a scalar. Received logits=${logits.name}`);
  if (labels.shape === null || logits.shape === null) return;
  const [a, b] = [labels.shape.length, logits.shape.length];
  if (a !== b - 1)
    throw invalid(
      `labels.shape.rank must equal logits.shape.rank - 1. Received: labels of rank ${a}, logits of rank ${b}`,
    );
  if (!isCompatible(labels.shape, logits.shape.slice(0, -1))) {
    throw invalid(
      `labels.shape must equal logits.shape except for the last dimension. Received: labels.shape=(${labels.shape}) and logits.shape=(${logits.shape})`,
    );
  }
}

/** A check at run time that two int vectors are equal. @see TensorFlow python/ops/check_ops.py "assert_equal" */
function assertEqual(x: Output, y: Output): Operation {
  const g = x.graph;
  g.uniqueName("assert_equal"); // Python opens a scope that holds nothing
  return g.nameScope("assert_equal", () => {
    const same = g.add("All", [apply("Equal", x, y), g.constant([0], { dtype: "int32" })]);
    const said = ["Condition x == y did not hold element-wise:", `x (${x.name}) = `, `y (${y.name}) = `];
    return g.nameScope("Assert", () => {
      for (const text of said) g.constant(text);
      return g.nameScope("Assert", (scope) => {
        const texts = said.map((text, i) => g.constant(text, { name: `data_${[0, 1, 3][i]}` }));
        return g.addOp("Assert", [same, [texts[0]!, texts[1]!, x, texts[2]!, y]], { name: scope });
      });
    });
  });
}

/**
 * -log softmax(logits)[label]. Named "SparseSoftmaxCrossEntropyWithLogits/SparseSoftmaxCrossEntropyWithLogits".
 *
 * @param options.labels - int32 or int64, the shape of the logits without the last axis; each in [0, classes)
 * @returns the shape of the labels
 * @throws VarscopeError INVALID_ARGUMENT - shapes do not fit
 * @see TensorFlow python/ops/nn_ops.py "sparse_softmax_cross_entropy_with_logits"
 */
export function sparseSoftmaxCrossEntropyWithLogits(options: CrossEntropyOptions): Output {
  const { labels, logits, name } = options;
  const type = "SparseSoftmaxCrossEntropyWithLogits";
  const g = logits.graph;
  return g.nameScope(name ?? type, () => {
    const half = logits.dtype === "float16";
    const x = half ? pieces.cast(logits, "float32") : logits;
    const shape = pieces.shape(labels);
    checkSparse(labels, logits);
    const narrow = (cost: Output): Output => (half ? pieces.cast(cost, "float16") : cost);
    if (logits.shape?.length === 2) return narrow(g.add(type, [x, labels], { name }));
    const checks: Operation[] = [];
    if (!isStatic(labels.shape) || !isStatic(logits.shape?.slice(0, -1) ?? null)) {
      const own = pieces.shape(labels);
      checks.push(assertEqual(own, pieces.part(g, pieces.shape(logits), null, -1)));
    }
    return g.controlDependencies(checks, () => narrow(flatCost(x, logits, labels, shape, name)));
  });
}

/** The cost over all rows as one axis, under the shape of the labels. */
function flatCost(
  x: Output,
  logits: Output,
  labels: Output,
  shape: Output,
  name: string | undefined,
): Output {
  const g = x.graph;
  const dims = pieces.shape(logits);
  const last = sub(pieces.rank(logits), 1);
  const classes = pieces.cut(g, dims, [last], [add(last, 1)], { shrink: 1 });
  const rows = pieces.reshape(x, [-1, classes]);
  const flat = pieces.reshape(labels, [-1]);
  const cost = g.add("SparseSoftmaxCrossEntropyWithLogits", [rows, flat], { name });
  return pieces.setShape(pieces.reshape(cost, shape), labels.shape);
}

/**
 * max(x, 0) - x · labels + ln(1 + exp(-|x|)), element by element: the cross entropy of independent yes-or-no classes. Named "logistic_loss".
 *
 * @throws VarscopeError INVALID_ARGUMENT - labels and logits differ in shape
 * @see TensorFlow python/ops/nn_impl.py "sigmoid_cross_entropy_with_logits"
 */
export function sigmoidCrossEntropyWithLogits(options: CrossEntropyOptions): Output {
  const { labels, logits, name = "logistic_loss" } = options;
  if (!isCompatible(labels.shape, logits.shape)) {
    throw invalid(
      `logits and labels must have the same shape, received ((${logits.shape}) vs (${labels.shape})).`,
    );
  }
  const g = logits.graph;
  return g.nameScope(name, (scope) => {
    const zeros = pieces.zerosLike(logits);
    const positive = apply("GreaterEqual", logits, zeros);
    const relu = apply("Select", positive, logits, zeros);
    const negated = apply("Neg", logits);
    const negativeAbs = apply("Select", positive, negated, logits);
    const linear = sub(relu, mul(logits, labels));
    return g.add("AddV2", [linear, apply("Log1p", apply("Exp", negativeAbs))], { name: scope });
  });
}
