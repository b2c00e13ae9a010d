/** @file Programs of the image functions: twins of tools/goldens/images.py. */

import { gradients } from "../../../src/autodiff/index.ts";
import { densify, type Graph, isIndexedSlices, type Output } from "../../../src/graph/index.ts";
import {
  addN,
  expandDims,
  gather,
  image,
  index,
  reduceSum,
  shape,
  sigmoid,
  stack,
  zerosLike,
} from "../../../src/ops/index.ts";
import { holder, identity, mul, type Program, sub } from "./pieces.ts";

function keep(outputs: readonly Output[]): void {
  outputs.forEach((y, i) => {
    identity(y, `y${i}`);
  });
}

function keepGradients(y: Output, xs: Readonly<Record<string, Output>>): void {
  const dxs = gradients(y, Object.values(xs));
  Object.keys(xs).forEach((name, i) => {
    const dx = dxs[i]!;
    identity(isIndexedSlices(dx) ? densify(dx) : dx, `d${name}`);
  });
}

function resizeMethods(g: Graph): void {
  const x = holder(g, "x", [null, 4, 6, 3]);
  const all =
    (size: number[], antialias: boolean) =>
    (method: image.ResizeMethod): Output =>
      image.resize(x, size, { method, antialias });
  const ys = [
    ...(["bilinear", "nearest", "bicubic", "area", "lanczos3"] as const).map(all([3, 5], false)),
    ...(["bilinear", "bicubic", "nearest", "area"] as const).map(all([2, 3], true)),
    ...(["lanczos5", "gaussian", "mitchellcubic"] as const).map(all([2, 9], true)),
  ];
  const loss = addN(
    [0, 1, 2, 4, 5].map((i) => reduceSum(mul(ys[i]!, ys[i]!))),
    "loss",
  );
  keepGradients(loss, { x });
  keep(ys);
}

function resizeSizes(g: Graph): void {
  const x = holder(g, "x", [2, 4, 6, 3]);
  const some = holder(g, "some", [null, null, 6, 3]);
  const size = holder(g, "size", [2], "int32");
  keep([
    image.resize(index(x, [0]), [2, 3]),
    image.resize(x, size),
    image.resize(some, [index(shape(some), [1]), 9]),
    image.resize(x, [8, 8], { preserveAspectRatio: true }),
    image.resize(some, size, { preserveAspectRatio: true, name: "fit" }),
  ]);
}

function resizeV1(g: Graph): void {
  const x = holder(g, "x", [2, 4, 6, 3]);
  keep([
    image.resizeBilinear(x, [3, 5]),
    image.resizeBilinear(x, [3, 5], { alignCorners: true, name: "corners" }),
    image.resizeBicubic(x, [8, 5]),
    image.resizeNearestNeighbor(x, [8, 5], { halfPixelCenters: true }),
    image.resizeArea(x, [2, 4]),
  ]);
}

function detection(g: Graph): void {
  const x = holder(g, "x", [2, 4, 6, 3]);
  const boxes = holder(g, "boxes", [null, 4]);
  const scores = holder(g, "scores", [null]);
  const taken = image.nonMaxSuppression(boxes, scores, 3, { iouThreshold: 0.4 });
  const soft = image.nonMaxSuppressionWithScores(boxes, scores, 3, { softNmsSigma: 0.5, name: "soft" });
  const classes = stack(g, [scores, sub(1, scores)], { axis: 1 });
  const batch = expandDims(expandDims(boxes, 1), 0);
  const combined = image.combinedNonMaxSuppression(batch, expandDims(classes, 0), 2, 5, {
    scoreThreshold: 0.3,
  });
  const own = gather(boxes, taken);
  const crops = image.cropAndResize(x, own, zerosLike(taken), [2, 2], { extrapolationValue: 1 });
  keepGradients(crops, { x, boxes });
  const { boxes: best, scores: marks, classes: labels, valid } = combined;
  keep([taken, soft.indices, soft.scores, best, marks, labels, valid, crops]);
}

function colors(g: Graph): void {
  const x = holder(g, "x", [2, 4, 6, 3]);
  const rgb = sigmoid(x);
  const ys = [
    image.adjustContrast(rgb, 1.5),
    image.adjustHue(rgb, 0.25),
    image.adjustSaturation(rgb, 0.5, "pale"),
    image.hsvToRgb(image.rgbToHsv(rgb)),
  ];
  const windows = image.extractPatches(x, {
    sizes: [1, 2, 3, 1],
    strides: [1, 2, 2, 1],
    rates: [1, 1, 1, 1],
    padding: "SAME",
  });
  keepGradients(mul(windows, windows), { x });
  keep([...ys, windows]);
}

export const IMAGE_PROGRAMS: Readonly<Record<string, Program>> = {
  resize_methods: resizeMethods,
  resize_sizes: resizeSizes,
  resize_v1: resizeV1,
  detection,
  colors,
};
