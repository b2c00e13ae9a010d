/** @file What a path means: a checkpoint's prefix, or a file with what is in it. Start at `locate`. */

import { basename, dirname, exists, fileSource, isDir, joinPath, readFile } from "#platform";
import { VarscopeError } from "../base/index.ts";
import { latestCheckpoint, locateCheckpoint } from "../formats/checkpoint/index.ts";
import { type FileKind, recognise } from "./recognise.ts";

/** A path that was understood: `prefix` of a checkpoint, or else the `file`, what it is, and its bytes where they were needed. */
export interface Located {
  readonly file: string;
  readonly kind: FileKind | null;
  readonly prefix: string | null;
  readonly bytes: Uint8Array | null;
}

const atPrefix = (prefix: string): Located => ({ file: prefix, kind: "checkpoint-v2", prefix, bytes: null });
const DATA = /\.data-\d{5,}-of-\d{5,}$/;

/**
 * Finds out what `path` is. Names decide nothing but which files belong together.
 *
 * @throws VarscopeError NOT_FOUND - nothing is there; UNIMPLEMENTED - a container that varscope does not read yet
 */
export async function locate(path: string): Promise<Located> {
  if (await isDir(path)) return inFolder(path);
  if (!(await exists(path))) {
    return atPrefix(await locateCheckpoint(path)); // a prefix; or it says what is missing
  }
  const prefix = path.replace(DATA, "");
  if (prefix !== path && (await exists(`${prefix}.index`))) return atPrefix(prefix);
  if (await isTable(path)) return tableAt(path);
  const bytes = await readFile(path);
  const kind = recognise(bytes);
  if (kind === "state") {
    const latest = await latestCheckpoint(dirname(path), basename(path));
    if (latest !== null) return atPrefix(latest);
    throw new VarscopeError("NOT_FOUND", "the checkpoint that this state file names is not there", {
      at: path,
      hint: "give the prefix of another checkpoint",
    });
  }
  if (kind === null && (await exists(`${path}.index`))) return atPrefix(path);
  return { file: path, kind, prefix: null, bytes };
}

async function inFolder(path: string): Promise<Located> {
  for (const name of ["saved_model.pb", "saved_model.pbtxt"]) {
    const file = joinPath(path, name);
    if (await exists(file)) return { file, kind: "saved-model", prefix: null, bytes: null };
  }
  return atPrefix(await locateCheckpoint(path));
}

/** Bytes of a LevelDB table's footer. */
const FOOTER_BYTES = 48;

/** Whether a file ends as an index does: large checkpoints of V1 are tables too, and are not read whole to know it. */
async function isTable(path: string): Promise<boolean> {
  const source = fileSource(path);
  try {
    const size = await source.size();
    if (size < FOOTER_BYTES) return false;
    return recognise(await source.read(size - FOOTER_BYTES, FOOTER_BYTES)) === "table";
  } finally {
    await source.close();
  }
}

function tableAt(path: string): Located {
  if (path.endsWith(".index")) return atPrefix(path.slice(0, -".index".length));
  return { file: path, kind: "checkpoint-v1", prefix: null, bytes: null };
}
