/**
 * @file Where an operation or a graph was read from: the messages themselves, so that what nobody changed is
 * written as it was read, unknown fields, map order and absent defaults included.
 */

import type { Attrs, Graph, Operation } from "../../graph/index.ts";
import type { GraphDef, NodeDef } from "../../proto/graph.gen.ts";

/** The node that an operation was read from, and what it was read as. */
export interface NodeOrigin {
  readonly node: NodeDef;
  /** place in its GraphDef; TensorFlow's importer puts nodes behind their inputs, files need not */
  readonly position: number;
  readonly attrs: Attrs;
  readonly device: string;
  /** how often its inputs had changed then */
  readonly wiring: number;
}

const graphs = new WeakMap<Graph, GraphDef>();

export const originOf = (op: Operation): NodeOrigin | undefined =>
  (op.origin ?? undefined) as NodeOrigin | undefined;

export function setOrigin(op: Operation, node: NodeDef, position: number): void {
  const { attrs, device, wiring } = op;
  op.origin = { node, position, attrs, device, wiring } satisfies NodeOrigin;
}

/** The GraphDef that a graph was read from (without its nodes). */
export const graphOriginOf = (graph: Graph): GraphDef | undefined => graphs.get(graph);
export const setGraphOrigin = (graph: Graph, def: GraphDef): void => void graphs.set(graph, def);

/** Inputs as NodeDef spells them: data inputs in order, then control inputs by name. */
export function inputNames(op: Operation): string[] {
  const data = op.inputs.map((x) => (x.index === 0 ? x.op.name : x.name));
  const control = op.controlInputs.map((x) => `^${x.name}`);
  return [...data, ...control.sort()];
}
