/**
 * @file One NodeDef to one Operation: its inputs found and checked against the OpDef, its attributes read,
 * its shapes inferred. Start at `makeOperation`.
 */

import {
  type DType,
  dtypeCppName,
  isCompatible,
  isDType,
  mergeShapes,
  VarscopeError,
} from "../../base/index.ts";
import { checkAttr } from "../../graph/attr.ts";
import {
  type ArgSpecs,
  type ArgType,
  type Attrs,
  type AttrValue,
  argCount,
  argTypes,
  type Graph,
  inferOutputs,
  makeOutputs,
  type OpDef,
  type Operation,
  type Output,
  type ShapeValue,
} from "../../graph/index.ts";
import type { NodeDef } from "../../proto/graph.gen.ts";
import { readAttrs } from "./attr-value.ts";
import { setOrigin } from "./origin.ts";
import { type Budget, spendOn } from "./tensor-proto.ts";

/** Of one output in memory, about. */
const OUTPUT_BYTES = 100;

/** A data input as NodeDef spells it. */
interface InputName {
  readonly node: string;
  readonly index: number;
}

/** What a node hangs on. */
export interface Links {
  readonly data: readonly InputName[];
  readonly control: readonly string[];
  /** indices of the nodes of the same GraphDef that must come first, one for each input; not those that lead back into a loop */
  readonly before: readonly number[];
}

/**
 * Parses and finds the inputs of a node.
 *
 * @throws VarscopeError INVALID_ARGUMENT - unknown nodes, bad syntax
 */
export function linksOf(
  node: NodeDef,
  nodes: readonly NodeDef[],
  names: ReadonlyMap<string, number>,
  graph: Graph,
): Links {
  const data: InputName[] = [];
  const control: string[] = [];
  for (const text of node.input) {
    if (text.startsWith("^")) control.push(text.slice(1));
    else if (control.length > 0)
      fail(node, `Control dependencies must come after regular dependencies: '${text}'`);
    else data.push(names.has(text) ? { node: text, index: 0 } : parseInput(node, text));
  }
  const before: number[] = [];
  const waitFor = (name: string, mark: string): void => {
    const i = names.get(name);
    if (i === undefined && graph.findOperation(name) === undefined)
      fail(node, `Unknown input node '${mark}${name}'`);
    if (i !== undefined && !isBackEdge(nodes[i]!, node)) before.push(i);
  };
  for (const d of data) waitFor(d.node, "");
  for (const name of control) waitFor(name, "^");
  return { data, control, before };
}

/** Loops lead back from NextIteration to Merge: GraphDef knows no other way to say so. */
const isBackEdge = (from: NodeDef, to: NodeDef): boolean =>
  (from.op === "NextIteration" || from.op === "RefNextIteration") &&
  (to.op === "Merge" || to.op === "RefMerge");

function parseInput(node: NodeDef, text: string): InputName {
  const match = /^([A-Za-z0-9.][A-Za-z0-9_.\\/>-]*)(?::(\d{1,9}))?$/.exec(text);
  if (match === null) return fail(node, `input '${text}' is not of the form 'node', 'node:1' or '^node'`);
  return { node: match[1]!, index: Number(match[2] ?? 0) };
}

function fail(node: NodeDef, what: string): never {
  throw new VarscopeError("INVALID_ARGUMENT", `Node '${node.name}': ${what}`);
}

interface NodeImport {
  readonly graph: Graph;
  readonly node: NodeDef;
  readonly links: Links;
  readonly position: number;
  /** an operation that is there already */
  readonly find: (name: string) => Operation | undefined;
  readonly budget: Budget;
}

/**
 * The operation of a node.
 *
 * @returns `finish`, to be called when all nodes are there, where inputs lead back into a loop
 * @throws VarscopeError INVALID_ARGUMENT - naming the node
 */
export function makeOperation(n: NodeImport): { op: Operation; finish: (() => void) | null } {
  const { graph, node, links } = n;
  const def = graph.registry.get(node.op);
  const given = readAttrs(node.attr, node.name, n.budget, def === undefined);
  const op = graph.register(node.name, node.op, def === undefined ? given : completeAttrs(def, given, node));
  op.device = node.device;
  const complete = links.data.every((d) => n.find(d.node) !== undefined);
  if (def !== undefined) {
    spendOn(
      n.budget,
      countArgs(def.outputs, op.attrs) * OUTPUT_BYTES,
      "a node with that many outputs",
      node.name,
    );
    makeOutputs(op);
  }
  const wire = (): void => {
    for (const d of links.data) op.addInput(inputOf(node, d, n));
    if (def !== undefined) checkInputs(def, op, node);
  };
  if (complete) wire();
  op.addControlInputs(links.control.map((name) => n.find(name)!));
  if (complete && def !== undefined) inferOutputs(op);
  applyKnownShapes(op, node);
  if (complete) {
    setOrigin(op, node, n.position);
    return { op, finish: null };
  }
  return {
    op,
    finish: () => {
      wire();
      if (def !== undefined) inferOutputs(op);
      setOrigin(op, node, n.position);
    },
  };
}

function inputOf(node: NodeDef, { node: name, index }: InputName, { find, budget }: NodeImport): Output {
  const source = find(name)!;
  if (source.def !== undefined && index >= source.outputs.length) {
    fail(
      node,
      `Connecting to invalid output ${index} of source node ${name} which has ${source.outputs.length} outputs.`,
    );
  }
  const more = Math.max(0, index + 1 - source.outputs.length);
  spendOn(budget, more * OUTPUT_BYTES, `output ${index} of node ${name}`, node.name);
  return source.output(index);
}

/** Number of tensors of all arguments together. */
const countArgs = (args: ArgSpecs, attrs: Attrs): number =>
  argTypes(args).reduce((n, arg) => n + (argCount(arg, attrs) ?? 1), 0);

/** Attributes with the OpDef's defaults. Those that the OpDef does not know are kept and mean nothing, as in TensorFlow 2.21. */
function completeAttrs(def: OpDef, attrs: Record<string, AttrValue>, node: NodeDef): Attrs {
  for (const name in def.attrs) {
    const spec = def.attrs[name]!;
    const value = attrs[name];
    if (value !== undefined) checkAttr(name, value, spec, node.name);
    else if (spec.default !== undefined) attrs[name] = spec.default as AttrValue;
    else fail(node, `NodeDef missing attr '${name}' from Op<name=${def.type}>`);
  }
  return attrs;
}

function wantedType({ type, list }: ArgType, attrs: Attrs, index: number): DType {
  if (list !== null) return (attrs[list] as readonly DType[])[index]!;
  return isDType(type) ? type : (attrs[type] as DType);
}

function checkInputs(def: OpDef, op: Operation, node: NodeDef): void {
  const count = countArgs(def.inputs, op.attrs);
  if (count !== op.inputs.length) {
    const args = Object.entries(def.inputs).map(([name, text]) => `${name}: ${text}`);
    fail(
      node,
      `NodeDef expected ${count} inputs (${args.join(", ")}) do not match ${op.inputs.length} inputs specified; Op<name=${def.type}>`,
    );
  }
  let at = 0;
  for (const arg of argTypes(def.inputs)) {
    const n = argCount(arg, op.attrs) ?? 1;
    for (let i = 0; i < n; i++) checkInput(op, at++, wantedType(arg, op.attrs, i), arg.ref);
  }
}

function checkInput(op: Operation, at: number, dtype: DType, ref: boolean): void {
  const input = op.inputs[at]!;
  if (input.dtype === "invalid" || (input.dtype === dtype && (input.isRef || !ref))) return;
  const shown = (dtype: DType, ref: boolean): string => `${dtypeCppName(dtype)}${ref ? "_ref" : ""}`;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Input ${at} of node ${op.name} was passed ${shown(input.dtype, input.isRef)} from ${input.name} incompatible with expected ${shown(dtype, ref)}.`,
    { at: op.name },
  );
}

/** Shapes that the file states. Those that contradict inference are ignored, as TensorFlow does. */
function applyKnownShapes(op: Operation, node: NodeDef): void {
  const shapes = op.attrs._output_shapes;
  if (!Array.isArray(shapes)) return;
  if (op.def !== undefined && shapes.length !== op.outputs.length) {
    fail(
      node,
      `Node has ${op.outputs.length} outputs but the _output_shapes attribute specifies shapes for ${shapes.length} outputs`,
    );
  }
  const isShape = (x: unknown): boolean => typeof x === "object" && x !== null && "dims" in x;
  if (!shapes.every(isShape)) fail(node, "the _output_shapes attribute is no list of shapes");
  (shapes as readonly ShapeValue[]).forEach((shape, i) => {
    const output = op.output(i);
    if (isCompatible(output.shape, shape.dims)) output.shape = mergeShapes(output.shape, shape.dims);
  });
}
