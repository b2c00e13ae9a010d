/**
 * @file Loading SavedModels: graph, values, tables, and calls by signature. Start at `loadSavedModel`.
 *
 * @see TensorFlow python/saved_model/loader_impl.py "SavedModelLoader"
 */

import { diskFiles } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { intoScope } from "../../formats/meta-graph/scope.ts";
import {
  assetFiles,
  chooseMetaGraph,
  initOpName,
  openSavedModel,
  readSavedModelMeta,
  SavedModelKeys,
  trainOpName,
  variablesPrefix,
} from "../../formats/saved-model/index.ts";
import { Graph, type Operation, type Output, type Registry } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import type { MetaGraphDef, SaverDef, SignatureDef } from "../../proto/meta-graph.gen.ts";
import { Session, type SessionOptions, variableKey } from "../../run/index.ts";
import { importMetaGraph } from "../meta-graph.ts";
import { type Saver, saver } from "../saver.ts";
import { callSignature, type SignatureFeeds, type SignatureResults, signatureTensor } from "./call.ts";
import { type Twins, takeObjects } from "./objects.ts";

export interface LoadSavedModelOptions extends SessionOptions {
  /** of the MetaGraph: that for serving, else the only one */
  readonly tags?: readonly string[];
  /** loads into this session's graph, beside what is there; by default into a new one */
  readonly session?: Session;
  /** name scope of the graph: none */
  readonly importScope?: string;
  /** the ops that are known: all of this package */
  readonly registry?: Registry;
  readonly signal?: AbortSignal;
}

export interface CallOptions {
  /** "serving_default" */
  readonly signature?: string;
  /** the outputs wanted, by name: all */
  readonly outputs?: readonly string[];
  readonly signal?: AbortSignal;
}

/** A SavedModel that is ready to run. */
export interface LoadedModel {
  readonly folder: string;
  readonly graph: Graph;
  /** closed by `close`, if it was made for the model */
  readonly session: Session;
  /** what callers may call, by name */
  readonly signatures: { readonly [name: string]: SignatureDef };
  /** of the variables; null where there are none */
  readonly saver: Saver | null;
  /** what makes a training step, if the model says so: run it as a target */
  readonly trainOp: Operation | Output | null;
  /** where it is in the graph, without a slash: "" is the root */
  readonly scope: string;
  readonly def: MetaGraphDef;
  /**
   * Runs a signature.
   *
   * @param feeds - tensors or nested arrays by input name; inputs with a default may be left out
   * @returns tensors by output name
   * @throws VarscopeError NOT_FOUND - no such signature, input or output; INVALID_ARGUMENT - an input is missing or does not fit
   */
  run(feeds?: SignatureFeeds, options?: CallOptions): Promise<SignatureResults>;
  /**
   * The tensor behind an input of a signature, to feed or to build on; of a sparse one `x.indices`, `x.values`, `x.denseShape`.
   *
   * @param signature - "serving_default"
   * @throws VarscopeError NOT_FOUND - no such signature or input
   */
  input(name: string, signature?: string): Output;
  /** The same of an output: what a loss is put on. */
  output(name: string, signature?: string): Output;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Loads a SavedModel of TensorFlow 1 or 2: adds its graph, restores its variables and runs its initialisation.
 *
 * @throws VarscopeError NOT_FOUND - no SavedModel, no MetaGraph of these tags, or variables without files; DATA_LOSS - damaged;
 *   INVALID_ARGUMENT - an asset outside the folder
 */
export async function loadSavedModel(
  folder: string,
  options: LoadSavedModelOptions = {},
): Promise<LoadedModel> {
  const { tags, importScope = "", registry = CORE_OPS, signal, session: given, ...sessionOptions } = options;
  const def = chooseMetaGraph(await readSavedModelMeta(folder), tags, folder);
  const graph = given?.graph ?? new Graph(registry);
  const before = graph.operations.length;
  const imported = importMetaGraph(graph, def, { importScope });
  const twins = takeObjects(graph, def, imported.scope);
  const session = given ?? new Session(graph, sessionOptions);
  warnOfShared(session, graph.operations.slice(before), folder, options.warn);
  const close = async (): Promise<void> => {
    if (given === undefined) await session.close();
  };
  const { scope } = imported;
  try {
    await restoreSavedModel(session, def, folder, { scope, ...(signal && { signal }) });
  } catch (e) {
    await close();
    throw e;
  }
  const hidden: readonly string[] = [SavedModelKeys.INIT_OP_SIGNATURE, SavedModelKeys.TRAIN_OP_SIGNATURE];
  const signatures = Object.fromEntries(
    Object.entries(def.signatureDef).filter(([name]) => !hidden.includes(name)),
  );
  const callee = { session, signatures, scope, folder };
  return {
    folder,
    graph,
    session,
    signatures,
    saver: imported.saver && keepingEqual(imported.saver, twins),
    trainOp: trainOpOf(graph, def, scope),
    scope,
    def,
    run: (feeds = {}, call = {}) => callSignature(callee, feeds, call),
    input: (name, signature) => signatureTensor(callee, "inputs", name, signature),
    output: (name, signature) => signatureTensor(callee, "outputs", name, signature),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A saver that writes a variable under the keys of both twins, and gives both the value that TensorFlow 2 would read. */
function keepingEqual(base: Saver, twins: readonly Twins[]): Saver {
  const copy = ({ variables }: Session, from: keyof Twins, to: keyof Twins): void => {
    for (const pair of twins) {
      const value = variables.get(variableKey(pair[from]));
      if (value !== null)
        variables.commit(variableKey(pair[to]), { ...value, data: value.data.slice() }, false);
    }
  };
  return {
    ...base,
    async save(session, ...rest) {
      copy(session, "taken", "saved");
      return base.save(session, ...rest);
    },
    async restore(session, ...rest) {
      const report = await base.restore(session, ...rest);
      copy(session, "saved", "taken");
      return report;
    },
  };
}

function trainOpOf(graph: Graph, def: MetaGraphDef, scope: string): Operation | Output | null {
  const name = trainOpName(def);
  if (name === null) return null;
  const here = intoScope(scope)(name);
  return /:\d+$/.test(name) ? graph.output(here) : graph.operation(here);
}

/** Two models in one session whose resources have one name are one, as in TensorFlow, which says nothing. */
function warnOfShared(
  session: Session,
  ops: readonly Operation[],
  folder: string,
  warn: (message: string) => void = (m) => console.warn(m),
): void {
  const keys = ops.filter((op) => op.def?.variable !== undefined).map(variableKey);
  const taken = [...new Set(keys)].filter((key) => session.variables.has(key));
  if (taken.length === 0) return;
  const some = `${taken.slice(0, 3).join(", ")}${taken.length > 3 ? ", ..." : ""}`;
  warn(
    `varscope: ${folder} replaces the values of ${taken.length} variables that the session has (${some}): their shared names are the same. Load it into a session of its own to keep both.`,
  );
}

/**
 * Gives the variables of a SavedModel's graph their values, by the restore op that it brings along, and runs its initialisation with the
 * paths of its assets.
 *
 * @param options - scope: where the graph was imported; variables false: initialisation alone
 */
export async function restoreSavedModel(
  session: Session,
  def: MetaGraphDef,
  folder: string,
  options: { readonly scope?: string; readonly variables?: boolean; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { scope = "", variables = true, signal } = options;
  const inside = intoScope(scope);
  const assets = assetFiles(def, folder);
  if (variables) await restoreVariables(session, def.saverDef, folder, scope);
  const init = initOpName(def);
  if (init === null) return;
  const feeds = Object.fromEntries([...assets].map(([tensor, path]) => [inside(tensor), path]));
  const targets = [inside(init)];
  await session.run([], { targets, feeds, ...(signal && { signal }) });
}

async function restoreVariables(
  session: Session,
  saverDef: SaverDef | undefined,
  folder: string,
  scope: string,
): Promise<void> {
  const prefix = variablesPrefix(folder);
  if (!(await diskFiles.exists(`${prefix}.index`))) {
    await (await openSavedModel(folder)).close(); // says so if there should be some
    return;
  }
  if (saverDef !== undefined && saverDef.restoreOpName !== "") {
    await saver(session.graph, { saverDef, name: scope }).restore(session, prefix);
  } else await restoreByName(session, folder, scope);
}

/** For a graph without a restore op: variables by their names. */
async function restoreByName(session: Session, folder: string, scope: string): Promise<void> {
  const model = await openSavedModel(folder);
  try {
    for (const op of session.graph.operations) {
      if (op.def?.variable === undefined || (scope !== "" && !op.name.startsWith(`${scope}/`))) continue;
      const name = op.name.slice(scope === "" ? 0 : scope.length + 1);
      const key = [String(op.attrs.shared_name ?? ""), name].find((n) => n !== "" && hasVariable(model, n));
      if (key === undefined) {
        throw new VarscopeError("NOT_FOUND", `Key ${name} not found in checkpoint`, { at: folder });
      }
      session.variables.commit(variableKey(op), await model.read(key), false);
    }
  } finally {
    await model.close();
  }
}

const hasVariable = (model: Awaited<ReturnType<typeof openSavedModel>>, name: string): boolean =>
  model.variables.some((v) => v.name === name || v.key === name);
