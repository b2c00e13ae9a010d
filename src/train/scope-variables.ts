/** @file The variables of one model of several in a graph, by the keys of its own checkpoint. Start at `scopeVariables`. */

import type { Graph } from "../graph/index.ts";
import { globalVariables, type Variable } from "../variables/index.ts";

/**
 * The global variables below a scope by the names that they would have without it: what a saver takes as `varList` to restore a model's own
 * checkpoint into its place, and to write one. Slices of a partitioned variable are one entry. Slots of optimizers stand below the scope of their
 * variables, so they are among them if the optimizer came first.
 *
 * @param scope - without a slash: "features"
 */
export function scopeVariables(graph: Graph, scope: string): ReadonlyMap<string, Variable | Variable[]> {
  const found = new Map<string, Variable | Variable[]>();
  for (const v of globalVariables(graph)) {
    const whole = v.saveSliceInfo?.fullName;
    const name = whole ?? v.op.name;
    if (!name.startsWith(`${scope}/`)) continue;
    const key = name.slice(scope.length + 1);
    const known = found.get(key);
    if (whole === undefined) found.set(key, v);
    else if (Array.isArray(known)) known.push(v);
    else found.set(key, [v]);
  }
  return found;
}
