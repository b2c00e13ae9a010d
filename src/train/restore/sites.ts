/**
 * @file Where a saver's nodes put restored values: read from the graph, so that savers of MetaGraphs are understood as our own are.
 * Start at `restoreSites`.
 */

import { type Tensor, VarscopeError } from "../../base/index.ts";
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
    const found = readsOf(assign);
    return found.reads.flatMap((value) => siteOf(value, assign, found) ?? []);
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

interface Reads {
  readonly reads: readonly Output[];
  /** the variable takes what was read as it is, or in another shape */
  readonly isDirect: boolean;
  readonly reshapes: boolean;
}

function readsOf(assign: Operation): Reads {
  let x = assign.inputs[1];
  let reshapes = false;
  const passed = new Set<Output>();
  while (x !== undefined && !passed.has(x) && (x.op.type === "Identity" || x.op.type === "Reshape")) {
    passed.add(x);
    reshapes ||= x.op.type === "Reshape";
    x = x.op.inputs[0];
  }
  if (x !== undefined && READS.has(x.op.type)) return { reads: [x], isDirect: true, reshapes };
  const reads = new Set<Output>();
  const seen = new Set<Operation>();
  const stack = [...assign.inputs].reverse();
  for (let y = stack.pop(); y !== undefined; y = stack.pop()) {
    if (READS.has(y.op.type)) reads.add(y);
    else if (!seen.has(y.op)) {
      seen.add(y.op);
      for (const x of [...y.op.inputs].reverse()) stack.push(x);
    }
  }
  return { reads: [...reads], isDirect: false, reshapes: false };
}

function siteOf(value: Output, assign: Operation, { isDirect, reshapes }: Reads): RestoreSite | null {
  const [, names, slices] = value.op.inputs;
  const key = textAt(names, value.index);
  const slice = slices === undefined ? "" : textAt(slices, value.index);
  if (key === null || slice === null) return null;
  const common = { key, dtype: value.dtype, slice, reshapes, value, assign };
  if (slice !== "") return { ...common, name: key, shape: parseSliceSpec(slice).fullShape };
  const target = isDirect ? assign.inputs[0]! : null;
  if (target === null) return { ...common, name: key, shape: null };
  return {
    ...common,
    name: target.op.name,
    shape: target.isRef ? target.shape : (target.handle?.shape ?? null),
  };
}

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
