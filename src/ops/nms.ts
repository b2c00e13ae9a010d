/**
 * @file Non-maximum suppression of one image's boxes [boxes, 4] by their scores [boxes], in the five versions that TensorFlow has, and by
 * given overlaps. Boxes are [y1, x1, y2, x2]. For batches and classes: nms-combined.ts. The public functions are in nms-api.ts.
 *
 * @see TensorFlow core/ops/image_ops.cc, core/kernels/image/non_max_suppression_op.cc
 */

import { type DType, type Shape, type Tensor, tensor, toNumbers } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Inferred,
  type Onnx,
  type OnnxValue,
  type Spec,
  stopsGradients,
} from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, needDim } from "./image-facts.ts";
import { overlap, type Suppression, suppress, toHalf } from "./kernels/nms.ts";
import { fromNumbers, numbersOf } from "./kernels/numbers.ts";
import { invalid, mergeDims, needRank } from "./window.ts";

/** float32's lowest: what V1 and V2 have as score threshold. */
const LOWEST = -3.4028234663852886e38;

/** Inputs of which a version has some. */
interface Nms<X> {
  readonly boxes: X;
  readonly scores: X;
  readonly max_output_size: X;
  readonly iou_threshold?: X;
  readonly score_threshold?: X;
  readonly soft_nms_sigma?: X;
}

/** Ranks and dims. @throws VarscopeError INVALID_ARGUMENT */
function needNms(boxes: Shape | null, scores: Shape | null, ...scalars: readonly (Spec | undefined)[]): void {
  needRank(boxes, 2);
  needRank(scores, 1);
  for (const x of scalars) needRank(x?.shape ?? null, 0);
  mergeDims(dimAt(boxes, 0), dimAt(scores, 0));
}

const taken: readonly Inferred[] = [{ shape: [null] }];

function nmsShape(inputs: Nms<Spec>): readonly Inferred[] {
  const { boxes, scores, max_output_size, iou_threshold, score_threshold, soft_nms_sigma } = inputs;
  needNms(boxes.shape, scores.shape, max_output_size, iou_threshold, score_threshold, soft_nms_sigma);
  needDim(dimAt(boxes.shape, 1), 4);
  return taken;
}

/**
 * The dim that a scalar input gives; null where it is not known.
 *
 * @throws VarscopeError INVALID_ARGUMENT - it is negative
 */
export function scalarDim(x: Spec, index: number): number | null {
  const size = x.value === null ? null : toNumbers(x.value)[0]!;
  if (size === null || size >= 0) return size;
  throw invalid(`Dimension size, given by scalar input ${index}, must be non-negative but is ${size}`);
}

interface Thresholds {
  readonly most: number;
  readonly threshold: number;
  readonly scoreThreshold: number;
  readonly sigma: number;
}

/** @throws VarscopeError INVALID_ARGUMENT - what TensorFlow's kernels refuse */
function thresholdsOf(inputs: Omit<Nms<Tensor>, "boxes" | "scores">, threshold: number): Thresholds {
  const scalar = (t: Tensor | undefined, fallback: number): number =>
    t === undefined ? fallback : toNumbers(t)[0]!;
  if (!(threshold >= 0 && threshold <= 1)) throw invalid("iou_threshold must be in [0, 1]");
  const sigma = scalar(inputs.soft_nms_sigma, 0);
  if (!(sigma >= 0)) throw invalid("soft_nms_sigma_val must be >= 0");
  const most = scalar(inputs.max_output_size, 0);
  if (most < 0) throw invalid("output size must be non-negative");
  const scoreThreshold = scalar(inputs.score_threshold, LOWEST);
  return { most, threshold, scoreThreshold, sigma };
}

const thresholdOf = ({ iou_threshold }: Nms<Tensor>): number => toNumbers(iou_threshold!)[0]!;

function run(inputs: Nms<Tensor>, threshold: number): { boxes: number[]; scores: number[]; most: number } {
  const { boxes, scores } = inputs;
  const limits = thresholdsOf(inputs, threshold);
  const corners = numbersOf(boxes);
  // thresholds are of their own dtype, and compared in that of the scores
  const round = scores.dtype === "float16" ? toHalf : Math.fround;
  const options: Suppression = {
    ...limits,
    threshold: round(limits.threshold),
    scoreThreshold: round(limits.scoreThreshold),
    scores: numbersOf(scores),
    similarity: (i, j) => overlap(corners, 4 * i, 4 * j),
    round,
  };
  return { ...suppress(options), most: limits.most };
}

/** Numbers with zeros behind, up to `length`. */
const padded = (dtype: DType, values: readonly number[], length = values.length): Tensor => {
  const whole = new Float64Array(length);
  whole.set(values);
  return fromNumbers(dtype, [length], whole);
};

const indices = (inputs: Nms<Tensor>): readonly Tensor[] => [
  padded("int32", run(inputs, thresholdOf(inputs)).boxes),
];

/** Length of the result. @throws VarscopeError RESOURCE_EXHAUSTED - it is padded to more than there is memory */
function lengthOf(
  { boxes, most }: { readonly boxes: readonly number[]; readonly most: number },
  pads: boolean,
): number {
  if (!pads) return boxes.length;
  boundedSize([most], "int32");
  return most;
}

/** The same in ONNX, which breaks ties alike, where all limits are known: it has other words for wrong ones. */
function lowerNms(onnx: Onnx, inputs: Nms<OnnxValue>, threshold: number): OnnxValue {
  const { max_output_size, score_threshold } = inputs;
  const limits = thresholdsOf(
    {
      max_output_size: max_output_size.constant!,
      ...(score_threshold && { score_threshold: score_threshold.constant! }),
    },
    threshold,
  );
  const n = inputs.boxes.shape![0]!;
  const float = (x: number): OnnxValue => onnx.constant(tensor([x], "float32", [1]));
  const found = onnx.add(
    "NonMaxSuppression",
    [
      onnx.reshape(inputs.boxes, [1, n, 4]),
      onnx.reshape(inputs.scores, [1, 1, n]),
      onnx.ints([limits.most]),
      float(limits.threshold),
      float(limits.scoreThreshold),
    ],
    {},
    { dtype: "int64", shape: [null, 3] },
  );
  // rows are [image, class, box]
  const column = onnx.add("Gather", [found, onnx.scalar(2, "int64")], { axis: 1 }, { shape: [null] });
  return onnx.cast(column, "int32");
}

const isKnown = (x: Spec | undefined): boolean => x === undefined || x.value !== null;

const lowersNms = (inputs: Nms<Spec>): boolean =>
  inputs.boxes.dtype === "float32" &&
  inputs.boxes.shape !== null &&
  inputs.boxes.shape[0] !== 0 &&
  isKnown(inputs.max_output_size) &&
  isKnown(inputs.iou_threshold) &&
  isKnown(inputs.score_threshold);

const typed = {
  T: attr.typeOr("float32", "float16", "float32"),
  T_threshold: attr.typeOr("float32", "float16", "float32"),
};

const lowerVersion = (onnx: Onnx, inputs: Nms<OnnxValue>): readonly OnnxValue[] => [
  lowerNms(onnx, inputs, toNumbers(inputs.iou_threshold!.constant!)[0]!),
];

/** Indices of the boxes taken, best first, at most `max_output_size`; the threshold is an attribute. @returns int32 [taken] */
export const NonMaxSuppression = defineOp("NonMaxSuppression", {
  inputs: { boxes: "float32", scores: "float32", max_output_size: "int32" },
  outputs: { selected_indices: "int32" },
  attrs: { iou_threshold: attr.float({ default: 0.5 }) },
  infer: nmsShape,
  grad: stopsGradients,
  lowers: (_, inputs) => lowersNms(inputs),
  lower: (onnx, inputs, { iou_threshold }) => [lowerNms(onnx, inputs, iou_threshold)],
  host: (inputs, { iou_threshold }) => [padded("int32", run(inputs, iou_threshold).boxes)],
});

/** The same with the threshold as an input. @returns int32 [taken] */
export const NonMaxSuppressionV2 = defineOp("NonMaxSuppressionV2", {
  inputs: { boxes: "T", scores: "T", max_output_size: "int32", iou_threshold: "T_threshold" },
  outputs: { selected_indices: "int32" },
  attrs: typed,
  infer: nmsShape,
  grad: stopsGradients,
  lowers: (_, inputs) => lowersNms(inputs),
  lower: lowerVersion,
  host: indices,
});

/** The same without boxes whose score is not above `score_threshold`. @returns int32 [taken] */
export const NonMaxSuppressionV3 = defineOp("NonMaxSuppressionV3", {
  inputs: {
    boxes: "T",
    scores: "T",
    max_output_size: "int32",
    iou_threshold: "T_threshold",
    score_threshold: "T_threshold",
  },
  outputs: { selected_indices: "int32" },
  attrs: typed,
  infer: nmsShape,
  grad: absent("TensorFlow registers none"),
  lowers: (_, inputs) => lowersNms(inputs),
  lower: lowerVersion,
  host: indices,
});

/** The same with the number taken, and padded with zeros to `max_output_size` if asked for. @returns int32 [taken or padded], int32 [] */
export const NonMaxSuppressionV4 = defineOp("NonMaxSuppressionV4", {
  inputs: {
    boxes: "T",
    scores: "T",
    max_output_size: "int32",
    iou_threshold: "T_threshold",
    score_threshold: "T_threshold",
  },
  outputs: { selected_indices: "int32", valid_outputs: "int32" },
  attrs: { ...typed, pad_to_max_output_size: attr.bool({ default: false }) },
  infer: (inputs, { pad_to_max_output_size: pads }) => {
    const [found] = nmsShape(inputs);
    return [pads ? { shape: [scalarDim(inputs.max_output_size, 2)] } : found!, { shape: [] }];
  },
  grad: absent("TensorFlow registers none"),
  lowers: ({ pad_to_max_output_size: pads }, inputs) => !pads && lowersNms(inputs),
  lower: (onnx, inputs) => {
    const [found] = lowerVersion(onnx, inputs);
    const count = onnx.add("Size", [found!], {}, { dtype: "int64", shape: [] });
    return [found!, onnx.cast(count, "int32")];
  },
  host: (inputs, { pad_to_max_output_size: pads }) => {
    const found = run(inputs, thresholdOf(inputs));
    const { boxes } = found;
    return [padded("int32", boxes, lengthOf(found, pads)), tensor(boxes.length, "int32", [])];
  },
});

/**
 * The same where, with `soft_nms_sigma` above 0, overlapping boxes keep a smaller score instead of being dropped (Soft-NMS), and with the
 * scores. @returns int32 and T [taken or padded], int32 []
 */
export const NonMaxSuppressionV5 = defineOp("NonMaxSuppressionV5", {
  inputs: {
    boxes: "T",
    scores: "T",
    max_output_size: "int32",
    iou_threshold: "T",
    score_threshold: "T",
    soft_nms_sigma: "T",
  },
  outputs: { selected_indices: "int32", selected_scores: "T", valid_outputs: "int32" },
  attrs: { T: typed.T, pad_to_max_output_size: attr.bool({ default: false }) },
  infer: (inputs, { pad_to_max_output_size: pads }) => {
    nmsShape(inputs);
    const shape = [pads ? scalarDim(inputs.max_output_size, 2) : null];
    return [{ shape }, { shape }, { shape: [] }];
  },
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX's NonMaxSuppression only drops boxes"),
  host: (inputs, { pad_to_max_output_size: pads }) => {
    const found = run(inputs, thresholdOf(inputs));
    const { boxes, scores } = found;
    const length = lengthOf(found, pads);
    const kept = padded(inputs.scores.dtype, scores, length);
    return [padded("int32", boxes, length), kept, tensor(boxes.length, "int32", [])];
  },
});

/** Boxes taken by score, where `overlaps` [boxes, boxes] says how much any two overlap. @returns int32 [taken] */
export const NonMaxSuppressionWithOverlaps = defineOp("NonMaxSuppressionWithOverlaps", {
  inputs: {
    overlaps: "float32",
    scores: "float32",
    max_output_size: "int32",
    overlap_threshold: "float32",
    score_threshold: "float32",
  },
  outputs: { selected_indices: "int32" },
  infer: ({ overlaps, scores, max_output_size, overlap_threshold, score_threshold }) => {
    needNms(overlaps.shape, scores.shape, max_output_size, overlap_threshold, score_threshold);
    mergeDims(dimAt(overlaps.shape, 0), dimAt(overlaps.shape, 1));
    return taken;
  },
  grad: stopsGradients,
  lower: absent("ONNX's NonMaxSuppression takes boxes"),
  host: ({ overlaps, scores, max_output_size, overlap_threshold, score_threshold }) => {
    const n = scores.shape[0]!;
    const table = numbersOf(overlaps);
    const most = toNumbers(max_output_size)[0]!;
    if (most < 0) throw invalid("output size must be non-negative");
    const { boxes } = suppress({
      scores: numbersOf(scores),
      similarity: (i, j) => table[i * n + j]!,
      most,
      threshold: toNumbers(overlap_threshold)[0]!,
      scoreThreshold: toNumbers(score_threshold)[0]!,
      sigma: 0,
      round: Math.fround,
    });
    return [padded("int32", boxes)];
  },
});
