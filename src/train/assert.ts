/** @file Checks at run time, built as TensorFlow 1 builds them. @see TensorFlow python/ops/control_flow_assert.py */

import { cond, type Operation, Output } from "../graph/index.ts";

/** An op that fails where `condition` is false, with `data` in its message: Assert behind a conditional, so that data is read only then. */
export function assertOp(condition: Output, data: readonly (Output | string)[], summarize = 3): Operation {
  const { graph } = condition;
  return graph.nameScope("Assert", () => {
    const values = data.map((x) => (x instanceof Output ? x : graph.constant(x, { dtype: "string" })));
    const literals = data.map((x) => (x instanceof Output ? null : x));
    const fail = (): Operation => {
      const inputs = values.map((x, i) => literals[i] ?? x);
      return graph.addOp("Assert", [condition, inputs], { name: "Assert", attrs: { summarize } });
    };
    const merged = cond(condition, () => graph.addOp("NoOp", []), fail, { name: "AssertGuard" });
    return (merged as Output).op;
  });
}
