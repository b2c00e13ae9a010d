/**
 * @file Graph to GraphDef, as TensorFlow writes it: nodes in the order in which they were made, attributes by
 * name, control inputs by name. What was read and not changed is written as it was. Start at `writeGraphDef`.
 *
 * @see TensorFlow core/graph/graph.cc "Graph::ToGraphDefSubRange"
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { FullType, Graph, Operation } from "../../graph/index.ts";
import {
  type AttrValue as AttrValueProto,
  FullTypeDefSchema,
  type FunctionDefLibrary,
  FunctionDefLibrarySchema,
  FunctionDefSchema,
  GradientDefSchema,
  type GraphDef,
  GraphDefSchema,
  type NodeDef,
  NodeDefSchema,
} from "../../proto/graph.gen.ts";
import { VersionDefSchema } from "../../proto/tensor.gen.ts";
import { kindOf, sortedAttrs, writeAttr } from "./attr-value.ts";
import { graphOriginOf, inputNames, type NodeOrigin, originOf } from "./origin.ts";

/** The encoded GraphDef of a graph. */
export const writeGraphDef = (graph: Graph): Uint8Array => toBinary(GraphDefSchema, toGraphDef(graph));

/** The GraphDef message of a graph. */
export function toGraphDef(graph: Graph): GraphDef {
  const origin = graphOriginOf(graph);
  const def = create(GraphDefSchema, {
    node: inFileOrder(graph.operations).map(toNodeDef),
    versions: create(VersionDefSchema, {
      ...graph.versions,
      badConsumers: [...graph.versions.badConsumers],
    }),
  });
  const library = writeLibrary(graph, origin?.library);
  if (library !== undefined) def.library = library;
  if (origin === undefined) return def;
  def.version = origin.version;
  if (origin.versions === undefined && graph.versions.producer === origin.version) delete def.versions;
  if (origin.versions?.$unknown !== undefined) def.versions!.$unknown = origin.versions.$unknown;
  if (origin.debugInfo !== undefined) def.debugInfo = origin.debugInfo;
  if (origin.$unknown !== undefined) def.$unknown = origin.$unknown;
  return def;
}

/** Nodes that came from a file stand as they stood there, then the new ones. */
function inFileOrder(ops: readonly Operation[]): Operation[] {
  const place = (op: Operation): number => originOf(op)?.position ?? Number.POSITIVE_INFINITY;
  const read = ops.filter((op) => originOf(op) !== undefined);
  const isPrefix = read.every((op, i) => ops[i] === op);
  // several imports into one graph, or an import into a graph with ops: their positions do not compare
  if (!isPrefix || new Set(read.map(place)).size < read.length) return [...ops];
  return [...read.sort((a, b) => place(a) - place(b)), ...ops.slice(read.length)];
}

/** The NodeDef of an operation. */
export function toNodeDef(op: Operation): NodeDef {
  const origin = originOf(op);
  const wired = origin !== undefined && origin.wiring === op.wiring;
  if (wired && origin.attrs === op.attrs && origin.device === op.device) return origin.node;
  const node = create(NodeDefSchema, {
    name: op.name,
    op: op.type,
    input: wired ? origin.node.input : inputNames(op),
    device: op.device,
    attr: sortedAttrs(attrEntries(op, origin)),
  });
  if (origin === undefined && op.def?.fullType !== undefined) {
    node.experimentalType = create(
      FullTypeDefSchema,
      toFullType({ id: TFT_PRODUCT, args: [op.def.fullType(op.attrs as never)] }),
    );
  }
  if (origin?.node.experimentalDebugInfo !== undefined)
    node.experimentalDebugInfo = origin.node.experimentalDebugInfo;
  if (origin?.node.experimentalType !== undefined) node.experimentalType = origin.node.experimentalType;
  if (origin?.node.$unknown !== undefined) node.$unknown = origin.node.$unknown;
  return node;
}

/** The outputs of a node together. @see TensorFlow core/framework/full_type.proto */
const TFT_PRODUCT = 3;

const toFullType = ({ id, args }: FullType): MessageInitShape<typeof FullTypeDefSchema> => ({
  typeId: id,
  args: args.map(toFullType),
});

function attrEntries(op: Operation, origin: NodeOrigin | undefined): [string, AttrValueProto][] {
  const entries: [string, AttrValueProto][] = [];
  for (const [name, value] of Object.entries(op.attrs)) {
    const read = origin?.node.attr[name];
    if (origin !== undefined && origin.attrs[name] === value) {
      if (read !== undefined) entries.push([name, read]); // else a default that the file left out
      continue;
    }
    entries.push([
      name,
      writeAttr(value, op.def?.attrs[name]?.kind ?? (read === undefined ? undefined : kindOf(read))),
    ]);
  }
  for (const [name, proto] of Object.entries(origin?.node.attr ?? {})) {
    if (!(name in origin!.attrs)) entries.push([name, proto]); // of a kind that has no value here
  }
  return entries;
}

function writeLibrary(graph: Graph, origin: FunctionDefLibrary | undefined): FunctionDefLibrary | undefined {
  if (graph.functions.size === 0 && graph.functionGradients.length === 0 && origin === undefined)
    return undefined;
  const library = create(FunctionDefLibrarySchema, {
    function: [...graph.functions.values()].map((bytes) => fromBinary(FunctionDefSchema, bytes)),
    gradient: graph.functionGradients.map((bytes) => fromBinary(GradientDefSchema, bytes)),
    registeredGradients: origin?.registeredGradients ?? [],
  });
  if (origin?.$unknown !== undefined) library.$unknown = origin.$unknown;
  return library;
}
