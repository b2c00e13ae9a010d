/** @file Functional conditionals as Switch and Merge. Start at `lowerConditional`. @see TensorFlow core/common_runtime/lower_if_op.cc */

import { tensor } from "../../base/index.ts";
import type { FuncValue, Operation, Output } from "../../graph/index.ts";
import { resultTypes } from "./function-body.ts";
import type { Inlined, Level } from "./inline.ts";

interface Branch {
  readonly f: FuncValue;
  /** bool []: whether this branch is taken */
  readonly pred: Output;
  /** output of a Switch on `pred` that is alive then */
  readonly side: 0 | 1;
}

/** `If`: one of two branches. */
export function lowerConditional(level: Level, op: Operation): Inlined {
  const [cond, ...args] = level.inputsOf(op);
  const pred = asBool(level, op, cond!);
  const branches: Branch[] = [
    { f: op.attrs.else_branch as unknown as FuncValue, pred, side: 0 },
    { f: op.attrs.then_branch as unknown as FuncValue, pred, side: 1 },
  ];
  return join(level, op, branches, args);
}

/** `Case`: one of many branches; the last one where the index is out of range. */
export function lowerChoice(level: Level, op: Operation): Inlined {
  const [index, ...args] = level.inputsOf(op);
  const functions = op.attrs.branches as unknown as readonly FuncValue[];
  if (functions.length === 1) return level.inline(op, functions[0]!, args, resultTypes(op));
  const name = nameOf(level, op);
  const { inliner } = level;
  const number = (n: number): Output =>
    inliner.target.constant(tensor(n, "int32"), { name: `${inliner.fresh(`${name}/index`)}/` });
  const test = (type: string, inputs: readonly Output[]): Output =>
    inliner.node(type, inputs, `${name}/${type}`).output(0);
  const last = functions.length - 1;
  const inRange = test("LogicalAnd", [
    test("GreaterEqual", [index!, number(0)]),
    test("Less", [index!, number(last)]),
  ]);
  const branches = functions.map((f, i): Branch => {
    const pred = i < last ? test("Equal", [index!, number(i)]) : test("LogicalNot", [inRange]);
    return { f, pred, side: 1 };
  });
  return join(level, op, branches, args);
}

const nameOf = (level: Level, op: Operation): string => `${level.scope.prefix}${op.name}`;

/** All branches, each behind its Switches, and a Merge for each result. */
function join(level: Level, op: Operation, branches: readonly Branch[], args: readonly Output[]): Inlined {
  const { inliner } = level;
  const name = nameOf(level, op);
  const controls = level.controlsOf(op);
  const switches = new Map<string, Operation>();
  const behind = (x: Output, { pred, side }: Branch): Output => {
    const key = `${x.name} ${pred.name}`;
    const made = switches.get(key) ?? inliner.node("Switch", [x, pred], `${name}/Switch`, { controls });
    switches.set(key, made);
    return made.output(side);
  };
  const taken = branches.map((branch) => {
    const pivot = inliner.node("Identity", [behind(branch.pred, branch)], `${name}/pivot`);
    const inner = args.map((x) => behind(x, branch));
    const inlined = level.inline(op, branch.f, inner, resultTypes(op), {
      prefix: `${name}/${branch.f.func}/`,
      pivot,
    });
    const hold = (x: Output): Output =>
      inlined.controls.length === 0 || x.dtype === "resource"
        ? x
        : inliner.node("Identity", [x], `${name}/output`, { controls: inlined.controls }).output(0);
    const done = inliner.node("Identity", [pivot.output(0)], `${name}/done`, { controls: inlined.controls });
    return { results: inlined.results.map(hold), done: done.output(0), effects: inlined.controls.length > 0 };
  });
  const merge = (xs: readonly Output[]): Output => inliner.node("Merge", [xs], `${name}/Merge`).output(0);
  const results = taken[0]!.results.map((_, i) => merge(taken.map((t) => t.results[i]!)));
  const needsDone = results.length === 0 || taken.some((t) => t.effects);
  return { results, controls: needsDone ? [merge(taken.map((t) => t.done)).op] : [] };
}

/** Numbers are true where they are not 0, strings where they are not empty. */
function asBool(level: Level, op: Operation, x: Output): Output {
  if (x.dtype === "bool") return x;
  const { inliner } = level;
  const name = nameOf(level, op);
  const zero = inliner.target.constant(tensor(x.dtype === "string" ? "" : 0, x.dtype), {
    name: `${inliner.fresh(`${name}/zero`)}/`,
  });
  return inliner.node("NotEqual", [x, zero], `${name}/NotEqual`).output(0);
}
