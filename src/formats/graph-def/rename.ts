/**
 * @file Nodes of a GraphDef under other names, with inputs from elsewhere: what an import into a graph with nodes needs. Start at `Renaming`.
 *
 * @see TensorFlow core/common_runtime/graph_constructor.cc "AddPrefixToNodeDef", "UniquifyNames", "RemapNodeDefInputs"
 */

import { VarscopeError } from "../../base/index.ts";
import { type Graph, type Operation, Output } from "../../graph/index.ts";
import type { AttrValue, NodeDef } from "../../proto/graph.gen.ts";
import { checkNames } from "./read.ts";

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();

/** New names for the nodes of one GraphDef. */
export class Renaming {
  private readonly given: readonly NodeDef[];
  private readonly names: ReadonlyMap<string, string>;
  /** by `node:index`, and `^node` */
  private readonly mapped: ReadonlyMap<string, Output | Operation>;
  private readonly used = new Set<string>();
  /** all is as it was */
  private readonly isPlain: boolean;

  /**
   * @param prefix - without a slash; "" is none
   * @param inputMap - by `x`, `x:0` or `^x`
   * @throws VarscopeError INVALID_ARGUMENT - names that are illegal, double, or not there
   */
  constructor(
    graph: Graph,
    nodes: readonly NodeDef[],
    prefix: string,
    inputMap: ReadonlyMap<string, Output | Operation>,
  ) {
    checkNames(nodes);
    this.given = nodes;
    this.names = newNames(graph, nodes, prefix);
    this.isPlain = prefix === "" && inputMap.size === 0 && graph.operations.length === 0;
    this.mapped = new Map([...inputMap].map(([key, x]) => [canonical(key), checkMapped(graph, key, x)]));
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  /** The new name of a node that is there. */
  nameOf(name: string): string {
    return this.names.get(name)!;
  }

  /** What takes the place of an output. */
  mappedTo(node: string, index: number): Output | undefined {
    this.used.add(`${node}:${index}`);
    return this.mapped.get(`${node}:${index}`) as Output | undefined;
  }

  /** The nodes under their new names. @throws VarscopeError INVALID_ARGUMENT - the input map names what is neither a node nor an input */
  nodes(): NodeDef[] {
    if (this.isPlain)
      return this.given.map((node) => (node.attr._class === undefined ? node : this.renamed(node)));
    const nodes = this.given.map((node) => this.renamed(node));
    this.checkUsed((key) => !this.names.has(nodeOf(key)));
    return nodes;
  }

  private renamed(node: NodeDef): NodeDef {
    const input = node.input.map((text) => this.input(node, text));
    return { ...node, name: this.nameOf(node.name), input, attr: this.colocated(node) };
  }

  /** @throws VarscopeError INVALID_ARGUMENT - the input map names outputs that the nodes turned out not to have */
  checkOutputs(graph: Graph): void {
    this.checkUsed((key) => {
      if (key.startsWith("^")) return false;
      const op = graph.operation(this.nameOf(nodeOf(key)));
      return op.def !== undefined && Number(key.slice(key.lastIndexOf(":") + 1)) >= op.outputs.length;
    });
  }

  private checkUsed(isLost: (key: string) => boolean): void {
    const lost = [...this.mapped.keys()].filter((key) => !this.used.has(key) && isLost(key));
    if (lost.length === 0) return;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Attempted to map inputs that were not found in graph_def: [${lost.sort().join(", ")}]`,
    );
  }

  private input(node: NodeDef, text: string): string {
    const [, mark, name = "", index] = /^(\^?)(.*?)(?::(\d+))?$/s.exec(text)!;
    const key = mark === "^" ? text : `${name}:${index ?? 0}`;
    const other = this.mapped.get(key);
    if (other !== undefined) {
      this.used.add(key);
      return `${mark}${other.name}`;
    }
    if (this.names.has(name)) return `${mark}${this.nameOf(name)}${index === undefined ? "" : `:${index}`}`;
    throw new VarscopeError("INVALID_ARGUMENT", `Node '${node.name}': Unknown input node '${text}'`);
  }

  private colocated({ name, attr }: NodeDef): NodeDef["attr"] {
    const classes = attr._class;
    if (classes?.value.case !== "list") return attr;
    const s = classes.value.value.s.map((bytes) => {
      const text = DECODER.decode(bytes);
      if (!text.startsWith("loc:@")) return bytes;
      const target = text.slice("loc:@".length);
      if (this.names.has(target)) return ENCODER.encode(`loc:@${this.nameOf(target)}`);
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Node '${name}' expects to be colocated with unknown node '${target}'`,
      );
    });
    const value = { ...classes.value.value, s };
    return { ...attr, _class: { ...classes, value: { case: "list", value } } satisfies AttrValue };
  }
}

const nodeOf = (key: string): string => key.replace(/^\^/, "").replace(/:\d+$/, "");

function canonical(key: string): string {
  if (key.startsWith("^") || /:\d+$/.test(key)) return key;
  if (!key.includes(":")) return `${key}:0`;
  throw new VarscopeError("INVALID_ARGUMENT", `Cannot convert '${key}' to a tensor name.`, {
    hint: "write x, x:0 or ^x",
  });
}

function checkMapped(graph: Graph, key: string, x: Output | Operation): Output | Operation {
  const isControl = key.startsWith("^");
  const node = isControl && x instanceof Output ? x.op : x;
  if (isControl === node instanceof Output) {
    throw new VarscopeError("INVALID_ARGUMENT", `the input map gives an op for the tensor ${key}`, {
      hint: "give one of its outputs",
    });
  }
  if (node.graph === graph) return node;
  throw new VarscopeError("INVALID_ARGUMENT", `Tensor ${node.name} is not an element of this graph.`, {
    at: key,
  });
}

/** New names: with the prefix, and a number where the graph has an op or a scope of that name. */
function newNames(graph: Graph, nodes: readonly NodeDef[], prefix: string): Map<string, string> {
  const prefixed = (name: string): string => (prefix === "" ? name : `${prefix}/${name}`);
  const taken = namesAndScopes(graph.operations.map((op) => op.name));
  const names = new Map(nodes.map(({ name }) => [name, prefixed(name)]));
  if (taken.size === 0) return names;
  const coming = namesAndScopes(names.values());
  for (const [name, wanted] of names) {
    let free = wanted;
    for (let i = 1; taken.has(free) || (free !== wanted && coming.has(free)); i++) free = `${wanted}_${i}`;
    names.set(name, free);
  }
  return names;
}

/** `a/b/c`, `a/b` and `a`. */
function namesAndScopes(names: Iterable<string>): Set<string> {
  const all = new Set<string>();
  for (const name of names) {
    for (let at = name.length; at > 0; at = name.lastIndexOf("/", at - 1)) {
      const part = name.slice(0, at);
      if (all.has(part)) break;
      all.add(part);
    }
  }
  return all;
}
