/**
 * @file What a `Checkpoint` tracks: variables, and the objects that lead to them by name: records, arrays, maps, class instances, other checkpoints,
 * optimizers. Start at `childrenOf`.
 *
 * @see TensorFlow python/trackable/base.py, autotrackable.py, data_structures.py; python/training/optimizer.py "_trackable_children"
 */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import { Graph, Operation, Output } from "../../graph/index.ts";
import { Session } from "../../run/index.ts";
import { isPartitionedVariable, isVariable, type Variable } from "../../variables/index.ts";
import type { Optimizer } from "../optimizer.ts";

/** An object with children of its own telling. Checkpoints are such. */
export const CHILDREN: unique symbol = Symbol("varscope.children");

const HOST_VALUE: unique symbol = Symbol("varscope.hostValue");

/** A value of this process that is saved with the variables: the number of saves, the place in a data set. */
export interface HostValue {
  /** what checkpoints that go by names would call it */
  readonly name: string;
  /** Always of one dtype and shape. */
  get(): Tensor;
  set(value: Tensor): void;
}

/** Makes a value of this process an object that a `Checkpoint` can hold. */
export const hostValue = (value: HostValue): HostValue => Object.assign(value, { [HOST_VALUE]: true });

/** What has values itself. */
export type Leaf = Variable | HostValue;

/** Whether an object has values of its own. */
export const isLeaf = (x: object): x is Leaf => isVariable(x) || HOST_VALUE in x;

/** Whether an object has slots for variables. */
export const isOptimizer = (x: unknown): x is Optimizer =>
  typeof x === "object" && x !== null && "getSlotNames" in x && "nonSlotVariables" in x;

const NEVER = [
  Graph,
  Session,
  Operation,
  Output,
  RegExp,
  Date,
  Error,
  Promise,
  WeakMap,
  WeakSet,
  Set,
] as const;

/** Whether an object can have a place in a checkpoint. Numbers, text, functions, graphs and sessions have none. */
export function isTrackable(x: unknown): x is object {
  if (typeof x !== "object" || x === null || ArrayBuffer.isView(x)) return false;
  return !NEVER.some((kind) => x instanceof kind);
}

export type Child = readonly [localName: string, child: object];

/**
 * The objects that an object leads to, by name, in the order in which TensorFlow lists them.
 *
 * @param graph - whose variables of an optimizer count
 * @throws VarscopeError INVALID_ARGUMENT - a key that is no text or number
 */
export function childrenOf(x: object, graph: Graph): Child[] {
  if (isLeaf(x)) return [];
  if (isOptimizer(x)) return [...x.nonSlotVariables(graph)];
  return namedIn(x).filter((child): child is Child => isTrackable(child[1]) && hasPlace(child[1]));
}

function namedIn(x: object): (readonly [string, unknown])[] {
  if (CHILDREN in x) return (x as { [CHILDREN](): Child[] })[CHILDREN]();
  if (isPartitionedVariable(x)) return x.parts.map((part, i) => [String(i), part]);
  if (Array.isArray(x)) return x.map((item, i) => [String(i), item]);
  if (x instanceof Map) return [...x].map(([key, value]) => [keyText(key), value]);
  return Object.entries(x);
}

function keyText(key: unknown): string {
  if (typeof key === "string" || typeof key === "number") return String(key);
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `a map has a key of type ${typeof key}; checkpoints know only names`,
    {
      hint: "use text or numbers as keys",
    },
  );
}

const isPlain = (x: object): boolean => {
  const made = Object.getPrototypeOf(x);
  return made === Object.prototype || made === null || Array.isArray(x) || x instanceof Map;
};

/** Instances of classes count where they lead to something: others are no part of a model. */
function hasPlace(x: object, seen = new Set<object>()): boolean {
  if (isPlain(x) || isLeaf(x) || isOptimizer(x) || CHILDREN in x) return true;
  if (seen.has(x)) return false;
  seen.add(x);
  return Object.values(x).some((child) => isTrackable(child) && hasPlace(child, seen));
}
