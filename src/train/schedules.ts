/**
 * @file Learning rates that follow the step, as graph ops: computed anew in each run. Start at `exponentialDecay`.
 *
 * @see TensorFlow python/keras/optimizer_v2/legacy_learning_rate_decay.py, learning_rate_schedule.py
 */

import { type DType, VarscopeError } from "../base/index.ts";
import { cond, type Graph, Output } from "../graph/index.ts";
import { addWith, isVariable, type Variable } from "../variables/index.ts";
import { assertOp } from "./assert.ts";

/** A step counter: the global step, or any integer scalar. */
export type StepInput = Output | Variable;

interface Named {
  readonly name?: string;
}
export interface StaircaseOptions extends Named {
  /** whole intervals only: false */
  readonly staircase?: boolean;
}

/** Python's `cast(value, dtype)` of a number: a Const "Cast/x", and for an integer the Cast itself. */
function castNumber(g: Graph, value: number | Output, dtype: DType, isInt: boolean): Output {
  if (value instanceof Output) return castOutput(g, value, dtype);
  return g.nameScope("Cast", (scope) => {
    if (!isInt) return g.constant(value, { dtype, name: "x" });
    const x = g.constant(value, { dtype: "int32", name: "x" });
    return g.add("Cast", [x], { name: scope, attrs: { DstT: dtype } });
  });
}

const castOutput = (g: Graph, x: Output | Variable, dtype: DType): Output =>
  x.dtype === dtype && !isVariable(x) ? x : addWith(g, "Cast", [x], { attrs: { DstT: dtype } });

/** Steps are whole numbers in Python programs, and come as int32 then. */
const castSteps = (g: Graph, steps: number | Output, dtype: DType): Output =>
  castNumber(g, steps, dtype, typeof steps === "number" && Number.isInteger(steps));

interface Parts {
  readonly g: Graph;
  readonly rate: Output;
  readonly dtype: DType;
  readonly scope: string;
}

function schedule(
  step: StepInput,
  learningRate: number | Output,
  name: string,
  build: (parts: Parts) => Output,
): Output {
  const g = step.graph;
  return g.nameScope(name, (scope) => {
    const rate =
      learningRate instanceof Output
        ? learningRate
        : g.constant(learningRate, { name: "initial_learning_rate" });
    return build({ g, rate, dtype: rate.dtype, scope });
  });
}

/** step / decaySteps, floored for a staircase. */
function progress(p: Parts, step: StepInput, decaySteps: Output, staircase: boolean): Output {
  const fraction = p.g.add("RealDiv", [castOutput(p.g, step, p.dtype), decaySteps], { name: "truediv" });
  return staircase ? p.g.add("Floor", [fraction]) : fraction;
}

/** rate · decayRate^(step / decaySteps). */
export function exponentialDecay(
  learningRate: number | Output,
  step: StepInput,
  decaySteps: number | Output,
  decayRate: number | Output,
  options: StaircaseOptions = {},
): Output {
  return schedule(step, learningRate, options.name ?? "ExponentialDecay", (p) => {
    const steps = castSteps(p.g, decaySteps, p.dtype);
    const base = castNumber(p.g, decayRate, p.dtype, false);
    const exponent = progress(p, step, steps, options.staircase ?? false);
    return p.g.add("Mul", [p.rate, p.g.add("Pow", [base, exponent])], { name: p.scope });
  });
}

/** rate · e^(-decayRate · step / decaySteps). */
export function naturalExpDecay(
  learningRate: number | Output,
  step: StepInput,
  decaySteps: number | Output,
  decayRate: number | Output,
  options: StaircaseOptions = {},
): Output {
  const g = step.graph;
  const negative = g.nameScope("Neg", (scope) => {
    const x = decayRate instanceof Output ? decayRate : g.constant(decayRate, { name: "x" });
    return g.add("Neg", [x], { name: scope });
  });
  return exponentialDecay(learningRate, step, decaySteps, g.add("Exp", [negative]), options);
}

/** rate / (1 + decayRate · step / decaySteps). */
export function inverseTimeDecay(
  learningRate: number | Output,
  step: StepInput,
  decaySteps: number | Output,
  decayRate: number | Output,
  options: StaircaseOptions = {},
): Output {
  return schedule(step, learningRate, options.name ?? "InverseTimeDecay", (p) => {
    const { g, dtype } = p;
    const steps = castSteps(g, decaySteps, dtype);
    const slope = castNumber(g, decayRate, dtype, false);
    const done = progress(p, step, steps, options.staircase ?? false);
    const one = castOutput(g, g.constant(1, { dtype: "int32" }), dtype);
    const denominator = g.add("AddV2", [one, g.add("Mul", [slope, done])], { name: "Add" });
    return g.add("RealDiv", [p.rate, denominator], { name: p.scope });
  });
}

export interface PolynomialDecayOptions extends Named {
  /** 0.0001 */
  readonly endLearningRate?: number | Output;
  /** 1: linear */
  readonly power?: number | Output;
  /** starts over each decaySteps, from ever lower: false */
  readonly cycle?: boolean;
}

/** (rate - end) · (1 - step / decaySteps)^power + end, with the step cut off at decaySteps. */
export function polynomialDecay(
  learningRate: number | Output,
  step: StepInput,
  decaySteps: number | Output,
  options: PolynomialDecayOptions = {},
): Output {
  return schedule(step, learningRate, options.name ?? "PolynomialDecay", ({ g, rate, dtype, scope }) => {
    const end = castNumber(g, options.endLearningRate ?? 0.0001, dtype, false);
    const power = castNumber(g, options.power ?? 1, dtype, false);
    let now = castOutput(g, step, dtype);
    let steps = castSteps(g, decaySteps, dtype);
    if (options.cycle ?? false) {
      const atStart = g.add("Equal", [now, 0]);
      const cycles = g.add("Ceil", [g.add("RealDiv", [now, decaySteps], { name: "truediv" })]);
      // the literal is named as Python's `where_v2` names it
      const count = g.nameScope("SelectV2", (select) =>
        g.add("SelectV2", [atStart, g.constant(1, { dtype, name: "t" }), cycles], { name: select }),
      );
      steps = g.add("Mul", [steps, count]);
    } else now = g.add("Minimum", [now, steps]);
    const done = g.add("RealDiv", [now, steps], { name: "truediv" });
    const span = g.add("Sub", [rate, end], { name: "sub" });
    const left = g.add("Pow", [g.add("Sub", [1, done], { name: "sub" }), power]);
    return g.add("AddV2", [g.add("Mul", [span, left]), end], { name: scope });
  });
}

/** rate · ((1 - alpha) · (1 + cos(π · step / decaySteps)) / 2 + alpha), with the step cut off at decaySteps. */
export function cosineDecay(
  learningRate: number | Output,
  step: StepInput,
  decaySteps: number | Output,
  options: Named & { readonly alpha?: number } = {},
): Output {
  const { alpha = 0 } = options;
  return schedule(step, learningRate, options.name ?? "CosineDecay", ({ g, rate, dtype }) => {
    const steps = castSteps(g, decaySteps, dtype);
    const now = g.add("Minimum", [castOutput(g, step, dtype), steps]);
    const done = g.add("RealDiv", [now, steps], { name: "truediv" });
    const angle = g.add("Mul", [g.constant(Math.PI), done], { name: "mul" });
    const wave = g.add("AddV2", [1, g.add("Cos", [angle])], { name: "add" });
    const half = g.add("Mul", [0.5, wave], { name: "mul" });
    const scaled = g.add("Mul", [1 - alpha, half], { name: "mul" });
    return g.add("Mul", [rate, g.add("AddV2", [scaled, alpha], { name: "add" })]);
  });
}

/**
 * values[0] up to and including boundaries[0], then values[1] up to boundaries[1], ...
 *
 * @throws VarscopeError INVALID_ARGUMENT - there must be one value more than boundaries
 */
export function piecewiseConstant(
  x: StepInput,
  boundaries: readonly number[],
  values: readonly number[],
  options: Named = {},
): Output {
  if (boundaries.length !== values.length - 1 || boundaries.length === 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "The length of boundaries should be 1 less than the length of values",
    );
  }
  const g = x.graph;
  const isInt = x.dtype !== "float32" && x.dtype !== "float64";
  const bounds = boundaries.map((b) => g.constant(b, { dtype: isInt ? "int32" : x.dtype }));
  const outs = values.map((v) => g.constant(v));
  const step = isVariable(x) ? x.value() : x;
  const limits = bounds.map((b) => castOutput(g, b, x.dtype));
  return g.nameScope(options.name ?? "PiecewiseConstant", () => {
    const first = g.add("LessEqual", [step, limits[0]!]);
    const last = g.add("Greater", [step, limits.at(-1)!]);
    const cases: (readonly [Output, Output])[] = [
      [first, outs[0]!],
      [last, outs.at(-1)!],
    ];
    for (let i = 1; i < limits.length; i++) {
      const above = g.add("Greater", [step, limits[i - 1]!]);
      const within = g.add("LogicalAnd", [above, g.add("LessEqual", [step, limits[i]!])], { name: "and" });
      cases.push([within, outs[i]!]);
    }
    return exclusiveCase(g, cases, outs[0]!);
  });
}

/** tf.case with exclusive=True: the one case whose predicate holds, checked at run time. */
function exclusiveCase(g: Graph, cases: readonly (readonly [Output, Output])[], fallback: Output): Output {
  return g.nameScope("case", () => {
    const preds = cases.map(([pred]) => pred);
    const packed = g.add("Pack", [preds], { name: "preds_c" });
    const counted = g.add("Cast", [packed], { attrs: { DstT: "int32" } });
    const axes = g.constant([0], { dtype: "int32" });
    const total = g.add("Sum", [counted, axes], { name: "num_true_conds" });
    const most = g.constant(1, { dtype: "int32", name: "n_true_conds" });
    const atMostOne = g.add("LessEqual", [total, most]);
    const names = preds.map((p) => p.name).join(", ");
    const message = `Input error: exclusive=True: more than 1 conditions (${names}) evaluated as True:`;
    const check = assertOp(atMostOne, [message, packed]);
    const choose = (i: number): Output =>
      cond(
        cases[i]![0],
        () => cases[i]![1],
        () => (i + 1 < cases.length ? choose(i + 1) : fallback),
      ) as Output;
    return g.controlDependencies([check], () => choose(0));
  });
}
