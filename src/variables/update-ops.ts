/** @file The update ops of a part of a model: what its train op has to depend on, and nothing else. Start at `updateOps`. */

import { type Graph, isAbsent, Operation, Output, scopePattern, updatedVariable } from "../graph/index.ts";
import { GraphKeys } from "./collections.ts";

export interface UpdateOpsOptions {
  /** a regular expression at the start of the updated variable's name, as `globalVariables` takes it */
  readonly scope?: string;
  /** only ops that can run when no other placeholders than these are fed */
  readonly feeds?: readonly Output[];
}

/**
 * Ops of the collection `update_ops` by the variables that they change. Their own names do not tell: they follow name scopes, so that the second
 * use of the layers in `D` has its updates under `D_1/`.
 */
export function updateOps(graph: Graph, options: UpdateOpsOptions = {}): Operation[] {
  const { scope, feeds } = options;
  const all = graph
    .getCollection<unknown>(GraphKeys.UPDATE_OPS)
    .flatMap((x) => (x instanceof Output ? [x.op] : x instanceof Operation ? [x] : []));
  const pattern = scopePattern(scope ?? "");
  return all.filter((op) => {
    if (!pattern.test(updatedVariable(op)?.name ?? op.name)) return false;
    return feeds === undefined || runsOn(op, feeds);
  });
}

/** Whether all that an op needs is computed from `feeds`. */
function runsOn(update: Operation, feeds: readonly Output[]): boolean {
  const seen = new Set<Operation>([update]);
  for (const op of seen) {
    if (mustBeFed(op)) return false;
    for (const x of op.inputs) if (!feeds.includes(x)) seen.add(x.op);
    for (const before of op.controlInputs) seen.add(before);
  }
  return true;
}

/** A placeholder: nothing computes it. */
function mustBeFed({ def, inputs, outputs }: Operation): boolean {
  if (def === undefined || def.variable !== undefined) return false;
  return inputs.length === 0 && outputs.length > 0 && isAbsent(def.lower) && isAbsent(def.host);
}
