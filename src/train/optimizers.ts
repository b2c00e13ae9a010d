/**
 * @file The optimizers of TensorFlow 1, with its defaults, slot names and nodes. Adam, whose rows and powers need more ops, is in adam.ts.
 *
 * @see TensorFlow python/training/gradient_descent.py, momentum.py, rmsprop.py, adagrad.py, adadelta.py, ftrl.py
 */

import { VarscopeError } from "../base/index.ts";
import type { Graph, Output } from "../graph/index.ts";
import { applyRule, START } from "./apply-rule.ts";
import { castTo, type Hyper, type Hypers, hyperOutput, makeOptimizer, type Optimizer } from "./optimizer.ts";

interface Common {
  readonly learningRate: Hyper;
  /** updates hold the variable's lock: false */
  readonly useLocking?: boolean;
  /** of the train op and the slots */
  readonly name?: string;
}

const locking = (o: { readonly useLocking?: boolean }) => ({ use_locking: o.useLocking ?? false });

/** w -= learningRate · dw. */
export function gradientDescentOptimizer(options: Common): Optimizer {
  const spec = {
    op: "GradientDescent",
    slots: [],
    slotArgs: [],
    args: ["learning_rate", "grad"],
    hypers: { learning_rate: options.learningRate },
    attrs: locking(options),
  };
  return makeOptimizer(options.name ?? "GradientDescent", {
    ...applyRule(spec),
    takesDuplicates: true,
    sparse(v, { values, indices }, { graph, hypers }) {
      const rate = castTo(hypers.learning_rate!, values.dtype);
      if (!v.isResource) {
        const delta = graph.add("Mul", [values, rate], { name: "mul" });
        return graph.addOp("ScatterSub", [v.handle, indices, delta], { attrs: locking(options) });
      }
      const delta = graph.add("Mul", [graph.add("Neg", [values]), rate], { name: "mul" });
      return graph.addOp("ResourceScatterAdd", [v.handle, indices, delta]);
    },
  });
}

export interface MomentumOptions extends Common {
  readonly momentum: Hyper;
  /** looks ahead: false */
  readonly useNesterov?: boolean;
}

/** a = momentum · a + dw; w -= learningRate · a (Nesterov: learningRate · (dw + momentum · a)). Slot "momentum". */
export function momentumOptimizer(options: MomentumOptions): Optimizer {
  const name = options.name ?? "Momentum";
  return makeOptimizer(
    name,
    applyRule({
      op: "Momentum",
      slots: [{ slot: "momentum", opName: name }],
      slotArgs: ["momentum"],
      args: ["learning_rate", "grad", "momentum"],
      hypers: { learning_rate: options.learningRate, momentum: options.momentum },
      attrs: { ...locking(options), use_nesterov: options.useNesterov ?? false },
    }),
  );
}

export interface RmsPropOptions extends Common {
  /** of the mean square: 0.9 */
  readonly decay?: Hyper;
  /** 0 */
  readonly momentum?: Hyper;
  /** 1e-10 */
  readonly epsilon?: Hyper;
  /** divides by the standard deviation in place of the root mean square: false */
  readonly centered?: boolean;
}

/** Steps divided by a running root mean square. Slots "rms" (starts at 1), "momentum", and "mg" where centered. */
export function rmsPropOptimizer(options: RmsPropOptions): Optimizer {
  const name = options.name ?? "RMSProp";
  const centered = options.centered ?? false;
  const slot = (s: string) => ({ slot: s, opName: name });
  return makeOptimizer(
    name,
    applyRule({
      op: centered ? "CenteredRMSProp" : "RMSProp",
      slots: [
        { ...slot("rms"), initializer: START.ones() },
        ...(centered ? [slot("mg")] : []),
        slot("momentum"),
      ],
      slotArgs: [...(centered ? ["mg"] : []), "rms", "momentum"],
      args: ["learning_rate", "decay", "momentum", "epsilon", "grad"],
      hypers: {
        learning_rate: options.learningRate,
        decay: options.decay ?? 0.9,
        momentum: options.momentum ?? 0,
        epsilon: options.epsilon ?? 1e-10,
      },
      attrs: locking(options),
    }),
  );
}

export interface AdagradOptions extends Common {
  /** 0.1 */
  readonly initialAccumulatorValue?: number;
}

/** Steps divided by the root of the sum of squares so far. Slot "accumulator". */
export function adagradOptimizer(options: AdagradOptions): Optimizer {
  const name = options.name ?? "Adagrad";
  const start = options.initialAccumulatorValue ?? 0.1;
  if (start <= 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `initial_accumulator_value must be positive: ${start}`);
  }
  return makeOptimizer(
    name,
    applyRule({
      op: "Adagrad",
      slots: [{ slot: "accumulator", opName: name, initializer: START.constant(start) }],
      slotArgs: ["accumulator"],
      args: ["learning_rate", "grad"],
      hypers: { learning_rate: options.learningRate },
      attrs: locking(options),
    }),
  );
}

export interface AdadeltaOptions extends Partial<Common> {
  /** 0.95 */
  readonly rho?: Hyper;
  /** 1e-8 */
  readonly epsilon?: Hyper;
}

/** Zeiler's method: no rate to tune. Learning rate 0.001 by default. Slots "accum", "accum_update". */
export function adadeltaOptimizer(options: AdadeltaOptions = {}): Optimizer {
  const name = options.name ?? "Adadelta";
  return makeOptimizer(
    name,
    applyRule({
      op: "Adadelta",
      slots: ["accum", "accum_update"].map((slot) => ({ slot, opName: name })),
      slotArgs: ["accum", "accum_update"],
      args: ["lr", "rho", "epsilon", "grad"],
      hypers: {
        lr: options.learningRate ?? 0.001,
        rho: options.rho ?? 0.95,
        epsilon: options.epsilon ?? 1e-8,
      },
      attrs: locking(options),
    }),
  );
}

export interface FtrlOptions extends Omit<Common, "learningRate"> {
  readonly learningRate: number | Output;
  /** at most 0: -0.5 */
  readonly learningRatePower?: number;
  /** 0.1 */
  readonly initialAccumulatorValue?: number;
  /** 0 */
  readonly l1RegularizationStrength?: number;
  /** 0 */
  readonly l2RegularizationStrength?: number;
  /** 0 */
  readonly l2ShrinkageRegularizationStrength?: number;
  /** 0 */
  readonly beta?: number;
}

/** Follow the regularized leader (McMahan et al. 2013). Slots "accum", "linear". */
export function ftrlOptimizer(options: FtrlOptions): Optimizer {
  const name = options.name ?? "Ftrl";
  const shrinkage = options.l2ShrinkageRegularizationStrength ?? 0;
  const start = options.initialAccumulatorValue ?? 0.1;
  checkFtrl(options);
  return makeOptimizer(
    name,
    applyRule({
      op: shrinkage > 0 ? "FtrlV2" : "Ftrl",
      slots: [
        { slot: "accum", opName: name, initializer: START.scaledOnes(start) },
        { slot: "linear", opName: name },
      ],
      slotArgs: ["accum", "linear"],
      args: ["grad", "learning_rate", "l1", "l2", ...(shrinkage > 0 ? ["shrinkage"] : []), "power"],
      hypers: {},
      prepare: (graph) => ftrlHypers(graph, options),
      attrs: locking(options),
    }),
  );
}

function checkFtrl(o: FtrlOptions): void {
  const fail = (name: string, value: number, want: string): never => {
    throw new VarscopeError("INVALID_ARGUMENT", `${name} ${value.toFixed(6)} needs to be ${want} or zero`);
  };
  const positive = {
    initial_accumulator_value: o.initialAccumulatorValue,
    l1_regularization_strength: o.l1RegularizationStrength,
    l2_regularization_strength: o.l2RegularizationStrength,
    l2_shrinkage_regularization_strength: o.l2ShrinkageRegularizationStrength,
  };
  for (const [name, value = 0] of Object.entries(positive)) if (value < 0) fail(name, value, "positive");
  if ((o.learningRatePower ?? 0) > 0) fail("learning_rate_power", o.learningRatePower!, "negative");
}

/** l2 + beta / (2 · max(rate, 1e-36)), as TensorFlow spells it out. */
function ftrlHypers(graph: Graph, o: FtrlOptions): Hypers {
  const rate = hyperOutput(graph, o.learningRate, "learning_rate");
  const l1 = hyperOutput(graph, o.l1RegularizationStrength ?? 0, "l1_regularization_strength");
  const floor = graph.add("Maximum", [o.learningRate, 1e-36]);
  const doubled = graph.add("Mul", [2, floor], { name: "mul" });
  const share = graph.add("RealDiv", [o.beta ?? 0, doubled], { name: "truediv" });
  const l2 = graph.add("AddV2", [o.l2RegularizationStrength ?? 0, share], { name: "add" });
  hyperOutput(graph, o.beta ?? 0, "beta");
  const shrinkage = hyperOutput(
    graph,
    o.l2ShrinkageRegularizationStrength ?? 0,
    "l2_shrinkage_regularization_strength",
  );
  const power = hyperOutput(graph, o.learningRatePower ?? -0.5, "learning_rate_power");
  return { learning_rate: rate, l1, l2, shrinkage, power };
}
