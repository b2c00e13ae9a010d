/** @file The batch normalizations of a graph: how they are set, which ops update their statistics, what trains. Start at `normUses`. */

import type { Tensor } from "../../base/index.ts";
import { roleOf } from "../../formats/collection/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import type { GraphFile } from "../graph/open-graph.ts";
import type { KnownNorm } from "./keras-norms.ts";

/** A normalization where a graph computes it. */
export interface NormUse {
  readonly op: Operation;
  /** scope of its variables */
  readonly layer: string;
  readonly epsilon: number | null;
  /** whether it takes the batch's statistics; null where a placeholder decides */
  readonly isTraining: boolean | null;
}

/** An op that moves a statistic. */
export interface UpdateOp {
  readonly op: Operation;
  /** the moving mean or variance */
  readonly variable: string;
  readonly momentum: number | null;
}

const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

/** Ops that hand a variable's value on. */
const PASSES: ReadonlySet<string> = new Set([
  "Identity",
  "ReadVariableOp",
  "Switch",
  "RefSwitch",
  "Enter",
  "RefEnter",
  "Cast",
  "Squeeze",
  "Reshape",
]);

/** The variable (or the constant that took its place) behind a value; null where it is computed. */
export function variableOf(x: Output): Operation | null {
  let { op } = x;
  for (let hops = 0; hops < 16; hops++) {
    if (op.def?.variable !== undefined || op.type === "Const") return op;
    if (!PASSES.has(op.type) || op.inputs.length === 0) return null;
    op = op.inputs[0]!.op;
  }
  return null;
}

/** All ops that `from` needs, itself too. */
export function ancestors(from: readonly Operation[]): Set<Operation> {
  const seen = new Set<Operation>();
  const stack = [...from];
  while (stack.length > 0) {
    const op = stack.pop()!;
    if (seen.has(op)) continue;
    seen.add(op);
    for (const x of op.inputs) stack.push(x.op);
    for (const c of op.controlInputs) stack.push(c);
  }
  return seen;
}

/** Normalizations of a graph: fused ops, and those of many small ops by TensorFlow's names for them. */
export function normUses(graph: Graph): NormUse[] {
  return graph.operations.flatMap((op) => {
    if (/^FusedBatchNorm(V2|V3)?$/.test(op.type)) return [fusedUse(op)];
    return op.type === "Rsqrt" && /(^|\/)batchnorm(_\d+)?\/Rsqrt(_\d+)?$/.test(op.name) ? [looseUse(op)] : [];
  });
}

function fusedUse(op: Operation): NormUse {
  const named = [1, 2, 3, 4]
    .flatMap((i) => variableOf(op.inputs[i]!) ?? [])
    .find((v) => roleOf(v.name, null, () => undefined).role !== "other");
  const underCond = op.inputs[0]!.op.type === "Switch";
  return {
    op,
    layer: named === undefined ? scopeOf(op.name) : scopeOf(named.name),
    epsilon: typeof op.attrs.epsilon === "number" ? op.attrs.epsilon : null,
    isTraining: underCond ? null : op.attrs.is_training !== false,
  };
}

function looseUse(op: Operation): NormUse {
  const sum = op.inputs[0]!.op;
  const epsilon = sum.inputs.map((x) => scalarConst(x.op)).find((x) => x !== null) ?? null;
  const variance = sum.inputs.find((x) => scalarConst(x.op) === null);
  const variable = variance === undefined ? null : variableOf(variance);
  const isNamed =
    variable !== null && variable.type !== "Const" ? true : /moving_var/.test(variable?.name ?? "");
  return {
    op,
    layer: isNamed ? scopeOf(variable!.name) : op.name.replace(/\/?batchnorm(_\d+)?\/Rsqrt(_\d+)?$/, ""),
    epsilon,
    isTraining: variance === undefined ? null : fromMoments(variance.op),
  };
}

/** Whether a variance is computed from a batch (a mean of squares), or is a variable's; null where a condition chooses. */
function fromMoments(start: Operation): boolean | null {
  let op = start;
  for (let hops = 0; hops < 16; hops++) {
    if (op.type === "Mean" || op.type === "SquaredDifference") return true;
    if (op.type === "Merge" || op.type === "If" || op.type === "StatelessIf" || op.type.startsWith("Select"))
      return null;
    if (op.def?.variable !== undefined || op.type === "Const" || op.inputs.length === 0) return false;
    op = op.inputs[0]!.op;
  }
  return null;
}

/** Value of a Const of one element. */
function scalarConst(op: Operation): number | null {
  const value = op.type === "Const" ? (op.attrs.value as unknown as Tensor | undefined) : undefined;
  if (value === undefined || value.data.length !== 1 || value.dtype === "string") return null;
  return Number(value.data[0]);
}

const isStatistic = (name: string): boolean => roleOf(name, null, () => undefined).role.startsWith("moving-");

/** Ops that move a moving mean or variance, each assigning a part of the difference. @see python/training/moving_averages.py */
export function updateOps(graph: Graph): UpdateOp[] {
  return graph.operations.flatMap((op) => {
    if (op.type !== "AssignSub" && op.type !== "AssignSubVariableOp") return [];
    const variable = variableOf(op.inputs[0]!);
    if (variable === null || !isStatistic(variable.name)) return [];
    return [{ op, variable: variable.name, momentum: momentumOf(op.inputs[1]!.op) }];
  });
}

/** The delta is (variable - value) * decay; decay is a constant 1 - momentum, or is computed as 1 - momentum. */
function momentumOf(delta: Operation): number | null {
  for (const x of delta.inputs) {
    const op = x.op.type === "Cast" ? x.op.inputs[0]!.op : x.op;
    const decay = scalarConst(op);
    if (decay !== null && decay > 0 && decay < 1) return Number((1 - decay).toPrecision(6));
    if (op.type !== "Sub") continue;
    const [one, momentum] = op.inputs.map((y) => scalarConst(y.op));
    if (one === 1 && momentum !== null && momentum !== undefined) return Number(momentum.toPrecision(6));
  }
  return null;
}

/** Ops by which optimizers change variables. @see TensorFlow core/ops/training_ops.cc */
export const trainingOps = (graph: Graph): Operation[] =>
  graph.operations.filter((op) => /^(Resource)?(Sparse)?Apply[A-Z]/.test(op.type));

/** Sets of ops that are run together when one trains: what each end of the graph needs that needs a training op. */
export function trainingRuns(graph: Graph): { readonly target: Operation; readonly ops: Set<Operation> }[] {
  const training = trainingOps(graph);
  if (training.length === 0) return [];
  // From the training ops forward to where nobody waits any more.
  const seen = new Set<Operation>();
  const ends: Operation[] = [];
  const stack = [...training];
  while (stack.length > 0) {
    const op = stack.pop()!;
    if (seen.has(op)) continue;
    seen.add(op);
    if (op.consumers.size === 0) ends.push(op);
    for (const user of op.consumers) stack.push(user);
  }
  return ends.map((target) => ({ target, ops: ancestors([target]) }));
}

/** Settings by layer, as far as the graph shows them. */
export function graphNorms(file: GraphFile | null): Map<string, KnownNorm> {
  const found = new Map<string, KnownNorm>();
  if (file === null) return found;
  for (const { layer, epsilon } of normUses(file.graph))
    if (epsilon !== null) found.set(layer, { ...found.get(layer), epsilon: Number(epsilon.toPrecision(6)) });
  for (const { variable, momentum } of updateOps(file.graph))
    if (momentum !== null) found.set(scopeOf(variable), { ...found.get(scopeOf(variable)), momentum });
  return found;
}
