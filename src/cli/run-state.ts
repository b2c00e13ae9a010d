/** @file Variables of `varscope run`: initialised, restored, saved, as the graph's own ops do it where it has them. Start at `initialize`. */

import { basename, dirname, exists, isDir, makeDir, writeFileAtomic } from "#platform";
import { isVarscopeError, type Tensor, VarscopeError } from "../base/index.ts";
import { initializersOf, operationsBehind } from "../edit/graph/initialize.ts";
import type { GraphFile } from "../edit/graph/open-graph.ts";
import { readingOf, storedAt, variableOps, variableValues } from "../edit/graph/values.ts";
import {
  locateCheckpoint,
  type NamedTensor,
  readCheckpointState,
  saveCheckpoint,
  updateCheckpointState,
} from "../formats/checkpoint/index.ts";
import { type VariableRecord, writeMetaGraph } from "../formats/meta-graph/index.ts";
import { assetFiles } from "../formats/saved-model/index.ts";
import type { Operation } from "../graph/index.ts";
import { type Session, variableKey } from "../run/index.ts";
import { saver } from "../train/index.ts";

type Aborts = { readonly signal?: AbortSignal };

/** Runs the graph's initializer, then those of variables that it left out, then those of local variables and tables. */
export async function initialize(session: Session, file: GraphFile, options: Aborts): Promise<void> {
  const { all, each, local } = initializersOf(session.graph);
  if (all.length > 0) await session.run([], { ...options, targets: all });
  const ran = session.remote === null ? null : operationsBehind(all);
  const isSet = (key: string, op: Operation): boolean => ran?.has(op) ?? session.variables.has(key);
  const missing = [...each].filter(([key, op]) => !isSet(key, op)).map(([, op]) => op);
  if (missing.length > 0) await session.run([], { ...options, targets: missing });
  if (local.length > 0) await session.run([], { ...options, targets: local, feeds: assetFeeds(file) });
}

/** Paths of a SavedModel's asset files, which its tables are filled from. */
const assetFeeds = ({ saved }: GraphFile): Record<string, string> =>
  saved === undefined ? {} : Object.fromEntries(assetFiles(saved.def, saved.folder));

/** Restores by the saver's ops, or by name where the graph has none; then initialises what no checkpoint holds. */
export async function restore(
  session: Session,
  file: GraphFile,
  path: string,
  options: Aborts,
): Promise<void> {
  const prefix = await locateCheckpoint(path).catch((e) => {
    if (session.remote === null || !isVarscopeError(e, "NOT_FOUND")) throw e;
    return path; // the server may see it
  });
  const saverDef = file.meta?.saverDef;
  if (saverDef !== undefined && saverDef.restoreOpName !== "") {
    await saver(file.graph, { saverDef }).restore(session, prefix);
  } else {
    const values = await variableValues(file.graph, savedVariables(file), prefix, options.signal);
    await assign(session, values, options);
  }
  const { local } = initializersOf(session.graph);
  if (local.length > 0) await session.run([], { ...options, targets: local, feeds: assetFeeds(file) });
}

/** Gives variables their values: on a server by their initializers, whose initial value is fed. */
async function assign(
  session: Session,
  values: ReadonlyMap<Operation, Tensor>,
  options: Aborts,
): Promise<void> {
  const { each } = initializersOf(session.graph);
  for (const [op, value] of values) {
    if (session.remote === null) {
      session.variables.commit(variableKey(op), value, false);
      continue;
    }
    const initializer = each.get(variableKey(op));
    if (initializer === undefined) {
      throw new VarscopeError("FAILED_PRECONDITION", "the graph has no initializer that could be fed", {
        at: op.name,
        hint: "run a MetaGraph with a saver on the server",
      });
    }
    const feeds = new Map([[initializer.inputs[1]!, value]]);
    await session.run([], { ...options, targets: [initializer], feeds });
  }
}

/** Variables that checkpoints hold: all but local ones. */
function savedVariables({ graph }: GraphFile): Operation[] {
  const isLocal = new Set(
    graph.getCollection<VariableRecord>("local_variables").map((v) => v.name.replace(/:\d+$/, "")),
  );
  const all = variableOps(graph.operations).filter((op) => !isLocal.has(op.name));
  if (all.length > 0) return all;
  throw new VarscopeError("FAILED_PRECONDITION", "the graph has no variables", {
    at: graph.operations[0]?.name ?? "graph",
    hint: "run it without --checkpoint and --save: a frozen graph needs neither",
  });
}

/** Files that a save would replace. */
export const savedFiles = (prefix: string): string[] => [`${prefix}.index`];

/** Saves the variables as a checkpoint with its `.meta`, and enters it into the folder's state file as the latest. */
export async function save(
  session: Session,
  file: GraphFile,
  prefix: string,
  options: Aborts,
): Promise<void> {
  const dir = dirname(prefix);
  if (!(await isDir(dir))) await makeDir(dir);
  const saverDef = file.meta?.saverDef;
  if (saverDef !== undefined && saverDef.saveTensorName !== "") {
    const plain = { writeState: false, writeMetaGraph: false };
    await saver(file.graph, { saverDef }).save(session, prefix, plain);
  } else {
    await saveCheckpoint(prefix, await tensorsOf(session, file, options), options);
  }
  const metaFile = `${prefix}.meta`;
  if (file.meta !== null && !(await exists(metaFile))) {
    await writeFileAtomic(metaFile, [writeMetaGraph(file.meta)], options);
  }
  if (basename(prefix) === "checkpoint") return; // would be the state file's own name
  const before = (await readCheckpointState(dir))?.allModelCheckpointPaths ?? [];
  await updateCheckpointState(dir, {
    modelCheckpointPath: prefix,
    allModelCheckpointPaths: [...before.filter((p) => p !== prefix), prefix],
    allModelCheckpointTimestamps: [],
  });
}

async function tensorsOf(session: Session, file: GraphFile, options: Aborts): Promise<NamedTensor[]> {
  const place = storedAt(file.graph);
  const variables = savedVariables(file);
  const values =
    session.remote === null
      ? variables.map((op) => session.variables.need(variableKey(op), op.outputs[0]!.isRef))
      : await session.run(variables.map(readingOf), options);
  return variables.map((op, i) => {
    const { key, slice } = place(op);
    return { name: key, slice, tensor: values[i]! };
  });
}
