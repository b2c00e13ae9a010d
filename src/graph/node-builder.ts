/**
 * @file How a node comes about: literals become constants, type attrs follow from inputs, defaults are filled in, name, device,
 * colocation and control inputs come from the open scopes, shapes are inferred. Start at `buildNode`.
 */

import {
  type DType,
  isDType,
  isVarscopeError,
  type Nested,
  naturalDType,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import { type Attrs, type AttrValue, checkAttr } from "./attr.ts";
import { isTensor, toTensor } from "./constant.ts";
import { applyDevices } from "./device.ts";
import type { Graph } from "./graph.ts";
import { densify, isIndexedSlices } from "./indexed-slices.ts";
import { type ArgType, argCount, argTypes, type OpDef } from "./op-def.ts";
import { type Input, type Operation, Output } from "./operation.ts";
import { inferOutputs } from "./spec.ts";

export interface NodeOptions {
  /** by default the op type; `name/` is taken exactly */
  readonly name?: string | undefined;
  /** what does not follow from the inputs */
  readonly attrs?: Readonly<Record<string, AttrValue | undefined>>;
  readonly controlInputs?: readonly Operation[];
  readonly device?: string;
}

/** Adds a node of `def` to the graph, as TensorFlow's Python op functions do. */
export function buildNode(
  graph: Graph,
  def: OpDef,
  given: readonly Input[],
  options: NodeOptions,
): Operation {
  const name = graph.namer.opName(options.name ?? def.type);
  const attrs: Record<string, AttrValue> = {};
  for (const [key, value] of Object.entries(options.attrs ?? {})) if (value !== undefined) attrs[key] = value;
  const args = argTypes(def.inputs);
  if (given.length !== args.length) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${def.type} takes ${args.length} inputs, ${given.length} given`,
      { at: name },
    );
  }
  const inputs = given.map((x, i) => withoutSlices(graph, x, `${name}/`, args[i]!.name));
  bindTypes(args, inputs, attrs, name);
  const converted = args.map((arg, i) => convert(graph, def, arg, inputs[i]!, attrs, name));
  const flat = converted.flat();
  fillDefaults(def, attrs, name);
  for (const x of flat) checkSameGraph(graph, x, flat[0]!, name);

  const op = graph.register(name, def.type, attrs);
  for (const x of flat) op.addInput(x);
  op.addControlInputs([...graph.pendingControlInputs(flat), ...(options.controlInputs ?? [])]);
  // as TensorFlow pairs them: argument i with flat input i, so that of a list only the first counts
  const refs = args.flatMap((arg, i) => (arg.ref && flat[i] !== undefined ? [flat[i]] : []));
  makeOutputs(op);
  inferOutputs(op);
  placeNode(graph, op, refs, options.device); // after inference: a device function may ask for sizes
  op.context = graph.context;
  graph.context?.addOp(op); // after inference: behind a Switch a constant input is none any more
  graph.noteCreated(op);
  return op;
}

/** An op takes IndexedSlices as the dense tensor that they stand for. */
function withoutSlices(graph: Graph, input: Input, scope: string, label: string): Input {
  if (isIndexedSlices(input)) return graph.nameScope(scope, () => densify(input, label));
  if (!Array.isArray(input) || !input.some(isIndexedSlices)) return input;
  return input.map((x, i) => withoutSlices(graph, x as Input, scope, `${label}_${i}`));
}

/** Type and number attrs that inputs which are outputs already decide. */
function bindTypes(
  args: readonly ArgType[],
  inputs: readonly Input[],
  attrs: Record<string, AttrValue>,
  at: string,
): void {
  args.forEach((arg, i) => {
    const input = inputs[i]!;
    const items = arg.count !== null || arg.list !== null ? (input as readonly Input[]) : [input];
    if (!Array.isArray(items))
      throw new VarscopeError("INVALID_ARGUMENT", `input '${arg.name}' must be a list`, { at });
    if (arg.count !== null) attrs[arg.count] = items.length;
    if (arg.list !== null) {
      attrs[arg.list] ??= items.map((x) => (x instanceof Output ? x.dtype : naturalOf(x)));
      return;
    }
    if (isDType(arg.type) || attrs[arg.type] !== undefined) return;
    const known = items.find((x) => x instanceof Output || isTensor(x)) as Output | Tensor | undefined;
    if (known !== undefined) attrs[arg.type] = known.dtype;
  });
}

const naturalOf = (x: Input): DType => (isTensor(x) ? x.dtype : naturalDType(x));

function convert(
  graph: Graph,
  def: OpDef,
  arg: ArgType,
  input: Input,
  attrs: Record<string, AttrValue>,
  at: string,
): Output[] {
  const isList = arg.count !== null || arg.list !== null;
  const items = isList ? (input as readonly Input[]) : [input];
  return items.map((item, i) => {
    const want = wantedType(def, arg, attrs, item, i);
    const label = isList ? `${arg.name}_${i}` : arg.name;
    const output = item instanceof Output ? item : literal(graph, item, want, `${at}/${label}`, at, arg);
    checkInput(output, want, arg, def, at);
    return output;
  });
}

function wantedType(
  def: OpDef,
  arg: ArgType,
  attrs: Record<string, AttrValue>,
  item: Input,
  index: number,
): DType {
  if (arg.list !== null) return (attrs[arg.list] as readonly DType[])[index]!;
  if (isDType(arg.type)) return arg.type;
  const spec = def.attrs[arg.type]!;
  attrs[arg.type] ??= (spec.default as DType | undefined) ?? naturalOf(item);
  return attrs[arg.type] as DType;
}

function literal(graph: Graph, item: Input, dtype: DType, name: string, at: string, arg: ArgType): Output {
  if (arg.ref) throw new VarscopeError("INVALID_ARGUMENT", `input '${arg.name}' must be a variable`, { at });
  try {
    const value = toTensor(item as Tensor | Nested, dtype);
    const make = (): Output =>
      graph.add("Const", [], { name: `${name}/`, attrs: { dtype: value.dtype, value } });
    return graph.context === null ? make() : graph.nameScope(`${at}/`, make); // what a loop adds stands beside it
  } catch (e) {
    if (!isVarscopeError(e) || e.at !== undefined) throw e;
    throw new VarscopeError(e.code, `input '${arg.name}': ${e.what}`, { at, cause: e });
  }
}

function checkInput(x: Output, want: DType, arg: ArgType, def: OpDef, at: string): void {
  if (x.dtype !== want && x.dtype !== "invalid") {
    const why = isDType(arg.type)
      ? `expected type of ${want}`
      : `type ${x.dtype} does not match type ${want} of the op's other arguments (attr '${arg.type}')`;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Input '${arg.name}' of '${def.type}' Op has type ${x.dtype}: ${why}`,
      { at },
    );
  }
  if (arg.ref && !x.isRef) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Input '${arg.name}' of '${def.type}' Op requires l-value input`,
      { at },
    );
  }
}

function checkSameGraph(graph: Graph, x: Output, first: Output, at: string): void {
  if (x.graph === graph) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Tensor ${x.name} must be from the same graph as Tensor ${first.name}`,
    { at },
  );
}

function fillDefaults(def: OpDef, attrs: Record<string, AttrValue>, at: string): void {
  for (const [key, spec] of Object.entries(def.attrs)) {
    const value = attrs[key] ?? (spec.default as AttrValue | undefined);
    if (value === undefined)
      throw new VarscopeError("INVALID_ARGUMENT", `attr '${key}' of '${def.type}' is missing`, { at });
    attrs[key] = value;
    checkAttr(key, value, spec, at);
  }
  const unknown = Object.keys(attrs).find((key) => !(key in def.attrs) && !key.startsWith("_"));
  if (unknown !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `'${def.type}' has no attr '${unknown}'`, { at });
  }
}

/** Device and colocation: of the open scopes, and of the variables that the op takes by reference. */
function placeNode(graph: Graph, op: Operation, refs: readonly Output[], device: string | undefined): void {
  applyDevices(op, device === undefined ? graph.devices : [...graph.devices, device]);
  for (const [key, value] of Object.entries(graph.scopeAttrs)) {
    if (op.attrs[key] === undefined) op.setAttr(key, value);
  }
  colocate(op, [...graph.colocations, ...refs.map((x) => x.op)]);
}

/** What an op says of its place: `loc:@w`. In a file it may be anything. */
export const colocationsOf = ({ attrs }: Operation): string[] => {
  const classes: readonly unknown[] = Array.isArray(attrs._class) ? attrs._class : [];
  return classes.filter((c): c is string => typeof c === "string" && c.startsWith("loc:@"));
};

/** Puts an op beside others: attr `_class`, and the device of the last that has one. */
export function colocate(op: Operation, targets: readonly (Operation | null)[]): void {
  const classes = new Set<string>();
  for (const target of targets) {
    if (target === null) continue;
    const inherited = colocationsOf(target);
    for (const c of inherited.length > 0 ? inherited : [`loc:@${target.name}`]) classes.add(c);
    if (target.device !== "") op.device = target.device;
  }
  if (classes.size > 0) op.setAttr("_class", [...classes].sort());
}

/** Makes the outputs of an op from its definition and attributes. */
export function makeOutputs(op: Operation): void {
  const def = op.needDef();
  for (const arg of argTypes(def.outputs)) {
    const n = argCount(arg, op.attrs) ?? 1;
    for (let i = 0; i < n; i++) {
      const dtype = outputType(arg, op.attrs, i);
      op.outputs.push(new Output(op, op.outputs.length, dtype, arg.ref));
    }
  }
}

function outputType(arg: ArgType, attrs: Attrs, index: number): DType {
  if (arg.list !== null) return (attrs[arg.list] as readonly DType[])[index]!;
  return isDType(arg.type) ? arg.type : (attrs[arg.type] as DType);
}
