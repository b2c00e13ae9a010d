/**
 * @file Steps to stages: host steps in even stages, ONNX steps in odd ones, each as early as its inputs allow, so that a plan is a short
 * list of host calls and ONNX models.
 */

import { sizeOrNull } from "../base/index.ts";
import { type Analysis, hasHostForm, type Slot, type Step } from "./steps.ts";

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

/** And on so many before the engine has loaded a model that runs once. */
const MAX_INITIAL_ELEMENTS = 1 << 16;

/** Steps of the engine that `suits` go to the host where that splits no model: what they need is known before the engine runs. */
function early(steps: readonly Step[], suits: (step: Step) => boolean): Step[] {
  const byEngine = new Set<Slot>();
  return steps.map((step) => {
    if (step.kind === "host") return step;
    const { inputs, outputs, writes } = step;
    const known = inputs.every((slot) => slot === null || !byEngine.has(slot));
    if (known && suits(step) && hasHostForm(step)) return { ...step, kind: "host" };
    for (const slot of [...outputs, ...writes.map((w) => w.slot)]) if (slot !== null) byEngine.add(slot);
    return step;
  });
}

const isSmall = ({ inputs, outputs }: Step, most: number): boolean =>
  [...inputs, ...outputs].every(
    (slot) => slot === null || (sizeOrNull(slot.spec.shape) ?? Number.POSITIVE_INFINITY) <= most,
  );

/** Whether a step takes and gives but a few numbers. */
export const isSmallStep = (step: Step): boolean => isSmall(step, MAX_SMALL_ELEMENTS);

/** For the sides of loops, whose counters and conditions would cost a call of the engine in every iteration. */
export const smallOnHost = (steps: readonly Step[]): Step[] =>
  early(steps, (step) => step.writes.length === 0 && isSmallStep(step));

/**
 * For plans outside of loops. A value that the host has is assigned there, at no cost; and all that is small goes to the host where a run starts
 * from nothing and sets variables, as that of an initializer, which runs once: the engine's time to load a model grows with the square of how many
 * nodes stand side by side, and thousands of variables have as many.
 */
export function initialOnHost({ steps, feeds, reads, final }: Analysis): Step[] {
  const isInitial = final.size > 0 && reads.length === 0 && feeds.size === 0;
  return early(steps, (step) => overwrites(step) || (isInitial && isSmall(step, MAX_INITIAL_ELEMENTS)));
}

/** Whether all the op does is to put values in the places of others. */
function overwrites({ op, writes }: Step): boolean {
  const access = op.needDef().access ?? {};
  return writes.length > 0 && Object.values(access).every((a) => a === "write");
}
