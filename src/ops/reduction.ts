/**
 * @file What reductions share: axes and shapes, TensorFlow's sub-graph for the shape with kept dims, and the choice of ONNX nodes. Start at
 * `reducedShapes` and `lowerSum`.
 */

import {
  type DType,
  isStatic,
  type Shape,
  sizeOf,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  constantValue,
  type Graph,
  type Inferred,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
  shapeTensor,
} from "../graph/index.ts";
import { shapeWithout } from "./kernels/reduce.ts";
import { add } from "./operators.ts";
import * as pieces from "./pieces.ts";

/** Axes from 0, each once. @throws VarscopeError INVALID_ARGUMENT - out of range */
export function axesOf(axes: Tensor, rank: number): number[] {
  const list = toNumbers(axes).map((axis) => {
    if (axis < -rank || axis >= rank) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Invalid reduction dimension ${axis} for input with ${rank} dimensions.`,
        { hint: `axes are in [${-rank}, ${rank})` },
      );
    }
    return axis < 0 ? axis + rank : axis;
  });
  return [...new Set(list)].sort((a, b) => a - b);
}

/** Axes for a kernel, which takes each only once. @throws VarscopeError INVALID_ARGUMENT - out of range, or named twice */
export function kernelAxes(axes: Tensor, rank: number): number[] {
  const list = axesOf(axes, rank);
  if (list.length === sizeOf(axes.shape)) return list;
  const all = toNumbers(axes).map((axis) => (axis < 0 ? axis + rank : axis));
  const twice = all.find((axis, i) => all.indexOf(axis) !== i)!;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Invalid reduction arguments: Axes contains duplicate dimension: ${twice}`,
  );
}

/** Shape of a reduction's result. @see TensorFlow core/framework/common_shape_fns.cc "ReductionShape" */
export function reducedShapes(input: Spec, axes: Spec, keepDims: boolean): readonly Inferred[] {
  const { shape } = input;
  if (shape === null) return [{ shape: null }];
  if (axes.value === null) return [{ shape: keepDims ? shape.map(() => null) : null }];
  return [{ shape: shapeWithout(shape, axesOf(axes.value, shape.length), keepDims) }];
}

const FOLDED = new Set(
  "Const Shape Size Rank Range Cast Concat ConcatV2 Pack Unpack Split Fill Equal NotEqual StopGradient Identity".split(
    " ",
  ),
);

/**
 * The value that TensorFlow's Python finds without running anything: of fewer ops than shape inference folds. Gradient functions decide by it.
 *
 * @see TensorFlow python/framework/tensor_util.py "constant_value"
 */
export function pythonConstant(x: Output): Tensor | null {
  const found =
    FOLDED.has(x.op.type) &&
    (x.op.def?.measures === true || x.op.inputs.every((input) => pythonConstant(input) !== null));
  return found ? constantValue(x) : null;
}

/**
 * The shape that a reduction has with kept dims: a Const to come where all is known, else the ops that compute it.
 *
 * @see TensorFlow python/ops/math_ops.py "reduced_shape"
 */
export function reducedShape(
  g: Graph,
  inputShape: Output,
  axes: Output | readonly number[],
): readonly number[] | Output {
  const known = pythonConstant(inputShape);
  const knownAxes = isOutput(axes) ? pythonConstant(axes) : shapeTensor(axes);
  if (known !== null && knownAxes !== null) {
    const dims = toNumbers(known);
    for (const axis of toNumbers(knownAxes)) dims[axis < 0 ? axis + dims.length : axis] = 1;
    return dims;
  }
  const reduced = isOutput(axes) ? axes : g.constant([...axes], { dtype: "int32" });
  const rank = pieces.size(inputShape, { outType: reduced.dtype as "int32" });
  const positive = g.add("FloorMod", [add(reduced, rank), rank], { name: "mod" });
  const count = pieces.shape(positive);
  const all = pieces.range(g, 0, rank);
  const ones = pieces.ones(g, count, { dtype: inputShape.dtype });
  return g.add("DynamicStitch", [
    [all, positive],
    [inputShape, ones],
  ]);
}

const isOutput = (x: unknown): x is Output => pieces.isOutput(x);

const FLOATS: ReadonlySet<DType> = new Set(["float32", "float64", "float16"] as const);
/** Dtypes that ONNX Runtime's maxima take. */
const ORDERED: ReadonlySet<DType> = new Set([...FLOATS, "int8", "uint8", "int32", "int64"] as const);

/** ONNX Runtime reduces integers in double, and does not wrap: only floats go that way. */
export const summable = (dtype: DType): boolean => FLOATS.has(dtype);
export const ordered = (dtype: DType): boolean => ORDERED.has(dtype);

/** Whether `lowerSum` can do it: integers as a product, for which all sizes must be known. */
export function lowersSum(dtype: DType, input: Spec, axes: Spec): boolean {
  if (summable(dtype)) return true;
  const known = isStatic(input.shape) && !input.shape.includes(0) && axes.value !== null;
  return (dtype === "int32" || dtype === "int64") && known;
}

/** Axes of a value in a plan: constants as numbers, others as an int64 vector. */
function planAxes(onnx: Onnx, x: OnnxValue, axes: OnnxValue): readonly number[] | OnnxValue {
  if (axes.constant !== null && x.shape !== null) return kernelAxes(axes.constant, x.shape.length);
  return onnx.reshape(onnx.cast(axes, "int64"), [null]);
}

/** One ONNX reduction. @param shape - of the result, as far as known */
export function lowerReduce(
  onnx: Onnx,
  type: string,
  x: OnnxValue,
  axes: OnnxValue,
  keepDims: boolean,
  shape: Shape | null,
): OnnxValue {
  const list = planAxes(onnx, x, axes);
  if (Array.isArray(list) && list.length === 0 && type !== "ReduceL2") return x;
  const input = Array.isArray(list) ? onnx.ints(list) : (list as OnnxValue);
  return onnx.add(type, [x, input], { keepdims: keepDims ? 1 : 0, noop_with_empty_axes: 1 }, { shape });
}

/**
 * A sum or mean over `axes`. Sums over the leading axes are a product with a vector, since ONNX Runtime's ReduceSum over the rows of a
 * matrix takes some fifty times as long; images reduce in their own layout.
 */
export function lowerSum(
  onnx: Onnx,
  kind: "Sum" | "Mean",
  x: OnnxValue,
  axes: OnnxValue,
  keepDims: boolean,
  shape: Shape | null,
): OnnxValue {
  const list = planAxes(onnx, x, axes);
  if (Array.isArray(list) && !summable(x.dtype)) return integerSum(onnx, x, list, shape);
  if (Array.isArray(list) && x.dtype !== "float16") {
    const quick = reducedImage(onnx, kind, x, list, keepDims) ?? leadingSum(onnx, kind, x, list, shape);
    if (quick !== null) return quick;
  }
  return lowerReduce(onnx, `Reduce${kind}`, x, axes, keepDims, shape);
}

function reducedImage(
  onnx: Onnx,
  kind: "Sum" | "Mean",
  x: OnnxValue,
  axes: readonly number[],
  keepDims: boolean,
): OnnxValue | null {
  if (x.layout === "plain" || x.shape?.length !== 4) return null;
  const whole = onnx.nn.reduceImage(kind, x, axes, keepDims);
  if (whole !== null) return whole;
  const format = axes.join() === "0,1,2" ? "NHWC" : axes.join() === "0,2,3" ? "NCHW" : null;
  if (format === null) return null;
  const channel = format === "NHWC" ? 3 : 1;
  const size = isStatic(x.shape) ? sizeOf(axes.map((axis) => x.shape![axis]!)) : null;
  if (x.shape[channel] === null || (kind === "Mean" && size === null)) return null;
  const sums = onnx.nn.biasGrad(x, format);
  const result = kind === "Sum" ? sums : onnx.map("Mul", [sums, onnx.scalar(1 / size!, x.dtype)]);
  return keepDims ? onnx.reshape(result, shapeWithout(x.shape, axes, true)) : result;
}

/** Products wrap as TensorFlow's sums do. */
function integerSum(onnx: Onnx, x: OnnxValue, axes: readonly number[], shape: Shape | null): OnnxValue {
  const dims = x.shape as readonly number[];
  const kept = [...dims.keys()].filter((axis) => !axes.includes(axis));
  const rows = sizeOf(axes.map((axis) => dims[axis]!));
  const leading = onnx.transpose(x, [...axes, ...kept]);
  const matrix = onnx.reshape(leading, [rows, sizeOf(kept.map((axis) => dims[axis]!))]);
  return onnx.reshape(sumRows(onnx, matrix, rows, 1), shape!);
}

/** [1, rows] of one value, times the rows. */
function leadingSum(
  onnx: Onnx,
  kind: "Sum" | "Mean",
  x: OnnxValue,
  axes: readonly number[],
  shape: Shape | null,
): OnnxValue | null {
  const k = axes.length;
  if (x.shape === null || k === 0 || k === x.shape.length || axes.some((axis, i) => axis !== i)) return null;
  const [leading, tail] = [x.shape.slice(0, k), x.shape.slice(k)];
  if (!isStatic(leading) || shape === null || tail.filter((d) => d === null).length > 1) return null;
  const rows = sizeOf(leading);
  if (rows === 0 || tail.includes(0)) return null;
  if (rows === 1) return onnx.reshape(x, shape);
  return onnx.reshape(
    sumRows(onnx, onnx.reshape(x, [rows, sizeOrNull(tail)]), rows, kind === "Sum" ? 1 : 1 / rows),
    shape,
  );
}

const sizeOrNull = (dims: Shape): number | null => (isStatic(dims) ? sizeOf(dims) : null);

/** Sum of the rows of a matrix, each times `weight`. @returns [1, columns] */
export function sumRows(onnx: Onnx, x: OnnxValue, rows: number, weight: number): OnnxValue {
  const value = tensor([weight], x.dtype, [1]);
  const ones = onnx.add(
    "ConstantOfShape",
    [onnx.ints([1, rows])],
    { value: { tensor: value } },
    { dtype: x.dtype, shape: [1, rows] },
  );
  return onnx.add("MatMul", [ones, x], {}, { dtype: x.dtype, shape: [1, x.shape![1]!] });
}
