/** @file Loops as a session runs them: two graphs, one says whether to go on, the other makes the next values. Start at `Loop`. */

import { type Shape, sameShape } from "../../base/index.ts";
import {
  type Access,
  argCount,
  argType,
  type Graph,
  type HandleSpec,
  inferWith,
  LazySpec,
  type Operation,
  type Output,
  type Spec,
  type SpecOf,
} from "../../graph/index.ts";
import { variableKey } from "../state.ts";
import type { Body } from "./function-body.ts";

/** A loop over values. Arguments that are variables stand in the graphs as the variables themselves. */
export interface Loop {
  /** one result, bool [] */
  readonly condition: Body;
  /** one result for each argument */
  readonly body: Body;
}

const loops = new WeakMap<Operation, Loop>();
const labels = new WeakMap<Graph, string>();

/** For what makes loops. */
export const setLoop = (op: Operation, loop: Loop): void => void loops.set(op, loop);

/** The loop behind a `While` that `inline.ts` made. */
export const loopOf = (op: Operation): Loop | undefined => loops.get(op);

/** For what makes loops. */
export const setLabel = (graph: Graph, label: string): void => void labels.set(graph, label);

/** Where in a program a side of a loop stands; "" for a whole graph. */
export const labelOf = (graph: Graph): string => labels.get(graph) ?? "";

/** The variable that a handle or reference leads to; null where a kernel made the handle. */
export function variableBehind(x: Output): Operation | null {
  const seen = new Set<Output>(); // a loop may hand a handle round and round
  for (let y: Output | undefined = x; y !== undefined && !seen.has(y); ) {
    seen.add(y);
    const { op } = y as Output;
    if (op.def?.variable !== undefined) return op;
    y = op.inputs.find((z) => z.isRef || z.dtype === "resource");
  }
  return null;
}

/** A variable that a loop uses. */
export interface TouchedVariable extends HandleSpec {
  readonly key: string;
  readonly isRef: boolean;
  written: boolean;
}

const touched = new WeakMap<Loop, ReadonlyMap<string, TouchedVariable>>();

/** The variables that a loop reads or writes, in all that it calls. */
export function variablesOf(loop: Loop): ReadonlyMap<string, TouchedVariable> {
  const known = touched.get(loop);
  if (known !== undefined) return known;
  const found = new Map<string, TouchedVariable>();
  const note = (variable: TouchedVariable): void => {
    const before = found.get(variable.key);
    if (before === undefined) found.set(variable.key, { ...variable });
    else before.written ||= variable.written;
  };
  for (const { graph } of [loop.condition, loop.body]) {
    for (const op of graph.operations) {
      const inner = loopOf(op);
      if (inner !== undefined) for (const variable of variablesOf(inner).values()) note(variable);
      accessOf(op).forEach((access, i) => {
        const x = op.inputs[i]!;
        const handle = x.isRef || x.dtype === "resource";
        const variable = handle ? variableBehind(x) : null;
        if (variable === null) return;
        const facts = variable.def!.variable!(variable.attrs as never);
        const written = access === "write" || access === "update";
        note({ ...facts, key: variableKey(variable), isRef: variable.outputs[0]!.isRef, written });
      });
    }
  }
  touched.set(loop, found);
  return found;
}

/** How an op treats the variable behind each flat input. */
export function accessOf(op: Operation): (Access | null)[] {
  const def = op.needDef();
  return Object.entries(def.inputs).flatMap(([name, text]) => {
    const n = argCount(argType(name, text), op.attrs) ?? 1;
    return Array.from({ length: n }, () => def.access?.[name] ?? null);
  });
}

/**
 * Rounds of a loop, of one in it, of one in that...: each makes at least one dim unknown, and two are the rule. Few, since those of loops in
 * each other multiply.
 */
const ROUNDS = [8, 3, 2] as const;

/** Shapes that a loop's values have in every iteration, as far as they stay the same. @param depth - loops around it */
export function loopShapes(loop: Loop, inputs: readonly Spec[], depth = 0): (Shape | null)[] {
  let shapes = inputs.map((x) => x.shape);
  for (let round = 0; round < (ROUNDS[depth] ?? 1); round++) {
    const after = resultShapes(loop.body, inputs, shapes, depth);
    const wider = shapes.map((s, i) => widen(s, after[i] ?? null));
    if (wider.every((s, i) => s === shapes[i] || sameShape(s, shapes[i]!))) return shapes;
    shapes = wider;
  }
  return shapes.map(() => null);
}

const widen = (a: Shape | null, b: Shape | null): Shape | null =>
  a === null || b === null || a.length !== b.length ? null : a.map((d, i) => (d === b[i] ? d : null));

function resultShapes(
  { graph, args, results }: Body,
  inputs: readonly Spec[],
  shapes: readonly (Shape | null)[],
  depth: number,
): (Shape | null)[] {
  const specs = new Map<Output, Spec>();
  const specOf: SpecOf = (x) => specs.get(x)!;
  args.forEach((arg, i) => {
    // what goes round unchanged keeps its value
    const spec = results[i] === arg ? inputs[i]! : null;
    if (arg.op.def?.variable === undefined)
      specs.set(arg, spec ?? new LazySpec(arg, shapes[i] ?? null, null, specOf, null));
  });
  for (const op of graph.operations) {
    if (op.outputs.every((x) => specs.has(x))) continue;
    const inner = loopOf(op);
    const found =
      inner === undefined ? inferred(op, specOf) : loopShapes(inner, op.inputs.map(specOf), depth + 1);
    op.outputs.forEach((x, i) => {
      specs.set(x, new LazySpec(x, found[i] ?? null, x.handle, specOf));
    });
  }
  return results.map((x) => specOf(x).shape);
}

/** Shapes of an op's outputs; unknown where its inputs do not fit, which the run will say. */
function inferred(op: Operation, specOf: SpecOf): (Shape | null)[] {
  try {
    return inferWith(op, specOf).map((x) => x.shape);
  } catch {
    return op.outputs.map(() => null);
  }
}
