/** @file Adam (Kingma and Ba 2014) as TensorFlow 1 builds it. @see TensorFlow python/training/adam.py */

import { type Graph, group, type Operation, type Output } from "../graph/index.ts";
import { addWith, type Variable, type Written, writeVariable, zerosInitializer } from "../variables/index.ts";
import {
  castTo,
  type Hyper,
  hyperOutput,
  makeOptimizer,
  type Optimizer,
  type Rule,
  type Step,
} from "./optimizer.ts";

export interface AdamOptions {
  /** 0.001 */
  readonly learningRate?: Hyper;
  /** 0.9 */
  readonly beta1?: number;
  /** 0.999 */
  readonly beta2?: number;
  /** 1e-8, as tf.compat.v1; Keras has 1e-7 */
  readonly epsilon?: Hyper;
  readonly useLocking?: boolean;
  /** "Adam" */
  readonly name?: string;
}

/**
 * m and v are running means of the gradient and its square; w -= rate · √(1 - β2ᵗ) / (1 - β1ᵗ) · m / (√v + ε). Slots "m", "v"; the powers
 * of the betas are variables `beta1_power`, `beta2_power`. With rows (IndexedSlices) all of m and v decay, not only the rows named.
 */
export function adamOptimizer(options: AdamOptions = {}): Optimizer {
  const name = options.name ?? "Adam";
  const { beta1 = 0.9, beta2 = 0.999 } = options;
  const attrs = { use_locking: options.useLocking ?? false };
  const powers = ({ graph, slots }: Step): readonly [Variable, Variable] => [
    slots.other(graph, "beta1_power")!,
    slots.other(graph, "beta2_power")!,
  ];
  const rule: Rule = {
    createSlots(slots, variables) {
      const first = variables.reduce((a, b) => (b.name < a.name ? b : a));
      slots.makeOther(first, "beta1_power", beta1);
      slots.makeOther(first, "beta2_power", beta2);
      for (const v of variables) {
        slots.make(v, "m", name, zerosInitializer());
        slots.make(v, "v", name, zerosInitializer());
      }
    },
    prepare: (graph) => ({
      rate: hyperOutput(graph, options.learningRate ?? 0.001, "learning_rate"),
      beta1: hyperOutput(graph, beta1, "beta1"),
      beta2: hyperOutput(graph, beta2, "beta2"),
      epsilon: hyperOutput(graph, options.epsilon ?? 1e-8, "epsilon"),
    }),
    dense(v, grad, step) {
      const { graph, slots, hypers } = step;
      const type = v.isResource ? "ResourceApplyAdam" : "ApplyAdam";
      const betaPowers = powers(step).map((p) => castVariable(p, grad.dtype));
      const rates = ["rate", "beta1", "beta2", "epsilon"].map((k) => castTo(hypers[k]!, grad.dtype));
      return graph.nameScope(type, (scope) =>
        graph.addOp(
          type,
          [
            v.handle,
            slots.get(v, "m")!.handle,
            slots.get(v, "v")!.handle,
            ...betaPowers.map((read) => read()),
            ...rates,
            grad,
          ],
          { name: scope, attrs },
        ),
      );
    },
    sparse: (v, { values, indices }, step) =>
      sparseStep(v, values, indices, step, powers(step), attrs.use_locking),
    finish(updates, at, step) {
      const { graph, hypers } = step;
      const [power1, power2] = powers(step);
      const grown = graph.controlDependencies(updates, () =>
        graph.colocateWith(power1.op, () => {
          const grow = (p: Variable, beta: Output): Operation =>
            writeVariable(p, "assign", graph.add("Mul", [p.value(), beta], { name: "mul" }), {
              useLocking: attrs.use_locking,
            }).op;
          return [grow(power1, hypers.beta1!), grow(power2, hypers.beta2!)];
        }),
      );
      return group(graph, [...updates, ...grown], at);
    },
  };
  return makeOptimizer(name, rule);
}

/** A variable's value in a dtype; read only when asked for where it has that dtype already. */
function castVariable(v: Variable, dtype: Output["dtype"]): () => Output {
  if (v.dtype === dtype) return () => v.value();
  const cast = addWith(v.graph, "Cast", [v], { attrs: { DstT: dtype } });
  return () => cast;
}

function sparseStep(
  v: Variable,
  values: Output,
  indices: Output,
  { graph, slots, hypers }: Step,
  powers: readonly [Variable, Variable],
  useLocking: boolean,
): Operation {
  const two = (type: string, name: string) => (a: Output | number, b: Output | number) =>
    graph.add(type, [a, b], { name });
  const [mul, sub, div] = [two("Mul", "mul"), two("Sub", "sub"), two("RealDiv", "truediv")];
  const cast = (key: string): Output => castTo(hypers[key]!, v.dtype);
  const [power1, power2] = powers.map((p) => castVariable(p, v.dtype)) as [() => Output, () => Output];
  const [rate, beta1, beta2, epsilon] = [cast("rate"), cast("beta1"), cast("beta2"), cast("epsilon")];
  const scaled = mul(rate, graph.add("Sqrt", [sub(1, power2())]));
  const step = div(scaled, sub(1, power1()));
  const decayed = (slot: Variable, beta: Output, addend: Output): Output => {
    const kept = writeVariable(slot, "assign", mul(slot.value(), beta), { useLocking });
    return graph.controlDependencies([kept.op], () => scatterAdd(slot, indices, addend, useLocking));
  };
  const m = decayed(slots.get(v, "m")!, beta1, mul(values, sub(1, beta1)));
  const squares = mul(values, values);
  const second = decayed(slots.get(v, "v")!, beta2, mul(squares, sub(1, beta2)));
  const root = graph.add("Sqrt", [second]);
  const numerator = mul(step, m);
  const delta = div(numerator, graph.add("AddV2", [root, epsilon], { name: "add" }));
  const update: Written = writeVariable(v, "sub", delta, { useLocking });
  return group(graph, [update.op, m, second]);
}

/** The slot after rows were added to it. */
function scatterAdd(slot: Variable, indices: Output, rows: Output, useLocking: boolean): Output {
  const graph: Graph = slot.graph;
  if (!slot.isResource) {
    return graph.add("ScatterAdd", [slot.handle, indices, rows], { attrs: { use_locking: useLocking } });
  }
  const add = graph.addOp("ResourceScatterAdd", [slot.handle, indices, rows]);
  return graph.controlDependencies([add], () => slot.value());
}
