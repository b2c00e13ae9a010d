/**
 * @file Collections of a graph to and from CollectionDef: ops and outputs by name, variables, savers and
 * contexts as their messages, text, numbers. Start at `readCollections`.
 *
 * @see TensorFlow python/framework/meta_graph.py "add_collection_def", "import_scoped_meta_graph_with_return"
 */

import { create, isMessage, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import {
  COND_CONTEXT,
  CondContext,
  type Graph,
  Operation,
  Output,
  WHILE_CONTEXT,
  WhileContext,
} from "../../graph/index.ts";
import { CondContextDefSchema, WhileContextDefSchema } from "../../proto/control-flow.gen.ts";
import {
  type CollectionDef,
  CollectionDefSchema,
  type SaverDef,
  SaverDefSchema,
} from "../../proto/meta-graph.gen.ts";
import { type VariableDef, VariableDefSchema } from "../../proto/variable.gen.ts";
import { readMessage } from "../graph-def/index.ts";
import { readCondContext, readWhileContext, writeCondContext, writeWhileContext } from "./contexts.ts";
import { intoScope, outOfScope, type Respell, respellSaver, respellVariable } from "./scope.ts";

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
const TRAINABLE = "trainable_variables";
/** Inputs that a part of a graph lost when it was exported alone. @see TensorFlow python/framework/meta_graph.py */
export const UNBOUND_INPUTS = "unbound_inputs";

/** Makes what a graph's collections hold for a variable. */
export type VariableReader = (graph: Graph, def: VariableDef) => unknown;

/** What makes itself a message. */
interface HasProto {
  toProto(): VariableDef;
}

const hasProto = (x: unknown): x is HasProto => typeof x === "object" && x !== null && "toProto" in x;

type Kind = NonNullable<CollectionDef["kind"]["case"]>;
const kinds = new WeakMap<Graph, Map<string, CollectionDef>>();

/** How collections come into a graph. */
export interface CollectionReading {
  /** makes what the graph's collections hold for a variable */
  readonly readVariable: VariableReader;
  /** where the graph was imported: "" is the root */
  readonly scope?: string;
  /** VariableDefs say what is trainable (since TensorFlow 1.9); otherwise the collection does: true */
  readonly saysTrainable?: boolean;
}

/** Adds to the graph's collections. Equal VariableDefs in several collections are one variable. */
export function readCollections(
  graph: Graph,
  defs: { readonly [key: string]: CollectionDef },
  { readVariable, scope = "", saysTrainable = true }: CollectionReading,
): void {
  kinds.set(graph, new Map([...(kinds.get(graph) ?? []), ...Object.entries(defs)]));
  const spell = intoScope(scope);
  const variables = new Map<string, unknown>();
  for (const [key, def] of Object.entries(defs).sort(([a], [b]) => order(a) - order(b))) {
    if (key === UNBOUND_INPUTS) continue;
    const at = `collection '${key}'`;
    const variable = (bytes: Uint8Array): unknown => {
      const id = new TextDecoder("latin1").decode(bytes);
      if (variables.has(id)) return variables.get(id);
      const read = respellVariable(readMessage(VariableDefSchema, bytes, at), spell);
      const made = readVariable(graph, saysTrainable ? read : { ...read, trainable: key === TRAINABLE });
      variables.set(id, made);
      return made;
    };
    try {
      const items = readItems(graph, key, def, variable, spell);
      for (const item of items ?? []) graph.addToCollection(key, item);
    } catch (e) {
      if (!isVarscopeError(e) || e.at?.startsWith("collection")) throw e;
      throw new VarscopeError(e.code, e.what, { at, cause: e });
    }
  }
}

/** Trainable variables come first, as in TensorFlow, then the rest; contexts when all is there. */
const order = (key: string): number =>
  key === TRAINABLE ? 0 : key === COND_CONTEXT || key === WHILE_CONTEXT ? 2 : 1;

function readItems(
  graph: Graph,
  key: string,
  { kind }: CollectionDef,
  variable: (bytes: Uint8Array) => unknown,
  spell: Respell,
): unknown[] | null {
  switch (kind.case) {
    case "nodeList":
      return kind.value.value.map((name) => elementOf(graph, spell(name)));
    case "int64List":
      return kind.value.value.map((v) => (Number.isSafeInteger(Number(v)) ? Number(v) : v));
    case "floatList":
    case "anyList":
      return [...kind.value.value];
    case "bytesList":
      return kind.value.value.map(
        VARIABLES.has(key) ? variable : (bytes) => readBytes(graph, key, bytes, spell),
      );
    default:
      return null; // of a kind from the future: written as it is
  }
}

const elementOf = (graph: Graph, name: string): Output | Operation =>
  /:\d+$/.test(name) ? graph.output(name) : graph.operation(name);

function readBytes(graph: Graph, key: string, bytes: Uint8Array, spell: Respell): unknown {
  if (key === SAVERS) return respellSaver(readMessage(SaverDefSchema, bytes, "SaverDef"), spell);
  if (key === COND_CONTEXT)
    return readCondContext(graph, readMessage(CondContextDefSchema, bytes, "CondContextDef"), null, spell);
  if (key === WHILE_CONTEXT)
    return readWhileContext(graph, readMessage(WhileContextDefSchema, bytes, "WhileContextDef"), null, spell);
  try {
    // text counts as a name, as in TensorFlow
    return spell(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return bytes;
  }
}

export interface CollectionWriting {
  /** hears of collections that no file can hold, and why */
  readonly onSkipped?: (key: string, why: string) => void;
  /** only what is in this name scope, which names then lose: "", all */
  readonly scope?: string;
  /** what stands for an item of this name is left out */
  readonly isExcluded?: (opName: string) => boolean;
  /** these collections in place of all */
  readonly keys?: readonly string[];
  /** the savers that are written in place of the graph's */
  readonly savers?: readonly SaverDef[];
}

/**
 * The graph's collections as messages, by key. Those that no file can hold are left out, as TensorFlow does: `onSkipped` hears of them.
 */
export function writeCollections(
  graph: Graph,
  options: CollectionWriting = {},
): { [key: string]: CollectionDef } {
  const { scope = "", onSkipped = () => {}, savers, keys } = options;
  const read = kinds.get(graph);
  const defs: [string, CollectionDef][] = [];
  for (const [key, items] of graph.collections) {
    if (keys !== undefined && !keys.includes(key)) continue;
    const own: readonly unknown[] = key === SAVERS && savers !== undefined ? savers : items;
    const wanted = own.filter((item) => isWanted(item, options));
    if (wanted.length === 0) continue;
    const written = writeItems(wanted, read?.get(key)?.kind.case, scope);
    if (typeof written === "string") onSkipped(key, written);
    else defs.push([key, written]);
  }
  if (scope === "" && keys === undefined) {
    for (const [key, def] of read ?? []) if (def.kind.case === undefined) defs.push([key, def]);
  }
  return Object.fromEntries(defs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names that an item stands and falls with: of an op, a variable, a context, a saver. */
function namesOf(item: unknown): string[] {
  if (item instanceof Operation || item instanceof CondContext || item instanceof WhileContext)
    return [item.name];
  if (item instanceof Output) return [item.op.name];
  const saver = saverDefOf(item);
  if (saver !== undefined) return [saver.filenameTensorName, saver.saveTensorName, saver.restoreOpName];
  const variable = variableDefOf(item);
  return variable === undefined ? [] : [variable.variableName.replace(/:\d+$/, "")];
}

const isWanted = (item: unknown, { scope = "", isExcluded = () => false }: CollectionWriting): boolean =>
  namesOf(item).every((name) => (scope === "" || name.startsWith(`${scope}/`)) && !isExcluded(name));

/** A collection's message, or why there is none. */
function writeItems(items: readonly unknown[], was: Kind | undefined, scope: string): CollectionDef | string {
  const spell = outOfScope(scope);
  const [first] = items;
  const make = (kind: Kind, value: readonly unknown[]): CollectionDef =>
    create(CollectionDefSchema, { kind: { case: kind, value: { value } } as never });
  if (items.every((x) => x instanceof Output || x instanceof Operation))
    return make(
      "nodeList",
      items.map((x) => spell(x.name)),
    );
  if (items.every((x) => typeof x === "number" || typeof x === "bigint")) {
    const whole = items.every((x) => typeof x === "bigint" || Number.isInteger(x));
    return whole && was !== "floatList"
      ? make("int64List", items.map(BigInt as never))
      : make("floatList", items.map(Number));
  }
  if (items.every((x) => isMessage(x, AnySchema))) return make("anyList", items);
  const bytes = items.map((x) => bytesOf(x, scope));
  if (bytes.every((b) => b !== undefined)) return make("bytesList", bytes);
  return `an item is ${describe(items[bytes.indexOf(undefined)] ?? first)}, which no MetaGraph can hold`;
}

function bytesOf(item: unknown, scope: string): Uint8Array | undefined {
  const spell = outOfScope(scope);
  if (typeof item === "string") return new TextEncoder().encode(item);
  if (item instanceof Uint8Array) return item;
  if (item instanceof CondContext) return toBinary(CondContextDefSchema, writeCondContext(item, scope));
  if (item instanceof WhileContext) return toBinary(WhileContextDefSchema, writeWhileContext(item, scope));
  const saver = saverDefOf(item);
  if (saver !== undefined) return toBinary(SaverDefSchema, respellSaver(saver, spell));
  const variable = variableDefOf(item);
  return variable === undefined ? undefined : toBinary(VariableDefSchema, respellVariable(variable, spell));
}

/** The message of a saver, or the message itself. */
function saverDefOf(item: unknown): SaverDef | undefined {
  if (isMessage(item, SaverDefSchema)) return item;
  const def = (item as { saverDef?: unknown } | null)?.saverDef;
  return isMessage(def, SaverDefSchema) ? def : undefined;
}

/** The message of a variable, its record, or the message itself. */
function variableDefOf(item: unknown): VariableDef | undefined {
  const def = isRecord(item) ? item.def : item;
  if (isMessage(def, VariableDefSchema)) return def;
  return hasProto(item) ? item.toProto() : undefined;
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
