/**
 * @file Conditionals as TensorFlow 1 builds them: values enter a branch through a Switch, leave through a
 * Merge, and ops without inputs hang on the branch's pivot by a control edge. Start at `cond`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "CondContext"; python/ops/cond.py "cond"
 */

import { type Nested, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import { isTensor } from "./constant.ts";
import type { Graph } from "./graph.ts";
import { withDependencies } from "./group.ts";
import { type ControlFlowContext, Operation, Output } from "./operation.ts";
import { constantValue } from "./spec.ts";
import { contextOfOutput, loopAround } from "./while-context.ts";

/** The collection that holds the outermost contexts, true branch before false. */
export const COND_CONTEXT = "cond_context";

/** What a branch may give: outputs, values, or ops that are to run (they count as the branch's pivot). */
export type CondItem = Output | Operation | Tensor | Nested;
export type CondResult = CondItem | readonly CondItem[];

/**
 * One branch of a conditional: knows which values it has seen and through which Switch an outer value comes.
 */
export class CondContext implements ControlFlowContext {
  readonly graph: Graph;
  readonly name: string;
  readonly outer: ControlFlowContext | null;
  /** scalar bool */
  readonly pred: Output;
  /** alive when this branch is taken */
  readonly pivot: Output;
  /** 1: taken when the predicate is true */
  readonly branch: 0 | 1;
  /** names of the values that are known inside */
  readonly values = new Set<string>();
  /** outer values by name, and what stands for them inside */
  readonly external = new Map<string, Output>();
  readonly nested: ControlFlowContext[] = [];

  constructor(name: string, pred: Output, pivot: Output, branch: 0 | 1, outer: ControlFlowContext | null) {
    this.graph = pred.graph;
    this.name = name;
    this.outer = outer;
    this.pred = pred;
    this.pivot = pivot;
    this.branch = branch;
    outer?.nested.push(this);
  }

  /** The context of a new branch. */
  static enter(pred: Output, pivot: Output, branch: 0 | 1): CondContext {
    const { graph } = pred;
    const context = new CondContext(graph.uniqueName("cond_text"), pred, pivot, branch, graph.context);
    context.values.add(pred.name);
    context.external.set(pred.name, pred);
    context.values.add(pivot.name);
    pivot.op.context = context;
    return context;
  }

  /** Runs `body` inside this branch. */
  within<R>(body: () => R): R {
    const { graph } = this;
    const before = graph.context;
    graph.context = this;
    try {
      return body();
    } finally {
      graph.context = before;
    }
  }

  /** Takes a new op in: its outer inputs come through Switches named `<op>/Switch`. */
  addOp(op: Operation): void {
    this.dropControlFromOutside(op);
    if (op.inputs.length === 0) {
      if (!op.controlInputs.some((c) => isWithin(c.context, this))) op.addControlInputs([this.pivot.op]);
    } else {
      this.graph.nameScope(`${op.name}/`, () => {
        op.inputs.forEach((x, i) => {
          const inside = this.addValue(x);
          if (inside !== x) op.replaceInput(i, inside);
        });
      });
    }
    for (const y of op.outputs) this.markSeen(y);
  }

  /** In a loop nothing waits for what is outside of it: as TensorFlow has it. */
  private dropControlFromOutside(op: Operation): void {
    const loop = loopAround(this);
    if (loop === null) return;
    op.removeControlInputs(op.controlInputs.filter((c) => loopAround(contextOfOutput(c)) !== loop));
  }

  /** What stands for `x` inside this branch; made where it is new. */
  addValue(x: Output): Output {
    if (this.values.has(x.name)) return this.external.get(x.name) ?? x;
    this.values.add(x.name);
    const outside = this.throughOuter(x);
    const inside = this.graph.controlDependencies(null, () => switchOf(outside, this.pred)[this.branch]);
    inside.op.context = this;
    this.markSeen(inside);
    this.external.set(x.name, inside);
    return inside;
  }

  /** A result of the branch, which may be an outer value as it is. */
  result(x: Output): Output {
    if (this.values.has(x.name)) return this.external.get(x.name) ?? x;
    this.values.add(x.name);
    const inside = switchOf(this.throughOuter(x), this.pred)[this.branch];
    this.external.set(x.name, inside);
    return inside;
  }

  private throughOuter(x: Output): Output {
    if (this.outer === null) return x;
    const outside = this.outer.addValue(x);
    this.values.add(outside.name);
    this.external.set(outside.name, outside);
    return outside;
  }

  private markSeen(x: Output): void {
    for (let c: ControlFlowContext | null = this; c !== null; c = c.outer) c.values.add(x.name);
  }
}

/** Whether `context` is `ancestor` or lies in it. */
function isWithin(context: ControlFlowContext | null, ancestor: ControlFlowContext): boolean {
  for (let c = context; c !== null; c = c.outer) if (c === ancestor) return true;
  return false;
}

/**
 * [when false, when true]: `x` goes to one of them, the other stays dead. The Switch is colocated with `x`.
 */
export function switchOf(x: Output, pred: Output, name = "Switch"): readonly [Output, Output] {
  const { graph } = x;
  const op = graph.colocateWith(
    x,
    () => graph.addOp(x.isRef ? "RefSwitch" : "Switch", [x, pred], { name }),
    true,
  );
  return [op.output(0), op.output(1)];
}

/** The one of `xs` that is alive. */
export const mergeOf = (xs: readonly Output[], name = "Merge"): Output =>
  xs[0]!.graph.add(xs.every((x) => x.isRef) ? "RefMerge" : "Merge", [xs], { name });

/**
 * What `trueFn` gives where `pred` is true, else what `falseFn` gives. Only ops made inside the functions are
 * conditional.
 *
 * @param pred - bool []
 * @returns one output for each item; a single one unpacked
 * @throws VarscopeError INVALID_ARGUMENT - the branches give different numbers or dtypes of values, or none
 */
export function cond(
  pred: Output,
  trueFn: () => CondResult,
  falseFn: () => CondResult,
  options: { readonly name?: string } = {},
): Output | Output[] {
  const { graph } = pred;
  if (pred.dtype !== "bool") {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `the predicate of a conditional is bool, ${pred.name} is ${pred.dtype}`,
    );
  }
  return graph.nameScope(options.name ?? "cond", (scope) => {
    const at = scope.slice(0, -1);
    const fork = graph.addOp("Switch", [pred, pred], { name: "Switch" });
    const whenTrue = graph.add("Identity", [fork.output(1)], { name: "switch_t" });
    const whenFalse = graph.add("Identity", [fork.output(0)], { name: "switch_f" });
    const predId = graph.add("Identity", [pred], { name: "pred_id" });
    const [contextT, resultT] = buildBranch(CondContext.enter(predId, whenTrue, 1), trueFn, at);
    const [contextF, resultF] = buildBranch(CondContext.enter(predId, whenFalse, 0), falseFn, at);
    checkResults(resultT, resultF, at);
    const merges = resultF.map((x, i) => mergeOf([x, resultT[i]!]));
    if (contextT.outer === null) {
      graph.addToCollection(COND_CONTEXT, contextT);
      graph.addToCollection(COND_CONTEXT, contextF);
    }
    return merges.length === 1 ? merges[0]! : merges;
  });
}

function buildBranch(context: CondContext, body: () => CondResult, at: string): [CondContext, Output[]] {
  const results = context.within(() => {
    const given = body() as CondResult | null | undefined;
    if (given === null || given === undefined) {
      throw new VarscopeError("INVALID_ARGUMENT", "a branch of a conditional must have a return value", {
        at,
      });
    }
    return itemsOf(given).map((item) => context.result(toOutput(context, item)));
  });
  for (const x of results) context.outer?.values.add(x.name);
  return [context, results];
}

/** A list of outputs and ops is several results; any other array is one value. */
function itemsOf(given: CondResult): readonly CondItem[] {
  if (!Array.isArray(given)) return [given as CondItem];
  const several = given.some((x) => x instanceof Output || x instanceof Operation || isTensor(x));
  return several ? (given as readonly CondItem[]) : [given as Nested];
}

function toOutput(context: CondContext, item: CondItem): Output {
  if (item instanceof Output) return item;
  if (item instanceof Operation) return withDependencies([item], context.pivot);
  return context.graph.constant(item as Tensor | Nested);
}

function checkResults(a: readonly Output[], b: readonly Output[], at: string): void {
  if (a.length !== b.length) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Incompatible return values of 'true_fn' and 'false_fn': ${a.length} and ${b.length} values`,
      { at },
    );
  }
  if (a.length === 0) {
    throw new VarscopeError("INVALID_ARGUMENT", "'true_fn' and 'false_fn' must return at least one result.", {
      at,
    });
  }
  a.forEach((x, i) => {
    const y = b[i]!;
    if (x.dtype === y.dtype) return;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Outputs of 'true_fn' and 'false_fn' must have the same type(s). Received ${x.dtype} from 'true_fn' and ${y.dtype} from 'false_fn'.`,
      { at },
    );
  });
}

/** The value of a predicate that is known while building, else null. */
export function smartConstant(pred: Output | boolean | number): boolean | null {
  if (!(pred instanceof Output)) return Boolean(pred);
  const value = constantValue(pred);
  return value === null ? null : value.dtype === "bool" ? value.data[0] !== 0 : toNumbers(value)[0] !== 0;
}

/**
 * `cond`, but a predicate that is known while building picks its branch at once, and no conditional is built.
 */
export function smartCond<R extends CondResult>(
  pred: Output | boolean | number,
  trueFn: () => R,
  falseFn: () => R,
  options: { readonly name?: string } = {},
): R | Output | Output[] {
  const known = smartConstant(pred);
  if (known !== null) return known ? trueFn() : falseFn();
  return cond(pred as Output, trueFn, falseFn, options);
}
