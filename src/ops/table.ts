/**
 * @file Lookup tables and whole files: vocabularies of strings to numbers and back, filled from tensors or text files. A session keeps its
 * tables by container and shared name; runs do not undo what they did to a table, as they do with variables.
 *
 * @see TensorFlow core/ops/lookup_ops.cc, core/kernels/lookup_table_op.cc, lookup_util.cc
 */

import {
  type DType,
  dtypeCppName,
  type Element,
  handleOf,
  handleTensor,
  mergeShapes,
  type Tensor,
  tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  group,
  type HostContext,
  type Operation,
  type Spec,
} from "../graph/index.ts";
import { checkPaired, elementsOf, LookupTable } from "./kernels/lookup-table.ts";

const onHost = { lower: absent("what it works on is an object of the session, not a tensor") };
const noGradient = { grad: absent("TensorFlow registers none") };
const stateful = { ...onHost, ...noGradient, stateful: true } as const;

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

const handles = {
  container: attr.string({ default: "" }),
  shared_name: attr.string({ default: "" }),
  use_node_name_sharing: attr.bool({ default: false }),
  key_dtype: attr.type(),
  value_dtype: attr.type(),
};

interface HandleAttrs {
  readonly container: string;
  readonly shared_name: string;
  readonly use_node_name_sharing: boolean;
  readonly key_dtype: DType;
  readonly value_dtype: DType;
}

/** The session's table of that name; of a node without one, its own. */
function tableOf(a: HandleAttrs, { op, shared }: HostContext, isStatic: boolean): Tensor {
  const own = a.use_node_name_sharing ? op.name : `\0${op.name}`;
  const key = `table ${isStatic ? "hash" : "mutable"} ${a.container}/${a.shared_name || own}`;
  const table = shared(key, () => new LookupTable(a.key_dtype, a.value_dtype, isStatic));
  table.checkHandle(a.key_dtype, a.value_dtype, a.shared_name || op.name);
  return handleTensor("resource", table);
}

/** A table that is filled once. */
export const HashTableV2 = defineOp("HashTableV2", {
  ...stateful,
  inputs: {},
  outputs: { table_handle: "resource" },
  attrs: handles,
  infer: () => [{ shape: [] }],
  host: (_, attrs, context) => [tableOf(attrs, context, true)],
});

/** A table that changes. */
export const MutableHashTableV2 = defineOp("MutableHashTableV2", {
  ...stateful,
  inputs: {},
  outputs: { table_handle: "resource" },
  attrs: handles,
  infer: (_, { value_dtype }) => [{ shape: [], handle: { dtype: value_dtype, shape: [] } }],
  host: (_, attrs, context) => [tableOf(attrs, context, false)],
});

const needVector = (x: Spec, what: string): void => {
  if (x.shape !== null && x.shape.length !== 1) {
    throw invalid(`Shape must be rank 1 but is rank ${x.shape.length} for the ${what}`);
  }
};

/** Fills a table: keys and values, vectors of one length. */
export const InitializeTableV2 = defineOp("InitializeTableV2", {
  ...stateful,
  inputs: { table_handle: "resource", keys: "Tkey", values: "Tval" },
  outputs: {},
  attrs: { Tkey: attr.type(), Tval: attr.type() },
  infer: ({ keys, values }) => {
    needVector(keys, "keys");
    needVector(values, "values");
    mergeShapes(keys.shape, values.shape);
    return [];
  },
  host: ({ table_handle, keys, values }) => {
    const table = handleOf<LookupTable>(table_handle);
    table.checkTypes(keys.dtype, values.dtype);
    checkPaired(keys, values);
    table.initialize(elementsOf(keys), elementsOf(values));
    return [];
  },
});

/** A column of a text file: the whole line, the line's number, or a field. */
const WHOLE_LINE = -2;
const LINE_NUMBER = -1;

/** Fills a table from the lines of a file: `key_index` and `value_index` are columns, -2 the whole line, -1 its number plus `offset`. */
export const InitializeTableFromTextFileV2 = defineOp("InitializeTableFromTextFileV2", {
  ...stateful,
  inputs: { table_handle: "resource", filename: "string" },
  outputs: {},
  attrs: {
    key_index: attr.int({ min: -2 }),
    value_index: attr.int({ min: -2 }),
    vocab_size: attr.int({ default: -1, min: -1 }),
    delimiter: attr.string({ default: "\t" }),
    offset: attr.int({ default: 0 }),
  },
  infer: ({ filename }) => {
    if (filename.shape !== null && filename.shape.length !== 0) {
      throw invalid(`Shape must be rank 0 but is rank ${filename.shape.length} for the filename`);
    }
    return [];
  },
  host: async ({ table_handle, filename }, attrs, { files }) => {
    const table = handleOf<LookupTable>(table_handle);
    const file = new TextDecoder().decode(filename.data[0] as Uint8Array);
    const lines = linesOf(await files.readFile(file));
    const wanted = attrs.vocab_size === -1 ? lines.length : attrs.vocab_size;
    if (lines.length < wanted) {
      throw invalid(`Invalid vocab_size in ${file}: expected ${wanted} but got ${lines.length}`);
    }
    checkNumbered("Key", attrs.key_index, table.keyDtype);
    checkNumbered("Value", attrs.value_index, table.valueDtype);
    const column = (index: number, dtype: DType): Element[] =>
      lines.slice(0, wanted).map((line, i) => fieldOf(line, i, index, dtype, { file, ...attrs }));
    table.initialize(column(attrs.key_index, table.keyDtype), column(attrs.value_index, table.valueDtype));
    return [];
  },
});

function checkNumbered(what: "Key" | "Value", index: number, dtype: DType): void {
  if (index !== LINE_NUMBER || dtype === "int64") return;
  throw invalid(
    `${what} index for line number requires table ${what.toLowerCase()} dtype of int64, got ${dtypeCppName(dtype)}`,
  );
}

function linesOf(bytes: Uint8Array): string[] {
  // bytes beyond ASCII survive as they are
  const lines = new TextDecoder("latin1").decode(bytes).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
}

interface FileFormat {
  readonly file: string;
  readonly delimiter: string;
  readonly offset: number;
}

function fieldOf(line: string, i: number, index: number, dtype: DType, format: FileFormat): Element {
  if (index === LINE_NUMBER) return BigInt(i + format.offset);
  const text = index === WHOLE_LINE ? line : line.split(format.delimiter)[index];
  if (text === undefined) {
    const columns = line.split(format.delimiter).length;
    throw invalid(
      `Invalid number of columns in ${format.file} line ${i} (${line}) : expected at least ${index + 1} got ${columns}`,
    );
  }
  if (dtype === "string") return Uint8Array.from(text, (c) => c.charCodeAt(0));
  const isWhole = dtype === "int32" || dtype === "int64";
  const fits = text.trim() !== "" && (isWhole ? /^\s*[+-]?\d+\s*$/.test(text) : !Number.isNaN(Number(text)));
  if (!fits) throw invalid(`Field ${text} in line ${i} is not a valid ${dtype}.`);
  return dtype === "int64" ? BigInt(text.trim()) : Number(text);
}

/** Values of keys; `default_value` where the table has none. */
export const LookupTableFindV2 = defineOp("LookupTableFindV2", {
  ...stateful,
  inputs: { table_handle: "resource", keys: "Tin", default_value: "Tout" },
  outputs: { values: "Tout" },
  attrs: { Tin: attr.type(), Tout: attr.type() },
  infer: ({ table_handle, keys, default_value }) => {
    if (default_value.shape !== null && default_value.shape.length > 1) {
      throw invalid(`Shape must be at most rank 1 but is rank ${default_value.shape.length}`);
    }
    return [{ shape: table_handle.handle === null ? null : keys.shape }];
  },
  host: ({ table_handle, keys, default_value }) => [
    handleOf<LookupTable>(table_handle).find(keys, default_value),
  ],
});

/** Number of entries: int64 []. */
export const LookupTableSizeV2 = defineOp("LookupTableSizeV2", {
  ...stateful,
  inputs: { table_handle: "resource" },
  outputs: { size: "int64" },
  infer: () => [{ shape: [] }],
  host: ({ table_handle }) => [tensor(BigInt(handleOf<LookupTable>(table_handle).size), "int64")],
});

/** All keys and values. */
export const LookupTableExportV2 = defineOp("LookupTableExportV2", {
  ...stateful,
  inputs: { table_handle: "resource" },
  outputs: { keys: "Tkeys", values: "Tvalues" },
  attrs: { Tkeys: attr.type(), Tvalues: attr.type() },
  infer: () => [{ shape: null }, { shape: null }],
  host: ({ table_handle }) => handleOf<LookupTable>(table_handle).export(),
});

const setter = {
  ...stateful,
  inputs: { table_handle: "resource", keys: "Tin", values: "Tout" },
  outputs: {},
  attrs: { Tin: attr.type(), Tout: attr.type() },
  infer: () => [],
} as const;

/** Adds entries, or changes them. */
export const LookupTableInsertV2 = defineOp("LookupTableInsertV2", {
  ...setter,
  host: ({ table_handle, keys, values }) => {
    handleOf<LookupTable>(table_handle).insert(keys, values);
    return [];
  },
});

/** These entries in place of all; fills a static table. */
export const LookupTableImportV2 = defineOp("LookupTableImportV2", {
  ...setter,
  host: ({ table_handle, keys, values }) => {
    handleOf<LookupTable>(table_handle).import(keys, values);
    return [];
  },
});

/** Takes entries away; keys that are not there are no error. */
export const LookupTableRemoveV2 = defineOp("LookupTableRemoveV2", {
  ...stateful,
  inputs: { table_handle: "resource", keys: "Tin" },
  outputs: {},
  attrs: { Tin: attr.type() },
  infer: () => [],
  host: ({ table_handle, keys }) => {
    handleOf<LookupTable>(table_handle).remove(keys);
    return [];
  },
});

/** All bytes of a file: string []. */
export const ReadFile = defineOp("ReadFile", {
  lower: absent("it touches files"),
  ...noGradient,
  readsFiles: true,
  inputs: { filename: "string" },
  outputs: { contents: "string" },
  infer: ({ filename }) => {
    if (filename.shape !== null && filename.shape.length !== 0) {
      throw invalid(`Shape must be rank 0 but is rank ${filename.shape.length}`);
    }
    return [{ shape: [] }];
  },
  host: async ({ filename }, _, { files }) => {
    const file = new TextDecoder().decode(filename.data[0] as Uint8Array);
    return [tensor([await files.readFile(file)], "string", [])];
  },
});

/** The collection of ops that fill a graph's tables. */
export const TABLE_INITIALIZERS = "table_initializer";

/** Fills all tables of the collection `table_initializer`. Named "init_all_tables". @see TensorFlow python/ops/lookup_ops.py */
export function tablesInitializer(graph: Graph, name = "init_all_tables"): Operation {
  const all = graph.getCollection<Operation>(TABLE_INITIALIZERS);
  return all.length === 0 ? graph.addOp("NoOp", [], { name }) : group(graph, all, name);
}
