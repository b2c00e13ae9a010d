/**
 * @file What takes gradients back through a loop: a second loop that goes round as often as the first, and a stack for each value of the
 * first that it needs: pushed in every round there, popped in every round here. Start at `LoopGrad`.
 *
 * @see TensorFlow python/ops/control_flow_state.py "_GradLoopState"; python/ops/control_flow_ops.py "AddForwardLoopCounter",
 *   "AddBackpropLoopCounter"
 */

import { type Tensor, VarscopeError } from "../base/index.ts";
import { CondContext, mergeOf, switchOf } from "./cond.ts";
import type { Graph } from "./graph.ts";
import type { Grad } from "./op-def.ts";
import type { ControlFlowContext, Operation, Output } from "./operation.ts";
import { contextOfOutput, enterAs, type LoopFacts, WhileContext } from "./while-context.ts";
import { exitOf, nextRound } from "./while-loop.ts";

/** One loop in one call of `gradients`: where it went forward, and where it goes back. */
export class LoopGrad {
  readonly graph: Graph;
  readonly forward: WhileContext;
  /** of the loop around, if gradients go through that as well */
  readonly outer: LoopGrad | null;
  /** the loop that goes back */
  readonly context: WhileContext;
  /** by name of a value of the forward loop: what it was in the round that is gone back */
  readonly history = new Map<string, Output>();
  /** by Switch of a loop variable: the Merge of its gradients */
  readonly merges = new Map<Operation, Grad>();
  /** round counters: the values for the next round */
  private readonly forwardIndex: Output;
  private readonly index: Output;
  private pushed: Operation | null = null;
  private popped: Operation | null = null;

  /** Adds the round counters of both loops. Call it in the context of `gradients`. */
  constructor(graph: Graph, forward: WhileContext, outer: LoopGrad | null) {
    this.graph = graph;
    this.forward = forward;
    this.outer = outer;
    const around = outer === null ? forward.outer : outer.forward;
    const [rounds, forwardIndex] = withContext(graph, around, () => countForward(graph, forward, outer));
    this.forwardIndex = forwardIndex;
    let stack: Output | null = null;
    if (outer !== null) {
      outer.forward.values.add(rounds.name);
      stack = outer.push(rounds);
    }
    const back = outer === null ? forward.outer : outer.context;
    [this.context, this.index] = withContext(graph, back, () => {
      const context = new WhileContext(graph.uniqueName(forward.name), unbuilt(forward), graph.context, this);
      const times = stack === null ? rounds : outer!.pop(stack, rounds);
      return [context, countBack(graph, context, times, outer)] as const;
    });
  }

  /** What adds one to the forward counter: pushes come after it. */
  get forwardStep(): Operation {
    return this.forwardIndex.op.inputs[0]!.op;
  }

  /** All that is pushed in a round, before the next. */
  get pushSync(): Operation {
    this.pushed ??= this.sync("f_sync", this.forward, this.forwardIndex.op);
    return this.pushed;
  }

  /** All that is popped in a round, before the next. */
  get popSync(): Operation {
    this.popped ??= this.sync("b_sync", this.context, this.index.op);
    return this.popped;
  }

  private sync(name: string, context: WhileContext, before: Operation): Operation {
    const op = this.graph.controlDependencies(null, () => this.graph.addOp("ControlTrigger", [], { name }));
    op.context = context;
    before.addControlInputs([op]);
    return op;
  }

  /**
   * A stack of what `value` is in each round of the forward loop; call it in the context of `gradients`.
   *
   * @param dead - `value` is made where its own branch is not taken
   * @returns the stack's handle
   */
  push(value: Output, dead = false): Output {
    const { graph, forward } = this;
    const here = graph.context;
    return graph.controlDependencies(null, () => {
      const stack = withContext(graph, here, () =>
        graph.colocateWith(value, () => {
          const most = graph.constant(-1, { dtype: "int32" });
          return graph.add("StackV2", [most], { name: "f_acc", attrs: { elem_type: value.dtype } });
        }),
      );
      const entered = forward.addValue(stack);
      const attrs = { swap_memory: forward.facts.swapMemory };
      const add = (): Operation => graph.addOp("StackPushV2", [entered, value], { attrs });
      const context = contextOfOutput(value.op);
      const op = withContext(graph, dead ? (context?.outer ?? null) : context, add);
      if (context === forward) this.forwardIndex.op.addControlInputs([op]);
      else {
        if (!(context instanceof CondContext)) throw isElsewhere(value, context);
        op.context = context;
        this.pushSync.addControlInputs([op]);
      }
      op.addControlInputs([this.forwardStep]);
      return stack;
    });
  }

  /** What `value` was, in the loop that goes back: the top of its stack, taken off. Where `value` is of a branch, so is this. */
  pop(stack: Output, value: Output, dead = false): Output {
    const { graph } = this;
    const branch = branchAround(value.op.context, stack.op.context);
    const top = graph.controlDependencies(null, () =>
      this.context.within(graph, () => {
        const side = branch === null ? 0 : dead ? 1 - branch.branch : branch.branch;
        const from = branch === null ? stack : switchOf(stack, this.knownPred(branch))[side as 0 | 1];
        const x = graph.add("StackPopV2", [from], { attrs: { elem_type: value.dtype } });
        x.shape = value.shape;
        return x;
      }),
    );
    if (this.context.facts.parallelIterations > 1) this.popSync.addControlInputs([top.op]);
    return top;
  }

  private knownPred({ pred }: CondContext): Output {
    for (let g: LoopGrad | null = this; g !== null; g = g.outer) {
      const known = g.history.get(pred.name);
      if (known !== undefined) return known;
    }
    return pred;
  }

  /** The predicate of a branch in the forward loop, as it was in the round that is gone back. */
  realPred(pred: Output): Output {
    return this.remember(pred, () => this.pop(this.pushFromWithin(pred), pred));
  }

  /** What `value` of the forward loop was in the round that is gone back: a constant again, a value from outside, or off a stack. */
  realValue(value: Output): Output {
    return this.remember(value, () => {
      let x = value;
      let grad: LoopGrad = this;
      for (let enter = constantEnter(x); enter !== null; enter = constantEnter(x)) {
        x = enter.inputs[0]!;
        if (grad.outer === null) return this.context.addValue(x);
        grad = grad.outer;
      }
      if (x.op.type === "Const") return this.graph.constant(x.op.attrs.value as Tensor);
      const top = grad.pop(this.pushFromWithin(x, grad), x);
      return grad === this ? top : this.context.addValue(top);
    });
  }

  private pushFromWithin(x: Output, grad: LoopGrad = this): Output {
    return this.context.outside(this.graph, () => grad.push(x));
  }

  private remember(x: Output, make: () => Output): Output {
    const value = this.history.get(x.name) ?? make();
    this.history.set(x.name, value);
    return value;
  }
}

/** Runs `body` in a context; where that is null, in the one that is open. */
export function withContext<R>(graph: Graph, context: ControlFlowContext | null, body: () => R): R {
  if (context === null) return body();
  if (context instanceof WhileContext) return context.within(graph, body);
  const before = graph.context;
  graph.context = context;
  try {
    return body();
  } finally {
    graph.context = before;
  }
}

/** Facts of the loop that goes back, before it is there. */
function unbuilt({ facts }: WhileContext): LoopFacts {
  const unknown = undefined as unknown as Output;
  return {
    ...facts,
    pivot: unknown,
    pivotForPred: unknown,
    pivotForBody: unknown,
    enters: [],
    exits: [],
  };
}

/** n = 0; as long as the loop goes on: n + 1. @returns how often it went round, and n of the next round */
function countForward(g: Graph, loop: WhileContext, outer: LoopGrad | null): readonly [Output, Output] {
  const zero = g.constant(0, { dtype: "int32", name: "f_count" });
  if (outer !== null) zero.op.addControlInputs([outer.forwardStep]); // pushes of one run of the loop before those of the next
  return loop.within(g, () => {
    loop.values.add(zero.name);
    const enter = enterAs(zero, loop, "f_count");
    const merge = mergeOf([enter, enter]);
    const turn = g.addOp("Switch", [merge, loop.facts.pivot]);
    const next = nextRound(g.add("AddV2", [turn.output(1), 1], { name: "Add" }));
    merge.op.replaceInput(1, next);
    const total = exitOf(turn.output(0), "f_count");
    loop.extend([enter], [total]);
    return [total, next];
  });
}

/** n = `rounds`; while n >= 1: n - 1. @returns n of the next round */
function countBack(g: Graph, loop: WhileContext, rounds: Output, outer: LoopGrad | null): Output {
  const one = g.constant(1, { dtype: "int32", name: "b_count" });
  return loop.within(g, () => {
    loop.values.add(rounds.name);
    const enter = enterAs(rounds, loop, "b_count");
    const merge = mergeOf([enter, enter]);
    loop.facts = { ...loop.facts, pivotForPred: merge };
    const pivot = g.add("LoopCond", [g.add("GreaterEqual", [merge, one])], { name: "b_count" });
    loop.facts = { ...loop.facts, pivot };
    const turn = g.addOp("Switch", [merge, pivot]);
    const less = g.add("Sub", [turn.output(1), one]);
    loop.facts = { ...loop.facts, pivotForBody: less };
    const next = nextRound(less);
    merge.op.replaceInput(1, next);
    const zero = exitOf(turn.output(0), "b_count");
    if (outer !== null) outer.popSync.addControlInputs([zero.op]); // pops of one run of the loop before those of the next
    loop.extend([enter], [zero]);
    return next;
  });
}

/** The branch between a value and the context around its stack. */
function branchAround(from: ControlFlowContext | null, to: ControlFlowContext | null): CondContext | null {
  for (let c = from; c !== null && c !== to; c = c.outer) if (c instanceof CondContext) return c;
  return null;
}

/** The Enter of a constant of the loop that `x` is. @see control_flow_util.py "GetLoopConstantEnter" */
function constantEnter(x: Output): Operation | null {
  let { op } = x;
  while (op.def?.control === "switch" || op.def?.sharesMemory === true) op = op.inputs[0]!.op;
  return op.def?.control === "enter" && op.attrs.is_constant === true ? op : null;
}

const isElsewhere = (value: Output, context: ControlFlowContext | null): VarscopeError =>
  new VarscopeError("UNIMPLEMENTED", `value_ctxt is not a CondContext: ${context?.name ?? "None"}`, {
    at: value.name,
    hint: "the gradient needs a value from another loop; carry it as a loop variable",
  });
