/**
 * @file A tree of objects as a checkpoint has it: nodes in TensorFlow's order, keys from the shortest paths, slots behind all others. Start at
 * `viewOf`.
 *
 * @see TensorFlow python/checkpoint/graph_view.py, util.py "serialize_slot_variables", save_util.py
 */

import { VarscopeError } from "../../base/index.ts";
import {
  attributeKey,
  escapeLocalName,
  VARIABLE_VALUE,
  writeObjectGraph,
} from "../../formats/object-graph/graph.ts";
import type { Graph } from "../../graph/index.ts";
import { isVariable, type Variable } from "../../variables/index.ts";
import { type Child, childrenOf, isLeaf, isOptimizer, type Leaf } from "./trackable.ts";

/** An object of the tree. */
export interface ViewNode {
  readonly object: object;
  /** from the root, its parts escaped */
  readonly path: string;
  readonly children: readonly { readonly localName: string; readonly nodeId: number }[];
  readonly slots: SlotReference[];
}

export interface SlotReference {
  readonly originalVariableNodeId: number;
  readonly slotName: string;
  readonly slotVariableNodeId: number;
}

/** All objects that the root leads to, by their number in the checkpoint. */
export interface ObjectView {
  readonly nodes: readonly ViewNode[];
}

/** Objects that a checkpoint may have: as many as one that is read may have entries. */
const MOST_NODES = 1_000_000;

/** Where a tree begins. */
export interface Root {
  readonly object: object;
  /** children that the root has beside its own */
  readonly attached: readonly Child[];
}

/** The tree under a root, breadth first. Variables are one object, through whichever record they are reached. */
export function viewOf(root: Root, graph: Graph): ObjectView {
  const nodes: (ViewNode & { children: { localName: string; nodeId: number }[] })[] = [];
  const idOf = new Map<object, number>();
  const add = (object: object, path: string): number => {
    const known = idOf.get(identityOf(object));
    if (known !== undefined) return known;
    if (nodes.length >= MOST_NODES)
      throw new VarscopeError("RESOURCE_EXHAUSTED", `a checkpoint of more than ${MOST_NODES} objects`, {
        at: path,
      });
    idOf.set(identityOf(object), nodes.length);
    return nodes.push({ object, path, children: [], slots: [] }) - 1;
  };
  add(root.object, "");
  for (let i = 0; i < nodes.length; i++) {
    const { object, path, children } = nodes[i]!;
    for (const [localName, child] of childrenAt(root, object, graph)) {
      const below = `${path}${path === "" ? "" : "/"}${escapeLocalName(localName)}`;
      children.push({ localName, nodeId: add(child, below) });
    }
  }
  addSlots(nodes, add);
  return { nodes };
}

/** The children of an object; of the root also those that are attached to it. */
export const childrenAt = ({ object: root, attached }: Root, object: object, graph: Graph): Child[] =>
  object === root ? [...childrenOf(object, graph), ...attached] : childrenOf(object, graph);

function addSlots(nodes: ViewNode[], add: (object: object, path: string) => number): void {
  const tree = [...nodes];
  for (const { object, path, slots } of tree) {
    if (!isOptimizer(object)) continue;
    for (const slotName of object.getSlotNames()) {
      for (const [originalVariableNodeId, original] of tree.entries()) {
        const slot = isVariable(original.object) ? object.getSlot(original.object, slotName) : null;
        if (slot === null) continue;
        const under = `${original.path}/.OPTIMIZER_SLOT/${path}/${escapeLocalName(slotName)}`;
        slots.push({ originalVariableNodeId, slotName, slotVariableNodeId: add(slot, under) });
      }
    }
  }
}

/** What an object is known by: a variable by its op, since records of it may be copied. */
export const identityOf = (object: object): object => (isVariable(object) ? object.op : object);

/** Objects with values, and their keys. */
export const leavesOf = ({ nodes }: ObjectView): { readonly leaf: Leaf; readonly key: string }[] =>
  nodes.flatMap(({ object, path }) => (isLeaf(object) ? [{ leaf: object, key: attributeKey(path) }] : []));

/** Name of a leaf in messages, and in checkpoints that go by name. */
export const nameOf = (leaf: Leaf): string => (isVariable(leaf) ? leaf.op.name : leaf.name);

/** The bytes of the object graph that goes into the checkpoint. */
export function objectGraphOf({ nodes }: ObjectView): Uint8Array {
  const holds = nodesWithValues(nodes);
  return writeObjectGraph({
    nodes: nodes.map(({ object, path, children, slots }, i) => ({
      children: [...children],
      attributes: isLeaf(object)
        ? [{ name: VARIABLE_VALUE, fullName: nameOf(object), checkpointKey: attributeKey(path) }]
        : [],
      slotVariables: slots,
      hasCheckpointValues: holds[i]!,
    })),
  });
}

/** Whether each node, or one that it leads to, has values. */
function nodesWithValues(nodes: readonly ViewNode[]): boolean[] {
  const holds = nodes.map(({ object }) => isLeaf(object));
  const parents = nodes.map((): number[] => []);
  for (const [i, { children, slots }] of nodes.entries()) {
    for (const { nodeId } of children) parents[nodeId]!.push(i);
    for (const { slotVariableNodeId } of slots) parents[slotVariableNodeId]!.push(i);
  }
  const open = holds.flatMap((has, i) => (has ? [i] : []));
  for (let i = open.pop(); i !== undefined; i = open.pop()) {
    for (const parent of parents[i]!) {
      if (holds[parent]) continue;
      holds[parent] = true;
      open.push(parent);
    }
  }
  return holds;
}

/** Variables of a view. @throws VarscopeError INVALID_ARGUMENT - one of another graph */
export function variablesOf(view: ObjectView, graph: Graph): Variable[] {
  return view.nodes.flatMap(({ object }) => {
    if (!isVariable(object)) return [];
    if (object.graph === graph) return [object];
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${object.name} is a variable of another graph than the session's`,
    );
  });
}
