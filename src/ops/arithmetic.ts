/** @file Sums, differences, products, powers, extremes of two tensors, which broadcast. Quotients and remainders are in division.ts. */

import {
  dtypeCppName,
  formatShape,
  mergeShapes,
  sameShape,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Grad,
  type Graph,
  type HandleSpec,
  type Input,
  isIndexedSlices,
  type Operation,
  type Output,
} from "../graph/index.ts";
import { cmul, cpow, csub } from "./kernels/complex.ts";
import { joinStrings } from "./kernels/elementwise.ts";
import { floatPower, intPower, longMax, longMin, longPower } from "./kernels/integer.ts";
import { addTensors, SUM } from "./kernels/sum.ts";
import { agreed } from "./list-facts.ts";
import {
  after,
  allSameShape,
  apply,
  conj,
  graphOf,
  sub as minus,
  mul,
  neg,
  reduceGradients,
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
  QUANTIZED,
  UINTS,
} from "./signatures.ts";

function addGrad(_g: Graph, op: Operation, dys: readonly Grad[]): readonly Grad[] {
  const [x, y] = op.inputs as [Output, Output];
  const dy = dys[0]!;
  if (!isIndexedSlices(dy) && allSameShape(x, y, dy)) return [dy, dy];
  return reduceGradients(x, y, dy, dy);
}

/** x + y; also joins strings. @see TensorFlow core/ops/math_ops.cc "Add"; python/ops/math_grad.py "_AddGrad" */
export const Add = defineOp("Add", {
  ...binary(...FLOATS, "uint8", ...INTS, ...COMPLEX, "string"),
  grad: addGrad,
  gradTakesSlices: true,
  lower: lowerBinary("Add"),
  lowers: ort.numbers,
  host: (inputs) =>
    inputs.x.dtype === "string" ? [joinStrings(inputs.x, inputs.y)] : hostBinary(SUM)(inputs),
});

/** x + y. @see TensorFlow core/ops/math_ops.cc "AddV2" */
export const AddV2 = defineOp("AddV2", {
  ...binary(...FLOATS, ...UINTS, ...INTS, ...COMPLEX),
  grad: addGrad,
  gradTakesSlices: true,
  lower: lowerBinary("Add"),
  lowers: ort.numbers,
  host: hostBinary(SUM),
});

/** x + y. Named "Add". */
export const add = (x: Input, y: Input, name = "Add"): Output => graphOf(x, y).add(AddV2, [x, y], { name });

/** x - y. @see TensorFlow core/ops/math_ops.cc "Sub"; python/ops/math_grad.py "_SubGrad" */
export const Sub = defineOp("Sub", {
  ...binary(...FLOATS, ...INTS, ...UINTS, ...COMPLEX),
  grad: (_, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    const gy = neg(dy!);
    return allSameShape(x, y, dy!) ? [dy!, gy] : reduceGradients(x, y, dy!, gy);
  },
  lower: lowerBinary("Sub"),
  lowers: ort.numbers,
  host: hostBinary({ float: (x, y) => x - y, int: (x, y) => x - y, big: (x, y) => x - y, complex: csub }),
});

/** x - y. Named "Sub". */
export const subtract = (x: Input, y: Input, name = "Sub"): Output =>
  graphOf(x, y).add(Sub, [x, y], { name });

/** x · y. @see TensorFlow core/ops/math_ops.cc "Mul"; python/ops/math_grad.py "_MulGrad" */
export const Mul = defineOp("Mul", {
  ...binary(...FLOATS, ...INTS, ...UINTS, ...COMPLEX),
  grad: (_, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    if (allSameShape(x, y, dy!) && (dy!.dtype === "int32" || dy!.dtype === "float32")) {
      return [apply("Mul", dy!, y), apply("Mul", dy!, x)];
    }
    const gx = apply("Mul", dy!, conj(y));
    return reduceGradients(x, y, gx, apply("Mul", conj(x), dy!));
  },
  lower: lowerBinary("Mul"),
  lowers: ort.numbers,
  host: hostBinary({ float: (x, y) => x * y, int: Math.imul, big: (x, y) => x * y, complex: cmul }),
});

/** x · y. Named "Mul". */
export const multiply = (x: Input, y: Input, name = "Mul"): Output =>
  graphOf(x, y).add(Mul, [x, y], { name });

/** (x - y)², for complex x the squared modulus. @see TensorFlow core/ops/math_ops.cc "SquaredDifference" */
export const SquaredDifference = defineOp("SquaredDifference", {
  ...binary(...FLOATS, "int32", "int64", ...COMPLEX),
  grad: (g, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    const gx = after(dy!, () => {
      const twice = g.add("Mul", [g.constant(2, { dtype: dy!.dtype, name: "scalar" }), dy!]);
      return mul(twice, minus(x, y));
    });
    const gy = neg(gx);
    return allSameShape(x, y, dy!) ? [gx, gy] : reduceGradients(x, y, gx, gy);
  },
  lower: (onnx, { x, y }) => {
    const difference = onnx.map("Sub", [x, y]);
    return [onnx.map("Mul", [difference, difference])];
  },
  lowers: ort.numbers,
  host: hostBinary({
    float: (x, y) => (x - y) * (x - y),
    int: (x, y) => Math.imul(x - y, x - y),
    big: (x, y) => (x - y) * (x - y),
    complex: ([a, b], [c, d]) => [(a - c) ** 2 + (b - d) ** 2, 0],
  }),
});

/** (x - y)². Named "SquaredDifference". */
export const squaredDifference = (x: Input, y: Input, name = "SquaredDifference"): Output =>
  graphOf(x, y).add(SquaredDifference, [x, y], { name });

/** dy goes to x where it was chosen, to y elsewhere. @see python/ops/math_grad.py "_MaximumMinimumGrad" */
const extremeGrad =
  (chosen: string) =>
  (_g: Graph, op: Operation, dys: readonly Output[]): readonly Grad[] => {
    const [x, y] = op.inputs as [Output, Output];
    const dy = dys[0]!;
    const zeros = pieces.zerosLike(dy);
    const mask = apply(chosen, x, y);
    const gx = apply("SelectV2", mask, dy, zeros);
    return reduceGradients(x, y, gx, apply("SelectV2", mask, zeros, dy));
  };

/** The larger of x and y; NaN where either is. @see TensorFlow core/ops/math_ops.cc "Maximum" */
export const Maximum = defineOp("Maximum", {
  ...binary(...FLOATS, ...INTS, ...UINTS),
  grad: extremeGrad("GreaterEqual"),
  lower: lowerBinary("Max"),
  lowers: ort.ordered,
  host: hostBinary({ float: Math.max, int: Math.max, big: longMax }),
});

/** The larger of x and y. Named "Maximum". */
export const maximum = (x: Input, y: Input, name = "Maximum"): Output =>
  graphOf(x, y).add(Maximum, [x, y], { name });

/** The smaller of x and y; NaN where either is. @see TensorFlow core/ops/math_ops.cc "Minimum" */
export const Minimum = defineOp("Minimum", {
  ...binary(...FLOATS, ...INTS, ...UINTS),
  grad: extremeGrad("LessEqual"),
  lower: lowerBinary("Min"),
  lowers: ort.ordered,
  host: hostBinary({ float: Math.min, int: Math.min, big: longMin }),
});

/** The smaller of x and y. Named "Minimum". */
export const minimum = (x: Input, y: Input, name = "Minimum"): Output =>
  graphOf(x, y).add(Minimum, [x, y], { name });

/** xʸ. @see TensorFlow core/ops/math_ops.cc "Pow"; python/ops/math_grad.py "_PowGrad" */
export const Pow = defineOp("Pow", {
  ...binary(...FLOATS, "int8", "int16", "int32", "int64", ...COMPLEX),
  grad: (_, op, [dy]) => {
    const [x, y] = op.inputs as [Output, Output];
    const [cx, cy] = [conj(x), conj(y)];
    const weighted = mul(dy!, cy);
    const gx = mul(weighted, apply("Pow", cx, minus(cy, 1)));
    // Where x is 0 (or negative, unless complex) ln x is taken as 0.
    const mask = cx === x ? apply("Greater", cx, 0) : apply("NotEqual", cx, 0);
    const safe = apply("Select", mask, cx, pieces.onesLike(x));
    const log = apply("Log", safe);
    const masked = apply("Select", mask, log, pieces.zerosLike(x));
    const gy = mul(mul(dy!, conj(op.output(0))), masked);
    return reduceGradients(x, y, gx, gy);
  },
  lower: lowerBinary("Pow"),
  lowers: ort.floats, // integers wrap in TensorFlow, and negative exponents are an error
  host: hostBinary({ float: floatPower, int: intPower, big: longPower, complex: cpow }),
});

/** xʸ. Named "Pow". */
export const pow = (x: Input, y: Input, name = "Pow"): Output => graphOf(x, y).add(Pow, [x, y], { name });

/** Sum of tensors of one shape. @see TensorFlow core/ops/math_ops.cc "AddN"; python/ops/math_grad.py "_AddNGrad" */
export const AddN = defineOp("AddN", {
  inputs: { inputs: "N*T" },
  outputs: { sum: "T" },
  attrs: {
    N: attr.int({ min: 1 }),
    T: attr.type(...FLOATS, ...INTS, ...UINTS, ...COMPLEX, ...QUANTIZED, "variant"),
  },
  infer: ({ inputs }) => [
    {
      shape: inputs.map((x) => x.shape).reduce((a, b) => mergeShapes(a, b)),
      handle: inputs.map((x) => x.handle).reduce(sharedHandle),
    },
  ],
  grad: (_, op, [dy]) => op.inputs.map(() => dy!),
  gradTakesSlices: true,
  lower: (onnx, { inputs }) => [onnx.sum(inputs)],
  lowers: ort.numbers,
  host: ({ inputs }) => [inputs.reduce((a, b) => addTensors(a, sameShaped(a, b)))],
});

/** What is known of the elements of lists that are added. */
function sharedHandle(a: HandleSpec | null, b: HandleSpec | null): HandleSpec | null {
  if (a === null || b === null) return a ?? b;
  if (a.dtype === b.dtype) return { dtype: a.dtype, shape: agreed(a.shape, b.shape) };
  const names = [dtypeCppName(a.dtype), dtypeCppName(b.dtype)];
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `shapes_and_types[0][0].dtype() == ${names[0]} != shapes_and_types[0][0].dtype == ${names[1]}`,
  );
}

function sameShaped(a: Tensor, b: Tensor): Tensor {
  if (sameShape(a.shape, b.shape)) return b;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Inputs to operation of type AddN must have the same size and shape. ${formatShape(a.shape)} != ${formatShape(b.shape)}`,
  );
}

/** Sum of tensors of one shape; of a single one the tensor itself. Named "AddN". */
export function addN(inputs: readonly Output[], name?: string): Output {
  const [first, ...rest] = inputs;
  if (first === undefined)
    throw new VarscopeError("INVALID_ARGUMENT", "addN needs at least one tensor, got none");
  if (rest.length > 0) return first.graph.add(AddN, [inputs], { name: name ?? "AddN" });
  return name === undefined ? first : first.graph.add("Identity", [first], { name });
}
