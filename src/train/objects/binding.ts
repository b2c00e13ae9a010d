/**
 * @file Objects of this process bound to the objects of a checkpoint: from the root, by the names of edges; slots by optimizer, variable and
 * slot name. Start at `bind`.
 *
 * @see TensorFlow python/checkpoint/restore.py "CheckpointPosition"
 */

import { dtypeCppName, formatPyShape, isCompatible, type Shape, VarscopeError } from "../../base/index.ts";
import type { VariableCollection, VariableEntry } from "../../formats/collection/index.ts";
import { type ObjectGraph, type ObjectNode, VARIABLE_VALUE } from "../../formats/object-graph/graph.ts";
import type { Graph } from "../../graph/index.ts";
import { isVariable } from "../../variables/index.ts";
import type { Found, RestorePlan, Wanted } from "../restore/plan.ts";
import { isLeaf, isOptimizer, type Leaf } from "./trackable.ts";
import { childrenAt, identityOf, leavesOf, nameOf, type ObjectView, type Root } from "./view.ts";

/** The object of this process for each node of the checkpoint that has one. */
export type Bound = ReadonlyMap<number, object>;

/** Binds what can be bound now. Objects that come later are bound when this is asked again. */
export function bind(root: Root, graph: Graph, saved: ObjectGraph): Bound {
  const bound = new Map<number, object>();
  if (saved.nodes.length === 0) return bound;
  const open: (readonly [number, object])[] = [[0, root.object]];
  for (const [id, object] of open) {
    if (bound.has(id)) continue;
    bound.set(id, object);
    const children = new Map(childrenAt(root, object, graph));
    for (const { localName, nodeId } of saved.nodes[id]!.children) {
      const child = children.get(localName);
      if (child !== undefined) open.push([nodeId, child]);
    }
  }
  for (const [id, object] of [...bound]) {
    if (!isOptimizer(object)) continue;
    for (const slot of saved.nodes[id]!.slotVariables) {
      const original = bound.get(slot.originalVariableNodeId);
      const found = isVariable(original) ? object.getSlot(original, slot.slotName) : null;
      if (found !== null && !bound.has(slot.slotVariableNodeId)) bound.set(slot.slotVariableNodeId, found);
    }
  }
  return bound;
}

/** Key of a node's value. */
export const valueKeyOf = (node: ObjectNode): string | undefined =>
  node.attributes.find((a) => a.name === VARIABLE_VALUE)?.checkpointKey;

/** A leaf that wants the value of its key. */
export interface WantedLeaf extends Wanted {
  readonly leaf: Leaf;
}

/** What the leaves of a view want of a checkpoint. */
export const wantedLeaves = (view: ObjectView): WantedLeaf[] =>
  leavesOf(view).map(({ leaf, key }) => ({
    leaf,
    name: nameOf(leaf),
    key,
    ...factsOf(leaf),
    slice: "",
    reshapes: false,
  }));

function factsOf(leaf: Leaf): Pick<Wanted, "dtype" | "shape"> {
  const { dtype, shape } = isVariable(leaf) ? leaf : leaf.get();
  return { dtype, shape };
}

/** Which leaf takes which tensor, by the graph of objects; the rest is missing. */
export function planByObjects(
  wanted: readonly WantedLeaf[],
  saved: ObjectGraph,
  bound: Bound,
  collection: VariableCollection,
): RestorePlan<WantedLeaf> {
  const byKey = new Map(collection.variables.map((v) => [v.key, v]));
  const byLeaf = new Map<object, VariableEntry>();
  for (const [id, object] of bound) {
    const entry = isLeaf(object) ? byKey.get(valueKeyOf(saved.nodes[id]!) ?? "") : undefined;
    if (entry !== undefined) byLeaf.set(identityOf(object), entry);
  }
  return planned(wanted, (w) => byLeaf.get(identityOf(w.leaf)));
}

/** The same for a checkpoint without objects: by the variables' names. */
export function planByNames(
  wanted: readonly WantedLeaf[],
  collection: VariableCollection,
): RestorePlan<WantedLeaf> {
  const byName = new Map(collection.variables.map((v) => [v.key, v]));
  return planned(wanted, (w) => byName.get(w.name));
}

function planned(
  wanted: readonly WantedLeaf[],
  entryOf: (w: WantedLeaf) => VariableEntry | undefined,
): RestorePlan<WantedLeaf> {
  const found: Found<WantedLeaf>[] = [];
  const missing: WantedLeaf[] = [];
  for (const w of wanted) {
    const entry = entryOf(w);
    if (entry === undefined) missing.push(w);
    else {
      needFitting(w, entry);
      found.push({ wanted: w, entry });
    }
  }
  return { found, missing, mismatched: [] };
}

/** @throws VarscopeError INVALID_ARGUMENT - the value has another shape or dtype */
function needFitting({ name, dtype, shape }: WantedLeaf, { key, ...there }: VariableEntry): void {
  if (!isCompatible(shape, there.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Received incompatible tensor with shape ${formatPyShape(there.shape)} when attempting to restore variable with shape ${formatPyShape(shape as Shape)} and name ${name}:0.`,
      { at: key },
    );
  }
  if (dtype !== there.dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `tensor_name = ${key}; expected dtype ${dtypeCppName(dtype)} does not equal original dtype ${dtypeCppName(there.dtype)}`,
      { at: name },
    );
  }
}
