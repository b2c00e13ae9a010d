/** @file What a graph takes, gives and is made of. Start at `graphFacts`. */

import { type DType, dtypeFromCode, type Shape } from "../../base/index.ts";
import { readShape } from "../../formats/graph-def/index.ts";
import type { Operation } from "../../graph/index.ts";
import type { SignatureDef, TensorInfo } from "../../proto/index.ts";
import type { GraphFile } from "./open-graph.ts";

/** A tensor of a graph, by name (`x:0`). */
export interface TensorFact {
  readonly name: string;
  readonly dtype: DType;
  /** null where the rank is unknown, null dims where they are */
  readonly shape: Shape | null;
}

export interface SignatureFact {
  readonly method: string;
  readonly inputs: { readonly [name: string]: TensorFact };
  readonly outputs: { readonly [name: string]: TensorFact };
}

export interface GraphFacts {
  /** placeholders */
  readonly inputs: readonly TensorFact[];
  /** results that no node takes */
  readonly outputs: readonly TensorFact[];
  /** ops without results that no node waits for: `train_op`, `init` */
  readonly targets: readonly string[];
  readonly signatures: { readonly [name: string]: SignatureFact };
  /** nodes by op type, sorted */
  readonly ops: { readonly [type: string]: number };
}

/** Inputs, outputs, signatures and op counts of a graph. */
export function graphFacts({ graph, meta }: GraphFile): GraphFacts {
  const inputs: TensorFact[] = [];
  const outputs: TensorFact[] = [];
  const targets: string[] = [];
  const counts = new Map<string, number>();
  for (const op of graph.operations) {
    counts.set(op.type, (counts.get(op.type) ?? 0) + 1);
    if (isInput(op)) inputs.push(...op.outputs.map(factOf));
    else if (isTarget(op)) targets.push(op.name);
    else if (isResult(op)) outputs.push(...op.outputs.map(factOf));
  }
  const signatures = Object.entries(meta?.signatures ?? {}).sort(byName);
  return {
    inputs,
    outputs,
    targets,
    signatures: Object.fromEntries(signatures.map(([name, def]) => [name, signatureFact(def)])),
    ops: Object.fromEntries([...counts].sort(byName)),
  };
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

export const isInput = (op: Operation): boolean =>
  op.type === "Placeholder" || op.type === "PlaceholderWithDefault";

/** Nothing comes of it and nobody waits for it; single assignments, of which every variable has one, are not meant to be run. */
const isTarget = (op: Operation): boolean =>
  op.consumers.size === 0 &&
  op.outputs.length === 0 &&
  !Object.values(op.def?.access ?? {}).includes("write");

/** Nobody takes it, and it is neither a variable's own business nor a constant. */
function isResult(op: Operation): boolean {
  if (op.consumers.size > 0 || op.type === "Const" || op.def?.variable !== undefined) return false;
  const access = Object.values(op.def?.access ?? {});
  if (access.length > 0 || op.inputs.some((x) => x.isRef)) return false; // reads, probes and assignments of variables
  return op.outputs.length > 0;
}

const factOf = (x: { name: string; dtype: DType; shape: Shape | null }): TensorFact => ({
  name: x.name,
  dtype: x.dtype,
  shape: x.shape,
});

function signatureFact(def: SignatureDef): SignatureFact {
  const facts = (tensors: { readonly [name: string]: TensorInfo }): { [name: string]: TensorFact } =>
    Object.fromEntries(
      Object.entries(tensors)
        .sort(byName)
        .map(([name, info]) => [name, infoFact(info)]),
    );
  return { method: def.methodName, inputs: facts(def.inputs), outputs: facts(def.outputs) };
}

const infoFact = (info: TensorInfo): TensorFact => ({
  name: info.encoding.case === "name" ? info.encoding.value : (info.encoding.value?.valuesTensorName ?? ""),
  dtype: dtypeFromCode(info.dtype),
  shape:
    info.tensorShape === undefined
      ? null
      : readShape(info.tensorShape, info.encoding.case === "name" ? info.encoding.value : "signature"),
});
