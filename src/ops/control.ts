/**
 * @file Control flow of TensorFlow 1: Switch and Merge, as `cond` builds them. A plan solves them before it
 * runs anything, so they have no lowering and no kernel. `cond` itself stands in graph/cond.ts.
 *
 * @see TensorFlow core/ops/control_flow_ops.cc; python/ops/control_flow_grad.py
 */

import type { Shape } from "../base/index.ts";
import {
  absent,
  attr,
  CondContext,
  contextOfOutput,
  defineOp,
  type Grad,
  type Graph,
  type IndexedSlices,
  isIndexedSlices,
  loopAround,
  mapRows,
  mergeOf,
  nextRound,
  type Operation,
  type Output,
  type Spec,
  WhileContext,
} from "../graph/index.ts";
import { dense, element } from "./pieces.ts";

const PLANNED = absent("solved while planning: which side is alive is known before it runs");
const branches = { T: attr.type() };
const inputs = { T: attr.type(), N: attr.int({ min: 1 }) };

const bothSides = ({ data }: { data: Spec }) => {
  const side = { shape: data.shape, handle: data.handle };
  return [side, side];
};

/** Dims that all inputs agree on; unknown rank where ranks differ. */
function agreedShape(shapes: readonly (Shape | null)[]): Shape | null {
  const [first] = shapes;
  if (first === null || first === undefined || shapes.some((s) => s?.length !== first.length)) return null;
  return first.map((d, i) => (shapes.every((s) => s![i] === d) ? d : null));
}

const mergedShapes = ({ inputs: specs }: { inputs: readonly Spec[] }) => [
  { shape: agreedShape(specs.map((s) => s.shape)) },
  { shape: [] },
];

/** The gradients of both sides, of which one is alive, come together again in a Merge. */
function switchGrad(g: Graph, op: Operation, dys: readonly (Grad | null)[]): (Grad | null)[] {
  const { context } = op;
  if (context instanceof WhileContext) return [turnGrad(g, op, dys), null];
  if (context instanceof CondContext) {
    const zero = dys[1 - context.branch] ?? null;
    if (zero !== null) return [mergeGrads(g, [dys[0]!, dys[1]!], "cond_grad"), null];
    if (op.inputs[0]!.dtype !== "resource") return [null, null];
    const dy = dys[context.branch]!;
    return [mergeGrads(g, [dy, dy], "cond_resource_grad"), null];
  }
  const sides = dys.map((dy, i) => forkGrad(g, dy!, op.inputs[1]!, "Switch", false)[i as 0 | 1]);
  return [mergeGrads(g, sides, "Merge"), null];
}

/**
 * A loop's Switch comes twice: from the exit, when the gradient enters the loop that goes back, and from the body, when that loop closes.
 */
function turnGrad(g: Graph, op: Operation, [exit, next]: readonly (Grad | null)[]): Grad | null {
  const merges = loopAround(g.context)?.grad?.merges;
  const merge = merges?.get(op);
  if (merge === undefined) {
    if (!exit) return null;
    const entered = mergeGrads(g, [exit, exit], "b_switch");
    merges?.set(op, entered);
    return entered;
  }
  if (next) nextGrad(g, merge, next);
  return null;
}

/** Closes the loop that goes back: `next` is what `merge` has in the next round. */
function nextGrad(g: Graph, merge: Grad, next: Grad): void {
  if (!isIndexedSlices(merge)) {
    merge.op.replaceInput(1, nextRound(dense(next)));
    return;
  }
  const rows = isIndexedSlices(next) ? next : allRows(g, next);
  const nexts = mapRows(rows, (x) => nextRound(x));
  merge.values.op.replaceInput(1, nexts.values);
  merge.indices.op.replaceInput(1, nexts.indices);
  if (nexts.denseShape !== null) merge.denseShape?.op.replaceInput(1, nexts.denseShape);
}

/** The gradient goes to the side that was taken. */
function mergeGrad(g: Graph, op: Operation, [dy]: readonly (Grad | null)[]): (Grad | null)[] {
  const context = contextOfOutput(op.inputs[0]!.op);
  const loop = loopAround(g.context);
  if (context instanceof WhileContext && loop !== null)
    return [...forkGrad(g, dy!, loop.facts.pivot, "Switch", true)];
  if (context instanceof CondContext) {
    const pred = loop?.grad?.realPred(context.pred) ?? context.pred;
    return [...forkGrad(g, dy!, pred, "cond_grad", true)];
  }
  const taken = op.inputs.map((_, i) => g.add("Equal", [op.output(1), i], { name: "Equal" }));
  return taken.map((pred) => forkGrad(g, dy!, pred, "Switch", true)[1]);
}

/** Both sides of a gradient; rows part by part. */
function forkGrad(g: Graph, dy: Grad, pred: Output, name: string, colocate: boolean): readonly [Grad, Grad] {
  const fork = (x: Output, n: string): readonly [Output, Output] => {
    const op = g.addOp(x.isRef ? "RefSwitch" : "Switch", [x, pred], { name: n });
    return [op.output(0), op.output(1)];
  };
  const make = (): readonly [Grad, Grad] =>
    isIndexedSlices(dy) ? g.nameScope(name, () => forkRows(dy, (x) => fork(x, "Switch"))) : fork(dy, name);
  return colocate ? g.colocateWith(isIndexedSlices(dy) ? dy.values : dy, make, true) : make();
}

function forkRows(
  dy: IndexedSlices,
  fork: (x: Output) => readonly [Output, Output],
): readonly [IndexedSlices, IndexedSlices] {
  const values = fork(dy.values);
  const indices = fork(dy.indices);
  const shape = dy.denseShape === null ? null : fork(dy.denseShape);
  const side = (i: 0 | 1): IndexedSlices => ({
    values: values[i],
    indices: indices[i],
    denseShape: shape?.[i] ?? null,
  });
  return [side(0), side(1)];
}

/** One gradient of two, of which one is alive. If one is rows, the other becomes all rows of its tensor. */
function mergeGrads(g: Graph, dys: readonly Grad[], name: string): Grad {
  if (!dys.some(isIndexedSlices)) return mergeOf(dys as readonly Output[], name);
  return g.nameScope(name, () => {
    const rows = sameIndexType(
      g,
      dys.map((dy) => (isIndexedSlices(dy) ? dy : allRows(g, dy))),
    );
    const merged = (part: (r: IndexedSlices) => Output): Output => mergeOf(rows.map(part), "Merge");
    return {
      values: merged((r) => r.values),
      indices: merged((r) => r.indices),
      denseShape: rows.every((r) => r.denseShape !== null) ? merged((r) => r.denseShape!) : null,
    };
  });
}

/** @see TensorFlow python/ops/math_ops.py "_as_indexed_slices" */
function allRows(g: Graph, x: Output): IndexedSlices {
  const denseShape = g.add("Shape", [x], { name: "Shape" });
  const count = element(g, denseShape, 0);
  return { values: x, indices: g.add("Range", [0, count, 1], { name: "range" }), denseShape };
}

function sameIndexType(g: Graph, rows: readonly IndexedSlices[]): readonly IndexedSlices[] {
  if (new Set(rows.map((r) => r.indices.dtype)).size === 1) return rows;
  const wide = (x: Output): Output =>
    x.dtype === "int32" ? g.add("Cast", [x], { name: "Cast", attrs: { DstT: "int64" } }) : x;
  return rows.map((r) => ({ ...r, indices: wide(r.indices) }));
}

/** `data` on one of two outputs, by `pred`; the other stays dead. */
export const Switch = defineOp("Switch", {
  inputs: { data: "T", pred: "bool" },
  outputs: { output_false: "T", output_true: "T" },
  attrs: branches,
  control: "switch",
  infer: bothSides,
  grad: switchGrad,
  gradTakesSlices: true,
  lower: PLANNED,
  host: PLANNED,
});

/** The same for a variable's buffer. */
export const RefSwitch = defineOp("RefSwitch", {
  inputs: { data: "ref(T)", pred: "bool" },
  outputs: { output_false: "ref(T)", output_true: "ref(T)" },
  attrs: branches,
  allowsUninitialized: true,
  control: "switch",
  infer: bothSides,
  grad: switchGrad,
  gradTakesSlices: true,
  lower: PLANNED,
  host: PLANNED,
});

/** Whichever input is alive, and its position. */
export const Merge = defineOp("Merge", {
  inputs: { inputs: "N*T" },
  outputs: { output: "T", value_index: "int32" },
  attrs: inputs,
  control: "merge",
  infer: mergedShapes,
  grad: mergeGrad,
  gradTakesSlices: true,
  lower: PLANNED,
  host: PLANNED,
});

/** The same for variables' buffers. */
export const RefMerge = defineOp("RefMerge", {
  inputs: { inputs: "ref(N*T)" },
  outputs: { output: "ref(T)", value_index: "int32" },
  attrs: inputs,
  control: "merge",
  infer: mergedShapes,
  grad: mergeGrad,
  gradTakesSlices: true,
  lower: PLANNED,
  host: PLANNED,
});
