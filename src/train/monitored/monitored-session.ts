/**
 * @file MonitoredSession: a session that calls hooks around its runs, and makes itself anew where its cluster was lost. Start at
 * `MonitoredSession`.
 *
 * @see TensorFlow python/training/monitored_session.py "MonitoredSession", "_HookedSession", "_RecoverableSession"
 */

import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { type Graph, Output } from "../../graph/index.ts";
import type { Feeds, FeedValue, Fetchable, Fetched, RunOptions, Session } from "../../run/index.ts";
import { runAny, type SessionRunArgs, type SessionRunContext, type SessionRunHook } from "./hook.ts";

/** Makes a session whose variables have values; called again where one was lost. */
export type SessionCreator = () => Promise<Session>;

const isPreemption = (e: unknown): boolean =>
  isVarscopeError(e, "ABORTED") || isVarscopeError(e, "UNAVAILABLE");

/** Between two attempts to make a session. */
const RETRY_MS = 1000;

/** A session with hooks. Made by `monitoredTrainingSession` or `monitoredSession`. */
export class MonitoredSession {
  readonly graph: Graph;
  private readonly hooks: readonly SessionRunHook[];
  private readonly create: SessionCreator;
  private readonly onClose: () => Promise<void>;
  private readonly wasFinalized: boolean;
  private inner: Session | null = null;
  private stopRequested = false;
  /** the last run failed: leaving now skips `end` */
  private failed = false;
  private closed = false;
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(
    graph: Graph,
    hooks: readonly SessionRunHook[],
    create: SessionCreator,
    onClose: () => Promise<void>,
  ) {
    this.graph = graph;
    this.hooks = hooks;
    this.create = create;
    this.onClose = onClose;
    this.wasFinalized = graph.finalized;
  }

  /** Calls `begin` of the hooks, makes the session and calls `afterCreateSession`. `onClose` is called last of all, also after errors. */
  static async open(
    graph: Graph,
    hooks: readonly SessionRunHook[],
    create: SessionCreator,
    onClose: () => Promise<void> = async () => {},
  ): Promise<MonitoredSession> {
    const monitored = new MonitoredSession(graph, hooks, create, onClose);
    for (const hook of hooks) hook.begin?.(graph);
    try {
      await monitored.session();
    } catch (e) {
      await monitored.leave(false);
      throw e;
    }
    return monitored;
  }

  /** Whether a hook asked to stop, or the session is closed: the end of the training loop. */
  shouldStop(): boolean {
    return this.closed || this.stopRequested;
  }

  /** The session below, whose runs call no hooks. @throws VarscopeError FAILED_PRECONDITION - closed */
  get rawSession(): Session {
    if (this.inner !== null) return this.inner;
    throw new VarscopeError("FAILED_PRECONDITION", "Session is already closed.");
  }

  /**
   * A run of Session, in which the hooks' fetches and feeds take part. Where the cluster was lost, the session is made anew, from the last
   * checkpoint, and the run is tried again.
   *
   * @throws VarscopeError FAILED_PRECONDITION - after `shouldStop`; INVALID_ARGUMENT - two feed one tensor; or as Session and the hooks throw
   */
  run<const F extends Fetchable>(fetches: F, options: RunOptions = {}): Promise<Fetched<F>> {
    const result = this.queue.then(() => this.runRecovering(fetches, options));
    this.queue = result.catch(() => undefined);
    return result as Promise<Fetched<F>>;
  }

  /** Calls `end` of the hooks, which save a last checkpoint, and closes the session. @throws VarscopeError FAILED_PRECONDITION - it is closed */
  async close(): Promise<void> {
    if (this.closed) throw new VarscopeError("FAILED_PRECONDITION", "Session is already closed.");
    await this.queue;
    await this.leave(true);
  }

  /** Closes the session without `end` of the hooks: what was trained since the last checkpoint is lost. */
  async abandon(): Promise<void> {
    await this.queue;
    await this.leave(false);
  }

  /** As `close`; as `abandon` where the last run failed otherwise than by the end of its data (OUT_OF_RANGE). */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    await (this.failed ? this.abandon() : this.close());
  }

  private async leave(withEnd: boolean): Promise<void> {
    this.closed = true;
    const session = this.inner;
    try {
      if (withEnd && session !== null) for (const hook of this.hooks) await hook.end?.(session);
    } finally {
      await this.drop();
      if (!this.wasFinalized) this.graph.finalized = false;
      await this.onClose();
    }
  }

  /** The session below, made where there is none: again and again while the cluster is not there. */
  private async session(signal?: AbortSignal): Promise<Session> {
    while (this.inner === null) {
      try {
        const session = await this.create();
        this.inner = session;
        for (const hook of this.hooks) await hook.afterCreateSession?.(session);
      } catch (e) {
        if (!isPreemption(e) || signal?.aborted) throw e;
        await this.drop();
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return this.inner;
  }

  /** Closes the session below. That its cluster is gone is no error then. */
  private async drop(): Promise<void> {
    const session = this.inner;
    this.inner = null;
    await session?.close().catch((e: unknown) => {
      if (!isPreemption(e)) throw e;
    });
  }

  private async runRecovering(fetches: Fetchable, options: RunOptions): Promise<unknown> {
    if (this.shouldStop()) {
      throw new VarscopeError("FAILED_PRECONDITION", "Run called even after should_stop requested.");
    }
    for (;;) {
      try {
        const value = await this.runHooked(await this.session(options.signal), fetches, options);
        this.failed = false;
        return value;
      } catch (e) {
        if (!isPreemption(e)) {
          this.failed = !isVarscopeError(e, "OUT_OF_RANGE");
          throw e;
        }
        await this.drop();
      }
    }
  }

  private async runHooked(session: Session, fetches: Fetchable, options: RunOptions): Promise<unknown> {
    const context: SessionRunContext & { stopRequested: boolean } = {
      session,
      originalArgs: { fetches, options },
      stopRequested: false,
      requestStop() {
        this.stopRequested = true;
      },
    };
    const args: (SessionRunArgs | null)[] = [];
    for (const hook of this.hooks) args.push((await hook.beforeRun?.(context)) ?? null);
    const asked = args.flatMap((a, i) => (a?.fetches === undefined ? [] : [{ i, fetches: a.fetches }]));
    const metadata = [options.onMetadata, ...args.map((a) => a?.onMetadata)].filter((f) => f !== undefined);
    const fetched = await runAny(session, [fetches, ...asked.map((a) => a.fetches)], {
      ...options,
      feeds: mergedFeeds(options.feeds, args),
      ...(metadata.length === 0
        ? {}
        : {
            onMetadata(m) {
              for (const f of metadata) f(m);
            },
          }),
    });
    const [own, ...values] = fetched as unknown[];
    const results = new Map(asked.map(({ i }, n) => [i, values[n]]));
    for (const [i, hook] of this.hooks.entries()) {
      await hook.afterRun?.(context, { results: results.get(i) ?? null });
    }
    this.stopRequested ||= context.stopRequested;
    return own;
  }
}

/** Feeds by tensor name. @throws VarscopeError INVALID_ARGUMENT - two of them feed one tensor */
function mergedFeeds(own: Feeds | undefined, hooks: readonly (SessionRunArgs | null)[]): Feeds {
  const merged = new Map<string, FeedValue>();
  const add = (feeds: Feeds | undefined, clash: string): void => {
    const entries = feeds instanceof Map ? [...feeds] : Object.entries(feeds ?? {});
    const named = entries.map(([key, value]) => [tensorName(key), value] as const);
    const twice = named.filter(([name]) => merged.has(name)).map(([name]) => name);
    if (twice.length > 0) {
      throw new VarscopeError("INVALID_ARGUMENT", `${clash} Conflict(s): ${twice.join(", ")}`);
    }
    for (const [name, value] of named) merged.set(name, value);
  };
  for (const hook of hooks) add(hook?.feeds, "Same tensor is fed by two hooks.");
  add(own, "Same tensor is fed by a SessionRunHook and user.");
  return merged;
}

const tensorName = (key: Output | string): string =>
  key instanceof Output ? key.name : key.includes(":") ? key : `${key}:0`;
