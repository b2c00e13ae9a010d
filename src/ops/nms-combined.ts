/**
 * @file CombinedNonMaxSuppression: the best boxes of each image of a batch over all classes, each class suppressed by itself.
 *
 * @see TensorFlow core/ops/image_ops.cc "CombinedNMSShapeFn"; core/kernels/image/non_max_suppression_op.cc
 */

import { type Shape, type Tensor, tensor, toNumbers } from "../base/index.ts";
import { absent, attr, defineOp, type Inferred, type Spec } from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, needDim } from "./image-facts.ts";
import { suppressClasses } from "./kernels/nms.ts";
import { fromNumbers, numbersOf } from "./kernels/numbers.ts";
import { scalarDim } from "./nms.ts";
import { invalid, mergeDims, needRank } from "./window.ts";

interface CombinedAttrs {
  readonly pad_per_class: boolean;
  readonly clip_boxes: boolean;
}

interface Combined<X> {
  readonly boxes: X;
  readonly scores: X;
  readonly max_output_size_per_class: X;
  readonly max_total_size: X;
  readonly iou_threshold: X;
  readonly score_threshold: X;
}

/** Number of rows of the result; null where it is not known. */
function rowsOf(inputs: Combined<Spec>, classes: number | null, { pad_per_class }: CombinedAttrs) {
  const total = scalarDim(inputs.max_total_size, 3);
  if (total !== null && total <= 0) throw invalid("max_total_size should be > 0 ");
  const perClass = scalarDim(inputs.max_output_size_per_class, 2);
  if (!pad_per_class) return total;
  if (perClass !== null && perClass <= 0)
    throw invalid("max_output_size_per_class must be > 0 if pad_per_class is set to true ");
  if (perClass === null || classes === null || total === null) return null;
  return Math.min(total, perClass * classes);
}

function combinedShape(inputs: Combined<Spec>, attrs: CombinedAttrs): readonly Inferred[] {
  const { boxes, scores } = inputs;
  needRank(boxes.shape, 4);
  needRank(scores.shape, 3);
  const scalars = [inputs.max_output_size_per_class, inputs.max_total_size];
  for (const x of [...scalars, inputs.iou_threshold, inputs.score_threshold]) needRank(x.shape, 0);
  mergeDims(dimAt(boxes.shape, 0), dimAt(scores.shape, 0));
  mergeDims(dimAt(boxes.shape, 1), dimAt(scores.shape, 1));
  needDim(dimAt(boxes.shape, 3), 4);
  const [q, classes] = [dimAt(boxes.shape, 2), dimAt(scores.shape, 2)];
  if (q !== null && classes !== null && q !== 1 && q !== classes)
    throw invalid("third dimension of boxes must be either 1 or equal to the third dimension of scores");
  const batch = dimAt(boxes.shape, 0);
  const rows = rowsOf(inputs, classes, attrs);
  return [
    { shape: [batch, rows, 4] },
    { shape: [batch, rows] },
    { shape: [batch, rows] },
    { shape: [batch] },
  ];
}

interface Limits {
  readonly perClass: number;
  readonly total: number;
  readonly threshold: number;
  readonly scoreThreshold: number;
}

/** @throws VarscopeError INVALID_ARGUMENT - what TensorFlow's kernel refuses */
function limitsOf(inputs: Combined<Tensor>, boxes: Shape, classes: number): Limits {
  if (boxes[2] !== 1 && boxes[2] !== classes)
    throw invalid("third dimension of boxes must be either 1 or num classes");
  const scalar = (t: Tensor): number => toNumbers(t)[0]!;
  const perClass = scalar(inputs.max_output_size_per_class);
  if (perClass <= 0) throw invalid("max_size_per_class must be positive");
  const total = scalar(inputs.max_total_size);
  if (total <= 0) throw invalid("max_total_size must be > 0");
  const threshold = scalar(inputs.iou_threshold);
  if (!(threshold >= 0 && threshold <= 1)) throw invalid("iou_threshold must be in [0, 1]");
  return { perClass, total, threshold, scoreThreshold: scalar(inputs.score_threshold) };
}

/**
 * Boxes [batch, boxes, q, 4], where q is 1 or the number of classes, by scores [batch, boxes, classes]. Rows behind the last detection are
 * zeros; `clip_boxes` clips boxes to [0, 1]. Detections of one score come in the order of their classes.
 *
 * @returns float32 [batch, rows, 4], [batch, rows] scores, [batch, rows] classes, int32 [batch] detections
 */
export const CombinedNonMaxSuppression = defineOp("CombinedNonMaxSuppression", {
  inputs: {
    boxes: "float32",
    scores: "float32",
    max_output_size_per_class: "int32",
    max_total_size: "int32",
    iou_threshold: "float32",
    score_threshold: "float32",
  },
  outputs: {
    nmsed_boxes: "float32",
    nmsed_scores: "float32",
    nmsed_classes: "float32",
    valid_detections: "int32",
  },
  attrs: { pad_per_class: attr.bool({ default: false }), clip_boxes: attr.bool({ default: true }) },
  infer: combinedShape,
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX's NonMaxSuppression has its boxes by class, not by score, and does not pad"),
  host: (inputs, attrs) => {
    const { boxes, scores } = inputs;
    const [batch, n, q] = boxes.shape as [number, number, number];
    const classes = scores.shape[2]!;
    const { perClass, total, threshold, scoreThreshold } = limitsOf(inputs, boxes.shape, classes);
    const rows = attrs.pad_per_class ? Math.min(total, perClass * classes) : total;
    boundedSize([batch, rows, 4], "float32");
    const found = {
      boxes: new Float32Array(batch * rows * 4),
      scores: new Float32Array(batch * rows),
      classes: new Float32Array(batch * rows),
      counts: new Array<number>(batch),
    };
    const [corners, points] = [numbersOf(boxes) as Float32Array, numbersOf(scores) as Float32Array];
    for (let image = 0; image < batch; image++) {
      const mine = corners.subarray(image * n * q * 4, (image + 1) * n * q * 4);
      const detections = suppressClasses({
        boxes: mine,
        q,
        scores: points.subarray(image * n * classes, (image + 1) * n * classes),
        classes,
        mostPerClass: perClass,
        most: rows,
        threshold,
        scoreThreshold,
      });
      found.counts[image] = detections.length;
      detections.forEach(({ at, score, label }, i) => {
        const row = image * rows + i;
        const box = mine.subarray(at, at + 4);
        found.boxes.set(attrs.clip_boxes ? box.map((x) => Math.max(Math.min(x, 1), 0)) : box, row * 4);
        found.scores[row] = score;
        found.classes[row] = label;
      });
    }
    return [
      fromNumbers("float32", [batch, rows, 4], found.boxes),
      fromNumbers("float32", [batch, rows], found.scores),
      fromNumbers("float32", [batch, rows], found.classes),
      tensor(found.counts, "int32", [batch]),
    ];
  },
});
