/** @file The checkpoint inside a SavedModel: what Keras exports twice is one variable here. Start at `openSavedVariables`. */

import type { Files } from "#platform";
import { collectionOf, type StoredVariable, type VariableCollection } from "../collection/index.ts";
import {
  OBJECT_GRAPH_KEY,
  type ObjectGraph,
  readObjectGraph,
  VARIABLE_VALUE,
} from "../object-graph/graph.ts";
import { withObjectFacts } from "../object-graph/variables.ts";
import type { IndexEntry } from "./bundle.ts";
import { graphBytes, storedVariable } from "./collection.ts";
import { openBundle, sourcesOf } from "./open.ts";

/**
 * The variables of a SavedModel, by their full names. Records of one name whose values are equal by length and checksum are one
 * variable: Keras 3's `export` writes each under `variables` and under `_all_variables`; `aliases` has the other keys.
 *
 * @param prefix - of its checkpoint: `model/variables/variables`
 * @throws VarscopeError NOT_FOUND - there is no index; DATA_LOSS - it is damaged
 */
export async function openSavedVariables(prefix: string, files: Files): Promise<VariableCollection> {
  const bundle = await openBundle(await sourcesOf(prefix, files));
  try {
    const { entries } = bundle.index;
    const graphEntry = entries.find((entry) => entry.name === OBJECT_GRAPH_KEY);
    const objectGraph = graphEntry === undefined ? null : await graphBytes(graphEntry, bundle);
    const parts = { path: prefix, format: "saved-model" as const, close: bundle.close };
    const stored = (entry: IndexEntry): StoredVariable => storedVariable(entry, bundle);
    if (objectGraph === null) return collectionOf({ ...parts, variables: entries.map(stored) });
    const graph = readObjectGraph(objectGraph, prefix);
    const groups = groupsOf(
      entries.filter((entry) => entry !== graphEntry),
      graph,
    );
    const variables = withObjectFacts(
      groups.map(([first]) => stored(first!)),
      graph,
    ).map((v, i) => {
      const aliases = groups[i]!.slice(1).map((entry) => entry.name);
      return aliases.length === 0 ? v : { ...v, aliases };
    });
    return collectionOf({ ...parts, variables, extras: { objectGraph } });
  } catch (e) {
    await bundle.close();
    throw e;
  }
}

/** Entries of the same full name and values, in the graph's order. */
function groupsOf(entries: readonly IndexEntry[], graph: ObjectGraph): IndexEntry[][] {
  const places = new Map<string, { readonly fullName: string; readonly order: number }>();
  for (const { attributes } of graph.nodes)
    for (const { name, fullName, checkpointKey } of attributes)
      if (name === VARIABLE_VALUE && !places.has(checkpointKey))
        places.set(checkpointKey, { fullName, order: places.size });
  const orderOf = (entry: IndexEntry): number => places.get(entry.name)?.order ?? places.size;
  const groups = new Map<string, IndexEntry[]>();
  for (const entry of [...entries].sort((a, b) => orderOf(a) - orderOf(b))) {
    const fullName = places.get(entry.name)?.fullName ?? "";
    const { dtype, shape, bytes, crc, parts } = entry;
    const alone = fullName === "" || parts.length > 0;
    const same = alone
      ? `key ${entry.name}`
      : `name ${fullName}\0${dtype}\0${shape.join()}\0${bytes}\0${crc}`;
    const group = groups.get(same);
    if (group === undefined) groups.set(same, [entry]);
    else group.push(entry);
  }
  return [...groups.values()];
}
