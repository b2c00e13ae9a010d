/** @file A SavedModel with other values: the same graphs, the same keys. Start at `writeSavedModelVariables`. */

import {
  diskFiles,
  exists,
  isDir,
  joinPath,
  listDir,
  makeDir,
  remove,
  removeDir,
  rename,
  type Source,
  temporaryBeside,
  writeFileAtomic,
} from "#platform";
import { formatShape, sameShape, VarscopeError } from "../../base/index.ts";
import { writeV2Collection } from "../checkpoint/index.ts";
import {
  type Contents,
  contentsOf,
  type VariableCollection,
  variableOf,
  type WritableVariable,
  type WriteCollectionOptions,
  type WriteReport,
} from "../collection/index.ts";
import { OBJECT_GRAPH_KEY } from "../object-graph/index.ts";
import { openSavedModel, variablesPrefix } from "./read.ts";

/**
 * Copies the SavedModel `from` to the new folder `to`, with the values of `contents`; variables that are not in it keep theirs. What
 * Keras has twice is written twice. The folder appears when all of it is there.
 *
 * @param contents - variables by their names or keys in `from`, of the same dtype and shape
 * @returns files that are not carried: the fingerprint, which is one of the old values
 * @throws VarscopeError ALREADY_EXISTS - `to` is there; NOT_FOUND - a variable that the SavedModel lacks; INVALID_ARGUMENT - other dtype or shape
 */
export async function writeSavedModelVariables(
  from: string,
  to: string,
  contents: Contents,
  options: WriteCollectionOptions = {},
): Promise<WriteReport> {
  if (await exists(to))
    throw new VarscopeError("ALREADY_EXISTS", "the folder is there", {
      at: to,
      hint: "give a new one, or remove it",
    });
  const model = await openSavedModel(from);
  const staged = await temporaryBeside(to.replace(/\/+$/, ""));
  try {
    const variables = replaced(model, contents);
    await copyFolder(from, staged, (path) => path !== "variables" && path !== FINGERPRINT);
    await makeDir(joinPath(staged, "variables"));
    const { left } = await writeV2Collection(variablesPrefix(staged), { variables }, options);
    await rename(staged, to);
    const stale = { what: FINGERPRINT, why: "it is of the earlier values" };
    return { left: (await exists(joinPath(from, FINGERPRINT))) ? [...left, stale] : left };
  } catch (e) {
    await removeAll(staged).catch(() => {});
    throw e;
  } finally {
    await model.close();
  }
}

/** TensorFlow's checksum of a SavedModel, which loading does not need. */
const FINGERPRINT = "fingerprint.pb";

/** All tensors of the model's checkpoint, by their keys. */
function replaced(model: VariableCollection, { variables }: Contents): WritableVariable[] {
  const given = new Map<string, WritableVariable>();
  for (const v of variables) {
    const old = findOld(model, v);
    if (old.dtype !== v.dtype || !sameShape(old.shape, v.shape)) {
      const what = `${v.dtype} ${formatShape(v.shape)}, the SavedModel's graph has ${old.dtype} ${formatShape(old.shape)}`;
      throw new VarscopeError("INVALID_ARGUMENT", what, { at: v.name, hint: "cast or reshape it before" });
    }
    given.set(old.name, v);
  }
  const tensors = contentsOf(model).variables.flatMap((old) => {
    const { key = old.name, aliases = [] } = old;
    const { values } = given.get(old.name) ?? old;
    return [key, ...aliases].map((name) => ({
      name,
      dtype: old.dtype,
      shape: old.shape,
      values,
      ...partsOf(old),
    }));
  });
  const graph = model.extras.objectGraph;
  if (graph === undefined) return tensors;
  return [...tensors, variableOf(OBJECT_GRAPH_KEY, { dtype: "string", shape: [], data: [graph] })];
}

const partsOf = ({ parts }: WritableVariable) => (parts === undefined ? {} : { parts });

/** The variable that is to be replaced: by its key where the container has that, else by its name. */
function findOld(model: VariableCollection, v: WritableVariable): VariableCollection["variables"][number] {
  const byKey = v.key === undefined ? undefined : model.variables.find((old) => old.key === v.key);
  return byKey ?? model.find(v.name);
}

async function copyFolder(
  from: string,
  to: string,
  wanted: (path: string) => boolean,
  below = "",
): Promise<void> {
  await makeDir(to);
  for (const name of await listDir(from)) {
    const path = below === "" ? name : `${below}/${name}`;
    if (!wanted(path)) continue;
    const source = joinPath(from, name);
    if (await isDir(source)) await copyFolder(source, joinPath(to, name), wanted, path);
    else await copyFile(source, joinPath(to, name));
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  const source = diskFiles.source(from);
  try {
    await writeFileAtomic(to, chunksOf(source));
  } finally {
    await source.close();
  }
}

const CHUNK_BYTES = 4 << 20;

async function* chunksOf(source: Source): AsyncGenerator<Uint8Array> {
  const size = await source.size();
  for (let at = 0; at < size; at += CHUNK_BYTES) yield source.read(at, Math.min(CHUNK_BYTES, size - at));
}

async function removeAll(path: string): Promise<void> {
  if (!(await isDir(path))) return remove(path);
  for (const name of await listDir(path)) await removeAll(joinPath(path, name));
  await removeDir(path);
}
