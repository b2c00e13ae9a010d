/** @file The algebra of optimizer steps twice: on values, rounding after every operation as the kernels do, and as ONNX nodes. */

import {
  bfloat16ToFloat,
  type DType,
  floatToBfloat16,
  floatToHalf,
  halfToFloat,
  scalar,
  sizeOf,
  type Tensor,
  toNumbers,
} from "../base/index.ts";
import type { Onnx, OnnxValue } from "../graph/index.ts";
import { fromNumbers, numbersOf } from "./kernels/numbers.ts";
import type { Calc } from "./kernels/optimizer-steps.ts";

const ROUND: Partial<Record<DType, (x: number) => number>> = {
  float16: (x) => halfToFloat(floatToHalf(x)),
  bfloat16: (x) => bfloat16ToFloat(floatToBfloat16(x)),
  float32: Math.fround,
  float64: (x) => x,
};

/** Whether `hostCalc` computes in a dtype. */
export const isCalculable = (dtype: DType): boolean => dtype in ROUND;

type Numbers = ArrayLike<number>;

/** On arrays of numbers; an array of one broadcasts. */
export function hostCalc(dtype: DType): Calc<Numbers> {
  const round = ROUND[dtype]!;
  const unary =
    (f: (a: number) => number) =>
    (a: Numbers): Numbers =>
      Float64Array.from(a, (v) => round(f(v)));
  const binary =
    (f: (a: number, b: number) => number) =>
    (a: Numbers, b: Numbers): Numbers => {
      const out = new Float64Array(a.length === 1 ? b.length : a.length);
      const [stepA, stepB] = [a.length === 1 ? 0 : 1, b.length === 1 ? 0 : 1];
      for (let i = 0; i < out.length; i++) out[i] = round(f(a[i * stepA]!, b[i * stepB]!));
      return out;
    };
  return {
    add: binary((a, b) => a + b),
    sub: binary((a, b) => a - b),
    mul: binary((a, b) => a * b),
    div: binary((a, b) => a / b),
    max: binary(Math.max),
    pow: binary((a, b) => a ** b),
    neg: unary((a) => -a),
    sqrt: unary(Math.sqrt),
    abs: unary(Math.abs),
    sign: unary(Math.sign),
    whereAbove: (a, limit, value) => {
      const at = (v: Numbers, i: number): number => (v.length === 1 ? v[0]! : v[i]!);
      return Float64Array.from(a, (v, i) => (v > at(limit, i) ? at(value, i) : 0));
    },
    number: (value) => Float64Array.of(round(value)),
    known: (a) => (a.length === 1 ? a[0]! : null),
  };
}

/** Numbers of a tensor, and back. */
export const toCalc = (t: Tensor): Numbers => numbersOf(t);
export const fromCalc = (values: Numbers, like: Tensor): Tensor =>
  fromNumbers(
    like.dtype,
    like.shape,
    values.length === sizeOf(like.shape) ? values : spread(values[0]!, like),
  );

const spread = (value: number, like: Tensor): Numbers => new Float64Array(sizeOf(like.shape)).fill(value);

/** Scalar nodes of a model by what they compute: the same rates serve all variables. */
const scalarNodes = new WeakMap<Onnx, Map<string, OnnxValue>>();

/** As ONNX nodes. Scalars are computed once for a model, known ones not at all. */
export function onnxCalc(onnx: Onnx, dtype: DType): Calc<OnnxValue> {
  const known = scalarNodes.get(onnx) ?? new Map<string, OnnxValue>();
  scalarNodes.set(onnx, known);
  const once = (key: string, make: () => OnnxValue): OnnxValue => {
    const value = known.get(key) ?? make();
    known.set(key, value);
    return value;
  };
  const host = hostCalc(dtype);
  const node = (
    type: string,
    args: readonly OnnxValue[],
    fold: (...values: Numbers[]) => Numbers,
  ): OnnxValue => {
    if (!args.every((x) => x.shape?.length === 0)) return onnx.map(type, args);
    return once(`${type} ${args.map((x) => x.id).join(" ")}`, () => {
      const constants = args.map((x) => x.constant);
      if (constants.some((t) => t === null)) return onnx.map(type, args);
      const value = fold(...constants.map((t) => toCalc(t!)))[0]!;
      return onnx.constant(scalar(value, dtype));
    });
  };
  return {
    add: (a, b) => node("Add", [a, b], host.add),
    sub: (a, b) => node("Sub", [a, b], host.sub),
    mul: (a, b) => node("Mul", [a, b], host.mul),
    div: (a, b) => node("Div", [a, b], host.div),
    max: (a, b) => node("Max", [a, b], host.max),
    pow: (a, b) => node("Pow", [a, b], host.pow),
    neg: (a) => node("Neg", [a], host.neg),
    sqrt: (a) => node("Sqrt", [a], host.sqrt),
    abs: (a) => node("Abs", [a], host.abs),
    sign: (a) => node("Sign", [a], host.sign),
    whereAbove: (a, limit, value) => {
      const above = onnx.map("Greater", [a, limit], {}, { dtype: "bool" });
      return onnx.map("Where", [above, value, number(0)], {}, { dtype });
    },
    number,
    known: (a) => (a.constant === null ? null : toNumbers(a.constant)[0]!),
  };

  function number(value: number): OnnxValue {
    return once(`${dtype} ${value}`, () => onnx.scalar(value, dtype));
  }
}
