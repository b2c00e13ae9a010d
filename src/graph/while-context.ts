/**
 * @file A loop of TensorFlow 1 as its program sees it: which values belong to it, where it is entered, decided and left. New ops go into it
 * through `addOp`; TensorFlow needs it to differentiate an imported loop. Start at `WhileContext`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "WhileContext"
 */

import type { CondContext } from "./cond.ts";
import type { Graph } from "./graph.ts";
import type { LoopGrad } from "./loop-grad.ts";
import type { ControlFlowContext, Operation, Output } from "./operation.ts";

/** The collection that holds the outermost loops. */
export const WHILE_CONTEXT = "while_context";

/** What a loop was made with. */
export interface LoopFacts {
  readonly parallelIterations: number;
  readonly backProp: boolean;
  readonly swapMemory: boolean;
  /** int32 []: the most rounds; null is no limit */
  readonly maximumIterations: Output | null;
  /** bool []: whether there is another round */
  readonly pivot: Output;
  /** what ops without inputs hang on, in the condition and in the body */
  readonly pivotForPred: Output;
  readonly pivotForBody: Output;
  readonly enters: readonly Output[];
  readonly exits: readonly Output[];
}

/** A loop, being built or there. */
export class WhileContext implements ControlFlowContext {
  /** the frame's name too */
  readonly name: string;
  readonly outer: ControlFlowContext | null;
  /** grows complete while the loop is built */
  facts: LoopFacts;
  /** names of the values that are known inside */
  readonly values = new Set<string>();
  /** outer values by name, and what stands for them inside */
  readonly external = new Map<string, Output>();
  readonly nested: ControlFlowContext[] = [];
  /** of a loop that takes gradients back: what it knows of the loop that went forward */
  readonly grad: LoopGrad | null;
  /** the contexts from which it was entered, and not left yet */
  private readonly from: (ControlFlowContext | null)[] = [];

  constructor(
    name: string,
    facts: LoopFacts,
    outer: ControlFlowContext | null,
    grad: LoopGrad | null = null,
  ) {
    this.name = name;
    this.facts = facts;
    this.outer = outer;
    this.grad = grad;
    outer?.nested.push(this);
  }

  /** What ops without inputs hang on now: in the condition until there is a body. */
  get controlPivot(): Operation {
    return (this.facts.pivotForBody ?? this.facts.pivotForPred).op;
  }

  /** Runs `body` inside this loop. */
  within<R>(graph: Graph, body: () => R): R {
    this.from.push(graph.context);
    graph.context = this;
    try {
      return body();
    } finally {
      graph.context = this.from.pop() ?? null;
    }
  }

  /** Runs `body` where the innermost `within` was called. */
  outside<R>(graph: Graph, body: () => R): R {
    const before = graph.context;
    graph.context = this.from.pop() ?? null;
    try {
      return body();
    } finally {
      this.from.push(graph.context);
      graph.context = before;
    }
  }

  /**
   * Takes a new op in: its outer inputs enter as constants of the loop, named `<op>/Enter`. What a gradient measures of a value is computed where
   * the value is. @see control_flow_ops.py "WhileContext.AddOp"
   */
  addOp(op: Operation): void {
    if (entersAsConstant(op)) return; // made by addValue, in its own context
    const home = op.def?.measures === true ? this.forwardOf(op.inputs[0]!) : null;
    op.context = home ?? this;
    if (home === null || home instanceof WhileContext) (home ?? this).takeIn(op);
    else home.addOp(op);
  }

  private takeIn(op: Operation): void {
    const { graph } = op;
    graph.nameScope(`${op.name}/`, () => {
      op.inputs.forEach((x, i) => {
        const inside = this.addValue(x);
        if (inside !== x) op.replaceInput(i, inside);
      });
    });
    const outside = op.controlInputs.filter((c) => loopAround(contextOfOutput(c)) !== this);
    op.removeControlInputs(outside);
    if (op.controlInputs.length === 0 && op.inputs.every((x) => entersAsConstant(x.op)))
      op.addControlInputs([this.controlPivot]);
    for (const y of op.outputs) this.values.add(y.name);
    const wait = (): Operation[] => this.waitInside(outside);
    op.addControlInputs(op.inputs.length > 0 ? graph.nameScope(`${op.name}/`, wait) : wait());
  }

  /** Where `x` was made, if this loop takes gradients back and `x` is of the loop that went forward. */
  private forwardOf(x: Output): ControlFlowContext | null {
    const { context } = x.op;
    return this.grad !== null && loopAround(context) === this.grad.forward ? context : null;
  }

  /** Ops inside that run after ops outside. */
  private waitInside(ops: readonly Operation[]): Operation[] {
    return ops.flatMap((op) => {
      const [x] = op.outputs;
      if (x === undefined) return [];
      const { graph } = op;
      return [graph.controlDependencies(null, () => this.within(graph, () => graph.addOp("Identity", [x])))];
    });
  }

  /** What stands for `x` inside this loop; made where it is new. */
  addValue(x: Output): Output {
    if (this.values.has(x.name) || x.op.context === this) return this.external.get(x.name) ?? x;
    this.values.add(x.name);
    const grad = loopAround(x.graph.context)?.grad;
    if (grad && loopAround(contextOfOutput(x.op)) === grad.forward) {
      const kept = grad.realValue(x);
      this.external.set(x.name, kept);
      return kept;
    }
    const outside = this.outer?.addValue(x) ?? x;
    const inside = enterFrame(outside, this, true);
    this.external.set(x.name, inside);
    return inside;
  }

  /** Takes up what enters and leaves it since it was built. */
  extend(enters: readonly Output[], exits: readonly Output[]): void {
    const { facts } = this;
    this.facts = { ...facts, enters: [...facts.enters, ...enters], exits: [...facts.exits, ...exits] };
    for (const x of exits) this.outer?.values.add(x.name);
  }
}

/** The innermost loop that a context is, or lies in. */
export function loopAround(context: ControlFlowContext | null): WhileContext | null {
  for (let c = context; c !== null; c = c.outer) if (c instanceof WhileContext) return c;
  return null;
}

/** The context of an op's outputs: an exit's lie outside of its loop. */
export const contextOfOutput = ({ def, context }: Operation): ControlFlowContext | null =>
  def?.control === "exit" ? (context?.outer ?? null) : context;

/** `x` in a loop's frame; it waits for what ops outside the loop wait for. */
export function enterFrame(x: Output, context: WhileContext, isConstant: boolean): Output {
  const { graph } = x;
  const inside = graph.controlDependencies(null, () => enterAs(x, context, "Enter", isConstant));
  if (!isConstant && entersAsConstant(x.op)) inside.op.addControlInputs(pivotAround(context));
  const pending = graph.pendingControlInputs([x]);
  inside.op.addControlInputs(pending.filter((op) => reaches(context.outer, op.context)));
  inside.op.context = context;
  graph.noteCreated(inside.op);
  context.values.add(inside.name);
  return inside;
}

/** The Enter op of a value, made in the context that is open. */
export function enterAs(x: Output, context: WhileContext, name: string, isConstant = false): Output {
  const attrs = {
    frame_name: context.name,
    is_constant: isConstant,
    parallel_iterations: context.facts.parallelIterations,
  };
  return x.graph.add(x.isRef ? "RefEnter" : "Enter", [x], { name, attrs });
}

/** What a value that is always there must wait for, outside of a loop that starts with it. */
function pivotAround({ outer }: WhileContext): Operation[] {
  if (outer === null) return [];
  return [outer instanceof WhileContext ? outer.controlPivot : (outer as CondContext).pivot.op];
}

/** Whether `wanted` is `from` or around it, with no loop's border between. */
function reaches(from: ControlFlowContext | null, wanted: ControlFlowContext | null): boolean {
  for (let c = from; c !== wanted; c = c.outer) if (c === null || c instanceof WhileContext) return false;
  return true;
}

const entersAsConstant = (op: Operation): boolean =>
  op.def?.control === "enter" && op.attrs.is_constant === true;
