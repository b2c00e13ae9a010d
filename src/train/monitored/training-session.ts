/**
 * @file A monitored session for training: initialized or restored, saved and summarised. Start at `monitoredTrainingSession`.
 *
 * @see TensorFlow python/training/monitored_session.py "MonitoredTrainingSession"; session_manager.py "prepare_session"
 */

import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { readCheckpointState } from "../../formats/checkpoint/index.ts";
import { fileWriter } from "../../formats/events/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { Session, type SessionOptions } from "../../run/index.ts";
import { type CheckpointSaverListener, defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { MonitoredSession } from "./monitored-session.ts";
import { checkpointSaverHook } from "./saver-hook.ts";
import { finalizeScaffold, type Scaffold, type ScaffoldOptions } from "./scaffold.ts";
import { stepCounterHook } from "./step-hooks.ts";
import { summarySaverHook } from "./summary-hook.ts";

export interface MonitoredSessionOptions extends HookOptions {
  readonly scaffold?: ScaffoldOptions;
  /** folder of the checkpoint that the training goes on from */
  readonly checkpointDir?: string;
  /** called in this order */
  readonly hooks?: readonly SessionRunHook[];
  /** of the session below: target, engine */
  readonly session?: SessionOptions;
  /** false: a worker that waits until the chief has initialized the variables on the cluster. true */
  readonly isChief?: boolean;
  /** seconds that a worker waits at most: 7200 */
  readonly maxWaitSecs?: number;
}

export interface MonitoredTrainingOptions extends MonitoredSessionOptions {
  /** 600 unless saveCheckpointSteps is given; null: none */
  readonly saveCheckpointSecs?: number | null;
  readonly saveCheckpointSteps?: number | null;
  /** 100 unless saveSummariesSecs is given; null: none */
  readonly saveSummariesSteps?: number | null;
  readonly saveSummariesSecs?: number | null;
  /** steps between two lines of `global_step/sec`: 100; 0 or null: none */
  readonly logStepCountSteps?: number | null;
  /** folder of the event file: checkpointDir */
  readonly summaryDir?: string;
  /** graph.pbtxt, and a MetaGraph beside each checkpoint: true */
  readonly saveGraphDef?: boolean;
  /** hooks of the chief alone, before `hooks` */
  readonly chiefOnlyHooks?: readonly SessionRunHook[];
}

/**
 * A session that trains `graph`: its variables are restored from the latest checkpoint of `checkpointDir`, or initialized; checkpoints and
 * summaries are written while it runs; the graph is finalized until it closes.
 *
 * @throws VarscopeError FAILED_PRECONDITION - a folder is given and the graph has no global step; INVALID_ARGUMENT, NOT_FOUND - the
 *   checkpoint does not fit the graph
 */
export async function monitoredTrainingSession(
  graph: Graph,
  options: MonitoredTrainingOptions = {},
): Promise<MonitoredSession> {
  const { checkpointDir, isChief = true, hooks = [], chiefOnlyHooks = [] } = options;
  if (!isChief) return monitoredSession(graph, options);
  let scaffold: Scaffold | undefined;
  const made: SessionRunHook[] = [];
  const summaryDir = options.summaryDir ?? checkpointDir;
  const writer = summaryDir === undefined ? undefined : fileWriter(summaryDir, options);
  const shared = { ...hookOptions(options), ...(writer === undefined ? {} : { summaryWriter: writer }) };
  const { logStepCountSteps = 100 } = options;
  if (writer !== undefined && logStepCountSteps !== null && logStepCountSteps > 0) {
    made.push(stepCounterHook({ everyNSteps: logStepCountSteps, ...shared }));
  }
  const summaries = either(options.saveSummariesSteps, options.saveSummariesSecs, 100, null);
  if (writer !== undefined && summaries !== null) {
    const summaryOp = (): Output | null => scaffold?.summaryOp ?? null;
    made.push(summarySaverHook({ saveSteps: summaries[0], saveSecs: summaries[1], summaryOp, ...shared }));
  }
  const saves = either(options.saveCheckpointSteps, options.saveCheckpointSecs, null, 600);
  if (checkpointDir !== undefined && saves !== null) {
    const own = checkpointDir === summaryDir ? shared : hookOptions(options);
    made.push(
      checkpointSaverHook(checkpointDir, {
        saveSteps: saves[0],
        saveSecs: saves[1],
        saver: () => scaffold!.saver,
        saveGraphDef: options.saveGraphDef ?? true,
        listeners: [...chiefOnlyHooks, ...hooks].map(listenerOf),
        ...own,
      }),
    );
  }
  return open(graph, [...chiefOnlyHooks, ...made, ...hooks], options, {
    onScaffold(s) {
      scaffold = s;
    },
    onClose: async () => writer?.close(),
  });
}

/** A session with hooks that writes nothing by itself; with `checkpointDir` it goes on from there. */
export const monitoredSession = (
  graph: Graph,
  options: MonitoredSessionOptions = {},
): Promise<MonitoredSession> => open(graph, options.hooks ?? [], options);

/**
 * `body` with a monitored training session, closed when it ends: with the hooks' `end` where it returns or the data are at an end
 * (OUT_OF_RANGE, which is no error then), without where it fails.
 */
export async function withMonitoredTrainingSession(
  graph: Graph,
  options: MonitoredTrainingOptions,
  body: (session: MonitoredSession) => Promise<void>,
): Promise<void> {
  const session = await monitoredTrainingSession(graph, options);
  try {
    await body(session);
  } catch (e) {
    if (!isVarscopeError(e, "OUT_OF_RANGE")) {
      await session.abandon();
      throw e;
    }
  }
  await session.close();
}

const hookOptions = ({ log, clock }: HookOptions): HookOptions => ({
  ...(log === undefined ? {} : { log }),
  ...(clock === undefined ? {} : { clock }),
});

/** Steps and seconds; the defaults where neither is said, null where nothing is to happen. */
function either(
  steps: number | null | undefined,
  secs: number | null | undefined,
  defaultSteps: number | null,
  defaultSecs: number | null,
): readonly [number | null, number | null] | null {
  const [s, t] =
    steps === undefined && secs === undefined ? [defaultSteps, defaultSecs] : [steps ?? null, secs ?? null];
  return (s ?? 0) > 0 || (t ?? 0) > 0 ? [s, t] : null;
}

/** A hook's part around checkpoints. */
const listenerOf = (hook: SessionRunHook): CheckpointSaverListener => ({
  beforeSave: (session, step) => hook.beforeSave?.(session, step),
  afterSave: (session, step) => hook.afterSave?.(session, step),
});

function open(
  graph: Graph,
  hooks: readonly SessionRunHook[],
  options: MonitoredSessionOptions,
  events: { onScaffold?(scaffold: Scaffold): void; onClose?(): Promise<void> } = {},
): Promise<MonitoredSession> {
  let scaffold: Scaffold | undefined;
  const create = async (): Promise<Session> => {
    if (scaffold === undefined) {
      scaffold = finalizeScaffold(graph, options.scaffold);
      events.onScaffold?.(scaffold);
    }
    const session = new Session(graph, options.session);
    try {
      if (options.isChief === false) await awaitChief(session, scaffold, options);
      else await prepare(session, scaffold, options);
    } catch (e) {
      await session.close();
      throw e;
    }
    return session;
  };
  return MonitoredSession.open(graph, hooks, create, events.onClose);
}

/** Restores the variables or initializes them. */
async function prepare(
  session: Session,
  scaffold: Scaffold,
  options: MonitoredSessionOptions,
): Promise<void> {
  const { initOp, initFeeds = {}, initFn, saver } = scaffold;
  const { checkpointDir, log = defaultLog } = options;
  const state = checkpointDir === undefined ? null : await readCheckpointState(checkpointDir);
  if (state === null) {
    await session.run([], { targets: [initOp], feeds: initFeeds });
    await initFn?.(session);
  } else {
    log(`Restoring parameters from ${state.modelCheckpointPath}`);
    await saver.restore(session, state.modelCheckpointPath);
    await saver.recoverLastCheckpoints(state.allModelCheckpointPaths);
  }
  const notReady = await initializeLocals(session, scaffold);
  if (notReady.length === 0) return;
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    `Init operations did not make model ready.  Init op: ${initOp.name}, init fn: ${initFn === undefined ? null : "given"}, local_init_op: ${scaffold.localInitOp.name}, error: Variables not initialized: ${notReady.join(", ")}`,
  );
}

/** Runs the local initializer where the global variables have values. @returns names of variables that have none then */
async function initializeLocals(session: Session, scaffold: Scaffold): Promise<string[]> {
  const { readyForLocalInitOp, localInitOp, localInitFeeds = {}, readyOp } = scaffold;
  if ((await namesOf(session, readyForLocalInitOp)).length === 0) {
    await session.run([], { targets: [localInitOp], feeds: localInitFeeds });
  }
  return namesOf(session, readyOp);
}

async function namesOf(session: Session, op: Output): Promise<string[]> {
  const names = await session.run(op);
  return (names.data as readonly Uint8Array[]).map((b) => new TextDecoder().decode(b));
}

/** Between two looks of a worker. @see TensorFlow session_manager.py "recovery_wait_secs" */
const WAIT_MS = 1000;

async function awaitChief(
  session: Session,
  scaffold: Scaffold,
  options: MonitoredSessionOptions,
): Promise<void> {
  const { maxWaitSecs = 7200 } = options;
  for (let waited = 0; ; waited += WAIT_MS) {
    if ((await initializeLocals(session, scaffold)).length === 0) return;
    if (waited >= maxWaitSecs * 1000) {
      throw new VarscopeError(
        "DEADLINE_EXCEEDED",
        `Session was not ready after waiting ${maxWaitSecs} secs.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}
