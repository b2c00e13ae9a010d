/**
 * @file What training needs to know of a SavedModel of TensorFlow 2, whose MetaGraph has no collections: which nodes its variables are (its
 * restore function says so), which of them are trainable (its graph of objects), and gradients of its own. Start at `takeObjects`.
 *
 * @see TensorFlow python/saved_model/save.py, load.py; core/protobuf/saved_object_graph.proto
 */

import { create } from "@bufbuild/protobuf";
import { intoScope } from "../../formats/meta-graph/scope.ts";
import { pathOfKey } from "../../formats/object-graph/index.ts";
import {
  type Captured,
  type CustomGradient,
  constantValue,
  type FuncValue,
  type Graph,
  type Operation,
  Output,
} from "../../graph/index.ts";
import type { MetaGraphDef } from "../../proto/meta-graph.gen.ts";
import type { SavedConcreteFunction, SavedObject, SavedObjectGraph } from "../../proto/trackable.gen.ts";
import { VariableDefSchema } from "../../proto/variable.gen.ts";
import { functionBody } from "../../run/control/function-body.ts";
import { GraphKeys, globalVariables, variableFromProto } from "../../variables/index.ts";

/** A variable that signatures take, and the one that stands for the same object in checkpoints. */
export interface Twins {
  readonly taken: Operation;
  readonly saved: Operation;
}

/**
 * Fills the collections `variables` and, with what signatures take, `trainable_variables`, in the order of the model's checkpoint, where the
 * MetaGraph has none; and takes up the model's own gradients.
 *
 * @param scope - where the MetaGraph was imported
 * @returns variables that are to be kept equal: Keras's exports hold each of theirs twice
 * @throws VarscopeError as `functionBody`, of the restore function
 */
export function takeObjects(graph: Graph, def: MetaGraphDef, scope: string): Twins[] {
  const { objectGraphDef: objects, collectionDef, graphDef } = def;
  if (objects === undefined) return [];
  const variables = variableNodes(graph, def, objects, scope);
  if (!(GraphKeys.GLOBAL_VARIABLES in collectionDef) && variables.size > 0)
    collectVariables(graph, def, objects, variables, scope);
  for (const { registeredOpType: type, gradientFunc: func } of graphDef?.library?.registeredGradients ?? []) {
    const known = objects.concreteFunctions[func];
    const made = known === undefined ? null : gradientOf(func, known, objects, variables);
    const before = graph.customGradients.get(type);
    graph.customGradients.set(type, before === undefined || isSame(before, made) ? made : null);
  }
  return twinsOf(graph, objects, variables, scope);
}

/** In Python a function takes its variables by their objects, in the graph by nodes, which another object's key may restore. */
function twinsOf(
  graph: Graph,
  { concreteFunctions }: SavedObjectGraph,
  variables: ReadonlyMap<number, Output>,
  scope: string,
): Twins[] {
  const twins = new Map<Operation, Operation>();
  for (const { name, def, attrs, inputs } of graph.operations) {
    if (def?.control !== "call" || !name.startsWith(scope)) continue;
    const bound = concreteFunctions[(attrs.f as unknown as FuncValue).func]?.boundInputs ?? [];
    for (const [i, id] of bound.entries()) {
      const [taken, saved] = [inputs[inputs.length - bound.length + i]?.op, variables.get(id)?.op];
      if (saved !== undefined && taken?.def?.variable !== undefined && taken !== saved)
        twins.set(taken, saved);
    }
  }
  return [...twins].map(([taken, saved]) => ({ taken, saved }));
}

/** Whether two models mean the same gradient: two programs of TensorFlow count their gradients alike. */
const isSame = (a: CustomGradient | null, b: CustomGradient | null): boolean =>
  a?.func === b?.func && a?.captured.every((x, i) => !(x instanceof Output) || x === b?.captured[i]) === true;

/** Their initializer is one op that does nothing: the values come from files. */
function collectVariables(
  graph: Graph,
  { saverDef }: MetaGraphDef,
  { nodes }: SavedObjectGraph,
  variables: ReadonlyMap<number, Output>,
  scope: string,
): void {
  const inside = intoScope(scope);
  const initializer = graph.addOp("NoOp", [], { name: `${inside("keep_loaded_values")}/` });
  const savers = [saverDef?.saveTensorName.replace(/:\d+$/, "") ?? "", saverDef?.restoreOpName ?? ""].map(
    inside,
  );
  const known = new Set(globalVariables(graph).map((v) => v.op));
  for (const [id, handle] of variables) {
    if (known.has(handle.op)) continue;
    const trainable = nodes[id]!.variable?.trainable === true && isUsed(handle, savers);
    const proto = {
      variableName: handle.name,
      initializerName: initializer.name,
      snapshotName: readOf(handle).name,
      isResource: true,
      trainable,
    };
    const variable = variableFromProto(graph, create(VariableDefSchema, proto));
    graph.addToCollection(GraphKeys.GLOBAL_VARIABLES, variable);
    if (trainable) graph.addToCollection(GraphKeys.TRAINABLE_VARIABLES, variable);
  }
}

/** Whether anything but saving, restoring and the read beside it takes a variable: Keras's exports hold each of theirs twice. */
const isUsed = ({ op }: Output, savers: readonly string[]): boolean =>
  [...op.consumers].some(
    (user) => !savers.includes(user.name) && (user.def?.access === undefined || user.consumers.size > 0),
  );

/** The handles of variables, by their node in the graph of objects; in the order of the checkpoint. */
function variableNodes(
  graph: Graph,
  { saverDef }: MetaGraphDef,
  objects: SavedObjectGraph,
  scope: string,
): Map<number, Output> {
  const found = new Map<number, Output>();
  const call = graph.findOperation(intoScope(scope)(saverDef?.restoreOpName ?? ""));
  if (call?.def?.control !== "call") return found;
  const { func, attrs } = call.attrs.f as unknown as FuncValue;
  const body = functionBody(graph, func, attrs, call.name);
  for (const { def, inputs } of body.graph.operations) {
    const [resource, value] = inputs;
    if (def?.access?.resource !== "write" || value === undefined) continue;
    const handle = call.inputs[body.args.indexOf(resource!)];
    const node = nodeOfKey(objects, keyOf(value));
    if (handle?.op.def?.variable !== undefined && node !== undefined) found.set(node, handle);
  }
  return found;
}

/** Name of the tensor of a checkpoint that an output is; "" where it is none. */
function keyOf(x: Output): string {
  let from = x;
  while (from.op.def?.sharesMemory === true) from = from.op.inputs[0]!;
  const names = Object.keys(from.op.def?.inputs ?? {}).indexOf("tensor_names");
  const name = names < 0 ? undefined : constantValue(from.op.inputs[names]!)?.data[from.index];
  return name instanceof Uint8Array ? new TextDecoder().decode(name) : "";
}

/** The object whose value has this key. */
function nodeOfKey({ nodes }: SavedObjectGraph, key: string): number | undefined {
  let at: number | undefined = 0;
  for (const part of pathOfKey(key)) {
    const here: SavedObject | undefined = nodes[at];
    at = here?.children.find(({ localName }) => localName === part)?.nodeId;
    if (at === undefined) return undefined;
  }
  return nodes[at] === undefined ? undefined : at;
}

/** The read that stands beside a variable. */
function readOf(handle: Output): Output {
  const { graph, op } = handle;
  const name = `${op.name}/Read/ReadVariableOp`;
  const beside: Operation | undefined = graph.findOperation(name);
  if (beside?.inputs[0] === handle) return beside.output(0);
  return graph.add("ReadVariableOp", [handle], { name: `${name}/`, attrs: { dtype: op.attrs.dtype } });
}

/** What a gradient function takes besides, and gives; null where it takes what only the model's Python has. */
function gradientOf(
  func: string,
  { boundInputs, outputSignature }: SavedConcreteFunction,
  { nodes }: SavedObjectGraph,
  variables: ReadonlyMap<number, Output>,
): CustomGradient | null {
  const captured = boundInputs.map((id): Captured | undefined => {
    const inner = nodes[id]?.capturedTensor;
    return inner === undefined ? variables.get(id) : { func: inner.concreteFunction, output: inner.name };
  });
  const results = (outputSignature?.tupleValue ?? outputSignature?.listValue)?.values ?? [outputSignature];
  if (captured.includes(undefined)) return null;
  return { func, captured: captured as Captured[], gives: results.map((x) => x?.noneValue === undefined) };
}
