/**
 * @file Values of a graph's variables from any container: by the keys that the graph's saver restores, by names, parts of partitioned ones
 * too. Start at `openVariableSource`; which keys a graph restores is `restorePlaces`.
 */

import { diskFiles } from "#platform";
import { type Tensor, VarscopeError } from "../../base/index.ts";
import {
  type Checkpoint,
  formatSliceSpec,
  locateCheckpoint,
  openCheckpoint,
  parseSliceSpec,
} from "../../formats/checkpoint/index.ts";
import { boxOfSlice } from "../../formats/checkpoint/slice.ts";
import { nearestNames } from "../../formats/collection/index.ts";
import { variablesPrefix } from "../../formats/saved-model/index.ts";
import { constantValue, type Graph, type Operation, type Output } from "../../graph/index.ts";
import { expand } from "../../run/control/expand.ts";
import { locate } from "../locate.ts";
import { type Model, openModel } from "../open-model.ts";
import type { VariablePlace } from "../transform/origins.ts";
import type { GraphFile } from "./open-graph.ts";
import { storedAt } from "./values.ts";

/** An open container that is asked for variables. */
export interface VariableSource {
  /** null: it is not there */
  find(place: VariablePlace): Promise<Tensor | null>;
  /** @throws VarscopeError NOT_FOUND - with names like it */
  read(place: VariablePlace): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens a container for its variables: a checkpoint by its prefix, folder or state file, a SavedModel, or another file of variables.
 *
 * @throws VarscopeError NOT_FOUND - TensorFlow's "Input checkpoint '...' doesn't exist!"; and as `openModel`
 */
export async function openVariableSource(path: string, signal?: AbortSignal): Promise<VariableSource> {
  const checkpoint = await checkpointOf(path);
  let model: Model | null = null;
  const options = signal === undefined ? {} : { signal };
  const named = async (): Promise<Model> => {
    model ??= await openModel(path);
    return model;
  };
  const find = async ({ key, name, slice }: VariablePlace): Promise<Tensor | null> => {
    if (checkpoint?.has(key)) return checkpoint.readSlice(key, slice, options);
    if (checkpoint !== null) {
      const part = partSpec(name, checkpoint);
      if (part !== null) return checkpoint.readSlice(part.key, part.slice, options);
    }
    const collection = await named();
    const found = [key, name].find((n) => collection.variables.some((v) => v.name === n));
    if (found === undefined) return null;
    return slice === "" ? collection.read(found, options) : collection.readBox(found, boxOf(slice), options);
  };
  const read = async (place: VariablePlace): Promise<Tensor> => {
    const value = await find(place);
    if (value !== null) return value;
    const names = [...(checkpoint?.names() ?? []), ...(await named()).variables.map((v) => v.name)];
    const near = nearestNames(place.name, [...new Set(names)]);
    throw new VarscopeError("NOT_FOUND", `Key ${place.key} not found in checkpoint`, {
      at: path,
      ...(near.length > 0 ? { hint: `it has ${near.join(", ")}` } : {}),
    });
  };
  const close = async (): Promise<void> => {
    await checkpoint?.close();
    await model?.close();
  };
  return { find, read, close };
}

async function checkpointOf(path: string): Promise<Checkpoint | null> {
  const found = await locate(path).catch((e) => missing(path, e));
  if (found.kind === "checkpoint-v2") return openCheckpoint(await locateCheckpoint(found.file));
  if (found.kind !== "saved-model") return null;
  const prefix = variablesPrefix(found.file);
  return (await diskFiles.exists(`${prefix}.index`)) ? openCheckpoint(prefix) : null;
}

/** @see TensorFlow python/tools/freeze_graph.py */
function missing(path: string, cause: unknown): never {
  throw new VarscopeError("NOT_FOUND", `Input checkpoint '${path}' doesn't exist!`, {
    at: path,
    hint: "give a checkpoint's prefix, its folder, or another container of variables",
    cause,
  });
}

const boxOf = (spec: string) => {
  const { fullShape, slice } = parseSliceSpec(spec);
  return boxOfSlice(fullShape, slice);
};

/** The part that a variable named `w/part_1` is of a partitioned `w`, where the graph does not say it: the checkpoint's own parts, in order. */
function partSpec(name: string, checkpoint: Checkpoint): { key: string; slice: string } | null {
  const match = /^(.*)\/part_(\d+)$/.exec(name);
  const entry = match === null ? undefined : checkpoint.entries.get(match[1]!);
  if (entry === undefined || entry.slices.length === 0) return null;
  const inOrder = [...entry.slices].sort((a, b) => {
    const axis = a.findIndex((extent, i) => extent.start !== b[i]!.start);
    return axis < 0 ? 0 : a[axis]!.start - b[axis]!.start;
  });
  const slice = inOrder[Number(match![2])];
  return slice === undefined
    ? null
    : { key: match![1]!, slice: formatSliceSpec({ fullShape: entry.shape, slice }) };
}

/**
 * Where each variable lies in the graph's own checkpoints, as its saver's restore op says it: under the name that the saver gave it, in TF 2
 * under the path of its object. Variables that are not restored stand under their names.
 */
export function placesOf({ graph, meta }: GraphFile): (op: Operation) => VariablePlace {
  const restored = restorePlaces(graph, meta?.saverDef?.restoreOpName ?? "");
  const byName = storedAt(graph);
  return (op) => {
    const name =
      typeof op.attrs.shared_name === "string" && op.attrs.shared_name !== ""
        ? op.attrs.shared_name
        : op.name;
    return { ...(restored.get(op.name) ?? byName(op)), name };
  };
}

/** Keys by the variable's op, read off the ops that restore. */
function restorePlaces(graph: Graph, restoreOp: string): Map<string, { key: string; slice: string }> {
  const found = new Map<string, { key: string; slice: string }>();
  const op = graph.findOperation(restoreOp.replace(/:\d+$/, ""));
  if (op === undefined) return found;
  const expanded = expand(graph);
  expanded.operations(op);
  for (const restore of expanded.graph.operations.filter((o) => o.type === "RestoreV2")) {
    const [names, slices] = [1, 2].map((i) => textsOf(restore, i));
    restore.outputs.forEach((x, i) => {
      const target = assignedFrom(x);
      const key = names?.[i];
      if (target === null || key === undefined) return;
      found.set(target, { key, slice: slices?.[i] ?? "" });
    });
  }
  return found;
}

function textsOf(op: Operation, index: number): string[] | null {
  const value = constantValue(op.inputs[index]!);
  if (value?.dtype !== "string") return null;
  return (value.data as readonly Uint8Array[]).map((bytes) => new TextDecoder().decode(bytes));
}

/** More ops than this do not stand between a restored value and its assignment. */
const MAX_HOPS = 8;

/** Name of the variable that a restored value is assigned to. */
function assignedFrom(x: Output, hops = MAX_HOPS): string | null {
  for (const op of x.op.consumers) {
    if (!op.inputs.includes(x)) continue;
    if (op.type === "Assign" || op.type === "AssignVariableOp") return variableName(op);
    const handsOn = hops > 0 && (op.type === "Identity" || op.type === "Reshape");
    const next = handsOn ? assignedFrom(op.outputs[0]!, hops - 1) : null;
    if (next !== null) return next;
  }
  return null;
}

function variableName(assign: Operation): string | null {
  let { op } = assign.inputs[0]!;
  while (op.def?.variable === undefined && op.inputs.length > 0) op = op.inputs[0]!.op;
  return op.def?.variable === undefined ? null : op.name;
}
