/** @file Products and quotients in which a factor of 0 wins over NaN: xlogy, xlog1py, xdivy. Inputs broadcast. */

import type { Tensor } from "../base/index.ts";
import {
  defineOp,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
} from "../graph/index.ts";
import { cdiv, clog, clog1p, cmul, isZero } from "./kernels/complex.ts";
import { type Complex, mapBinary } from "./kernels/elementwise.ts";
import { add, after, apply, graphOf, mul, sumTo } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { binary, COMPLEX, FLOATS, log1p, ort, test, where } from "./signatures.ts";

/** 0 where x is 0, else f(x, y). */
const guarded =
  (float: (x: number, y: number) => number, complex: (x: Complex, y: Complex) => Complex) =>
  ({ x, y }: { readonly x: Tensor; readonly y: Tensor }): readonly Tensor[] => [
    mapBinary(x, y, {
      float: (a, b) => (a === 0 ? 0 : float(a, b)),
      complex: (a, b) => (isZero(a) ? [0, 0] : complex(a, b)),
    }),
  ];

const zeroWhereX = (onnx: Onnx, x: OnnxValue, value: OnnxValue): OnnxValue => {
  const zero = onnx.scalar(0, x.dtype);
  return where(onnx, test(onnx, "Equal", x, zero), zero, value);
};

/** The gradients that the three share. @param byX - the partial derivative to x, of (x ≠ 0, y) @param byY - to y */
const guardedGrad =
  (byX: (mask: Output, y: Output) => Output, byY: (x: Output, y: Output) => Output) =>
  (g: Graph, op: Operation, dys: readonly Output[]): readonly Output[] => {
    const [x, y] = op.inputs as [Output, Output];
    const dy = dys[0]!;
    const [sx, sy] = [pieces.shape(x), pieces.shape(y)];
    const [rx, ry] = g.addOp("BroadcastGradientArgs", [sx, sy]).outputs;
    return after(dy, () => {
      const zero = castConstant(g, x);
      const mask = pieces.cast(apply("NotEqual", x, zero), x.dtype);
      const partialX = byX(mask, y);
      const partialY = byY(x, y);
      const gx = sumTo(mul(partialX, dy), rx!, sx);
      return [gx, sumTo(mul(partialY, dy), ry!, sy)];
    });
  };

/** 0 as TensorFlow Python casts a literal: Const "Cast/x", and a Cast unless float32 is wanted. */
function castConstant(g: Graph, like: Output): Output {
  return g.nameScope("Cast", (scope) => {
    const zero = g.constant(0, { dtype: "float32", name: "x" });
    return like.dtype === "float32" ? zero : pieces.cast(zero, like.dtype, scope);
  });
}

/** x · ln y, 0 where x is 0. @see TensorFlow core/ops/math_ops.cc "Xlogy"; python/ops/math_grad.py "_XLogyGrad" */
export const Xlogy = defineOp("Xlogy", {
  ...binary(...FLOATS, ...COMPLEX),
  grad: guardedGrad(
    (mask, y) => apply("Xlogy", mask, y),
    (x, y) => apply("Xdivy", x, y),
  ),
  lower: (onnx, { x, y }) => [zeroWhereX(onnx, x, onnx.map("Mul", [x, onnx.map("Log", [y])]))],
  lowers: ort.floats,
  host: guarded(
    (x, y) => x * Math.log(y),
    (x, y) => cmul(x, clog(y)),
  ),
});

/** x · ln y, 0 where x is 0. Named "Xlogy". */
export const xlogy = (x: Input, y: Input, name = "Xlogy"): Output =>
  graphOf(x, y).add(Xlogy, [x, y], { name });

/** x · ln(1 + y), 0 where x is 0. @see TensorFlow core/ops/math_ops.cc "Xlog1py"; python/ops/math_grad.py "_XLog1pyGrad" */
export const Xlog1py = defineOp("Xlog1py", {
  ...binary(...FLOATS, ...COMPLEX),
  grad: guardedGrad(
    (mask, y) => apply("Xlog1py", mask, y),
    (x, y) => apply("Xdivy", x, add(y, 1)),
  ),
  lower: (onnx, { x, y }) => [zeroWhereX(onnx, x, onnx.map("Mul", [x, log1p(onnx, y)]))],
  lowers: ort.floats,
  host: guarded(
    (x, y) => x * Math.log1p(y),
    (x, y) => cmul(x, clog1p(y)),
  ),
});

/** x · ln(1 + y), 0 where x is 0. Named "xlog1py/Xlog1py". */
export const xlog1py = (x: Input, y: Input, name = "xlog1py"): Output =>
  graphOf(x, y).nameScope(name, () => graphOf(x, y).add(Xlog1py, [x, y]));

/** x / y, 0 where x is 0. @see TensorFlow core/ops/math_ops.cc "Xdivy"; python/ops/math_grad.py "_XDivyGrad" */
export const Xdivy = defineOp("Xdivy", {
  ...binary(...FLOATS, ...COMPLEX),
  grad: guardedGrad(
    (mask, y) => apply("Xdivy", mask, y),
    (x, y) => apply("Xdivy", apply("Neg", x), y.graph.add("Pow", [y, 2], { name: "pow" })),
  ),
  lower: (onnx, { x, y }) => [zeroWhereX(onnx, x, onnx.map("Div", [x, y]))],
  lowers: ort.floats,
  host: guarded((x, y) => x / y, cdiv),
});

/** x / y, 0 where x is 0. Named "xdivy/Xdivy". */
export const xdivy = (x: Input, y: Input, name = "xdivy"): Output =>
  graphOf(x, y).nameScope(name, () => graphOf(x, y).add(Xdivy, [x, y]));
