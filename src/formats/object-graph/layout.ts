/**
 * @file Object graphs changed: nodes are copied, edges laid anew, and what the root still reaches gets keys as TensorFlow would
 * spell them. What Keras 2 and 3 want is in keras-layouts.ts. Start at `relaid`.
 *
 * @see TensorFlow python/checkpoint/graph_view.py, python/checkpoint/util.py (`serialize_slot_variables`)
 */

import { clone } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import {
  type TrackableObjectGraph_TrackableObject_ObjectReference,
  TrackableObjectGraph_TrackableObjectSchema,
} from "../../proto/index.ts";
import type {
  Contents,
  VariableCollection,
  VariableEntry,
  WritableVariable,
  WriteReport,
} from "../collection/index.ts";
import {
  attributeKey,
  escapeLocalName,
  type ObjectGraph,
  type ObjectNode,
  readObjectGraph,
  VARIABLE_VALUE,
  writeObjectGraph,
} from "./graph.ts";
import { type OptimizerFacts, optimizerFacts } from "./optimizer.ts";

/** What goes into a checkpoint of another layout, and what has no place there. */
export interface Relaid extends WriteReport {
  readonly contents: Contents;
}

/** An object graph that is being changed. */
export interface Draft {
  /** its nodes, to be changed in place; new ones at the end */
  readonly nodes: ObjectNode[];
  /** of the graph as it was */
  readonly facts: ReadonlyMap<number, OptimizerFacts>;
  /** edges that are there for others: keys are not made from them where there is another way */
  readonly extra: Map<number, Edge[]>;
  /** new full names, by node */
  readonly fullNames: Map<number, string>;
  readonly left: { what: string; why: string }[];
}

export interface Edge {
  readonly localName: string;
  readonly nodeId: number;
}

const TYPE = "tensorflow.TrackableObjectGraph.TrackableObject.ObjectReference";
/** An edge as a node has it. */
export const reference = ({
  localName,
  nodeId,
}: Edge): TrackableObjectGraph_TrackableObject_ObjectReference => ({
  $typeName: TYPE,
  localName,
  nodeId,
});

/** A new node of a draft. @returns its number */
export function addNode(draft: Draft, children: readonly Edge[]): number {
  draft.nodes.push({
    $typeName: "tensorflow.TrackableObjectGraph.TrackableObject",
    children: children.map(reference),
    attributes: [],
    slotVariables: [],
    hasCheckpointValues: true,
  });
  return draft.nodes.length - 1;
}

/** A list of nodes as a new node. @returns its number */
export const addList = (draft: Draft, items: readonly number[]): number =>
  addNode(
    draft,
    items.map((nodeId, i) => ({ localName: String(i), nodeId })),
  );

/**
 * An object-based checkpoint with its graph changed by `change`: the same values under new keys.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no object-based checkpoint; DATA_LOSS - its graph is damaged
 */
export function relaid(from: VariableCollection, change: (draft: Draft, graph: ObjectGraph) => void): Relaid {
  if (from.extras.objectGraph === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `${from.format} has no object graph`, {
      at: from.path,
      hint: "give a checkpoint that tf.train.Checkpoint or Keras wrote",
    });
  }
  const graph = readObjectGraph(from.extras.objectGraph, from.path);
  if (graph.nodes.length === 0)
    throw new VarscopeError("DATA_LOSS", "the object graph is empty", { at: from.path });
  const draft: Draft = {
    nodes: graph.nodes.map((node) => clone(TrackableObjectGraph_TrackableObjectSchema, node)),
    facts: optimizerFacts(graph),
    extra: new Map(),
    fullNames: new Map(),
    left: [],
  };
  change(draft, graph);
  const { order, paths } = reached(draft);
  const byKey = new Map(from.variables.map((v) => [v.key, v]));
  const variables: WritableVariable[] = [];
  const numbers = new Map(order.map((node, i) => [node, i]));
  const nodes = order.map((id) => {
    const node = draft.nodes[id]!;
    const children = [...node.children, ...(draft.extra.get(id) ?? [])];
    const attributes = node.attributes.map((attribute) => {
      const stored = byKey.get(attribute.checkpointKey);
      const fullName = draft.fullNames.get(id) ?? attribute.fullName;
      const checkpointKey = attributeKey(paths.get(id)!, attribute.name);
      if (stored !== undefined) {
        variables.push(
          renamed(from, stored, attribute.name === VARIABLE_VALUE ? fullName : "", checkpointKey),
        );
        byKey.delete(attribute.checkpointKey);
      }
      return { ...attribute, fullName, checkpointKey };
    });
    return {
      ...node,
      attributes,
      children: children.map((edge) => ({ ...reference(edge), nodeId: numbers.get(edge.nodeId)! })),
      slotVariables: node.slotVariables
        .filter((slot) => numbers.has(slot.originalVariableNodeId) && numbers.has(slot.slotVariableNodeId))
        .map((slot) => ({
          ...slot,
          originalVariableNodeId: numbers.get(slot.originalVariableNodeId)!,
          slotVariableNodeId: numbers.get(slot.slotVariableNodeId)!,
        })),
    };
  });
  const noPlace = [...byKey.values()].map((v) => ({
    what: v.name,
    why: "the other layout has no place for it",
  }));
  return {
    contents: { variables, extras: { ...from.extras, objectGraph: writeObjectGraph({ nodes }) } },
    left: [...draft.left, ...noPlace.filter(({ what }) => !draft.left.some((other) => other.what === what))],
  };
}

function renamed(
  from: VariableCollection,
  { aliases: _, ...v }: VariableEntry,
  fullName: string,
  key: string,
): WritableVariable {
  const values: WritableVariable["values"] = (options) => from.stream(v.name, options);
  return {
    ...v,
    name: fullName === "" ? v.name : fullName,
    key,
    shape: v.shape as readonly number[],
    values,
  };
}

/** Letters of a path; the deepest of real models have some hundred. */
const MAX_PATH = 10_000;

/** Nodes that the root reaches, breadth first, and their paths, escaped; slots behind all others, as TensorFlow has them. */
function reached({ nodes, extra }: Draft): {
  readonly order: readonly number[];
  readonly paths: ReadonlyMap<number, string>;
} {
  const order = [0];
  const paths = new Map([[0, ""]]);
  const visit = (from: number, { localName, nodeId }: Edge): void => {
    if (paths.has(nodeId)) return;
    const path = paths.get(from)!;
    if (path.length > MAX_PATH)
      throw new VarscopeError("RESOURCE_EXHAUSTED", `an object's path of more than ${MAX_PATH} letters`);
    paths.set(nodeId, `${path}${path === "" ? "" : "/"}${escapeLocalName(localName)}`);
    order.push(nodeId);
  };
  const walk = (start: number): void => {
    for (let i = start; i < order.length; i++)
      for (const edge of nodes[order[i]!]!.children) visit(order[i]!, edge);
  };
  walk(0);
  for (let i = 0; i < order.length; i++) {
    const before = order.length;
    for (const edge of extra.get(order[i]!) ?? []) visit(order[i]!, edge);
    walk(before);
  }
  for (const id of [...order]) {
    for (const { originalVariableNodeId: of, slotName, slotVariableNodeId: slot } of nodes[id]!
      .slotVariables) {
      if (!paths.has(of) || paths.has(slot)) continue;
      paths.set(slot, `${paths.get(of)!}/.OPTIMIZER_SLOT/${paths.get(id)!}/${escapeLocalName(slotName)}`);
      order.push(slot);
    }
  }
  return { order, paths };
}
