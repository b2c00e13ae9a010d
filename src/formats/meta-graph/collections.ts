/**
 * @file Collections of a graph to and from CollectionDef: ops and outputs by name, variables, savers and
 * contexts as their messages, text, numbers. Start at `readCollections`.
 *
 * @see TensorFlow python/framework/meta_graph.py "add_collection_def", "import_scoped_meta_graph_with_return"
 */

import { create, type DescMessage, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { COND_CONTEXT, CondContext, type Graph, Operation, Output } from "../../graph/index.ts";
import { CondContextDefSchema, WhileContextDefSchema } from "../../proto/control-flow.gen.ts";
import { type CollectionDef, CollectionDefSchema, SaverDefSchema } from "../../proto/meta-graph.gen.ts";
import { type VariableDef, VariableDefSchema } from "../../proto/variable.gen.ts";
import { readMessage } from "../graph-def/index.ts";
import { readCondContext, readWhileContext, WhileContext, writeCondContext } from "./contexts.ts";

/** Collections whose bytes are VariableDefs. @see TensorFlow python/ops/ref_variable.py */
const VARIABLES: ReadonlySet<string> = new Set([
  "variables",
  "trainable_variables",
  "moving_average_variables",
  "local_variables",
  "model_variables",
  "metric_variables",
  "global_step",
]);
const SAVERS = "savers";
const WHILE_CONTEXT = "while_context";

/** Makes what a graph's collections hold for a variable. */
export type VariableReader = (graph: Graph, def: VariableDef) => unknown;

/** What makes itself a message. */
interface HasProto {
  toProto(): VariableDef;
}

const hasProto = (x: unknown): x is HasProto => typeof x === "object" && x !== null && "toProto" in x;

type Kind = NonNullable<CollectionDef["kind"]["case"]>;
const kinds = new WeakMap<Graph, Map<string, CollectionDef>>();

/** Fills the graph's collections. Equal VariableDefs in several collections are one variable. */
export function readCollections(
  graph: Graph,
  defs: { readonly [key: string]: CollectionDef },
  readVariable: VariableReader,
): void {
  kinds.set(graph, new Map(Object.entries(defs)));
  const variables = new Map<string, unknown>();
  const variable = (bytes: Uint8Array, at: string): unknown => {
    const key = new TextDecoder("latin1").decode(bytes);
    if (!variables.has(key))
      variables.set(key, readVariable(graph, readMessage(VariableDefSchema, bytes, at)));
    return variables.get(key);
  };
  for (const [key, def] of Object.entries(defs).sort(([a], [b]) => order(a) - order(b))) {
    const at = `collection '${key}'`;
    try {
      const items = readItems(graph, key, def, (bytes) => variable(bytes, at));
      if (items !== null) graph.collections.set(key, items);
    } catch (e) {
      if (!isVarscopeError(e) || e.at?.startsWith("collection")) throw e;
      throw new VarscopeError(e.code, e.what, { at, cause: e });
    }
  }
}

/** Trainable variables come first, as in TensorFlow, then the rest; contexts when all is there. */
const order = (key: string): number =>
  key === "trainable_variables" ? 0 : key === COND_CONTEXT || key === WHILE_CONTEXT ? 2 : 1;

function readItems(
  graph: Graph,
  key: string,
  { kind }: CollectionDef,
  variable: (bytes: Uint8Array) => unknown,
): unknown[] | null {
  switch (kind.case) {
    case "nodeList":
      return kind.value.value.map((name) => elementOf(graph, name));
    case "int64List":
      return kind.value.value.map((v) => (Number.isSafeInteger(Number(v)) ? Number(v) : v));
    case "floatList":
    case "anyList":
      return [...kind.value.value];
    case "bytesList":
      return kind.value.value.map(VARIABLES.has(key) ? variable : (bytes) => readBytes(graph, key, bytes));
    default:
      return null; // of a kind from the future: written as it is
  }
}

const elementOf = (graph: Graph, name: string): Output | Operation =>
  /:\d+$/.test(name) ? graph.output(name) : graph.operation(name);

function readBytes(graph: Graph, key: string, bytes: Uint8Array): unknown {
  if (key === SAVERS) return readMessage(SaverDefSchema, bytes, "SaverDef");
  if (key === COND_CONTEXT)
    return readCondContext(graph, readMessage(CondContextDefSchema, bytes, "CondContextDef"));
  if (key === WHILE_CONTEXT)
    return readWhileContext(graph, readMessage(WhileContextDefSchema, bytes, "WhileContextDef"));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes;
  }
}

/**
 * The graph's collections as messages, by key. Those that no file can hold are left out, as TensorFlow does:
 * `skipped` hears of them.
 */
export function writeCollections(
  graph: Graph,
  skipped: (key: string, why: string) => void = () => {},
): { [key: string]: CollectionDef } {
  const read = kinds.get(graph);
  const defs: [string, CollectionDef][] = [];
  for (const [key, items] of graph.collections) {
    if (items.length === 0) continue;
    const written = writeItems(key, items, read?.get(key)?.kind.case);
    if (typeof written === "string") skipped(key, written);
    else defs.push([key, written]);
  }
  for (const [key, def] of read ?? []) if (def.kind.case === undefined) defs.push([key, def]);
  return Object.fromEntries(defs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A collection's message, or why there is none. */
function writeItems(key: string, items: readonly unknown[], was: Kind | undefined): CollectionDef | string {
  const [first] = items;
  const make = (kind: Kind, value: readonly unknown[]): CollectionDef =>
    create(CollectionDefSchema, { kind: { case: kind, value: { value } } as never });
  if (items.every((x) => x instanceof Output || x instanceof Operation))
    return make(
      "nodeList",
      items.map((x) => x.name),
    );
  if (items.every((x) => typeof x === "number" || typeof x === "bigint")) {
    const whole = items.every((x) => typeof x === "bigint" || Number.isInteger(x));
    return whole && was !== "floatList"
      ? make("int64List", items.map(BigInt as never))
      : make("floatList", items.map(Number));
  }
  if (items.every((x) => isMessage(x, AnySchema))) return make("anyList", items);
  const bytes = items.map((x) => bytesOf(key, x));
  if (bytes.every((b) => b !== undefined)) return make("bytesList", bytes);
  return `an item is ${describe(items[bytes.indexOf(undefined)] ?? first)}, which no MetaGraph can hold`;
}

function bytesOf(key: string, item: unknown): Uint8Array | undefined {
  if (typeof item === "string") return new TextEncoder().encode(item);
  if (item instanceof Uint8Array) return item;
  if (item instanceof CondContext) return toBinary(CondContextDefSchema, writeCondContext(item));
  if (item instanceof WhileContext) return toBinary(WhileContextDefSchema, item.def);
  if (key === SAVERS && isMessage(item, SaverDefSchema)) return toBinary(SaverDefSchema, item);
  if (key === SAVERS && typeof item === "object" && item !== null && "saverDef" in item) {
    return toBinary(SaverDefSchema, (item as { saverDef: MessageShape<typeof SaverDefSchema> }).saverDef);
  }
  const def = isRecord(item) ? item.def : item;
  if (isMessage(def as MessageShape<DescMessage>, VariableDefSchema))
    return toBinary(VariableDefSchema, def as VariableDef);
  return hasProto(item) ? toBinary(VariableDefSchema, item.toProto()) : undefined;
}

/** What a variable is read as where the caller has no variables of its own: its name and its message. */
export interface VariableRecord {
  readonly name: string;
  readonly def: VariableDef;
}

const isRecord = (x: unknown): x is VariableRecord =>
  typeof x === "object" && x !== null && "def" in x && "name" in x;

/** The default reader. */
export const variableRecord: VariableReader = (_, def): VariableRecord => ({ name: def.variableName, def });

const describe = (x: unknown): string =>
  typeof x === "object" && x !== null
    ? `of class ${x.constructor?.name ?? "Object"}`
    : `${typeof x} ${String(x)}`;
