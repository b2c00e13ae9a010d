/**
 * @file Which variables of an object graph are an optimizer's, what they are, and whose: from the slots that Keras 2's first
 * optimizers and TF1's declare, and from the lists in which Keras 3's and Keras 2's later ones keep theirs. Start at `optimizerFacts`.
 *
 * @see Keras src/optimizers/*.py (lists `_momentums`, ...); tf_keras optimizers/legacy/*.py (`add_slot`), optimizers/*.py
 */

import type { Role } from "../collection/index.ts";
import type { ObjectGraph, ObjectNode } from "./object-graph.ts";

/** What is known of a variable of an optimizer. */
export interface OptimizerFacts {
  readonly role: Role;
  /** node of the variable that it belongs to */
  readonly ofNode?: number;
  /** in Keras 2's words */
  readonly slot?: string;
  readonly optimizer: string;
}

/** Lists of an optimizer -> the slot that they hold, in Keras 2's words. */
const LISTS: Readonly<Record<string, string>> = {
  _momentums: "m",
  _velocities: "v",
  _velocity_hats: "vhat",
  momentums: "momentum",
  _average_gradients: "mg",
  _accumulators: "accumulator",
  _linears: "linear",
  _accumulated_grads: "accum_grad",
  _accumulated_delta_vars: "accum_var",
  _m: "m",
  _u: "v",
  _r: "r",
  _c: "c",
  _v: "v",
  _model_variables_moving_average: "average",
  _accumulated_gradients: "gradient_accumulator",
};
/** RMSprop uses Adam's names for other things. */
const RMSPROP_LISTS: Readonly<Record<string, string>> = {
  ...LISTS,
  _velocities: "rms",
  _momentums: "momentum",
};

/** The lists of an optimizer and what they hold. @param name - of the optimizer; @param lists - names of those that it has */
export const slotLists = (name: string, lists: ReadonlySet<string>): Readonly<Record<string, string>> =>
  /rms_?prop/i.test(name) || (lists.has("_velocities") && !lists.has("_momentums")) ? RMSPROP_LISTS : LISTS;

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

const fullNameOf = (node: ObjectNode): string => node.attributes[0]?.fullName ?? "";
const isStep = (edge: string): boolean => edge === "_iterations" || edge === "iter";

/** Whether a node is an optimizer: it has slots, or a counter of steps beside its rate or its variables. */
export function isOptimizer(node: ObjectNode): boolean {
  if (node.slotVariables.length > 0) return true;
  const has = (name: string): boolean => childOf(node, name) !== undefined;
  return (
    (has("_iterations") && (has("_variables") || has("_learning_rate"))) ||
    (has("iter") && has("learning_rate"))
  );
}

/** Name of an optimizer: the scope of its counter or of its slots, else `fallback`. */
export function optimizerName({ nodes }: ObjectGraph, node: ObjectNode, fallback: string): string {
  const named = [
    childOf(node, "_iterations") ?? childOf(node, "iter"),
    node.slotVariables[0]?.slotVariableNodeId,
  ];
  const list = childOf(node, "_variables");
  if (list !== undefined) named.push(itemsOf(nodes[list]!).get(1));
  for (const id of named) {
    const fullName = id === undefined ? "" : fullNameOf(nodes[id]!);
    if (fullName.includes("/")) return fullName.slice(0, fullName.indexOf("/"));
  }
  return fallback;
}

/** Facts of all variables that are an optimizer's, by node. Trainable variables that an optimizer lists are not among them. */
export function optimizerFacts(graph: ObjectGraph): Map<number, OptimizerFacts> {
  const facts = new Map<number, OptimizerFacts>();
  const edgeNames = new Map<number, string>();
  const optimizers = new Set<number>();
  graph.nodes.forEach((node, i) => {
    if (isOptimizer(node)) optimizers.add(i);
  });
  if (optimizers.size === 0) return facts;
  for (const { children } of graph.nodes)
    for (const { nodeId, localName } of children)
      if (optimizers.has(nodeId) && !edgeNames.has(nodeId)) edgeNames.set(nodeId, localName);
  const named = new Map<string, number>();
  graph.nodes.forEach((node, i) => {
    const name = fullNameOf(node);
    if (name !== "" && !named.has(name)) named.set(name, i);
  });
  const byFlatName = new Map([...named].map(([name, i]) => [name.replaceAll("/", "_"), i]));
  for (const i of optimizers) {
    const node = graph.nodes[i]!;
    const optimizer = optimizerName(graph, node, edgeNames.get(i) ?? "optimizer");
    declaredSlots(node, optimizer, facts);
    listedSlots(graph, node, optimizer, { facts, named, byFlatName });
    for (const { nodeId, localName } of node.children)
      if (!facts.has(nodeId)) facts.set(nodeId, { role: isStep(localName) ? "step" : "other", optimizer });
  }
  return facts;
}

function declaredSlots(node: ObjectNode, optimizer: string, facts: Map<number, OptimizerFacts>): void {
  for (const { originalVariableNodeId, slotName, slotVariableNodeId } of node.slotVariables)
    facts.set(slotVariableNodeId, {
      role: "slot",
      ofNode: originalVariableNodeId,
      slot: slotName,
      optimizer,
    });
}

interface Known {
  readonly facts: Map<number, OptimizerFacts>;
  readonly named: ReadonlyMap<string, number>;
  /** `dense_kernel` -> node of `dense/kernel` */
  readonly byFlatName: ReadonlyMap<string, number>;
}

function listedSlots({ nodes }: ObjectGraph, node: ObjectNode, optimizer: string, known: Known): void {
  const lists = slotLists(optimizer, new Set(node.children.map((child) => child.localName)));
  const trainables = childOf(node, "_trainable_variables");
  const owners = trainables === undefined ? undefined : itemsOf(nodes[trainables]!);
  const isOwner = new Set(owners?.values());
  for (const { localName, nodeId } of node.children) {
    const slot = Object.hasOwn(lists, localName) ? lists[localName] : undefined;
    if (slot === undefined) continue;
    for (const [i, variable] of itemsOf(nodes[nodeId]!)) {
      if (known.facts.has(variable) || isOwner.has(variable)) continue;
      const ofNode = owners?.get(i) ?? ownerByName(fullNameOf(nodes[variable]!), known);
      const role = slot === "average" ? "ema" : "slot";
      known.facts.set(variable, { role, slot, optimizer, ...(ofNode === undefined ? {} : { ofNode }) });
    }
  }
  const all = childOf(node, "_variables");
  const direct = new Set(node.children.map((child) => child.nodeId));
  for (const variable of all === undefined ? [] : itemsOf(nodes[all]!).values()) {
    if (known.facts.has(variable) || isOwner.has(variable) || direct.has(variable)) continue;
    const fullName = fullNameOf(nodes[variable]!);
    const [, word] = /_(momentum|velocity|velocity_hat|average|accumulator|linear)$/.exec(fullName) ?? [];
    const ofNode = ownerByName(fullName, known);
    const found = word === undefined ? undefined : WORDS[word];
    const facts =
      found === undefined
        ? { role: "other" as const }
        : { role: word === "average" ? ("ema" as const) : ("slot" as const), slot: found };
    known.facts.set(variable, { ...facts, optimizer, ...(ofNode === undefined ? {} : { ofNode }) });
  }
}

/** Last words of Keras 3's names, for optimizers that keep no lists. */
const WORDS: Readonly<Record<string, string>> = {
  momentum: "m",
  velocity: "v",
  velocity_hat: "vhat",
  average: "average",
  accumulator: "accumulator",
  linear: "linear",
};

/** The variable in a slot's name: `Adam/m/dense/kernel`, `adam/dense_kernel_momentum`. */
function ownerByName(fullName: string, { named, byFlatName }: Known): number | undefined {
  const inside = fullName.slice(fullName.indexOf("/") + 1);
  const later = named.get(inside.slice(inside.indexOf("/") + 1));
  return (
    later ??
    byFlatName.get(
      inside.replace(
        /_(?:momentum|velocity(?:_hat)?|average(?:_gradient)?|accumulat\w+|linear|norm|gradient_accumulator)$/,
        "",
      ),
    )
  );
}
