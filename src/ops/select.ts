/** @file Choosing by conditions: Where, Select, SelectV2. */

import {
  broadcastShapes,
  type DType,
  fromData,
  getElement,
  mergeShapes,
  type Shape,
  setElement,
  sizeOf,
  stridesOf,
  type Tensor,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import { attr, defineOp, type Input, type Onnx, type OnnxValue, type Output } from "../graph/index.ts";
import { broadcastTo } from "./kernels/pick.ts";
import { outShape } from "./onnx-facts.ts";
import { reduceGradient } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { NUMBER_TYPES } from "./signatures.ts";

const isTrue = (x: ReturnType<typeof getElement>): boolean =>
  Array.isArray(x) ? x[0] !== 0 || x[1] !== 0 : typeof x === "bigint" ? x !== 0n : Number(x) !== 0;

/** Coordinates of the true (not zero) elements, row by row. @see TensorFlow core/ops/array_ops.cc "Where" */
export const Where = defineOp("Where", {
  inputs: { input: "T" },
  outputs: { index: "int64" },
  attrs: {
    T: attr.typeOr("bool", ...NUMBER_TYPES, "bool"),
  },
  infer: ({ input }) => [{ shape: [null, input.shape?.length ?? null] }],
  grad: () => [null],
  lower: (onnx, { input }) => {
    const rank = input.shape!.length;
    const found = onnx.add("NonZero", [input], {}, { dtype: "int64", shape: [rank, null] });
    return [onnx.transpose(found, [1, 0])];
  },
  // A scalar is an error in TF, and one row in ONNX.
  lowers: ({ T }, { input }) =>
    ["bool", "float32", "int32", "int64", "uint8"].includes(T) && (input.shape?.length ?? 0) > 0,
  host: ({ input }) => {
    if (input.shape.length === 0) throw invalid("WhereOp : Unhandled input dimensions: 0");
    const strides = stridesOf(input.shape);
    const out: bigint[] = [];
    const size = sizeOf(input.shape);
    let count = 0;
    for (let i = 0; i < size; i++) {
      if (!isTrue(getElement(input, i))) continue;
      count++;
      strides.forEach((step, axis) => {
        out.push(BigInt(Math.floor(i / step) % input.shape[axis]!));
      });
    }
    return [fromData("int64", [count, input.shape.length], BigInt64Array.from(out))];
  },
});

function choose(condition: Tensor, t: Tensor, e: Tensor, shape: readonly number[]): Tensor {
  const out = zeros(t.dtype, shape);
  const [c, a, b] = [condition, t, e].map((x) => broadcastTo(x, shape)) as [Tensor, Tensor, Tensor];
  const size = sizeOf(shape);
  for (let i = 0; i < size; i++) setElement(out, i, getElement(c.data[i] === 0 ? b : a, i));
  return out;
}

/** Dtypes that ONNX Runtime's Where takes on the CPU. */
const SELECTABLE = new Set<DType>(["float32", "float64", "int32", "int64", "uint8"]);

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** The condition must be a scalar, a vector of rows, or of the shape of the values. */
function selectShape(condition: Shape | null, t: Shape | null, e: Shape | null): Shape | null {
  const shape = mergeShapes(t, e);
  if (condition === null || shape === null || condition.length === 0) return shape;
  if (condition.length === 1 && shape.length > 1) {
    mergeShapes(condition, shape.slice(0, 1));
    return shape;
  }
  if (condition.length !== shape.length) {
    throw invalid(
      `Shapes must be equal rank, but are ${condition.length} and ${shape.length}: condition and values`,
    );
  }
  return mergeShapes(shape, condition);
}

/** condition as a column, where it has one element for each row. */
function asColumn(onnx: Onnx, condition: OnnxValue, rank: number): OnnxValue {
  const rows = condition.shape!;
  if (rows.length !== 1 || rank <= 1) return condition;
  return onnx.reshape(condition, [rows[0]!, ...new Array<number>(rank - 1).fill(1)]);
}

/** t where the condition holds, else e; a vector condition chooses rows. @see TensorFlow core/ops/math_ops.cc "Select" */
export const Select = defineOp("Select", {
  inputs: { condition: "bool", t: "T", e: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type() },
  infer: ({ condition, t, e }) => [{ shape: selectShape(condition.shape, t.shape, e.shape) }],
  grad: (g, op, [dy]) => {
    const [c, x] = op.inputs as [Output, Output];
    const zero = pieces.zerosLike(x);
    return [null, g.add("Select", [c, dy!, zero]), g.add("Select", [c, zero, dy!])];
  },
  lower: (onnx, inputs, { T }, op) => {
    const shape = outShape(op, inputs);
    const rank = shape?.length ?? inputs.t.shape!.length;
    const condition = asColumn(onnx, inputs.condition, rank);
    return [onnx.add("Where", [condition, inputs.t, inputs.e], {}, { dtype: T, shape })];
  },
  lowers: ({ T }, { condition, t }) => SELECTABLE.has(T) && condition.shape !== null && t.shape !== null,
  host: ({ condition, t, e }) => {
    const shape = selectShape(condition.shape, t.shape, e.shape) as number[];
    const column = condition.shape.length === 1 && shape.length > 1;
    const dims = column
      ? [condition.shape[0]!, ...new Array<number>(shape.length - 1).fill(1)]
      : condition.shape;
    return [choose(fromData("bool", dims, condition.data), t, e, shape)];
  },
});

/** t where the condition holds, else e, all broadcast. @see TensorFlow core/ops/math_ops.cc "SelectV2" */
export const SelectV2 = defineOp("SelectV2", {
  inputs: { condition: "bool", t: "T", e: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type() },
  infer: ({ condition, t, e }) => [
    { shape: broadcastShapes(condition.shape, broadcastShapes(t.shape, e.shape)) },
  ],
  grad: (g, op, [dy]) => {
    const [c, x, y] = op.inputs as [Output, Output, Output];
    const z = op.output(0);
    const zero = pieces.zeros(g, [], { dtype: dy!.dtype });
    const gx = g.add("SelectV2", [c, dy!, zero]);
    const gy = g.add("SelectV2", [c, zero, dy!]);
    const dx = reduceGradient(x, z, gx);
    return [null, dx, reduceGradient(y, z, gy)];
  },
  lower: (onnx, { condition, t, e }, { T }) => [onnx.map("Where", [condition, t, e], {}, { dtype: T })],
  lowers: ({ T }) => SELECTABLE.has(T),
  host: ({ condition, t, e }) => {
    const shape = broadcastShapes(condition.shape, broadcastShapes(t.shape, e.shape)) as number[];
    return [choose(condition, t, e, shape)];
  },
});

/** Coordinates of the true elements of `condition`, int64 [count, rank]; or `x` where it holds, else `y`. Named "Where", "SelectV2". */
export function where(condition: Output, x?: Input, y?: Input, name?: string): Output {
  const g = condition.graph;
  if (x === undefined && y === undefined) return g.add(Where, [condition], { name });
  if (x === undefined || y === undefined) throw invalid("x and y must both be non-None or both be None");
  return g.add(SelectV2, [condition, x, y], { name });
}
