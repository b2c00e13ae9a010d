/**
 * @file Grouping by control edges: one op that waits for several, values that wait for ops, all with
 * TensorFlow's names. Start at `group`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "group", "tuple", "with_dependencies"
 */

import { VarscopeError } from "../base/index.ts";
import type { Graph } from "./graph.ts";
import { type IndexedSlices, isIndexedSlices } from "./indexed-slices.ts";
import { type Operation, Output } from "./operation.ts";

const opOf = (x: Operation | Output | IndexedSlices): Operation =>
  isIndexedSlices(x) ? x.values.op : x instanceof Output ? x.op : x;

/** A NoOp that runs after all of `ops`; with ops on several devices, one NoOp a device comes between. */
export function group(graph: Graph, ops: readonly (Operation | Output)[], name = "group_deps"): Operation {
  return graph.nameScope(name, (scope) => {
    const byDevice = new Map<string, Operation[]>();
    for (const op of ops.map(opOf)) byDevice.set(op.device, [...(byDevice.get(op.device) ?? []), op]);
    const devices = [...byDevice.keys()].sort();
    if (devices.length <= 1) return waitFor(graph, ops.map(opOf), devices[0] ?? "", scope);
    const deps = devices.map((d) => waitFor(graph, byDevice.get(d)!, d));
    return waitFor(graph, deps, "", scope);
  });
}

function waitFor(graph: Graph, ops: readonly Operation[], device: string, name = "NoOp"): Operation {
  const make = (): Operation => graph.addOp("NoOp", [], { name });
  return graph.controlDependencies(ops, () => (device === "" ? make() : graph.withDevice(device, make)));
}

/** `x` itself, once `ops` have run. */
export function withDependencies(ops: readonly (Operation | Output)[], x: Output, name?: string): Output;
export function withDependencies<X extends Output | IndexedSlices>(
  ops: readonly (Operation | Output)[],
  x: X,
  name?: string,
): X;
export function withDependencies(
  ops: readonly (Operation | Output)[],
  x: Output | IndexedSlices,
  name = "control_dependency",
): Output | IndexedSlices {
  const value = isIndexedSlices(x) ? x.values : x;
  const { graph } = value;
  const same = graph.nameScope(name, (scope) =>
    graph.colocateWith(value, () =>
      graph.controlDependencies(ops, () =>
        graph.add(value.isRef ? "RefIdentity" : "Identity", [value], { name: scope }),
      ),
    ),
  );
  return isIndexedSlices(x) ? { ...x, values: same } : same;
}

/** The same values, none of which is there before all of them are. null stays null. */
export function tuple<X extends Output | IndexedSlices | null>(
  graph: Graph,
  values: readonly X[],
  name = "tuple",
): X[] {
  return graph.nameScope(name, () => {
    const ops = new Set(values.filter((v) => v !== null).map((v) => opOf(v)));
    if (ops.size === 0)
      throw new VarscopeError("INVALID_ARGUMENT", `'${name}' must have at least one tensor`);
    const gate = group(
      graph,
      [...ops].sort((a, b) => a.id - b.id),
    );
    return values.map((v) => (v === null ? v : (withDependencies([gate], v as Output | IndexedSlices) as X)));
  });
}
