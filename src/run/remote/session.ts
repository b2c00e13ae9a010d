/**
 * @file A session on a TensorFlow cluster. The server runs the graph and owns the variables; here are the graph's growth, names and values.
 * Start at `RemoteSession`.
 *
 * @see TensorFlow core/distributed_runtime/rpc/grpc_session.cc
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { isVarscopeError, type Tensor, VarscopeError } from "../../base/index.ts";
import { MAX_EXPANDED_BYTES, readTensorProto, writeTensorProto } from "../../formats/graph-def/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import {
  CloseSessionRequestSchema,
  CloseSessionResponseSchema,
  CreateSessionRequestSchema,
  CreateSessionResponseSchema,
  ExtendSessionRequestSchema,
  ExtendSessionResponseSchema,
  ListDevicesRequestSchema,
  ListDevicesResponseSchema,
  PartialRunSetupRequestSchema,
  PartialRunSetupResponseSchema,
  ResetRequestSchema,
  ResetResponseSchema,
  type RunMetadata,
  RunStepRequestSchema,
  RunStepResponseSchema,
} from "../../proto/master.gen.ts";
import type { TensorProto } from "../../proto/tensor.gen.ts";
import type { RunOptions } from "../session.ts";
import {
  type Feeds,
  type Fetchable,
  type Fetched,
  needRunnable,
  resolveFeeds,
  resolveFetches,
} from "../values.ts";
import { abortError, statusError } from "./channel.ts";
import { type ClusterOptions, configOf } from "./config.ts";
import { GraphGrowth } from "./growth.ts";
import { Master } from "./master.ts";

/** A device of a cluster. */
export interface DeviceInfo {
  /** as `/job:worker/replica:0/task:1/device:CPU:0` */
  readonly name: string;
  /** as `CPU` */
  readonly type: string;
  readonly memoryLimitBytes: number;
}

/** A step in parts: what is fed later may depend on what was fetched before. */
export interface PartialRun {
  /** Feeds some more and fetches some more; each once in all. @throws VarscopeError - as `Session.run` */
  run<const F extends Fetchable>(fetches: F, feeds?: Feeds): Promise<Fetched<F>>;
}

/** @see TensorFlow core/protobuf/config.proto "RunOptions.TraceLevel" */
const TRACE_LEVELS = { none: 0, software: 1, hardware: 2, full: 3 } as const;
export type TraceLevel = keyof typeof TRACE_LEVELS;

/** Opening waits so long for the other tasks of the cluster, in ms, where nobody says how long. */
const CONNECT_MS = 60_000;
/** A session that is closed waits so long for the server's answer, in ms. */
const CLOSE_MS = 10_000;

interface Opened {
  readonly sessionHandle: string;
  graphVersion: bigint;
}

/** Runs one graph on the cluster behind one server. Runs that are not awaited overlap, as TensorFlow's do. */
export class RemoteSession {
  private readonly graph: Graph;
  private readonly master: Master;
  private readonly target: string;
  private readonly options: ClusterOptions;
  private readonly growth: GraphGrowth;
  private opened: Opened | null = null;
  /** creating and extending, one after the other */
  private queue: Promise<unknown> = Promise.resolve();
  /** fires with the end of the session */
  private readonly end = new AbortController();

  constructor(graph: Graph, target: string, options: ClusterOptions = {}) {
    this.graph = graph;
    this.master = new Master(target);
    this.target = target;
    this.options = options;
    this.growth = new GraphGrowth(graph);
  }

  /** As `Session.run`; what assignments have done when a run fails stays done. */
  async run(fetches: Fetchable, options: RunOptions): Promise<unknown> {
    const resolved = resolveFetches(this.graph, fetches);
    const targets = resolveFetches(this.graph, options.targets ?? []);
    const feeds = resolveFeeds(this.graph, options.feeds ?? {});
    const ops = [...resolved.ops, ...targets.ops, ...targets.outputs.map((x) => x.op)];
    return resolved.rebuild(await this.step(resolved.outputs, ops, feeds, options));
  }

  /**
   * A step in parts.
   *
   * @param fetches - all that will be fetched or run
   * @param feeds - all that will be fed: outputs or their names
   */
  async partialRun(fetches: Fetchable, feeds: readonly (Output | string)[]): Promise<PartialRun> {
    const all = resolveFetches(this.graph, fetches);
    const fed = resolveFetches(this.graph, feeds);
    const { sessionHandle } = await this.current();
    const { partialRunHandle } = await this.master.call(
      PartialRunSetupRequestSchema,
      PartialRunSetupResponseSchema,
      {
        sessionHandle,
        feed: names(fed.outputs),
        fetch: names(all.outputs),
        target: names(all.ops),
        requestId: requestId(),
      },
    );
    return {
      run: async (part, given = {}) => {
        const { outputs, ops, rebuild } = resolveFetches(this.graph, part);
        const values = await this.step(outputs, ops, resolveFeeds(this.graph, given), {}, partialRunHandle);
        return rebuild(values) as never;
      },
    };
  }

  /** Devices of all tasks that the session sees; those of the target's own task come first. */
  async listDevices(): Promise<DeviceInfo[]> {
    const { sessionHandle } = await this.current();
    const answer = await this.master.call(ListDevicesRequestSchema, ListDevicesResponseSchema, {
      sessionHandle,
    });
    return [...answer.localDevice, ...answer.remoteDevice].map((d) => ({
      name: d.name,
      type: d.deviceType,
      memoryLimitBytes: Number(d.memoryLimit),
    }));
  }

  /** Ends the session; runs under way fail. The variables stay on the cluster. */
  async close(): Promise<void> {
    if (this.end.signal.aborted) return;
    this.end.abort();
    await this.queue;
    try {
      if (this.opened === null) return;
      const { sessionHandle } = this.opened;
      const request = { sessionHandle };
      await this.master.call(CloseSessionRequestSchema, CloseSessionResponseSchema, request, {
        timeoutMs: CLOSE_MS,
      });
    } catch (e) {
      // a server that is gone, or was started anew, has no session of ours
      if (!isVarscopeError(e, "UNAVAILABLE") && !isVarscopeError(e, "ABORTED")) throw e;
    } finally {
      await this.master.close();
    }
  }

  private async step(
    fetches: readonly Output[],
    ops: readonly Operation[],
    feeds: ReadonlyMap<Output, Tensor>,
    options: RunOptions,
    partialRunHandle = "",
  ): Promise<Tensor[]> {
    const { signal, timeoutMs = this.options.operationTimeoutMs } = options;
    const { sessionHandle } = await this.current(signal);
    const request: MessageInitShape<typeof RunStepRequestSchema> = {
      sessionHandle,
      partialRunHandle,
      feed: [...feeds].map(([x, t]) => ({ name: x.name, tensor: writeTensorProto(t) })),
      fetch: names(fetches.filter((x) => !feeds.has(x))),
      target: names(ops),
      options: {
        traceLevel: TRACE_LEVELS[options.traceLevel ?? (options.onMetadata === undefined ? "none" : "full")],
        timeoutInMs: BigInt(Math.ceil(timeoutMs ?? 0)),
      },
      storeErrorsInResponseBody: true,
      requestId: requestId(),
    };
    const answer = await this.master.call(RunStepRequestSchema, RunStepResponseSchema, request, {
      timeoutMs,
      signal,
    });
    if (answer.statusCode !== 0)
      throw statusError(answer.statusCode, answer.statusErrorMessage, this.master.address);
    if (answer.metadata !== undefined) options.onMetadata?.(answer.metadata);
    const values = new Map(answer.tensor.map(({ name, tensor }) => [name, tensor]));
    const budget = { left: MAX_EXPANDED_BYTES }; // of the whole answer
    return fetches.map((x) => feeds.get(x) ?? this.valueOf(x, values.get(x.name), budget));
  }

  private valueOf(x: Output, proto: TensorProto | undefined, budget: { left: number }): Tensor {
    const value = proto && readTensorProto(proto, x.name, budget);
    if (value !== undefined && (x.dtype === "invalid" || value.dtype === x.dtype)) return value;
    const found = value === undefined ? "no value" : `no ${x.dtype} value but ${value.dtype}`;
    throw new VarscopeError("DATA_LOSS", `the server's answer has ${found} of ${x.name}`, {
      at: this.master.address,
    });
  }

  /** The session on the server, with all of the graph. A run that is aborted waits for it no longer, but does not stop it. */
  private current(signal?: AbortSignal): Promise<Opened> {
    const next = this.queue.then(() => this.bringUpToDate());
    this.queue = next.catch(() => undefined);
    return signal === undefined ? next : unlessAborted(next, signal);
  }

  private async bringUpToDate(): Promise<Opened> {
    needRunnable(this.graph, this.end.signal.aborted);
    const { signal } = this.end;
    const growth = this.growth.next();
    if (this.opened === null) {
      const { connectTimeoutMs } = this.options;
      const answer = await this.master
        .call(
          CreateSessionRequestSchema,
          CreateSessionResponseSchema,
          {
            target: this.target,
            config: configOf(this.options),
            ...(growth === null ? {} : { graphDef: growth.def }),
          },
          {
            signal,
            timeoutMs: connectTimeoutMs ?? CONNECT_MS,
            waitsForServer: connectTimeoutMs !== undefined,
          },
        )
        .catch(explainWaiting);
      this.opened = { sessionHandle: answer.sessionHandle, graphVersion: answer.graphVersion };
    } else if (growth !== null) {
      const { sessionHandle, graphVersion } = this.opened;
      const request = { sessionHandle, graphDef: growth.def, currentGraphVersion: graphVersion };
      const methods = [ExtendSessionRequestSchema, ExtendSessionResponseSchema] as const;
      const answer = await this.master.call(...methods, request, { signal });
      this.opened.graphVersion = answer.newGraphVersion;
    }
    growth?.sent();
    return this.opened;
  }
}

/**
 * Clears containers of a cluster: variables, tables, queues. Every session on it ends, of other programs too.
 *
 * @param options.containers - names; none: the default container
 * @throws VarscopeError UNAVAILABLE - nobody answers; INVALID_ARGUMENT - no such target
 * @see TensorFlow python/client/session.py "Session.reset"
 */
export async function resetCluster(
  target: string,
  options: { readonly containers?: readonly string[] } & Pick<ClusterOptions, "deviceFilters"> = {},
): Promise<void> {
  const master = new Master(target);
  try {
    const { containers = [], deviceFilters = [] } = options;
    const request = { container: [...containers], deviceFilters: [...deviceFilters] };
    await master.call(ResetRequestSchema, ResetResponseSchema, request, { timeoutMs: CONNECT_MS });
  } finally {
    await master.close();
  }
}

const names = (items: Iterable<Output | Operation>): string[] => [
  ...new Set(Array.from(items, (x) => x.name)),
];

/** Unique: a server takes a repetition for the same request sent twice. */
const requestId = (): bigint => crypto.getRandomValues(new BigInt64Array(1))[0]! | 1n;

/** The result of `work`, or an error as soon as the signal fires. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw abortError(signal);
  let stop = (): void => undefined;
  const fired = new Promise<never>((_, reject) => {
    stop = () => reject(abortError(signal));
  });
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([work, fired]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function explainWaiting(e: unknown): never {
  if (!isVarscopeError(e, "DEADLINE_EXCEEDED")) throw e;
  throw new VarscopeError("DEADLINE_EXCEEDED", `the cluster did not open a session in time: ${e.what}`, {
    ...(e.at === undefined ? {} : { at: e.at }),
    cause: e,
    hint: "start all of its tasks, or name those that are needed in deviceFilters",
  });
}

export type { RunMetadata };
