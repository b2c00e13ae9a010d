/**
 * @file A graph's variables against a checkpoint, without restoring anything: what has a value there, what has none, and what it may be
 * called there. Start at `explainRestore`.
 */

import { Graph } from "../../graph/index.ts";
import {
  allSaveables,
  type Saveable,
  type SaveableObject,
  saveablesOf,
  type VariableMap,
} from "../saver-list.ts";
import { planRestore, reportOf, type Wanted } from "./plan.ts";
import type { KeyMap, RestoreReport } from "./report.ts";
import { openStored } from "./stored.ts";

export interface ExplainOptions {
  /** tensors of as many elements fit, as for a saver that reshapes: false */
  readonly reshape?: boolean;
  /** names of variables by the keys that they would be read from, where these differ from their own */
  readonly assignmentMap?: KeyMap;
}

/**
 * What restoring `variables` from a checkpoint would find: the difference between a graph and a checkpoint, with suggested renames.
 * Reads names, dtypes and shapes, no values.
 *
 * @param variables - a graph (all that a saver takes), or variables as `saver` takes them
 * @param path - prefix, file or folder of a checkpoint of either format
 * @throws VarscopeError INVALID_ARGUMENT - no checkpoint there, or no variables; DATA_LOSS - damaged
 */
export async function explainRestore(
  variables: Graph | Iterable<Saveable> | VariableMap,
  path: string,
  options: ExplainOptions = {},
): Promise<RestoreReport> {
  const saveables = saveablesOf(variables instanceof Graph ? allSaveables(variables) : variables);
  const wanted = saveables.flatMap((saveable) => wantedOf(saveable, options.reshape ?? false));
  const { collection } = await openStored(path);
  try {
    return reportOf(planRestore(wanted, collection, options.assignmentMap), wanted, collection);
  } finally {
    await collection.close();
  }
}

/** What a saveable object wants of a checkpoint. */
const wantedOf = ({ op, specs }: SaveableObject, reshapes: boolean): Wanted[] =>
  specs.map(({ name: key, dtype, shape, slice }) => ({
    name: slice === "" && op !== undefined ? op.name : key,
    key,
    dtype,
    shape,
    slice,
    reshapes,
  }));
