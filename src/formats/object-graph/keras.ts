/**
 * @file Keras's object-based checkpoints, one layout made of the other, with their optimizer's slots: the values stay, the edges by which
 * Keras finds them change. Start at `toKeras3Layout` and `toKeras2Layout`.
 *
 * Keras 2 finds layers as `layer-N` and `layer_with_weights-N`, slots as slot variables or in `optimizer/_variables`; Keras 3 finds
 * layers as `_operations/N` (a Sequential: `_functional/_operations/N`, its input first), kernels as `_kernel`, slots in lists.
 *
 * @see tf_keras src/engine/functional.py `_layer_checkpoint_dependencies`; Keras src/models/{functional,sequential}.py
 */

import type { VariableCollection } from "../collection/index.ts";
import { childOf, itemsOf, type ObjectGraph, type ObjectNode } from "./graph.ts";
import { kindOf, type OptimizerKind } from "./kinds.ts";
import { addList, addNode, type Draft, type Edge, type Relaid, reference, relaid } from "./layout.ts";

/**
 * What Keras 3's `tf.train.Checkpoint(model=..., optimizer=...).restore` takes, of a checkpoint of Keras 2.
 * A Sequential and a functional model both find their layers in it.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no object-based checkpoint
 */
export const toKeras3Layout = (from: VariableCollection): Relaid =>
  relaid(from, (draft, graph) => {
    const optimizers = optimizersOf(draft, graph);
    for (const [id, node] of graph.nodes.entries()) {
      const layers = layersOf(node);
      if (layers.length > 0) giveOperations(draft, id, layers);
      spellEdges(draft, id, node, "keras3");
    }
    for (const optimizer of optimizers) giveLists(draft, optimizer, "keras3");
  });

export interface Keras2Options {
  /** of which kind its optimizer is: "legacy", the only one until TensorFlow 2.10 (tf.keras.optimizers.legacy), or "later": "legacy" */
  readonly optimizer?: "legacy" | "later";
}

/**
 * What Keras 2's `tf.train.Checkpoint(model=..., optimizer=...).restore` takes, of a checkpoint of Keras 3.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no object-based checkpoint
 */
export const toKeras2Layout = (from: VariableCollection, options: Keras2Options = {}): Relaid =>
  relaid(from, (draft, graph) => {
    const optimizers = optimizersOf(draft, graph);
    const weighted = withVariables(graph);
    for (const [id, node] of graph.nodes.entries()) {
      const layers = operationsOf(graph, node);
      if (layers !== null) giveLayers(draft, weighted, id, layers);
      spellEdges(draft, id, node, "keras2");
    }
    for (const optimizer of optimizers) {
      if (options.optimizer === "later") giveLists(draft, optimizer, "keras2");
      else giveSlots(draft, optimizer);
    }
  });

/** Whether a graph has layers as Keras 2, or as Keras 3 lays them; null where it has neither. */
export function kerasLayoutOf(graph: ObjectGraph): "keras2" | "keras3" | null {
  for (const node of graph.nodes) {
    if (layersOf(node).length > 0) return "keras2";
    if (operationsOf(graph, node) !== null) return "keras3";
  }
  return null;
}

/** An edge to a variable as each layout has it. */
interface Spelling {
  readonly keras2: string;
  readonly keras3: string;
  /** whether it is so in a node with these other edges */
  readonly fits: (has: (edge: string) => boolean) => boolean;
}

/** @see Keras src/layers: `self._kernel = self.add_weight`; tf_keras layers/convolutional/depthwise_conv2d.py */
const SPELLINGS: readonly Spelling[] = [
  { keras2: "kernel", keras3: "_kernel", fits: (has) => !has("recurrent_kernel") },
  { keras2: "embeddings", keras3: "_embeddings", fits: () => true },
  {
    keras2: "depthwise_kernel",
    keras3: "kernel",
    fits: (has) => !has("pointwise_kernel") && !has("recurrent_kernel") && !has("_kernel"),
  },
];

/** Edges to variables as the new layout has them; the old ones stay, for layers of one's own. */
function spellEdges(draft: Draft, id: number, { children }: ObjectNode, to: "keras2" | "keras3"): void {
  const has = (name: string): boolean => children.some((edge) => edge.localName === name);
  for (const { localName, nodeId } of children) {
    const old = to === "keras2" ? "keras3" : "keras2";
    const spelling = SPELLINGS.find((s) => s[old] === localName && s.fits(has));
    if (spelling === undefined) continue;
    const node = draft.nodes[id]!;
    const edge = reference({ localName: spelling[to], nodeId });
    node.children = node.children
      .filter((other) => other.localName !== edge.localName)
      .map((other) => (other.localName === localName ? edge : other));
    addExtra(draft, id, { localName, nodeId });
  }
}

const addExtra = (draft: Draft, id: number, edge: Edge): void => append(draft.extra, id, edge);

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const LAYER = /^layer-(\d{1,6})$/;

/** Layers of a Keras 2 model, in order; none of what is no model. */
function layersOf(node: ObjectNode): number[] {
  const found = node.children.flatMap(({ localName, nodeId }) => {
    const number = LAYER.exec(localName)?.[1];
    return number === undefined ? [] : [{ number: Number(number), nodeId }];
  });
  return found.sort((a, b) => a.number - b.number).map((layer) => layer.nodeId);
}

/** Operations of a Keras 3 model, in order, a Sequential's without its input; null of what is no model. */
function operationsOf(graph: ObjectGraph, node: ObjectNode): number[] | null {
  const inside = childOf(node, "_functional");
  const list = childOf(inside === undefined ? node : graph.nodes[inside]!, "_operations");
  if (list === undefined) return null;
  const items = [...itemsOf(graph.nodes[list]!)].sort(([a], [b]) => a - b).map(([, nodeId]) => nodeId);
  return inside === undefined ? items : items.slice(1);
}

/** Edges of Keras 2's models that lead to no variable. */
const isModelEdge = (name: string): boolean =>
  /^layer(_with_weights)?-\d+$/.test(name) || /^(train|test|predict)(_tf)?_function$/.test(name);

function giveOperations(draft: Draft, id: number, layers: readonly number[]): void {
  const node = draft.nodes[id]!;
  const startsWithWeights = node.children.some(
    ({ localName, nodeId }) => localName === "layer_with_weights-0" && nodeId === layers[0],
  );
  node.children = node.children.filter(({ localName }) => !isModelEdge(localName));
  // A Sequential does not list its input; the first layer of a functional model is one, and has no weights.
  const input = addNode(draft, []);
  const sequential = addNode(draft, [
    { localName: "_operations", nodeId: addList(draft, [input, ...layers]) },
  ]);
  const functional = startsWithWeights ? addList(draft, [input, ...layers]) : addList(draft, layers);
  const first = { localName: "_functional", nodeId: sequential };
  const second = { localName: "_operations", nodeId: functional };
  node.children = [reference(startsWithWeights ? first : second), ...node.children];
  addExtra(draft, id, startsWithWeights ? second : first);
}

function giveLayers(
  draft: Draft,
  weighted: ReadonlySet<number>,
  id: number,
  layers: readonly number[],
): void {
  const node = draft.nodes[id]!;
  let count = 0;
  const edges: Edge[] = layers.flatMap((nodeId, i) => {
    const plain = { localName: `layer-${i}`, nodeId };
    return weighted.has(nodeId) ? [{ localName: `layer_with_weights-${count++}`, nodeId }, plain] : [plain];
  });
  const kept = node.children.filter(({ localName }) => !KERAS3_ONLY.has(localName));
  node.children = [...edges, ...kept].map(reference);
}

const KERAS3_ONLY: ReadonlySet<string> = new Set([
  "_functional",
  "_operations",
  "_tracked",
  "_inbound_nodes",
  "_outbound_nodes",
  "_losses",
  "_losses_override",
  "call_signature_parameters",
  "_call_has_context_arg",
  "_compiled_trainable_state",
]);

/** Nodes that lead to a variable. */
function withVariables(graph: ObjectGraph): Set<number> {
  const parents = new Map<number, number[]>();
  graph.nodes.forEach(({ children }, id) => {
    for (const { nodeId } of children) append(parents, nodeId, id);
  });
  const found = new Set<number>();
  graph.nodes.forEach(({ attributes }, id) => {
    if (attributes.length > 0) found.add(id);
  });
  for (const id of found) for (const parent of parents.get(id) ?? []) found.add(parent);
  return found;
}

/** What was found of an optimizer. */
interface Optimizer {
  readonly id: number;
  readonly name: string;
  readonly kind: OptimizerKind;
  readonly step: number | undefined;
  readonly rate: number | undefined;
  /** of Nadam: product of the momentums so far */
  readonly cache: number | undefined;
  /** trainable variables that have slots, in Keras's order */
  readonly owners: readonly number[];
  /** slot -> variable -> its slot */
  readonly slots: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** Optimizers of a graph that both Kerases know; others are told in `left`. */
function optimizersOf(draft: Draft, graph: ObjectGraph): Optimizer[] {
  const byNode = new Map<number, number[]>();
  for (const [variable, { optimizerNode }] of draft.facts) append(byNode, optimizerNode, variable);
  return [...byNode].flatMap(([id, variables]) => {
    const node = graph.nodes[id]!;
    const slots = new Map<string, Map<number, number>>();
    const owners = new Set<number>();
    for (const variable of variables) {
      const { slot, ofNode } = draft.facts.get(variable)!;
      if (slot === undefined || ofNode === undefined) continue;
      slots.set(slot, (slots.get(slot) ?? new Map()).set(ofNode, variable));
      owners.add(ofNode);
    }
    const name = draft.facts.get(variables[0]!)!.optimizer;
    const kind = kindOf(name, new Set(slots.keys()));
    if (kind === undefined) {
      draft.left.push({ what: name, why: "an optimizer that is not known in both layouts" });
      return [];
    }
    const step = childOf(node, "_iterations") ?? childOf(node, "iter");
    const rate = childOf(node, "_learning_rate") ?? childOf(node, "learning_rate");
    const cache = childOf(node, "_u_product") ?? childOf(node, "momentum_cache");
    const ordered = node.slotVariables.length > 0 ? inLayerOrder(graph, owners) : [...owners];
    return [{ id, name, kind, step, rate, cache, owners: ordered, slots }];
  });
}

/** Variables in the order in which Keras walks a model: a layer's own before those of layers in it. */
function inLayerOrder(graph: ObjectGraph, wanted: ReadonlySet<number>): number[] {
  const found: number[] = [];
  const seen = new Set<number>();
  const stack = [0];
  while (stack.length > 0) {
    const id = stack.pop()!;
    if (seen.has(id)) continue;
    seen.add(id);
    if (wanted.has(id)) found.push(id);
    const { children } = graph.nodes[id]!;
    const layers = layersOf(graph.nodes[id]!);
    const isLayer = new Set(layers);
    const isVariable = (n: number): boolean => graph.nodes[n]!.attributes.length > 0;
    const own = children.map((child) => child.nodeId).filter((n) => !isLayer.has(n));
    const inner = own.filter((n) => !isVariable(n));
    for (const next of [...own.filter(isVariable), ...layers, ...inner].reverse()) stack.push(next);
  }
  return found;
}

/** Slots in the order of Keras 3's `_variables`, with the list that each is in. */
function* slotsInOrder({
  kind,
  owners,
  slots,
}: Optimizer): Generator<{ list: string; word: string; of: number; variable: number }> {
  for (const group of kind.groups)
    for (const of of owners)
      for (const { slot, list, word } of group) {
        const variable = slots.get(slot)?.get(of);
        if (variable !== undefined) yield { list, word, of, variable };
      }
}

/** The optimizer of lists: all variables in one, and each slot's in its own. */
function giveLists(draft: Draft, optimizer: Optimizer, layout: "keras2" | "keras3"): void {
  const { id, step, rate, cache } = optimizer;
  const lists = new Map<string, number[]>();
  const all: number[] = [step, layout === "keras3" ? rate : undefined].filter((n) => n !== undefined);
  const scope = optimizer.name.toLowerCase();
  const nameOf = (node: number): string => draft.nodes[node]!.attributes[0]?.fullName ?? "";
  for (const { list, word, of, variable } of slotsInOrder(optimizer)) {
    all.push(variable);
    append(lists, list, variable);
    if (layout === "keras3")
      draft.fullNames.set(variable, `${scope}/${nameOf(of).replaceAll("/", "_")}_${word}`);
  }
  const named = (localName: string, nodeId: number | undefined): Edge[] =>
    nodeId === undefined ? [] : [{ localName, nodeId }];
  const node = draft.nodes[id]!;
  if (layout === "keras3") {
    if (step !== undefined) draft.fullNames.set(step, `${scope}/iteration`);
    if (rate !== undefined) draft.fullNames.set(rate, `${scope}/learning_rate`);
    const kept = new Set([step, rate, cache]);
    for (const { localName, nodeId } of node.children)
      if (!kept.has(nodeId) && draft.nodes[nodeId]!.attributes.length > 0)
        draft.left.push({
          what: nameOf(nodeId),
          why: `Keras 3 keeps ${localName} in the optimizer's configuration`,
        });
  }
  node.children = [
    ...named("_variables", addList(draft, all)),
    ...named("_iterations", step),
    ...named("_learning_rate", rate),
    ...[...lists].flatMap(([list, items]) => named(list, addList(draft, items))),
    ...named("_u_product", cache),
  ].map(reference);
  node.slotVariables = [];
}

/** The optimizer of slot variables. */
function giveSlots(draft: Draft, { id, name, step, rate, cache, slots }: Optimizer): void {
  const node = draft.nodes[id]!;
  const edges = [
    ["iter", step],
    ["learning_rate", rate],
    ["momentum_cache", cache],
  ] as const;
  node.children = edges.flatMap(([localName, nodeId]) => {
    if (nodeId === undefined) return [];
    draft.fullNames.set(nodeId, `${name}/${localName}`);
    return [reference({ localName, nodeId })];
  });
  node.slotVariables = [...slots].flatMap(([slotName, byVariable]) =>
    [...byVariable].map(([originalVariableNodeId, slotVariableNodeId]) => {
      const of = draft.nodes[originalVariableNodeId]!.attributes[0]?.fullName ?? "";
      draft.fullNames.set(slotVariableNodeId, `${name}/${of}/${slotName}`);
      const $typeName = "tensorflow.TrackableObjectGraph.TrackableObject.SlotVariableReference" as const;
      return { $typeName, originalVariableNodeId, slotName, slotVariableNodeId };
    }),
  );
}
