/**
 * @file The most common accident with batch normalization: training that never runs the update ops, so that the moving statistics keep their
 * initial values. Seen from a run: it writes trainable variables, it normalizes, and it leaves the updates out.
 */

import { type Graph, Operation, Output, updatedVariable } from "../graph/index.ts";

/**
 * Names of update ops (collection `update_ops`) whose layers take part in a run that trains, but that the run leaves out.
 *
 * @param ran - names of the ops that it runs
 */
export function forgottenUpdates(
  graph: Graph,
  ran: ReadonlySet<string>,
  written: ReadonlySet<string>,
): string[] {
  const updates = graph.getCollection<unknown>("update_ops").flatMap((x) => {
    if (x instanceof Output) return [x.op];
    return x instanceof Operation ? [x] : [];
  });
  if (updates.length === 0) return [];
  const trainable = graph
    .getCollection<{ readonly name: string }>("trainable_variables")
    .map((v) => v.name.replace(/:\d+$/, ""));
  if (!trainable.some((name) => written.has(name))) return [];
  const forgotten = (op: Operation): boolean =>
    !ran.has(op.name) && trainsLayerOf(op, trainable, written) && feedsFromRun(op, ran);
  return updates.filter(forgotten).map((op) => op.name);
}

/**
 * Whether the layer that an op updates is trained: the run writes one of the trainable variables in the nearest scope around it that has any.
 * The step of a GAN's generator runs the discriminator's layers and leaves their updates out on purpose.
 */
function trainsLayerOf(
  update: Operation,
  trainable: readonly string[],
  written: ReadonlySet<string>,
): boolean {
  const scopes = (updatedVariable(update)?.name ?? "").split("/");
  while (scopes.pop() !== undefined && scopes.length > 0) {
    const near = trainable.filter((name) => name.startsWith(`${scopes.join("/")}/`));
    if (near.length > 0) return near.some((name) => written.has(name));
  }
  return true;
}

/** Whether the op's value comes from something that the run computes from more than variables: batch statistics. */
function feedsFromRun(update: Operation, ran: ReadonlySet<string>): boolean {
  const seen = new Set<Operation>();
  const stack = update.inputs.map((x) => x.op);
  while (stack.length > 0) {
    const op = stack.pop()!;
    if (seen.has(op)) continue;
    seen.add(op);
    const reads = op.inputs.some((x) => x.isRef || x.dtype === "resource");
    if (ran.has(op.name) && op.inputs.length > 1 && !reads) return true;
    if (!reads) for (const x of op.inputs) stack.push(x.op);
  }
  return false;
}
