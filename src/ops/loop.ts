/**
 * @file Loops of TensorFlow 1: a value enters a frame, goes round through NextIteration, Merge and Switch, and exits. A session reads such a
 * frame as one loop (src/run/control/frames.ts), so these ops have no lowering and no kernel.
 *
 * @see TensorFlow core/ops/control_flow_ops.cc; python/ops/control_flow_ops.py "WhileContext"
 */

import { absent, attr, defineOp, type Spec, stopsGradients } from "../graph/index.ts";
import { enterGrad, exitGrad, nextGrad } from "./loop-grad.ts";

const PLANNED = absent("read as part of a loop while planning");
const planned = { lower: PLANNED, host: PLANNED } as const;
const entered = { ...planned, grad: enterGrad, gradTakesSlices: true } as const;
const left = { ...planned, grad: exitGrad, gradTakesSlices: true } as const;
const goesOn = { ...planned, grad: nextGrad, gradTakesSlices: true } as const;

const same = ({ data }: { readonly data: Spec }) => [{ shape: data.shape, handle: data.handle }];
/** A loop may give it another shape each time round; its rank stays. */
const frameAttrs = {
  T: attr.type(),
  frame_name: attr.string(),
  is_constant: attr.bool({ default: false }),
  parallel_iterations: attr.int({ default: 10 }),
};
const types = { T: attr.type() };

/** `data` inside the frame `frame_name`: in its first iteration, or in all of them where it is a constant of the loop. */
export const Enter = defineOp("Enter", {
  inputs: { data: "T" },
  outputs: { output: "T" },
  attrs: frameAttrs,
  control: "enter",
  infer: same,
  ...entered,
});

/** The same for a variable's buffer. */
export const RefEnter = defineOp("RefEnter", {
  inputs: { data: "ref(T)" },
  outputs: { output: "ref(T)" },
  attrs: frameAttrs,
  control: "enter",
  infer: same,
  ...entered,
});

/** `data` of the last iteration, outside the frame. */
export const Exit = defineOp("Exit", {
  inputs: { data: "T" },
  outputs: { output: "T" },
  attrs: types,
  control: "exit",
  infer: same,
  ...left,
});

/** The same for a variable's buffer. */
export const RefExit = defineOp("RefExit", {
  inputs: { data: "ref(T)" },
  outputs: { output: "ref(T)" },
  attrs: types,
  control: "exit",
  infer: same,
  ...left,
});

/** `data` in the next iteration. */
export const NextIteration = defineOp("NextIteration", {
  inputs: { data: "T" },
  outputs: { output: "T" },
  attrs: types,
  control: "next",
  infer: same,
  ...goesOn,
});

/** The same for a variable's buffer. */
export const RefNextIteration = defineOp("RefNextIteration", {
  inputs: { data: "ref(T)" },
  outputs: { output: "ref(T)" },
  attrs: types,
  control: "next",
  infer: same,
  ...goesOn,
});

/** Marks what decides whether the loop goes on. */
export const LoopCond = defineOp("LoopCond", {
  inputs: { input: "bool" },
  outputs: { output: "bool" },
  control: "loopCond",
  infer: () => [{ shape: [] }],
  ...planned,
  grad: stopsGradients,
});

/** Does nothing; something to hang control edges on, of branches too of which one is not taken. */
export const ControlTrigger = defineOp("ControlTrigger", {
  inputs: {},
  outputs: {},
  runsAfterDead: true,
  infer: () => [],
  grad: absent("it has no outputs"),
  lower: () => [],
  host: () => [],
});
