/**
 * @file Finds the loops of TensorFlow 1 in a graph: which frame each op lies in, and what a frame consists of. Start at `findFrames`.
 *
 * @see TensorFlow core/graph/control_flow.cc "BuildControlFlowInfo"
 */

import { VarscopeError } from "../../base/index.ts";
import type { ControlKind, Graph, Operation, Output } from "../../graph/index.ts";

/** A loop: the ops between its Enters and its Exits. */
export interface Frame {
  readonly name: string;
  readonly parent: Frame | null;
  readonly enters: Operation[];
  readonly exits: Operation[];
}

/** A value that goes round. */
export interface LoopVariable {
  readonly enter: Operation;
  readonly merge: Operation;
  /** Switch's value inside, absent where the body does not take it from there */
  readonly inside: Output | null;
  readonly exits: readonly Operation[];
  /** what the next iteration starts with */
  readonly next: Output;
  readonly nextOp: Operation;
}

/** What a frame computes. */
export interface FrameParts {
  readonly variables: readonly LoopVariable[];
  /** Enters of what stays the same in all iterations */
  readonly constants: readonly Operation[];
  readonly condition: Output;
  readonly loopCond: Operation;
}

/** The frame of each op that lies in one. */
export type Frames = ReadonlyMap<Operation, Frame>;

const kind = (op: Operation): ControlKind | undefined => op.def?.control;
const NONE: Frames = new Map();

/** @throws VarscopeError INVALID_ARGUMENT - an Exit outside of any frame */
export function findFrames(graph: Graph): Frames {
  if (!graph.operations.some((op) => kind(op) === "enter")) return NONE;
  const frames = new Map<Operation, Frame | null>();
  const children = new Map<Frame | null, Map<string, Frame>>();
  const childOf = (parent: Frame | null, name: string): Frame => {
    const named = children.get(parent) ?? new Map<string, Frame>();
    children.set(parent, named);
    const frame = named.get(name) ?? { name, parent, enters: [], exits: [] };
    named.set(name, frame);
    return frame;
  };
  const place = (op: Operation, outer: Frame | null): void => {
    const frame = kind(op) === "enter" ? childOf(outer, String(op.attrs.frame_name)) : outer;
    frames.set(op, frame);
    if (kind(op) === "enter") frame!.enters.push(op);
    if (kind(op) === "exit") exitOf(op, frame).exits.push(op);
  };
  const stack: Operation[] = [];
  for (const op of graph.operations) {
    if (op.inputs.length > 0 || op.controlInputs.length > 0) continue;
    place(op, null);
    stack.push(op);
  }
  for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
    const frame = frames.get(op)!;
    const outside = kind(op) === "exit" ? frame!.parent : frame;
    for (const user of op.consumers) {
      if (frames.has(user)) continue;
      place(user, outside);
      stack.push(user);
    }
  }
  return new Map([...frames].filter((entry): entry is [Operation, Frame] => entry[1] !== null));
}

function exitOf(op: Operation, frame: Frame | null): Frame {
  if (frame !== null) return frame;
  throw new VarscopeError("INVALID_ARGUMENT", `${op.type} stands in no loop`, { at: op.name });
}

/** @throws VarscopeError INVALID_ARGUMENT - the frame is no loop as `tf.while_loop` builds it */
export function partsOf(frame: Frame): FrameParts {
  const constants: Operation[] = [];
  const variables: LoopVariable[] = [];
  let loopCond: Operation | null = null;
  for (const enter of frame.enters) {
    const merge = [...enter.consumers].find(
      (op) => kind(op) === "merge" && op.inputs.length === 2 && op.inputs.some(isNext),
    );
    if (merge === undefined) {
      constants.push(enter);
      continue;
    }
    const variable = variableOf(enter, merge, frame.exits);
    variables.push(variable.variable);
    loopCond ??= variable.loopCond;
  }
  if (loopCond === null) {
    throw new VarscopeError("INVALID_ARGUMENT", `frame '${frame.name}' has no LoopCond`, {
      at: frame.enters[0]!.name,
    });
  }
  return { variables, constants, condition: loopCond.inputs[0]!, loopCond };
}

const isNext = (x: Output): boolean => kind(x.op) === "next";

function variableOf(
  enter: Operation,
  merge: Operation,
  allExits: readonly Operation[],
): { readonly variable: LoopVariable; readonly loopCond: Operation | null } {
  const nextOp = merge.inputs.find(isNext)!.op;
  const turn = [...merge.consumers].find(
    (op) =>
      kind(op) === "switch" && op.inputs[0] === merge.output(0) && kind(op.inputs[1]!.op) === "loopCond",
  );
  const exits = allExits.filter((exit) => turn !== undefined && passedOn(exit.inputs[0]!) === turn.output(0));
  return {
    variable: {
      enter,
      merge,
      inside: turn?.output(1) ?? null,
      exits,
      next: nextOp.inputs[0]!,
      nextOp,
    },
    loopCond: turn === undefined ? null : turn.inputs[1]!.op,
  };
}

/** What an output is a copy of: gradients leave a loop through an Identity. */
function passedOn(x: Output): Output {
  let from = x;
  while (from.op.def?.sharesMemory === true && from.op.inputs.length === 1) from = from.op.inputs[0]!;
  return from;
}
