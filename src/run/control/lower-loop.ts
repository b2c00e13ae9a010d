/**
 * @file A functional loop as a frame of TensorFlow 1, for graphs that are to hold no functions. Start at `lowerLoop`.
 *
 * @see TensorFlow core/common_runtime/lower_while_op.cc
 */

import { VarscopeError } from "../../base/index.ts";
import { type FuncValue, makeOutputs, type Operation, type Output } from "../../graph/index.ts";
import type { Inlined, Level } from "./inline.ts";

/** One value of the loop. */
interface Round {
  readonly enter: Output;
  /** null where the body gives it back as it is */
  readonly merge: Operation | null;
}

/** Enter, Merge, Switch, NextIteration and Exit for each value; condition and body inlined between them. */
export function lowerLoop(level: Level, op: Operation): Inlined {
  const { inliner, scope } = level;
  const name = `${scope.prefix}${op.name}`;
  const inputs = level.inputsOf(op);
  const body = op.attrs.body as unknown as FuncValue;
  const condition = op.attrs.cond as unknown as FuncValue;
  const dtypes = inputs.map((x) => x.dtype);
  const raw = inliner.body(body, dtypes, op.name);
  const controls = level.controlsOf(op);
  const rounds = inputs.map((x, i) => enterFrame(level, op, x, raw.results[i] === raw.args[i], controls));
  const pivot = rounds.find((r) => r.merge !== null)?.merge;
  if (pivot === undefined || pivot === null) {
    throw new VarscopeError("INVALID_ARGUMENT", "a loop whose body changes nothing never ends", {
      at: op.name,
    });
  }
  const before = rounds.map((r) => r.merge?.output(0) ?? r.enter);
  const inFrame = { controls: [], pivot };
  const go = level.inline(op, condition, before, ["bool"], { ...inFrame, prefix: `${name}/cond/` });
  const loopCond = inliner.node("LoopCond", [go.results[0]!], `${name}/LoopCond`, { controls: go.controls });
  const turns = rounds.map((r) =>
    r.merge === null
      ? null
      : inliner.node("Switch", [r.merge.output(0), loopCond.output(0)], `${name}/Switch`),
  );
  const inside = turns.map((t, i) => t?.output(1) ?? rounds[i]!.enter);
  const first = turns.find((t) => t !== null)!;
  const bodyPivot = inliner.node("Identity", [first.output(1)], `${name}/pivot`);
  const made = level.inline(op, body, inside, dtypes, {
    ...inFrame,
    pivot: bodyPivot,
    prefix: `${name}/body/`,
  });
  const results = rounds.map(({ merge }, i) => {
    if (merge === null) return inputs[i]!;
    const next = inliner.node("NextIteration", [made.results[i]!], `${name}/NextIteration`, {
      controls: made.controls,
    });
    merge.addInput(next.output(0));
    return inliner.node("Exit", [turns[i]!.output(0)], `${name}/Exit`).output(0);
  });
  return { results, controls: [] };
}

function enterFrame(
  level: Level,
  op: Operation,
  x: Output,
  isConstant: boolean,
  controls: readonly Operation[],
): Round {
  const { inliner, scope } = level;
  const name = `${scope.prefix}${op.name}`;
  const attrs = {
    frame_name: name,
    is_constant: isConstant,
    parallel_iterations: op.attrs.parallel_iterations ?? 10,
  };
  const enter = inliner.node("Enter", [x], `${name}/Enter`, { attrs, controls }).output(0);
  if (isConstant) return { enter, merge: null };
  const merge = inliner.target.register(inliner.fresh(`${name}/Merge`), "Merge", { T: x.dtype, N: 2 });
  merge.addInput(enter);
  makeOutputs(merge);
  return { enter, merge };
}
