/** @file The pass that computes what follows from constants alone. Start at `foldConstants`. */

import { DTYPES, sizeOf, type Tensor } from "../../base/index.ts";
import { constantValue, groupArgs, type HostContext, isAbsent, type Operation } from "../../graph/index.ts";
import { constNode, draftOf, dropUnneeded, freshName, graphOf, needed, rewire } from "./draft.ts";
import { type Change, type Left, outputsOf, type Pass } from "./pass.ts";
import { isControlFlow, noticeable } from "./residue.ts";

/** A result larger than its inputs is kept as its op above this size, bytes. */
const MAX_GROWN = 1 << 16;

/**
 * Ops whose inputs are constants, or of whose inputs the shape is enough, become constants of the same name.
 * Ops with effects, random ones and those in conditionals stay.
 */
export const foldConstants: Pass = (graph, options = {}) => {
  const outputs = outputsOf(graph, options);
  const draft = draftOf(graph);
  const before = needed(draft.nodes, outputs);
  const strong = noticeable(graph);
  const values = new Map<string, Tensor>();
  const names = new Map<string, string>();
  const done: Change[] = [];
  const left: Left[] = [];
  for (const op of graph.operations) {
    if (op.type === "Const") {
      values.set(`${op.name}:0`, op.attrs.value as unknown as Tensor);
      continue;
    }
    if (strong.has(op) || op.def === undefined || !hasValues(op) || op.type === "Placeholder") continue;
    const found = compute(op, values);
    if (found === null) continue;
    if (typeof found === "string") {
      left.push({ at: op.name, why: found });
      continue;
    }
    for (const [i, x] of op.outputs.entries()) values.set(x.name, found[i]!);
    if (op.outputs.length === 1) {
      const { device } = draft.nodes.get(op.name)!;
      draft.nodes.set(op.name, constNode(op.name, found[0]!, device));
      if (options.origins) options.origins.record(op.name, options.origins.ofValue(op.outputs[0]!));
    } else {
      for (const [i, x] of op.outputs.entries()) {
        const name = freshName(draft, `${op.name}_${i}`);
        draft.nodes.set(name, constNode(name, found[i]!, op.device));
        if (options.origins) options.origins.record(name, options.origins.ofValue(x));
        names.set(i === 0 ? op.name : x.name, name);
      }
    }
    done.push({ at: op.name, what: `${op.type} computed` });
  }
  rewire(draft, names);
  if (done.length > 0) dropUnneeded(draft, before, outputs);
  return { graph: done.length > 0 ? graphOf(draft) : graph, report: { pass: "fold-constants", done, left } };
};

/** Whether its results can stand in a Const: lists of tensors and handles cannot. */
const hasValues = (op: Operation): boolean =>
  op.outputs.length > 0 && op.outputs.every((x) => DTYPES[x.dtype].kind !== "other");

/** Values of the outputs; null where they are not constant, a reason where they could be computed and are not. */
function compute(op: Operation, values: ReadonlyMap<string, Tensor>): readonly Tensor[] | string | null {
  const inputs = op.inputs.map((x) => values.get(x.name));
  if (op.inputs.length > 0 && inputs.every((x) => x !== undefined)) {
    const { host } = op.def!;
    if (isAbsent(host))
      return isControlFlow(op) || op.type === "PlaceholderWithDefault"
        ? null
        : `no kernel here computes ${op.type}`;
    const largest = inputs.reduce((n, t) => Math.max(n, bytesOf(t!)), MAX_GROWN);
    const grows = op.outputs.some(
      (x) => x.shape?.every((d) => d !== null) && bytes(x.dtype, x.shape as number[]) > largest,
    );
    if (grows) return "its value is larger than what it is made of";
    const result = host(
      groupArgs(op.def!.inputs, op.attrs, inputs) as never,
      op.attrs as never,
      { op } as HostContext,
    );
    if (result instanceof Promise) return `${op.type} computes later`;
    return result.some((t) => bytesOf(t) > largest) ? "its value is larger than what it is made of" : result;
  }
  const known = op.outputs.map(constantValue);
  return known.every((t) => t !== null) ? (known as Tensor[]) : null;
}

const bytes = (dtype: Tensor["dtype"], shape: readonly number[]): number =>
  sizeOf(shape) * (DTYPES[dtype].bytes || 16);
const bytesOf = (t: Tensor): number => bytes(t.dtype, t.shape);
