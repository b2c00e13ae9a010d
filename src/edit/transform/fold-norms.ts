/** @file The pass that folds batch normalization into the weights beside it, wherever that is right; what it leaves, it names. Start at `foldBatchNorm`. */

import type { Graph, Operation } from "../../graph/index.ts";
import { isFusedNorm } from "./affine.ts";
import { draftOf, dropUnneeded, graphOf, needed } from "./draft.ts";
import { chainsOf, type Folded, foldAfter, refusal } from "./fold-after.ts";
import { foldBefore, normBefore } from "./fold-before.ts";
import { linearOf } from "./linear.ts";
import { type Change, type Left, outputsOf, type PassOptions, type PassResult } from "./pass.ts";
import { type RangeReport, rangeReport } from "./ranges.ts";

export interface FoldResult extends PassResult {
  /** weights of the folded layers, per channel, before and after */
  readonly ranges: readonly RangeReport[];
}

/**
 * Folds batch normalization in inference, fused or in small ops, into the convolution or product before it, or behind it. New nodes are
 * named as TensorFlow's folder names them: `<conv>_weights`, `<conv>_bn_offset`, and a BiasAdd with the name of the normalization.
 *
 * @throws VarscopeError NOT_FOUND - an output that the graph lacks
 */
export function foldBatchNorm(graph: Graph, options: PassOptions = {}): FoldResult {
  const outputs = outputsOf(graph, options);
  const done: Change[] = [];
  const ranges: RangeReport[] = [];
  let left: Left[] = [];
  let now = graph;
  for (;;) {
    const round = foldRound(now, outputs, options);
    left = round.left;
    if (round.folded.length === 0) break;
    for (const f of round.folded) {
      done.push({ at: f.layer, what: f.what });
      ranges.push(rangeReport(f));
    }
    now = round.graph;
  }
  left.push(...unexplained(now, left));
  return { graph: now, report: { pass: "fold-batch-norm", done, left }, ranges };
}

interface Round {
  readonly graph: Graph;
  readonly folded: readonly Folded[];
  readonly left: Left[];
}

/** Folds what does not touch each other. A normalization between two linear ops goes to the first. */
function foldRound(graph: Graph, outputs: readonly string[], options: PassOptions): Round {
  const draft = draftOf(graph);
  const keep = new Set(outputs);
  const before = needed(draft.nodes, outputs);
  const touched = new Set<Operation>();
  const folded: Folded[] = [];
  const left = new Map<string, string>();
  const isFree = (ops: readonly Operation[]): boolean => !ops.some((op) => touched.has(op));
  const touch = (ops: readonly Operation[]): void => ops.forEach((op) => void touched.add(op));
  for (const op of graph.operations) {
    const linear = linearOf(op);
    if (linear === null || typeof linear === "string") continue;
    for (const chain of chainsOf(linear, keep)) {
      const why = refusal(chain, options.clone ?? false);
      if (why !== null) left.set(chain.ops.at(-1)!.name, why);
      else if (isFree([op, ...chain.ops])) {
        touch([op, ...chain.ops]);
        folded.push(foldAfter(draft, chain, options.origins));
      }
    }
  }
  // behind what folds before it, a normalization would be folded twice
  for (const op of folded.length > 0 ? [] : graph.operations) {
    const linear = linearOf(op);
    if (linear === null || typeof linear === "string") continue;
    const norm = normBefore(linear, keep);
    if (norm === null) continue;
    const done = typeof norm === "string" ? norm : foldOnce(norm);
    if (typeof done === "string") left.set(normName(op, linear.data), done);
    else if (done !== null) folded.push(done);
  }
  function foldOnce(norm: Exclude<ReturnType<typeof normBefore>, string | null>): Folded | string | null {
    const ops = [norm.linear.op, ...norm.steps.map((s) => s.op)];
    if (!isFree(ops)) return null;
    touch(ops);
    return foldBefore(draft, norm, options.origins);
  }
  if (folded.length > 0) dropUnneeded(draft, before, outputs);
  return {
    graph: folded.length > 0 ? graphOf(draft) : graph,
    folded,
    left: [...left].map(([at, why]) => ({ at, why })),
  };
}

const normName = (op: Operation, data: number): string => op.inputs[data]!.op.name;

/** Why the normalizations that are still there were left. */
function unexplained(graph: Graph, known: readonly Left[]): Left[] {
  const named = new Set(known.map((l) => l.at));
  return graph.operations.flatMap((op) => {
    if (named.has(op.name)) return [];
    const why = isFusedNorm(op) ? whyFused(op) : op.type === "Rsqrt" ? whyLoose(op, named) : whyCall(op);
    return why === null ? [] : [{ at: op.name, why }];
  });
}

/** Functions that hold a normalization. */
function whyCall(op: Operation): string | null {
  const functions = Object.values(op.attrs).flatMap((a) =>
    typeof a === "object" && "func" in a ? [a.func] : [],
  );
  const text = functions.map((name) => op.graph.functions.get(name)).filter((f) => f !== undefined);
  const holds = text.some((f) => /FusedBatchNorm|batchnorm/.test(new TextDecoder("latin1").decode(f)));
  return holds ? `${op.type} calls functions that normalize; inline them first (inline-calls)` : null;
}

function whyFused(op: Operation): string {
  const x = op.inputs[0]!.op;
  if (x.type === "Switch" || x.type === "RefSwitch")
    return `whether it trains is decided by '${x.inputs[1]!.op.name}' in each run; make that constant (placeholders-to-constants) and fold again`;
  if (op.attrs.is_training !== false)
    return "is_training is true: it takes the statistics of its batch, which no weights can hold; set-inference gives it the moving ones";
  const open = op.inputs.slice(1).find((y) => y.op.type !== "Const" && y.op.type !== "Identity");
  if (open !== undefined && open.op.def?.access !== undefined)
    return `'${open.op.name}' is a variable; freeze the graph first`;
  return whyNeighbour(op);
}

/** The square root of a normalization in small ops, that still is one. */
function whyLoose(op: Operation, named: ReadonlySet<string>): string | null {
  if (!isNormRsqrt(op)) return null;
  const decision = ancestorOf(op, (x) => x.type === "Merge" || /^(Stateless)?If$/.test(x.type));
  if (decision !== null)
    return `its statistics come out of ${decision.type} '${decision.name}', which each run decides; make the training flag constant (placeholders-to-constants) and fold again`;
  if (ancestorOf(op, (x) => x.type === "Mean" || x.type === "SquaredDifference") !== null)
    return "it computes the statistics of its batch, which no weights can hold; set-inference gives it the moving ones";
  if ([...consumersWithin(op, 8)].some((name) => named.has(name))) return null;
  return "no convolution or product with constant weights stands right before or behind it";
}

/** Rsqrt(variance + epsilon), the shape of a normalization. */
function isNormRsqrt(op: Operation): boolean {
  const sum = op.inputs[0]!.op;
  return (sum.type === "AddV2" || sum.type === "Add") && [...op.consumers].some((c) => c.type === "Mul");
}

const MAX_DEPTH = 6;

/** The nearest op of a kind that `op` is computed from, not far away. */
function ancestorOf(op: Operation, isWanted: (op: Operation) => boolean): Operation | null {
  let front = [op];
  for (let i = 0; i < MAX_DEPTH && front.length > 0; i++) {
    const found = front.find(isWanted);
    if (found !== undefined) return found;
    front = [...new Set(front.flatMap((x) => x.inputs.map((y) => y.op)))];
  }
  return null;
}

function consumersWithin(op: Operation, depth: number): Set<string> {
  const found = new Set<string>();
  let front = [op];
  for (let i = 0; i < depth && front.length > 0; i++) {
    front = front.flatMap((x) => [...x.consumers]).filter((x) => !found.has(x.name));
    for (const x of front) found.add(x.name);
  }
  return found;
}

function whyNeighbour(op: Operation): string {
  const x = op.inputs[0]!.op;
  const linear = linearOf(x);
  if (typeof linear === "string") return `of ${x.type} '${x.name}' before it ${linear}`;
  const open = op.inputs.slice(1).find((y) => y.op.type !== "Const");
  const what = open === undefined ? "" : ` or its constants do not follow from constants ('${open.op.name}')`;
  return `before it stands ${x.type} '${x.name}', no convolution or product with constant weights${what}`;
}
