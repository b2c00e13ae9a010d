/**
 * @file Which ops a run needs, and in which order. Conditionals (Switch/Merge) are solved here: given the values of their predicates, a
 * plan holds only the branch taken. Start at `prune`.
 */

import { VarscopeError } from "../base/index.ts";
import type { Operation, Output } from "../graph/index.ts";
import { loopOf, variablesOf } from "./control/loop.ts";

/** What is asked of a run, in graph terms. */
export interface Request {
  readonly fetches: readonly Output[];
  readonly targets: readonly Operation[];
  readonly fed: ReadonlySet<Output>;
}

/** Value of a predicate, or null where it is not known yet. */
export type PredicateOf = (pred: Output) => boolean | null;

export interface Pruned {
  /** in an order that respects data and control edges */
  readonly order: readonly Operation[];
  /** what a control-flow output stands for in this plan: the Switch's input, the Merge's taken input */
  readonly alias: ReadonlyMap<Output, Output>;
  /** predicates that must be known before the plan can be made */
  readonly unknown: readonly Output[];
}

const controlOf = (op: Operation) => op.def?.control;

/** All ops that `request` reaches, with both branches of every conditional. */
function reach(request: Request, follow: (op: Operation) => readonly Operation[]): Set<Operation> {
  const seen = new Set<Operation>();
  const stack = [...request.targets, ...request.fetches.filter((x) => !request.fed.has(x)).map((x) => x.op)];
  while (stack.length > 0) {
    const op = stack.pop()!;
    if (seen.has(op)) continue;
    seen.add(op);
    for (const need of follow(op)) stack.push(need);
  }
  return seen;
}

const dataAndControl =
  (fed: ReadonlySet<Output>) =>
  (op: Operation): Operation[] => [
    ...op.inputs.filter((x) => !fed.has(x)).map((x) => x.op),
    ...op.controlInputs,
  ];

/** Ops in topological order: reads before the writes they may race with, else in the order of the graph. */
function order(ops: ReadonlySet<Operation>, follow: (op: Operation) => readonly Operation[]): Operation[] {
  const waiting = new Map<Operation, number>();
  const users = new Map<Operation, Operation[]>();
  for (const op of ops) {
    const needs = new Set(follow(op).filter((d) => ops.has(d)));
    waiting.set(op, needs.size);
    for (const d of needs) users.get(d)?.push(op) ?? users.set(d, [op]);
  }
  const ready = [new Heap(), new Heap()];
  const push = (op: Operation): void => ready[writes(op) ? 1 : 0]!.push(op);
  for (const [op, n] of waiting) if (n === 0) push(op);
  const sorted: Operation[] = [];
  for (;;) {
    const op = ready[0]!.pop() ?? ready[1]!.pop();
    if (op === undefined) break;
    sorted.push(op);
    for (const user of users.get(op) ?? []) {
      const left = waiting.get(user)! - 1;
      waiting.set(user, left);
      if (left === 0) push(user);
    }
  }
  if (sorted.length < ops.size) {
    const done = new Set(sorted);
    const stuck = [...ops]
      .filter((op) => !done.has(op))
      .slice(0, 5)
      .map((op) => op.name);
    throw new VarscopeError("INVALID_ARGUMENT", `the graph has a cycle through ${stuck.join(", ")}`, {
      at: stuck[0]!,
    });
  }
  return sorted;
}

const writes = (op: Operation): boolean => {
  const loop = loopOf(op);
  if (loop !== undefined) return [...variablesOf(loop).values()].some((v) => v.written);
  return Object.values(op.def?.access ?? {}).some((a) => a === "write" || a === "update");
};

/** Ops by their place in the graph, smallest first. */
class Heap {
  private readonly items: Operation[] = [];

  push(op: Operation): void {
    const a = this.items;
    a.push(op);
    for (let i = a.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (a[parent]!.id <= a[i]!.id) break;
      [a[parent], a[i]] = [a[i]!, a[parent]!];
      i = parent;
    }
  }

  pop(): Operation | undefined {
    const a = this.items;
    const top = a[0];
    const last = a.pop();
    if (a.length === 0 || last === undefined) return top;
    a[0] = last;
    for (let i = 0; ; ) {
      const [l, r] = [2 * i + 1, 2 * i + 2];
      let least = i;
      if (l < a.length && a[l]!.id < a[least]!.id) least = l;
      if (r < a.length && a[r]!.id < a[least]!.id) least = r;
      if (least === i) return top;
      [a[least], a[i]] = [a[i]!, a[least]!];
      i = least;
    }
  }
}

/** The predicates of all conditionals that a request reaches, of those in branches too. */
export function predicatesOf(request: Request): Output[] {
  const ops = reach(request, dataAndControl(request.fed));
  const switches = [...ops].filter((op) => controlOf(op) === "switch");
  return [...new Set(switches.map((op) => op.inputs[1]!))];
}

/** @throws VarscopeError INVALID_ARGUMENT - a cycle, or an output whose branch is not taken */
export function prune(request: Request, predicate: PredicateOf): Pruned {
  const follow = dataAndControl(request.fed);
  const all = reach(request, follow);
  const alias = new Map<Output, Output>();
  if (![...all].some((op) => controlOf(op) !== undefined))
    return { order: order(all, follow), alias, unknown: [] };

  const sorted = order(all, follow);
  const unknown = new Set<Output>();
  const dead = findDead(sorted, request.fed, predicate, alias, unknown);
  if (unknown.size > 0) return { order: [], alias, unknown: [...unknown] };
  const missing = request.fetches.find((x) => !request.fed.has(x) && dead.has(x));
  if (missing !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `Retval[0] does not have value`, {
      at: missing.name,
      hint: "its branch of the conditional is not taken in this run",
    });
  }
  const maker = (x: Output): Operation[] => (request.fed.has(x) ? [] : [x.op]);
  const sources = (op: Operation): Operation[] => {
    if (controlOf(op) === "merge") return maker(alias.get(op.outputs[0]!)!);
    if (controlOf(op) === "switch") return [...maker(op.inputs[0]!), ...op.controlInputs];
    return follow(op);
  };
  // what runs after dead ops leads to some, and behind those are merges that took nothing
  const taken = (op: Operation): Operation[] => sources(op).filter((d) => !deadOp(d, dead));
  const alive = { ...request, targets: request.targets.filter((op) => !deadOp(op, dead)) };
  return { order: order(reach(alive, taken), taken), alias, unknown: [] };
}

/** A dead op is marked by its own key, so that ops without outputs can be dead too. */
const deadOp = (op: Operation, dead: ReadonlySet<Output | Operation>): boolean => dead.has(op);

function findDead(
  sorted: readonly Operation[],
  fed: ReadonlySet<Output>,
  predicate: PredicateOf,
  alias: Map<Output, Output>,
  unknown: Set<Output>,
): Set<Output | Operation> {
  const dead = new Set<Output | Operation>();
  // behind a Switch that is still undecided: whether they live is asked when it is decided, not before
  const unsure = new Set<Operation>();
  for (const op of sorted) {
    const inputs = op.inputs.filter((x) => !fed.has(x));
    if (inputs.some((x) => unsure.has(x.op)) || op.controlInputs.some((c) => unsure.has(c))) {
      unsure.add(op);
      continue;
    }
    if (controlOf(op) === "merge") {
      const taken = op.inputs.find((x) => fed.has(x) || !dead.has(x));
      if (taken === undefined) markDead(op, dead);
      else alias.set(op.outputs[0]!, taken);
      continue;
    }
    const waitsForDead = op.def?.runsAfterDead !== true && op.controlInputs.some((c) => dead.has(c));
    if (waitsForDead || inputs.some((x) => dead.has(x))) {
      markDead(op, dead);
      continue;
    }
    if (controlOf(op) !== "switch") continue;
    const value = predicate(op.inputs[1]!);
    if (value === null) {
      unknown.add(op.inputs[1]!);
      unsure.add(op);
      continue;
    }
    dead.add(op.outputs[value ? 0 : 1]!);
    for (const out of op.outputs) alias.set(out, op.inputs[0]!);
  }
  return dead;
}

function markDead(op: Operation, dead: Set<Output | Operation>): void {
  dead.add(op);
  for (const out of op.outputs) dead.add(out);
}
