/** @file The pass that puts the ops of functions in the place of their calls. Start at `inlineFunctions`. */

import { inlineCalls } from "../../run/control/expand.ts";
import { outputsOf, type Pass } from "./pass.ts";
import { stripUnused } from "./residue.ts";

/** Whether a graph calls functions: calls, functional conditionals and loops. */
export const isFunctional = (graph: Parameters<Pass>[0]): boolean =>
  graph.operations.some(
    (op) =>
      graph.functions.has(op.type) ||
      Object.values(op.attrs).some((a) => typeof a === "object" && "func" in a),
  );

/**
 * Functions' ops stand in the place of their calls, what the outputs do not need goes; conditionals become Switch and Merge, loops frames of
 * TensorFlow 1. An output that was a call is an Identity of its result, or an IdentityN of its results.
 */
export const inlineFunctions: Pass = (graph, options = {}) => {
  const report = { pass: "inline-calls", done: [], left: [] };
  const outputs = outputsOf(graph, options);
  if (!isFunctional(graph)) return { graph, report };
  const stripped = stripUnused(graph, { outputs }).graph;
  if (!isFunctional(stripped)) return { graph, report };
  const calls = stripped.operations.filter(
    (op) =>
      stripped.functions.has(op.type) ||
      Object.values(op.attrs).some((a) => typeof a === "object" && "func" in a),
  );
  const { graph: target, output } = inlineCalls(stripped);
  for (const name of outputs) {
    if (target.findOperation(name) !== undefined) continue;
    const results = stripped.operation(name).outputs.map(output);
    if (results.length === 1) target.add("Identity", results, { name: `${name}/` });
    else target.add("IdentityN", [results], { name: `${name}/` });
  }
  return {
    graph: target,
    report: { ...report, done: calls.map((op) => ({ at: op.name, what: `${op.type} inlined` })) },
  };
};
