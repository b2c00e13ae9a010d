/**
 * @file Repair of frozen graphs that TensorFlow itself refuses: assignments and conditionals on what was a variable and is a constant
 * (`float_ref`), attributes that are missing or unknown. Works on the message, since there is no graph yet. Start at `repairGraphDef`.
 *
 * The sentences that users know: "Input 0 of node bn/AssignMovingAvg was passed float from bn/moving_mean:0 incompatible with expected
 * float_ref." (tensorflow#3628), "NodeDef mentions attr 'exponential_avg_factor' not in Op" (tensorflow#41391).
 */

import { create } from "@bufbuild/protobuf";
import { DTYPES, dtypeFromCode, scalar } from "../../base/index.ts";
import { type ArgType, argType, type OpDef, type Registry } from "../../graph/index.ts";
import { type AttrValue, type GraphDef, GraphDefSchema, type NodeDef } from "../../proto/graph.gen.ts";
import { constNode, controlInputs, dataInputs, joinInputs, makeNode, nodeOf, typeAttr } from "./draft.ts";
import type { Change, Left, PassReport } from "./pass.ts";

export interface Repaired {
  readonly def: GraphDef;
  readonly report: PassReport;
}

/** Ops on references, and what they are on values. */
export const ON_VALUES: Readonly<Record<string, string>> = {
  RefSwitch: "Switch",
  RefMerge: "Merge",
  RefEnter: "Enter",
  RefExit: "Exit",
  RefNextIteration: "NextIteration",
  RefIdentity: "Identity",
};

/** Repairs what can be repaired; what cannot is named. Without faults the message comes back as it is. */
export function repairGraphDef(def: GraphDef, registry: Registry): Repaired {
  const nodes = new Map(def.node.map((node) => [node.name, node]));
  const done: Change[] = [];
  const left: Left[] = [];
  const change = (node: NodeDef, what: string): void => {
    nodes.set(node.name, node);
    done.push({ at: node.name, what });
  };
  for (const { name } of def.node) {
    fixEdges(nodes, nodes.get(name)!, change, left);
    const op = registry.get(nodes.get(name)!.op);
    if (op !== undefined) fixAttrs(nodes, nodes.get(name)!, op, registry, change, left);
  }
  const isReference = referencesIn(nodes, registry);
  for (const node of [...nodes.values()]) {
    const op = registry.get(node.op);
    if (op === undefined) continue;
    const at = firstMismatch(nodes, node, op, registry, isReference);
    if (at === null) continue;
    const value = onValues(node, at, nodes, registry);
    if (typeof value === "string") left.push({ at: node.name, why: value });
    else change(value, `${node.op} on a constant is ${value.op}`);
  }
  const report = { pass: "repair", done, left };
  if (done.length === 0) return { def, report };
  return { def: create(GraphDefSchema, { ...def, node: [...nodes.values()] }), report };
}

type ChangeNode = (node: NodeDef, what: string) => void;

/** Control edges from nodes that are not there order nothing. */
function fixEdges(
  nodes: ReadonlyMap<string, NodeDef>,
  node: NodeDef,
  change: ChangeNode,
  left: Left[],
): void {
  const lost = dataInputs(node).find((x) => !nodes.has(nodeOf(x)));
  if (lost !== undefined) left.push({ at: node.name, why: `its input '${lost}' is not in the graph` });
  const waits = controlInputs(node);
  const alive = waits.filter((x) => nodes.has(x));
  if (alive.length === waits.length) return;
  const input = [...dataInputs(node), ...alive.map((x) => `^${x}`)];
  change(makeNode({ ...node, input }), "control edges from nodes that are not there dropped");
}

/** Attributes that the op does not have go; those that it lacks follow from its inputs. */
function fixAttrs(
  nodes: ReadonlyMap<string, NodeDef>,
  node: NodeDef,
  op: OpDef,
  registry: Registry,
  change: ChangeNode,
  left: Left[],
): void {
  const attr: Record<string, AttrValue> = { ...node.attr };
  const unknown = Object.keys(attr).filter((key) => !(key in op.attrs) && !key.startsWith("_"));
  for (const key of unknown) delete attr[key];
  const missing = Object.keys(op.attrs).filter(
    (key) => !(key in attr) && op.attrs[key]!.default === undefined,
  );
  const found: string[] = [];
  for (const key of missing) {
    const value = op.attrs[key]!.kind === "type" ? typeOfInput(nodes, node, op, key, registry) : undefined;
    if (value === undefined)
      left.push({ at: node.name, why: `attr '${key}' is missing, and does not follow from its inputs` });
    else {
      attr[key] = value;
      found.push(key);
    }
  }
  const what = [
    unknown.length > 0 ? `attr ${unknown.join(", ")} dropped: ${node.op} has none` : "",
    found.length > 0 ? `attr ${found.join(", ")} from its inputs` : "",
  ].filter((x) => x !== "");
  if (what.length > 0) change(makeNode({ ...node, attr }), what.join("; "));
}

const argsOf = (specs: Readonly<Record<string, string>>): ArgType[] =>
  Object.entries(specs).map(([name, text]) => argType(name, text));

/** The dtype that an input's node gives, where the input's type is this attribute. */
function typeOfInput(
  nodes: ReadonlyMap<string, NodeDef>,
  node: NodeDef,
  op: OpDef,
  key: string,
  registry: Registry,
): AttrValue | undefined {
  const index = argsOf(op.inputs).findIndex(
    (arg) => arg.type === key && arg.count === null && arg.list === null,
  );
  const input = dataInputs(node)[index];
  return input === undefined ? undefined : outputType(nodes, input, registry);
}

/** Type of an output, as its node says it. */
function outputType(
  nodes: ReadonlyMap<string, NodeDef>,
  input: string,
  registry: Registry,
): AttrValue | undefined {
  const source = nodes.get(nodeOf(input));
  const op = source === undefined ? undefined : registry.get(source.op);
  if (op === undefined) return undefined;
  const args = argsOf(op.outputs);
  const arg = args.length === 1 ? args[0]! : args[Number(/:(\d+)$/.exec(input)?.[1] ?? 0)];
  if (arg === undefined || arg.list !== null) return undefined;
  return arg.type in DTYPES ? typeAttr(arg.type as never) : source!.attr[arg.type];
}

/** Whether an output is a reference to a variable: one's own, or handed on. */
function referencesIn(nodes: ReadonlyMap<string, NodeDef>, registry: Registry): (input: string) => boolean {
  const known = new Map<string, boolean>();
  return (input) => {
    const path = new Set<string>();
    let name = nodeOf(input);
    let result = false;
    for (;;) {
      const before = known.get(name);
      if (before !== undefined || path.has(name)) {
        result = before ?? false;
        break;
      }
      path.add(name);
      const node = nodes.get(name);
      const op = node === undefined ? undefined : registry.get(node.op);
      if (op === undefined || !argsOf(op.outputs).some((arg) => arg.ref)) break;
      const index = argsOf(op.inputs).findIndex((arg) => arg.ref);
      const source = index < 0 ? undefined : dataInputs(node!)[index];
      if (source === undefined) {
        result = true; // a variable
        break;
      }
      name = nodeOf(source);
    }
    for (const p of path) known.set(p, result);
    return result;
  };
}

/** Index of the first input that wants a variable and gets a value; null where all fit. */
function firstMismatch(
  nodes: ReadonlyMap<string, NodeDef>,
  node: NodeDef,
  op: OpDef,
  registry: Registry,
  isReference: (input: string) => boolean,
): number | null {
  const inputs = dataInputs(node);
  const args = argsOf(op.inputs);
  const index = args.findIndex((arg, i) => {
    const input = inputs[i];
    if (input === undefined) return false;
    if (arg.ref) return !isReference(input);
    if (arg.type !== "resource") return false;
    const type = outputType(nodes, input, registry)?.value;
    return type?.case === "type" && type.value !== DTYPES.resource.code;
  });
  return index < 0 ? null : index;
}

/** The node with a value where it had a variable; or why there is none. */
function onValues(
  node: NodeDef,
  at: number,
  nodes: ReadonlyMap<string, NodeDef>,
  registry: Registry,
): NodeDef | string {
  const { name, device, op } = node;
  const data = dataInputs(node);
  const control = controlInputs(node);
  const like = { name, device };
  const T = node.attr.T ?? node.attr.dtype ?? outputType(nodes, data[at]!, registry);
  const typed = T === undefined ? {} : { T };
  if (op in ON_VALUES) return makeNode({ ...node, op: ON_VALUES[op]! });
  switch (op) {
    case "AssignSub":
      return makeNode({ ...like, op: "Sub", input: node.input, attr: typed });
    case "AssignAdd":
      return makeNode({ ...like, op: "Add", input: node.input, attr: typed });
    case "Assign":
      return makeNode({
        ...like,
        op: "Identity",
        input: joinInputs([data[1]!], [...control, nodeOf(data[0]!)]),
        attr: typed,
      });
    case "ReadVariableOp":
      return makeNode({ ...like, op: "Identity", input: node.input, attr: typed });
    case "IsVariableInitialized":
    case "VarIsInitializedOp": {
      const made = constNode(name, scalar(true, "bool"), device);
      return makeNode({ ...made, input: [nodeOf(data[0]!), ...control].map((x) => `^${x}`) });
    }
    case "AssignVariableOp":
    case "AssignSubVariableOp":
    case "AssignAddVariableOp":
      return makeNode({ ...like, op: "NoOp", input: joinInputs([], [...data.map(nodeOf), ...control]) });
    case "ResourceGather":
      return `ResourceGather reads a constant (${dtypeName(T)}); freeze again from the graph with its variables`;
    default:
      return `${op} changes a variable, and '${data[at]}' is a constant; freeze outputs that do not need it`;
  }
}

const dtypeName = (type: AttrValue | undefined): string =>
  type?.value.case === "type" ? dtypeFromCode(type.value.value) : "of unknown dtype";
