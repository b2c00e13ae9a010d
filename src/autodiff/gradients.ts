/**
 * @file Symbolic gradients: walks the graph from ys to xs and asks each OpDef for the gradient ops of its op.
 * Builds the ops, names and order that TensorFlow Python's `tf.gradients` builds. Start at `gradients`.
 *
 * @see TensorFlow python/ops/gradients_util.py "_GradientsHelper"
 */

import {
  formatShape,
  isComplex,
  isFloat,
  isInteger,
  isVarscopeError,
  mergeShapes,
  VarscopeError,
} from "../base/index.ts";
import {
  type Absent,
  densify,
  type Grad,
  type Graph,
  type IndexedSlices,
  isAbsent,
  isIndexedSlices,
  type OpDef,
  type Operation,
  Output,
  stopsGradients,
  tuple,
  WhileContext,
} from "../graph/index.ts";
import { Received } from "./aggregate.ts";
import { Unfolding, unfoldCalls } from "./calls.ts";
import { type Caller, customRule, gradientType } from "./custom.ts";
import { onesFor, zerosForInput } from "./fills.ts";
import { isExit, LoopStates } from "./loop-state.ts";
import { isTrainable, opsBetween, pathThrough, pendingCounts, stopOps } from "./reach.ts";

export interface GradientsOptions {
  /** gradients of ys; ones where absent or null */
  readonly gradYs?: readonly (Grad | null)[];
  /** name scope of the new ops: "gradients" */
  readonly name?: string;
  /** puts each gradient op next to the op that it differentiates: false */
  readonly colocateGradientsWithOps?: boolean;
  /** an op's gradients are given only when all of them are there: false */
  readonly gateGradients?: boolean;
  /** not differentiated through: taken as constants */
  readonly stopGradients?: readonly Output[];
  /** gradient of an x that no y depends on: null, or zeros of its shape: "none" */
  readonly unconnectedGradients?: "none" | "zero";
}

/**
 * Gradients of the sum of `ys` with respect to each of `xs`. Calls of functions, functional conditionals and loops between them are taken apart in
 * the graph first: their ops stay and hand on the results.
 *
 * @returns dense, or rows at indices where x was gathered from; null where no y depends on x
 * @throws VarscopeError NOT_FOUND - an op between has no gradient: the message names it, and the path that
 *   leads through it
 * @throws VarscopeError INVALID_ARGUMENT - gradYs do not fit ys, complex ys without gradYs, a loop whose context is not in the graph
 * @throws VarscopeError UNIMPLEMENTED - the gradient of a gradient of a loop; a function that calls itself, or holds a loop of TensorFlow 1
 * @throws VarscopeError RESOURCE_EXHAUSTED - functions make too many ops
 */
export function gradients(
  ys: Output | readonly Output[],
  xs: Output | readonly Output[],
  options: GradientsOptions = {},
): (Grad | null)[] {
  const to = ys instanceof Output ? [ys] : ys;
  const from = xs instanceof Output ? [xs] : xs;
  const graph = (to[0] ?? from[0])?.graph;
  if (graph === undefined) return [];
  const foreign = [...to, ...from].find((t) => t.graph !== graph);
  if (foreign !== undefined) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Tensor ${foreign.name} must be from the same graph as Tensor ${to[0]!.name}`,
    );
  }
  const also = options.stopGradients ?? [];
  unfoldCalls(graph, opsOf(to), opsOf(from), opsOf(also));
  const backprop = graph.nameScope(options.name ?? "gradients", (scope) => {
    graph.uniqueName("uid"); // TensorFlow takes this name for itself
    const all = new Backprop(graph, to, from, scope, options);
    all.run();
    return all;
  });
  backprop.loops.finish();
  const { received } = backprop;
  return from.map(
    (x) => received.sum(x) ?? (options.unconnectedGradients === "zero" ? zerosForInput(x) : null),
  );
}

const opsOf = (xs: readonly Output[]): Operation[] => xs.map((x) => x.op);

type GradRule = Exclude<OpDef["grad"], Absent>;

/** One call of `gradients`. */
class Backprop {
  private readonly graph: Graph;
  private readonly ys: readonly Output[];
  private readonly xs: readonly Output[];
  private readonly scope: string;
  private readonly options: GradientsOptions;
  readonly received = new Received();
  loops!: LoopStates;

  constructor(
    graph: Graph,
    ys: readonly Output[],
    xs: readonly Output[],
    scope: string,
    options: GradientsOptions,
  ) {
    this.graph = graph;
    this.ys = ys;
    this.xs = xs;
    this.scope = scope;
    this.options = options;
  }

  run(): void {
    const { ys, xs, received } = this;
    const gradYs = this.startingGradients();
    const [to, from] = [opsOf(ys), opsOf(xs)];
    const { reachable, between } = opsBetween(to, from);
    this.loops = new LoopStates(between, (op, body) => this.near(op, body));
    const counts = pendingCounts(between);
    for (const [i, y] of ys.entries()) received.add(y, gradYs[i]!);
    const first = new Set(to.filter((op) => reachable.has(op) && (counts.get(op) ?? 0) === 0));
    const queue = [...first];
    for (const y of this.loops.unusedExits(counts, first)) {
      received.add(y, this.loops.zerosForExit(y));
      queue.push(y.op);
    }
    const stops = stopOps(from, opsOf(this.options.stopGradients ?? []), counts);
    for (let next = 0; next < queue.length; next++) {
      const op = queue[next]!;
      this.near(op, () => this.differentiate(op, stops.has(op)));
      this.enqueueReady(op, counts, queue);
    }
  }

  private enqueueReady(op: Operation, counts: Map<Operation, number>, queue: Operation[]): void {
    const { loops, received } = this;
    for (const x of op.inputs) {
      const left = (counts.get(x.op) ?? 0) - 1;
      counts.set(x.op, left);
      if (!loops.isReady(x.op, left)) continue;
      if (!isExit(x.op)) queue.push(x.op);
      else
        queue.push(
          ...loops.readyAt(
            x,
            (o) => received.has(o),
            (y, zeros) => received.add(y, zeros),
          ),
        );
    }
  }

  private near<R>(op: Operation, body: () => R): R {
    return this.options.colocateGradientsWithOps ? this.graph.colocateWith(op, body) : body();
  }

  private startingGradients(): Grad[] {
    const given = this.options.gradYs ?? this.ys.map(() => null);
    if (given.length !== this.ys.length) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Length mismatch. Passed ${given.length} grad_ys for ${this.ys.length} ys`,
      );
    }
    return this.ys.map((y, i) =>
      this.near(y.op, () => startingGradient(y, given[i] ?? null, `grad_ys_${i}`)),
    );
  }

  /** Sums what the op received and hands its inputs their gradients. */
  private differentiate(op: Operation, stop: boolean): void {
    const dys = this.loops.within(op, true, () => this.received.sumsOf(op));
    const isUsed = !stop && dys.some((dy) => dy !== null);
    const grad = isUsed ? this.ruleOf(op) : stopsGradients;
    this.loops.within(op, false, () => {
      this.checkFirstValue(op);
      this.applyRule(op, grad, dys);
    });
  }

  private applyRule(op: Operation, grad: GradRule, dys: readonly (Grad | null)[]): void {
    if (grad === stopsGradients) return;
    const filled = dys.map(
      (dy, i) => dy ?? (isTrainable(op.outputs[i]!.dtype) ? this.loops.zerosForOutput(op, i) : null),
    );
    const dxs = this.graph.nameScope(`${op.name}_grad`, () => {
      const takes = op.def!.gradTakesSlices === true && gradientType(op) === undefined;
      const dense = filled.map((dy) => (!takes && isIndexedSlices(dy) ? densify(dy) : dy));
      const results = grad(this.graph, op, dense as Output[], op.attrs as never);
      if (results.length !== op.inputs.length) {
        throw new VarscopeError(
          "INTERNAL",
          `Num gradients ${results.length} generated for op ${op.type} do not match num inputs ${op.inputs.length}`,
          { at: op.name },
        );
      }
      return this.gated(results);
    });
    dxs.forEach((dx, i) => {
      if (dx === null) return;
      const x = op.inputs[i]!;
      if (dx instanceof Output && x.dtype !== "resource") takeShape(dx, x, op, i);
      this.received.add(x, dx);
    });
  }

  /** Inside a loop, its variables' first values are out of reach. */
  private checkFirstValue(op: Operation): void {
    const { context } = this.graph;
    if (op.def?.control !== "switch" || !(op.context instanceof WhileContext) || op.context !== context)
      return;
    const target = pathThrough(op, this.ys, this.xs).at(-1);
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot compute gradient inside while loop with respect to op '${target}'. We do not support taking the gradient wrt or through the initial value of a loop variable. Gradients can be computed through loop invariants or wrt the input parameters to the loop body.`,
      { at: op.name },
    );
  }

  private ruleOf(op: Operation): GradRule {
    const own = gradientType(op);
    const call: Caller = (func, args, at) => new Unfolding(this.graph).results(func, args, at);
    const grad = own === undefined ? op.def?.grad : customRule(op, call);
    if (grad !== undefined && grad !== null && !isAbsent(grad)) return grad;
    const why =
      own !== undefined
        ? `gradient registry has no entry for: ${own}`
        : isAbsent(grad)
          ? grad.absent
          : "this op is not known here";
    const path = pathThrough(op, this.ys, this.xs).join(" <- ");
    throw new VarscopeError(
      "NOT_FOUND",
      `No gradient defined for operation '${op.name}' (op type: ${op.type}): ${why}`,
      {
        at: this.scope.slice(0, -1),
        hint: `the path is ${path}; put a StopGradient before it to take it as a constant`,
      },
    );
  }

  private gated(dxs: readonly (Grad | null)[]): readonly (Grad | null)[] {
    if (this.options.gateGradients !== true || dxs.filter((dx) => dx !== null).length < 2) return dxs;
    const { graph } = this;
    return graph.withDevice(null, () => graph.colocateWith(null, () => tuple(graph, dxs), true));
  }
}

function startingGradient(y: Output, given: Grad | null, name: string): Grad {
  if (given === null) {
    y.op.needDef();
    if (isComplex(y.dtype)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Gradients of complex tensors (${y.name}) must set grad_ys`,
      );
    }
    return onesFor(y, name);
  }
  const dtype = isIndexedSlices(given) ? given.values.dtype : given.dtype;
  const fits = isComplex(y.dtype)
    ? isComplex(dtype)
    : y.dtype === "resource"
      ? dtype !== "resource"
      : isFloat(dtype) || isInteger(dtype);
  if (!fits) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Gradient type ${dtype} generated for tensor ${y.name} with type ${y.dtype} must be ${isComplex(y.dtype) ? "complex" : "real or integer"}`,
    );
  }
  return isIndexedSlices(given) ? copyRows(given, name) : y.graph.add("Identity", [given], { name });
}

const copyRows = ({ values, indices, denseShape }: IndexedSlices, name: string): IndexedSlices => {
  const copy = (x: Output, part: string): Output => x.graph.add("Identity", [x], { name: `${name}_${part}` });
  return {
    indices: copy(indices, "indices"),
    values: copy(values, "values"),
    denseShape: denseShape === null ? null : copy(denseShape, "shape"),
  };
};

/** A gradient has the shape of what it is the gradient of. */
function takeShape(dx: Output, x: Output, op: Operation, index: number): void {
  try {
    const shape = mergeShapes(dx.shape, x.shape);
    if (shape !== null) dx.shape = shape;
  } catch (cause) {
    if (!isVarscopeError(cause)) throw cause;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Incompatible shapes between op input and calculated input gradient. Forward operation: ${op.name}. Input index: ${index}. ` +
        `Original input shape: ${formatShape(x.shape)}. Calculated input gradient shape: ${formatShape(dx.shape)}`,
      { at: dx.op.name, cause },
    );
  }
}
