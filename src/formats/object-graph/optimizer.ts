/**
 * @file Which variables of an object graph are an optimizer's, what they are, and whose: from the slots that Keras 2's first
 * optimizers and TF1's declare, and from the lists in which Keras 3's and Keras 2's later ones keep theirs. Start at `optimizerFacts`.
 *
 * @see Keras src/optimizers/*.py (lists `_momentums`, ...); tf_keras optimizers/legacy/*.py (`add_slot`), optimizers/*.py
 */

import type { Role } from "../collection/index.ts";
import { childOf, itemsOf, type ObjectGraph, type ObjectNode } from "./graph.ts";

/** What is known of a variable of an optimizer. */
export interface OptimizerFacts {
  readonly role: Role;
  /** node of the variable that it belongs to */
  readonly ofNode?: number;
  /** in Keras 2's words */
  readonly slot?: string;
  readonly optimizer: string;
  /** node of the optimizer */
  readonly optimizerNode: number;
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
  name.toLowerCase().replaceAll("_", "").includes("rmsprop") ||
  (lists.has("_velocities") && !lists.has("_momentums"))
    ? RMSPROP_LISTS
    : LISTS;

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
  const known: Known = { facts: new Map(), named: new Map(), flatNamed: new Map() };
  const optimizers = new Set<number>();
  graph.nodes.forEach((node, i) => {
    if (isOptimizer(node)) optimizers.add(i);
  });
  if (optimizers.size === 0) return known.facts;
  graph.nodes.forEach((node, i) => {
    const name = fullNameOf(node);
    if (name === "" || known.named.has(name)) return;
    known.named.set(name, i);
    known.flatNamed.set(name.replaceAll("/", "_"), i);
  });
  const edges = new Map<number, string>();
  for (const { children } of graph.nodes)
    for (const { nodeId, localName } of children) if (!edges.has(nodeId)) edges.set(nodeId, localName);
  for (const i of optimizers) {
    const node = graph.nodes[i]!;
    const mine = { optimizer: optimizerName(graph, node, edges.get(i) ?? "optimizer"), optimizerNode: i };
    for (const { originalVariableNodeId: ofNode, slotName: slot, slotVariableNodeId } of node.slotVariables)
      known.facts.set(slotVariableNodeId, { role: "slot", ofNode, slot, ...mine });
    const owners = itemsAt(graph, node, "_trainable_variables");
    listedSlots(graph, node, { mine, owners, known });
    unlistedSlots(graph, node, { mine, owners, known });
    for (const { nodeId, localName } of node.children)
      if (!known.facts.has(nodeId))
        known.facts.set(nodeId, { role: isStep(localName) ? "step" : "other", ...mine });
  }
  return known.facts;
}

interface Known {
  readonly facts: Map<number, OptimizerFacts>;
  readonly named: Map<string, number>;
  /** `dense_kernel` -> node of `dense/kernel` */
  readonly flatNamed: Map<string, number>;
}

interface Place {
  readonly mine: { readonly optimizer: string; readonly optimizerNode: number };
  readonly owners: ReadonlyMap<number, number>;
  readonly known: Known;
}

const itemsAt = ({ nodes }: ObjectGraph, node: ObjectNode, edge: string): Map<number, number> => {
  const list = childOf(node, edge);
  return list === undefined ? new Map() : itemsOf(nodes[list]!);
};

const slotFacts = (slot: string, ofNode: number | undefined, { mine }: Place): OptimizerFacts => ({
  role: slot === "average" ? "ema" : "slot",
  slot,
  ...mine,
  ...(ofNode === undefined ? {} : { ofNode }),
});

function listedSlots(graph: ObjectGraph, node: ObjectNode, place: Place): void {
  const { known, owners, mine } = place;
  const lists = slotLists(mine.optimizer, new Set(node.children.map((child) => child.localName)));
  const isOwner = new Set(owners.values());
  for (const { localName, nodeId } of node.children) {
    const slot = Object.hasOwn(lists, localName) ? lists[localName]! : undefined;
    if (slot === undefined) continue;
    for (const [i, variable] of itemsOf(graph.nodes[nodeId]!)) {
      if (known.facts.has(variable) || isOwner.has(variable)) continue;
      const ofNode = owners.get(i) ?? ownerByName(fullNameOf(graph.nodes[variable]!), known);
      known.facts.set(variable, slotFacts(slot, ofNode, place));
    }
  }
}

/** Slots that stand in `_variables` alone: an optimizer that keeps no lists that TensorFlow sees. */
function unlistedSlots(graph: ObjectGraph, node: ObjectNode, place: Place): void {
  const { known, owners, mine } = place;
  const skipped = new Set([...owners.values(), ...node.children.map((child) => child.nodeId)]);
  let unnamed: number[] = [];
  for (const variable of itemsAt(graph, node, "_variables").values()) {
    if (known.facts.has(variable) || skipped.has(variable)) continue;
    const fullName = fullNameOf(graph.nodes[variable]!);
    const word = LAST_WORD.exec(fullName)?.[1];
    if (word === undefined) {
      unnamed.push(variable);
      continue;
    }
    const ofNode = ownerByName(fullName, known);
    known.facts.set(variable, slotFacts(WORDS[word]!, ofNode, place));
    // Adafactor: rows, columns (both called as the variable's last part), then the velocity.
    const [r, c] = unnamed;
    if (unnamed.length === 2 && fullNameOf(graph.nodes[r!]!) === fullNameOf(graph.nodes[c!]!)) {
      known.facts.set(r!, slotFacts("r", ofNode, place));
      known.facts.set(c!, slotFacts("c", ofNode, place));
      unnamed = [];
    }
  }
  for (const variable of unnamed) known.facts.set(variable, { role: "other", ...mine });
}

const LAST_WORD = /_(momentum|velocity|velocity_hat|average|accumulator|linear)$/;
/** Last words of Keras 3's names -> slots. */
const WORDS: Readonly<Record<string, string>> = {
  momentum: "m",
  velocity: "v",
  velocity_hat: "vhat",
  average: "average",
  accumulator: "accumulator",
  linear: "linear",
};
const ANY_LAST_WORD =
  /_(?:momentum|velocity(?:_hat)?|average(?:_gradient)?|accumulat\w+|linear|norm|gradient_accumulator)$/;

/** The variable in a slot's name: `Adam/m/dense/kernel`, `adam/dense_kernel_momentum`. */
function ownerByName(fullName: string, { named, flatNamed }: Known): number | undefined {
  const inside = fullName.slice(fullName.indexOf("/") + 1);
  return named.get(inside.slice(inside.indexOf("/") + 1)) ?? flatNamed.get(inside.replace(ANY_LAST_WORD, ""));
}
