/** @file Waiting for several ops at once: group and tuple. @see TensorFlow python/ops/control_flow_ops.py */

import { VarscopeError } from "../base/index.ts";
import { type Graph, type Operation, Output } from "../graph/index.ts";

const opOf = (x: Operation | Output): Operation => (x instanceof Output ? x.op : x);

/** A NoOp on `device` that runs after `deps`. */
const gateOn = (g: Graph, device: string, deps: readonly Operation[], name = "NoOp"): Operation =>
  g.controlDependencies(deps, () => g.withDevice(device, () => g.addOp("NoOp", [], { name })));

/**
 * An op that is done when all of `xs` are. Where they are on several devices, each device has a NoOp of its own first.
 * Named "group_deps".
 */
export function group(g: Graph, xs: readonly (Operation | Output)[], name = "group_deps"): Operation {
  return g.nameScope(name, (scope) => {
    if (xs.length === 0) return g.addOp("NoOp", [], { name: scope });
    const byDevice = new Map<string, Operation[]>();
    for (const op of xs.map(opOf)) byDevice.set(op.device, [...(byDevice.get(op.device) ?? []), op]);
    const devices = [...byDevice.keys()].sort();
    if (devices.length === 1) return gateOn(g, devices[0]!, byDevice.get(devices[0]!)!, scope);
    const gates = devices.map((device) => gateOn(g, device, byDevice.get(device)!));
    return g.controlDependencies(gates, () => g.addOp("NoOp", [], { name: scope }));
  });
}

/** `x` itself, but not before `deps` are done. Named "control_dependency". */
export function withDependencies(
  deps: readonly (Operation | Output)[],
  x: Output,
  name = "control_dependency",
): Output {
  const g = x.graph;
  return g.nameScope(name, (scope) =>
    g.colocateWith(x, () => g.controlDependencies(deps, () => g.add("Identity", [x], { name: scope }))),
  );
}

/**
 * The tensors, none of which is there before all (and `controlInputs`) are computed; null stays null. Named "tuple".
 * @throws VarscopeError INVALID_ARGUMENT - there is nothing to wait for
 */
export function tuple(
  g: Graph,
  xs: readonly (Output | null)[],
  options: { readonly controlInputs?: readonly (Operation | Output)[]; readonly name?: string } = {},
): (Output | null)[] {
  const waits = [...xs.filter((x) => x !== null), ...(options.controlInputs ?? [])].map(opOf);
  if (waits.length === 0)
    throw new VarscopeError("INVALID_ARGUMENT", `Must have at least one Tensor: [${xs.map(() => "null")}]`);
  return g.nameScope(options.name ?? "tuple", () => {
    const gate = group(
      g,
      [...new Set(waits)].sort((a, b) => a.id - b.id),
    );
    return xs.map((x) => (x === null ? null : withDependencies([gate], x)));
  });
}
