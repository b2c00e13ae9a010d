/**
 * @file Where a graph normalizes: the input of each batch normalization, its moving statistics, and whether it takes these or the batch's.
 * Found by structure, not by names: fused ops, and the formula x · s + (beta - mean · s) of TensorFlow's many small ops. Start at `normSites`.
 *
 * @see TensorFlow python/ops/nn_impl.py "batch_normalization", "fused_batch_norm"
 */

import { isStatic, type Tensor } from "../../base/index.ts";
import { roleOf } from "../../formats/collection/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import { variableOf } from "../doctor/graph-norms.ts";
import type { NormFacts } from "./convention.ts";

/** Which statistics a normalization takes: the batch's, the moving ones, or as a predicate says. */
export type NormMode = "training" | "inference" | "switched";

/** One normalization of a graph. A layer that is applied twice has two. */
export interface NormSite extends NormFacts {
  /** scope of its variables */
  readonly layer: string;
  /** what is normalized; of a conditional, outside of it */
  readonly x: Output;
  /** the result; of a conditional, of its training branch */
  readonly y: Output;
  readonly gamma: Output | null;
  readonly beta: Output | null;
  /** variables, or the constants that took their place */
  readonly mean: Operation;
  readonly variance: Operation;
  /** shape with which the statistics are broadcast to `x` */
  readonly wide: readonly number[];
  readonly mode: NormMode;
  /** predicates that choose the statistics: placeholders, mostly */
  readonly predicates: readonly Output[];
  /** whether training weighs or masks elements */
  readonly isWeighted: boolean;
}

/** All normalizations whose moving statistics are known, in the order of the graph. */
export function normSites(graph: Graph): NormSite[] {
  return graph.operations.flatMap((op) => {
    if (/^FusedBatchNorm(V2|V3)?$/.test(op.type)) return fusedSite(op) ?? [];
    return op.type === "Rsqrt" ? (looseSite(op) ?? []) : [];
  });
}

const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

/** Steps that values pass on their way; more are not followed. */
const MOST_HOPS = 16;

function fusedSite(op: Operation): NormSite | null {
  const fork = throughSwitch(op.inputs[0]!);
  const isTraining = op.attrs.is_training !== false;
  // of a conditional, one site for both branches: the training one, whose outputs lead to the update ops
  if (fork.predicate !== null && !isTraining) return null;
  const found = isTraining
    ? { mean: updatedFrom(op.output(1)), variance: updatedFrom(op.output(2)) }
    : { mean: variableOf(op.inputs[3]!), variance: variableOf(op.inputs[4]!) };
  const statistics = withNamed(op.graph, found, [1, 2], op);
  if (statistics === null) return null;
  const channels = shapeOf(statistics.mean)?.[0];
  if (channels === undefined || channels === null) return null;
  const rank = op.inputs[0]!.shape?.length ?? 4;
  const first = String(op.attrs.data_format ?? "NHWC").startsWith("NC");
  return {
    layer: scopeOf(statistics.mean.name),
    x: fork.value,
    y: op.output(0),
    gamma: op.inputs[1]!,
    beta: op.inputs[2]!,
    epsilon: Number(op.attrs.epsilon ?? 1e-4),
    ...statistics,
    wide: first ? [channels, ...Array(rank - 2).fill(1)] : [channels],
    mode: fork.predicate !== null ? "switched" : isTraining ? "training" : "inference",
    predicates: fork.predicate === null ? [] : [fork.predicate],
    isWeighted: false,
    isFused: true,
    rank,
    axes: 1,
  };
}

/** 1 / √(variance + epsilon), and what follows from it: times gamma, times x, times the mean. */
function looseSite(rsqrt: Operation): NormSite | null {
  const sum = rsqrt.inputs[0]!.op;
  const constants = sum.inputs.map((x) => scalarConst(x.op));
  const at = constants.findIndex((c) => c !== null);
  if (!sum.type.startsWith("Add") || at < 0) return null;
  const variance = momentOf(sum.inputs[1 - at]!);
  for (const sumOp of users(rsqrt, 4).filter((op) => op.type.startsWith("Add"))) {
    const formula = formulaOf(sumOp, rsqrt);
    if (formula === null) continue;
    const mean = momentOf(formula.mean);
    const statistics = withNamed(rsqrt.graph, { mean: mean.moving, variance: variance.moving }, [], rsqrt);
    const wide = statistics === null ? null : wideShape(formula.mean, statistics.mean);
    if (statistics === null || wide === null) return null;
    const { isBatch } = variance;
    return {
      layer: scopeOf(statistics.mean.name),
      x: formula.x,
      y: sumOp.output(0),
      gamma: formula.gamma,
      beta: formula.beta,
      epsilon: constants[at]!,
      ...statistics,
      wide,
      mode: isBatch === null ? "switched" : isBatch ? "training" : "inference",
      predicates: [...new Set([...mean.predicates, ...variance.predicates])],
      isWeighted: variance.isWeighted,
      isFused: false,
      rank: formula.x.shape?.length ?? null,
      axes: Math.max(1, wide.filter((d) => d !== 1).length),
    };
  }
  return null;
}

interface Formula {
  readonly x: Output;
  readonly mean: Output;
  readonly gamma: Output | null;
  readonly beta: Output | null;
}

/** The parts of Add(Mul(x, s), Sub(beta, Mul(mean, s))), where s is the root or Mul(root, gamma). */
function formulaOf(sum: Operation, rsqrt: Operation): Formula | null {
  for (const i of [0, 1]) {
    const product = plain(sum.inputs[i]!).op;
    const shift = plain(sum.inputs[1 - i]!).op;
    if (product.type !== "Mul") continue;
    const drift = shift.type === "Sub" ? plain(shift.inputs[1]!).op : shift;
    const x = factorBeside(product, rsqrt);
    const mean = drift.type === "Mul" ? factorBeside(drift, rsqrt) : null;
    if (x === null || mean === null) continue;
    const scale = x.scale ?? mean.scale;
    const isNegated = shift.type !== "Sub" && mean.value.op.type === "Neg";
    return {
      x: x.value,
      mean: isNegated ? mean.value.op.inputs[0]! : mean.value,
      gamma: scale,
      beta: shift.type === "Sub" ? shift.inputs[0]! : null,
    };
  }
  return null;
}

/** The factor of a product whose other one is the root, or the root times gamma. */
function factorBeside(
  product: Operation,
  rsqrt: Operation,
): { readonly value: Output; readonly scale: Output | null } | null {
  for (const i of [0, 1]) {
    const s = plain(product.inputs[i]!).op;
    const value = product.inputs[1 - i]!;
    if (s === rsqrt) return { value, scale: null };
    const at = s.type === "Mul" ? s.inputs.findIndex((y) => plain(y).op === rsqrt) : -1;
    if (at >= 0) return { value, scale: s.inputs[1 - at]! };
  }
  return null;
}

/** What a Cast or Identity was made of. */
function plain(x: Output): Output {
  let y = x;
  for (let hops = 0; hops < MOST_HOPS && (y.op.type === "Cast" || y.op.type === "Identity"); hops++)
    y = y.op.inputs[0]!;
  return y;
}

/** Ops that use `op`, and those that use them, `depth` times. */
function users(op: Operation, depth: number): Operation[] {
  let ring = [op];
  const all = new Set<Operation>();
  for (let i = 0; i < depth; i++) {
    ring = [...new Set(ring.flatMap((o) => [...o.consumers]))].filter((o) => !all.has(o));
    for (const o of ring) all.add(o);
  }
  return [...all];
}

interface Moment {
  readonly moving: Operation | null;
  /** whether it is the batch's; null where a predicate says */
  readonly isBatch: boolean | null;
  readonly predicates: readonly Output[];
  readonly isWeighted: boolean;
}

/** Where a mean or variance comes from. */
function momentOf(value: Output): Moment {
  const moving = variableOf(value);
  if (moving !== null) return { moving, isBatch: false, predicates: [], isWeighted: false };
  let x = value;
  for (let hops = 0; hops < MOST_HOPS && x.op.inputs.length > 0; hops++) {
    const isWeighted = x.op.type === "DivNoNan"; // a sum over the sum of weights
    if (x.op.type === "Mean" || isWeighted)
      return { moving: updatedFrom(value) ?? updatedFrom(x), isBatch: true, predicates: [], isWeighted };
    if (x.op.type === "Merge") {
      const inputs = x.op.inputs.slice(0, 2);
      return {
        moving: inputs.map(variableOf).find((v) => v !== null) ?? null,
        isBatch: null,
        isWeighted: inputs.some((y) => variableOf(y) === null && momentOf(throughSwitch(y).value).isWeighted),
        predicates: inputs.flatMap((y) => throughSwitch(y).predicate ?? []),
      };
    }
    x = x.op.inputs[0]!;
  }
  return { moving: null, isBatch: null, predicates: [], isWeighted: false };
}

/** What enters a branch of a conditional, and the predicate; the value itself where it is in none. */
function throughSwitch(x: Output): { readonly value: Output; readonly predicate: Output | null } {
  let y = x;
  for (let hops = 0; hops < MOST_HOPS; hops++) {
    if (/^(Ref)?Switch$/.test(y.op.type))
      return { value: y.op.inputs[0]!, predicate: plain(y.op.inputs[1]!) };
    if (!["Identity", "Cast", "ReadVariableOp"].includes(y.op.type)) break;
    y = y.op.inputs[0]!;
  }
  return { value: x, predicate: null };
}

/** Ops that hand a batch's statistic on to the op that averages it; of parts of a batch, their mean. */
const HANDS_ON: ReadonlySet<string> = new Set(["Cast", "Identity", "Mean", "Merge", "Squeeze", "Switch"]);

/** The variable that an update op moves towards `value`: variable -= (variable - value) · rate. */
function updatedFrom(value: Output): Operation | null {
  let ring = [value];
  const seen = new Set(ring);
  for (let hops = 0; hops < 6 && ring.length > 0; hops++) {
    const next: Output[] = [];
    for (const x of ring) {
      for (const op of x.op.consumers) {
        if (!op.inputs.includes(x)) continue;
        const moved = op.type === "Sub" && op.inputs[1] === x ? variableOf(op.inputs[0]!) : null;
        if (moved?.def?.variable !== undefined) return moved;
        if (HANDS_ON.has(op.type)) next.push(...op.outputs.filter((y) => !seen.has(y)));
      }
    }
    for (const y of next) seen.add(y);
    ring = next;
  }
  return null;
}

interface Statistics {
  readonly mean: Operation;
  readonly variance: Operation;
}

/** Statistics that structure does not tell are those in the scope of what is known. */
function withNamed(
  graph: Graph,
  found: { readonly mean: Operation | null; readonly variance: Operation | null },
  inputs: readonly number[],
  op: Operation,
): Statistics | null {
  const { mean, variance } = found;
  if (mean !== null && variance !== null && mean !== variance) return { mean, variance };
  const known = mean ?? variance ?? inputs.map((i) => variableOf(op.inputs[i]!)).find((v) => v !== null);
  const layer = scopeOf(known?.name ?? op.name);
  const named = (role: string): Operation | undefined =>
    graph.operations.find(
      (o) =>
        (o.def?.variable !== undefined || o.type === "Const") &&
        scopeOf(o.name) === layer &&
        roleOf(o.name, null, () => undefined).role === role,
    );
  const [m, v] = [mean ?? named("moving-mean"), variance ?? named("moving-variance")];
  return m === undefined || v === undefined || m === v ? null : { mean: m, variance: v };
}

const shapeOf = (op: Operation): readonly (number | null)[] | null =>
  op.def?.variable?.(op.attrs as never).shape ?? op.outputs[0]?.shape ?? null;

/** How a mean meets the input: as it stands in the formula, or as the variable is. */
function wideShape(inFormula: Output, mean: Operation): readonly number[] | null {
  const shape = isStatic(inFormula.shape) ? inFormula.shape : shapeOf(mean);
  return shape !== null && isStatic(shape) ? shape : null;
}

/** Value of a Const of one element. */
function scalarConst(op: Operation): number | null {
  const value = op.type === "Const" ? (op.attrs.value as unknown as Tensor | undefined) : undefined;
  if (value === undefined || value.data.length !== 1 || value.dtype === "string") return null;
  return Number(value.data[0]);
}
