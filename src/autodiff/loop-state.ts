/**
 * @file Loops on the way of one call of `gradients`: all exits of a loop must have their gradients before it is gone back through, and those
 * that nothing uses get zeros. Start at `LoopStates`.
 *
 * @see TensorFlow python/ops/control_flow_state.py "_ControlFlowState"
 */

import { isStatic, VarscopeError } from "../base/index.ts";
import {
  CondContext,
  contextOfOutput,
  type Grad,
  LoopGrad,
  loopAround,
  nextRound,
  type Operation,
  type Output,
  switchOf,
  WhileContext,
  withContext,
} from "../graph/index.ts";
import { filled, zeros, zerosForOutput, zerosOfVariable } from "./fills.ts";
import { isTrainable } from "./reach.ts";

interface LoopState {
  readonly grad: LoopGrad;
  /** exits of the loop as it was before gradients were asked for */
  readonly exits: readonly Output[];
  /** exits that nothing uses, and those that have all their gradients */
  readonly unused: Output[];
  readonly ready: Output[];
  /** exits yet to come */
  pending: number;
}

export const isExit = (op: Operation): boolean => op.def?.control === "exit";

/** Whether `op` decides if a loop variable goes round again, and not which branch a value inside takes. */
function isLoopSwitch(op: Operation): boolean {
  if (op.def?.control !== "switch" || !(op.context instanceof WhileContext)) return false;
  for (const c of op.consumers) {
    if (!c.inputs.some((x) => x.op === op)) continue;
    const context = c.def?.control === "enter" ? (c.context?.outer ?? null) : c.context;
    if (!(context instanceof CondContext)) return true;
  }
  return false;
}

/** The loops between ys and xs. */
export class LoopStates {
  private readonly states = new Map<WhileContext, LoopState>();

  /**
   * Takes in the loops of all exits in `between`, and adds their other exits to it.
   *
   * @param near - runs its argument next to an op
   */
  constructor(between: Set<Operation>, near: (op: Operation, body: () => void) => void) {
    for (const op of between) if (isExit(op)) near(op, () => this.take(op, between));
  }

  private take(exit: Operation, between: Set<Operation>): void {
    const loop = loopAround(exit.context);
    if (loop === null) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        "Failed to call gradients on a while loop without properly serializing graph via MetaGraphDef",
        {
          at: exit.name,
          hint: "importGraphDef keeps no contexts of loops; import a MetaGraph that holds the collection while_context",
        },
      );
    }
    if (this.states.has(loop)) return;
    const { exits } = loop.facts;
    const outer = this.stateAround(loop)?.grad ?? null;
    const grad = new LoopGrad(exit.graph, loop, outer);
    this.states.set(loop, { grad, exits, unused: [], ready: [], pending: exits.length });
    for (const x of exits) between.add(x.op);
  }

  private stateAround(loop: WhileContext): LoopState | undefined {
    const around = loopAround(loop.outer);
    return around === null ? undefined : this.states.get(around);
  }

  /** Runs `body` in the loop that goes back for the one that `op` is of; `before`, for the one that its outputs are of. */
  within<R>(op: Operation, before: boolean, body: () => R): R {
    const loop = loopAround(before ? contextOfOutput(op) : op.context);
    const state = loop === null ? undefined : this.states.get(loop);
    return state === undefined ? body() : state.grad.context.within(op.graph, body);
  }

  /**
   * Sorts out the exits that nothing between uses. Call it when `counts` is complete; it also keeps first values on the way.
   *
   * @param ys - ops that have a gradient to begin with
   * @returns exits of loops none of whose exits is used by another op: they get zeros now
   */
  unusedExits(counts: Map<Operation, number>, ys: ReadonlySet<Operation>): Output[] {
    const found: Output[] = [];
    for (const state of this.states.values()) {
      for (const x of state.exits) {
        if ((counts.get(x.op) ?? 0) > 0) continue;
        state.pending--;
        if (!ys.has(x.op)) state.unused.push(x);
        if (state.pending === 0) found.push(...state.unused);
      }
      for (const x of state.grad.forward.facts.enters) if ((counts.get(x.op) ?? 0) === 0) counts.set(x.op, 1);
    }
    return found.filter((x) => isTrainable(x.dtype));
  }

  /** Whether an op with `left` gradients to come can be gone back through: a loop's Switch before its body. */
  isReady(op: Operation, left: number): boolean {
    return left === 0 || (left > 0 && isLoopSwitch(op));
  }

  /**
   * Ops that can be gone back through now that `exit` has its gradients: all exits of its loop, once the last of them is there.
   *
   * @param hasGrad - whether anything arrived at an op
   * @param setZeros - takes the gradient of an exit that nothing uses
   */
  readyAt(
    exit: Output,
    hasGrad: (op: Operation) => boolean,
    setZeros: (x: Output, zeros: Grad) => void,
  ): Operation[] {
    const state = this.states.get(loopAround(exit.op.context)!)!;
    state.ready.push(exit);
    state.pending--;
    if (state.pending !== 0) return [];
    const used = state.ready.filter((x) => hasGrad(x.op));
    state.unused.push(...state.ready.filter((x) => !hasGrad(x.op)));
    if (used.length > 0) {
      for (const x of state.unused) if (isTrainable(x.dtype)) setZeros(x, this.zerosForExit(x));
    }
    return [...used, ...state.unused].map((x) => x.op);
  }

  /** Zeros for a loop variable whose last value nothing uses. */
  zerosForExit(x: Output): Output {
    const { graph, shape, dtype } = x;
    const loop = loopAround(x.op.context)!;
    const outer = this.stateAround(loop)?.grad;
    const zerosLike = (): Output => graph.add("ZerosLike", [x], { name: "zeros_like" });
    const isKnown = isStatic(shape) && dtype !== "variant"; // a list's items have shapes of their own
    if (outer === undefined) return isKnown ? zeros(graph, shape, dtype) : zerosLike();
    if (dtype === "variant") return outer.context.within(graph, zerosLike);
    if (isKnown) return outer.context.within(graph, () => zeros(graph, shape, dtype));
    const dims = withContext(graph, loop.outer, () => graph.add("Shape", [x]));
    const stack = outer.push(dims);
    return outer.context.within(graph, () => filled(outer.pop(stack, dims), 0, dtype, "zeros"));
  }

  /** Zeros for an output that the loss does not depend on; null for the Switch of a loop variable. */
  zerosForOutput(op: Operation, index: number): Output | null {
    if (isLoopSwitch(op)) return null;
    const loop = loopAround(op.context);
    const state = loop === null ? undefined : this.states.get(loop);
    if (state === undefined) return zerosForOutput(op, index);
    const branch = op.def?.control === "switch" && op.context instanceof CondContext ? op.context : null;
    const y = op.output(index);
    if (y.dtype === "variant") return listZeros(state.grad, op, y, branch);
    return isStatic(y.shape) ? staticZeros(state.grad, y, branch) : keptZeros(state.grad, op, index, branch);
  }

  /** Gives a loop variable that starts anew in each round the gradient zero for all rounds but the last. */
  finish(): void {
    for (const { grad } of this.states.values()) {
      for (const merge of grad.merges.values()) {
        const { op } = "values" in merge ? merge.values : merge;
        if (op.inputs[0] === op.inputs[1]) op.replaceInput(1, noGradient(grad, op.inputs[0]!));
      }
    }
  }
}

/** Zeros in the loop that goes back; where the other branch of a conditional was taken, if it is of one. */
function staticZeros(grad: LoopGrad, y: Output, branch: CondContext | null): Output {
  const { graph, dtype } = y;
  const zero =
    dtype === "resource"
      ? zerosOfVariable(y, true)
      : graph.constant(0, { dtype, shape: y.shape as number[] });
  return inOtherBranch(zero, grad, branch);
}

/** Zeros of a list, kept from the forward loop. */
function listZeros(grad: LoopGrad, op: Operation, y: Output, branch: CondContext | null): Output {
  const kept = branch === null ? y : op.inputs[0]!;
  return inOtherBranch(grad.graph.add("ZerosLike", [kept], { name: "zeros_like" }), grad, branch);
}

/** `x` alive where the other branch was taken, if there is a branch. */
const inOtherBranch = (x: Output, grad: LoopGrad, branch: CondContext | null): Output =>
  branch === null
    ? x
    : switchOf(x, grad.history.get(branch.pred.name) ?? branch.pred)[(1 - branch.branch) as 0 | 1];

/** Zeros of a shape that each round of the forward loop keeps. */
function keptZeros(grad: LoopGrad, op: Operation, index: number, branch: CondContext | null): Output {
  const { graph } = op;
  const shapeOf = (x: Output): Output => graph.add("Shape", [x]);
  const y = op.output(index);
  const dims = withContext(graph, branch === null ? op.context : branch.outer, () => {
    if (branch === null) return shapeOf(y);
    const other = switchOf(op.inputs[0]!, branch.pred)[(1 - branch.branch) as 0 | 1];
    const shape = shapeOf(other);
    other.op.context = branch;
    shape.op.context = branch;
    return shape;
  });
  const dead = branch !== null;
  const stack = grad.context.outside(graph, () => grad.push(dims, dead));
  return filled(grad.pop(stack, dims, dead), 0, y.dtype, "zeros");
}

/** Zeros for the next round, shaped as the gradient that entered. */
function noGradient({ graph, context }: LoopGrad, entered: Output): Output {
  const { dtype, shape } = entered;
  const isList = dtype === "variant";
  if (isStatic(shape) && !isList)
    return context.within(graph, () => nextRound(graph.constant(0, { dtype, shape })));
  const value = entered.op.inputs[0]!;
  const zero = withContext(graph, context.outer, () =>
    isList ? graph.add("ZerosLike", [value]) : filled(graph.add("Shape", [value]), 0, dtype, "zeros"),
  );
  return context.within(graph, () => nextRound(zero));
}
