/** @file Copies of single ops in another graph. Start at `copyOutputs`. */

import { isCompatible, mergeShapes } from "../../base/index.ts";
import { type Graph, inferOutputs, makeOutputs, type Operation, Output } from "../../graph/index.ts";
import { variableKey } from "../state.ts";

/** Outputs of a copy: as its definition says, and with the shapes that were known of the original. */
export function copyOutputs(copy: Operation, original: Operation): void {
  if (copy.def === undefined) {
    for (const x of original.outputs) copy.outputs.push(new Output(copy, x.index, x.dtype, x.isRef));
  } else {
    makeOutputs(copy);
    if (copy.inputs.length === original.inputs.length) inferOutputs(copy);
  }
  original.outputs.forEach((x, i) => {
    const y = copy.outputs[i]!;
    if (isCompatible(y.shape, x.shape)) y.shape = mergeShapes(y.shape, x.shape);
    y.handle ??= x.handle;
  });
}

/** The variable `op` in another graph: the same value, whatever its name there. */
export function copyVariable(target: Graph, name: string, op: Operation): Operation {
  const attrs = { ...op.attrs, shared_name: variableKey(op), container: "" };
  const copy = target.register(name, op.type, attrs);
  makeOutputs(copy);
  inferOutputs(copy);
  return copy;
}
