/** @file Averages in the place of a session's variables, for an evaluation, and the values back afterwards. Start at `withAverages`. */

import type { Tensor } from "../../base/index.ts";
import { type Session, variableKey } from "../../run/index.ts";
import type { Variable } from "../../variables/index.ts";

/** What has averages of variables in variables of their own: an `ExponentialMovingAverage`, a `stochasticWeightAverage`. */
export interface Averages {
  /** each variable with the variable that holds its average */
  pairs(): Iterable<readonly [variable: Variable, average: Variable]>;
}

/** Puts values back; a second call does nothing. */
export type Restore = () => void;

const copyOf = (t: Tensor): Tensor => ({ ...t, data: t.data.slice() as Tensor["data"] });

/** Gives variables other values. No run may be on its way. @returns what gives them the values they had, bit for bit */
export function replaceValues(
  session: Session,
  values: Iterable<readonly [variable: Variable, value: Tensor]>,
): Restore {
  const list = [...values].map(([v, value]) => [variableKey(v.op), v, value] as const);
  let before = list.map(([key, v]) => copyOf(session.variables.need(key, !v.isResource)));
  for (const [key, , value] of list) session.variables.commit(key, copyOf(value), true);
  return () => {
    for (const [i, value] of before.entries()) session.variables.commit(list[i]![0], value, true);
    before = [];
  };
}

/**
 * Averages take the place of the variables, in the session, until the function that it gives is called. The averages themselves stay where
 * they are. Variables without an average keep their values: moving statistics of batch normalization do, so `recalibrate` them where exact
 * ones matter. A training step in between is undone by the restore.
 *
 * @throws VarscopeError FAILED_PRECONDITION - a variable or its average has no value yet; nothing is changed then
 */
export function swapAverages(session: Session, averages: Averages): Restore {
  const values = [...averages.pairs()].map(
    ([v, average]) => [v, session.variables.need(variableKey(average.op), !average.isResource)] as const,
  );
  return replaceValues(session, values);
}

/** Runs `body` with the averages in place of the variables, and puts the values back, whether it succeeds or throws. */
export async function withAverages<R>(
  session: Session,
  averages: Averages,
  body: () => Promise<R> | R,
): Promise<R> {
  const restore = swapAverages(session, averages);
  try {
    return await body();
  } finally {
    restore();
  }
}
