/**
 * @file Gradients of TensorArray ops: what a read gives back is written to the array of gradients, where the write's gradient reads it.
 *
 * @see TensorFlow python/ops/tensor_array_grad.py; python/ops/tensor_array_ops.py "grad"
 */

import { type Shape, VarscopeError } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";

/** An array of gradients and its flow. */
interface GradArray {
  readonly handle: Output;
  readonly flow: Output;
}

/** The call of `gradients` that made a tensor: one array of gradients for each. @throws VarscopeError INVALID_ARGUMENT - its name has none */
function sourceOf(x: Output): string {
  const parts = x.name.split("/");
  const last = parts.findLastIndex((part) => part.startsWith("gradients"));
  if (last >= 0) return parts.slice(0, last + 1).join("/");
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Expected op/tensor name to start with gradients (excluding scope), got: ${x.name}. This means that a tf.gradients op with this op in its dependency path has a custom name that does not start with 'gradients'. Please make sure all calls to tf.gradients that have non-empty \`name\` arguments use names that start with 'gradients'.`,
  );
}

/** The array of gradients of the array behind `handle`. */
function gradArray(g: Graph, handle: Output, flow: Output, source: string): GradArray {
  g.uniqueName("TensorArray"); // the scope of the object that Python makes of the handle
  return g.nameScope("TensorArrayGrad", () =>
    g.colocateWith(handle, () => {
      const made = g.addOp("TensorArrayGradV3", [handle, flow], { attrs: { source } }).output(0);
      const ordered = g.controlDependencies([made], () =>
        g.add("Identity", [flow], { name: "gradient_flow" }),
      );
      g.uniqueName("TensorArray");
      return { handle: made, flow: ordered };
    }),
  );
}

/** The flow of a write's gradient waits for the write. */
function barrier(g: Graph, written: Output, flow: Output): Output {
  const done = g.add("Identity", [written], { name: "flow_out" });
  return g.controlDependencies([done], () => g.add("Identity", [flow], { name: "write_barrier" }));
}

type Dys = readonly Output[];

export function readGrad(g: Graph, op: Operation, [dy]: Dys): (Output | null)[] {
  const [handle, index, flow] = op.inputs as [Output, Output, Output];
  const to = gradArray(g, handle, flow, sourceOf(dy!));
  const written = g.nameScope("TensorArrayWrite", () =>
    g.add("TensorArrayWriteV3", [to.handle, index, dy!, to.flow]),
  );
  return [null, null, written];
}

export function writeGrad(g: Graph, op: Operation, [dflow]: Dys): (Output | null)[] {
  const [handle, index] = op.inputs as [Output, Output];
  const flow = barrier(g, op.output(0), dflow!);
  const from = gradArray(g, handle, flow, sourceOf(dflow!));
  const attrs = { dtype: op.inputs[2]!.dtype };
  const dx = g.add("TensorArrayReadV3", [from.handle, index, from.flow], { attrs });
  return [null, null, dx, flow];
}

export function gatherGrad(g: Graph, op: Operation, [dy]: Dys): (Output | null)[] {
  const [handle, indices, flow] = op.inputs as [Output, Output, Output];
  const to = gradArray(g, handle, flow, sourceOf(dy!));
  const written = g.nameScope("TensorArrayScatter", () =>
    g.add("TensorArrayScatterV3", [to.handle, indices, dy!, to.flow]),
  );
  return [null, null, written];
}

const noShape: { readonly dims: Shape | null } = { dims: null };

export function scatterGrad(g: Graph, op: Operation, [dflow]: Dys): (Output | null)[] {
  const [handle, indices] = op.inputs as [Output, Output];
  const flow = barrier(g, op.output(0), dflow!);
  const from = gradArray(g, handle, flow, sourceOf(dflow!));
  const attrs = { dtype: op.inputs[2]!.dtype, element_shape: noShape };
  const dx = g.add("TensorArrayGatherV3", [from.handle, indices, from.flow], { attrs });
  return [null, null, dx, flow];
}

export function concatGrad(g: Graph, op: Operation, [dy]: Dys): (Output | null)[] {
  const [handle, flow] = op.inputs as [Output, Output];
  const to = gradArray(g, handle, flow, sourceOf(dy!));
  const written = g.nameScope("TensorArraySplit", () =>
    g.add("TensorArraySplitV3", [to.handle, dy!, op.output(1), to.flow]),
  );
  return [null, written];
}

export function splitGrad(g: Graph, op: Operation, [dflow]: Dys): (Output | null)[] {
  const handle = op.inputs[0]!;
  const flow = barrier(g, op.output(0), dflow!);
  const from = gradArray(g, handle, flow, sourceOf(dflow!));
  const attrs = { dtype: op.inputs[1]!.dtype, element_shape_except0: noShape };
  const dx = g.addOp("TensorArrayConcatV3", [from.handle, from.flow], { attrs }).output(0);
  return [null, dx, null, flow];
}
