/**
 * @file What a hook of a monitored session is: an object with any of the methods that are called around the session's life and runs.
 * Start at `SessionRunHook`.
 *
 * @see TensorFlow python/training/session_run_hook.py, basic_session_run_hooks.py "CheckpointSaverListener"
 */

import type { Graph } from "../../graph/index.ts";
import type { Feeds, Fetchable, RunOptions, Session } from "../../run/index.ts";

/** What a hook adds to a run: fetched and fed together with the caller's. */
export interface SessionRunArgs {
  readonly fetches?: Fetchable;
  readonly feeds?: Feeds;
  /** gets the times of the run; see RunOptions of Session */
  readonly onMetadata?: RunOptions["onMetadata"];
}

/** The run that hooks are called around. */
export interface SessionRunContext {
  /** the session below: a run of it calls no hooks */
  readonly session: Session;
  /** what the caller asked for */
  readonly originalArgs: { readonly fetches: Fetchable; readonly options: RunOptions };
  readonly stopRequested: boolean;
  /** After this run, the session should stop. */
  requestStop(): void;
}

/** What a run gave a hook: tensors in the structure of its `fetches`; null where it asked for none. */
export interface SessionRunValues {
  readonly results: unknown;
}

type MaybePromise<T> = T | Promise<T>;

/** Called around each checkpoint. */
interface SaveListener {
  beforeSave?(session: Session, step: number): MaybePromise<void>;
  /** @returns true, or a promise of it: the training should stop */
  afterSave?(session: Session, step: number): unknown;
}

/**
 * Called by a monitored session. All methods may be left out. `beforeSave` and `afterSave` are called around the checkpoints of a monitored
 * training session, where TensorFlow wants a listener for that.
 */
export interface SessionRunHook extends SaveListener {
  /** Once, before the graph is finalized: the last time that it can be changed. */
  begin?(graph: Graph): void;
  /** When a session was made and its variables have values; again where one was lost and made anew. */
  afterCreateSession?(session: Session): MaybePromise<void>;
  /** Before a run. */
  beforeRun?(context: SessionRunContext): MaybePromise<SessionRunArgs | null>;
  /** After a run that succeeded. */
  afterRun?(context: SessionRunContext, values: SessionRunValues): MaybePromise<void>;
  /** At the end, unless a run failed. */
  end?(session: Session): MaybePromise<void>;
}

/** Called by `checkpointSaverHook`. */
export interface CheckpointSaverListener extends SaveListener {
  begin?(graph: Graph): void;
  end?(session: Session, step: number): MaybePromise<void>;
}

/** What hooks of this folder share: where their lines go, and the time. */
export interface HookOptions {
  /** gets each line; console.info by default */
  readonly log?: (line: string) => void;
  /** seconds since 1970; the machine's clock */
  readonly clock?: () => number;
}

export const defaultLog = (line: string): void => console.info(line);

/** A run whose fetches have a structure that the compiler does not know. */
export const runAny = (session: Session, fetches: Fetchable, options: RunOptions = {}): Promise<unknown> =>
  (session.run as (fetches: Fetchable, options: RunOptions) => Promise<unknown>).call(
    session,
    fetches,
    options,
  );
