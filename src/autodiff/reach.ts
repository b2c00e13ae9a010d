/**
 * @file Which ops lie between ys and xs, how many gradients each of them waits for, and where backpropagation
 * ends. Start at `opsBetween`.
 *
 * @see TensorFlow python/ops/gradients_util.py "_PendingCount", "_StopOps"
 */

import type { DType } from "../base/index.ts";
import type { Operation, Output } from "../graph/index.ts";

/** @see TensorFlow python/eager/backprop_util.py "IsTrainable" */
const TRAINABLE: ReadonlySet<DType> = new Set([
  "float16",
  "float32",
  "float64",
  "complex64",
  "complex128",
  "resource",
  "variant",
  "bfloat16",
  "invalid", // of an op that is not known here: better an error that names it than no gradient
]);

/** Whether values of this dtype change by small steps, or stand for such. */
export const isTrainable = (dtype: DType): boolean => TRAINABLE.has(dtype);

/** Ops to which a trainable value leads from `from`, themselves included. */
function reachedFrom(from: readonly Operation[]): Set<Operation> {
  const reached = new Set<Operation>();
  const queue = [...from];
  for (let next = 0; next < queue.length; next++) {
    const op = queue[next]!;
    if (reached.has(op)) continue;
    reached.add(op);
    for (const consumer of op.consumers) {
      if (consumer.inputs.some((x) => x.op === op && isTrainable(x.dtype))) queue.push(consumer);
    }
  }
  return reached;
}

export interface Reach {
  /** ops of ys that xs lead to */
  readonly reachable: ReadonlySet<Operation>;
  /** ops on a way from xs to ys */
  readonly between: Set<Operation>;
}

/** The ops between `to` and `from`, back from `to`. */
export function opsBetween(to: readonly Operation[], from: readonly Operation[]): Reach {
  const reached = reachedFrom(from);
  const reachable = new Set(to.filter((op) => reached.has(op)));
  const between = new Set<Operation>();
  const queue = [...to];
  for (let next = 0; next < queue.length; next++) {
    const op = queue[next]!;
    if (!reached.has(op) || between.has(op)) continue;
    between.add(op);
    for (const x of op.inputs) queue.push(x.op);
  }
  return { reachable, between };
}

/** By op: uses of its outputs by ops of `between`, the gradients that it will receive. */
export function pendingCounts(between: ReadonlySet<Operation>): Map<Operation, number> {
  const counts = new Map<Operation, number>();
  for (const op of between) {
    for (const x of op.inputs) if (between.has(x.op)) counts.set(x.op, (counts.get(x.op) ?? 0) + 1);
  }
  return counts;
}

/** Ops that are not differentiated: those of xs that depend on no other x, and what the caller says. */
export function stopOps(
  from: readonly Operation[],
  also: readonly Operation[],
  counts: ReadonlyMap<Operation, number>,
): Set<Operation> {
  const first = from.filter((op) => !op.inputs.some((x) => (counts.get(x.op) ?? 0) > 0));
  return new Set([...first, ...also]);
}

/** Names of the ops from one of `ys` back to `op` and on to one of `xs`: for messages. */
export function pathThrough(op: Operation, ys: readonly Output[], xs: readonly Output[]): string[] {
  const forward = shortest(op, new Set(ys.map((y) => y.op)), (o) => o.consumers);
  const backward = shortest(op, new Set(xs.map((x) => x.op)), (o) => o.inputs.map((x) => x.op));
  return [...forward.reverse(), ...backward.slice(1)].map((o) => o.name);
}

function shortest(
  start: Operation,
  goals: ReadonlySet<Operation>,
  next: (op: Operation) => Iterable<Operation>,
): Operation[] {
  const from = new Map<Operation, Operation | null>([[start, null]]);
  for (const op of from.keys()) {
    if (goals.has(op)) {
      const path: Operation[] = [];
      for (let o: Operation | null = op; o !== null; o = from.get(o) ?? null) path.unshift(o);
      return path;
    }
    for (const o of next(op)) if (!from.has(o)) from.set(o, op);
  }
  return [start];
}
