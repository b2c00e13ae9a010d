/**
 * @file Optimizers whose whole step is one op: Apply*, SparseApply*, and their Resource twins, that take the variable, its slots, rates and
 * the gradient. A rule is data: which slots, which rates, and the op's arguments in TensorFlow's order. Start at `applyRule`.
 *
 * @see TensorFlow core/ops/training_ops.cc
 */

import type { Graph, IndexedSlices, Operation, Output } from "../graph/index.ts";
import {
  constantInitializer,
  type Initializer,
  onesInitializer,
  type Variable,
  zerosInitializer,
} from "../variables/index.ts";
import { castTo, type Hyper, type Hypers, hyperOutput, type Rule, type Step } from "./optimizer.ts";

/** A slot: its name for `getSlot`, the name of its variable, how it starts. */
export interface SlotSpec {
  readonly slot: string;
  readonly opName: string;
  readonly initializer?: Initializer;
}

export interface ApplySpec {
  /** what follows "Apply", "SparseApply", "ResourceApply", "ResourceSparseApply" */
  readonly op: string;
  /** in the order they are made */
  readonly slots: readonly SlotSpec[];
  /** slots as the op takes them, after the variable */
  readonly slotArgs: readonly string[];
  /** names of rates, and "grad" where the gradient (and its indices) stands */
  readonly args: readonly string[];
  readonly hypers: Readonly<Record<string, Hyper>>;
  /** in place of constants for the rates */
  readonly prepare?: (graph: Graph) => Hypers;
  readonly attrs: Readonly<Record<string, boolean>>;
}

/** The rule of an optimizer whose step is one op. */
export function applyRule(spec: ApplySpec): Rule {
  const build = (v: Variable, grad: readonly Output[], sparse: boolean, step: Step): Operation => {
    const dtype = grad[0]!.dtype;
    const slots = spec.slotArgs.map((name) => step.slots.get(v, name)!.handle);
    const inputs = spec.args.flatMap((name) =>
      name === "grad" ? grad : [castTo(step.hypers[name]!, dtype)],
    );
    const type = `${v.isResource ? "Resource" : ""}${sparse ? "Sparse" : ""}Apply${spec.op}`;
    return step.graph.addOp(type, [v.handle, ...slots, ...inputs], { name: type, attrs: spec.attrs });
  };
  return {
    createSlots(slots, variables) {
      for (const v of variables) {
        for (const s of spec.slots) slots.make(v, s.slot, s.opName, s.initializer ?? zerosInitializer());
      }
    },
    prepare:
      spec.prepare ??
      ((graph) =>
        Object.fromEntries(
          Object.entries(spec.hypers).map(([name, x]) => [name, hyperOutput(graph, x, name)]),
        )),
    dense: (v, grad, step) => build(v, [grad], false, step),
    sparse: (v, { values, indices }: IndexedSlices, step) => build(v, [values, indices], true, step),
  };
}

/** Starts of slots. */
export const START = {
  ones: (): Initializer => onesInitializer(),
  constant: (value: number): Initializer => constantInitializer(value),
  /** `value` as a product of ones: how Ftrl builds it */
  scaledOnes:
    (value: number): Initializer =>
    (graph, shape, dtype) =>
      graph.add("Mul", [graph.constant(1, { dtype, shape, name: "ones" }), value], { name: "mul" }),
} as const;
