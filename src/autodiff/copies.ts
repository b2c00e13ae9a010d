/**
 * @file A function's ops and what stands for them in a graph; whether functions fit their calls. Start at `Copies`; calls.ts makes the copies.
 */

import { isCompatible, mergeShapes, type Shape, VarscopeError } from "../base/index.ts";
import type { Operation, Output } from "../graph/index.ts";
import type { Body } from "../run/control/function-body.ts";

/** What stands in the graph for the ops of a function. */
export class Copies {
  readonly func: string;
  /** ops that bring their gradient along */
  readonly custom: Operation[] = [];
  private readonly body: Body;
  private readonly outputs = new Map<Output, Output>();
  private readonly ops = new Map<Operation, readonly Operation[]>();

  constructor(func: string, body: Body, args: readonly Output[]) {
    this.func = func;
    this.body = body;
    for (const [i, x] of body.args.entries()) this.set(x.op, [args[i]!], []);
  }

  set(op: Operation, outputs: readonly Output[], ops: readonly Operation[]): void {
    for (const [i, x] of outputs.entries()) this.outputs.set(op.output(i), x);
    this.ops.set(op, ops);
  }

  output(x: Output): Output {
    const found = this.outputs.get(x);
    if (found !== undefined) return found;
    throw new VarscopeError("INVALID_ARGUMENT", `output ${x.index} does not exist`, { at: x.op.name });
  }

  /** What stands for `mul:0` of the function. */
  named(name: string): Output | undefined {
    return this.outputs.get(outputNamed(this.body, name) as Output);
  }

  operations(ops: readonly Operation[]): Operation[] {
    return [...new Set(ops.flatMap((op) => this.ops.get(op) ?? []))];
  }
}

const outputNamed = ({ graph }: Body, name: string): Output | undefined => {
  const [op = "", index = "0"] = name.split(":");
  return graph.findOperation(op)?.outputs[Number(index)];
};

/** The ops that results, effects and other outputs need, arguments aside, each after what it needs. */
export function neededOf(body: Body, others: readonly string[]): Operation[] {
  const { graph, args, results, controls } = body;
  const outputs = [...results, ...others.flatMap((name) => outputNamed(body, name) ?? [])];
  const needed = new Set<Operation>([...outputs.map((x) => x.op), ...controls]);
  for (const op of needed)
    for (const x of [...op.inputs.map((y) => y.op), ...op.controlInputs]) needed.add(x);
  for (const x of args) needed.delete(x.op);
  return graph.operations.filter((op) => needed.has(op));
}

/** Gives outputs the shapes, and what is known of handles, that others have. */
export function keepShapes(
  to: readonly Output[],
  from: readonly { readonly shape: Shape | null; readonly handle?: Output["handle"] }[],
): void {
  for (const [i, { shape, handle }] of from.entries()) {
    const y = to[i]!;
    if (isCompatible(y.shape, shape)) y.shape = mergeShapes(y.shape, shape);
    y.handle ??= handle ?? null;
  }
}

/** The dims that two shapes agree on. */
export const commonShape = (a: Shape | null, b: Shape | null): Shape | null =>
  a === null || b === null || a.length !== b.length ? null : a.map((d, i) => (d === b[i] ? d : null));
