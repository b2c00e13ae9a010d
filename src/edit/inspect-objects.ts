/** @file The objects of a TF2 checkpoint or SavedModel, as a tree with what is stored of each. Start at `inspectObjects`. */

import { VarscopeError } from "../base/index.ts";
import type { Format } from "../formats/collection/index.ts";
import {
  checkpointObjects,
  readObjectGraph,
  savedObjects,
  type TreeObject,
} from "../formats/object-graph/index.ts";
import { chooseMetaGraph, readSavedModelMeta } from "../formats/saved-model/index.ts";
import { locate } from "./locate.ts";
import { filesOf, type Model } from "./open-model.ts";

/** What `varscope inspect --objects --json` prints. */
export interface ObjectInspection {
  readonly path: string;
  readonly format: Format;
  /** by id; the root is the first */
  readonly objects: readonly TreeObject[];
}

/**
 * The objects of an open container, as tree and edges: of a SavedModel those that it is loaded as, of a checkpoint those that were saved.
 *
 * @throws VarscopeError FAILED_PRECONDITION - it has none; DATA_LOSS - damaged; RESOURCE_EXHAUSTED - more than a tree may have
 */
export async function inspectObjects(model: Model): Promise<ObjectInspection> {
  const { path, format } = model;
  const byKey = new Map(
    model.variables.flatMap((v) => [v.key, ...(v.aliases ?? [])].map((key) => [key, v] as const)),
  );
  const objects = (await savedTree(model, new Set(byKey.keys()))) ?? checkpointTree(model);
  if (objects === null) {
    throw new VarscopeError("FAILED_PRECONDITION", `${format} has no graph of objects`, {
      at: path,
      hint: "checkpoints of tf.train.Checkpoint and SavedModels of TF2 have one; leave --objects out",
    });
  }
  const stored = (value: TreeObject["values"][number]): TreeObject["values"][number] => {
    const found = byKey.get(value.key);
    return found === undefined ? value : { ...value, dtype: found.dtype, shape: found.shape };
  };
  return { path, format, objects: objects.map((o) => ({ ...o, values: o.values.map(stored) })) };
}

const checkpointTree = ({ extras, path }: Model): TreeObject[] | null =>
  extras.objectGraph === undefined
    ? null
    : checkpointObjects(readObjectGraph(extras.objectGraph, path), path);

async function savedTree({ format, path }: Model, keys: ReadonlySet<string>): Promise<TreeObject[] | null> {
  if (format !== "saved-model") return null;
  const files = filesOf(path);
  const { file } = await locate(path, files);
  const { objectGraphDef } = chooseMetaGraph(await readSavedModelMeta(file, files), undefined, path);
  return objectGraphDef === undefined ? null : savedObjects(objectGraphDef, keys, path);
}
