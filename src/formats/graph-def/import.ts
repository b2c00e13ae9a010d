/**
 * @file A GraphDef into a graph that has nodes already: under a prefix, some of its inputs taken from there. Start at `importGraphDef`.
 *
 * @see TensorFlow python/framework/importer.py; core/common_runtime/graph_constructor.cc
 */

import { equals } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import { applyDevices } from "../../graph/device.ts";
import { type Graph, type Input, Operation, Output } from "../../graph/index.ts";
import { colocate, colocationsOf } from "../../graph/node-builder.ts";
import {
  AttrValueSchema,
  type GraphDef,
  GraphDefSchema,
  type NodeDef,
  type OpList,
} from "../../proto/graph.gen.ts";
import { importNodes, readMessage } from "./read.ts";
import { Renaming } from "./rename.ts";

export interface ImportGraphOptions {
  /** name scope of the new nodes: "import", made unique; `name/` is taken exactly; "" is none, and each name is made unique */
  readonly prefix?: string;
  /** what takes the place of `x:0` or `x` of the GraphDef; `^x` of control inputs from `x`. Values become constants */
  readonly inputMap?: Readonly<Record<string, Input | Operation>>;
  /** ops (`x`) and tensors (`x:0`) of the GraphDef to give back */
  readonly returnElements?: readonly string[];
  /** OpDefs of the writer: attributes that are unknown here go where they have the writer's default */
  readonly producerOpList?: OpList | undefined;
}

/**
 * Adds the nodes and functions of a GraphDef to `graph`, as `tf.import_graph_def` does: in the open name, device, colocation and control
 * scopes. All of it or, after an error, nothing.
 *
 * @param graphDef - encoded, or the message
 * @returns what `returnElements` names, in its order
 * @throws VarscopeError INVALID_ARGUMENT - in TensorFlow's sentences: unknown inputs, names that are not there, attributes that do not fit;
 *   DATA_LOSS - no protobuf
 */
export function importGraphDef(
  graph: Graph,
  graphDef: Uint8Array | GraphDef,
  options: ImportGraphOptions = {},
): (Operation | Output)[] {
  const def = graphDef instanceof Uint8Array ? readMessage(GraphDefSchema, graphDef, "GraphDef") : graphDef;
  const before = { ops: graph.operations.length, functions: new Set(graph.functions.keys()) };
  const gradients = graph.functionGradients.length;
  const versions = graph.versions;
  try {
    return addNodes(graph, def, options);
  } catch (e) {
    graph.takeBack(before.ops);
    for (const name of graph.functions.keys()) if (!before.functions.has(name)) graph.functions.delete(name);
    graph.functionGradients.length = gradients;
    graph.versions = versions;
    throw e;
  }
}

function addNodes(graph: Graph, def: GraphDef, options: ImportGraphOptions): (Operation | Output)[] {
  const { prefix = "import", inputMap = {}, returnElements = [], producerOpList } = options;
  const wasEmpty = graph.operations.length === 0;
  const [at, mapped] = graph.nameScope(prefix, (scope) => [
    scope.slice(0, -1),
    toOutputs(graph, prefix, inputMap),
  ]);
  const renaming = new Renaming(graph, def.node, at, mapped);
  for (const name of returnElements) checkReturn(renaming, name);
  const nodes = withoutDefaults(graph, renaming.nodes(), producerOpList);
  joinVersions(graph, def, wasEmpty);
  const ops = importNodes(graph, { ...def, node: nodes });
  for (const op of ops) placeInScopes(graph, op);
  placeBesideOthers(graph, ops);
  for (const op of ops) op.context = graph.context;
  for (const op of ops) graph.context?.addOp(op);
  const found = returnElements.map((name) => returned(renaming, name, graph));
  renaming.checkOutputs(graph);
  return found;
}

/** Values of an input map as constants of the graph. */
function toOutputs(
  graph: Graph,
  prefix: string,
  given: Readonly<Record<string, Input | Operation>>,
): Map<string, Output | Operation> {
  const isNode = (x: unknown): x is Output | Operation => x instanceof Output || x instanceof Operation;
  const entries = Object.entries(given);
  if (entries.every(([, x]) => isNode(x))) return new Map(entries as [string, Output | Operation][]);
  if (prefix === "") {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "tf.import_graph_def() requires a non-empty `name` if `input_map` contains non-Tensor values. Try calling tf.convert_to_tensor() on `input_map` values before calling tf.import_graph_def().",
      { hint: "make constants of the values first, or give a prefix" },
    );
  }
  return graph.nameScope(
    "_inputs",
    () => new Map(entries.map(([key, x]) => [key, isNode(x) ? x : graph.constant(x as never)])),
  );
}

function checkReturn(renaming: Renaming, name: string): void {
  const isTensor = name.includes(":");
  if (renaming.has(name.replace(/:\d+$/, ""))) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Requested return ${isTensor ? "tensor" : "node"} '${name}' not found in graph def`,
  );
}

function returned(renaming: Renaming, name: string, graph: Graph): Operation | Output {
  const [, node = name, index] = /^(.*):(\d+)$/.exec(name) ?? [];
  if (index === undefined) return graph.operation(renaming.nameOf(name));
  const mapped = renaming.mappedTo(node, Number(index));
  if (mapped !== undefined) return mapped;
  const op = graph.operation(renaming.nameOf(node));
  if (op.def === undefined || Number(index) < op.outputs.length) return op.output(Number(index));
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Invalid return output ${index} of node '${node}', which has ${op.outputs.length} output(s)`,
  );
}

/** Attributes that a newer TensorFlow wrote and that say what was so before them. */
function withoutDefaults(graph: Graph, nodes: NodeDef[], producer: OpList | undefined): NodeDef[] {
  if (producer === undefined) return nodes;
  const known = new Map(
    producer.op.map((op) => [op.name, new Map(op.attr.map((a) => [a.name, a.defaultValue]))]),
  );
  return nodes.map((node) => {
    const here = graph.registry.get(node.op);
    const defaults = known.get(node.op);
    if (here === undefined || defaults === undefined) return node;
    const stale = Object.keys(node.attr).filter((key) => {
      const value = defaults.get(key);
      return !(key in here.attrs) && value !== undefined && equals(AttrValueSchema, value, node.attr[key]!);
    });
    if (stale.length === 0) return node;
    return {
      ...node,
      attr: Object.fromEntries(Object.entries(node.attr).filter(([key]) => !stale.includes(key))),
    };
  });
}

/** The graph then is of the older of two writers. @see graph_constructor.cc "GraphConstructor::UpdateVersionDef" */
function joinVersions(graph: Graph, { versions }: GraphDef, wasEmpty: boolean): void {
  if (versions === undefined) return;
  const { producer, minConsumer, badConsumers } = graph.versions;
  graph.versions = wasEmpty
    ? { producer: versions.producer, minConsumer: versions.minConsumer, badConsumers: versions.badConsumers }
    : {
        producer: Math.min(producer, versions.producer),
        minConsumer: Math.max(minConsumer, versions.minConsumer),
        badConsumers: [...new Set([...badConsumers, ...versions.badConsumers])],
      };
}

/** Names of the ops that an op stands beside. */
const neighbours = (op: Operation): string[] =>
  colocationsOf(op)
    .map((c) => c.slice("loc:@".length))
    .filter((name) => name !== op.name);

/** The open scopes count for every new op as if it had been made in them. */
function placeInScopes(graph: Graph, op: Operation): void {
  const beside = graph.colocations.some((target) => target !== null);
  if (beside) colocate(op, graph.colocations);
  op.addControlInputs(graph.pendingControlInputs(op.inputs));
  if (neighbours(op).length === 0) applyDevices(op, graph.devices);
}

/** Ops that stand beside others have their device, whatever the file or the open scopes say. */
function placeBesideOthers(graph: Graph, ops: readonly Operation[]): void {
  const followers = ops.map((op) => [op, neighbours(op)] as const).filter(([, names]) => names.length > 0);
  for (const [op] of followers) op.device = "";
  for (const [op, names] of followers) {
    op.device = names.map((name) => graph.findOperation(name)?.device ?? "").find((d) => d !== "") ?? "";
  }
}
