/**
 * @file Stochastic weight averaging: the plain mean of the weights at chosen steps, in variables that checkpoints hold, or beside a session.
 * Batch normalization has to be recalibrated for it (`recalibrate` of varscope/edit). Start at `stochasticWeightAverage`.
 *
 * @see Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407
 */

import {
  allocate,
  getElement,
  isFloat,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { group, type Operation } from "../../graph/index.ts";
import { type Session, variableKey } from "../../run/index.ts";
import {
  addWith,
  getVariable,
  shadowOf,
  type Variable,
  variableScope,
  writeVariable,
  zerosInitializer,
} from "../../variables/index.ts";
import { type Averages, type Restore, replaceValues } from "./swap.ts";

export interface WeightAverageOptions {
  /** last part of the means' names: "StochasticWeightAverage" */
  readonly name?: string;
}

/** A mean of weights inside the graph. */
export interface WeightAverage extends Averages {
  /** takes the weights as they are into the mean: run it at the end of an epoch or of a cycle of the learning rate */
  readonly update: Operation;
  /** how many it has taken: float32 [] */
  readonly count: Variable;
}

function needFloats(variables: readonly Variable[]): void {
  if (variables.length === 0) throw new VarscopeError("INVALID_ARGUMENT", "nothing to average");
  const wrong = variables.find((v) => !isFloat(v.dtype));
  if (wrong === undefined) return;
  throw new VarscopeError("INVALID_ARGUMENT", `a mean of ${wrong.dtype} says nothing`, {
    at: wrong.name,
    hint: "average floating-point variables",
  });
}

/**
 * count += 1; mean += (variable - mean) / count. The means are variables `<variable>/StochasticWeightAverage`, so training that goes on from a
 * checkpoint goes on averaging.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no variables, or one that is not floating
 */
export function stochasticWeightAverage(
  variables: readonly Variable[],
  options: WeightAverageOptions = {},
): WeightAverage {
  needFloats(variables);
  const name = options.name ?? "StochasticWeightAverage";
  const { graph, isResource } = variables[0]!;
  const zeros = zerosInitializer();
  const [count, pairs] = graph.controlDependencies(null, () => [
    variableScope(graph, null, { defaultName: name }, () =>
      getVariable(graph, "count", {
        shape: [],
        initializer: zeros,
        trainable: false,
        useResource: isResource,
      }),
    ),
    variables.map((v) => [v, shadowOf(v, name, zeros)] as const),
  ]);
  const update = graph.nameScope(name, (scope) => {
    const { value: n } = writeVariable(count, "add", 1);
    const updates = pairs.map(([v, mean]) => {
      const share = v.dtype === n.dtype ? n : graph.add("Cast", [n], { attrs: { DstT: v.dtype } });
      const difference = addWith(graph, "Sub", [v, mean], { name: "sub" });
      return writeVariable(mean, "add", graph.add("RealDiv", [difference, share], { name: "truediv" })).op;
    });
    return group(graph, updates, scope);
  });
  return { update, count, pairs: () => pairs };
}

/** A mean of weights beside a session, between its runs: in float64, and in no checkpoint. */
export interface SessionMean {
  /** how many it has taken */
  readonly count: number;
  /** takes the weights as they are into the mean */
  add(): void;
  /** Puts the mean in the place of the variables. @throws VarscopeError FAILED_PRECONDITION - it has taken nothing */
  swap(): Restore;
}

/**
 * The mean of variables of a session at the times when `add` is called. No run may be on its way then.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no variables, or one that is not floating
 */
export function sessionMean(session: Session, variables: readonly Variable[]): SessionMean {
  needFloats(variables);
  const sums = new Map<Variable, Float64Array>();
  let count = 0;
  const current = (v: Variable): Tensor => session.variables.need(variableKey(v.op), !v.isResource);
  return {
    get count() {
      return count;
    },
    add() {
      const values = variables.map((v) => [v, current(v)] as const); // all have values, or nothing is taken
      count++;
      for (const [v, value] of values) {
        const sum = sums.get(v) ?? new Float64Array(sizeOf(value.shape));
        for (let i = 0; i < sum.length; i++) sum[i]! += getElement(value, i) as number;
        sums.set(v, sum);
      }
    },
    swap() {
      if (count === 0) throw new VarscopeError("FAILED_PRECONDITION", "the mean has taken no weights yet");
      return replaceValues(
        session,
        variables.map((v) => [v, meanOf(sums.get(v)!, count, current(v))] as const),
      );
    },
  };
}

/** Sums as means, of the dtype and shape of `like`. */
function meanOf(sums: Float64Array, count: number, { dtype, shape }: Tensor): Tensor {
  const out = { dtype, shape, data: allocate(dtype, sums.length) };
  for (let i = 0; i < sums.length; i++) setElement(out, i, sums[i]! / count);
  return out;
}
