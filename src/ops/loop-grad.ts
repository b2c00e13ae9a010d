/**
 * @file Gradients of a loop's borders: what left the loop enters the one that goes back, what entered it leaves that, and what is the same in
 * all rounds gets the sum over the rounds. Start at `enterGrad`.
 *
 * @see TensorFlow python/ops/control_flow_grad.py; python/ops/control_flow_ops.py "AddBackpropAccumulator",
 *   "AddBackpropIndexedSlicesAccumulator"
 */

import { isStatic, VarscopeError } from "../base/index.ts";
import {
  enterAs,
  exitOf,
  type Grad,
  type Graph,
  type IndexedSlices,
  isIndexedSlices,
  type LoopGrad,
  loopAround,
  mapRows,
  mergeOf,
  nextRound,
  type Operation,
  type Output,
  partsOf,
  WhileContext,
  withContext,
} from "../graph/index.ts";
import { concat, part, zeros } from "./pieces.ts";

type Dys = readonly (Grad | null)[];

/** The loop that goes back, while it is being made. */
function openLoop(g: Graph): readonly [WhileContext, LoopGrad] | null {
  const loop = g.context;
  return loop instanceof WhileContext && loop.grad !== null ? [loop, loop.grad] : null;
}

/** The gradient enters the loop that goes back. @throws VarscopeError UNIMPLEMENTED - the loop is one that goes back itself */
export function exitGrad(g: Graph, op: Operation, [dy]: Dys): (Grad | null)[] {
  const open = openLoop(g);
  if (open === null || !open[0].facts.backProp) return [null];
  if (loopAround(op.context)?.grad) {
    throw new VarscopeError("UNIMPLEMENTED", "Second-order gradient for while loops not supported.", {
      at: op.name,
    });
  }
  const [loop] = open;
  for (const x of partsOf(dy!)) loop.values.add(x.name);
  // as in Python: rows enter under the op's own name
  const entered = isIndexedSlices(dy!)
    ? mapRows(dy!, (x) => enterAs(x, loop, "Enter"))
    : enterAs(dy!, loop, "b_exit");
  loop.extend(partsOf(entered), []);
  return [entered];
}

/** What the next round hands back, this one takes. */
export const nextGrad = (_g: Graph, _op: Operation, [dy]: Dys): (Grad | null)[] => [dy ?? null];

/** The gradient of a first value leaves the loop that goes back; that of a constant of the loop is added up there. */
export function enterGrad(g: Graph, op: Operation, [dy]: Dys): (Grad | null)[] {
  const open = openLoop(g);
  if (open === null || !open[0].facts.backProp) return [dy!];
  const [loop, grad] = open;
  if (op.attrs.is_constant !== true) {
    const left = isIndexedSlices(dy!) ? mapRows(dy!, (x) => exitOf(x)) : exitOf(dy!);
    loop.extend([], partsOf(left));
    return [left];
  }
  return [isIndexedSlices(dy!) ? addUpRows(g, loop, op, dy!) : addUp(g, loop, grad, op, dy!)];
}

/** acc = 0; in each round: acc + dy. */
function addUp(g: Graph, loop: WhileContext, grad: LoopGrad, op: Operation, dy: Output): Output {
  const zero = loop.outside(g, () => zeroSum(g, loop, grad, op.inputs[0]!, dy));
  loop.values.add(zero.name);
  const enter = enterAs(zero, loop, "b_acc");
  const merge = mergeOf([enter, enter], "b_acc");
  const turn = g.addOp("Switch", [merge, loop.facts.pivot]);
  const sum = g.add("AddV2", [turn.output(1), dy], { name: "Add" });
  merge.op.replaceInput(1, nextRound(sum));
  const result = exitOf(turn.output(0), "b_acc");
  loop.extend([enter], [result]);
  return result;
}

/** The sum over no rounds: as much as is known of the shape now, else as the value has it when it runs. */
function zeroSum(g: Graph, loop: WhileContext, grad: LoopGrad, value: Output, dy: Output): Output {
  const { dtype, shape } = dy;
  const around = loop.outer;
  if (isStatic(shape)) return withContext(g, around, () => g.constant(0, { dtype, shape, name: "b_acc" }));
  const { outer } = grad;
  if (!(around instanceof WhileContext) || around.grad === null || outer === null) {
    return withContext(g, around, () => zeros(g, g.add("Shape", [value]), { dtype }));
  }
  const dims = withContext(g, grad.forward.outer, () => g.add("Shape", [value]));
  const stack = outer.push(dims);
  return around.within(g, () => zeros(g, outer.pop(stack, dims), { dtype }));
}

/** acc = one row of zeros; in each round: acc with the rows of dy behind it. */
function addUpRows(g: Graph, loop: WhileContext, op: Operation, dy: IndexedSlices): IndexedSlices {
  const [indices, values, denseShape] = loop.outside(g, () =>
    withContext(g, loop.outer, () => zeroRows(g, op.inputs[0]!, dy)),
  );
  const zero = denseShape === null ? [indices, values] : [indices, values, denseShape];
  for (const x of zero) loop.values.add(x.name);
  const enters = zero.map((x) => enterAs(x, loop, "b_acc"));
  for (const x of enters) x.shape = null; // they grow
  enters[0]!.shape = [null];
  if (values.shape !== null) enters[1]!.shape = [null, ...values.shape.slice(1)];
  const merges = enters.map((x) => mergeOf([x, x], "b_acc"));
  const turns = merges.map((x) => g.addOp("Switch", [x, loop.facts.pivot]));
  const more = [dy.indices, dy.values].map((x, i) => concat([turns[i]!.output(1), x], 0));
  if (denseShape !== null)
    more.push(g.add("Maximum", [dy.denseShape!, turns[2]!.output(1)], { name: "Maximum" }));
  const nexts = more.map((x) => nextRound(x));
  for (const [i, x] of merges.entries()) x.op.replaceInput(1, nexts[i]!);
  const exits = turns.map((x) => exitOf(x.output(0), "b_acc"));
  loop.extend(enters, exits);
  return { indices: exits[0]!, values: exits[1]!, denseShape: exits[2] ?? null };
}

/** One row of zeros, as indices, values and dense shape. */
function zeroRows(g: Graph, value: Output, dy: IndexedSlices): readonly [Output, Output, Output | null] {
  const { dtype, shape } = dy.values;
  const values = isStatic(shape)
    ? g.constant(0, { dtype, shape: [1, ...shape.slice(1)], name: "b_acc" })
    : zeros(g, rowShape(g, value), { dtype });
  const indices = g.constant([0], { dtype: dy.indices.dtype });
  return [indices, values, dy.denseShape && zeroShape(g, value, dy.denseShape)];
}

function zeroShape(g: Graph, value: Output, { dtype, shape }: Output): Output {
  if (isStatic(shape)) return g.constant(0, { dtype, shape });
  return g.add("ZerosLike", [g.add("Shape", [value], { attrs: { out_type: dtype } })], {
    name: "zeros_like",
  });
}

/** [1, ...dims of a row of `value`], of the variable behind it if it is a resource. */
function rowShape(g: Graph, value: Output): Output {
  const rest = value.dtype === "resource" ? knownRow(value) : part(g, g.add("Shape", [value]), 1, null);
  return g.add("ConcatV2", [[[1], rest], 0], { name: "concat", attrs: { T: "int32" } });
}

function knownRow(value: Output): readonly number[] {
  const shape = value.handle?.shape ?? null;
  if (isStatic(shape)) return shape.slice(1);
  throw new VarscopeError("INVALID_ARGUMENT", "the shape of the variable behind this resource is not known", {
    at: value.name,
    hint: "the gradient of what a loop gathers from it needs the shape of a row",
  });
}
