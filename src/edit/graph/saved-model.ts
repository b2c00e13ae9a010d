/** @file A SavedModel as a container: its variables, and the graph that it is served by. Start at `openSavedModelFile`. */

import { diskFiles, type Files } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import type { CollectionWriter, VariableCollection } from "../../formats/collection/index.ts";
import { fromMetaGraphDef } from "../../formats/meta-graph/index.ts";
import {
  chooseMetaGraph,
  openSavedModel,
  readSavedModelMeta,
  variablesPrefix,
  writeSavedModelVariables,
} from "../../formats/saved-model/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import type { GraphFile } from "./open-graph.ts";

/** The variables of the SavedModel in `folder`, and its graph, parsed when it is asked for. @throws VarscopeError as `openSavedModel` */
export async function openSavedModelFile(
  folder: string,
  files: Files,
): Promise<VariableCollection & { graph(): Promise<GraphFile> }> {
  const collection = await openSavedModel(folder, files);
  const extras = files === diskFiles ? { ...collection.extras, savedModel: folder } : collection.extras;
  return { ...collection, extras, graph: () => savedGraph(folder, files) };
}

/**
 * A copy of the SavedModel that the contents come from, or were laid out like, with their values.
 *
 * @throws VarscopeError FAILED_PRECONDITION - they come from none; and as `writeSavedModelVariables`
 */
export const writeSavedModelCopy: CollectionWriter = async (path, contents, options = {}) => {
  const from = contents.extras?.savedModel;
  if (from !== undefined) return writeSavedModelVariables(from, path, contents, options);
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    "a SavedModel needs a graph, and these variables come without one",
    {
      at: path,
      hint: "give a SavedModel whose graph to take, with --like",
    },
  );
};

/** The graph with these tags, by default that which a SavedModel is served by, with its signatures. */
export async function savedGraph(
  folder: string,
  files: Files = diskFiles,
  tags?: readonly string[],
): Promise<GraphFile> {
  const def = chooseMetaGraph(await readSavedModelMeta(folder, files), tags, folder);
  const meta = fromMetaGraphDef(def, { registry: CORE_OPS, file: folder });
  const prefix = variablesPrefix(folder);
  const checkpoint = (await files.exists(`${prefix}.index`)) ? prefix : null;
  const saved = { folder, def };
  return { path: folder, format: "meta-graph", graph: meta.graph, meta, checkpoint, saved };
}
