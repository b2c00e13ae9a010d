/**
 * @file Losses with weights and reductions, and the total of a graph's losses. Start at `sparseSoftmaxCrossEntropy`.
 *
 * @see TensorFlow python/ops/losses/losses_impl.py, util.py; python/ops/weights_broadcast_ops.py
 */

import { isCompatible, isStatic, type Shape, sizeOf, VarscopeError } from "../base/index.ts";
import { type Graph, Output } from "../graph/index.ts";
import { cast, range, rank, shape as shapeOf, size } from "../ops/index.ts";
import { GraphKeys, regularizationLosses } from "../variables/index.ts";
import { flattenedCrossEntropy } from "./cross-entropy.ts";

/** How a loss per example becomes one number. */
export type Reduction =
  /** one loss for each example */
  | "none"
  | "weighted_sum"
  /** the sum over the number of elements, whatever their weights */
  | "weighted_sum_over_batch_size"
  /** the sum over the sum of weights */
  | "weighted_mean"
  /** the sum over the number of elements whose weight is not zero */
  | "weighted_sum_by_nonzero_weights";

export interface LossOptions {
  /** of each example, or of all: 1 */
  readonly weights?: number | Output;
  /** name scope */
  readonly scope?: string;
  /** "losses"; null: in no collection */
  readonly lossCollection?: string | null;
  /** "weighted_sum_by_nonzero_weights" */
  readonly reduction?: Reduction;
}

/** Mean of (predictions - labels)². */
export function meanSquaredError(labels: Output, predictions: Output, options: LossOptions = {}): Output {
  const { graph: g } = predictions;
  return g.nameScope(options.scope ?? "mean_squared_error", (scope) => {
    const [y, t] = [cast(predictions, "float32"), cast(labels, "float32")];
    needSameShape(y, t);
    const losses = g.add("SquaredDifference", [y, t]);
    return weightedLoss(losses, options.weights ?? 1, scope, options);
  });
}

/**
 * Mean cross entropy of the softmax of `logits` against the labels' distribution. No gradient flows into the labels.
 *
 * @param onehotLabels - [batch, classes]; @param logits - float [batch, classes]
 */
export function softmaxCrossEntropy(
  onehotLabels: Output,
  logits: Output,
  options: LossOptions & { /** 0 */ readonly labelSmoothing?: number } = {},
): Output {
  const { graph: g } = logits;
  const { labelSmoothing = 0 } = options;
  return g.nameScope(options.scope ?? "softmax_cross_entropy_loss", (scope) => {
    let labels = cast(onehotLabels, logits.dtype);
    needSameShape(logits, labels);
    if (labelSmoothing > 0) labels = smoothed(labels, labelSmoothing);
    labels = g.add("StopGradient", [labels], { name: "labels_stop_gradient" });
    const losses = flattenedCrossEntropy(labels, logits, "xentropy");
    return weightedLoss(losses, options.weights ?? 1, scope, options);
  });
}

/** labels · (1 - smoothing) + smoothing / classes. */
function smoothed(labels: Output, smoothing: number): Output {
  const { graph: g } = labels;
  const dims = shapeOf(labels);
  const last = g.nameScope("strided_slice", (scope) => {
    const bounds = [-1, 0, 1].map((v) => g.constant([v], { dtype: "int32", name: "stack" }));
    return g.add("StridedSlice", [dims, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
  });
  const classes = cast(last, labels.dtype);
  const rest = g.add("RealDiv", [smoothing, classes], { name: "truediv" });
  const kept = g.add("Mul", [labels, 1 - smoothing], { name: "mul" });
  return g.add("AddV2", [kept, rest], { name: "add" });
}

/**
 * Mean cross entropy of the softmax of `logits` against class numbers.
 *
 * @param labels - int32 or int64 [batch]; @param logits - float [batch, classes]
 */
export function sparseSoftmaxCrossEntropy(labels: Output, logits: Output, options: LossOptions = {}): Output {
  const { graph: g } = logits;
  return g.nameScope(options.scope ?? "sparse_softmax_cross_entropy_loss", (scope) => {
    const given = options.weights ?? 1;
    const weights = given instanceof Output ? given : g.constant(given);
    const classes = labelsFor(labels, logits);
    const losses = g.nameScope("xentropy", () => {
      shapeOf(classes);
      return g.add("SparseSoftmaxCrossEntropyWithLogits", [logits, classes], { name: "xentropy" });
    });
    return weightedLoss(losses, weights, scope, options);
  });
}

/** Labels of shape [batch, 1] lose their last axis. */
function labelsFor(labels: Output, logits: Output): Output {
  const [a, b] = [labels.shape, logits.shape];
  if (a === null || b === null || b.length - a.length !== 0) return labels;
  if (a.at(-1) !== 1) return labels;
  const { graph: g } = labels;
  return g.nameScope("remove_squeezable_dimensions", () =>
    g.add("Squeeze", [labels], { attrs: { squeeze_dims: [-1] } }),
  );
}

function needSameShape(a: Output, b: Output): void {
  if (isCompatible(a.shape, b.shape)) return;
  const text = (s: Shape | null): string =>
    s === null ? "<unknown>" : `(${s.map((d) => d ?? "None").join(", ")})`;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Shapes ${text(a.shape)} and ${text(b.shape)} are incompatible`,
    {
      at: a.name,
    },
  );
}

/** A loss per example with weights, reduced to one number and added to the collection. `scope`: the loss's name scope, with its slash. */
function weightedLoss(losses: Output, given: number | Output, scope: string, options: LossOptions): Output {
  const { graph: g } = losses;
  const { reduction = "weighted_sum_by_nonzero_weights" } = options;
  const collection = options.lossCollection === undefined ? GraphKeys.LOSSES : options.lossCollection;
  const check = assertBroadcastable(g, given, losses);
  const loss = g.nameScope(scope, () =>
    g.controlDependencies([check], () => {
      const dtype = losses.dtype;
      const values = cast(losses, "float32");
      const weights =
        given instanceof Output
          ? cast(given, "float32")
          : g.nameScope("Cast", () => g.constant(given, { name: "x" }));
      const weighted = g.add("Mul", [values, weights]);
      if (reduction === "none") return cast(weighted, dtype);
      const sum = sumOf(weighted);
      return cast(reduced(sum, values, weights, reduction), dtype);
    }),
  );
  if (collection !== null) g.addToCollection(collection, loss);
  return loss;
}

function reduced(sum: Output, values: Output, weights: Output, reduction: Reduction): Output {
  const { graph: g } = sum;
  if (reduction === "weighted_sum") return sum;
  let count: Output;
  if (reduction === "weighted_mean") {
    count = sumOf(g.add("Mul", [ones(values), weights], { name: "mul" }));
  } else if (reduction === "weighted_sum_over_batch_size") count = numElements(values);
  else count = numPresent(values, weights);
  const total = sumOf(sum);
  return g.add("DivNoNan", [total, count], { name: "value" });
}

const numElements = (x: Output): Output =>
  x.graph.nameScope("num_elements", (scope) => cast(size(x, { name: scope }), x.dtype));

/** Ones as `tf.compat.v1.ones_like` builds them: always a Fill. */
function ones(x: Output): Output {
  const { graph: g } = x;
  return g.nameScope("ones_like", (scope) => {
    const dims = isStatic(x.shape)
      ? g.constant([...x.shape], { dtype: "int32", shape: [x.shape.length], name: "Shape/shape_as_tensor" })
      : g.add("Shape", [x]);
    return g.add("Fill", [dims, g.constant(1, { dtype: x.dtype })], { name: scope });
  });
}

/** Number of elements whose weight is not zero. */
function numPresent(losses: Output, weights: Output): Output {
  const { graph: g } = losses;
  return g.nameScope("num_present", (scope) => {
    const isZero = g.add("Equal", [weights, 0]);
    const absent = isStatic(weights.shape)
      ? g.constant(0, { dtype: weights.dtype, shape: weights.shape, name: "zeros_like" })
      : g.add("ZerosLike", [weights], { name: "zeros_like" });
    const present = g.add("Select", [isZero, absent, ones(weights)]);
    const spread = g.nameScope("broadcast_weights", (name) => {
      if (
        isStatic(present.shape) &&
        isStatic(losses.shape) &&
        sizeOf(present.shape) === sizeOf(losses.shape)
      ) {
        return present;
      }
      const check = assertBroadcastable(g, present, losses);
      return g.controlDependencies([check], () => g.add("Mul", [present, ones(losses)], { name }));
    });
    return sumOf(spread, scope);
  });
}

/** The sum of all elements. Of a scalar the axes are a range of its rank, since Python's reductions take rank 0 for unknown. */
function sumOf(x: Output, name = "Sum"): Output {
  const { graph: g } = x;
  const axes = x.shape?.length
    ? g.constant([...x.shape.keys()], { dtype: "int32", shape: [x.shape.length] })
    : range(g, 0, rank(x));
  return g.add("Sum", [x, axes], { name });
}

/** An op that passes where weights fit losses: both scalar, or every dim 1 or the same. */
function assertBroadcastable(g: Graph, given: number | Output, values: Output) {
  return g.nameScope("assert_broadcastable", () => {
    const weights = g.nameScope("weights", (scope) => {
      const w = given instanceof Output ? given : g.constant(given, { name: scope });
      shapeOf(w, { name: "shape" });
      rank(w, "rank");
      return w;
    });
    g.nameScope("values", () => {
      shapeOf(values, { name: "shape" });
      rank(values, "rank");
    });
    const [w, v] = [weights.shape, values.shape];
    if (w?.length === 0) return g.addOp("NoOp", [], { name: "static_scalar_check_success" });
    if (w === null || v === null) {
      throw new VarscopeError("UNIMPLEMENTED", "weights and losses whose ranks are not known", {
        at: weights.name,
      });
    }
    const fits =
      w.length === v.length && w.every((d, i) => d === 1 || d === null || v[i] === null || d === v[i]);
    if (fits) return g.addOp("NoOp", [], { name: "static_dims_check_success" });
    const text = (s: Shape): string => `(${s.map((d) => d ?? "None").join(", ")})`;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `weights can not be broadcast to values. values.shape=${text(v)}. weights.shape=${text(w)}.`,
      { at: weights.name },
    );
  });
}

/** All losses of the collection `losses`. */
export const getLosses = (graph: Graph, scope?: string): Output[] =>
  graph.getCollection<Output>(GraphKeys.LOSSES, scope);

/** Sum of the regularization losses; 0 where there are none. */
export function getRegularizationLoss(graph: Graph, name = "total_regularization_loss"): Output {
  const losses = regularizationLosses(graph);
  return losses.length === 0 ? graph.constant(0) : graph.add("AddN", [losses], { name });
}

/** Sum of all losses and (unless told not to) regularization losses. @throws VarscopeError INVALID_ARGUMENT - there are none */
export function getTotalLoss(
  graph: Graph,
  options: {
    readonly addRegularizationLosses?: boolean;
    readonly name?: string;
    readonly scope?: string;
  } = {},
): Output {
  const { addRegularizationLosses = true, name = "total_loss", scope } = options;
  const losses = [
    ...getLosses(graph, scope),
    ...(addRegularizationLosses ? regularizationLosses(graph, scope) : []),
  ];
  if (losses.length === 0) {
    throw new VarscopeError("INVALID_ARGUMENT", "the graph has no losses to add up", {
      hint: "losses are in the collections 'losses' and 'regularization_losses'",
    });
  }
  return losses.length === 1
    ? graph.add("Identity", [losses[0]!], { name })
    : graph.add("AddN", [losses], { name });
}
