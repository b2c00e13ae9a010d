/**
 * @file Runs requests of one graph: solves its conditionals, finds or makes the plan, runs it, commits what it wrote. A session has a runner for
 * its graph and one for each side of a loop. Start at `Runner.evaluate`.
 */

import { type Shape, sameShape, type Tensor } from "../base/index.ts";
import type { Graph, HostContext, Operation, Output } from "../graph/index.ts";
import { analyse } from "./analysis.ts";
import { labelOf } from "./control/loop.ts";
import { runLoop } from "./control/run-loop.ts";
import { shapesToLearn } from "./early.ts";
import { initialOnHost, smallOnHost } from "./partition.ts";
import { compilePlan, type Plan } from "./plan.ts";
import { type FeedShapes, PlanFamily } from "./plan-cache.ts";
import type { Pruned, Request } from "./prune.ts";
import { abortError } from "./remote/index.ts";
import { missingKernelAt, type Runtime } from "./runtime.ts";
import { andThen, inTurn, type Soon } from "./soon.ts";
import { type HostServices, needValue } from "./stages.ts";
import { VariableStore } from "./state.ts";
import { type Analysis, hasHostForm } from "./steps.ts";
import type { Trace } from "./trace.ts";
import { requestKey, type Way, Ways } from "./ways.ts";

/** What all runners of a session share. */
export interface RunnerServices {
  readonly runtime: Runtime;
  contextOf(op: Operation, label: string): HostContext;
  /** the runner of a loop's side */
  runnerOf(graph: Graph): Runner;
  /** told of every plan that is made */
  planned(pruned: Pruned, analysis: Analysis): void;
}

/** Values that a request starts from. */
export interface Start {
  readonly feeds: ReadonlyMap<Output, Tensor>;
  readonly store: VariableStore;
  readonly signal: AbortSignal | undefined;
  /** told of every stage that ran */
  readonly trace?: Trace | undefined;
}

/** A request that can be planned. */
interface Solved {
  readonly way: Way;
  /** those that were given, and what the runs before it leave */
  readonly feeds: ReadonlyMap<Output, Tensor>;
}

/** A plan that ran. */
interface Computed {
  readonly plan: Plan;
  readonly values: readonly (Tensor | undefined)[];
  readonly feeds: ReadonlyMap<Output, Tensor>;
}

/** Plans of one graph. */
export class Runner {
  private readonly services: RunnerServices;
  private readonly label: string;
  /** side of a loop: it runs often, on a store of variables that lives for one run */
  private readonly inLoop: boolean;
  private readonly families = new Map<string, PlanFamily>();
  /** ops that this engine turned out to have no kernels for */
  private readonly onHost = new Set<Operation>();
  private readonly ways = new Map<string, Ways>();
  /** sides of loops come with the same request each time */
  private readonly waysOf = new WeakMap<Request, Ways>();
  /** whose shapes were looked at */
  private readonly seen = new WeakSet<Way>();
  private readonly contexts = new Map<Operation, HostContext>();
  /** of the latest run: all iterations of a loop have the same */
  private host: (HostServices & { readonly signal: AbortSignal | undefined }) | undefined;

  constructor(graph: Graph, services: RunnerServices) {
    this.services = services;
    this.label = labelOf(graph);
    this.inLoop = this.label !== "";
  }

  /** Values of the request's fetches. Variables change only where `commit` says so, and only when all succeeded. */
  evaluate(request: Request, start: Start, commit: boolean): Soon<Tensor[]> {
    return andThen(this.compute(request, start), ({ plan, values, feeds }) => {
      const results = collect(plan, values, feeds);
      if (commit) commitWrites(plan, values, feeds, start.store);
      return results;
    });
  }

  private compute(asked: Request, start: Start): Soon<Computed> {
    checkAborted(start.signal);
    const ways = this.waysFor(asked);
    return andThen(this.follow(ways, ways.from(start.feeds), start), ({ way, feeds }) => {
      const all = { ...start, feeds };
      return andThen(this.planFor(way, all), (plan) => this.execute(plan, all));
    });
  }

  private execute(plan: Plan, { feeds, store, signal, trace }: Start): Soon<Computed> {
    const values: (Tensor | undefined)[] = [];
    for (const [output, slot] of plan.analysis.feeds) values[slot.id] = feeds.get(output)!;
    readVariables(plan, values, store);
    const host = this.hostServices(signal);
    const ran = inTurn(plan.stages, (stage) => {
      checkAborted(signal);
      if (trace === undefined) return stage.run(values, store, host);
      const begin = performance.now();
      return andThen(stage.run(values, store, host), () => trace.stage(stage, begin, performance.now()));
    });
    return andThen(ran, () => {
      checkAborted(signal);
      return { plan, values, feeds };
    });
  }

  private readonly contextOf = (op: Operation): HostContext => {
    let context = this.contexts.get(op);
    if (context === undefined) {
      context = this.services.contextOf(op, this.label);
      this.contexts.set(op, context);
    }
    return context;
  };

  private hostServices(signal: AbortSignal | undefined): HostServices {
    if (this.host !== undefined && this.host.signal === signal) return this.host;
    this.host = {
      signal,
      contextOf: this.contextOf,
      loop: async (loop, start, variables) => {
        const store = new VariableStore();
        for (const [key, value] of variables) if (value !== undefined) store.commit(key, value, false);
        const runners = [loop.condition, loop.body].map(({ graph }) => this.services.runnerOf(graph));
        const values = await runLoop(
          loop,
          start,
          (body, request, feeds) =>
            runners[body === loop.condition ? 0 : 1]!.evaluate(request, { feeds, store, signal }, true),
          signal,
        );
        return { values, variables: (key) => store.get(key) };
      },
    };
    return this.host;
  }

  private waysFor(request: Request): Ways {
    const known = this.waysOf.get(request);
    if (known !== undefined) return known;
    const key = requestKey(request);
    const ways = this.ways.get(key) ?? new Ways(request);
    this.ways.set(key, ways);
    if (this.inLoop) this.waysOf.set(request, ways);
    return ways;
  }

  /** Computes what has to be known before the request can be planned. */
  private follow(ways: Ways, way: Way, start: Start): Soon<Solved> {
    if (this.inLoop && way.first === null && !this.seen.has(way)) this.lookAhead(way, start);
    const { first } = way;
    if (first === null) return { way, feeds: start.feeds };
    return andThen(this.compute(first, start), (computed) => {
      const values = computed.plan.analysis.fetches.map((slot) => needValue(slot, computed.values));
      const feeds = keptOf(computed);
      if (!way.decides) first.fetches.forEach((x, i) => void feeds.set(x, values[i]!));
      return this.follow(ways, ways.after(way, values, feeds), { ...start, feeds });
    });
  }

  /** Looks once whether kernels can tell shapes that nothing else does; if so, they run first. */
  private lookAhead(way: Way, { feeds, store }: Start): void {
    this.seen.add(way);
    const { request } = way;
    const pruned = way.prune();
    const fetches = shapesToLearn(pruned, this.analysed(request, pruned, shapesOf(feeds), store));
    if (fetches.length > 0) way.first = { fetches, targets: [], fed: request.fed };
  }

  private planFor(way: Way, start: Start): Soon<Plan> {
    const plan = this.families.get(way.key)?.ready(start.feeds, start.store) ?? null;
    return plan !== null && stillHolds(plan, start.store) ? plan : this.findPlan(way, start);
  }

  private async findPlan(way: Way, start: Start): Promise<Plan> {
    const { key, request } = way;
    let family = this.families.get(key);
    if (family === undefined) {
      family = new PlanFamily(!this.inLoop);
      this.families.set(key, family);
    }
    const plan = await family.planFor(
      shapesOf(start.feeds),
      (fed, baked) => this.compile(request, way.prune(), fed, baked, start.store),
      start.store,
    );
    if (stillHolds(plan, start.store)) return plan;
    this.families.delete(key);
    await family.release();
    return this.findPlan(way, start);
  }

  private analysed(request: Request, pruned: Pruned, shapes: FeedShapes, store: VariableStore): Analysis {
    const specs = new Map([...shapes].map(([x, shape]) => [x, { shape, value: null }]));
    const found = analyse(request, pruned, specs, store, this.onHost);
    return { ...found, steps: this.inLoop ? smallOnHost(found.steps) : initialOnHost(found) };
  }

  private async compile(
    request: Request,
    pruned: Pruned,
    shapes: FeedShapes,
    baked: ReadonlyMap<string, Tensor> | null,
    store: VariableStore,
  ): Promise<Plan> {
    for (;;) {
      const analysis = this.analysed(request, pruned, shapes, store);
      this.services.planned(pruned, analysis);
      try {
        return await compilePlan(analysis, this.services.runtime, { baked, immediate: this.inLoop });
      } catch (e) {
        const op = refusedOp(e, analysis);
        if (op === null) throw e;
        this.onHost.add(op);
      }
    }
  }

  /** Frees all plans. */
  async release(): Promise<void> {
    const families = [...this.families.values()];
    this.families.clear();
    this.ways.clear();
    await Promise.all(families.map((f) => f.release()));
  }
}

/** Whether variables are as the plan took them: with or without a value, and of the same shapes. */
function stillHolds({ analysis }: Plan, store: VariableStore): boolean {
  for (const [variable, had] of analysis.probes) if (store.has(variable) !== had) return false;
  return analysis.reads.every((slot) => {
    const value = store.get(slot.key!);
    return value === null || sameShape(value.shape, slot.spec.shape);
  });
}

function readVariables({ analysis }: Plan, values: (Tensor | undefined)[], store: VariableStore): void {
  for (const slot of analysis.reads)
    values[slot.id] = store.need(slot.key!, analysis.variables.get(slot.key!)!.isRef);
}

/**
 * What ops with a state gave while predicates were computed: they do not run again, so that nothing is drawn or popped twice. Where that run
 * wrote variables too, all of it runs again, since what it wrote was not kept.
 */
function keptOf({ plan: { analysis, drawn }, values, feeds }: Computed): Map<Output, Tensor> {
  const kept = new Map(feeds);
  if (analysis.final.size > 0) return kept;
  for (const [output, slot] of drawn) {
    const value = values[slot.id];
    if (value !== undefined) kept.set(output, value);
  }
  return kept;
}

/** Results for the caller: copies where a tensor is a variable's or the plan's own. */
function collect(
  plan: Plan,
  values: readonly (Tensor | undefined)[],
  feeds: ReadonlyMap<Output, Tensor>,
): Tensor[] {
  let given: ReadonlySet<Tensor> | undefined;
  return plan.analysis.fetches.map((slot) => {
    const t = needValue(slot, values);
    if (slot.key === null && slot.source === "step") return t;
    given ??= new Set(feeds.values());
    return given.has(t) ? t : copyOf(t);
  });
}

function commitWrites(
  plan: Plan,
  values: readonly (Tensor | undefined)[],
  feeds: ReadonlyMap<Output, Tensor>,
  store: VariableStore,
): void {
  if (plan.analysis.final.size === 0) return;
  const foreign = new Set<unknown>([...feeds.values()].map((t) => t.data));
  for (const slot of plan.analysis.reads) foreign.add(values[slot.id]!.data);
  for (const slot of plan.analysis.fetches)
    if (slot.key === null) foreign.add((slot.spec.value ?? values[slot.id])?.data);
  for (const [key, slot] of plan.analysis.final) {
    const t = slot.spec.value ?? values[slot.id];
    if (t === undefined) continue; // a loop without a round set nothing
    const isShared = foreign.has(t.data) || slot.spec.value !== null || plan.analysis.constants.has(t);
    const mine = isShared ? copyOf(t) : t;
    foreign.add(mine.data);
    store.commit(key, mine, !plan.keepsTensors && ArrayBuffer.isView(mine.data));
  }
}

/** The op that the engine cannot run as planned, where the host can: builds differ in kernels, and some lowerings need sizes. */
function refusedOp(e: unknown, analysis: Analysis): Operation | null {
  const at = missingKernelAt(e);
  const step = analysis.steps.find((s) => s.kind === "onnx" && s.op.name === at);
  return step !== undefined && hasHostForm(step) ? step.op : null;
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

const shapesOf = (feeds: ReadonlyMap<Output, Tensor>): FeedShapes =>
  new Map([...feeds].map(([x, t]) => [x, t.shape as Shape]));

const copyOf = (t: Tensor): Tensor => ({ ...t, data: t.data.slice() as Tensor["data"] });
