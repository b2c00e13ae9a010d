/**
 * @file Records read into tensors: serialized examples, as signatures of Estimators take them, and lines of CSV.
 *
 * @see TensorFlow core/ops/parsing_ops.cc; core/kernels/example_parsing_ops.cc, decode_csv_op.cc
 */

import {
  allocate,
  type DType,
  dtypeCppName,
  type Element,
  getElement,
  type Shape,
  setElement,
  type Tensor,
} from "../base/index.ts";
import { absent, attr, defineOp, type Output, type ShapeValue } from "../graph/index.ts";
import { bytesIn, invalid, needRank, onText, shownBytes } from "./host-facts.ts";
import { parseCsv } from "./kernels/csv.ts";
import { type DenseFeature, type ParsedFeatures, parseExamples } from "./kernels/examples.ts";
import { parseNumber } from "./string-number.ts";

const onHost = { ...onText, grad: absent("TensorFlow registers none") } as const;
const FEATURES: readonly string[] = ["float32", "int64", "string"];
const dtypes = attr.types({ min: 0, allowed: FEATURES });
const shapes = attr.shapes({ min: 0 });

const textsIn = (t: Tensor): string[] => bytesIn(t).map(shownBytes);

function denseFeatures(
  keys: readonly string[],
  types: readonly DType[],
  shapes: readonly ShapeValue[],
  fallbacks: readonly Tensor[],
): DenseFeature[] {
  if (keys.length !== types.length || keys.length !== shapes.length)
    throw invalid(`there are ${keys.length} dense keys, ${types.length} types and ${shapes.length} shapes`);
  return keys.map((key, i) => {
    const shape = shapes[i]!.dims ?? [null];
    const fallback = fallbacks[i]!;
    const isLoose = shape[0] === null;
    if (shape.slice(1).includes(null))
      throw invalid(`dense_shapes[${i}] = [${shape}] is not known beyond its first dim`);
    if (isLoose ? fallback.data.length > 1 : fallback.data.length > 0 && !sameDims(shape, fallback.shape)) {
      throw invalid(
        `dense_defaults[${i}].shape() == [${fallback.shape}] is not compatible with dense_shapes_[${i}] == [${shape}]`,
      );
    }
    return { key, dtype: types[i]!, shape, fallback };
  });
}

const sameDims = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

/** Shapes of sparse outputs: indices, values, shapes. `rank`: of one. */
function sparseShapes(count: number, rank: number): { shape: Shape }[] {
  const many = (shape: Shape): { shape: Shape }[] => Array.from({ length: count }, () => ({ shape }));
  return [...many([null, rank]), ...many([null]), ...many([rank])];
}

const outputsOf = (f: ParsedFeatures): Tensor[] => [
  ...f.sparseIndices,
  ...f.sparseValues,
  ...f.sparseShapes,
  ...f.dense,
  ...f.raggedValues,
  ...f.raggedSplits,
];

const denseShapes = (shapes: readonly ShapeValue[], rows: Shape): { shape: Shape | null }[] =>
  shapes.map(({ dims }) => ({ shape: dims === null ? null : [...rows, ...dims] }));

/** Features of a vector of examples; keys are inputs. */
export const ParseExample = defineOp("ParseExample", {
  ...onHost,
  inputs: {
    serialized: "string",
    names: "string",
    sparse_keys: "Nsparse*string",
    dense_keys: "Ndense*string",
    dense_defaults: "[Tdense]",
  },
  outputs: {
    sparse_indices: "Nsparse*int64",
    sparse_values: "[sparse_types]",
    sparse_shapes: "Nsparse*int64",
    dense_values: "[Tdense]",
  },
  attrs: {
    Nsparse: attr.int({ min: 0 }),
    Ndense: attr.int({ min: 0 }),
    sparse_types: dtypes,
    Tdense: dtypes,
    dense_shapes: shapes,
  },
  infer: ({ serialized, names }, a) => {
    needRank(serialized, 1);
    needRank(names, 1);
    const rows = serialized.shape ?? [null];
    return [...sparseShapes(a.Nsparse, 2), ...denseShapes(a.dense_shapes, rows)];
  },
  host: ({ serialized, names, sparse_keys, dense_keys, dense_defaults }, a) => {
    const spec = {
      sparse: sparse_keys.flatMap(textsIn).map((key, i) => ({ key, dtype: a.sparse_types[i]! })),
      dense: denseFeatures(dense_keys.flatMap(textsIn), a.Tdense, a.dense_shapes, dense_defaults),
      ragged: [],
    };
    return outputsOf(parseExamples(bytesIn(serialized), checkedNames(names, serialized), spec, true));
  },
});

function checkedNames(names: Tensor, serialized: Tensor): readonly Uint8Array[] {
  const [n, m] = [names.data.length, serialized.data.length];
  if (n > 0 && n !== m) throw invalid(`Expected len(names) == len(serialized), but got: ${n} vs. ${m}`);
  return bytesIn(names);
}

/** Features of examples: of a vector of them, or of one. */
export const ParseExampleV2 = defineOp("ParseExampleV2", {
  ...onHost,
  inputs: {
    serialized: "string",
    names: "string",
    sparse_keys: "string",
    dense_keys: "string",
    ragged_keys: "string",
    dense_defaults: "[Tdense]",
  },
  outputs: {
    sparse_indices: "num_sparse*int64",
    sparse_values: "[sparse_types]",
    sparse_shapes: "num_sparse*int64",
    dense_values: "[Tdense]",
    ragged_values: "[ragged_value_types]",
    ragged_row_splits: "[ragged_split_types]",
  },
  attrs: {
    Tdense: dtypes,
    num_sparse: attr.int({ min: 0 }),
    sparse_types: dtypes,
    ragged_value_types: dtypes,
    ragged_split_types: attr.types({ min: 0, allowed: ["int32", "int64"] }),
    dense_shapes: shapes,
  },
  infer: ({ serialized, names }, a) => {
    const { shape } = serialized;
    if (shape !== null && shape.length > 1)
      throw invalid(`Shape must be at most rank 1 but is rank ${shape.length}`);
    if (names.shape !== null && names.shape.length > 1)
      throw invalid(`Shape must be at most rank 1 but is rank ${names.shape.length}`);
    const many = (n: number, given: Shape): { shape: Shape }[] =>
      Array.from({ length: n }, () => ({ shape: given }));
    const n = a.ragged_value_types.length;
    if (shape === null) {
      return [
        ...many(a.num_sparse, [null, null]),
        ...many(a.num_sparse, [null]),
        ...many(a.num_sparse, [null]),
        ...a.dense_shapes.map(() => ({ shape: null })),
        ...many(n, [null]),
        ...many(n, [null]),
      ];
    }
    const rows = shape[0] ?? null;
    const splits = [rows === null ? null : rows + 1];
    return [
      ...sparseShapes(a.num_sparse, shape.length + 1),
      ...denseShapes(a.dense_shapes, shape),
      ...many(n, [null]),
      ...many(n, splits),
    ];
  },
  host: ({ serialized, names, sparse_keys, dense_keys, ragged_keys, dense_defaults }, a) => {
    const spec = {
      sparse: textsIn(sparse_keys).map((key, i) => ({ key, dtype: a.sparse_types[i]! })),
      dense: denseFeatures(textsIn(dense_keys), a.Tdense, a.dense_shapes, dense_defaults),
      ragged: textsIn(ragged_keys).map((key, i) => ({
        key,
        dtype: a.ragged_value_types[i]!,
        splits: a.ragged_split_types[i]!,
      })),
    };
    if (spec.sparse.length !== a.num_sparse)
      throw invalid(
        `Expected len(sparse_keys) == num_sparse_, but got: ${spec.sparse.length} vs. ${a.num_sparse}`,
      );
    const isBatch = serialized.shape.length === 1;
    return outputsOf(parseExamples(bytesIn(serialized), checkedNames(names, serialized), spec, isBatch));
  },
});

/** Features of one example; keys are attributes. */
export const ParseSingleExample = defineOp("ParseSingleExample", {
  ...onHost,
  inputs: { serialized: "string", dense_defaults: "[Tdense]" },
  outputs: {
    sparse_indices: "num_sparse*int64",
    sparse_values: "[sparse_types]",
    sparse_shapes: "num_sparse*int64",
    dense_values: "[Tdense]",
  },
  attrs: {
    num_sparse: attr.int({ min: 0 }),
    sparse_keys: attr.strings({ min: 0 }),
    dense_keys: attr.strings({ min: 0 }),
    sparse_types: dtypes,
    Tdense: dtypes,
    dense_shapes: shapes,
  },
  infer: ({ serialized }, a) => {
    needRank(serialized, 0);
    return [...sparseShapes(a.num_sparse, 1), ...denseShapes(a.dense_shapes, [])];
  },
  host: ({ serialized, dense_defaults }, a) => {
    const spec = {
      sparse: a.sparse_keys.map((key, i) => ({ key, dtype: a.sparse_types[i]! })),
      dense: denseFeatures(a.dense_keys, a.Tdense, a.dense_shapes, dense_defaults),
      ragged: [],
    };
    return outputsOf(parseExamples(bytesIn(serialized), [], spec, false));
  },
});

/** Fields of lines of CSV (RFC 4180), a tensor for each column. */
export const DecodeCSV = defineOp("DecodeCSV", {
  ...onHost,
  inputs: { records: "string", record_defaults: "[OUT_TYPE]" },
  outputs: { output: "[OUT_TYPE]" },
  attrs: {
    OUT_TYPE: attr.types({ min: 1, allowed: ["float32", "float64", "int32", "int64", "string"] }),
    field_delim: attr.string({ default: "," }),
    use_quote_delim: attr.bool({ default: true }),
    na_value: attr.string({ default: "" }),
    select_cols: attr.ints({ default: [] }),
  },
  infer: ({ records, record_defaults }) => {
    for (const { shape } of record_defaults) {
      if (shape !== null && shape.length > 1)
        throw invalid(`Shape must be at most rank 1 but is rank ${shape.length}`);
      if (shape?.length === 1 && shape[0] !== null && shape[0]! > 1)
        throw invalid("Shape of a default must be a length-0 or length-1 vector, or a scalar.");
    }
    return record_defaults.map(() => ({ shape: records.shape }));
  },
  host: ({ records, record_defaults }, a) => {
    if (a.field_delim.length !== 1) throw invalid("field_delim should be only 1 char");
    const out = a.OUT_TYPE.map(
      (dtype): Tensor => ({ dtype, shape: records.shape, data: allocate(dtype, records.data.length) }),
    );
    for (const [i, record] of bytesIn(records).entries()) {
      const all = parseCsv(record, a.field_delim.charCodeAt(0), a.use_quote_delim);
      const fields =
        a.select_cols.length === 0
          ? all
          : a.select_cols.map((column) => all[column]).filter((f) => f !== undefined);
      if (fields.length !== out.length)
        throw invalid(`Expect ${out.length} fields but have ${fields.length} in record ${i}`);
      fields.forEach((field, k) => {
        setElement(out[k]!, i, fieldOf(field, k, i, record_defaults[k]!, a.na_value));
      });
    }
    return out;
  },
});

function fieldOf(
  field: Uint8Array,
  column: number,
  record: number,
  fallback: Tensor,
  missing: string,
): Element {
  const text = shownBytes(field);
  if (text === "" || text === missing) {
    if (fallback.data.length !== 1)
      throw invalid(`Field ${column} is required but missing in record ${record}!`);
    return getElement(fallback, 0);
  }
  if (fallback.dtype === "string") return field;
  const value = parseNumber(text, fallback.dtype);
  if (value === null)
    throw invalid(
      `Field ${column} in record ${record} is not a valid ${dtypeCppName(fallback.dtype)}: ${text}`,
    );
  return value;
}

/** Options of `decodeCsv`. */
export interface DecodeCsvOptions {
  /** "," */
  readonly fieldDelim?: string;
  /** fields may stand in quotes: true */
  readonly useQuoteDelim?: boolean;
  /** what a missing value says, beside nothing: "" */
  readonly naValue?: string;
  /** columns to take, in rising order: all */
  readonly selectCols?: readonly number[];
}

/** Columns of lines of CSV, each in the dtype of its default; a default without elements: it has to be there. Named "DecodeCSV". */
export function decodeCsv(
  records: Output,
  recordDefaults: readonly Tensor[],
  { fieldDelim = ",", useQuoteDelim = true, naValue = "", selectCols = [] }: DecodeCsvOptions = {},
  name = "DecodeCSV",
): readonly Output[] {
  const attrs = {
    field_delim: fieldDelim,
    use_quote_delim: useQuoteDelim,
    na_value: naValue,
    select_cols: selectCols,
  };
  return records.graph.addOp(DecodeCSV, [records, recordDefaults], { name, attrs }).outputs;
}
