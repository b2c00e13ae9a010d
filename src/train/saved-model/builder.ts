/**
 * @file Writing SavedModels: MetaGraphs under tags, one set of variables, assets. Start at `saveSavedModel`, or `savedModelBuilder` for
 * several MetaGraphs.
 *
 * @see TensorFlow python/saved_model/builder_impl.py, simple_save.py
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { isDir, joinPath, listDir, makeDir, writeFileAtomic } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { exportMetaGraph } from "../../formats/meta-graph/index.ts";
import { formatMessage } from "../../formats/proto-text/index.ts";
import { SavedModelKeys, SavedModelTags, variablesPrefix } from "../../formats/saved-model/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import {
  CollectionDefSchema,
  type MetaGraphDef,
  type SavedModel,
  SavedModelSchema,
  type SignatureDef,
} from "../../proto/meta-graph.gen.ts";
import type { Session } from "../../run/index.ts";
import { type Saver, saver } from "../saver.ts";
import { AssetCopies } from "./asset-copies.ts";
import { checkSignatures, predictSignatureDef, type SignatureTensors } from "./signatures.ts";

/** A signature, or the tensors of one for Predict requests. */
export type GivenSignature =
  | SignatureDef
  | { readonly inputs: SignatureTensors; readonly outputs: SignatureTensors };

export interface AddMetaGraphOptions {
  /** by name; `serving_default` is what servers and loaders take first */
  readonly signatures?: Readonly<Record<string, GivenSignature>>;
  /** string constants with the paths of files that the graph reads; the files come along, and loaders feed their new paths */
  readonly assets?: readonly Output[];
  /** runs once after the variables are restored: initialises tables */
  readonly mainOp?: Operation;
  /** makes a training step; loaders do not run it */
  readonly trainOp?: Operation | Output;
  /** false */
  readonly clearDevices?: boolean;
  /** leaves out attributes that have their default, which older readers may not know: false */
  readonly stripDefaultAttrs?: boolean;
  /** restores the variables; by default a new sharded one of all */
  readonly saver?: Saver;
  /** hears of collections that no file can hold, and why */
  readonly onSkipped?: (key: string, why: string) => void;
}

export interface SavedModelBuilder {
  /** Adds the session's graph and saves its variables: once, and first. @param tags - what this MetaGraph is found by: "serve" */
  addMetaGraphAndVariables(
    session: Session,
    tags: readonly string[],
    options?: AddMetaGraphOptions,
  ): Promise<void>;
  /** Adds another graph of the same variables. @throws VarscopeError FAILED_PRECONDITION - they are not saved yet */
  addMetaGraph(graph: Graph, tags: readonly string[], options?: AddMetaGraphOptions): Promise<void>;
  /** Writes saved_model.pb, without which the folder is none, and gives its path. */
  save(options?: { readonly asText?: boolean }): Promise<string>;
}

/**
 * Begins a SavedModel in a new or empty folder.
 *
 * @throws VarscopeError ALREADY_EXISTS - there is something in it
 */
export async function savedModelBuilder(folder: string): Promise<SavedModelBuilder> {
  if ((await isDir(folder)) && (await listDir(folder)).length > 0) {
    throw new VarscopeError(
      "ALREADY_EXISTS",
      `Export directory ${folder} already exists, and isn't empty. Please choose a different export directory, or delete all the contents of the specified directory.`,
    );
  }
  await makeDir(folder);
  const metaGraphs: MetaGraphDef[] = [];
  const assets = new AssetCopies(folder);
  const add = async (
    graph: Graph,
    tags: readonly string[],
    options: AddMetaGraphOptions,
    restorer: Saver,
  ) => {
    metaGraphs.push(await describe(graph, tags, options, restorer, assets));
  };
  return {
    async addMetaGraphAndVariables(session, tags, options = {}) {
      if (metaGraphs.length > 0) {
        const what =
          "Graph state including variables and assets has already been saved. Please invoke `add_meta_graph()` instead.";
        throw new VarscopeError("FAILED_PRECONDITION", what);
      }
      checkSignatures(signaturesOf(options));
      const restorer = options.saver ?? allVariables(session.graph);
      await makeDir(joinPath(folder, "variables"));
      const files = { writeMetaGraph: false, writeState: false };
      await restorer.save(session, variablesPrefix(folder), files);
      await add(session.graph, tags, options, restorer);
    },
    async addMetaGraph(graph, tags, options = {}) {
      if (metaGraphs.length === 0) {
        const what =
          "Graph state including variables and assets has not been saved yet. Please invoke `add_meta_graph_and_variables()` first.";
        throw new VarscopeError("FAILED_PRECONDITION", what);
      }
      checkSignatures(signaturesOf(options));
      await add(graph, tags, options, options.saver ?? allVariables(graph));
    },
    save: ({ asText = false } = {}) => writeModel(folder, metaGraphs, asText),
  };
}

const allVariables = (graph: Graph): Saver => saver(graph, { sharded: true, allowEmpty: true });

/** @see TensorFlow cc/saved_model/constants.h "kSavedModelSchemaVersion" */
const SCHEMA_VERSION = 1n;

async function writeModel(folder: string, metaGraphs: MetaGraphDef[], asText: boolean): Promise<string> {
  const model: SavedModel = create(SavedModelSchema, { savedModelSchemaVersion: SCHEMA_VERSION, metaGraphs });
  const file = joinPath(folder, asText ? "saved_model.pbtxt" : "saved_model.pb");
  const bytes = asText
    ? new TextEncoder().encode(formatMessage(SavedModelSchema, model))
    : toBinary(SavedModelSchema, model);
  await writeFileAtomic(file, [bytes]);
  return file;
}

function signaturesOf({ signatures = {} }: AddMetaGraphOptions): { [name: string]: SignatureDef } {
  const made = Object.entries(signatures).map(([name, given]) => [
    name,
    "$typeName" in given ? given : predictSignatureDef(given.inputs, given.outputs),
  ]);
  return Object.fromEntries(made);
}

async function describe(
  graph: Graph,
  tags: readonly string[],
  options: AddMetaGraphOptions,
  restorer: Saver,
  assets: AssetCopies,
): Promise<MetaGraphDef> {
  const { mainOp, trainOp, clearDevices = false, stripDefaultAttrs = false, onSkipped } = options;
  for (const key of [SavedModelKeys.MAIN_OP, SavedModelKeys.LEGACY_INIT_OP]) {
    if (mainOp === undefined || graph.getCollection(key).length === 0) continue;
    const what = `Graph already contains one or more main ops under the collection ${key}.`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
  const def = exportMetaGraph(graph, {
    saverDef: restorer.saverDef ?? undefined,
    signatures: signaturesOf(options),
    info: { tags },
    clearDevices,
    stripDefaultAttrs,
    ...(onSkipped && { onSkipped }),
  });
  const nodes = (op: Operation | Output) =>
    create(CollectionDefSchema, { kind: { case: "nodeList", value: { value: [op.name] } } });
  const files = await assets.add(options.assets ?? []);
  if (mainOp !== undefined) def.collectionDef[SavedModelKeys.MAIN_OP] = nodes(mainOp);
  if (trainOp !== undefined) def.collectionDef[SavedModelKeys.TRAIN_OP] = nodes(trainOp);
  if (files.length > 0) {
    def.collectionDef[SavedModelKeys.ASSETS] = create(CollectionDefSchema, {
      kind: { case: "anyList", value: { value: files } },
    });
  }
  return def;
}

export interface SaveSavedModelOptions extends AddMetaGraphOptions {
  /** ["serve"] */
  readonly tags?: readonly string[];
  /** more MetaGraphs of the same variables, such as one for training */
  readonly others?: readonly (AddMetaGraphOptions & {
    readonly graph: Graph;
    readonly tags: readonly string[];
  })[];
  /** saved_model.pbtxt, which only tools of the same version read for sure: false */
  readonly asText?: boolean;
}

/**
 * Writes the session's graph and variables as a SavedModel, which TensorFlow and TensorFlow Serving load.
 *
 * @returns the path of saved_model.pb
 * @throws VarscopeError ALREADY_EXISTS - the folder has something in it; FAILED_PRECONDITION - a variable without a value; INVALID_ARGUMENT -
 *   signatures or assets that do not fit
 */
export async function saveSavedModel(
  session: Session,
  folder: string,
  options: SaveSavedModelOptions = {},
): Promise<string> {
  const { tags = [SavedModelTags.SERVING], others = [], asText = false, ...rest } = options;
  const builder = await savedModelBuilder(folder);
  await builder.addMetaGraphAndVariables(session, tags, rest);
  for (const { graph, tags: theirs, ...more } of others) await builder.addMetaGraph(graph, theirs, more);
  return builder.save({ asText });
}

/** Writes a SavedModel for Predict requests with one signature, `serving_default`, and the assets of collection `asset_filepaths`. */
export const simpleSave = (
  session: Session,
  folder: string,
  inputs: SignatureTensors,
  outputs: SignatureTensors,
  options: { readonly mainOp?: Operation } = {},
): Promise<string> =>
  saveSavedModel(session, folder, {
    signatures: { [SavedModelKeys.DEFAULT_SIGNATURE]: predictSignatureDef(inputs, outputs) },
    assets: session.graph.getCollection<Output>("asset_filepaths"),
    clearDevices: true,
    ...options,
  });
