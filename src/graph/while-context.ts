/**
 * @file A loop of TensorFlow 1 as its program saw it: which values belong to it, where it is entered, decided and left. TensorFlow needs
 * it to differentiate an imported loop. Start at `WhileContext`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "WhileContext"
 */

import { VarscopeError } from "../base/index.ts";
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

/** A loop that is there. New ops cannot be made inside it. */
export class WhileContext implements ControlFlowContext {
  /** the frame's name too */
  readonly name: string;
  readonly outer: ControlFlowContext | null;
  readonly facts: LoopFacts;
  /** names of the values that are known inside */
  readonly values = new Set<string>();
  /** outer values by name, and what stands for them inside */
  readonly external = new Map<string, Output>();
  readonly nested: ControlFlowContext[] = [];

  constructor(name: string, facts: LoopFacts, outer: ControlFlowContext | null) {
    this.name = name;
    this.facts = facts;
    this.outer = outer;
  }

  addOp(op: Operation): void {
    throw new VarscopeError("UNIMPLEMENTED", `ops cannot be added to the loop '${this.name}'`, {
      at: op.name,
    });
  }
}
