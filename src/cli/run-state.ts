/** @file Variables of `varscope run`: initialised, restored, saved, as the graph's own ops do it where it has them. Start at `initialize`. */

import { basename, dirname, exists, isDir, makeDir, writeFileAtomic } from "#platform";
import { type Tensor, VarscopeError } from "../base/index.ts";
import { initializersOf } from "../edit/graph/initialize.ts";
import type { GraphFile } from "../edit/graph/open-graph.ts";
import { storedAt, variableOps, variableValues } from "../edit/graph/values.ts";
import {
  locateCheckpoint,
  type NamedTensor,
  readCheckpointState,
  saveCheckpoint,
  updateCheckpointState,
} from "../formats/checkpoint/index.ts";
import { type VariableRecord, writeMetaGraph } from "../formats/meta-graph/index.ts";
import type { Operation } from "../graph/index.ts";
import { type Session, variableKey } from "../run/index.ts";
import { saver } from "../train/index.ts";

type Aborts = { readonly signal?: AbortSignal };

/** Runs the graph's initializer, then those of variables that it left out, then those of local variables and tables. */
export async function initialize(session: Session, options: Aborts): Promise<void> {
  const { all, each, local } = initializersOf(session.graph);
  if (all.length > 0) await session.run([], { ...options, targets: all });
  const missing = [...each].filter(([key]) => !session.variables.has(key)).map(([, op]) => op);
  if (missing.length > 0) await session.run([], { ...options, targets: missing });
  if (local.length > 0) await session.run([], { ...options, targets: local });
}

/** Restores by the saver's ops, or by name where the graph has none; then initialises what no checkpoint holds. */
export async function restore(
  session: Session,
  file: GraphFile,
  path: string,
  options: Aborts,
): Promise<void> {
  const prefix = await locateCheckpoint(path);
  const saverDef = file.meta?.saverDef;
  if (saverDef !== undefined && saverDef.restoreOpName !== "") {
    await saver(file.graph, { saverDef }).restore(session, prefix);
  } else {
    const values = await variableValues(file.graph, savedVariables(file), prefix, options.signal);
    for (const [op, value] of values) session.variables.commit(variableKey(op), value, false);
  }
  const { local } = initializersOf(session.graph);
  if (local.length > 0) await session.run([], { ...options, targets: local });
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
    await saveCheckpoint(prefix, tensorsOf(session, file), options);
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

function tensorsOf(session: Session, file: GraphFile): NamedTensor[] {
  const place = storedAt(file.graph);
  return savedVariables(file).map((op) => {
    const { key, slice } = place(op);
    const tensor: Tensor = session.variables.need(variableKey(op), op.outputs[0]!.isRef);
    return { name: key, slice, tensor };
  });
}
