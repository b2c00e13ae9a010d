/**
 * @file TensorFlow's CheckpointReader, and list_variables and load_variable, over checkpoints of both formats. Start at
 * `newCheckpointReader`.
 *
 * @see TensorFlow python/training/py_checkpoint_reader.py, python/training/checkpoint_utils.py; core/util/tensor_bundle/tensor_bundle.cc
 *   BundleReader::DebugString; core/util/tensor_slice_reader.cc TensorSliceReader::DebugString
 */

import { basename, dirname, diskFiles, type Files } from "#platform";
import {
  compareText,
  type DType,
  dtypeToProto,
  formatShape,
  isVarscopeError,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { compareBytes } from "../../wire/index.ts";
import { openV1Collection } from "../checkpoint-v1/open.ts";
import type { ReadOptions } from "../collection/index.ts";
import { locateCheckpoint } from "./files.ts";
import { type Checkpoint, type CheckpointEntry, openCheckpoint } from "./open.ts";
import { sliceKey, sliceShape } from "./slice.ts";
import { latestCheckpoint } from "./state.ts";

/** An open checkpoint of either format. Names are its keys. */
export interface CheckpointReader {
  hasTensor(name: string): boolean;
  /**
   * A tensor. Slices of a V1 checkpoint are put together, and all dtypes are read: TensorFlow's own refuses both.
   *
   * @throws VarscopeError NOT_FOUND - no such tensor; DATA_LOSS - damaged
   */
  getTensor(name: string, options?: ReadOptions): Promise<Tensor>;
  /** Name to shape, sorted by name. */
  getVariableToShapeMap(): Map<string, readonly number[]>;
  /** Name to dtype, sorted by name. */
  getVariableToDtypeMap(): Map<string, DType>;
  /**
   * `name (DT_FLOAT) [2,3]`, a line each, sorted (TensorFlow's are not for V1). Of a partitioned tensor V2 lists the parts under their
   * binary keys, V1 says how many slices there are. Bytes that are no UTF-8 are left out, as TensorFlow's tools do.
   */
  debugString(): string;
  close(): Promise<void>;
}

/**
 * Opens a checkpoint: by prefix, pattern of V1's shards, one of its files, state file, or folder (then the latest).
 *
 * @param files - where its files are looked up
 * @throws VarscopeError NOT_FOUND - there is none; DATA_LOSS - damaged
 */
export async function newCheckpointReader(path: string, files: Files = diskFiles): Promise<CheckpointReader> {
  let notV2: VarscopeError;
  try {
    return readerOfV2(await openCheckpoint(await locateCheckpoint(path, files), files));
  } catch (e) {
    if (!isVarscopeError(e, "NOT_FOUND") && !isVarscopeError(e, "UNIMPLEMENTED")) throw e;
    notV2 = e;
  }
  const isDir = await files.isDir(path);
  const latest = isDir
    ? await latestCheckpoint(path, undefined, files)
    : await latestCheckpoint(dirname(path), basename(path), files);
  if (isDir && latest === null) throw notV2;
  try {
    return await readerOfV1(latest ?? path, files);
  } catch (e) {
    throw isVarscopeError(e, "NOT_FOUND") && notV2.code === "NOT_FOUND" ? notV2 : e;
  }
}

function readerOfV2(checkpoint: Checkpoint): CheckpointReader {
  const { entries } = checkpoint;
  return {
    hasTensor: (name) => entries.has(name),
    getTensor: (name, options) => checkpoint.read(name, options),
    getVariableToShapeMap: () => new Map([...entries].map(([name, { shape }]) => [name, shape])),
    getVariableToDtypeMap: () => new Map([...entries].map(([name, { dtype }]) => [name, dtype])),
    debugString: () =>
      [...entries]
        .flatMap(debugEntries)
        .sort((a, b) => compareBytes(a.key, b.key))
        .map(({ key, dtype, shape }) => debugLine(utf8Of(key), dtype, shape))
        .join(""),
    close: () => checkpoint.close(),
  };
}

interface DebugEntry {
  readonly key: Uint8Array;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor, or the parts in which it lies. */
const debugEntries = ([name, { dtype, shape, slices }]: readonly [string, CheckpointEntry]): DebugEntry[] =>
  slices.length === 0
    ? [{ key: new TextEncoder().encode(name), dtype, shape }]
    : slices.map((slice) => ({ key: sliceKey(name, slice), dtype, shape: sliceShape(shape, slice) }));

const utf8Of = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replaceAll("\ufffd", "");

const debugLine = (name: string, dtype: DType, shape: readonly number[], more = ""): string =>
  `${name} (${dtypeToProto(dtype)}) ${formatShape(shape)}${more}\n`;

async function readerOfV1(path: string, files: Files): Promise<CheckpointReader> {
  const collection = await openV1Collection(path, files);
  const facts = new Map(
    collection.variables.map(({ name, dtype, shape, parts = [] }) => [
      name,
      { dtype, shape: shape as readonly number[], slices: parts.length },
    ]),
  );
  return {
    hasTensor: (name) => facts.has(name),
    getTensor: async (name, options) => {
      if (facts.has(name)) return collection.read(name, options);
      throw new VarscopeError("NOT_FOUND", `${name} not found in checkpoint file`, { at: path });
    },
    getVariableToShapeMap: () => new Map([...facts].map(([name, { shape }]) => [name, shape])),
    getVariableToDtypeMap: () => new Map([...facts].map(([name, { dtype }]) => [name, dtype])),
    debugString: () =>
      [...facts]
        .map(([name, { dtype, shape, slices }]) =>
          debugLine(name, dtype, shape, slices > 1 ? `, ${slices} slices` : ""),
        )
        .join(""),
    close: () => collection.close(),
  };
}

/** Names (keys) and shapes of a checkpoint, sorted by name. @throws VarscopeError as `newCheckpointReader` */
export async function listVariables(
  path: string,
  files: Files = diskFiles,
): Promise<(readonly [name: string, shape: readonly number[]])[]> {
  const reader = await newCheckpointReader(path, files);
  await reader.close();
  return [...reader.getVariableToShapeMap()].sort(([a], [b]) => compareText(a, b));
}

/** A tensor of a checkpoint; its name may end in `:0`. @throws VarscopeError as `newCheckpointReader` and `getTensor` */
export async function loadVariable(path: string, name: string, files: Files = diskFiles): Promise<Tensor> {
  const reader = await newCheckpointReader(path, files);
  try {
    return await reader.getTensor(name.replace(/:0$/, ""));
  } finally {
    await reader.close();
  }
}
