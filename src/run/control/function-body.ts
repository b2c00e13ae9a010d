/**
 * @file A function of a graph's library as a graph: its arguments are placeholders. Start at `functionBody`.
 *
 * @see TensorFlow core/framework/function.proto; core/framework/function.cc "InstantiateFunction"
 */

import { create } from "@bufbuild/protobuf";
import { type DType, VarscopeError } from "../../base/index.ts";
import { importNodes, readMessage, writeAttr } from "../../formats/graph-def/index.ts";
import { type Attrs, argType, Graph, type Operation, type Output } from "../../graph/index.ts";
import {
  type AttrValue,
  AttrValueSchema,
  type FunctionDef,
  FunctionDefSchema,
  GraphDefSchema,
  type NodeDef,
  NodeDefSchema,
  type OpDef_ArgDef,
} from "../../proto/graph.gen.ts";

/** What runs when a function is called, or one side of a loop. */
export interface Body {
  readonly graph: Graph;
  readonly args: readonly Output[];
  readonly results: readonly Output[];
  /** what must run besides, for its effects */
  readonly controls: readonly Operation[];
}

type ProtoAttrs = Readonly<Record<string, AttrValue>>;

const known = new WeakMap<Uint8Array, Map<string, Body>>();

/**
 * The function `name` of a library, its own attributes in the place of those that it leaves open.
 *
 * @param at - the node that calls it
 * @throws VarscopeError NOT_FOUND - the library has no such function; INVALID_ARGUMENT - it does not fit together
 */
export function functionBody(library: Graph, name: string, attrs: Attrs, at: string): Body {
  const bytes = library.functions.get(name);
  if (bytes === undefined) {
    throw new VarscopeError("NOT_FOUND", `Function ${name} is not defined.`, {
      at,
      hint: `the library holds ${library.functions.size} functions`,
    });
  }
  const bodies = known.get(bytes) ?? new Map<string, Body>();
  known.set(bytes, bodies);
  const key = JSON.stringify(attrs, (_, v) => (typeof v === "bigint" ? `${v}n` : v));
  const made = bodies.get(key) ?? instantiate(library, readFunction(library, name), attrs);
  bodies.set(key, made);
  return made;
}

const decoded = new WeakMap<Uint8Array, FunctionDef>();

function readFunction(library: Graph, name: string): FunctionDef {
  const bytes = library.functions.get(name)!;
  const def = decoded.get(bytes) ?? readMessage(FunctionDefSchema, bytes, `function ${name}`);
  decoded.set(bytes, def);
  return def;
}

function instantiate(library: Graph, def: FunctionDef, given: Attrs): Body {
  const attrs = attrsOf(def, given);
  for (const args of [def.signature?.inputArg, def.signature?.outputArg]) checkLength(args ?? [], attrs, def);
  const inputs = (def.signature?.inputArg ?? []).flatMap((arg, i) => argNodes(arg, attrs, def, i));
  const spell = speller(library, def, attrs);
  const nodes = def.nodeDef.map((node) =>
    create(NodeDefSchema, {
      name: node.name,
      op: node.op,
      device: node.device,
      input: node.input.map((text) => spell(text, node.name)),
      attr: Object.fromEntries(
        Object.entries(node.attr)
          .filter(([k]) => k !== "_output_shapes" || !hasOutputList(library, node.op))
          .map(([k, v]) => [k, filled(v, attrs)]),
      ),
    }),
  );
  const graph = new Graph(library.registry);
  importNodes(graph, create(GraphDefSchema, { node: [...inputs, ...nodes] }));
  const results = (def.signature?.outputArg ?? []).flatMap((arg) =>
    Array.from({ length: argLength(arg, attrs) ?? 1 }, (_, i) => {
      const text = def.ret[arg.name];
      if (text === undefined) throw broken(def, `output ${arg.name} has no value`);
      const whole = spell(argLength(arg, attrs) === null ? text : shifted(text, i), "ret");
      return outputOf(graph, whole);
    }),
  );
  const returned = Object.values(def.controlRet).map((name) => graph.operation(name));
  const effects = graph.operations.filter((op) => hasEffect(op));
  return {
    graph,
    args: inputs.map((node) => graph.operation(node.name).output(0)),
    results,
    controls: [...new Set([...returned, ...effects])],
  };
}

/** Whether the number of outputs follows from a list of types: TensorFlow's second gradients shorten that list, and leave the shapes noted. */
const hasOutputList = (library: Graph, op: string): boolean =>
  Object.values(library.registry.get(op)?.outputs ?? {}).some((type) => type.startsWith("["));

/** Whether an op must run although nothing asks for a result of it. */
const hasEffect = ({ def }: Operation): boolean =>
  def?.stateful === true && (Object.keys(def.outputs).length === 0 || def.control !== undefined);

function attrsOf(def: FunctionDef, given: Attrs): ProtoAttrs {
  const kinds = new Map((def.signature?.attr ?? []).map((a) => [a.name, a]));
  const out: Record<string, AttrValue> = {};
  for (const [name, { defaultValue }] of kinds) if (defaultValue !== undefined) out[name] = defaultValue;
  for (const [name, value] of Object.entries(given)) {
    const kind = kinds.get(name)?.type;
    if (kind !== undefined) out[name] = writeAttr(value, kind as never);
  }
  return out;
}

/** An attribute, taken from the call where the body leaves it open. */
function filled(value: AttrValue, attrs: ProtoAttrs): AttrValue {
  const { case: field } = value.value;
  if (field === "placeholder") return attrs[value.value.value] ?? value;
  return value;
}

const typeOf = (arg: OpDef_ArgDef, attrs: ProtoAttrs, i: number): number => {
  if (arg.typeListAttr !== "") {
    const list = attrs[arg.typeListAttr]?.value;
    return list?.case === "list" ? (list.value.type[i] ?? 0) : 0;
  }
  if (arg.typeAttr === "") return arg.type;
  const type = attrs[arg.typeAttr]?.value;
  return type?.case === "type" ? type.value : 0;
};

/** Number of tensors of a list argument, null for a single one. */
function argLength(arg: OpDef_ArgDef, attrs: ProtoAttrs): number | null {
  if (arg.typeListAttr !== "") {
    const list = attrs[arg.typeListAttr]?.value;
    return list?.case === "list" ? list.value.type.length : 0;
  }
  if (arg.numberAttr === "") return null;
  const count = attrs[arg.numberAttr]?.value;
  return count?.case === "i" ? Math.max(0, Number(count.value)) : 0;
}

/** Lists of tensors are as long as a number says. */
const MAX_TENSORS = 100_000;

function checkLength(args: readonly OpDef_ArgDef[], attrs: ProtoAttrs, def: FunctionDef): void {
  const count = args.reduce((n, arg) => n + (argLength(arg, attrs) ?? 1), 0);
  if (count <= MAX_TENSORS) return;
  throw new VarscopeError(
    "RESOURCE_EXHAUSTED",
    `a function of ${count} tensors; at most ${MAX_TENSORS} are possible`,
    { at: `function ${def.signature?.name ?? ""}` },
  );
}

function argNodes(arg: OpDef_ArgDef, attrs: ProtoAttrs, def: FunctionDef, index: number): NodeDef[] {
  const count = argLength(arg, attrs);
  const shapes = def.argAttr[index]?.attr._output_shapes?.value;
  const shape = shapes?.case === "list" && count === null ? shapes.value.shape[0] : undefined;
  return Array.from({ length: count ?? 1 }, (_, i) => {
    const attr = { dtype: attrValue({ case: "type", value: typeOf(arg, attrs, i) }) };
    const known = shape === undefined ? {} : { shape: attrValue({ case: "shape", value: shape }) };
    const name = count === null ? arg.name : `${arg.name}_${i}`;
    return create(NodeDefSchema, { name, op: "Placeholder", attr: { ...attr, ...known } });
  });
}

const attrValue = (value: AttrValue["value"]): AttrValue => create(AttrValueSchema, { value });

const shifted = (text: string, by: number): string => text.replace(/(\d+)?$/, (n) => String(Number(n) + by));

const broken = (def: FunctionDef, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at: `function ${def.signature?.name ?? ""}` });

/** From the way a function names its values (`arg`, `node:output:1`) to that of a graph (`node:2`). */
function speller(library: Graph, def: FunctionDef, attrs: ProtoAttrs): (text: string, at: string) => string {
  const nodes = new Map(def.nodeDef.map((n) => [n.name, n]));
  const args = new Map((def.signature?.inputArg ?? []).map((arg) => [arg.name, arg]));
  return (text, at) => {
    if (text.startsWith("^")) return text;
    const [name = "", output, index = "0"] = text.split(":");
    const arg = args.get(name);
    if (arg !== undefined) return argLength(arg, attrs) === null ? name : `${name}_${output ?? 0}`;
    const node = nodes.get(name);
    if (node === undefined) throw broken(def, `${at} takes '${text}', which the function does not have`);
    if (output === undefined || /^\d+$/.test(output)) return `${name}:${output ?? 0}`;
    return `${name}:${offsetOf(library, node, output, def) + Number(index)}`;
  };
}

/** Position of the first tensor of an output argument. */
function offsetOf(library: Graph, node: NodeDef, output: string, def: FunctionDef): number {
  let at = 0;
  const called = library.functions.has(node.op) ? readFunction(library, node.op) : null;
  if (called !== null) {
    for (const arg of called.signature?.outputArg ?? []) {
      if (arg.name === output) return at;
      at += argLength(arg, node.attr) ?? 1;
    }
    throw broken(def, `${node.name} has no output ${output}`);
  }
  const op = library.registry.get(node.op);
  if (op === undefined) {
    throw new VarscopeError("NOT_FOUND", `Op type not registered '${node.op}'`, { at: node.name });
  }
  for (const [name, text] of Object.entries(op.outputs)) {
    if (name === output) return at;
    at += countOf(argType(name, text), node);
  }
  throw broken(def, `${node.name} (${node.op}) has no output ${output}`);
}

function countOf(arg: ReturnType<typeof argType>, node: NodeDef): number {
  if (arg.list !== null) {
    const list = node.attr[arg.list]?.value;
    return list?.case === "list" ? list.value.type.length : 0;
  }
  if (arg.count === null) return 1;
  const count = node.attr[arg.count]?.value;
  return count?.case === "i" ? Number(count.value) : 1;
}

function outputOf(graph: Graph, text: string): Output {
  const [name = "", index = "0"] = text.split(":");
  return graph.operation(name).output(Number(index));
}

/** Dtypes that a function must give where `op` calls it; null where an op of unknown type does. */
export const resultTypes = (op: Operation): DType[] | null =>
  op.def === undefined ? null : op.outputs.map((x) => x.dtype);
