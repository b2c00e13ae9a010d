/**
 * @file Starting a training from another's checkpoint: by name, over renames, over vocabularies that have changed. Start at `warmStart`.
 *
 * @see TensorFlow python/training/warm_starting_util.py
 */

import { VarscopeError } from "../../base/index.ts";
import type { Graph } from "../../graph/index.ts";
import { globalVariables, isVariable, trainableVariables, type Variable } from "../../variables/index.ts";
import { type AssignTarget, initFromCheckpoint } from "./init-from-checkpoint.ts";
import type { MatchedVariable } from "./report.ts";
import { openStored } from "./stored.ts";
import { needVocabInfo, startWithVocab, type VocabInfo } from "./vocab-start.ts";

export interface WarmStartOptions {
  /**
   * A regular expression for the beginning of names of trainable variables; several of them, for all global variables; variables; or
   * null: only those with a vocabulary. Default ".*"
   */
  readonly varsToWarmStart?: string | readonly string[] | readonly Variable[] | null;
  /** names in the checkpoint, by name of the variable; by default the same */
  readonly varNameToPrevVarName?: Readonly<Record<string, string>>;
  /** of variables whose rows or columns are entries of a vocabulary */
  readonly varNameToVocabInfo?: Readonly<Record<string, VocabInfo>>;
}

const invalid = (what: string, hint?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, hint === undefined ? {} : { hint });

/**
 * Makes a checkpoint's values the initial values of variables of the same or another name: they are there after the initializers have run.
 *
 * @param path - a folder (then its latest checkpoint), or a checkpoint; of an object-based one full names are looked up
 * @returns which variable takes which key
 * @throws VarscopeError INVALID_ARGUMENT - a variable is missing in the checkpoint, shapes differ, an option names no variable
 */
export async function warmStart(
  graph: Graph,
  path: string,
  options: WarmStartOptions = {},
): Promise<MatchedVariable[]> {
  const { varsToWarmStart = ".*", varNameToPrevVarName = {}, varNameToVocabInfo = {} } = options;
  const groups = grouped(chosen(graph, varsToWarmStart));
  needUsed("var_name_to_prev_var_name", varNameToPrevVarName, groups);
  needUsed("var_name_to_vocab_info", varNameToVocabInfo, groups);
  for (const info of Object.values(varNameToVocabInfo)) needVocabInfo(info);
  if (Object.keys(varNameToPrevVarName).length === 0) await needNames(path, [...groups.keys()]);
  const [previous, vocabularies] = [varNameToPrevVarName, varNameToVocabInfo].map(
    (given) => new Map(Object.entries(given)),
  ) as [Map<string, string>, Map<string, VocabInfo>];
  const done: MatchedVariable[] = [];
  let plain = new Map<string, AssignTarget>();
  const start = async (): Promise<void> => {
    if (plain.size > 0) done.push(...(await initFromCheckpoint(graph, path, plain)));
    plain = new Map();
  };
  for (const [name, variables] of groups) {
    const key = previous.get(name) ?? name;
    const info = vocabularies.get(name);
    if (info !== undefined) done.push(...(await startWithVocab(variables, path, key, info)));
    else if (varsToWarmStart !== null) {
      // a key that serves two variables needs a map of its own
      if (plain.has(key)) await start();
      plain.set(key, variables.length === 1 ? variables[0]! : variables);
    }
  }
  await start();
  return done;
}

function chosen(graph: Graph, which: unknown): Variable[] {
  if (which === null) return trainableVariables(graph);
  if (typeof which === "string") return trainableVariables(graph, which);
  if (!Array.isArray(which))
    throw invalid(`\`vars_to_warm_start must be a \`list\` or \`str\`.  Given type is ${typeof which}`);
  if (which.every(isVariable)) return which;
  if (which.every((x) => typeof x === "string"))
    return [...new Set(which.flatMap((scope) => globalVariables(graph, scope)))];
  const types = which.map((x) => (isVariable(x) ? "Variable" : typeof x));
  throw invalid(
    `If \`vars_to_warm_start\` is a list, it must be all \`Variable\` or all \`str\`.  Given types are [${types.join(", ")}]`,
  );
}

/** Variables by name; the slices of a partitioned one together. */
function grouped(variables: readonly Variable[]): Map<string, Variable[]> {
  const groups = new Map<string, Variable[]>();
  for (const v of variables) {
    const name = v.saveSliceInfo?.fullName ?? v.op.name;
    groups.set(name, [...(groups.get(name) ?? []), v]);
  }
  return groups;
}

/** Of an object-based checkpoint, whose keys are no names, all names must be known. */
async function needNames(path: string, names: readonly string[]): Promise<void> {
  const { collection } = await openStored(path);
  await collection.close();
  if (collection.extras.objectGraph === undefined) return;
  const known = new Set(collection.variables.flatMap((v) => [v.name, v.key]));
  const missing = names.filter((name) => !known.has(name));
  if (missing.length === 0) return;
  throw invalid(
    `Attempting to warm-start from an object-based checkpoint, but found that the checkpoint did not contain values for all variables. The following variables were missing: {${missing.map((name) => `'${name}'`).join(", ")}}`,
  );
}

/** An option that names no variable is a slip that would otherwise pass in silence. */
function needUsed(option: string, given: object, groups: ReadonlyMap<string, unknown>): void {
  const unused = Object.keys(given).filter((name) => !groups.has(name));
  if (unused.length === 0) return;
  throw invalid(
    `You provided the following variables in ${option} that were not used: {${unused.map((name) => `'${name}'`).join(", ")}}.  Perhaps you misspelled them?  Here is the list of viable variable names: [${[...groups.keys()].map((name) => `'${name}'`).join(", ")}]`,
  );
}
