/** @file Values for a graph's variables from a checkpoint, by name. Start at `variableValues`. */

import { formatShape, isCompatible, type Tensor, VarscopeError } from "../../base/index.ts";
import { type Checkpoint, formatSliceSpec, openCheckpoint } from "../../formats/checkpoint/index.ts";
import { nearestNames } from "../../formats/collection/index.ts";
import type { VariableRecord } from "../../formats/meta-graph/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";

/** Where a variable lies in a checkpoint. */
export interface StoredAt {
  readonly key: string;
  /** of a part of a partitioned variable, its place as SaveV2 writes it; "" is the whole */
  readonly slice: string;
}

/** Where checkpoints keep a variable: under its op's name, parts of a partitioned one under the name of the whole. */
export function storedAt(graph: Graph): (op: Operation) => StoredAt {
  const parts = new Map<string, StoredAt>();
  for (const key of ["variables", "local_variables"]) {
    for (const { name, def } of graph.getCollection<VariableRecord>(key)) {
      const info = def?.saveSliceInfoDef;
      if (info === undefined) continue;
      const slice = info.varShape.map((n, i) => ({ start: Number(info.varOffset[i]), length: Number(n) }));
      const spec = formatSliceSpec({ fullShape: info.fullShape.map(Number), slice });
      parts.set(name.replace(/:\d+$/, ""), { key: info.fullName, slice: spec });
    }
  }
  return (op) => parts.get(op.name) ?? { key: op.name, slice: "" };
}

/** Variables among `ops`. */
export const variableOps = (ops: Iterable<Operation>): Operation[] =>
  [...ops].filter((op) => op.def?.variable !== undefined);

/** The value of a variable's op: a reference itself, of a resource a read of it, made where the graph has none. */
export function readingOf(op: Operation): Output {
  const handle = op.output(0);
  if (handle.isRef) return handle;
  const read = [...op.consumers].find((c) => c.type === "ReadVariableOp" && c.controlInputs.length === 0);
  return read?.output(0) ?? op.graph.add("ReadVariableOp", [handle], { attrs: { dtype: op.attrs.dtype } });
}

/**
 * Values of variables of `graph`, from a checkpoint.
 *
 * @param variables - ops of the variables wanted
 * @throws VarscopeError NOT_FOUND - the checkpoint lacks one; INVALID_ARGUMENT - it has another dtype or shape there
 */
export async function variableValues(
  graph: Graph,
  variables: readonly Operation[],
  prefix: string,
  signal?: AbortSignal,
): Promise<Map<Operation, Tensor>> {
  const checkpoint = await openCheckpoint(prefix);
  try {
    const place = storedAt(graph);
    const values = new Map<Operation, Tensor>();
    for (const op of variables) values.set(op, await readVariable(op, place(op), checkpoint, signal));
    return values;
  } finally {
    await checkpoint.close();
  }
}

async function readVariable(
  op: Operation,
  { key, slice }: StoredAt,
  checkpoint: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<Tensor> {
  if (!checkpoint.has(key)) {
    const near = nearestNames(key, checkpoint.names());
    throw new VarscopeError("NOT_FOUND", `Key ${key} not found in checkpoint`, {
      at: checkpoint.prefix,
      ...(near.length > 0 ? { hint: `it has ${near.join(", ")}` } : {}),
    });
  }
  const value = await checkpoint.readSlice(key, slice, signal === undefined ? {} : { signal });
  return checkedValue(op, value, key);
}

/**
 * The value, checked against what the graph declares.
 *
 * @throws VarscopeError INVALID_ARGUMENT - another dtype or shape
 */
export function checkedValue(op: Operation, value: Tensor, at: string): Tensor {
  const want = op.def!.variable!(op.attrs as never);
  if (value.dtype === want.dtype && isCompatible(want.shape, value.shape)) return value;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `the checkpoint has ${value.dtype} ${formatShape(value.shape)}, the graph wants ${want.dtype} ${formatShape(want.shape)}`,
    { at, hint: "take the checkpoint that was saved from this graph" },
  );
}
