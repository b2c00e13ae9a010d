/** @file Running sums and products along an axis, and what of a list is not in another. */

import {
  type DType,
  getElement,
  normalizeAxis,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Input,
  type Operation,
  type Output,
  shapeTensor,
} from "../graph/index.ts";
import { pick } from "./kernels/pick.ts";
import { scan } from "./kernels/scan.ts";
import { mul } from "./operators.ts";
import { COMPLEX, FLOATS, INTS, QUANTIZED, UINTS } from "./signatures.ts";

const signature = {
  inputs: { x: "T", axis: "Tidx" },
  outputs: { out: "T" },
  attrs: {
    exclusive: attr.bool({ default: false }),
    reverse: attr.bool({ default: false }),
    T: attr.type(...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED),
    Tidx: attr.typeOr("int32", "int32", "int64"),
  },
} as const;

/** @throws VarscopeError INVALID_ARGUMENT - out of range, as TensorFlow's kernel says it */
function axisOf(axis: Tensor, rank: number): number {
  const at = toNumbers(axis)[0]!;
  if (at >= -rank && at < rank) return normalizeAxis(at, rank);
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `ScanOp: Expected scan axis in the range [${-rank}, ${rank}), but got ${at}`,
  );
}

const SCANNED: ReadonlySet<DType> = new Set(["float32", "float64", "float16", "int32", "int64"] as const);

/** Running sum along `axis`. @see TensorFlow core/ops/math_ops.cc "Cumsum"; python/ops/math_grad.py "_CumsumGrad" */
export const Cumsum = defineOp("Cumsum", {
  ...signature,
  infer: ({ x }) => [{ shape: x.shape }],
  grad: (g, op, [dy], { exclusive, reverse }) => [
    running(g, "Cumsum", dy!, op.inputs[1]!, exclusive, !reverse),
    null,
  ],
  lower: (onnx, { x, axis }, { exclusive, reverse }) => [
    onnx.add(
      "CumSum",
      [x, axis],
      { exclusive: exclusive ? 1 : 0, reverse: reverse ? 1 : 0 },
      { shape: x.shape },
    ),
  ],
  lowers: ({ T }, { x, axis }) =>
    SCANNED.has(T) && x.shape !== null && x.shape.length > 0 && axis.value !== null,
  host: ({ x, axis }, attrs) => [scan(x, axisOf(axis, x.shape.length), attrs, "sum")],
});

const running = (
  g: Graph,
  type: string,
  x: Output,
  axis: Output,
  exclusive: boolean,
  reverse: boolean,
): Output => g.add(type, [x, axis], { attrs: { exclusive, reverse } });

function cumprodGrad(g: Graph, op: Operation, dy: Output, exclusive: boolean, reverse: boolean): Output {
  const [x, axis] = op.inputs as [Output, Output];
  const product = running(g, "Cumprod", x, axis, exclusive, reverse);
  const sum = running(g, "Cumsum", mul(product, dy), axis, exclusive, !reverse);
  return g.add("DivNoNan", [sum, x], { name: "div_no_nan" });
}

/** Running product along `axis`. @see TensorFlow core/ops/math_ops.cc "Cumprod"; python/ops/math_grad.py "_CumprodGrad" */
export const Cumprod = defineOp("Cumprod", {
  ...signature,
  infer: ({ x }) => [{ shape: x.shape }],
  grad: (g, op, [dy], { exclusive, reverse }) => [cumprodGrad(g, op, dy!, exclusive, reverse), null],
  lower: absent("ONNX has no running product"),
  host: ({ x, axis }, attrs) => [scan(x, axisOf(axis, x.shape.length), attrs, "product")],
});

export interface ScanOptions {
  /** 0 */
  readonly axis?: Input;
  /** each element leaves itself out: false */
  readonly exclusive?: boolean;
  /** from the end: false */
  readonly reverse?: boolean;
  readonly name?: string;
}

const scanner =
  (type: string) =>
  (x: Output, options: ScanOptions = {}): Output => {
    const { axis = 0, exclusive = false, reverse = false, name = type } = options;
    return x.graph.add(type, [x, axis], { name, attrs: { exclusive, reverse } });
  };

/** Running sum of `x` along an axis. Named "Cumsum", axis "Cumsum/axis". */
export const cumsum = scanner("Cumsum");
/** Running product of `x` along an axis. Named "Cumprod", axis "Cumprod/axis". */
export const cumprod = scanner("Cumprod");

/** A number, bigint, boolean or text that equals another exactly when the elements do. */
function keyOf(t: Tensor, i: number): unknown {
  const e = getElement(t, i);
  return typeof e === "object" ? String(e) : e;
}

/** The elements of x that are not in y, in order and with repeats, and where they stand. @see TensorFlow core/ops/array_ops.cc "ListDiff" */
export const ListDiff = defineOp("ListDiff", {
  inputs: { x: "T", y: "T" },
  outputs: { out: "T", idx: "out_idx" },
  attrs: { T: attr.type(), out_idx: attr.typeOr("int32", "int32", "int64") },
  infer: ({ x, y }) => {
    for (const { shape } of [x, y]) {
      if (shape !== null && shape.length !== 1) {
        throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 1 but is rank ${shape.length}`);
      }
    }
    return [{ shape: [null] }, { shape: [null] }];
  },
  grad: () => [null, null],
  lower: absent("the size of the result depends on values"),
  host: ({ x, y }, { out_idx }) => {
    for (const [name, t] of Object.entries({ x, y })) {
      if (t.shape.length !== 1) throw new VarscopeError("INVALID_ARGUMENT", `${name} should be a 1D vector.`);
    }
    const gone = new Set(Array.from({ length: y.shape[0]! }, (_, i) => keyOf(y, i)));
    const left = Array.from({ length: x.shape[0]! }, (_, i) => i).filter((i) => !gone.has(keyOf(x, i)));
    return [pick(x, [left.length], left), shapeTensor(left, out_idx as "int32" | "int64")];
  },
});

/** The elements of `x` that are not in `y`, and their indices. Named "ListDiff". */
export function setdiff1d(
  x: Output,
  y: Input,
  name = "ListDiff",
): { readonly out: Output; readonly idx: Output } {
  const op = x.graph.addOp(ListDiff, [x, y], { name });
  return { out: op.output(0), idx: op.output(1) };
}
