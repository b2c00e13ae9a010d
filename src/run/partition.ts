/**
 * @file Steps to stages: host steps in even stages, ONNX steps in odd ones, each as early as its inputs allow, so that a plan is a short
 * list of host calls and ONNX models.
 */

import { sizeOrNull } from "../base/index.ts";
import { hasHostForm, type Slot, type Step } from "./steps.ts";

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

/** A kernel of ours on so many elements is done before the engine is called. */
const MAX_SMALL_ELEMENTS = 16;

/**
 * Steps on a few numbers go to the host where that splits no model: what they need is known before the engine runs. For the sides of loops,
 * whose counters and conditions would cost a call of the engine in every iteration.
 */
export function smallOnHost(steps: readonly Step[]): Step[] {
  const byEngine = new Set<Slot>();
  const isSmall = (slot: Slot | null): boolean =>
    slot === null || (sizeOrNull(slot.spec.shape) ?? MAX_SMALL_ELEMENTS + 1) <= MAX_SMALL_ELEMENTS;
  return steps.map((step) => {
    const { inputs, outputs, writes } = step;
    const fits =
      step.kind === "onnx" &&
      writes.length === 0 &&
      [...inputs, ...outputs].every(isSmall) &&
      inputs.every((slot) => slot === null || !byEngine.has(slot)) &&
      hasHostForm(step);
    if (fits) return { ...step, kind: "host" };
    if (step.kind === "onnx")
      for (const slot of [...outputs, ...writes.map((w) => w.slot)]) if (slot !== null) byEngine.add(slot);
    return step;
  });
}
