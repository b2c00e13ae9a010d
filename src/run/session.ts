/** @file Session: runs fetches and targets of one graph and owns the values of its variables. Start at `Session.run`. */

import { loadRuntime } from "#ort";
import { VarscopeError } from "../base/index.ts";
import type { CheckpointFiles, Graph, HostContext, Operation, Output } from "../graph/index.ts";
import { type Expansion, expand } from "./control/expand.ts";
import { checkpointFiles } from "./files.ts";
import type { Pruned, Request } from "./prune.ts";
import { type ClusterOptions, RemoteSession, type RunMetadata, type TraceLevel } from "./remote/index.ts";
import { Runner, type RunnerServices } from "./runner.ts";
import type { Runtime } from "./runtime.ts";
import { VariableStore } from "./state.ts";
import type { Analysis } from "./steps.ts";
import { Trace } from "./trace.ts";
import { forgottenUpdates } from "./update-ops.ts";
import {
  type Feeds,
  type Fetchable,
  type Fetched,
  needRunnable,
  resolveFeeds,
  resolveFetches,
} from "./values.ts";

/** What concerns a cluster counts where there is a target. */
export interface SessionOptions extends ClusterOptions {
  /** `grpc://host:port` of a TensorFlow server that runs the graph; by default it runs here */
  readonly target?: string;
  /** the engine; by default the best of this environment */
  readonly runtime?: Runtime;
  /** where warnings go; console.warn by default */
  readonly warn?: (message: string) => void;
}

export interface RunOptions {
  readonly feeds?: Feeds;
  /** ops to run without fetching anything of them */
  readonly targets?: readonly (Operation | Output | string)[];
  readonly signal?: AbortSignal;
  /** the run fails if it takes longer; by default it may take any time */
  readonly timeoutMs?: number;
  /** on a cluster: what of the run is recorded for `onMetadata`; with it, full */
  readonly traceLevel?: TraceLevel;
  /** gets the times of the run: on a cluster of each op and device, on this machine of each stage */
  readonly onMetadata?: (metadata: RunMetadata) => void;
}

/** A graph as it is run: without calls, and the runners of its parts. */
interface Running {
  readonly version: number;
  readonly expansion: Expansion;
  readonly runners: Map<Graph, Runner>;
}

/** Runs one graph. Runs of a session happen one after the other; several sessions share nothing. */
export class Session {
  readonly graph: Graph;
  /** on a cluster: what only a cluster has, as its devices */
  readonly remote: RemoteSession | null;
  private readonly store = new VariableStore();
  private readonly options: SessionOptions;
  /** by name of the op, before which stands the loop that it is in */
  private readonly opState = new Map<string, unknown>();
  private readonly sharedState = new Map<string, unknown>();
  private readonly files: CheckpointFiles = checkpointFiles();
  private runtime: Runtime | null = null;
  private running: Running | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private closed = false;
  private warned = false;

  constructor(graph: Graph, options: SessionOptions = {}) {
    this.graph = graph;
    this.options = options;
    const { target = "" } = options;
    this.remote = target === "" ? null : new RemoteSession(graph, target, options);
  }

  /** The values of the variables. @throws VarscopeError FAILED_PRECONDITION - they are on a cluster */
  get variables(): VariableStore {
    if (this.remote === null) return this.store;
    throw new VarscopeError("FAILED_PRECONDITION", "the values of the variables are on the cluster", {
      at: this.options.target!,
      hint: "fetch the variables with run, or save a checkpoint",
    });
  }

  /**
   * Computes `fetches` and runs `targets`. All changes of variables happen together, after everything succeeded: a run that fails or is
   * aborted leaves every variable as it was. On a cluster, runs that are not awaited overlap, and a run that fails may have changed
   * variables already.
   *
   * @returns the structure of `fetches` with tensors in the place of outputs and null in the place of ops
   * @throws VarscopeError INVALID_ARGUMENT (feeds, shapes), FAILED_PRECONDITION (uninitialised variables), CANCELLED (aborted),
   *   DEADLINE_EXCEEDED (timed out); of a cluster also UNAVAILABLE and ABORTED (its server is gone, or was started anew)
   */
  run<const F extends Fetchable>(fetches: F, options: RunOptions = {}): Promise<Fetched<F>> {
    if (this.remote !== null) return this.remote.run(fetches, options) as Promise<Fetched<F>>;
    const result = this.queue.then(() => this.runNow(fetches, withDeadline(options)));
    this.queue = result.catch(() => undefined);
    return result as Promise<Fetched<F>>;
  }

  /** Frees native memory and all values. A closed session cannot run. */
  async close(): Promise<void> {
    this.closed = true;
    await this.remote?.close();
    await this.queue;
    await this.dropPlans();
    this.store.clear();
    this.opState.clear();
    this.sharedState.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async runNow(fetches: Fetchable, options: RunOptions): Promise<unknown> {
    needRunnable(this.graph, this.closed);
    this.runtime ??= this.options.runtime ?? (await loadRuntime());
    const resolved = resolveFetches(this.graph, fetches);
    const targets = resolveFetches(this.graph, options.targets ?? []);
    const given = resolveFeeds(this.graph, options.feeds ?? {});
    const { expansion } = this.current ?? (await this.prepare());
    const feeds = expansion.isCopy
      ? new Map([...given].map(([x, value]) => [expansion.output(x), value]))
      : given;
    const ran = [...resolved.ops, ...targets.ops, ...targets.outputs.map((x) => x.op)];
    const request: Request = {
      fetches: resolved.outputs.map((x) => expansion.output(x)),
      targets: ran.flatMap((op) => expansion.operations(op)),
      fed: new Set(feeds.keys()),
    };
    const trace = options.onMetadata === undefined ? undefined : new Trace();
    const start = { feeds, store: this.store, signal: options.signal, trace };
    const values = await this.runnerOf(expansion.graph).evaluate(request, start, true);
    if (trace !== undefined) options.onMetadata?.(trace.metadata());
    return resolved.rebuild(values);
  }

  /** The graph as it is run; null where it must be made, anew if it has changed. */
  private get current(): Running | null {
    return this.running?.version === this.graph.version ? this.running : null;
  }

  private async prepare(): Promise<Running> {
    await this.dropPlans();
    this.running = { version: this.graph.version, expansion: expand(this.graph), runners: new Map() };
    return this.running;
  }

  private runnerOf(graph: Graph): Runner {
    const { runners } = this.running!;
    const runner = runners.get(graph) ?? new Runner(graph, this.services);
    runners.set(graph, runner);
    return runner;
  }

  private get services(): RunnerServices {
    return {
      runtime: this.runtime!,
      contextOf: (op, label) => this.contextOf(op, label),
      runnerOf: (graph) => this.runnerOf(graph),
      planned: (pruned, analysis) => this.warnOfForgottenUpdates(pruned, analysis),
    };
  }

  private warnOfForgottenUpdates(pruned: Pruned, { final }: Analysis): void {
    if (this.warned || final.size === 0) return;
    const ran = new Set(pruned.order.map((op) => op.name));
    const names = forgottenUpdates(this.graph, ran, new Set(final.keys()));
    if (names.length === 0) return;
    this.warned = true;
    const warn = this.options.warn ?? ((m: string) => console.warn(m));
    warn(
      `varscope: this run trains, but leaves out ${names.length} update ops of batch normalization (${names.slice(0, 2).join(", ")}${
        names.length > 2 ? ", ..." : ""
      }): the moving statistics stay as they are. Run the ops of collection 'update_ops' with the train op.`,
    );
  }

  private contextOf(op: Operation, label: string): HostContext {
    const kept = <S>(states: Map<string, unknown>, key: string, make: () => S): S => {
      if (!states.has(key)) states.set(key, make());
      return states.get(key) as S;
    };
    return {
      op,
      files: this.files,
      state: (make) => kept(this.opState, label + op.name, make),
      shared: (key, make) => kept(this.sharedState, key, make),
      entropy: () => {
        const words = crypto.getRandomValues(new Uint32Array(2));
        return [words[0]!, words[1]!] as const;
      },
    };
  }

  private async dropPlans(): Promise<void> {
    const runners = [...(this.running?.runners.values() ?? [])];
    this.running = null;
    await Promise.all(runners.map((r) => r.release()));
  }
}

function withDeadline(options: RunOptions): RunOptions {
  const { timeoutMs } = options;
  if (timeoutMs === undefined) return options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  return { ...options, signal };
}
