/** @file Finds what initialises a graph's variables and tables. Start at `initializersOf`. */

import type { VariableRecord } from "../../formats/meta-graph/index.ts";
import { type Graph, Operation, Output } from "../../graph/index.ts";
import { variableKey } from "../../run/index.ts";
import { variableOps } from "./values.ts";

/** A group of ops to run together; of a variable's initializer, the variable's key too. */
export interface Initializers {
  /** what the graph offers for all variables: collection `init_op`, or an op named `init` */
  readonly all: readonly Operation[];
  /** by key of the session's variables, for those that `all` left without a value */
  readonly each: ReadonlyMap<string, Operation>;
  /** local variables and tables, which no checkpoint holds */
  readonly local: readonly Operation[];
}

/**
 * The initializers of a graph: those that its collections name, else those that TensorFlow Python would have named.
 *
 * @see TensorFlow python/training/monitored_session.py "Scaffold"
 */
export function initializersOf(graph: Graph): Initializers {
  const inCollection = (key: string): Operation[] => graph.getCollection(key).flatMap(opOf);
  const named = graph.findOperation("init");
  const offered = inCollection("init_op");
  const all = offered.length > 0 ? offered : named?.type === "NoOp" ? [named] : [];
  const each = new Map<string, Operation>();
  const locals = new Set<Operation>();
  for (const op of variableOps(graph.operations)) {
    const initializer = graph.findOperation(`${op.name}/Assign`);
    if (initializer !== undefined) each.set(variableKey(op), initializer);
  }
  for (const key of ["variables", "local_variables"]) {
    for (const { name, def } of graph.getCollection<VariableRecord>(key)) {
      const op = graph.findOperation(name.replace(/:\d+$/, ""));
      const initializer = graph.findOperation(def.initializerName.replace(/:\d+$/, ""));
      if (op === undefined || initializer === undefined) continue;
      each.set(variableKey(op), initializer);
      if (key === "local_variables") locals.add(initializer);
    }
  }
  const local = [...inCollection("local_init_op"), ...locals, ...inCollection("table_initializer")];
  return { all, each, local: [...new Set(local)] };
}

const opOf = (item: unknown): Operation[] =>
  item instanceof Operation ? [item] : item instanceof Output ? [item.op] : [];

/** All operations that running `targets` runs, themselves included. */
export function operationsBehind(targets: readonly Operation[]): ReadonlySet<Operation> {
  const found = new Set<Operation>(targets);
  for (const op of found) {
    for (const x of op.inputs) found.add(x.op);
    for (const c of op.controlInputs) found.add(c);
  }
  return found;
}
