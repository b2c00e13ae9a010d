/** @file Hooks that add to the runs of a session: feeds for each, and a run at the end. @see TensorFlow python/training/basic_session_run_hooks.py */

import type { Feeds, Fetchable, Fetched } from "../../run/index.ts";
import { runAny, type SessionRunHook } from "./hook.ts";

/** Feeds each run what `feedFn` gives. */
export const feedFnHook = (feedFn: () => Feeds | Promise<Feeds>): SessionRunHook => ({
  beforeRun: async () => ({ feeds: await feedFn() }),
});

/** A hook, and what it fetched at the end of the session; null before. */
export interface FinalOpsHook<F> extends SessionRunHook {
  readonly finalOpsValues: Fetched<F> | null;
}

/** Fetches `finalOps` when the session ends. */
export function finalOpsHook<const F extends Fetchable>(finalOps: F, feeds: Feeds = {}): FinalOpsHook<F> {
  const hook: SessionRunHook & { finalOpsValues: unknown } = {
    finalOpsValues: null,
    async end(session) {
      hook.finalOpsValues = await runAny(session, finalOps, { feeds });
    },
  };
  return hook as FinalOpsHook<F>;
}
