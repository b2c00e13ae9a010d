/** @file Values given to variables without new nodes: through their initializers, fed. Start at `assignValues`. */

import type { Tensor } from "../../base/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import type { Session } from "../../run/index.ts";
import type { Variable } from "../../variables/index.ts";

/**
 * Gives variables of the session's graph their values, in one run: all or, after an error, none. Only variables whose initial value is one
 * and the same node take turns. Works in finalized graphs, and in sessions on other machines.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a value of another shape or dtype
 */
export async function assignValues(session: Session, values: ReadonlyMap<Variable, Tensor>): Promise<void> {
  const runs: { readonly feeds: Map<Output, Tensor>; readonly targets: Operation[] }[] = [];
  for (const [{ initializer }, value] of values) {
    const initial = initializer.inputs[1]!;
    let run = runs.find(({ feeds }) => !feeds.has(initial));
    if (run === undefined) {
      run = { feeds: new Map(), targets: [] };
      runs.push(run);
    }
    run.feeds.set(initial, value);
    run.targets.push(initializer);
  }
  for (const { feeds, targets } of runs) await session.run([], { targets, feeds });
}
