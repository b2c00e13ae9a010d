/**
 * @file Ops that carry a matrix over from one vocabulary to another: which line of the old file a line of the new one is, and rows and columns
 * of a checkpoint's matrix in the new order. Lines that were not there take initial values.
 *
 * @see TensorFlow core/ops/checkpoint_ops.cc; core/kernels/generate_vocab_remapping_op.cc, load_and_remap_matrix_op.cc
 */

import { formatShape, type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, type CheckpointFiles, defineOp, type Spec } from "../graph/index.ts";

const FILES = absent("it touches files");
const NO_GRADIENT = absent("TensorFlow registers none");

const invalid = (what: string, at?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, at === undefined ? {} : { at });
const textOf = (t: Tensor): string => new TextDecoder().decode(t.data[0] as Uint8Array);

type Reads = Pick<CheckpointFiles, "readFile">;

async function linesOf(files: Reads, file: string): Promise<string[]> {
  const lines = new TextDecoder()
    .decode(await files.readFile(file))
    .replaceAll("\r", "")
    .split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Line by entry. `size`: only so many lines, -1 for all. */
function vocabularyOf(lines: readonly string[], size: number, file: string): Map<string, number> {
  if (size > lines.length)
    throw invalid(`Invalid vocab_size in ${file}: expected ${size} but got ${lines.length}`);
  const found = new Map<string, number>();
  const count = size === -1 ? lines.length : size;
  for (let i = 0; i < count; i++) {
    const line = lines[i]!;
    if (line === "") throw invalid(`Invalid content in ${file}: empty line found at line ${i + 1}.`);
    const old = found.get(line);
    if (old !== undefined) {
      const what = `HashTable has different value for same key. Key ${line} has ${old} and trying to add value ${i}`;
      throw new VarscopeError("FAILED_PRECONDITION", what, { at: file });
    }
    found.set(line, i);
  }
  return found;
}

/** Lines of the new vocabulary in the old one, -1 for those that are new. */
export interface VocabRemapping {
  readonly remapping: readonly number[];
  readonly present: number;
  /** lines of the old one that were looked at */
  readonly oldCount: number;
}

/** `count` -1 is all lines behind `offset`. @throws VarscopeError INVALID_ARGUMENT - fewer lines than are wanted, empty ones; FAILED_PRECONDITION - one twice; NOT_FOUND */
export async function remapVocab(
  files: Reads,
  names: { readonly newFile: string; readonly oldFile: string },
  options: { readonly offset: number; readonly count: number; readonly oldSize: number },
): Promise<VocabRemapping> {
  const { offset, count, oldSize } = options;
  const old = vocabularyOf(await linesOf(files, names.oldFile), oldSize, names.oldFile);
  const lines = await linesOf(files, names.newFile);
  vocabularyOf(lines, -1, names.newFile);
  if (offset + count > lines.length)
    throw invalid("lookup table size must be larger than last new vocab entry's line", names.newFile);
  const end = count === -1 ? lines.length : offset + count;
  const remapping = lines.slice(offset, end).map((line) => old.get(line) ?? -1);
  return { remapping, present: remapping.filter((i) => i >= 0).length, oldCount: old.size };
}

/** Old lines of the new vocabulary's entries. @see TensorFlow core/ops/checkpoint_ops.cc "GenerateVocabRemapping" */
export const GenerateVocabRemapping = defineOp("GenerateVocabRemapping", {
  inputs: { new_vocab_file: "string", old_vocab_file: "string" },
  outputs: { remapping: "int64", num_present: "int32" },
  attrs: {
    new_vocab_offset: attr.int({ min: 0 }),
    num_new_vocab: attr.int({ min: 0 }),
    old_vocab_size: attr.int({ min: -1, default: -1 }),
  },
  readsFiles: true,
  infer: ({ new_vocab_file, old_vocab_file }, { num_new_vocab }) => {
    for (const x of [new_vocab_file, old_vocab_file]) needRank(x, 0);
    return [{ shape: [num_new_vocab] }, { shape: [] }];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: async ({ new_vocab_file, old_vocab_file }, attrs, { files }) => {
    const names = { newFile: textOf(new_vocab_file), oldFile: textOf(old_vocab_file) };
    const { remapping, present } = await remapVocab(files, names, {
      offset: attrs.new_vocab_offset,
      count: attrs.num_new_vocab,
      oldSize: attrs.old_vocab_size,
    });
    return [
      { dtype: "int64", shape: [remapping.length], data: BigInt64Array.from(remapping, BigInt) },
      { dtype: "int32", shape: [], data: Int32Array.of(present) },
    ];
  },
});

function needRank({ shape }: Spec, rank: number): void {
  if (shape !== null && shape.length !== rank)
    throw invalid(`Shape must be rank ${rank} but is rank ${shape.length}`);
}

/** Where each new line comes from: an old line, or null. @throws VarscopeError UNIMPLEMENTED - two come from one */
function sourcesOf(remapping: Tensor): (number | null)[] {
  const taken = new Map<number, number>();
  return Array.from(remapping.data as BigInt64Array, (id, i) => {
    const old = Number(id);
    if (old < 0) return null;
    const other = taken.get(old);
    if (other !== undefined) {
      const what = `Old ID ${old} is mapped to both new ID ${other} and ${i}, which is not supported.`;
      throw new VarscopeError("UNIMPLEMENTED", what);
    }
    taken.set(old, i);
    return old;
  });
}

function remapped(
  matrix: Tensor,
  rows: readonly (number | null)[],
  cols: readonly (number | null)[],
  initial: Tensor,
): Tensor {
  const [oldRows, oldCols] = matrix.shape as [number, number];
  const outside = (ids: readonly (number | null)[], size: number): boolean =>
    ids.some((id) => id !== null && id >= size);
  if (outside(rows, oldRows) || outside(cols, oldCols))
    throw invalid(`a remapping leaves the matrix, whose shape is ${formatShape(matrix.shape)}`);
  const data = new Float32Array(rows.length * cols.length);
  const from = matrix.data as Float32Array;
  const fill = initial.data as Float32Array;
  let used = 0;
  rows.forEach((row, i) => {
    cols.forEach((col, j) => {
      const isKept = row !== null && col !== null;
      data[i * cols.length + j] = isKept ? from[row * oldCols + col]! : (fill[used++] ?? 0);
    });
  });
  if (used > fill.length)
    throw invalid(`initializing_values contained ${fill.length} elements, but more missing values remain.`);
  if (used < fill.length) {
    throw invalid(
      `initializing_values contained ${fill.length} elements, but only ${used} elements were used to fill in missing values.`,
    );
  }
  return { dtype: "float32", shape: [rows.length, cols.length], data };
}

/** A matrix of a checkpoint, rows and columns in another order. @see TensorFlow core/ops/checkpoint_ops.cc "LoadAndRemapMatrix" */
export const LoadAndRemapMatrix = defineOp("LoadAndRemapMatrix", {
  inputs: {
    ckpt_path: "string",
    old_tensor_name: "string",
    row_remapping: "int64",
    col_remapping: "int64",
    initializing_values: "float32",
  },
  outputs: { output_matrix: "float32" },
  attrs: {
    num_rows: attr.int({ min: 0 }),
    num_cols: attr.int({ min: 1 }),
    max_rows_in_memory: attr.int({ default: -1 }),
  },
  stateful: true,
  infer: ({ row_remapping, col_remapping }, { num_rows, num_cols }) => {
    for (const x of [row_remapping, col_remapping]) needRank(x, 1);
    return [{ shape: [num_rows, num_cols] }];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: async (inputs, { num_rows, num_cols }, { files }) => {
    const name = textOf(inputs.old_tensor_name);
    const { row_remapping, col_remapping, initializing_values } = inputs;
    const [rowCount, colCount] = [row_remapping.data.length, col_remapping.data.length];
    if (rowCount !== num_rows)
      throw invalid(`Size of row_remapping is ${rowCount} instead of being equal to num_rows=${num_rows}`);
    if (colCount !== 0 && colCount !== num_cols)
      throw invalid(
        `Provided col_remapping, but its size is ${colCount} instead of being equal to num_cols=${num_cols}`,
      );
    const [matrix] = await files.restore(textOf(inputs.ckpt_path), [{ name, slice: "", dtype: "float32" }]);
    const { dtype, shape } = matrix!;
    if (dtype !== "float32")
      throw invalid(`Tensor ${name} has invalid type ${dtype} instead of expected type float`);
    if (shape.length !== 2) {
      throw invalid(
        `Tensor ${name} has shape ${formatShape(shape)} of invalid rank ${shape.length} instead of expected shape of rank 2.`,
      );
    }
    if (colCount === 0 && shape[1] !== num_cols) {
      throw invalid(
        `Tensor ${name} has shape ${formatShape(shape)}, where the size of its 2nd dimension is ${shape[1]} instead of being equal to num_cols=${num_cols}`,
      );
    }
    const cols = colCount === 0 ? Array.from({ length: num_cols }, (_, i) => i) : sourcesOf(col_remapping);
    return [remapped(matrix!, sourcesOf(row_remapping), cols, initializing_values)];
  },
});
