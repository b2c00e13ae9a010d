/**
 * @file Checkpoints as initial values: a variable's initializer becomes one that reads a checkpoint. Start at `initFromCheckpoint`.
 *
 * @see TensorFlow python/training/checkpoint_utils.py "init_from_checkpoint"
 */

import { compareText, formatPyShape, isCompatible, VarscopeError } from "../../base/index.ts";
import { nearestNames, type VariableEntry } from "../../formats/collection/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import { isVariable, type Variable } from "../../variables/index.ts";
import { scopeState } from "../../variables/scope-state.ts";
import { sliceSpecOf, variableObject } from "../saver-list.ts";
import type { MatchedVariable } from "./report.ts";
import { openStored, type Stored } from "./stored.ts";

/** What takes a value: a name that `getVariable` knows, a scope that ends in "/", a variable, or the slices of a partitioned one. */
export type AssignTarget = string | Variable | Iterable<Variable>;

/** Targets by checkpoint key or scope. Pairs, where one key is to serve several variables. */
export type AssignmentMap =
  | Readonly<Record<string, AssignTarget>>
  | ReadonlyMap<string, AssignTarget>
  | readonly (readonly [key: string, target: AssignTarget])[];

const invalid = (what: string, hint?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, hint === undefined ? {} : { hint });

/**
 * Replaces initializers of variables by such as read a checkpoint: the values are there after the initializers have run.
 *
 * | `assignmentMap` | gives |
 * |---|---|
 * | `{ w: "new/w" }` | the variable `new/w` the tensor `w` |
 * | `{ "old/": "new/" }` | each variable of scope `new` the tensor of its name under `old` |
 * | `{ "/": "new/" }`, `{ "old/": "/" }` | the same with the checkpoint's root, and the graph's |
 * | `{ w: variable }`, `{ w: slices }` | this variable, or the slices of a partitioned one |
 *
 * The scope forms demand that every variable of the scope is found.
 *
 * @param path - a folder (then its latest checkpoint), a prefix, or a file of a checkpoint. Of an object-based one full names are keys too
 * @returns which variable takes which key
 * @throws VarscopeError INVALID_ARGUMENT - a tensor or a variable is missing, or their shapes differ; nothing is changed then
 */
export async function initFromCheckpoint(
  graph: Graph,
  path: string,
  assignmentMap: AssignmentMap,
): Promise<MatchedVariable[]> {
  const stored = await openStored(path);
  try {
    const pairs = pairsOf(assignmentMap).sort(([a], [b]) => compareText(a, b));
    const plan = pairs.flatMap(([key, target]) => planned(graph, stored, path, key, target));
    for (const { variable, key } of plan) setInitializer(variable, stored.prefix, key);
    return plan.map(({ variable, key }) => ({ name: variable.op.name, key }));
  } finally {
    await stored.collection.close();
  }
}

const pairsOf = (map: AssignmentMap): (readonly [string, AssignTarget])[] =>
  Symbol.iterator in map ? [...(map as Iterable<readonly [string, AssignTarget]>)] : Object.entries(map);

interface Planned {
  readonly variable: Variable;
  readonly key: string;
}

/** What one entry of the map stands for. */
function planned(graph: Graph, stored: Stored, path: string, key: string, target: AssignTarget): Planned[] {
  const variables =
    typeof target === "string" ? named(graph, target) : isVariable(target) ? [target] : [...target];
  if (variables === null) return scoped(graph, stored, path, key, target as string);
  const entry = entryOf(stored, key);
  if (entry === undefined) {
    const shapes = stored.collection.variables.map((v) => `'${v.key}': [${v.shape?.join(", ")}]`);
    throw invalid(
      `Tensor ${key} is not found in ${path} checkpoint {${shapes.join(", ")}}`,
      nearHint(stored, key),
    );
  }
  checkShapes(variables, key, entry);
  return variables.map((variable) => ({ variable, key: entry.key }));
}

/** A variable by the name that `getVariable` knows, or the parts of a partitioned one; null where there is neither. */
function named(graph: Graph, name: string): Variable[] | null {
  const { variables } = scopeState(graph);
  const found = variables.get(name);
  if (found !== undefined) return [found];
  const parts: Variable[] = [];
  for (let part = variables.get(`${name}/part_0`); part !== undefined; ) {
    parts.push(part);
    part = variables.get(`${name}/part_${parts.length}`);
  }
  return parts.length > 0 ? parts : null;
}

/** All variables of a scope. Their names under `target` are looked up under `key`. */
function scoped(graph: Graph, stored: Stored, path: string, key: string, target: string): Planned[] {
  const scope = target.includes("/") ? target.slice(0, target.lastIndexOf("/")) : "";
  if (!key.endsWith("/")) {
    throw invalid(
      `Assignment map with scope only name ${scope} should map to scope only ${key}. Should be 'scope/': 'other_scope/'.`,
      target.endsWith("/") ? undefined : `the graph has no variable '${target}'`,
    );
  }
  const inScope = [...scopeState(graph).variables.keys()]
    .filter((name) => scope === "" || name.startsWith(`${scope}/`))
    .map((name) => name.replace(/\/part_.*$/s, ""));
  return [...new Set(inScope)].sort(compareText).flatMap((name) => {
    const rest = scope === "" ? name : name.slice(scope.length + 1);
    const full = (key === "/" ? rest : key + rest).replace(/\/$/, "");
    const entry = entryOf(stored, full);
    if (entry === undefined) {
      const inOld = scope === "" ? rest.slice(1) : rest;
      throw invalid(
        `Tensor ${full} (${inOld} in ${key}) is not found in ${path} checkpoint`,
        nearHint(stored, full),
      );
    }
    const variables = named(graph, name)!;
    checkShapes(variables, full, entry);
    return variables.map((variable) => ({ variable, key: entry.key }));
  });
}

const entryOf = ({ collection: { variables } }: Stored, key: string): VariableEntry | undefined =>
  variables.find((v) => v.key === key) ?? variables.find((v) => v.name === key);

function nearHint({ collection }: Stored, key: string): string {
  const near = nearestNames(
    key,
    collection.variables.map((v) => v.key),
  );
  return near.length > 0
    ? `it has ${near.join(", ")}`
    : `it has ${collection.variables.length} other tensors`;
}

function checkShapes(variables: readonly Variable[], key: string, entry: VariableEntry): void {
  let whole: string | undefined;
  for (const v of variables) {
    const info = v.saveSliceInfo;
    if (info !== null && variables.length > 1) {
      whole ??= info.fullName;
      if (whole !== info.fullName)
        throw invalid(`Slices must all be from the same tensor: ${whole} != ${info.fullName}`);
    }
    const shape = info === null || variables.length === 1 ? v.shape : info.fullShape.map(Number);
    if (isCompatible(shape, entry.shape)) continue;
    throw invalid(
      `Shape of variable ${v.name} (${formatPyShape(shape)}) doesn't match with shape of tensor ${key} ([${entry.shape?.join(", ")}]) from checkpoint reader.`,
    );
  }
}

/** From now on the variable's initializer reads `key`. TensorFlow places the read on the processor beside the variable. */
function setInitializer(v: Variable, prefix: string, key: string): void {
  const { graph } = v;
  const slice = v.saveSliceInfo === null ? "" : sliceSpecOf(v);
  const value = graph.withDevice(v.op.device, () =>
    graph.withDevice("/cpu:0", () =>
      graph.add("RestoreV2", [prefix, [key], [slice]], {
        name: "checkpoint_initializer",
        attrs: { dtypes: [v.dtype] },
      }),
    ),
  );
  const assign = variableObject(v.op.name, v, slice).restore([value], null);
  value.shape = v.shape;
  initializeBy(v, assign, value);
}

/** Gives a variable another initializer: whoever has it has it so. */
export function initializeBy(v: Variable, initializer: Operation, initialValue: Output | null): void {
  const changed = v as { initializer: Operation; initialValue: Output | null };
  changed.initializer = initializer;
  changed.initialValue = initialValue;
}
