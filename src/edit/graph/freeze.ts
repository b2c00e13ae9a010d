/**
 * @file Freezing: variables become constants, what the outputs do not need goes. Start at `convertVariablesToConstants`.
 *
 * @see TensorFlow python/framework/convert_to_constants.py, graph_util_impl.py "extract_sub_graph"
 */

import { create } from "@bufbuild/protobuf";
import { DTYPES, type DType, scalar, type Tensor, VarscopeError } from "../../base/index.ts";
import { toGraphDef, writeAttr } from "../../formats/graph-def/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import { type AttrValue, type NodeDef, NodeDefSchema } from "../../proto/graph.gen.ts";
import { type Session, variableKey } from "../../run/index.ts";
import { clearDevices } from "../transform/attributes.ts";
import {
  controlInputs,
  dataInputs,
  graphOf,
  joinInputs,
  makeNode,
  needed,
  typeAttr,
} from "../transform/draft.ts";
import { inlineFunctions } from "../transform/inline.ts";
import { notInGraph } from "../transform/pass.ts";
import { ON_VALUES } from "../transform/repair-graph.ts";

export interface FreezeOptions {
  /** only these variables (op names) become constants; by default all */
  readonly allow?: readonly string[];
  /** these variables (op names) stay variables */
  readonly deny?: readonly string[];
  /** forget device strings, and colocations: both pin nodes to places */
  readonly clearDevices?: boolean;
  /** do not wait for update ops: control edges from assignments to frozen variables go. Default false: they are an error */
  readonly dropUpdates?: boolean;
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

/** The same with values from anywhere: a checkpoint, an edit. Functions are inlined. */
export function freezeGraph(
  given: Graph,
  outputs: readonly string[],
  valueFor: ValueOf,
  options: FreezeOptions = {},
): Graph {
  if (typeof outputs === "string") {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "dest_nodes must be an iterable of strings, but got type string.",
      { at: outputs, hint: `write ["${outputs}"]` },
    );
  }
  const { graph } = inlineFunctions(given, { outputs });
  const def = toGraphDef(graph);
  const wanted = options.dropUpdates === true ? withoutUpdates(def.node, graph) : def.node;
  const nodes = subgraph(wanted, outputs);
  const frozen = new Map<string, DType>();
  for (const node of nodes) {
    const info = graph.operation(node.name).def?.variable?.(graph.operation(node.name).attrs as never);
    const isWanted = (options.allow?.includes(node.name) ?? true) && !options.deny?.includes(node.name);
    if (info !== undefined && isWanted) frozen.set(node.name, info.dtype);
  }
  const carriers = handedOn(nodes, frozen, graph);
  const converted = nodes.flatMap((node) => convert(node, graph, frozen, carriers, valueFor));
  const result = graphOf({ graph, def, nodes: new Map(converted.map((node) => [node.name, node])) });
  return options.clearDevices === true ? clearDevices(result).graph : result;
}

/** Nodes without control edges from ops that assign. */
function withoutUpdates(nodes: readonly NodeDef[], graph: Graph): NodeDef[] {
  const updates = new Set(graph.operations.filter(writes).map((op) => op.name));
  return nodes.map((node) => {
    const kept = controlInputs(node).filter((name) => !updates.has(name));
    if (kept.length === controlInputs(node).length) return node;
    return makeNode({ ...node, input: joinInputs(dataInputs(node), kept) });
  });
}

const writes = (op: Operation): boolean =>
  Object.values(op.def?.access ?? {}).some((a) => a === "write" || a === "update");

/** Nodes that the outputs need, in their order. */
function subgraph(nodes: readonly NodeDef[], outputs: readonly string[]): NodeDef[] {
  const byName = new Map(nodes.map((n) => [n.name, n]));
  const missing = outputs.find((name) => !byName.has(name));
  if (missing !== undefined) throw notInGraph(missing);
  const found = needed(byName, outputs);
  return nodes.filter((n) => found.has(n.name));
}

/** Nodes that only hand a frozen variable on, its handle or a reference to it, with the variable's dtype. */
function handedOn(
  nodes: readonly NodeDef[],
  frozen: ReadonlyMap<string, DType>,
  graph: Graph,
): Map<string, DType> {
  const carriers = new Map(frozen);
  const names = new Set(nodes.map((node) => node.name));
  for (const op of graph.operations) {
    const x = op.outputs[0];
    if (!names.has(op.name) || frozen.has(op.name) || x === undefined) continue;
    if (x.dtype !== "resource" && !x.isRef) continue;
    const dtype = op.inputs.map((y) => carriers.get(y.op.name)).find((d) => d !== undefined);
    if (dtype !== undefined) carriers.set(op.name, dtype);
  }
  return carriers;
}

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
  if (writes(op)) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `the outputs depend on ${node.op} of variable '${reads.op.name}', which cannot be a constant`,
      {
        at: node.name,
        hint: "freeze outputs that do not depend on update ops (build the inference graph with training off), or drop the updates",
      },
    );
  }
  if (reads.isRef && reads.dtype !== "resource") {
    const onValue = ON_VALUES[node.op];
    return [onValue === undefined ? node : makeNode({ ...node, op: onValue })];
  }
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
