/** @file Rounding of one tensor, and whether its elements are NaN, infinite, finite. */

import { isFloat, roundHalfEven } from "../base/index.ts";
import { defineOp, type Output, type Spec } from "../graph/index.ts";
import { testFloat } from "./kernels/elementwise.ts";
import { COMPLEX, FLOATS, hostUnary, INTS, lowerUnary, ort, test, unary } from "./signatures.ts";

/** ⌊x⌋. @see TensorFlow core/ops/math_ops.cc "Floor" */
export const Floor = defineOp("Floor", {
  ...unary(...FLOATS),
  grad: () => [null],
  lower: lowerUnary("Floor"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.floor }),
});

/** ⌊x⌋. Named "Floor". */
export const floor = (x: Output, name = "Floor"): Output => x.graph.add(Floor, [x], { name });

/** ⌈x⌉. @see TensorFlow core/ops/math_ops.cc "Ceil" */
export const Ceil = defineOp("Ceil", {
  ...unary(...FLOATS),
  grad: () => [null],
  lower: lowerUnary("Ceil"),
  lowers: ort.floats,
  host: hostUnary({ float: Math.ceil }),
});

/** ⌈x⌉. Named "Ceil". */
export const ceil = (x: Output, name = "Ceil"): Output => x.graph.add(Ceil, [x], { name });

/** To the nearest integer, ties to even, keeping the sign of a zero. */
function nearest(x: number): number {
  if (!(Math.abs(x) < 2 ** 52)) return x; // an integer, infinite or NaN
  return x < 0 ? -roundHalfEven(-x) : roundHalfEven(x);
}

const self = <X>(x: X): X => x;

/**
 * The nearest integer, ties to even; integers stay. (TensorFlow 2.21's CPU kernel gives 0 for integers; its Python never calls it.)
 *
 * @see TensorFlow core/ops/math_ops.cc "Round"
 */
export const Round = defineOp("Round", {
  ...unary(...FLOATS, ...INTS, ...COMPLEX),
  grad: () => [null],
  lower: (onnx, { x }) => [isFloat(x.dtype) ? onnx.map("Round", [x]) : x],
  lowers: ({ T }) => ort.signed({ T }),
  host: hostUnary({ float: nearest, int: self, big: self, complex: ([a, b]) => [nearest(a), nearest(b)] }),
});

/** The nearest integer, ties to even; an integer tensor itself. Named "Round". */
export const round = (x: Output, name = "Round"): Output =>
  /^u?int/.test(x.dtype) ? x : x.graph.add(Round, [x], { name });

/** The nearest integer, ties to even. @see TensorFlow core/ops/math_ops.cc "Rint" */
export const Rint = defineOp("Rint", {
  ...unary(...FLOATS),
  grad: () => [null],
  lower: lowerUnary("Round"),
  lowers: ort.floats,
  host: hostUnary({ float: nearest }),
});

/** The nearest integer, ties to even. Named "Rint". */
export const rint = (x: Output, name = "Rint"): Output => x.graph.add(Rint, [x], { name });

const predicate = {
  ...unary(...FLOATS),
  outputs: { y: "bool" },
  infer: ({ x }: { readonly x: Spec }) => [{ shape: x.shape }],
  lowers: ort.floats,
} as const;

/** Whether x is NaN. @see TensorFlow core/ops/math_ops.cc "IsNan" */
export const IsNan = defineOp("IsNan", {
  ...predicate,
  grad: () => [null],
  lower: (onnx, { x }) => [test(onnx, "IsNaN", x)],
  host: ({ x }) => [testFloat(x, Number.isNaN)],
});

/** Whether x is NaN. Named "IsNan". */
export const isNan = (x: Output, name = "IsNan"): Output => x.graph.add(IsNan, [x], { name });

/** Whether x is ±∞. @see TensorFlow core/ops/math_ops.cc "IsInf" */
export const IsInf = defineOp("IsInf", {
  ...predicate,
  grad: () => [null],
  lower: (onnx, { x }) => [test(onnx, "IsInf", x)],
  host: ({ x }) => [testFloat(x, (v) => Math.abs(v) === Number.POSITIVE_INFINITY)],
});

/** Whether x is ±∞. Named "IsInf". */
export const isInf = (x: Output, name = "IsInf"): Output => x.graph.add(IsInf, [x], { name });

/** Whether x is neither NaN nor ±∞. @see TensorFlow core/ops/math_ops.cc "IsFinite" */
export const IsFinite = defineOp("IsFinite", {
  ...predicate,
  grad: () => [null],
  // x - x is NaN, and equal to nothing, exactly where x is not finite
  lower: (onnx, { x }) => [test(onnx, "Equal", onnx.map("Sub", [x, x]), onnx.scalar(0, x.dtype))],
  host: ({ x }) => [testFloat(x, Number.isFinite)],
});

/** Whether x is neither NaN nor ±∞. Named "IsFinite". */
export const isFinite_ = (x: Output, name = "IsFinite"): Output => x.graph.add(IsFinite, [x], { name });
