/** @file Quotients, remainders, and products and quotients that take 0 for NaN. Inputs broadcast. Integer division by 0 is an error. */

import { type DType, getElement, isInteger, type Nested, sizeOf } from "../base/index.ts";
import {
  absent,
  defineOp,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  Output,
  type Spec,
} from "../graph/index.ts";
import { cdiv, cmul, isZero } from "./kernels/complex.ts";
import {
  floorQuotient,
  floorRemainder,
  intFloorRemainder,
  longFloorQuotient,
  longFloorRemainder,
  longQuotient,
  longRemainder,
  quotient,
  remainder,
} from "./kernels/integer.ts";
import {
  allSameShape,
  apply,
  conj,
  divNoNan,
  graphOf,
  mul,
  neg,
  reduceGradients,
  truediv,
} from "./operators.ts";
import * as pieces from "./pieces.ts";
import {
  binary,
  COMPLEX,
  FLOATS,
  hostBinary,
  INTS,
  lowerBinary,
  ort,
  test,
  UINTS,
  where,
} from "./signatures.ts";

const NUMBERS = [...FLOATS, ...UINTS, ...INTS] as const;

/** ONNX Runtime's integer division by 0 ends the process: integers only where the divisor is a constant without zeros. */
function dividesSafely({ T }: { readonly T: DType }, { y }: { readonly y: Spec }): boolean {
  if (!isInteger(T)) return ort.floats({ T });
  const divisor = y.value;
  return (
    divisor !== null &&
    ort.numbers({ T }) &&
    Array.from({ length: sizeOf(divisor.shape) }, (_, i) => Number(getElement(divisor, i))).every(
      (v) => v !== 0,
    )
  );
}

const realQuotient = (x: number, y: number): number => x / y;
const truncated = { float: realQuotient, int: quotient, big: longQuotient, complex: cdiv };

/** gx = dy / y; gy = dy · (-x / y / y), by the quotients of `divide`. */
const quotientGrad =
  (divide: (x: Output, y: Output) => Output) => (_g: Graph, op: Operation, dys: readonly Output[]) => {
    const [x, y] = op.inputs as [Output, Output];
    const [cx, cy] = [conj(x), conj(y)];
    const gx = divide(dys[0]!, cy);
    const gy = mul(dys[0]!, divide(divide(neg(cx), cy), cy));
    return reduceGradients(x, y, gx, gy);
  };

/** x / y; of integers toward zero. @see TensorFlow core/ops/math_ops.cc "Div"; python/ops/math_grad.py "_DivGrad" */
export const Div = defineOp("Div", {
  ...binary(...NUMBERS, ...COMPLEX),
  grad: quotientGrad((x, y) => truediv(x, y)),
  lower: lowerBinary("Div"),
  lowers: dividesSafely,
  host: hostBinary(truncated),
});

/** x / y. @see TensorFlow core/ops/math_ops.cc "RealDiv" */
export const RealDiv = defineOp("RealDiv", {
  ...binary(...NUMBERS, ...COMPLEX),
  grad: quotientGrad((x, y) => apply("RealDiv", x, y)),
  lower: lowerBinary("Div"),
  lowers: ort.floats,
  host: hostBinary({ float: realQuotient, complex: cdiv }), // TensorFlow has no kernel for integers
});

/** What integers are divided as. @see TensorFlow python/ops/math_ops.py _TRUEDIV_TABLE */
const QUOTIENT_TYPE: Partial<Record<DType, DType>> = {
  uint8: "float32",
  int8: "float32",
  uint16: "float32",
  int16: "float32",
  uint32: "float64",
  int32: "float64",
  uint64: "float64",
  int64: "float64",
};

/** x / y as Python 3 divides: integers as float32 (up to 16 bits) or float64. Named "truediv". */
export function divide(x: Input, y: Input, name = "truediv"): Output {
  const g = graphOf(x, y);
  const { dtype } = x instanceof Output ? x : (y as Output);
  const to = QUOTIENT_TYPE[dtype];
  if (to === undefined) return g.add(RealDiv, [x, y], { name });
  return g.nameScope(name, (scope) => {
    const tensorOf = (v: Input, label: string): Output =>
      v instanceof Output ? v : g.constant(v as Nested, { dtype, name: label });
    const [a, b] = [tensorOf(x, "x"), tensorOf(y, "y")];
    return g.add(RealDiv, [pieces.cast(a, to), pieces.cast(b, to)], { name: scope });
  });
}

/** Toward zero. @see TensorFlow core/ops/math_ops.cc "TruncateDiv" */
export const TruncateDiv = defineOp("TruncateDiv", {
  ...binary(...NUMBERS, ...COMPLEX),
  grad: () => [null, null],
  lower: lowerBinary("Div"),
  lowers: (attrs, inputs) => isInteger(attrs.T) && dividesSafely(attrs, inputs),
  host: hostBinary({ int: quotient, big: longQuotient }), // TensorFlow has no kernel for floats
});

/** ONNX's integer Mod has the divisor's sign, as Python's. */
const pythonMod = (onnx: Onnx, x: OnnxValue, y: OnnxValue): OnnxValue => {
  if (isInteger(x.dtype)) return onnx.map("Mod", [x, y], { fmod: 0 });
  const r = onnx.map("Mod", [x, y], { fmod: 1 });
  const zero = onnx.scalar(0, x.dtype);
  const signsDiffer = test(onnx, "Xor", test(onnx, "Less", r, zero), test(onnx, "Less", y, zero));
  const exact = test(onnx, "Equal", r, zero);
  const wrong = test(onnx, "And", signsDiffer, test(onnx, "Not", exact));
  return where(onnx, wrong, onnx.map("Add", [r, y]), r);
};

/** Toward -∞. @see TensorFlow core/ops/math_ops.cc "FloorDiv" */
export const FloorDiv = defineOp("FloorDiv", {
  ...binary(...NUMBERS, ...COMPLEX),
  grad: () => [null, null],
  lower: (onnx, { x, y }, { T }) => {
    if (!isInteger(T)) return [onnx.map("Floor", [onnx.map("Div", [x, y])])];
    return [onnx.map("Div", [onnx.map("Sub", [x, pythonMod(onnx, x, y)]), y])];
  },
  lowers: dividesSafely,
  host: hostBinary({ float: (x, y) => Math.floor(x / y), int: floorQuotient, big: longFloorQuotient }),
});

/** x / y toward -∞. Named "floordiv". */
export const floordiv = (x: Input, y: Input, name = "floordiv"): Output =>
  graphOf(x, y).add(FloorDiv, [x, y], { name });

/** x - y · ⌊x / y⌋. @see TensorFlow core/ops/math_ops.cc "FloorMod"; python/ops/math_grad.py "_FloorModGrad" */
export const FloorMod = defineOp("FloorMod", {
  ...binary(...INTS, ...UINTS, ...FLOATS),
  grad: (_, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    return reduceGradients(x, y, dy!, mul(dy!, neg(apply("FloorDiv", x, y))));
  },
  lower: (onnx, { x, y }) => [pythonMod(onnx, x, y)],
  lowers: dividesSafely,
  host: hostBinary({ float: floorRemainder, int: intFloorRemainder, big: longFloorRemainder }),
});

/** Remainder with the sign of y, as Python's `%`. Named "FloorMod". */
export const floormod = (x: Input, y: Input, name = "FloorMod"): Output =>
  graphOf(x, y).add(FloorMod, [x, y], { name });

const truncatedMod = { float: (x: number, y: number) => x % y, int: remainder, big: longRemainder };

/** Remainder with the sign of x, as C. @see TensorFlow core/ops/math_ops.cc "TruncateMod" */
export const TruncateMod = defineOp("TruncateMod", {
  ...binary("int32", "int64", ...FLOATS),
  grad: absent("TensorFlow registers none"),
  lower: (onnx, { x, y }) => [onnx.map("Mod", [x, y], { fmod: 1 })],
  lowers: dividesSafely,
  host: hostBinary(truncatedMod),
});

/** Remainder with the sign of x, as C. @see TensorFlow core/ops/math_ops.cc "Mod" */
export const Mod = defineOp("Mod", {
  ...binary("int32", "int64", ...FLOATS),
  grad: absent("TensorFlow registers none"),
  lower: (onnx, { x, y }) => [onnx.map("Mod", [x, y], { fmod: 1 })],
  lowers: dividesSafely,
  host: hostBinary(truncatedMod),
});

const isZeroValue = (onnx: Onnx, x: OnnxValue): OnnxValue => test(onnx, "Equal", x, onnx.scalar(0, x.dtype));
/** 0 where `guard` is 0, else `value`. */
const zeroWhere = (onnx: Onnx, guard: OnnxValue, value: OnnxValue): OnnxValue =>
  where(onnx, isZeroValue(onnx, guard), onnx.scalar(0, value.dtype), value);

/** x / y, 0 where y is 0. @see TensorFlow core/ops/math_ops.cc "DivNoNan" */
export const DivNoNan = defineOp("DivNoNan", {
  ...binary(...FLOATS, ...COMPLEX),
  grad: quotientGrad((x, y) => divNoNan(x, y)),
  lower: (onnx, { x, y }) => [zeroWhere(onnx, y, onnx.map("Div", [x, y]))],
  lowers: ort.floats,
  host: hostBinary({
    float: (x, y) => (y === 0 ? 0 : x / y),
    complex: (x, y) => (isZero(y) ? [0, 0] : cdiv(x, y)),
  }),
});

/** x / y, 0 where y is 0. Named "div_no_nan". */
export const divideNoNan = (x: Input, y: Input, name = "div_no_nan"): Output =>
  graphOf(x, y).add(DivNoNan, [x, y], { name });

/** x · y, 0 where y is 0, whatever x is. @see TensorFlow core/ops/math_ops.cc "MulNoNan" */
export const MulNoNan = defineOp("MulNoNan", {
  ...binary(...FLOATS, ...COMPLEX),
  grad: (_, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    const pair = [apply("MulNoNan", dy!, y), apply("MulNoNan", x, dy!)] as const;
    return allSameShape(x, y, dy!) ? pair : reduceGradients(x, y, ...pair);
  },
  lower: (onnx, { x, y }) => [zeroWhere(onnx, y, onnx.map("Mul", [x, y]))],
  lowers: ort.floats,
  host: hostBinary({
    float: (x, y) => (y === 0 ? 0 : x * y),
    complex: (x, y) => (isZero(y) ? [0, 0] : cmul(x, y)),
  }),
});

/** x · y, 0 where y is 0. Named "multiply_no_nan". */
export const multiplyNoNan = (x: Input, y: Input, name = "multiply_no_nan"): Output =>
  graphOf(x, y).add(MulNoNan, [x, y], { name });
