/** @file The variables that a graph restores. Loads the op registry; the rules do without it. Start at `wantedVariables`. */

import type { Shape } from "../../base/index.ts";
import { roleOf, type VariableEntry } from "../../formats/collection/index.ts";
import type { VariableRecord } from "../../formats/meta-graph/index.ts";
import { type GraphFile, graphVariables } from "../graph/open-graph.ts";

/** Variables that a graph restores: not the local ones, and not constants that took their place. */
export function wantedVariables(file: GraphFile): VariableEntry[] {
  const local = new Set(
    file.graph.getCollection<VariableRecord>("local_variables").map((v) => v.name.replace(/:\d+$/, "")),
  );
  const all = graphVariables(file).filter((v) => v.value === null && !local.has(v.name));
  const shapes = new Map<string, Shape | null>(all.map((v) => [v.name, v.shape]));
  return all.map(({ name, dtype, shape }) => ({
    name,
    key: name,
    dtype,
    shape,
    bytes: 0,
    ...roleOf(name, shape, (n) => shapes.get(n)),
  }));
}
