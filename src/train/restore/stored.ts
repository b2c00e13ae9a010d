/** @file The checkpoint that somebody who restores points at: of either format, by any of its files. Start at `openStored`. */

import { diskFiles } from "#platform";
import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import {
  checkpointExists,
  latestCheckpoint,
  locateCheckpoint,
  openCheckpointCollection,
  openV1Collection,
} from "../../formats/checkpoint/index.ts";
import type { VariableCollection } from "../../formats/collection/index.ts";

/** An open checkpoint. */
export interface Stored {
  /** as RestoreV2 takes it: a prefix, or the file or pattern of V1 */
  readonly prefix: string;
  readonly collection: VariableCollection;
}

/**
 * Opens what `path` means: prefix, one of the files, folder (then the latest), V1 file or pattern.
 *
 * @throws VarscopeError INVALID_ARGUMENT - nothing that could be restored; DATA_LOSS - damaged
 */
export async function openStored(path: string): Promise<Stored> {
  try {
    const prefix = await locateCheckpoint(path);
    return { prefix, collection: await openCheckpointCollection(prefix) };
  } catch (e) {
    if (!isVarscopeError(e, "NOT_FOUND") && !isVarscopeError(e, "UNIMPLEMENTED")) throw e;
    const prefix = (await diskFiles.isDir(path)) ? await latestCheckpoint(path) : path;
    if (prefix === null || !(await checkpointExists(prefix))) throw notThere(path, e);
    return { prefix, collection: await openV1Collection(prefix) };
  }
}

const notThere = (path: string, cause: VarscopeError): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `The passed save_path is not a valid checkpoint: ${path}`, {
    cause,
    ...(cause.hint === undefined ? {} : { hint: cause.hint }),
  });
