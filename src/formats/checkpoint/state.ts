/**
 * @file The `checkpoint` state file: which checkpoints a folder has, oldest first, and which is the latest.
 * Start at `readCheckpointState`.
 *
 * @see TensorFlow python/checkpoint/checkpoint_management.py, python/training/checkpoint_state.proto
 */

import {
  absolutePath,
  diskFiles,
  type Files,
  isAbsolute,
  joinPath,
  relativePath,
  type Source,
  type WriteOptions,
  writeFileAtomic,
} from "#platform";
import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { hasMatch } from "../checkpoint-v1/files.ts";
import { formatState, parseState } from "./state-text.ts";

/** What a state file says. Paths are prefixes. */
export interface CheckpointState {
  /** the latest */
  readonly modelCheckpointPath: string;
  /** not deleted yet, oldest first */
  readonly allModelCheckpointPaths: readonly string[];
  /** seconds since 1970, one for each path, or none */
  readonly allModelCheckpointTimestamps: readonly number[];
  /** seconds since 1970 */
  readonly lastPreservedTimestamp?: number;
}

/** Name of the state file where none is given. */
const STATE_FILE = "checkpoint";

/**
 * The state of a folder, its paths joined to the folder where they are relative; null where there is no state file or it
 * cannot be read or parsed.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the file names no latest checkpoint
 */
export async function readCheckpointState(
  dir: string,
  name = STATE_FILE,
  files: Files = diskFiles,
): Promise<CheckpointState | null> {
  const file = joinPath(dir, name);
  let state: CheckpointState;
  try {
    state = parseState(await readText(files.source(file)), file);
  } catch (e) {
    if (isVarscopeError(e)) return null;
    throw e;
  }
  if (state.modelCheckpointPath === "") {
    throw new VarscopeError("INVALID_ARGUMENT", `Invalid checkpoint state loaded from ${dir}`, {
      at: file,
      hint: "model_checkpoint_path is empty; name the latest prefix there",
    });
  }
  const placed = (path: string): string => (isAbsolute(path) ? path : joinPath(dir, path));
  return {
    ...state,
    modelCheckpointPath: placed(state.modelCheckpointPath),
    allModelCheckpointPaths: state.allModelCheckpointPaths.map(placed),
  };
}

/** Far beyond any state file: 10,000 paths of 1 KB. */
const MAX_STATE_BYTES = 10_000_000;

async function readText(source: Source): Promise<string> {
  try {
    const size = await source.size();
    if (size > MAX_STATE_BYTES) {
      throw new VarscopeError(
        "DATA_LOSS",
        `a state file of ${size} bytes; at most ${MAX_STATE_BYTES} are read`,
        { at: source.name },
      );
    }
    return new TextDecoder().decode(await source.read(0, size));
  } finally {
    await source.close();
  }
}

export interface StateOptions extends WriteOptions {
  /** "checkpoint" */
  readonly name?: string;
  /** write paths relative to the folder even where they are absolute: false */
  readonly relativePaths?: boolean;
}

/**
 * Writes the state file of `dir`, in one step.
 *
 * Paths are written relative to `dir` where both are relative (to the working folder), and as they are otherwise.
 *
 * @throws VarscopeError INVALID_ARGUMENT - as many timestamps as paths are wanted, or the latest would overwrite the file
 */
export async function updateCheckpointState(
  dir: string,
  state: CheckpointState,
  options: StateOptions = {},
): Promise<void> {
  const { name = STATE_FILE, relativePaths = false } = options;
  const latest = state.modelCheckpointPath;
  const given = state.allModelCheckpointPaths;
  const all = given.at(-1) === latest ? given : [...given, latest];
  const times = state.allModelCheckpointTimestamps;
  if (times.length > 0 && times.length !== all.length) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Checkpoint timestamps, if provided, must match checkpoint paths (got ${all.length} paths and ${times.length} timestamps)`,
      { at: joinPath(dir, name) },
    );
  }
  const seen = (path: string): string => {
    const shown = relativePaths && isAbsolute(path) ? fromDir(dir, path) : path;
    return isAbsolute(dir) || isAbsolute(shown)
      ? shown
      : relativePaths && isAbsolute(path)
        ? shown
        : fromDir(dir, shown);
  };
  const written = { ...state, modelCheckpointPath: seen(latest), allModelCheckpointPaths: all.map(seen) };
  const file = joinPath(dir, name);
  if (file === written.modelCheckpointPath) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Save path '${latest}' conflicts with path used for checkpoint state`,
      {
        at: file,
        hint: "use a different save path",
      },
    );
  }
  await writeFileAtomic(file, [new TextEncoder().encode(formatState(written))], options);
}

const fromDir = (dir: string, path: string): string => relativePath(absolutePath(dir), absolutePath(path));

/**
 * Prefix of the latest checkpoint of a folder, by its state file; null where it has none, or the files are gone.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the state file names no latest checkpoint
 */
export async function latestCheckpoint(
  dir: string,
  name = STATE_FILE,
  files: Files = diskFiles,
): Promise<string | null> {
  const state = await readCheckpointState(dir, name, files);
  if (state === null) return null;
  return (await checkpointExists(state.modelCheckpointPath, files)) ? state.modelCheckpointPath : null;
}

/** Whether a V2 index, or a V1 file or one that its pattern fits, of that prefix is there. Shards of V2 are not looked for. */
export const checkpointExists = async (prefix: string, files: Files = diskFiles): Promise<boolean> =>
  (await files.exists(`${prefix}.index`)) || (await files.exists(prefix)) || hasMatch(prefix, files);
