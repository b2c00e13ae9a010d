/**
 * @file Images under projections: rotated, sheared, seen from aside.
 *
 * @see TensorFlow core/ops/image_ops.cc "ImageProjectiveTransformV3"; core/kernels/image/image_ops.cc; python/ops/image_ops.py
 */

import { type Tensor, toNumbers } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Inferred,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { boundedSize } from "./bounds.ts";
import { dimAt, sizedShape } from "./image-facts.ts";
import { FILLS, projected } from "./kernels/project.ts";
import { truediv } from "./operators.ts";
import { concat, cut, element, ones, part, reshape, shape } from "./pieces.ts";
import { invalid, needRank } from "./window.ts";

interface ProjectAttrs {
  readonly interpolation: string;
  readonly fill_mode: string;
}

const attrs = {
  dtype: attr.type("uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"),
  interpolation: attr.string(),
  fill_mode: attr.string({ default: "CONSTANT" }),
};

const noOnnx = absent("ONNX's GridSample has other edges, and takes the points of every pixel");

function projectedShape(images: Spec, size: Spec): readonly Inferred[] {
  needRank(images.shape, 4);
  return [sizedShape(dimAt(images.shape, 0), size, dimAt(images.shape, 3))];
}

interface Inputs {
  readonly images: Tensor;
  readonly transforms: Tensor;
  readonly output_shape: Tensor;
}

/** @throws VarscopeError INVALID_ARGUMENT - what TensorFlow's kernel refuses, and words that it takes for others */
function run({ images, transforms, output_shape }: Inputs, attrs: ProjectAttrs, fillValue: number): Tensor {
  const count = transforms.shape[0]!;
  if (
    transforms.shape.length !== 2 ||
    (count !== images.shape[0] && count !== 1) ||
    transforms.shape[1] !== 8
  )
    throw invalid("Input transform should be num_images x 8 or 1 x 8");
  const [height, width] = toNumbers(output_shape) as [number, number];
  if (height <= 0 || width <= 0) throw invalid("output dimensions must be positive");
  boundedSize([images.shape[0]!, height, width, images.shape[3]!], images.dtype);
  const { interpolation, fill_mode } = attrs;
  if (interpolation !== "NEAREST" && interpolation !== "BILINEAR")
    throw invalid(`Invalid interpolation ${interpolation}. Supported types: NEAREST, BILINEAR`);
  if (!Object.hasOwn(FILLS, fill_mode))
    throw invalid(`Invalid mode ${fill_mode}. Supported types: REFLECT, WRAP, CONSTANT, NEAREST`);
  return projected(images, {
    transforms,
    size: [height, width],
    bilinear: interpolation === "BILINEAR",
    fill: FILLS[fill_mode]!,
    fillValue,
  });
}

/** Flat projections as matrices [n, 3, 3]. */
function toMatrices(g: Graph, transforms: Output): Output {
  return g.nameScope("flat_transforms_to_matrices", () => {
    const flat = reshape(transforms, g.constant([-1, 8], { dtype: "int32" }));
    const count = element(g, shape(flat), 0);
    const whole = concat([flat, ones(g, [count, 1])], 1);
    return reshape(whole, g.constant([-1, 3, 3], { dtype: "int32" }));
  });
}

/** Matrices as flat projections [n, 8], their last entry made 1. */
function toFlat(g: Graph, matrices: Output): Output {
  return g.nameScope("matrices_to_flat_transforms", () => {
    const flat = reshape(matrices, g.constant([-1, 9], { dtype: "int32" }));
    const last = cut(g, flat, [0, 8], [0, 9], { begin: 1, end: 1, strides: [1, 1] });
    return cut(g, truediv(flat, last), [0, 0], [0, 8], { begin: 3, end: 1, strides: [1, 1] });
  });
}

/** dy seen through the inverse projection, which TensorFlow takes for the gradient. */
function projectGrad(g: Graph, op: Operation, dy: Output, ...more: readonly number[]): Output {
  const [images, transforms] = op.inputs;
  if (images!.dtype === "bfloat16") throw invalid("Invalid dtype bfloat16.");
  if (transforms!.shape?.length !== 2) throw invalid("Transforms should have rank 1 or 2.");
  const inverse = toFlat(g, g.add("MatrixInverse", [toMatrices(g, transforms!)]));
  const size = part(g, shape(images!), 1, 3);
  const { interpolation, fill_mode } = op.attrs;
  return g.add(op.type, [dy, inverse, size, ...more], {
    attrs: { interpolation: interpolation!, fill_mode: fill_mode! },
  });
}

/**
 * Pixel (x, y) of the result is the image at ((a x + b y + c) / k, (d x + e y + f) / k) with k = g x + h y + 1, for `transforms`
 * [images or 1, 8] of a to h. What is outside is 0 or as `fill_mode` says. `output_shape`: int32 [2].
 */
export const ImageProjectiveTransformV2 = defineOp("ImageProjectiveTransformV2", {
  inputs: { images: "dtype", transforms: "float32", output_shape: "int32" },
  outputs: { transformed_images: "dtype" },
  attrs,
  infer: ({ images, output_shape }) => projectedShape(images, output_shape),
  grad: (g, op, [dy]) => [projectGrad(g, op, dy!), null, null],
  lower: noOnnx,
  host: (inputs, attrs) => [run(inputs, attrs, 0)],
});

/** The same with the value outside as a scalar input. */
export const ImageProjectiveTransformV3 = defineOp("ImageProjectiveTransformV3", {
  inputs: { images: "dtype", transforms: "float32", output_shape: "int32", fill_value: "float32" },
  outputs: { transformed_images: "dtype" },
  attrs,
  infer: ({ images, output_shape }) => projectedShape(images, output_shape),
  grad: (g, op, [dy]) => [projectGrad(g, op, dy!, 0), null, null, null],
  lower: noOnnx,
  host: (inputs, attrs) => {
    if (inputs.fill_value.shape.length !== 0) throw invalid("fill_value must be a scalar");
    return [run(inputs, attrs, toNumbers(inputs.fill_value)[0]!)];
  },
});
