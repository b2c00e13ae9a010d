/**
 * @file Detection as public functions: non-maximum suppression, with TensorFlow's node names. The ops are in nms.ts and nms-combined.ts.
 *
 * @see TensorFlow python/ops/image_ops_impl.py "non_max_suppression", "combined_non_max_suppression"
 */

import type { Graph, Input, Output } from "../graph/index.ts";
import { graphOf } from "./operators.ts";
import { isOutput } from "./pieces.ts";

export interface NmsOptions {
  /** boxes that overlap a better one by more are dropped: 0.5 */
  readonly iouThreshold?: number | Output;
  /** boxes with no higher score are never taken: -Infinity */
  readonly scoreThreshold?: number | Output;
  readonly name?: string;
}

/** A threshold as a tensor of that name. */
const threshold = (g: Graph, value: number | Output, name: string): Output =>
  isOutput(value) ? value : g.constant(value, { dtype: "float32", name });

const thresholds = (g: Graph, { iouThreshold = 0.5, scoreThreshold = -Infinity }: NmsOptions): Output[] => [
  threshold(g, iouThreshold, "iou_threshold"),
  threshold(g, scoreThreshold, "score_threshold"),
];

/**
 * Indices of the boxes that are taken, best first. Named "non_max_suppression/NonMaxSuppressionV3".
 *
 * @param boxes - float32 or float16 [boxes, 4], y1, x1, y2, x2
 * @param scores - [boxes]
 * @returns int32 [taken]
 */
export function nonMaxSuppression(
  boxes: Input,
  scores: Input,
  maxOutputSize: Input,
  options: NmsOptions = {},
): Output {
  const g = graphOf(boxes, scores);
  return g.nameScope(options.name ?? "non_max_suppression", () =>
    g.add("NonMaxSuppressionV3", [boxes, scores, maxOutputSize, ...thresholds(g, options)]),
  );
}

export interface SoftNmsOptions extends NmsOptions {
  /** above 0, overlapping boxes keep a smaller score instead of being dropped: 0 */
  readonly softNmsSigma?: number | Output;
}

/** The same with scores, and softly if asked for. Named "non_max_suppression_with_scores/NonMaxSuppressionV5". */
export function nonMaxSuppressionWithScores(
  boxes: Input,
  scores: Input,
  maxOutputSize: Input,
  options: SoftNmsOptions = {},
): { readonly indices: Output; readonly scores: Output } {
  const g = graphOf(boxes, scores);
  return g.nameScope(options.name ?? "non_max_suppression_with_scores", () => {
    const limits = [...thresholds(g, options), threshold(g, options.softNmsSigma ?? 0, "soft_nms_sigma")];
    const op = g.addOp("NonMaxSuppressionV5", [boxes, scores, maxOutputSize, ...limits]);
    return { indices: op.output(0), scores: op.output(1) };
  });
}

export interface CombinedNmsOptions extends NmsOptions {
  /** at most maxOutputSizePerClass times the number of classes rows: false */
  readonly padPerClass?: boolean;
  /** boxes to [0, 1]: true */
  readonly clipBoxes?: boolean;
}

/** Detections of each image, padded with zeros. */
export interface Detections {
  /** float32 [batch, rows, 4] */
  readonly boxes: Output;
  /** float32 [batch, rows] */
  readonly scores: Output;
  /** float32 [batch, rows] */
  readonly classes: Output;
  /** int32 [batch] */
  readonly valid: Output;
}

/**
 * The best boxes of each image over all classes. Named "combined_non_max_suppression/CombinedNonMaxSuppression".
 *
 * @param boxes - float32 [batch, boxes, q, 4], where q is 1 or the number of classes
 * @param scores - float32 [batch, boxes, classes]
 */
export function combinedNonMaxSuppression(
  boxes: Input,
  scores: Input,
  maxOutputSizePerClass: Input,
  maxTotalSize: number | Output,
  options: CombinedNmsOptions = {},
): Detections {
  const g = graphOf(boxes, scores);
  return g.nameScope(options.name ?? "combined_non_max_suppression", () => {
    const limits = thresholds(g, options);
    const total = isOutput(maxTotalSize) ? maxTotalSize : g.constant(maxTotalSize, { dtype: "int32" });
    const inputs = [boxes, scores, maxOutputSizePerClass, total, ...limits];
    const { padPerClass = false, clipBoxes = true } = options;
    const op = g.addOp("CombinedNonMaxSuppression", inputs, {
      attrs: { pad_per_class: padPerClass, clip_boxes: clipBoxes },
    });
    return { boxes: op.output(0), scores: op.output(1), classes: op.output(2), valid: op.output(3) };
  });
}
