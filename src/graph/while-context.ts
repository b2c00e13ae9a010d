/**
 * @file A loop of TensorFlow 1 as its program sees it: which values belong to it, where it is entered, decided and left. New ops go into it
 * through `addOp`; TensorFlow needs it to differentiate an imported loop. Start at `WhileContext`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "WhileContext"
 */

import type { Graph } from "./graph.ts";
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

  constructor(name: string, facts: LoopFacts, outer: ControlFlowContext | null) {
    this.name = name;
    this.facts = facts;
    this.outer = outer;
    outer?.nested.push(this);
  }

  /** What ops without inputs hang on now: in the condition until there is a body. */
  get controlPivot(): Operation {
    return (this.facts.pivotForBody ?? this.facts.pivotForPred).op;
  }

  /** Runs `body` inside this loop. */
  within<R>(graph: Graph, body: () => R): R {
    const before = graph.context;
    graph.context = this;
    try {
      return body();
    } finally {
      graph.context = before;
    }
  }

  /** Takes a new op in: its outer inputs enter as constants of the loop, named `<op>/Enter`. */
  addOp(op: Operation): void {
    if (op.type === "Enter" && op.attrs.is_constant === true) return; // made by addValue, in its own context
    op.graph.nameScope(`${op.name}/`, () => {
      op.inputs.forEach((x, i) => {
        const inside = this.addValue(x);
        if (inside !== x) op.replaceInput(i, inside);
      });
    });
    const outside = op.controlInputs.filter((c) => !isInside(c, this));
    op.removeControlInputs(outside);
    if (op.controlInputs.length === 0 && op.inputs.every(isConstantOfLoop))
      op.addControlInputs([this.controlPivot]);
    for (const y of op.outputs) this.values.add(y.name);
    op.addControlInputs(this.waitInside(outside));
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
    if (this.values.has(x.name)) return this.external.get(x.name) ?? x;
    this.values.add(x.name);
    const outside = this.outer?.addValue(x) ?? x;
    const inside = enterFrame(outside, this, true);
    this.external.set(x.name, inside);
    return inside;
  }
}

/** `x` in a loop's frame; it waits for what ops outside the loop wait for. */
export function enterFrame(x: Output, context: WhileContext, isConstant: boolean): Output {
  const { graph } = x;
  const attrs = {
    frame_name: context.name,
    is_constant: isConstant,
    parallel_iterations: context.facts.parallelIterations,
  };
  const inside = graph.controlDependencies(null, () =>
    graph.add(x.isRef ? "RefEnter" : "Enter", [x], { name: "Enter", attrs }),
  );
  const pending = graph.pendingControlInputs([x]);
  inside.op.addControlInputs(pending.filter((op) => reaches(context.outer, op.context)));
  inside.op.context = context;
  graph.noteCreated(inside.op);
  context.values.add(inside.name);
  return inside;
}

/** Whether `wanted` is `from` or around it, with no loop's border between. */
function reaches(from: ControlFlowContext | null, wanted: ControlFlowContext | null): boolean {
  for (let c = from; c !== wanted; c = c.outer) if (c === null || c instanceof WhileContext) return false;
  return true;
}

const isConstantOfLoop = (x: Output): boolean =>
  x.op.def?.control === "enter" && x.op.attrs.is_constant === true;

/** Whether an op was made in `context`, or in a branch or loop inside it. */
function isInside({ context }: Operation, ancestor: ControlFlowContext): boolean {
  for (let c = context; c !== null; c = c.outer) if (c === ancestor) return true;
  return false;
}
