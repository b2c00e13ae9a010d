/**
 * @file What all optimizers share: gradients of a loss with respect to variables, slots, update ops, the train op. What one optimizer does
 * differently is its `Rule`. Start at `makeOptimizer`.
 *
 * @see TensorFlow python/training/optimizer.py
 */

import { gradients } from "../autodiff/index.ts";
import { isFloat, VarscopeError } from "../base/index.ts";
import {
  type Grad,
  type Graph,
  group,
  type IndexedSlices,
  isIndexedSlices,
  type Operation,
  Output,
  tuple,
} from "../graph/index.ts";
import { GraphKeys, trainableVariables, type Variable, writeVariable } from "../variables/index.ts";
import { Slots } from "./slots.ts";

export type GradAndVar = readonly [Grad | null, Variable];

export interface ComputeGradientsOptions {
  /** by default the graph's trainable variables */
  readonly varList?: readonly Variable[];
  /** gradient of the loss itself: ones */
  readonly gradLoss?: Output;
  /** "op": the gradients of one op are there together or not at all; "graph": all of them; "none" */
  readonly gateGradients?: "none" | "op" | "graph";
  readonly colocateGradientsWithOps?: boolean;
}

export interface ApplyGradientsOptions {
  /** counted up by one after the updates */
  readonly globalStep?: Variable;
  /** of the train op: by default the optimizer's name */
  readonly name?: string;
}

export type MinimizeOptions = ComputeGradientsOptions & ApplyGradientsOptions;

/** An optimizer. It makes its slot variables when gradients are applied. */
export interface Optimizer {
  readonly name: string;
  /** @throws VarscopeError INVALID_ARGUMENT - there are no variables, or the loss is no float */
  computeGradients(loss: Output, options?: ComputeGradientsOptions): GradAndVar[];
  /** The op that changes the variables. @throws VarscopeError INVALID_ARGUMENT - no variable has a gradient */
  applyGradients(gradsAndVars: readonly GradAndVar[], options?: ApplyGradientsOptions): Operation;
  /** computeGradients, then applyGradients. Batch normalization's update ops are not part of it. */
  minimize(loss: Output, options?: MinimizeOptions): Operation;
  /** What it remembers of a variable: momentum, m, v, ... */
  getSlot(v: Variable, name: string): Variable | null;
  getSlotNames(): string[];
  /** Its variables that belong to no variable in particular, by its own names for them: `beta1_power` */
  nonSlotVariables(graph: Graph): ReadonlyMap<string, Variable>;
  /** All its variables in a graph, by name. */
  variables(graph: Graph): Variable[];
}

/** A rate: a number, an output (a schedule), or a function that builds one each time gradients are applied. */
export type Hyper = number | Output | (() => number | Output);

/** Outputs of hyper-parameters, made under the train op's name scope. */
export type Hypers = Readonly<Record<string, Output>>;

/** What an optimizer knows while it builds updates. */
export interface Step {
  readonly graph: Graph;
  readonly slots: Slots;
  readonly hypers: Hypers;
}

/** What one kind of optimizer does. */
export interface Rule {
  createSlots(slots: Slots, variables: readonly Variable[]): void;
  prepare(graph: Graph): Hypers;
  dense(v: Variable, grad: Output, step: Step): Operation;
  /** rows without duplicates, unless `takesDuplicates` */
  sparse(v: Variable, grad: IndexedSlices, step: Step): Operation;
  readonly takesDuplicates?: boolean;
  /** after all updates; by default a group named `name` */
  finish?(updates: readonly Operation[], name: string, step: Step): Operation;
}

/** An optimizer of a rule. */
export function makeOptimizer(name: string, rule: Rule): Optimizer {
  if (name === "") throw new VarscopeError("INVALID_ARGUMENT", "Must specify the optimizer name");
  const slots = new Slots();
  const self: Optimizer = {
    name,
    computeGradients,
    applyGradients: (gradsAndVars, options = {}) => applyGradients(name, rule, slots, gradsAndVars, options),
    minimize(loss, options = {}) {
      const found = computeGradients(loss, options);
      if (found.every(([grad]) => grad === null)) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `No gradients provided for any variable, check your graph for ops that do not support gradients, between variables ${listed(found)} and loss ${loss.name}.`,
        );
      }
      return self.applyGradients(found, options);
    },
    getSlot: (v, slot) => slots.get(v, slot),
    getSlotNames: () => slots.names(),
    nonSlotVariables: (graph) => slots.othersOf(graph),
    variables: (graph) => slots.variables(graph),
  };
  return self;
}

const listed = (pairs: readonly GradAndVar[]): string =>
  `[${pairs.map(([, v]) => `'${v.name}'`).join(", ")}]`;

function computeGradients(loss: Output, options: ComputeGradientsOptions = {}): GradAndVar[] {
  const { graph } = loss;
  checkFloat(loss);
  const variables = options.varList ?? trainableVariables(graph);
  if (variables.length === 0) throw new VarscopeError("INVALID_ARGUMENT", "No variables to optimize.");
  const gate = options.gateGradients ?? "op";
  let grads = gradients(
    loss,
    variables.map((v) => v.handle),
    {
      ...(options.gradLoss === undefined ? {} : { gradYs: [options.gradLoss] }),
      gateGradients: gate === "op",
      colocateGradientsWithOps: options.colocateGradientsWithOps ?? false,
    },
  );
  if (gate === "graph") grads = tuple(graph, grads);
  const pairs = grads.map((grad, i): GradAndVar => [grad, variables[i]!]);
  for (const [grad, v] of pairs) if (grad !== null) checkFloat(v);
  return pairs;
}

function checkFloat(x: { readonly dtype: Output["dtype"]; readonly name: string }): void {
  if (isFloat(x.dtype)) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Invalid type ${x.dtype} for ${x.name}, expected: float16, bfloat16, float32 or float64.`,
  );
}

function applyGradients(
  name: string,
  rule: Rule,
  slots: Slots,
  gradsAndVars: readonly GradAndVar[],
  options: ApplyGradientsOptions,
): Operation {
  if (gradsAndVars.length === 0) throw new VarscopeError("INVALID_ARGUMENT", "No variables provided.");
  const pairs = gradsAndVars.filter((p): p is readonly [Grad, Variable] => p[0] !== null);
  if (pairs.length === 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `No gradients provided for any variable: ${listed(gradsAndVars)}.`,
    );
  }
  const { graph } = pairs[0]![1];
  const variables = pairs.map(([, v]) => v);
  graph.controlDependencies(null, () => rule.createSlots(slots, variables));
  const trainOp = graph.nameScope(options.name ?? name, (scope) => {
    const step: Step = { graph, slots, hypers: rule.prepare(graph) };
    const updates = pairs.map(([grad, v]) =>
      graph.nameScope(`update_${v.op.name}`, () =>
        graph.colocateWith(v.op, () => updateOf(rule, grad, v, step)),
      ),
    );
    const finish = (at: string): Operation => rule.finish?.(updates, at, step) ?? group(graph, updates, at);
    const { globalStep } = options;
    if (globalStep === undefined) return finish(scope);
    return graph.controlDependencies([finish("update")], () => countUp(globalStep, scope));
  });
  const known = graph.getCollection<Operation>(GraphKeys.TRAIN_OP);
  if (!known.includes(trainOp)) graph.addToCollection(GraphKeys.TRAIN_OP, trainOp);
  return trainOp;
}

function updateOf(rule: Rule, grad: Grad, v: Variable, step: Step): Operation {
  if (isIndexedSlices(grad)) {
    if (v.constraint !== null) {
      throw new VarscopeError("INVALID_ARGUMENT", "Cannot use a constraint function on a sparse variable.", {
        at: v.name,
      });
    }
    return rule.sparse(v, rule.takesDuplicates ? grad : withoutDuplicates(grad), step);
  }
  const update = rule.dense(v, grad, step);
  const { constraint } = v;
  if (constraint === null) return update;
  return v.graph.controlDependencies([update], () => {
    return writeVariable(v, "assign", constraint(v.value())).op;
  });
}

/** Rows of one index added up: slots must see each row once. */
function withoutDuplicates({ values, indices, denseShape }: IndexedSlices): IndexedSlices {
  const { graph } = values;
  const [unique, positions] = graph.addOp("Unique", [indices]).outputs as [Output, Output];
  const shape = graph.add("Shape", [unique]);
  const rows = graph.nameScope("strided_slice", (scope) => {
    const bounds = [0, 1, 1].map((v) => graph.constant([v], { dtype: "int32", name: "stack" }));
    return graph.add("StridedSlice", [shape, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
  });
  const sums = graph.add("UnsortedSegmentSum", [values, positions, rows]);
  return { values: sums, indices: unique, denseShape };
}

function countUp(globalStep: Variable, name: string): Operation {
  const { graph } = globalStep;
  return graph.colocateWith(globalStep.op, () => {
    const up = globalStep.assignAdd(1, { name, readValue: false });
    return up instanceof Output ? up.op : up;
  });
}

/** An output of a hyper-parameter, a Const `name` where it is a number. */
export function hyperOutput(graph: Graph, value: Hyper, name: string): Output {
  const given = typeof value === "function" ? value() : value;
  return given instanceof Output ? given : graph.constant(given, { name });
}

/** `x` in another dtype: a Cast where it is needed. */
export const castTo = (x: Output, dtype: Output["dtype"]): Output =>
  x.dtype === dtype ? x : x.graph.add("Cast", [x], { attrs: { DstT: dtype } });
