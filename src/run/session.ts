/** @file Session: runs fetches and targets of one graph and owns the values of its variables. Start at `Session.run`. */

import { loadRuntime } from "#ort";
import { type Shape, sameShape, type Tensor, VarscopeError } from "../base/index.ts";
import type { CheckpointFiles, Graph, HostContext, Operation, Output } from "../graph/index.ts";
import { analyse } from "./analysis.ts";
import { checkpointFiles } from "./files.ts";
import { compilePlan, type Plan } from "./plan.ts";
import { type FeedShapes, PlanFamily } from "./plan-cache.ts";
import { type Pruned, prune, type Request } from "./prune.ts";
import {
  abortError,
  type ClusterOptions,
  RemoteSession,
  type RunMetadata,
  type TraceLevel,
} from "./remote/index.ts";
import { missingKernelAt, type Runtime } from "./runtime.ts";
import { VariableStore } from "./state.ts";
import { type Analysis, hasHostForm } from "./steps.ts";
import { forgottenUpdates } from "./update-ops.ts";
import { type Feeds, type Fetchable, type Fetched, resolveFeeds, resolveFetches } from "./values.ts";

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
  /** on a cluster: gets times and devices of the run */
  readonly onMetadata?: (metadata: RunMetadata) => void;
}

/** Runs one graph. Runs of a session happen one after the other; several sessions share nothing. */
export class Session {
  readonly graph: Graph;
  /** on a cluster: what only a cluster has, as its devices */
  readonly remote: RemoteSession | null;
  private readonly store = new VariableStore();
  private readonly options: SessionOptions;
  private readonly families = new Map<string, PlanFamily>();
  private readonly opState = new Map<Operation, unknown>();
  private readonly sharedState = new Map<string, unknown>();
  private readonly files: CheckpointFiles = checkpointFiles();
  /** ops that this engine turned out to have no kernels for */
  private readonly onHost = new Set<Operation>();
  private runtime: Runtime | null = null;
  /** of requests with conditionals: the predicates, where all are fed */
  private readonly fedPredicates = new Map<string, readonly Output[]>();
  private graphVersion = -1;
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
   * aborted leaves every variable as it was.
   *
   * @returns the structure of `fetches` with tensors in the place of outputs and null in the place of ops
   * On a cluster, runs that are not awaited overlap, and a run that fails may have changed variables already.
   *
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
    if (this.closed) throw new VarscopeError("FAILED_PRECONDITION", "Attempted to use a closed Session.");
    if (this.graph.operations.length === 0) {
      throw new VarscopeError(
        "FAILED_PRECONDITION",
        "The Session graph is empty. Add operations to the graph before calling run().",
      );
    }
    this.runtime ??= this.options.runtime ?? (await loadRuntime());
    if (this.graphVersion !== this.graph.version) await this.dropPlans();
    this.graphVersion = this.graph.version;
    const resolved = resolveFetches(this.graph, fetches);
    const targets = resolveFetches(this.graph, options.targets ?? []);
    const feeds = resolveFeeds(this.graph, options.feeds ?? {});
    const request: Request = {
      fetches: resolved.outputs,
      targets: [...resolved.ops, ...targets.ops, ...targets.outputs.map((x) => x.op)],
      fed: new Set(feeds.keys()),
    };
    const values = await this.evaluate(request, feeds, options.signal, true);
    return resolved.rebuild(values);
  }

  private async evaluate(
    request: Request,
    feeds: ReadonlyMap<Output, Tensor>,
    signal: AbortSignal | undefined,
    commit: boolean,
  ): Promise<Tensor[]> {
    checkAborted(signal);
    const { pruned, key } = await this.solveControl(request, feeds, signal);
    const plan = await this.planFor(request, pruned, key, feeds);
    const values: (Tensor | undefined)[] = [];
    for (const [output, slot] of plan.analysis.feeds) values[slot.id] = feeds.get(output)!;
    this.readVariables(plan, values);
    for (const stage of plan.stages) {
      checkAborted(signal);
      await stage.run(values, this.store, this.host);
    }
    checkAborted(signal);
    const results = this.collect(plan, values, feeds);
    if (commit) this.commit(plan, values, feeds);
    return results;
  }

  /** Prunes; where conditionals need the values of predicates, these are computed first. */
  private async solveControl(
    request: Request,
    feeds: ReadonlyMap<Output, Tensor>,
    signal: AbortSignal | undefined,
  ): Promise<{ pruned: () => Pruned; key: string }> {
    const base = requestKey(request);
    if (this.families.has(base)) return { pruned: () => prune(request, () => null), key: base };
    const fedPredicates = this.fedPredicates.get(base);
    if (fedPredicates !== undefined) {
      const key = base + decisions(fedPredicates, (x) => isTrue(feeds.get(x)!));
      if (this.families.has(key)) return { pruned: () => prune(request, (x) => isTrue(feeds.get(x)!)), key };
    }
    const known = new Map<Output, boolean>();
    const predicate = (x: Output): boolean | null => {
      const fed = feeds.get(x);
      return fed === undefined ? (known.get(x) ?? null) : isTrue(fed);
    };
    for (;;) {
      const pruned = prune(request, predicate);
      if (pruned.unknown.length === 0) {
        const preds = predicatesOf(pruned);
        if (preds.length > 0 && preds.every((x) => feeds.has(x))) this.fedPredicates.set(base, preds);
        return { pruned: () => pruned, key: base + decisions(preds, predicate) };
      }
      const inner: Request = { fetches: pruned.unknown, targets: [], fed: request.fed };
      const values = await this.evaluate(inner, feeds, signal, false);
      for (const [i, x] of pruned.unknown.entries()) known.set(x, isTrue(values[i]!));
    }
  }

  private async planFor(
    request: Request,
    pruned: () => Pruned,
    key: string,
    feeds: ReadonlyMap<Output, Tensor>,
  ): Promise<Plan> {
    let family = this.families.get(key);
    if (family === undefined) {
      family = new PlanFamily();
      this.families.set(key, family);
    }
    const shapes: FeedShapes = new Map([...feeds].map(([x, t]) => [x, t.shape as Shape]));
    const plan = await family.planFor(
      shapes,
      (fed, baked) => this.compile(request, pruned(), fed, baked),
      this.store,
    );
    if (this.stillHolds(plan)) return plan;
    this.families.delete(key);
    await family.release();
    return this.planFor(request, pruned, key, feeds);
  }

  /** Whether variables are as the plan took them: with or without a value, and of the same shapes. */
  private stillHolds({ analysis }: Plan): boolean {
    for (const [variable, had] of analysis.probes) if (this.store.has(variable) !== had) return false;
    return analysis.reads.every((slot) => {
      const value = this.store.get(slot.key!);
      return value === null || sameShape(value.shape, slot.spec.shape);
    });
  }

  private async compile(
    request: Request,
    pruned: Pruned,
    shapes: FeedShapes,
    baked: ReadonlyMap<string, Tensor> | null,
  ): Promise<Plan> {
    const specs = new Map([...shapes].map(([x, shape]) => [x, { shape, value: null }]));
    for (;;) {
      const analysis = analyse(request, pruned, specs, this.store, this.onHost);
      this.warnOfForgottenUpdates(pruned, new Set(analysis.final.keys()));
      try {
        return await compilePlan(analysis, this.runtime!, baked);
      } catch (e) {
        const op = refusedOp(e, analysis);
        if (op === null) throw e;
        this.onHost.add(op);
      }
    }
  }

  private warnOfForgottenUpdates(pruned: Pruned, written: ReadonlySet<string>): void {
    if (this.warned || written.size === 0) return;
    const names = forgottenUpdates(this.graph, new Set(pruned.order), written);
    if (names.length === 0) return;
    this.warned = true;
    const warn = this.options.warn ?? ((m: string) => console.warn(m));
    warn(
      `varscope: this run trains, but leaves out ${names.length} update ops of batch normalization (${names.slice(0, 2).join(", ")}${
        names.length > 2 ? ", ..." : ""
      }): the moving statistics stay as they are. Run the ops of collection 'update_ops' with the train op.`,
    );
  }

  private readVariables(plan: Plan, values: (Tensor | undefined)[]): void {
    const { analysis } = plan;
    for (const slot of analysis.reads)
      values[slot.id] = this.store.need(slot.key!, analysis.variables.get(slot.key!)!.isRef);
  }

  /** Results for the caller: copies where a tensor is a variable's or the plan's own. */
  private collect(
    plan: Plan,
    values: readonly (Tensor | undefined)[],
    feeds: ReadonlyMap<Output, Tensor>,
  ): Tensor[] {
    const given = new Set(feeds.values());
    return plan.analysis.fetches.map((slot) => {
      const t = slot.spec.value ?? values[slot.id]!;
      const shared = slot.key !== null || slot.source !== "step";
      return shared && !given.has(t) ? copyOf(t) : t;
    });
  }

  private commit(
    plan: Plan,
    values: readonly (Tensor | undefined)[],
    feeds: ReadonlyMap<Output, Tensor>,
  ): void {
    const foreign = new Set<unknown>([...feeds.values()].map((t) => t.data));
    for (const slot of plan.analysis.reads) foreign.add(values[slot.id]!.data);
    for (const slot of plan.analysis.fetches)
      if (slot.key === null) foreign.add((slot.spec.value ?? values[slot.id])?.data);
    for (const [key, slot] of plan.analysis.final) {
      const t = slot.spec.value ?? values[slot.id]!;
      const isShared = foreign.has(t.data) || slot.spec.value !== null || plan.analysis.constants.has(t);
      const mine = isShared ? copyOf(t) : t;
      foreign.add(mine.data);
      this.store.commit(key, mine, ArrayBuffer.isView(mine.data));
    }
  }

  private readonly host = {
    contextOf: (op: Operation): HostContext => ({
      op,
      files: this.files,
      state: <S>(make: () => S): S => {
        if (!this.opState.has(op)) this.opState.set(op, make());
        return this.opState.get(op) as S;
      },
      shared: <S>(key: string, make: () => S): S => {
        if (!this.sharedState.has(key)) this.sharedState.set(key, make());
        return this.sharedState.get(key) as S;
      },
      entropy: () => {
        const words = crypto.getRandomValues(new Uint32Array(2));
        return [words[0]!, words[1]!] as const;
      },
    }),
  };

  private async dropPlans(): Promise<void> {
    const families = [...this.families.values()];
    this.families.clear();
    this.fedPredicates.clear();
    await Promise.all(families.map((f) => f.release()));
  }
}

/** The op that the engine has no kernel for, where the host has one. Which kernels there are differs between builds. */
function refusedOp(e: unknown, analysis: Analysis): Operation | null {
  const at = missingKernelAt(e);
  const step = analysis.steps.find((s) => s.kind === "onnx" && s.op.name === at);
  return step !== undefined && hasHostForm(step) ? step.op : null;
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

function withDeadline({ timeoutMs, ...options }: RunOptions): RunOptions {
  if (options.onMetadata !== undefined || (options.traceLevel ?? "none") !== "none") {
    throw new VarscopeError("UNIMPLEMENTED", "runs on this machine are not traced", {
      hint: "leave out traceLevel and onMetadata",
    });
  }
  if (timeoutMs === undefined) return options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  return { ...options, signal };
}

const isTrue = (t: Tensor): boolean => t.data[0] !== 0;

/** Predicates of the conditionals that a plan solved. */
function predicatesOf(pruned: Pruned): Output[] {
  const switches = [...pruned.alias.keys()].filter((x) => x.op.def?.control === "switch");
  return [...new Set(switches.map((x) => x.op.inputs[1]!))];
}

/** What a plan with conditionals was made for: part of its key. */
const decisions = (preds: readonly Output[], value: (x: Output) => boolean | null): string =>
  preds.length === 0 ? "" : `?${preds.map((x) => `${x.name}=${value(x)}`).join()}`;

const copyOf = (t: Tensor): Tensor => ({ ...t, data: t.data.slice() as Tensor["data"] });

/** Ids are unique in a graph: of ops, and of outputs with their index. */
function requestKey(request: Request): string {
  const outs = (xs: Iterable<Output>): string => Array.from(xs, (x) => `${x.op.id}:${x.index}`).join();
  return `${outs(request.fetches)}|${request.targets.map((op) => op.id).join()}|${outs(request.fed)}`;
}
