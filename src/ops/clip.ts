/** @file Clipping to an interval. Clipping by norms is composed elsewhere. */

import { formatShape, sameShape, sizeOf, type Tensor, VarscopeError } from "../base/index.ts";
import { attr, defineOp, type Input, type Output } from "../graph/index.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import { longMax, longMin } from "./kernels/integer.ts";
import { apply, sumTo } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { COMPLEX, FLOATS, INTS, ort, QUANTIZED, UINTS } from "./signatures.ts";

const LOWER = { float: Math.min, int: Math.min, big: longMin };
const UPPER = { float: Math.max, int: Math.max, big: longMax };

function fitBound(t: Tensor, bound: Tensor, name: string): Tensor {
  if (sameShape(t.shape, bound.shape) || sizeOf(bound.shape) === 1) return bound;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `${name} must be a scalar or of the shape of t, ${formatShape(t.shape)}, and is ${formatShape(bound.shape)}`,
  );
}

/** t between two bounds, scalars or of its shape; the lower one wins where they cross. @see TensorFlow core/ops/math_ops.cc "ClipByValue"; clip_ops.py "_clip_by_value_grad" */
export const ClipByValue = defineOp("ClipByValue", {
  inputs: { t: "T", clip_value_min: "T", clip_value_max: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED) },
  infer: ({ t }) => [{ shape: t.shape }],
  grad: (g, op, [dy]) => {
    const [x, low, high] = op.inputs as [Output, Output, Output];
    const [sx, sy, sz] = [pieces.shape(x), pieces.shape(low), pieces.shape(high)];
    const shape = pieces.shape(dy!);
    const zeros = pieces.zeros(g, shape, { dtype: dy!.dtype });
    const below = apply("Less", x, low);
    const above = apply("Greater", x, high);
    const ry = g.addOp("BroadcastGradientArgs", [sx, sy]).output(1);
    const rz = g.addOp("BroadcastGradientArgs", [sx, sz]).output(1);
    const gx = apply("Select", apply("LogicalOr", below, above), zeros, dy!);
    const gy = apply("Select", below, dy!, zeros);
    const gz = apply("Select", above, dy!, zeros);
    const toLow = sumTo(gy, ry, sy);
    return [gx, toLow, sumTo(gz, rz, sz)];
  },
  lower: (onnx, { t, clip_value_min, clip_value_max }) => [
    onnx.map("Max", [onnx.map("Min", [t, clip_value_max]), clip_value_min]),
  ],
  lowers: ort.ordered,
  host: ({ t, clip_value_min, clip_value_max }) => {
    const low = fitBound(t, clip_value_min, "clip_value_min");
    const high = fitBound(t, clip_value_max, "clip_value_max");
    return [mapBinary(mapBinary(t, high, LOWER), low, UPPER)];
  },
});

/**
 * `t` where it is between two bounds, else the bound it is beyond: a Minimum and a Maximum. Named "clip_by_value".
 *
 * @see TensorFlow python/ops/clip_ops.py "clip_by_value"
 */
export function clipByValue(t: Output, min: Input, max: Input, name = "clip_by_value"): Output {
  const g = t.graph;
  return g.nameScope(name, (scope) => g.add("Maximum", [g.add("Minimum", [t, max]), min], { name: scope }));
}
