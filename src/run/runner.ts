/**
 * @file Runs requests of one graph: solves its conditionals, finds or makes the plan, runs it, commits what it wrote. A session has a runner for
 * its graph and one for each side of a loop. Start at `Runner.evaluate`.
 */

import { type Shape, sameShape, type Tensor } from "../base/index.ts";
import type { Graph, HostContext, Operation, Output } from "../graph/index.ts";
import { analyse } from "./analysis.ts";
import { labelOf } from "./control/loop.ts";
import { runLoop } from "./control/run-loop.ts";
import { initialOnHost, smallOnHost } from "./partition.ts";
import { compilePlan, type HostServices, needValue, type Plan } from "./plan.ts";
import { type FeedShapes, PlanFamily } from "./plan-cache.ts";
import { type Pruned, prune, type Request } from "./prune.ts";
import { abortError } from "./remote/index.ts";
import { missingKernelAt, type Runtime } from "./runtime.ts";
import { VariableStore } from "./state.ts";
import { type Analysis, hasHostForm } from "./steps.ts";
import type { Trace } from "./trace.ts";

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

/** A request whose conditionals are decided. */
interface Solved {
  readonly request: Request;
  readonly pruned: () => Pruned;
  readonly key: string;
  /** those that were given, and what computing predicates leaves */
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
  /** of requests with conditionals: the predicates, where all are fed */
  private readonly fedPredicates = new Map<string, readonly Output[]>();

  constructor(graph: Graph, services: RunnerServices) {
    this.services = services;
    this.label = labelOf(graph);
    this.inLoop = this.label !== "";
  }

  /** Values of the request's fetches. Variables change only where `commit` says so, and only when all succeeded. */
  async evaluate(request: Request, start: Start, commit: boolean): Promise<Tensor[]> {
    const { plan, values, feeds } = await this.compute(request, start);
    const results = collect(plan, values, feeds);
    if (commit) commitWrites(plan, values, feeds, start.store);
    return results;
  }

  private async compute(asked: Request, given: Start): Promise<Computed> {
    const { store, signal, trace } = given;
    checkAborted(signal);
    const base = requestKey(asked);
    const solved =
      this.solvedBefore(asked, base, given.feeds) ?? (await this.solveControl(asked, base, given));
    const { feeds } = solved;
    const ready = this.families.get(solved.key)?.ready(feeds, store) ?? null;
    const plan = ready !== null && stillHolds(ready, store) ? ready : await this.planFor(solved, given);
    const values: (Tensor | undefined)[] = [];
    for (const [output, slot] of plan.analysis.feeds) values[slot.id] = feeds.get(output)!;
    readVariables(plan, values, store);
    const host = this.hostServices(signal);
    for (const stage of plan.stages) {
      checkAborted(signal);
      const begin = trace === undefined ? 0 : performance.now();
      await stage.run(values, store, host);
      trace?.stage(stage, begin, performance.now());
    }
    checkAborted(signal);
    return { plan, values, feeds };
  }

  private hostServices(signal: AbortSignal | undefined): HostServices {
    return {
      contextOf: (op) => this.services.contextOf(op, this.label),
      loop: async (loop, start, variables) => {
        const store = new VariableStore();
        for (const [key, value] of variables) if (value !== undefined) store.commit(key, value, false);
        const values = await runLoop(
          loop,
          start,
          ({ graph }, request, feeds) =>
            this.services.runnerOf(graph).evaluate(request, { feeds, store, signal }, true),
          signal,
        );
        return { values, variables: (key) => store.get(key) };
      },
    };
  }

  /** A request that had a plan with the same decisions: it has no conditionals, or all of their predicates are fed. */
  private solvedBefore(request: Request, base: string, feeds: Start["feeds"]): Solved | null {
    if (this.families.has(base))
      return { request, pruned: () => prune(request, () => null), key: base, feeds };
    const predicates = this.fedPredicates.get(base);
    if (predicates === undefined) return null;
    const taken = (x: Output): boolean => isTrue(feeds.get(x)!);
    const key = base + decisions(predicates, taken);
    return this.families.has(key) ? { request, pruned: () => prune(request, taken), key, feeds } : null;
  }

  /** Prunes; where conditionals need the values of predicates, these are computed first. */
  private async solveControl(
    asked: Request,
    base: string,
    { feeds: given, ...start }: Start,
  ): Promise<Solved> {
    const feeds = new Map(given);
    const known = new Map<Output, boolean>();
    const predicate = (x: Output): boolean | null => {
      const fed = feeds.get(x);
      return fed === undefined ? (known.get(x) ?? null) : isTrue(fed);
    };
    for (;;) {
      const request: Request = { ...asked, fed: new Set(feeds.keys()) };
      const pruned = prune(request, predicate);
      if (pruned.unknown.length === 0) {
        const preds = predicatesOf(pruned);
        if (preds.length > 0 && preds.every((x) => given.has(x))) this.fedPredicates.set(base, preds);
        return {
          request,
          pruned: () => pruned,
          key: requestKey(request) + decisions(preds, predicate),
          feeds,
        };
      }
      const inner: Request = { fetches: pruned.unknown, targets: [], fed: request.fed };
      const computed = await this.compute(inner, { ...start, feeds });
      const values = collect(computed.plan, computed.values, computed.feeds);
      for (const [i, x] of pruned.unknown.entries()) known.set(x, isTrue(values[i]!));
      for (const [x, value] of keptOf(computed)) feeds.set(x, value);
    }
  }

  private async planFor(solved: Solved, start: Start): Promise<Plan> {
    const { request, pruned, key, feeds } = solved;
    let family = this.families.get(key);
    if (family === undefined) {
      family = new PlanFamily(!this.inLoop);
      this.families.set(key, family);
    }
    const shapes: FeedShapes = new Map([...feeds].map(([x, t]) => [x, t.shape as Shape]));
    const plan = await family.planFor(
      shapes,
      (fed, baked) => this.compile(request, pruned(), fed, baked, start.store),
      start.store,
    );
    if (stillHolds(plan, start.store)) return plan;
    this.families.delete(key);
    await family.release();
    return this.planFor(solved, start);
  }

  private async compile(
    request: Request,
    pruned: Pruned,
    shapes: FeedShapes,
    baked: ReadonlyMap<string, Tensor> | null,
    store: VariableStore,
  ): Promise<Plan> {
    const specs = new Map([...shapes].map(([x, shape]) => [x, { shape, value: null }]));
    for (;;) {
      const found = analyse(request, pruned, specs, store, this.onHost);
      const steps = this.inLoop ? smallOnHost(found.steps) : initialOnHost(found);
      const analysis = { ...found, steps };
      this.services.planned(pruned, analysis);
      try {
        return await compilePlan(analysis, this.services.runtime, baked);
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
    this.fedPredicates.clear();
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
function keptOf({ plan: { analysis }, values, feeds }: Computed): ReadonlyMap<Output, Tensor> {
  const kept = new Map(feeds);
  if (analysis.final.size > 0) return kept;
  for (const { op, outputs } of analysis.steps) {
    const { stateful, access } = op.needDef();
    if (stateful !== true || access !== undefined) continue; // variables are as they were: they can be read again
    outputs.forEach((slot, i) => {
      const value = slot === null ? undefined : values[slot.id];
      if (value !== undefined) kept.set(op.outputs[i]!, value);
    });
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
function requestKey({ fetches, targets, fed }: Request): string {
  let key = "";
  for (const x of fetches) key += `${x.op.id}:${x.index},`;
  key += "|";
  for (const op of targets) key += `${op.id},`;
  key += "|";
  for (const x of fed) key += `${x.op.id}:${x.index},`;
  return key;
}
