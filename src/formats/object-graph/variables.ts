/**
 * @file The variables of an object-based checkpoint as people know them: full names for keys, roles, slots tied to their variables.
 * Keras 2, Keras 3 and plain trees of tf.train.Checkpoint. Start at `objectVariables`.
 *
 * @see TensorFlow python/checkpoint/graph_view.py, python/checkpoint/save_util.py
 */

import type { StoredVariable } from "../collection/index.ts";
import { OBJECT_GRAPH_KEY, type ObjectGraph, objectOfKey, readObjectGraph, VARIABLE_VALUE } from "./graph.ts";
import { optimizerFacts } from "./optimizer.ts";

/**
 * The tensors of an object-based checkpoint, named by its object graph.
 *
 * A name is the variable's full name (`dense/kernel`); where several have it, or none is there, the path of objects (`model/w`).
 * `key` stays the checkpoint's.
 *
 * @param stored - the tensors, each named by its key; the graph's own is left out
 * @param graph - bytes of the graph's tensor
 * @param at - the checkpoint, for messages
 * @throws VarscopeError DATA_LOSS - the graph is damaged; RESOURCE_EXHAUSTED - it is too large
 */
export function objectVariables(
  stored: readonly StoredVariable[],
  graph: Uint8Array,
  at: string,
): StoredVariable[] {
  const tensors = stored.filter((v) => v.name !== OBJECT_GRAPH_KEY);
  return withObjectFacts(tensors, readObjectGraph(graph, at));
}

/** As `objectVariables`, of a graph that is read. */
export function withObjectFacts(tensors: readonly StoredVariable[], graph: ObjectGraph): StoredVariable[] {
  const names = namesOfKeys(
    tensors.map((v) => v.name),
    graph,
  );
  const nodeOfKey = new Map<string, number>();
  graph.nodes.forEach(({ attributes }, i) => {
    for (const { checkpointKey } of attributes)
      if (!nodeOfKey.has(checkpointKey)) nodeOfKey.set(checkpointKey, i);
  });
  const nameOfNode = new Map<number, string>();
  tensors.forEach((v, i) => {
    const node = nodeOfKey.get(v.name);
    if (node !== undefined && !nameOfNode.has(node)) nameOfNode.set(node, names[i]!);
  });
  const facts = optimizerFacts(graph);
  return tensors.map((v, i) => {
    const node = nodeOfKey.get(v.name);
    const known = node === undefined ? undefined : facts.get(node);
    const named = { ...v, name: names[i]!, key: v.name };
    if (known === undefined) return named; // its role is told by its name
    const { ofNode, optimizerNode: _, ...rest } = known;
    const of = ofNode === undefined ? undefined : nameOfNode.get(ofNode);
    const layer = scopeOf(of ?? names[i]!);
    return { ...named, ...rest, layer, ...(of === undefined ? {} : { of }) };
  });
}

/** Names of the tensors with these keys, in their order; each once. */
export function namesOfKeys(keys: readonly string[], graph: ObjectGraph): string[] {
  const fullNames = new Map<string, string>();
  for (const { attributes } of graph.nodes)
    for (const { name, fullName, checkpointKey } of attributes)
      if (name === VARIABLE_VALUE && fullName !== "" && !fullNames.has(checkpointKey))
        fullNames.set(checkpointKey, fullName);
  return uniqueNames(keys.map((key) => [fullNames.get(key) ?? pathName(key), pathName(key), key]));
}

const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

/** The path of objects in a key; of what is no variable's value with the attribute's name. */
function pathName(key: string): string {
  const found = objectOfKey(key);
  if (found === null) return key;
  const { path, attribute } = found;
  return attribute === VARIABLE_VALUE && path !== "" ? path : `${path}${path === "" ? "" : "/"}${attribute}`;
}

/** For each variable the first of its candidates that no other takes; all who want the same take their next one. */
function uniqueNames(candidates: readonly (readonly string[])[]): string[] {
  const tries = candidates.map(() => 0);
  const wanted = (i: number): string => candidates[i]![tries[i]!]!;
  for (let round = 0; round < 4; round++) {
    const counts = new Map<string, number>();
    for (let i = 0; i < tries.length; i++) counts.set(wanted(i), (counts.get(wanted(i)) ?? 0) + 1);
    const clashing = [...tries.keys()].filter(
      (i) => counts.get(wanted(i))! > 1 && tries[i]! + 1 < candidates[i]!.length,
    );
    for (const i of clashing) tries[i]!++;
    if (clashing.length === 0) break;
  }
  const taken = new Set<string>();
  return candidates.map((_, i) => {
    let name = wanted(i);
    for (let n = 1; taken.has(name); n++) name = `${wanted(i)}_${n}`;
    taken.add(name);
    return name;
  });
}
