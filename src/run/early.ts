/**
 * @file What kernels can give before the engine is called, of shapes that are not known until then: what is popped off a stack, or read from a
 * list. In loops these run first, so that all behind them is planned with known shapes; gradients of loops would run in TypeScript without.
 * Start at `shapesToLearn`.
 */

import { isStatic } from "../base/index.ts";
import { isAbsent, type Operation, type Output } from "../graph/index.ts";
import { isOnnxType } from "../lower/index.ts";
import { isSmallStep } from "./partition.ts";
import type { Pruned } from "./prune.ts";
import type { Analysis, Slot, Step } from "./steps.ts";

/** Outputs of unknown shapes that need nothing of the engine, and that others than kernels of this kind need. */
export function shapesToLearn({ order }: Pruned, { steps }: Analysis): Output[] {
  const early = earlySteps(order, steps);
  const unknown = new Map<Slot, Output>();
  for (const { op, outputs } of early) {
    if (!isAbsent(op.needDef().lower)) continue;
    outputs.forEach((slot, i) => {
      if (slot !== null && !isStatic(slot.spec.shape) && isOnnxType(slot.spec.dtype))
        unknown.set(slot, op.outputs[i]!);
    });
  }
  const wanted = new Set<Output>();
  for (const step of steps) {
    if (early.has(step)) continue;
    for (const slot of step.inputs) {
      const output = slot === null ? undefined : unknown.get(slot);
      if (output !== undefined) for (const x of output.op.outputs) wanted.add(x); // all: its kernel runs once
    }
  }
  return [...wanted];
}

/** Steps that need, by data and control, nothing but each other. */
function earlySteps(order: readonly Operation[], steps: readonly Step[]): ReadonlySet<Step> {
  const stepOf = new Map(steps.map((step) => [step.op, step]));
  const late = new Set<Operation>();
  const lateSlots = new Set<Slot>();
  const early = new Set<Step>();
  for (const op of order) {
    const step = stepOf.get(op);
    const needsLate =
      step === undefined
        ? op.inputs.some((x) => late.has(x.op))
        : step.inputs.some((slot) => slot !== null && lateSlots.has(slot));
    if (
      !needsLate &&
      !op.controlInputs.some((c) => late.has(c)) &&
      (step === undefined || mayGoFirst(step))
    ) {
      if (step !== undefined) early.add(step);
      continue;
    }
    late.add(op);
    if (step === undefined) continue;
    for (const slot of [...step.outputs, ...step.writes.map((w) => w.slot)])
      if (slot !== null) lateSlots.add(slot);
  }
  return early;
}

/** What has outputs is not run again: they are fed. */
function mayGoFirst(step: Step): boolean {
  const { op, kind, outputs, writes, loop } = step;
  const { lower, stateful } = op.needDef();
  if (writes.length > 0 || loop !== undefined) return false;
  if (outputs.length === 0) return stateful !== true;
  return kind === "host" && (isAbsent(lower) || isSmallStep(step));
}
