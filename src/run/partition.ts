/**
 * @file Steps to stages: host steps in even stages, ONNX steps in odd ones, each as early as its inputs allow, so that a plan is a short
 * list of host calls and ONNX models.
 */

import type { Slot, Step } from "./steps.ts";

export interface Stage {
  readonly kind: Step["kind"];
  readonly steps: Step[];
}

export function partition(steps: readonly Step[]): Stage[] {
  const madeIn = new Map<Slot, number>();
  const ranIn = new Map<Step["op"], number>();
  const stages: Stage[] = [];
  for (const step of steps) {
    const parity = step.kind === "host" ? 0 : 1;
    let at = parity;
    const after = (stage: number | undefined): void => {
      if (stage !== undefined) at = Math.max(at, stage % 2 === parity ? stage : stage + 1);
    };
    for (const slot of step.inputs) if (slot !== null) after(madeIn.get(slot));
    // A host step may have effects outside: it keeps its control order.
    if (step.kind === "host") for (const op of step.op.controlInputs) after(ranIn.get(op));
    while (stages.length <= at) stages.push({ kind: stages.length % 2 === 0 ? "host" : "onnx", steps: [] });
    stages[at]!.steps.push(step);
    ranIn.set(step.op, at);
    for (const slot of step.outputs) if (slot !== null) madeIn.set(slot, at);
    for (const write of step.writes) madeIn.set(write.slot, at);
  }
  // ops that only order others (NoOp) compute nothing: ONNX Runtime refuses a model of none but them
  const computes = (s: Step): boolean => s.writes.length > 0 || s.outputs.some((slot) => slot !== null);
  return stages.filter((s) => (s.kind === "host" ? s.steps.length > 0 : s.steps.some(computes)));
}
