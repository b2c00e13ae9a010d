/**
 * @file Freezing: variables become constants, what the outputs do not need goes. Start at `convertVariablesToConstants`.
 *
 * @see TensorFlow python/framework/convert_to_constants.py, graph_util_impl.py "extract_sub_graph"
 */

import { create } from "@bufbuild/protobuf";
import { DTYPES, type DType, scalar, type Tensor, VarscopeError } from "../../base/index.ts";
import { fromGraphDef, toGraphDef, writeAttr } from "../../formats/graph-def/index.ts";
import type { Graph } from "../../graph/index.ts";
import { type AttrValue, GraphDefSchema, type NodeDef, NodeDefSchema } from "../../proto/graph.gen.ts";
import { type Session, variableKey } from "../../run/index.ts";

export interface FreezeOptions {
  /** only these variables (op names) become constants; by default all */
  readonly allow?: readonly string[];
  /** these variables (op names) stay variables */
  readonly deny?: readonly string[];
  /** forget device strings */
  readonly clearDevices?: boolean;
}

/** Value of a variable by its op's name. */
export type ValueOf = (name: string) => Tensor | null;

/**
 * The part of a session's graph that computes `outputs`, its variables replaced by constants of their present values. Node names stay.
 *
 * @param outputs - node names, without `:0`
 * @throws VarscopeError NOT_FOUND - no such node; FAILED_PRECONDITION - a variable has no value, or the outputs depend on an assignment
 */
export function convertVariablesToConstants(
  session: Session,
  outputs: readonly string[],
  options: FreezeOptions = {},
): Graph {
  const { graph } = session;
  const valueFor: ValueOf = (name) => session.variables.get(variableKey(graph.operation(name)));
  return freezeGraph(graph, outputs, valueFor, options);
}

/** The same with values from anywhere: a checkpoint, an edit. */
export function freezeGraph(
  graph: Graph,
  outputs: readonly string[],
  valueFor: ValueOf,
  options: FreezeOptions = {},
): Graph {
  const def = toGraphDef(graph);
  const nodes = subgraph(def.node, outputs);
  const frozen = new Map<string, DType>();
  for (const node of nodes) {
    const info = graph.operation(node.name).def?.variable?.(graph.operation(node.name).attrs as never);
    const wanted = (options.allow?.includes(node.name) ?? true) && !options.deny?.includes(node.name);
    if (info !== undefined && wanted) frozen.set(node.name, info.dtype);
  }
  const carriers = resourcePaths(nodes, frozen, graph);
  const converted = nodes.flatMap((node) => convert(node, graph, frozen, carriers, valueFor));
  if (options.clearDevices === true) for (const node of converted) node.device = "";
  const out = create(GraphDefSchema, { node: converted });
  if (def.versions !== undefined) out.versions = def.versions;
  if (def.library !== undefined) out.library = def.library;
  return fromGraphDef(out, { registry: graph.registry });
}

const nodeOf = (input: string): string => input.replace(/^\^/, "").replace(/:\d+$/, "");

/** Nodes that the outputs need, in their order. */
function subgraph(nodes: readonly NodeDef[], outputs: readonly string[]): NodeDef[] {
  const byName = new Map(nodes.map((n) => [n.name, n]));
  const missing = outputs.find((name) => !byName.has(name));
  if (missing !== undefined) {
    throw new VarscopeError("NOT_FOUND", `${missing} is not in graph`, {
      at: missing,
      ...(missing.includes(":") ? { hint: "give the node's name without ':0'" } : {}),
    });
  }
  const needed = new Set<string>();
  const stack = [...outputs];
  while (stack.length > 0) {
    const name = stack.pop()!;
    if (needed.has(name)) continue;
    needed.add(name);
    stack.push(...(byName.get(name)?.input ?? []).map(nodeOf));
  }
  return nodes.filter((n) => needed.has(n.name));
}

/** Nodes that only pass a frozen variable's handle on, with the variable's dtype. */
function resourcePaths(
  nodes: readonly NodeDef[],
  frozen: ReadonlyMap<string, DType>,
  graph: Graph,
): Map<string, DType> {
  const carriers = new Map(frozen);
  for (const node of nodes) {
    const op = graph.operation(node.name);
    if (frozen.has(node.name) || op.outputs.length === 0 || !op.outputs.every((x) => x.dtype === "resource"))
      continue;
    const dtype = op.inputs.map((x) => carriers.get(x.op.name)).find((d) => d !== undefined);
    if (dtype !== undefined) carriers.set(node.name, dtype);
  }
  return carriers;
}

const typeAttr = (dtype: DType): AttrValue => writeAttr(dtype, "type");

function convert(
  node: NodeDef,
  graph: Graph,
  frozen: ReadonlyMap<string, DType>,
  carriers: ReadonlyMap<string, DType>,
  valueFor: ValueOf,
): NodeDef[] {
  const dtype = frozen.get(node.name);
  if (dtype !== undefined) return [constantNode(node, dtype, valueFor(node.name))];
  const op = graph.operation(node.name);
  const reads = op.inputs.find((x) => carriers.has(x.op.name) && (x.dtype === "resource" || x.isRef));
  if (reads === undefined) return [node];
  const read = carriers.get(reads.op.name)!;
  if (Object.values(op.def?.access ?? {}).some((a) => a === "write" || a === "update")) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `the outputs depend on ${node.op} of variable '${reads.op.name}', which cannot be a constant`,
      {
        at: node.name,
        hint: "freeze outputs that do not depend on update ops (build the inference graph with training off)",
      },
    );
  }
  if (reads.isRef && reads.dtype !== "resource") return [node];
  return readNode(node, read);
}

function constantNode(node: NodeDef, dtype: DType, value: Tensor | null): NodeDef {
  if (value === null) {
    throw new VarscopeError("FAILED_PRECONDITION", `Attempting to use uninitialized value ${node.name}`, {
      at: node.name,
      hint: "initialise or restore the variables before freezing",
    });
  }
  return create(NodeDefSchema, {
    name: node.name,
    op: "Const",
    device: node.device,
    attr: { dtype: typeAttr(dtype), value: writeAttr(value, "tensor") },
  });
}

/** What a reader of a variable's handle is when the handle is a value. */
function readNode(node: NodeDef, dtype: DType): NodeDef[] {
  const common = { name: node.name, device: node.device, input: [...node.input] };
  const kept: Record<string, AttrValue> = node.attr._class === undefined ? {} : { _class: node.attr._class };
  if (node.op === "ReadVariableOp") {
    return [create(NodeDefSchema, { ...common, op: "Identity", attr: { ...kept, T: typeAttr(dtype) } })];
  }
  if (node.op === "ResourceGather") {
    const axis = `${node.name}/axis`;
    const attr = {
      ...kept,
      Tparams: typeAttr(dtype),
      Tindices: node.attr.Tindices!,
      Taxis: typeAttr("int32"),
      batch_dims: node.attr.batch_dims ?? writeAttr(0, "int"),
    };
    const zero = create(NodeDefSchema, {
      name: axis,
      op: "Const",
      device: node.device,
      attr: { dtype: typeAttr("int32"), value: writeAttr(scalar(0, "int32"), "tensor") },
    });
    const input = [node.input[0]!, node.input[1]!, axis, ...node.input.slice(2)];
    return [zero, create(NodeDefSchema, { ...common, input, op: "GatherV2", attr })];
  }
  const attr = Object.fromEntries(
    Object.entries(node.attr).map(([k, v]) => [
      k,
      v.value.case === "type" && v.value.value === DTYPES.resource.code ? typeAttr(dtype) : v,
    ]),
  );
  if (Object.values(attr).some((v, i) => v !== Object.values(node.attr)[i])) {
    return [create(NodeDefSchema, { ...common, op: node.op, attr })];
  }
  throw new VarscopeError("UNIMPLEMENTED", `${node.op} reads a variable in a way that has no constant form`, {
    at: node.name,
  });
}
