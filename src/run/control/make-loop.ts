/** @file Loops of both styles as one `While` whose sides are graphs. Start at `makeLoop`, `makeFrame`. */

import {
  type Attrs,
  type FuncValue,
  Graph,
  inferOutputs,
  makeOutputs,
  type Operation,
  type Output,
} from "../../graph/index.ts";
import { variableKey } from "../state.ts";
import { copyVariable } from "./copy.ts";
import { type Frame, partsOf } from "./frames.ts";
import type { Body } from "./function-body.ts";
import type { Inlined, Inliner, Level } from "./inline.ts";
import { labelOf, setLabel, setLoop, variableBehind } from "./loop.ts";

/** A functional loop. */
export function makeLoop(level: Level, op: Operation): void {
  const inputs = level.inputsOf(op);
  const variables = inputs.map((x) => (x.dtype === "resource" ? variableBehind(x) : null));
  const side = (name: string): Body => {
    const f = op.attrs[name] as unknown as FuncValue;
    const dtypes = name === "cond" ? (["bool"] as const) : inputs.map((x) => x.dtype);
    const body = level.inliner.body(f, dtypes, op.name);
    return sideOf(
      level.inliner,
      `${level.scope.prefix}${op.name}/${name}`,
      body.args,
      variables,
      (inner, args) =>
        inner.inline(body, args, { prefix: "", pivot: null, controls: [], depth: level.scope.depth + 1 }),
    );
  };
  const copy = loopOp(level, op.name, inputs, level.controlsOf(op), op.attrs);
  setLoop(copy, { condition: side("cond"), body: side("body") });
  const results = copy.outputs.map((x, i) => (variables[i] == null ? x : inputs[i]!));
  level.settle(op, { results, controls: [copy] });
}

/** A loop of TensorFlow 1. */
export function makeFrame(level: Level, frame: Frame): void {
  const { variables, constants, condition, loopCond } = partsOf(frame);
  const enters = [...variables.map((v) => v.enter), ...constants];
  const inputs = enters.map((enter) => level.output(enter.inputs[0]!));
  const behind = inputs.map((x, i) =>
    x.dtype === "resource" || (x.isRef && i >= variables.length) ? variableBehind(x) : null,
  );
  const side = (name: string, wanted: readonly Output[], besides: readonly Operation[]): Body =>
    sideOf(level.inliner, `${level.scope.prefix}${frame.name}/${name}`, inputs, behind, (inner, args) => {
      const inside = level.inFrame(inner, frame);
      inside.stand(loopCond.output(0), inner.target.constant(true, { name: "loop_goes_on" }));
      for (const [i, enter] of enters.entries()) inside.stand(enter.output(0), args[i]!);
      for (const [i, v] of variables.entries()) {
        inside.stand(v.merge.output(0), args[i]!);
        if (v.inside !== null) inside.stand(v.inside, args[i]!);
      }
      inside.emit([...wanted.map((x) => x.op), ...besides]);
      const controls = [...new Set(besides.flatMap((op) => inside.operations(op)))];
      return { results: wanted.map((x) => inside.output(x)), controls };
    });
  const turns = [...variables.map((v) => v.next), ...constants.map((enter) => enter.output(0))];
  const besides = variables.flatMap((v) => v.nextOp.controlInputs);
  const shapes = enters.map((enter, i) => ({
    dims: i < variables.length ? (variables[i]!.exits[0]?.output(0).shape ?? null) : enter.output(0).shape,
  }));
  const controls = [...new Set(enters.flatMap((enter) => level.controlsOf(enter)))];
  const copy = loopOp(level, frame.name, inputs, controls, { output_shapes: shapes });
  setLoop(copy, { condition: side("cond", [condition], []), body: side("body", turns, besides) });
  variables.forEach((v, i) => {
    for (const exit of v.exits) {
      const result = behind[i] == null ? copy.output(i) : inputs[i]!;
      level.settle(exit, { results: [result], controls: [copy] });
    }
  });
}

function loopOp(
  level: Level,
  name: string,
  inputs: readonly Output[],
  controls: readonly Operation[],
  attrs: Attrs,
): Operation {
  const { target } = level.inliner;
  const none = { func: "", attrs: {} };
  level.inliner.spend(name, controls.length + level.scope.controls.length);
  const copy = target.register(level.inliner.fresh(level.scope.prefix + name), "While", {
    cond: none,
    body: none,
    output_shapes: [],
    parallel_iterations: 10,
    ...attrs,
    T: inputs.map((x) => x.dtype),
  });
  for (const x of inputs) copy.addInput(x);
  copy.addControlInputs([...controls, ...level.scope.controls]);
  if (inputs.length === 0 && level.scope.pivot !== null) copy.addControlInputs([level.scope.pivot]);
  makeOutputs(copy);
  inferOutputs(copy);
  return copy;
}

/**
 * One side of a loop as a graph.
 *
 * @param like - what the arguments are like
 * @param variables - the variable that an argument is a handle of
 */
function sideOf(
  outer: Inliner,
  label: string,
  like: readonly Output[],
  variables: readonly (Operation | null)[],
  build: (inner: Inliner, args: readonly Output[]) => Inlined,
): Body {
  const graph = new Graph(outer.library.registry);
  setLabel(graph, `${labelOf(outer.target)}${label}/`);
  const inner = outer.into(graph);
  const copies = new Map<string, Operation>();
  const args = like.map((x, i) => {
    const variable = variables[i] ?? null;
    if (variable === null) {
      const attrs = { dtype: x.dtype, shape: { dims: null } };
      return inner.node("Placeholder", [], `arg${i}`, { attrs }).output(0);
    }
    const key = variableKey(variable);
    const copy = copies.get(key) ?? copyVariable(graph, inner.fresh(variable.name), variable);
    copies.set(key, copy);
    return copy.output(0);
  });
  return { graph, args, ...build(inner, args) };
}
