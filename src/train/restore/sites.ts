/**
 * @file Where a saver's nodes put restored values: read from the graph, so that savers of MetaGraphs are understood as our own are.
 * Start at `restoreSites`.
 */

import { type Shape, type Tensor, VarscopeError } from "../../base/index.ts";
import { parseSliceSpec } from "../../formats/checkpoint/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import type { SaverDef } from "../../proto/meta-graph.gen.ts";
import type { Wanted } from "./plan.ts";

/** A value that a saver restores. */
export interface RestoreSite extends Wanted {
  /** the value as it is read: an output of RestoreV2, Restore or RestoreSlice */
  readonly value: Output;
  /** gives it to the variable */
  readonly assign: Operation;
}

const READS: ReadonlySet<string> = new Set(["RestoreV2", "RestoreSlice", "Restore"]);

/** The values that a saver restores, in its order; none for a graph whose keys are not constants. */
export function restoreSites(graph: Graph, def: SaverDef): RestoreSite[] {
  return assignsOf(graph.operation(def.restoreOpName)).flatMap((assign) => {
    const { reads, reshapes } = readsOf(assign);
    return reads.flatMap((value) => siteOf(value, assign, reshapes) ?? []);
  });
}

/** What a group waits for, through groups of groups. */
function assignsOf(op: Operation, seen = new Set<Operation>()): Operation[] {
  if (op.type !== "NoOp") return [op];
  return op.controlInputs.flatMap((other) => {
    if (seen.has(other)) return [];
    seen.add(other);
    return assignsOf(other, seen);
  });
}

function readsOf(assign: Operation): { readonly reads: Output[]; readonly reshapes: boolean } {
  const reads = new Set<Output>();
  const seen = new Set<Operation>();
  let reshapes = false;
  const stack = [...assign.inputs].reverse();
  for (let x = stack.pop(); x !== undefined; x = stack.pop()) {
    if (READS.has(x.op.type)) reads.add(x);
    else if (!seen.has(x.op)) {
      seen.add(x.op);
      reshapes ||= x.op.type === "Reshape";
      stack.push(...[...x.op.inputs].reverse());
    }
  }
  return { reads: [...reads], reshapes };
}

function siteOf(value: Output, assign: Operation, reshapes: boolean): RestoreSite | null {
  const [, names, slices] = value.op.inputs;
  const key = textAt(names, value.index);
  const slice = slices === undefined ? "" : textAt(slices, value.index);
  if (key === null || slice === null) return null;
  const target = assign.inputs[0];
  const isVariable = target !== undefined && (target.isRef || target.dtype === "resource");
  const shape: Shape | null =
    slice !== ""
      ? parseSliceSpec(slice).fullShape
      : isVariable
        ? (target.handle?.shape ?? shapeOf(target))
        : null;
  const name = slice === "" && isVariable ? target.op.name : key;
  return { name, key, dtype: value.dtype, shape, slice, reshapes, value, assign };
}

const shapeOf = (x: Output): Shape | null => (x.isRef ? x.shape : null);

function textAt(list: Output | undefined, index: number): string | null {
  const value = list?.op.attrs.value as Tensor | undefined;
  if (list?.op.type !== "Const" || value?.dtype !== "string") return null;
  const bytes = (value.data as readonly Uint8Array[])[value.data.length === 1 ? 0 : index];
  if (bytes === undefined)
    throw new VarscopeError("INVALID_ARGUMENT", `${value.data.length} names for ${index + 1} tensors`, {
      at: list.op.name,
    });
  return new TextDecoder().decode(bytes);
}
