/**
 * @file GraphDef to Graph, as TensorFlow's importer does it: nodes behind their inputs, defaults from the
 * OpDefs, shapes inferred. Start at `readGraphDef`; how one node becomes an operation is in `import-node.ts`.
 *
 * @see TensorFlow core/common_runtime/graph_constructor.cc
 */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import { Graph, type Operation, type Registry } from "../../graph/index.ts";
import {
  FunctionDefSchema,
  type GradientDef,
  GradientDefSchema,
  type GraphDef,
  GraphDefSchema,
  type NodeDef,
} from "../../proto/graph.gen.ts";
import { type Links, linksOf, makeOperation } from "./import-node.ts";
import { setGraphOrigin } from "./origin.ts";
import { MAX_EXPANDED_BYTES } from "./tensor-proto.ts";

export interface ReadGraphOptions {
  readonly registry: Registry;
  /** name of the file, for errors */
  readonly file?: string;
}

/** The newest GraphDef that we know of. @see TensorFlow core/public/release_version.h TF_GRAPH_DEF_VERSION */
const GRAPH_DEF_VERSION = 2474;

/**
 * The graph of an encoded GraphDef. Ops that the registry does not know are kept and written again.
 *
 * @throws VarscopeError INVALID_ARGUMENT, naming node and field - names, inputs, attributes or shapes do not
 *   fit; DATA_LOSS - no protobuf
 */
export function readGraphDef(bytes: Uint8Array, options: ReadGraphOptions): Graph {
  const def = readMessage(GraphDefSchema, bytes, options.file ?? "GraphDef");
  return fromGraphDef(def, options);
}

/** The graph of a GraphDef message. */
export function fromGraphDef(def: GraphDef, options: ReadGraphOptions): Graph {
  const graph = new Graph(options.registry);
  if (def.versions !== undefined) {
    const { producer, minConsumer, badConsumers } = def.versions;
    graph.versions = { producer, minConsumer, badConsumers: [...badConsumers] };
  } else {
    graph.versions = { producer: def.version, minConsumer: 0, badConsumers: [] };
  }
  importNodes(graph, def);
  setGraphOrigin(graph, { ...def, node: [] });
  return graph;
}

/**
 * Adds the nodes and functions of a GraphDef to a graph.
 *
 * @returns the new operations, in the order of the GraphDef
 */
export function importNodes(graph: Graph, def: GraphDef): Operation[] {
  checkVersions(def);
  readLibrary(graph, def);
  const names = indexNodes(graph, def.node);
  const links = def.node.map((node) => linksOf(node, def.node, names, graph));
  const order = importOrder(def.node, links);
  const budget = { left: MAX_EXPANDED_BYTES };
  const made: (Operation | undefined)[] = def.node.map(() => undefined);
  const late: (() => void)[] = [];
  const find = (name: string): Operation | undefined => {
    const at = names.get(name);
    return at === undefined ? graph.findOperation(name) : made[at];
  };
  for (const i of order) {
    const { op, finish } = makeOperation({
      graph,
      node: def.node[i]!,
      links: links[i]!,
      position: i,
      find,
      budget,
    });
    made[i] = op;
    if (finish !== null) late.push(finish);
  }
  for (const finish of late) finish();
  return made as Operation[];
}

/** Decodes a message. @throws VarscopeError DATA_LOSS - truncated, nested too deep, or something else */
export function readMessage<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
  file: string,
): MessageShape<D> {
  try {
    // a Buffer as a plain view: what is cut out of it must not be Buffers
    return fromBinary(schema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VarscopeError("DATA_LOSS", `no ${schema.name}: ${why}`, { at: file, cause });
  }
}

function checkVersions({ versions }: GraphDef): void {
  if (versions === undefined) return;
  if (versions.minConsumer > GRAPH_DEF_VERSION) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `GraphDef min consumer version ${versions.minConsumer} above current version ${GRAPH_DEF_VERSION}`,
      { at: "versions" },
    );
  }
  if (versions.badConsumers.includes(GRAPH_DEF_VERSION)) {
    throw new VarscopeError("INVALID_ARGUMENT", `GraphDef disallows consumer version ${GRAPH_DEF_VERSION}`, {
      at: "versions",
    });
  }
}

function readLibrary(graph: Graph, { library }: GraphDef): void {
  for (const f of library?.function ?? []) {
    const name = f.signature?.name ?? "";
    const bytes = toBinary(FunctionDefSchema, f);
    const old = graph.functions.get(name);
    if (old !== undefined && !equalBytes(old, bytes)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Cannot add function '${name}' because a different function with the same name already exists.`,
        { hint: "import it into a graph of its own" },
      );
    }
    graph.functions.set(name, bytes);
  }
  readGradients(graph, library?.gradient ?? []);
}

/** Each function has one gradient at most; one that is known already is not added again. */
function readGradients(graph: Graph, gradients: readonly GradientDef[]): void {
  if (gradients.length === 0) return;
  const known = new Map<string, string>();
  for (const bytes of graph.functionGradients) {
    const { functionName, gradientFunc } = readMessage(GradientDefSchema, bytes, "GradientDef");
    known.set(functionName, gradientFunc);
  }
  for (const g of gradients) {
    const old = known.get(g.functionName);
    if (old === g.gradientFunc) continue;
    if (old !== undefined) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Cannot assign gradient function '${g.gradientFunc}' to '${g.functionName}' because it already has gradient function '${old}'`,
      );
    }
    known.set(g.functionName, g.gradientFunc);
    graph.functionGradients.push(toBinary(GradientDefSchema, g));
  }
}

const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((v, i) => v === b[i]);

/** @see TensorFlow core/common_runtime/graph_constructor.cc "IsValidNodeName" */
const NODE_NAME = /^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$/;

/** @throws VarscopeError INVALID_ARGUMENT - a name that is no node's, or there twice */
export function checkNames(nodes: readonly NodeDef[]): Map<string, number> {
  const names = new Map<string, number>();
  nodes.forEach((node, i) => {
    if (!NODE_NAME.test(node.name)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Node '${node.name}': Node name contains invalid characters`,
        { at: `node ${i}` },
      );
    }
    if (names.has(node.name)) throw notUnique(node.name, i);
    names.set(node.name, i);
  });
  return names;
}

const notUnique = (name: string, i: number): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `Node '${name}' is not unique`, { at: `node ${i}` });

function indexNodes(graph: Graph, nodes: readonly NodeDef[]): Map<string, number> {
  const names = checkNames(nodes);
  for (const [name, i] of names) if (graph.findOperation(name) !== undefined) throw notUnique(name, i);
  return names;
}

/**
 * Indices of the nodes, each behind its inputs, otherwise in the order of the file.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a cycle
 */
function importOrder(nodes: readonly NodeDef[], links: readonly Links[]): number[] {
  const waiting = links.map((l) => l.before.length);
  const followers: number[][] = nodes.map(() => []);
  links.forEach((l, i) => {
    for (const j of l.before) followers[j]!.push(i);
  });
  const ready = new MinHeap();
  waiting.forEach((n, i) => {
    if (n === 0) ready.push(i);
  });
  const order: number[] = [];
  for (let i = ready.pop(); i !== undefined; i = ready.pop()) {
    order.push(i);
    for (const j of followers[i]!) if (--waiting[j]! === 0) ready.push(j);
  }
  if (order.length < nodes.length) throw cycleError(nodes, links, waiting);
  return order;
}

function cycleError(
  nodes: readonly NodeDef[],
  links: readonly Links[],
  waiting: readonly number[],
): VarscopeError {
  const seen: number[] = [];
  let i = waiting.findIndex((n) => n > 0);
  while (!seen.includes(i)) {
    seen.push(i);
    i = links[i]!.before.find((j) => waiting[j]! > 0)!;
  }
  const path = [...seen.slice(seen.indexOf(i)), i].reverse().map((j) => nodes[j]!.name);
  const shown = path.length > 12 ? [...path.slice(0, 6), "...", ...path.slice(-5)] : path;
  const stuck = waiting.filter((n) => n > 0).length;
  return new VarscopeError("INVALID_ARGUMENT", `${stuck} nodes in or behind a cycle: ${shown.join(" -> ")}`, {
    hint: "only NextIteration may lead back",
  });
}

/** Smallest number first. */
class MinHeap {
  private readonly items: number[] = [];

  push(value: number): void {
    const { items } = this;
    let i = items.push(value) - 1;
    for (let up = (i - 1) >> 1; i > 0 && items[up]! > value; up = (i - 1) >> 1) {
      items[i] = items[up]!;
      i = up;
    }
    items[i] = value;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let i = 0;
    for (let down = 1; down < items.length; down = 2 * i + 1) {
      if (down + 1 < items.length && items[down + 1]! < items[down]!) down++;
      if (items[down]! >= last) break;
      items[i] = items[down]!;
      i = down;
    }
    items[i] = last;
    return top;
  }
}
