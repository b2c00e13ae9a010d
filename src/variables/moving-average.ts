/** @file Exponential moving averages of single variables. @see TensorFlow python/training/moving_averages.py */

import type { Shape } from "../base/index.ts";
import { Output } from "../graph/index.ts";
import { type Written, writeVariable } from "./create.ts";
import { getVariable } from "./get-variable.ts";
import { zerosInitializer } from "./initializers.ts";
import { addWith } from "./operand.ts";
import { getVariableScope, variableScope } from "./scope.ts";
import type { Variable } from "./variable.ts";

export interface AssignMovingAverageOptions {
  /** removes the bias towards the initial value, as if it had been zero; needs two more variables: true */
  readonly zeroDebias?: boolean;
  /** "AssignMovingAvg" */
  readonly name?: string;
}

/**
 * variable -= (variable - value) · (1 - decay). With zero debias the variable's own start is forgotten: a biased average that starts at 0 is
 * divided by 1 - decayᵗ, and the variables `<name>/biased`, `<name>/local_step` are made.
 *
 * @returns the op that assigns, and the value after it
 */
export function assignMovingAverage(
  v: Variable,
  value: Output | Variable,
  decay: number | Output,
  options: AssignMovingAverageOptions = {},
): Written {
  const { graph } = v;
  return graph.nameScope(options.name ?? "AssignMovingAvg", (scope) => {
    let rate: Output;
    if (decay instanceof Output) rate = graph.add("Sub", [1, decay], { name: "sub" });
    else rate = graph.constant(1 - decay, { name: "decay" });
    if (rate.dtype !== v.dtype) rate = graph.add("Cast", [rate], { attrs: { DstT: v.dtype } });
    return options.zeroDebias === false ? plainUpdate(v, value, rate, scope) : debiasedUpdate(v, value, rate);
  });
}

/** Python's state_ops.assign_sub: a resource's op has its default name, a reference's the name asked for. */
const subtract = (v: Variable, delta: Output, name?: string): Written =>
  writeVariable(v, "sub", delta, v.isResource || name === undefined ? {} : { name });

function plainUpdate(v: Variable, value: Output | Variable, rate: Output, scope: string): Written {
  const { graph } = v;
  const difference = addWith(graph, "Sub", [v.value(), value], { name: "sub" });
  return subtract(v, graph.add("Mul", [difference, rate], { name: "mul" }), scope);
}

function debiasedUpdate(v: Variable, value: Output | Variable, rate: Output): Written {
  const { graph } = v;
  const [biased, localStep] = variableScope(graph, v.op.name, {}, () => {
    const zeros = { initializer: zerosInitializer(), trainable: false, dtype: v.dtype };
    const make = (name: string, shape: Shape | null): Variable =>
      getVariable(graph, freeName(v, name), { ...zeros, ...(shape === null ? {} : { shape }) });
    return graph.colocateWith(v.op, () => [make("biased", v.shape), make("local_step", [])] as const);
  });
  const difference = addWith(graph, "Sub", [biased.value(), value], { name: "sub" });
  const updated = subtract(biased, graph.add("Mul", [difference, rate], { name: "mul" }));
  const step = writeVariable(localStep, "add", 1);
  const decay = graph.add("Sub", [1, rate], { name: "sub" });
  const power = graph.nameScope("Pow", (scope) =>
    graph.add("Pow", [decay, readAgain(localStep, step)], { name: scope }),
  );
  const factor = graph.add("Sub", [1, power], { name: "sub" });
  const quotient = graph.add("RealDiv", [readAgain(biased, updated), factor], { name: "truediv" });
  return writeVariable(v, "assign", quotient, { name: `${graph.namer.currentScope}/`, useLocking: true });
}

/** TensorFlow reads a resource anew wherever the result of an assignment is used. */
const readAgain = (v: Variable, { op, value }: Written): Output =>
  v.isResource ? v.graph.controlDependencies([op], () => v.value()) : value;

/** Two averages of one variable keep books of their own. */
function freeName(v: Variable, name: string): string {
  const scope = getVariableScope(v.graph);
  if (scope.reuse) return name;
  const taken = new Set(scope.globalVariables().map((x) => x.op.name));
  const full = `${scope.name}/${name}`;
  if (!taken.has(full)) return name;
  let i = 1;
  while (taken.has(`${full}_${i}`)) i++;
  return `${name}_${i}`;
}
