/**
 * @file Exponential moving averages of many variables: shadows beside them in the graph and in checkpoints, as `<variable>/<name>`. Start at
 * `ExponentialMovingAverage`.
 *
 * @see TensorFlow python/training/moving_averages.py; python/training/slot_creator.py
 */

import { isStatic, VarscopeError } from "../base/index.ts";
import { Graph, group, type Operation, Output } from "../graph/index.ts";
import { shape, zeros } from "../ops/index.ts";
import { GraphKeys, globalVariables, movingAverageVariables, trainableVariables } from "./collections.ts";
import { valueOrInitial } from "./guard.ts";
import { zerosInitializer } from "./initializers.ts";
import { assignMovingAverage } from "./moving-average.ts";
import type { Initializer } from "./scope-state.ts";
import { shadowOf } from "./shadow.ts";
import { isVariable, type Variable } from "./variable.ts";

export interface ExponentialMovingAverageOptions {
  /** steps so far: a variable (after a restore it goes on), an output or a number. The decay is min(decay, (1 + n) / (10 + n)) then */
  readonly numUpdates?: Variable | Output | number;
  /** averages of outputs, which start at 0, are divided by 1 - decayᵗ; costs two more variables each: false */
  readonly zeroDebias?: boolean;
  /** last part of the shadows' names: "ExponentialMovingAverage" */
  readonly name?: string;
}

const DTYPES: ReadonlySet<string> = new Set(["bfloat16", "float16", "float32", "float64"]);

/**
 * shadow -= (shadow - variable) · (1 - decay), for each of many variables.
 *
 * The op that `apply` gives must be run after each step, so build it under a control dependency on the train op: run beside it, it may average
 * the values before the step. To evaluate with the averages, restore a checkpoint by `variablesToRestore`, or swap them in a session with
 * `swapAverages` of varscope/train.
 */
export class ExponentialMovingAverage {
  readonly name: string;
  private readonly decay: number | Output;
  private readonly options: ExponentialMovingAverageOptions;
  /** by the output that is averaged: of a variable, its handle */
  private readonly shadows = new Map<
    Output,
    { readonly original: Variable | Output; readonly shadow: Variable }
  >();

  /** @param decay - a number or an output, float32 []: 0.999 forgets half in 693 updates */
  constructor(decay: number | Output, options: ExponentialMovingAverageOptions = {}) {
    this.decay = decay;
    this.options = options;
    this.name = options.name ?? "ExponentialMovingAverage";
  }

  /**
   * The op that updates all shadows, which are made where they are not there yet. The shadow of a variable starts at the variable's initial
   * value (or its value, where it has one), that of an output at 0. Variables, not outputs, enter the collection
   * `moving_average_variables`.
   *
   * @param of - what to average; a graph stands for its trainable variables
   * @throws VarscopeError INVALID_ARGUMENT - a dtype that is not half, float or double; nothing to average
   */
  apply(of: Graph | readonly (Variable | Output)[]): Operation {
    const list = of instanceof Graph ? trainableVariables(of) : of;
    const graph = of instanceof Graph ? of : list[0]?.graph;
    if (graph === undefined)
      throw new VarscopeError("INVALID_ARGUMENT", "nothing to average", { at: this.name });
    const debiased = new Set<Variable>();
    for (const v of list) {
      if (!DTYPES.has(v.dtype)) {
        const what = `The variables must be half, float, or double: ${v.name}`;
        throw new VarscopeError("INVALID_ARGUMENT", `${what} is ${v.dtype}`, { at: v.name });
      }
      if (this.shadows.has(keyOf(v))) continue;
      const shadow = graph.controlDependencies(null, () => shadowOf(v, this.name, startOf(v)));
      if (isVariable(v)) graph.addToCollection(GraphKeys.MOVING_AVERAGE_VARIABLES, v);
      else if (this.options.zeroDebias) debiased.add(shadow);
      this.shadows.set(keyOf(v), { original: v, shadow });
    }
    return graph.nameScope(this.name, (scope) => {
      const decay = this.decayIn(graph);
      const updates = list.map((v) => {
        const { shadow } = this.shadows.get(keyOf(v))!;
        return assignMovingAverage(shadow, v, decay, { zeroDebias: debiased.has(shadow) }).op;
      });
      return group(graph, updates, scope);
    });
  }

  private decayIn(graph: Graph): Output {
    const decay = this.decay instanceof Output ? this.decay : graph.constant(this.decay, { name: "decay" });
    const { numUpdates } = this.options;
    if (numUpdates === undefined) return decay;
    const n = asFloat(graph, numUpdates);
    const rise = graph.add("AddV2", [1, n], { name: "add" });
    const quotient = graph.add("RealDiv", [rise, graph.add("AddV2", [10, n], { name: "add" })], {
      name: "truediv",
    });
    return graph.add("Minimum", [decay, quotient]);
  }

  /** The shadow of a variable or output; null where it has none. */
  average(of: Variable | Output): Variable | null {
    return this.shadows.get(keyOf(of))?.shadow ?? null;
  }

  /**
   * The name of its shadow in checkpoints; where it has none, the name that one would get here and now. In an open name scope that is a name
   * within the scope, and where the name is taken one with a suffix: as TensorFlow has it.
   */
  averageName(of: Variable | Output): string {
    const shadow = this.average(of);
    if (shadow !== null) return shadow.op.name;
    return of.graph.uniqueName(`${of.name.replace(/:\d+$/, "")}/${this.name}`, false);
  }

  /**
   * What a saver takes to restore the averages in place of the values: variables by the names of their shadows, all other variables by their own.
   *
   * @param averaged - whose averages to restore; by default **all trainable variables**, averaged or not, and the collection
   *   `moving_average_variables`. A checkpoint that lacks the average of one of them fails to restore: name those that have one
   */
  variablesToRestore(graph: Graph, averaged?: readonly Variable[]): Record<string, Variable> {
    const all = new Set(averaged ?? [...trainableVariables(graph), ...movingAverageVariables(graph)]);
    const map: Record<string, Variable> = {};
    for (const v of all) map[this.averageName(v)] = v;
    const names = new Set([...all].map((v) => v.name));
    for (const v of globalVariables(graph)) if (!names.has(v.name)) map[v.op.name] ??= v;
    return map;
  }

  /** The variables that are averaged, each with its shadow, in the order of `apply`. Outputs are left out. */
  pairs(): (readonly [variable: Variable, shadow: Variable])[] {
    return [...this.shadows.values()].flatMap(({ original, shadow }) =>
      isVariable(original) ? [[original, shadow] as const] : [],
    );
  }
}

const keyOf = (x: Variable | Output): Output => (isVariable(x) ? x.handle : x);

function asFloat(graph: Graph, n: Variable | Output | number): Output {
  if (n instanceof Output && n.dtype === "float32") return n;
  return graph.nameScope("num_updates", (scope) => {
    const isNumber = typeof n === "number";
    const value = isNumber
      ? graph.constant(n, { name: "x", dtype: Number.isInteger(n) ? "int32" : "float32" })
      : isVariable(n)
        ? n.value()
        : n;
    return value.dtype === "float32"
      ? value
      : graph.add("Cast", [value], { name: scope, attrs: { DstT: "float32" } });
  });
}

/** Where a shadow starts. */
function startOf(x: Variable | Output): Output | Initializer {
  if (isVariable(x)) return x.graph.withDevice(x.op.device, () => valueOrInitial(x));
  if (isStatic(x.shape)) return zerosInitializer();
  return zeros(x.graph, shape(x), { dtype: x.dtype });
}
