/**
 * @file A graph of objects as a tree: each object once, where the shortest path from the root leads, which is the path in its keys; other edges to it
 * are references. Both kinds of graphs: a checkpoint's, and that of a SavedModel, which says what its objects are. Start at `checkpointObjects`.
 *
 * @see TensorFlow python/checkpoint/graph_view.py, checkpoint_view.py; core/protobuf/saved_object_graph.proto
 */

import { type DType, dtypeFromCode, type Shape, VarscopeError } from "../../base/index.ts";
import type { SavedObject, SavedObjectGraph } from "../../proto/index.ts";
import { readShape } from "../graph-def/index.ts";
import { attributeKey, escapeLocalName, type ObjectGraph, type ObjectNode, VARIABLE_VALUE } from "./graph.ts";

/** A tensor of an object. */
export interface ObjectValue {
  /** `VARIABLE_VALUE` of variables */
  readonly attribute: string;
  /** as people know it, `d/kernel`; "" where it has none */
  readonly fullName: string;
  /** in the checkpoint; "" of what is in none */
  readonly key: string;
  /** where the graph itself says so, which a SavedModel's does */
  readonly dtype?: DType;
  readonly shape?: Shape | null;
}

/** An edge to an object: by the name of a child, or as slot of a variable. */
export interface ObjectEdge {
  readonly name: string;
  readonly id: number;
  /** of a slot: the variable */
  readonly of?: number;
}

export interface TreeObject {
  readonly id: number;
  /** as in its keys, parts escaped; "" of the root, null where no path leads from it */
  readonly path: string | null;
  /** what it is: variable, list, object; in a SavedModel also function, asset, constant, ..., or the class as it was saved */
  readonly kind: string;
  /** names of functions, of the constant's op; number of the asset; that a variable is not trainable */
  readonly detail?: string;
  readonly values: readonly ObjectValue[];
  readonly children: readonly ObjectEdge[];
  /** of an optimizer */
  readonly slots: readonly ObjectEdge[];
  /** which edge the tree has it at; null of the root, and where no path leads */
  readonly parent: { readonly id: number; readonly edge: number } | null;
}

/** Nodes, edges and values that a tree may have. A model of 100,000 variables has 500,000. */
const MAX_ENTRIES = 1_000_000;
/** Letters of all paths together: a chain of objects has paths whose sum is the square of its length. */
const MAX_LETTERS = 64 << 20;

/** The objects of a checkpoint, by id. @throws VarscopeError RESOURCE_EXHAUSTED - more than a tree may have */
export function checkpointObjects(graph: ObjectGraph, at: string): TreeObject[] {
  const kindOf = ({ attributes, children }: ObjectNode): string => {
    if (attributes.some((a) => a.name === VARIABLE_VALUE)) return "variable";
    if (attributes.length > 0) return "values";
    return children.length > 0 && children.every((c) => /^\d+$/.test(c.localName)) ? "list" : "object";
  };
  return treeOf(
    graph.nodes.map((node) => ({
      ...edgesOf(node),
      kind: kindOf(node),
      values: node.attributes.map((a) => ({
        attribute: a.name,
        fullName: a.fullName,
        key: a.checkpointKey,
      })),
    })),
    at,
  );
}

/**
 * The objects of a SavedModel, by id.
 *
 * @param keys - those of its checkpoint
 * @throws VarscopeError DATA_LOSS - it refers to objects that it lacks; UNIMPLEMENTED - an unknown dtype; RESOURCE_EXHAUSTED - more than a tree
 *   may have
 */
export function savedObjects(graph: SavedObjectGraph, keys: ReadonlySet<string>, at: string): TreeObject[] {
  const plain = graph.nodes.map((node) => ({ ...edgesOf(node), ...kindOf(node), values: [] }));
  return treeOf(plain, at).map((object) => {
    const { variable } = graph.nodes[object.id]!;
    if (variable === undefined) return object;
    const key = object.path === null ? "" : attributeKey(object.path);
    const value = {
      attribute: VARIABLE_VALUE,
      fullName: variable.name,
      key: keys.has(key) ? key : "",
      dtype: dtypeFromCode(variable.dtype, at),
      shape: readShape(variable.shape, at),
    };
    return { ...object, values: [value] };
  });
}

function kindOf(node: SavedObject): Pick<TreeObject, "kind" | "detail"> {
  const { userObject, asset, function: fn, variable, bareConcreteFunction: bare, constant } = node;
  if (variable !== undefined)
    return { kind: "variable", ...(variable.trainable ? {} : { detail: "not trainable" }) };
  if (fn !== undefined) return { kind: "function", detail: fn.concreteFunctions.join(", ") };
  if (bare !== undefined) return { kind: "concrete function", detail: bare.concreteFunctionName };
  if (asset !== undefined) return { kind: "asset", detail: String(asset.assetFileDefIndex) };
  if (constant !== undefined) return { kind: "constant", detail: constant.operation };
  if (node.resource !== undefined) return { kind: "resource" };
  if (node.capturedTensor !== undefined) return { kind: "captured tensor", detail: node.capturedTensor.name };
  return { kind: userObject?.identifier || "object" };
}

const edgesOf = ({ children, slotVariables }: Pick<ObjectNode, "children" | "slotVariables">) => ({
  children: children.map(({ localName, nodeId }) => ({ name: localName, id: nodeId })),
  slots: slotVariables.map((s) => ({
    name: s.slotName,
    id: s.slotVariableNodeId,
    of: s.originalVariableNodeId,
  })),
});

type Plain = Omit<TreeObject, "id" | "path" | "parent">;

function treeOf(nodes: readonly Plain[], at: string): TreeObject[] {
  needFew(nodes, at);
  needNodes(nodes, at);
  const { parents, order } = shortest(nodes);
  const paths = pathsOf(nodes, parents, order, at);
  return nodes.map((node, id) => ({ id, path: paths[id]!, ...node, parent: parents[id] ?? null }));
}

type Parents = readonly (TreeObject["parent"] | undefined)[];

/** The edge by which the breadth-first walk of children comes to each object; slots that it does not come to hang on their optimizer. */
function shortest(nodes: readonly Plain[]): { readonly parents: Parents; readonly order: readonly number[] } {
  const parents: (TreeObject["parent"] | undefined)[] = nodes.map(() => undefined);
  const order: number[] = [];
  const reach = (id: number, parent: TreeObject["parent"]): void => {
    if (parents[id] !== undefined) return;
    parents[id] = parent;
    order.push(id);
  };
  const walk = (from: number): void => {
    for (let next = from; next < order.length; next++) {
      const id = order[next]!;
      for (const [edge, child] of nodes[id]!.children.entries()) reach(child.id, { id, edge });
    }
  };
  if (nodes.length > 0) reach(0, null);
  walk(0);
  const reached = order.length;
  for (const id of order.slice(0, reached)) {
    const { children, slots } = nodes[id]!;
    for (const [i, slot] of slots.entries()) reach(slot.id, { id, edge: children.length + i });
  }
  walk(reached);
  return { parents, order };
}

/** A child's path ends in its name; a slot's is its variable's and the optimizer's. @param order - parents before their children */
function pathsOf(
  nodes: readonly Plain[],
  parents: Parents,
  order: readonly number[],
  at: string,
): (string | null)[] {
  const paths: (string | null)[] = nodes.map(() => null);
  let letters = 0;
  for (const id of order) {
    const parent = parents[id];
    if (!parent) {
      paths[id] = "";
      continue;
    }
    const { children, slots } = nodes[parent.id]!;
    const child = children[parent.edge];
    const slot = slots[parent.edge - children.length];
    const above = paths[parent.id]!;
    const path =
      child !== undefined
        ? joined(above, escapeLocalName(child.name))
        : [paths[slot!.of!] ?? "", ".OPTIMIZER_SLOT", above, escapeLocalName(slot!.name)].reduce(joined);
    paths[id] = path;
    letters += path.length;
    if (letters > MAX_LETTERS) {
      const what = `paths of objects with more than ${MAX_LETTERS} letters`;
      throw new VarscopeError("RESOURCE_EXHAUSTED", what, { at });
    }
  }
  return paths;
}

const joined = (a: string, b: string): string => (a === "" ? b : b === "" ? a : `${a}/${b}`);

function needFew(nodes: readonly Plain[], at: string): void {
  const entries = nodes.reduce((n, o) => n + 1 + o.children.length + o.slots.length + o.values.length, 0);
  if (entries <= MAX_ENTRIES) return;
  const what = `${entries} objects and edges; a tree has ${MAX_ENTRIES} at most`;
  throw new VarscopeError("RESOURCE_EXHAUSTED", what, { at });
}

function needNodes(nodes: readonly Plain[], at: string): void {
  for (const [i, { children, slots }] of nodes.entries()) {
    const ids = [...children, ...slots].flatMap((e: ObjectEdge) => [e.id, e.of ?? 0]);
    const wrong = ids.find((id) => id < 0 || id >= nodes.length);
    if (wrong === undefined) continue;
    const what = `node ${i} of the object graph refers to node ${wrong}; it has ${nodes.length}`;
    throw new VarscopeError("DATA_LOSS", what, { at });
  }
}
