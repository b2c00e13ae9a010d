/**
 * @file Initial values of a matrix whose rows or columns are entries of a vocabulary that has changed: each entry keeps its values, new ones get
 * fresh values. Start at `startWithVocab`.
 *
 * @see TensorFlow python/training/checkpoint_ops.py; python/training/warm_starting_util.py "VocabInfo"
 */

import { readFile } from "#platform";
import { formatPyShape, isStatic, VarscopeError } from "../../base/index.ts";
import { type Graph, type Input, Output } from "../../graph/index.ts";
import { remapVocab } from "../../ops/vocab.ts";
import { type Initializer, type Variable, writeVariable, zerosInitializer } from "../../variables/index.ts";
import { initializeBy } from "./init-from-checkpoint.ts";
import type { MatchedVariable } from "./report.ts";
import { openStored } from "./stored.ts";

/** A vocabulary, one entry a line, then and now. */
export interface VocabInfo {
  /** file of the vocabulary that the variable has now */
  readonly newVocab: string;
  /** entries of it that are used */
  readonly newVocabSize: number;
  /** rows or columns behind them, for what is not in the vocabulary */
  readonly numOovBuckets: number;
  /** file of the vocabulary that the checkpoint's tensor has */
  readonly oldVocab: string;
  /** entries of it that were used: -1, all */
  readonly oldVocabSize?: number;
  /** values of entries that are new: zeros */
  readonly backupInitializer?: Initializer;
  /** 0: its rows are the entries; 1: its columns */
  readonly axis?: 0 | 1;
}

const invalid = (at: string, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at });

/** @throws VarscopeError INVALID_ARGUMENT - an axis other than 0 and 1, or a file or size is missing */
export function needVocabInfo(info: VocabInfo): void {
  const { axis = 0, newVocab, oldVocab, newVocabSize } = info;
  if (axis !== 0 && axis !== 1) {
    const what = `The only supported values for the axis argument are 0 and 1.  Provided axis: ${axis}`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
  if (!newVocab || !oldVocab || !newVocabSize) {
    const what =
      "Invalid args: Must provide all of [current_vocab_path, current_vocab_size, prev_ckpt, prev_vocab_path}.";
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
}

/** Makes `key` of a checkpoint, its rows or columns in the new order, the initial value of a variable or of its slices. */
export async function startWithVocab(
  variables: readonly Variable[],
  path: string,
  key: string,
  info: VocabInfo,
): Promise<MatchedVariable[]> {
  const { prefix, collection } = await openStored(path);
  let found: { readonly key: string };
  try {
    found = collection.find(key);
  } finally {
    await collection.close();
  }
  const rows = variables.reduce((n, v) => n + matrixShape(v)[0], 0);
  for (const v of variables) {
    const value = await remappedValue(v, rows, prefix, found.key, info);
    initializeBy(v, writeVariable(v, "assign", value).op, v.initialValue);
  }
  return variables.map((v) => ({ name: v.op.name, key: found.key }));
}

function matrixShape({ shape, name, dtype }: Variable): readonly [number, number] {
  if (dtype !== "float32")
    throw invalid(name, `Currently, only float32 is supported. Received dtype: ${dtype}`);
  if (!isStatic(shape) || shape.length !== 2)
    throw invalid(name, `Expected 2-dim shape, but received: ${formatPyShape(shape)}`);
  return shape as readonly [number, number];
}

/** How many rows and columns of a variable come from the file, and which entries of the vocabulary they are. */
interface Extent {
  readonly rows: number;
  readonly cols: number;
  /** of rows and columns behind the vocabulary */
  readonly oovRows: number;
  readonly oovCols: number;
  /** of the first row, in the whole variable */
  readonly offset: number;
}

function extentOf(
  v: Variable,
  allRows: number,
  { axis = 0, newVocabSize, numOovBuckets }: VocabInfo,
): Extent {
  const [rows, cols] = matrixShape(v);
  const offset = Number(v.saveSliceInfo?.varOffset[0] ?? 0);
  const [newRows, newCols] = axis === 0 ? [newVocabSize, cols] : [allRows, newVocabSize];
  const [oovRows, oovCols] = axis === 0 ? [numOovBuckets, 0] : [0, numOovBuckets];
  if (cols !== newCols + oovCols) {
    throw invalid(
      v.name,
      `Expected 2nd dim of shape to be new_col_vocab_size (${newCols}) + num_col_oov_buckets (${oovCols}) = ${newCols + oovCols}, but received shape: ${formatPyShape(v.shape)}`,
    );
  }
  if (offset + rows > newRows + oovRows) {
    throw invalid(
      v.name,
      `Trying to initialize ${rows} additional rows after ${offset} rows have already been initialized, which would exceed expected total row count of new_row_vocab_size (${newRows}) + num_row_oov_buckets (${oovRows}) = ${newRows + oovRows}.`,
    );
  }
  const oovHere = Math.min(rows, Math.max(0, offset + rows - newRows));
  return { rows: rows - oovHere, cols: newCols, oovRows: oovHere, oovCols, offset };
}

/**
 * The nodes that TensorFlow makes, but for one thing: how many values are new is known here, for the vocabularies are read now, so that
 * initializers of static shapes can make them.
 */
async function remappedValue(
  v: Variable,
  allRows: number,
  prefix: string,
  key: string,
  info: VocabInfo,
): Promise<Output> {
  const { graph } = v;
  const { axis = 0, newVocab: newFile, oldVocab: oldFile, oldVocabSize: oldSize = -1 } = info;
  const { rows, cols, oovRows, oovCols, offset } = extentOf(v, allRows, info);
  const fresh = (count: number, width: number): Output => freshValues(graph, info, [count, width]);
  if (rows === 0) return fresh(oovRows, cols + oovCols);
  const wanted = axis === 0 ? { offset, count: rows, oldSize } : { offset: 0, count: cols, oldSize: -1 };
  const { present } = await remapVocab({ readFile }, { newFile, oldFile }, wanted);
  const remapping = graph.add("GenerateVocabRemapping", [newFile, oldFile], {
    attrs: { new_vocab_offset: wanted.offset, num_new_vocab: wanted.count, old_vocab_size: wanted.oldSize },
  });
  const kept = axis === 0 ? present * cols : rows * present;
  const order: readonly Input[] = axis === 0 ? [remapping, noIds] : [idsFrom(offset, rows), remapping];
  let value = graph.add("LoadAndRemapMatrix", [prefix, key, ...order, fresh(rows * cols - kept, 1)], {
    attrs: { num_rows: rows, num_cols: cols },
  });
  const join = (a: Output, b: Output, at: number): Output =>
    graph.nameScope("concat", (name) =>
      graph.add("ConcatV2", [[a, b], graph.constant(at, { dtype: "int32", name: "axis" })], { name }),
    );
  if (oovRows > 0) value = join(value, fresh(oovRows, cols), 0);
  if (oovCols > 0) value = join(value, fresh(rows + oovRows, oovCols), 1);
  return value;
}

const noIds: Input = { dtype: "int64", shape: [0], data: new BigInt64Array() };

const idsFrom = (start: number, count: number): Input => ({
  dtype: "int64",
  shape: [count],
  data: BigInt64Array.from({ length: count }, (_, i) => BigInt(start + i)),
});

function freshValues(graph: Graph, { backupInitializer }: VocabInfo, shape: readonly number[]): Output {
  const value = (backupInitializer ?? zerosInitializer())(graph, shape, "float32");
  return value instanceof Output ? value : graph.constant(value as never, { dtype: "float32", shape });
}
