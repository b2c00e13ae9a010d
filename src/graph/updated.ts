/** @file Which variable an update op changes: of `AssignMovingAvg` and its like, also behind a conditional. Start at `updatedVariable`. */

import type { Operation } from "./operation.ts";

/** The nearest variable behind an op, which is the one that it changes; null where there is none. */
export function updatedVariable(update: Operation): Operation | null {
  const seen = new Set<Operation>([update]);
  for (const op of seen) {
    const found = op.inputs.find((x) => x.op.def?.variable !== undefined);
    if (found !== undefined) return found.op;
    for (const x of op.inputs) seen.add(x.op); // a set grows while it is walked: breadth first
  }
  return null;
}
