/**
 * @file The graph of objects that an object-based checkpoint holds beside its tensors, both ways: TrackableObjectGraph, and the
 * spelling of keys. What its variables are called is told by object.ts. Start at `readObjectGraph`.
 *
 * @see TensorFlow core/protobuf/trackable_object_graph.proto; python/checkpoint/trackable_view.py, python/trackable/trackable_utils.py
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import {
  type TrackableObjectGraph,
  type TrackableObjectGraph_TrackableObject,
  TrackableObjectGraphSchema,
} from "../../proto/index.ts";
import { readVarint } from "../../wire/index.ts";

/** Key of the string tensor that is the graph. @see TensorFlow python/trackable/base.py OBJECT_GRAPH_PROTO_KEY */
export const OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH";
/** Name of a variable's attribute that is its values. @see TensorFlow python/trackable/base.py VARIABLE_VALUE_KEY */
export const VARIABLE_VALUE = "VARIABLE_VALUE";

export type ObjectGraph = TrackableObjectGraph;
export type ObjectNode = TrackableObjectGraph_TrackableObject;

/** Entries that a graph may have, nodes and edges together: a decoded one takes some 200 bytes. 100,000 variables have 500,000. */
const MAX_ENTRIES = 4_000_000;

/**
 * The object graph in the bytes of its tensor: node 0 is the root, every reference is to a node.
 *
 * @throws VarscopeError DATA_LOSS - no graph, or one that refers to nodes that it lacks; RESOURCE_EXHAUSTED - too large
 */
export function readObjectGraph(bytes: Uint8Array, at: string): ObjectGraph {
  needFewEntries(bytes, at);
  let graph: ObjectGraph;
  try {
    graph = fromBinary(TrackableObjectGraphSchema, bytes);
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", "the object graph is no TrackableObjectGraph", { at, cause });
  }
  graph.nodes.forEach((node, i) => {
    const need = (id: number, what: string): void => {
      if (id >= 0 && id < graph.nodes.length) return;
      const found = `node ${i} of the object graph refers to node ${id} (${what}); it has ${graph.nodes.length}`;
      throw new VarscopeError("DATA_LOSS", found, { at });
    };
    for (const { nodeId, localName } of node.children) need(nodeId, localName);
    for (const slot of node.slotVariables) {
      need(slot.originalVariableNodeId, `variable of slot ${slot.slotName}`);
      need(slot.slotVariableNodeId, `slot ${slot.slotName}`);
    }
  });
  return graph;
}

/** The bytes of a graph; what was unknown in it is written as it was read. */
export const writeObjectGraph = (graph: MessageInitShape<typeof TrackableObjectGraphSchema>): Uint8Array =>
  toBinary(TrackableObjectGraphSchema, create(TrackableObjectGraphSchema, graph));

/** Edge of that name. */
export const childOf = (node: ObjectNode, name: string): number | undefined =>
  node.children.find((child) => child.localName === name)?.nodeId;

/** Items of a list or tuple, by index; what is no item is left out. */
export function itemsOf(node: ObjectNode): Map<number, number> {
  const items = new Map<number, number>();
  for (const { localName, nodeId } of node.children)
    if (/^\d{1,9}$/.test(localName)) items.set(Number(localName), nodeId);
  return items;
}

/** Counts nodes and what is in them before they take memory: an entry of 2 bytes decodes to a hundred times that. */
function needFewEntries(bytes: Uint8Array, at: string): void {
  let entries = 0;
  let nodeEnd = 0;
  for (let next = 0; next < bytes.length; ) {
    if (++entries > MAX_ENTRIES)
      throw new VarscopeError("RESOURCE_EXHAUSTED", `an object graph of more than ${MAX_ENTRIES} entries`, {
        at,
      });
    const tag = readVarint(bytes, next, bytes.length, `${at}: object graph`);
    next = tag.next;
    if (tag.value % 8 === 2) {
      const length = readVarint(bytes, next, bytes.length, `${at}: object graph`);
      const inNode = tag.next <= nodeEnd;
      next = inNode || tag.value !== NODES_TAG ? length.next + length.value : length.next;
      if (!inNode && tag.value === NODES_TAG) nodeEnd = length.next + length.value;
    } else if (tag.value % 8 === 0) while (bytes[next++]! >= 0x80);
    else next += tag.value % 8 === 1 ? 8 : 4;
  }
}

/** Field 1, with a length. */
const NODES_TAG = 10;

/** A part of an object's path as it stands in keys. @see TensorFlow python/trackable/trackable_utils.py escape_local_name */
export const escapeLocalName = (name: string): string => name.replaceAll(".", "..").replaceAll("/", ".S");

/** What a part of a key was before it was escaped. */
export const unescapeLocalName = (part: string): string =>
  part.replace(/\.[.S]/g, (two) => (two === ".S" ? "/" : "."));

/** Key of an attribute: `model/dense/kernel/.ATTRIBUTES/VARIABLE_VALUE`. @param path - of the object, its parts escaped */
export const attributeKey = (path: string, attribute = VARIABLE_VALUE): string =>
  `${path}${path === "" ? "" : "/"}.ATTRIBUTES/${escapeLocalName(attribute)}`;

const ATTRIBUTE = /^(?:(.*)\/)?\.ATTRIBUTES\/([^/]+)$/s;
const SLOT = /^(.+)\/\.OPTIMIZER_SLOT\/(.+)\/([^/]+)$/s;

/** Path of an object and name of its attribute, unescaped, from a key; null where it is no object's key. */
export function objectOfKey(key: string): { readonly path: string; readonly attribute: string } | null {
  const found = ATTRIBUTE.exec(key);
  if (found === null) return null;
  const slot = SLOT.exec(found[1] ?? "");
  const path = slot === null ? (found[1] ?? "") : `${slot[2]}/${slot[1]}/${slot[3]}`;
  return { path: unescapeLocalName(path), attribute: unescapeLocalName(found[2]!) };
}

/** The parts of an object's path in a key, unescaped. */
export const pathOfKey = (key: string): string[] =>
  (ATTRIBUTE.exec(key)?.[1] ?? key).split("/").map(unescapeLocalName);

/** A slot variable by its key. */
export interface SlotKey {
  /** paths of objects */
  readonly of: readonly string[];
  readonly optimizer: readonly string[];
  readonly slotName: string;
}

/** What the key of a slot variable says; null where it is another key. */
export function slotOfKey(key: string): SlotKey | null {
  const found =
    objectOfKey(key)?.attribute === VARIABLE_VALUE ? SLOT.exec(ATTRIBUTE.exec(key)?.[1] ?? "") : null;
  if (found === null) return null;
  const parts = (path: string): string[] => path.split("/").map(unescapeLocalName);
  return { of: parts(found[1]!), optimizer: parts(found[2]!), slotName: unescapeLocalName(found[3]!) };
}
