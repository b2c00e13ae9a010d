/**
 * @file The most common accident with batch normalization: training that never runs the update ops, so that the moving statistics keep their
 * initial values. Seen from a run: it writes trainable variables, it normalizes, and it leaves the updates out.
 */

import { type Graph, Operation, Output } from "../graph/index.ts";

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
  return updates.filter((op) => !ran.has(op.name) && feedsFromRun(op, ran)).map((op) => op.name);
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
    if (!reads) stack.push(...op.inputs.map((x) => x.op));
  }
  return false;
}
