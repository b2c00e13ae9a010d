/** @file Comparisons and logic: bool results. Inputs broadcast. */

import {
  broadcastShapes,
  type DType,
  formatShape,
  isComplex,
  isVarscopeError,
  sameShape,
  scalar,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { broadcastIndex, broadcastOf, mapBinary } from "./kernels/elementwise.ts";
import { graphOf } from "./operators.ts";
import {
  binary,
  broadcasting,
  COMPLEX,
  FLOATS,
  INTS,
  merged,
  ort,
  QUANTIZED,
  test,
  UINTS,
} from "./signatures.ts";

interface Pair<X> {
  readonly x: X;
  readonly y: X;
}

const ordering = { ...binary(...FLOATS, ...INTS, ...UINTS), outputs: { z: "bool" } } as const;

/** A host kernel of a comparison, which JavaScript has for numbers and bigints alike. */
const compare =
  (holds: (x: number | bigint, y: number | bigint) => boolean) =>
  ({ x, y }: Pair<Tensor>): readonly Tensor[] => [
    mapBinary(x, y, { float: holds, int: holds, big: holds }, "bool"),
  ];

const lowerTest =
  (type: string) =>
  (onnx: Onnx, { x, y }: Pair<OnnxValue>): readonly OnnxValue[] => [test(onnx, type, x, y)];

/** x < y. @see TensorFlow core/ops/math_ops.cc "Less" */
export const Less = defineOp("Less", {
  ...ordering,
  grad: () => [null, null],
  lower: lowerTest("Less"),
  lowers: ort.numbers,
  host: compare((x, y) => x < y),
});

/** x < y. Named "Less". */
export const less = (x: Input, y: Input, name = "Less"): Output => graphOf(x, y).add(Less, [x, y], { name });

/** x <= y. @see TensorFlow core/ops/math_ops.cc "LessEqual" */
export const LessEqual = defineOp("LessEqual", {
  ...ordering,
  grad: () => [null, null],
  lower: lowerTest("LessOrEqual"),
  lowers: ort.numbers,
  host: compare((x, y) => x <= y),
});

/** x <= y. Named "LessEqual". */
export const lessEqual = (x: Input, y: Input, name = "LessEqual"): Output =>
  graphOf(x, y).add(LessEqual, [x, y], { name });

/** x > y. @see TensorFlow core/ops/math_ops.cc "Greater" */
export const Greater = defineOp("Greater", {
  ...ordering,
  grad: () => [null, null],
  lower: lowerTest("Greater"),
  lowers: ort.numbers,
  host: compare((x, y) => x > y),
});

/** x > y. Named "Greater". */
export const greater = (x: Input, y: Input, name = "Greater"): Output =>
  graphOf(x, y).add(Greater, [x, y], { name });

/** x >= y. @see TensorFlow core/ops/math_ops.cc "GreaterEqual" */
export const GreaterEqual = defineOp("GreaterEqual", {
  ...ordering,
  grad: () => [null, null],
  lower: lowerTest("GreaterOrEqual"),
  lowers: ort.numbers,
  host: compare((x, y) => x >= y),
});

/** x >= y. Named "GreaterEqual". */
export const greaterEqual = (x: Input, y: Input, name = "GreaterEqual"): Output =>
  graphOf(x, y).add(GreaterEqual, [x, y], { name });

type EqualAttrs = { readonly T: DType; readonly incompatible_shape_error: boolean };

const fits = (x: Spec["shape"], y: Spec["shape"]): boolean => {
  try {
    broadcastShapes(x, y);
    return true;
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    return false;
  }
};

/** Shape of Equal without shape errors: a scalar where a pair of dims is known not to fit, unknown where it may not. */
function lenientShape(x: Spec["shape"], y: Spec["shape"]): Spec["shape"] {
  if (x === null || y === null) return null;
  const rank = Math.max(x.length, y.length);
  const dims: (number | null)[] = [];
  for (let i = 0; i < rank; i++) {
    const a = i < rank - x.length ? 1 : x[i - rank + x.length]!;
    const b = i < rank - y.length ? 1 : y[i - rank + y.length]!;
    if (a !== null && b !== null && a !== b && a !== 1 && b !== 1) return [];
    if ((a === null && b !== null && b > 1) || (b === null && a !== null && a > 1)) return null;
    dims.push(a === 1 ? b : b === 1 ? a : a === b ? a : null);
  }
  return dims;
}

const equality = {
  inputs: { x: "T", y: "T" },
  outputs: { z: "bool" },
  attrs: { T: attr.type(), incompatible_shape_error: attr.bool({ default: true }) },
  infer: (pair: Pair<Spec>, attrs: EqualAttrs) =>
    attrs.incompatible_shape_error
      ? broadcasting(pair)
      : [{ shape: lenientShape(pair.x.shape, pair.y.shape) }],
  // Shapes that do not fit make one bool: not known before the run
  lowers: ({ T, incompatible_shape_error }: EqualAttrs): boolean =>
    incompatible_shape_error && (T === "bool" || ort.numbers({ T })),
} as const;

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((v, i) => v === b[i]);

/** Whether elements are equal: numbers by value, strings by bytes. */
function equalElements(x: Tensor, y: Tensor): Tensor {
  const same = (a: unknown, b: unknown): boolean => a === b;
  if (x.dtype !== "string" && !isComplex(x.dtype))
    return mapBinary(x, y, { float: same, int: same, big: same }, "bool");
  const shape = broadcastOf(x, y);
  const [p, q] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const [a, b] = [x.data as readonly unknown[], y.data as readonly unknown[]];
  const equal =
    x.dtype === "string"
      ? (i: number, j: number) => sameBytes(a[i] as Uint8Array, b[j] as Uint8Array)
      : (i: number, j: number) => a[2 * i] === b[2 * j] && a[2 * i + 1] === b[2 * j + 1];
  return { dtype: "bool", shape, data: Uint8Array.from(p, (i, at) => Number(equal(i, q[at]!))) };
}

const invert = (t: Tensor): Tensor => ({ ...t, data: Uint8Array.from(t.data as Uint8Array, (v) => 1 - v) });

/** Whether x = y; without `incompatible_shape_error` false for shapes that do not fit. @see TensorFlow core/ops/math_ops.cc "Equal" */
export const Equal = defineOp("Equal", {
  ...equality,
  grad: () => [null, null],
  lower: lowerTest("Equal"),
  host: ({ x, y }, { incompatible_shape_error }) =>
    !incompatible_shape_error && !fits(x.shape, y.shape) ? [scalar(false)] : [equalElements(x, y)],
});

/** Whether x = y. Named "Equal". */
export const equal = (x: Input, y: Input, name = "Equal"): Output =>
  graphOf(x, y).add(Equal, [x, y], { name });

/** Whether x ≠ y; without `incompatible_shape_error` true for shapes that do not fit. @see TensorFlow core/ops/math_ops.cc "NotEqual" */
export const NotEqual = defineOp("NotEqual", {
  ...equality,
  grad: () => [null, null],
  lower: (onnx, { x, y }) => [test(onnx, "Not", test(onnx, "Equal", x, y))],
  host: ({ x, y }, { incompatible_shape_error }) =>
    !incompatible_shape_error && !fits(x.shape, y.shape) ? [scalar(true)] : [invert(equalElements(x, y))],
});

/** Whether x ≠ y. Named "NotEqual". */
export const notEqual = (x: Input, y: Input, name = "NotEqual"): Output =>
  graphOf(x, y).add(NotEqual, [x, y], { name });

const difference = (tolerance: number) => ({
  float: (x: number, y: number) => Math.abs(x - y) < tolerance,
  int: (x: number, y: number) => Math.abs(x - y) < Math.trunc(tolerance),
  big: (x: bigint, y: bigint) => (x > y ? x - y : y - x) < BigInt(Math.trunc(tolerance)),
});

/** Whether |x - y| < tolerance. @see TensorFlow core/ops/math_ops.cc "ApproximateEqual" */
export const ApproximateEqual = defineOp("ApproximateEqual", {
  inputs: { x: "T", y: "T" },
  outputs: { z: "bool" },
  attrs: {
    T: attr.type(...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED),
    tolerance: attr.float({ default: 1e-5 }),
  },
  infer: ({ x, y }) => {
    merged(x, y);
    return [{ shape: x.shape }];
  },
  grad: () => [null, null],
  lower: (onnx, { x, y }, { tolerance }) => {
    const distance = onnx.map("Abs", [onnx.map("Sub", [x, y])]);
    return [test(onnx, "Less", distance, onnx.scalar(tolerance, x.dtype))];
  },
  lowers: ort.floats,
  host: ({ x, y }, { tolerance }) => {
    if (sameShape(x.shape, y.shape)) return [mapBinary(x, y, difference(Math.fround(tolerance)), "bool")];
    const what = `x and y must be of the same shape. x shape: ${formatShape(x.shape)}. y shape: ${formatShape(y.shape)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  },
});

/** Whether |x - y| < tolerance. Named "ApproximateEqual". */
export const approximateEqual = (
  x: Input,
  y: Input,
  options: { readonly tolerance?: number; readonly name?: string } = {},
): Output =>
  graphOf(x, y).add(ApproximateEqual, [x, y], {
    name: options.name ?? "ApproximateEqual",
    attrs: { tolerance: options.tolerance ?? 1e-5 },
  });

const logic = { inputs: { x: "bool", y: "bool" }, outputs: { z: "bool" }, infer: broadcasting } as const;

/** @see TensorFlow core/ops/math_ops.cc "LogicalAnd" */
export const LogicalAnd = defineOp("LogicalAnd", {
  ...logic,
  grad: () => [null, null],
  lower: lowerTest("And"),
  host: ({ x, y }) => [mapBinary(x, y, { int: (a, b) => a & b })],
});

/** x and y. Named "LogicalAnd". */
export const logicalAnd = (x: Input, y: Input, name = "LogicalAnd"): Output =>
  graphOf(x, y).add(LogicalAnd, [x, y], { name });

/** @see TensorFlow core/ops/math_ops.cc "LogicalOr" */
export const LogicalOr = defineOp("LogicalOr", {
  ...logic,
  grad: () => [null, null],
  lower: lowerTest("Or"),
  host: ({ x, y }) => [mapBinary(x, y, { int: (a, b) => a | b })],
});

/** x or y. Named "LogicalOr". */
export const logicalOr = (x: Input, y: Input, name = "LogicalOr"): Output =>
  graphOf(x, y).add(LogicalOr, [x, y], { name });

/** @see TensorFlow core/ops/math_ops.cc "LogicalNot" */
export const LogicalNot = defineOp("LogicalNot", {
  inputs: { x: "bool" },
  outputs: { y: "bool" },
  infer: ({ x }) => [{ shape: x.shape }],
  grad: () => [null],
  lower: (onnx, { x }) => [test(onnx, "Not", x)],
  host: ({ x }) => [invert(x)],
});

/** not x. Named "LogicalNot". */
export const logicalNot = (x: Input, name = "LogicalNot"): Output =>
  graphOf(x).add(LogicalNot, [x], { name });

/** x xor y, as (x or y) and not (x and y). Named "LogicalXor". @see TensorFlow python/ops/math_ops.py "logical_xor" */
export function logicalXor(x: Output, y: Output, name = "LogicalXor"): Output {
  const either = logicalOr(x, y);
  return logicalAnd(either, logicalNot(logicalAnd(x, y)), name);
}
