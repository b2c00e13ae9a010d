/**
 * @file A graph while it is changed: its NodeDefs by name, to be replaced, added and dropped; and the graph that it was, which
 * knows dtypes, shapes and constants. Start at `draftOf`.
 */

import { create } from "@bufbuild/protobuf";
import type { DType, Tensor } from "../../base/index.ts";
import { fromGraphDef, toGraphDef, writeAttr } from "../../formats/graph-def/index.ts";
import type { Graph } from "../../graph/index.ts";
import {
  type AttrValue,
  AttrValueSchema,
  type GraphDef,
  GraphDefSchema,
  type NodeDef,
  NodeDefSchema,
} from "../../proto/graph.gen.ts";

export interface Draft {
  /** the graph as it was */
  readonly graph: Graph;
  readonly def: GraphDef;
  /** by name, in the order of the file; a NodeDef is replaced, never changed: the graph may hold it, too */
  readonly nodes: Map<string, NodeDef>;
}

/** What a node is made of. */
export interface NodeParts {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly device?: string;
  readonly attr?: Readonly<Record<string, AttrValue>>;
}

/** A draft of a graph. */
export function draftOf(graph: Graph): Draft {
  const def = toGraphDef(graph);
  return { graph, def, nodes: new Map(def.node.map((node) => [node.name, node])) };
}

/** The graph of a draft. @throws VarscopeError as `fromGraphDef`: nodes that do not fit together */
export function graphOf({ graph, def, nodes }: Draft): Graph {
  const node = [...nodes.values()].map((n) => withoutLostColocations(withoutOldShapes(n, graph), nodes));
  return fromGraphDef(create(GraphDefSchema, { ...def, node }), { registry: graph.registry });
}

export const makeNode = ({ name, op, input = [], device = "", attr = {} }: NodeParts): NodeDef =>
  create(NodeDefSchema, { name, op, input: [...input], device, attr: { ...attr } });

/** A Const node. */
export const constNode = (name: string, value: Tensor, device = ""): NodeDef =>
  makeNode({
    name,
    op: "Const",
    device,
    attr: { dtype: typeAttr(value.dtype), value: writeAttr(value, "tensor") },
  });

export const typeAttr = (dtype: DType): AttrValue => writeAttr(dtype, "type");

/** Replaces parts of a node. */
export function changeNode(draft: Draft, name: string, parts: Partial<NodeParts>): void {
  const { op, input, device, attr } = draft.nodes.get(name)!;
  draft.nodes.set(name, makeNode({ name, op, input, device, attr, ...parts }));
}

/** The node that an input is of. */
export const nodeOf = (input: string): string => input.replace(/^\^/, "").replace(/:\d+$/, "");

/** A data input as GraphDefs spell it: without `:0`. */
export const edge = (x: { readonly op: { readonly name: string }; readonly index: number }): string =>
  x.index === 0 ? x.op.name : `${x.op.name}:${x.index}`;

type Inputs = Pick<NodeDef, "input">;

/** Data inputs of a node. */
export const dataInputs = (node: Inputs): string[] => node.input.filter((x) => !x.startsWith("^"));

/** Names of its control inputs. */
export const controlInputs = (node: Inputs): string[] =>
  node.input.filter((x) => x.startsWith("^")).map((x) => x.slice(1));

/** Inputs with the control inputs last, each once, without those that data inputs imply. */
export function joinInputs(data: readonly string[], control: Iterable<string>): string[] {
  const implied = new Set(data.map(nodeOf));
  const extra = [...new Set(control)].filter((name) => !implied.has(name)).sort();
  return [...data, ...extra.map((name) => `^${name}`)];
}

/** Points inputs elsewhere, all over the draft: `to` of a data input (`x`, `x:1`), or of a node where it is a control input (null drops it). */
export function rewire(
  draft: Draft,
  data: ReadonlyMap<string, string>,
  control: ReadonlyMap<string, string | null> = new Map(),
): void {
  if (data.size === 0 && control.size === 0) return;
  for (const node of draft.nodes.values()) {
    const isTouched = node.input.some((x) =>
      x.startsWith("^") ? control.has(x.slice(1)) : data.has(plain(x)),
    );
    if (!isTouched) continue;
    const inputs = dataInputs(node).map((x) => follow(data, plain(x)));
    const after = controlInputs(node).flatMap((x) => {
      const to = follow(control, x);
      return to === null ? [] : [to];
    });
    changeNode(draft, node.name, { input: joinInputs(inputs, after) });
  }
}

const plain = (input: string): string => input.replace(/:0$/, "");

function follow<T extends string | null>(map: ReadonlyMap<string, T>, from: string): T | string {
  let at: T | string = from;
  for (let hops = 0; hops <= map.size && at !== null && map.has(at); hops++) at = map.get(at)!;
  return at === undefined ? from : at;
}

/** A name that no node has. */
export function freshName(draft: Draft, name: string): string {
  let found = name;
  for (let i = 1; draft.nodes.has(found); i++) found = `${name}_${i}`;
  return found;
}

/** Names of the nodes that `ends` need, themselves included. */
export function needed(nodes: ReadonlyMap<string, NodeDef>, ends: Iterable<string>): Set<string> {
  const found = new Set<string>();
  const stack = [...ends];
  while (stack.length > 0) {
    const name = stack.pop()!;
    if (found.has(name)) continue;
    found.add(name);
    for (const input of nodes.get(name)?.input ?? []) stack.push(nodeOf(input));
  }
  return found;
}

/** Drops what was needed for `ends` before a change and is not any more. */
export function dropUnneeded(draft: Draft, before: ReadonlySet<string>, ends: Iterable<string>): string[] {
  const after = needed(draft.nodes, ends);
  const lost = [...draft.nodes.keys()].filter((name) => before.has(name) && !after.has(name));
  const kept = new Set([...draft.nodes.keys()].filter((name) => !before.has(name)));
  // what never was for `ends` may use it all the same
  const others = kept.size === 0 ? kept : needed(draft.nodes, kept);
  const gone = lost.filter((name) => !others.has(name));
  for (const name of gone) draft.nodes.delete(name);
  return gone;
}

/** Shapes that a MetaGraph notes hold no longer where a handle became a value; TensorFlow refuses them then, and infers them otherwise. */
function withoutOldShapes(node: NodeDef, { registry }: Graph): NodeDef {
  const { _output_shapes: noted, ...attr } = node.attr;
  return noted === undefined || !registry.has(node.op) ? node : makeNode({ ...node, attr });
}

/** Colocations with nodes that are gone would be errors in TensorFlow. */
function withoutLostColocations(node: NodeDef, nodes: ReadonlyMap<string, NodeDef>): NodeDef {
  const list = node.attr._class?.value;
  if (list?.case !== "list") return node;
  const s = list.value.s.filter((bytes) => {
    const text = new TextDecoder().decode(bytes);
    return !text.startsWith("loc:@") || nodes.has(text.slice(5));
  });
  if (s.length === list.value.s.length) return node;
  const { _class, ...attr } = node.attr;
  if (s.length > 0)
    attr._class = create(AttrValueSchema, { value: { case: "list", value: { ...list.value, s } } });
  return makeNode({ ...node, attr });
}
