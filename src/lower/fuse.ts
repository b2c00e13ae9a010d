/**
 * @file What can be one node: a bias, a residual sum and an activation go into the blocked convolution before them. Also drops nodes that
 * nothing uses. Start at `optimize`.
 */

import type { Tensor } from "../base/index.ts";
import { NCHWC, type RawNode } from "./emitter.ts";

/** Nodes that the outputs need, in order. */
export function reachable(nodes: readonly RawNode[], outputs: readonly string[]): RawNode[] {
  const wanted = new Set(outputs);
  const kept: RawNode[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((o) => wanted.has(o))) continue;
    for (const input of node.inputs) wanted.add(input);
    kept.push(node);
  }
  return kept.reverse();
}

const isConv = (node: RawNode | undefined): node is RawNode =>
  node !== undefined && node.domain === NCHWC && node.type === "Conv" && node.attrs.activation === undefined;

/**
 * @param images - outputs of Adds whose inputs are blocked images of one shape
 * @param constants - by name, to tell a bias (weights of ones) from a scaling
 */
export function optimize(
  nodes: readonly RawNode[],
  outputs: readonly string[],
  images: ReadonlySet<string>,
  constants: ReadonlyMap<string, Tensor>,
): RawNode[] {
  const live = reachable(nodes, outputs).map((n) => ({
    ...n,
    inputs: [...n.inputs],
    outputs: [...n.outputs],
    attrs: { ...n.attrs },
  }));
  const uses = new Map<string, number>();
  const count = (id: string): void => void uses.set(id, (uses.get(id) ?? 0) + 1);
  for (const node of live) node.inputs.forEach(count);
  outputs.forEach(count);
  const producer = new Map<string, RawNode>();
  const gone = new Set<RawNode>();
  const only = (id: string): RawNode | undefined => (uses.get(id) === 1 ? producer.get(id) : undefined);

  for (const node of live) {
    fuseBias(node, only, constants, gone);
    fuseSum(node, only, images, gone);
    fuseRelu(node, only, gone);
    for (const o of node.outputs) producer.set(o, node);
  }
  return live.filter((n) => !gone.has(n));
}

type Only = (id: string) => RawNode | undefined;

/** The node takes over what `from` computes; `from` goes. */
function become(node: RawNode, from: RawNode, inputs: string[], gone: Set<RawNode>): void {
  node.type = from.type;
  (node as { domain: string }).domain = from.domain;
  node.inputs = inputs;
  node.attrs = { ...from.attrs };
  gone.add(from);
}

function fuseBias(
  node: RawNode,
  only: Only,
  constants: ReadonlyMap<string, Tensor>,
  gone: Set<RawNode>,
): void {
  if (!isConv(node) || node.inputs.length !== 3) return;
  const weights = constants.get(node.inputs[1]!);
  if (
    weights === undefined ||
    (weights.data as Float32Array).some((w) => w !== 1) ||
    weights.shape[2] !== 1 ||
    weights.shape[3] !== 1
  )
    return;
  const before = only(node.inputs[0]!);
  if (!isConv(before) || before.inputs.length !== 2) return;
  become(node, before, [...before.inputs, node.inputs[2]!], gone);
}

function fuseSum(node: RawNode, only: Only, images: ReadonlySet<string>, gone: Set<RawNode>): void {
  if (node.type !== "Add" || node.domain !== "" || !images.has(node.outputs[0]!)) return;
  const [a, b] = node.inputs as [string, string];
  for (const [mine, other] of [
    [b, a],
    [a, b],
  ] as const) {
    const conv = only(mine);
    if (!isConv(conv) || conv.inputs.length > 3 || mine === other) continue;
    become(node, conv, [conv.inputs[0]!, conv.inputs[1]!, conv.inputs[2] ?? "", other], gone);
    return;
  }
}

function fuseRelu(node: RawNode, only: Only, gone: Set<RawNode>): void {
  if (node.type !== "Relu") return;
  const conv = only(node.inputs[0]!);
  if (!isConv(conv)) return;
  become(node, conv, conv.inputs, gone);
  node.attrs.activation = "Relu";
}
