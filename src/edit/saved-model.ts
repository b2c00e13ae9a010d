/** @file A SavedModel as a container: its variables, and the graph that it is served by. Start at `openSavedModelFile`. */

import type { Files } from "#platform";
import type { VariableCollection } from "../formats/collection/index.ts";
import { fromMetaGraphDef } from "../formats/meta-graph/index.ts";
import {
  chooseMetaGraph,
  openSavedModel,
  readSavedModelMeta,
  variablesPrefix,
} from "../formats/saved-model/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import type { GraphFile } from "./open-graph.ts";

/** The variables of the SavedModel in `folder`, and its graph, parsed when it is asked for. @throws VarscopeError as `openSavedModel` */
export async function openSavedModelFile(
  folder: string,
  files: Files,
): Promise<VariableCollection & { graph(): Promise<GraphFile> }> {
  const collection = await openSavedModel(folder, files);
  return { ...collection, graph: () => savedGraph(folder, files) };
}

/** The graph that a SavedModel is served by, with its signatures. */
export async function savedGraph(folder: string, files: Files): Promise<GraphFile> {
  const def = chooseMetaGraph(await readSavedModelMeta(folder, files), undefined, folder);
  const meta = fromMetaGraphDef(def, { registry: CORE_OPS, file: folder });
  const prefix = variablesPrefix(folder);
  const checkpoint = (await files.exists(`${prefix}.index`)) ? prefix : null;
  return { path: folder, format: "meta-graph", graph: meta.graph, meta, checkpoint };
}
