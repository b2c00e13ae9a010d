/** @file CheckpointSaverHook: a checkpoint when the session is made, every so often, and at the end. Start at `checkpointSaverHook`. */

import { joinPath, makeDir, writeFileAtomic } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { type FileWriter, fileWriter, SESSION_STATUS } from "../../formats/events/index.ts";
import { toMetaGraphDef } from "../../formats/meta-graph/index.ts";
import { formatMessage } from "../../formats/proto-text/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { GraphDefSchema, type SaverDef } from "../../proto/index.ts";
import type { Session } from "../../run/index.ts";
import { GraphKeys } from "../../variables/index.ts";
import type { Saver } from "../saver.ts";
import { type CheckpointSaverListener, defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { saverOf } from "./scaffold.ts";
import { needStepRead, readStep, stepOf } from "./step-read.ts";
import { secondOrStepTimer } from "./timer.ts";

export interface CheckpointSaverHookOptions extends HookOptions {
  /** seconds between checkpoints: this or `saveSteps` */
  readonly saveSecs?: number | null;
  /** global steps between checkpoints */
  readonly saveSteps?: number | null;
  /** by default the one of the collection "savers" */
  readonly saver?: Saver | (() => Saver);
  /** "model.ckpt" */
  readonly checkpointBasename?: string;
  readonly listeners?: readonly CheckpointSaverListener[];
  /** graph.pbtxt, and a MetaGraph beside each checkpoint: true */
  readonly saveGraphDef?: boolean;
  /** by default one of its own in the folder */
  readonly summaryWriter?: FileWriter;
}

/**
 * Saves checkpoints into a folder: `<checkpointDir>/model.ckpt-<global step>`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not exactly one of saveSecs and saveSteps; FAILED_PRECONDITION, when it begins - no global step
 * @see TensorFlow python/training/basic_session_run_hooks.py "CheckpointSaverHook"
 */
export function checkpointSaverHook(
  checkpointDir: string,
  options: CheckpointSaverHookOptions,
): SessionRunHook {
  const {
    checkpointBasename = "model.ckpt",
    listeners = [],
    saveGraphDef = true,
    log = defaultLog,
  } = options;
  const timer = secondOrStepTimer({
    everySecs: options.saveSecs,
    everySteps: options.saveSteps,
    clock: options.clock,
  });
  const path = joinPath(checkpointDir, checkpointBasename);
  let writer: FileWriter;
  let step: Output;

  let found: Saver | undefined;
  const keeper = (graph: Graph): Saver => {
    found ??= typeof options.saver === "function" ? options.saver() : (options.saver ?? onlySaver(graph));
    return found;
  };
  const save = async (session: Session, at: number): Promise<boolean> => {
    for (const l of listeners) await l.beforeSave?.(session, at);
    log(`Saving checkpoints for ${at} into ${path}.`);
    await keeper(session.graph).save(session, path, { globalStep: at, writeMetaGraph: saveGraphDef });
    writer.addSessionLog({ status: SESSION_STATUS.CHECKPOINT, checkpointPath: path }, at);
    let stop = false;
    for (const l of listeners) if ((await l.afterSave?.(session, at)) === true) stop = true;
    return stop;
  };

  return {
    begin(graph) {
      writer = options.summaryWriter ?? fileWriter(checkpointDir, options);
      step = needStepRead(graph, "CheckpointSaverHook");
      for (const l of listeners) l.begin?.(graph);
    },
    async afterCreateSession(session) {
      const { graph } = session;
      const at = await readStep(session, step);
      await makeDir(checkpointDir);
      if (saveGraphDef) await writeGraphText(graph, joinPath(checkpointDir, "graph.pbtxt"));
      writer.addGraph(graph);
      writer.addMetaGraph(graph, keeper(graph).saverDef ?? undefined);
      await writer.flush();
      await save(session, at);
      timer.trigger(at);
    },
    beforeRun: () => ({ fetches: step }),
    async afterRun(context, { results }) {
      // the value fetched with the run may be that before it: it only says that asking is not in vain
      if (!timer.shouldTrigger(stepOf(results) + 1_000_000)) return;
      const at = await readStep(context.session, step);
      if (!timer.shouldTrigger(at)) return;
      timer.trigger(at);
      if (await save(context.session, at)) context.requestStop();
    },
    async end(session) {
      const last = await readStep(session, step);
      if (last !== timer.lastStep()) await save(session, last);
      for (const l of listeners) await l.end?.(session, last);
      await writer.flush();
    },
  };
}

/** The graph as text, with what is known of its shapes. */
const writeGraphText = (graph: Graph, file: string): Promise<void> =>
  writeFileAtomic(file, [
    new TextEncoder().encode(formatMessage(GraphDefSchema, toMetaGraphDef({ graph }).graphDef!)),
  ]);

function onlySaver(graph: Graph): Saver {
  const savers = graph.getCollection<Saver | SaverDef>(GraphKeys.SAVERS);
  if (savers.length === 1) return saverOf(graph, savers[0]!);
  const what =
    savers.length === 0
      ? `No items in collection ${GraphKeys.SAVERS}. Please add a saver to the collection or provide a saver or scaffold.`
      : `More than one item in collection ${GraphKeys.SAVERS}. Please indicate which one to use by passing it to the constructor.`;
  throw new VarscopeError("FAILED_PRECONDITION", what);
}
