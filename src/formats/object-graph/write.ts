/**
 * @file Object-based checkpoints, written: variables with the graph of objects that they came with, or a tree made of their names.
 * Start at `objectContents`.
 *
 * @see TensorFlow python/checkpoint/checkpoint.py (`save_counter`), python/checkpoint/graph_view.py
 */

import type { Tensor } from "../../base/index.ts";
import { writeV2Collection } from "../checkpoint/save.ts";
import {
  type CollectionWriter,
  type Contents,
  variableOf,
  type WritableVariable,
  type WriteReport,
} from "../collection/index.ts";
import {
  attributeKey,
  escapeLocalName,
  OBJECT_GRAPH_KEY,
  type ObjectGraph,
  type ObjectNode,
  objectOfKey,
  pathOfKey,
  readObjectGraph,
  type SlotKey,
  slotOfKey,
  VARIABLE_VALUE,
  writeObjectGraph,
} from "./graph.ts";
import { namesOfKeys } from "./variables.ts";

/** The tensors of an object-based checkpoint, and what has no place in one. */
export interface ObjectContents extends WriteReport {
  /** named by their keys */
  readonly contents: Contents;
}

/**
 * The tensors of an object-based checkpoint, with the one that is its graph.
 *
 * Of the graph in `extras`, variables keep key and node: by their key, else by their name. A new name becomes the full name; what is gone
 * is gone from the graph. Variables that it lacks, or all where there is none, become a tree of their names' parts, in which
 * `tf.train.Checkpoint` finds them: `a/b` is attribute b of the root's attribute a. A name that is a key is taken as one.
 */
export function objectContents({ variables, extras = {} }: Contents, at = "object graph"): ObjectContents {
  const given = extras.objectGraph;
  const graph: ObjectGraph =
    given === undefined
      ? { $typeName: "tensorflow.TrackableObjectGraph", nodes: [] }
      : readObjectGraph(given, at);
  if (graph.nodes.length === 0) graph.nodes.push(newNode());
  const keys = [...new Set(graph.nodes.flatMap((node) => node.attributes.map((a) => a.checkpointKey)))];
  const names = new Map(namesOfKeys(keys, graph).map((name, i) => [keys[i]!, name]));
  const keyOfName = new Map([...names].map(([key, name]) => [name, key]));
  // Of what Keras exports twice, the first: its names are its keys' paths else.
  for (const { attributes } of graph.nodes)
    for (const { fullName, checkpointKey } of attributes)
      if (fullName !== "" && !keyOfName.has(fullName)) keyOfName.set(fullName, checkpointKey);
  const written = new Map<string, WritableVariable>();
  const added: WritableVariable[] = [];
  const left: { what: string; why: string }[] = [];
  for (const v of variables) {
    const key = given === undefined ? undefined : (v.key ?? keyOfName.get(v.name) ?? partKey(v.name, names));
    if (v.dtype === "variant" || v.dtype === "resource")
      left.push({ what: v.name, why: `a ${v.dtype} has no values that others can read` });
    else if (key === undefined || written.has(key)) added.push(v);
    else written.set(key, v);
  }
  keepOnly(graph, written, names);
  const tree = treeAt(graph, written);
  for (const v of added) written.set(tree.add(v.name), v);
  if (given === undefined) withCounter(tree, written);
  const bytes = writeObjectGraph(graph);
  const tensor: Tensor = { dtype: "string", shape: [], data: [bytes] };
  const tensors = [...written].map(([key, v]) => ({ ...v, name: key, key }));
  return {
    contents: {
      variables: [...tensors, variableOf(OBJECT_GRAPH_KEY, tensor)],
      extras: { ...extras, objectGraph: bytes },
    },
    left,
  };
}

/** Key of a tensor that is a part of an attribute: a table's `t/table-keys` of `t/.ATTRIBUTES/table`. */
function partKey(name: string, keys: ReadonlyMap<string, string>): string | undefined {
  const parts = name.split("/").map(escapeLocalName);
  const key = attributeKey(parts.slice(0, -1).join("/"), parts.at(-1)!);
  const whole = key.replace(/[-_][^-_/]+$/, "");
  return whole !== key && keys.has(whole) ? key : undefined;
}

const newNode = (): ObjectNode => ({
  $typeName: "tensorflow.TrackableObjectGraph.TrackableObject",
  children: [],
  attributes: [],
  slotVariables: [],
  hasCheckpointValues: true,
});

/** Takes out of a graph what is not written, and gives what is its new names. */
function keepOnly(
  graph: ObjectGraph,
  written: ReadonlyMap<string, WritableVariable>,
  names: ReadonlyMap<string, string>,
): void {
  const emptied = new Set<number>();
  const wholes = new Set([...written.keys()].map((key) => key.replace(/[-_][^-_/]+$/, "")));
  graph.nodes.forEach((node, i) => {
    const before = node.attributes.length;
    node.attributes = node.attributes.filter(
      (a) => written.has(a.checkpointKey) || (a.name !== VARIABLE_VALUE && wholes.has(a.checkpointKey)),
    );
    if (before > 0 && node.attributes.length === 0) emptied.add(i);
    for (const attribute of node.attributes) {
      const name = written.get(attribute.checkpointKey)?.name ?? "";
      const isNew = name !== names.get(attribute.checkpointKey);
      if (isNew && attribute.name === VARIABLE_VALUE) attribute.fullName = name;
    }
  });
  if (emptied.size === 0) return;
  for (const node of graph.nodes)
    node.slotVariables = node.slotVariables.filter((slot) => !emptied.has(slot.slotVariableNodeId));
}

interface Tree {
  /** Puts a variable in its place. @returns its key */
  add(name: string): string;
}

/** The graph as a tree from its root, to which variables are added by the parts of their names. */
function treeAt(graph: ObjectGraph, taken: ReadonlyMap<string, unknown>): Tree {
  const edges = new Map<number, Map<string, number>>();
  const edgesOf = (id: number): Map<string, number> => {
    const known = edges.get(id) ?? new Map(graph.nodes[id]!.children.map((c) => [c.localName, c.nodeId]));
    edges.set(id, known);
    return known;
  };
  const step = (from: number, localName: string): number => {
    const found = edgesOf(from).get(localName);
    if (found !== undefined) return found;
    const nodeId = graph.nodes.push(newNode()) - 1;
    graph.nodes[from]!.children.push({
      $typeName: "tensorflow.TrackableObjectGraph.TrackableObject.ObjectReference",
      localName,
      nodeId,
    });
    edgesOf(from).set(localName, nodeId);
    return nodeId;
  };
  const walk = (parts: readonly string[]): number => parts.reduce(step, 0);
  const free = (parts: readonly string[]): { readonly id: number; readonly key: string } | undefined => {
    const id = walk(parts);
    const key = attributeKey(parts.map(escapeLocalName).join("/"));
    return graph.nodes[id]!.attributes.length > 0 || taken.has(key) ? undefined : { id, key };
  };
  const give = (id: number, fullName: string, checkpointKey: string): string => {
    const $typeName = "tensorflow.TrackableObjectGraph.TrackableObject.SerializedTensor" as const;
    graph.nodes[id]!.attributes.push({ $typeName, name: VARIABLE_VALUE, fullName, checkpointKey });
    return checkpointKey;
  };
  const addSlot = ({ of, optimizer, slotName }: SlotKey, key: string): string => {
    const slotVariableNodeId = graph.nodes.push(newNode()) - 1;
    const $typeName = "tensorflow.TrackableObjectGraph.TrackableObject.SlotVariableReference" as const;
    const originalVariableNodeId = walk(of);
    const slot = { $typeName, originalVariableNodeId, slotName, slotVariableNodeId };
    graph.nodes[walk(optimizer)]!.slotVariables.push(slot);
    return give(slotVariableNodeId, "", key);
  };
  return {
    add: (name) => {
      const slot = slotOfKey(name);
      if (slot !== null && !taken.has(name)) return addSlot(slot, name);
      const known = objectOfKey(name);
      const isKey = known !== null && known.attribute === VARIABLE_VALUE;
      const split = isKey ? pathOfKey(name) : name.split("/");
      let place = split.includes("") ? free([name]) : free(split);
      // Where the graph has another variable, a number is added.
      for (let i = 1; place === undefined; i++)
        place = free([...split.slice(0, -1), `${split.at(-1)!}_${i}`]);
      return give(place.id, isKey ? "" : name, place.key);
    },
  };
}

/** `restore` wants the count of saves, which `save` writes. */
function withCounter(tree: Tree, written: Map<string, WritableVariable>): void {
  const key = attributeKey("save_counter");
  if (written.has(key)) return;
  const one: Tensor = { dtype: "int64", shape: [], data: new BigInt64Array([1n]) };
  written.set(tree.add("save_counter"), variableOf("save_counter", one));
}

/** Writes an object-based checkpoint: values as `writeV2Collection`, with the graph of `objectContents`. */
export const writeObjectCollection: CollectionWriter = async (path, contents, options) => {
  const planned = objectContents(contents, path);
  const { left } = await writeV2Collection(path, planned.contents, options);
  return { left: [...planned.left, ...left] };
};
