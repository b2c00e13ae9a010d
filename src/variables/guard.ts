/**
 * @file Initial values that use other reference variables: their reads are replaced by reads that fall back to the other variable's own
 * initial value, so that one run may initialise both. Start at `guarded`.
 *
 * @see TensorFlow python/ops/variables.py "_try_guard_against_uninitialized_dependencies"
 */

import { cond, type Graph, type Operation, type Output } from "../graph/index.ts";
import { globalVariables, localVariables } from "./collections.ts";
import type { Variable } from "./variable.ts";

/** Ops that are safe to run, or whose reads TensorFlow leaves alone. */
const KEPT = new Set(["IsVariableInitialized", "VarIsInitializedOp", "ReadVariableOp", "If"]);

/** `initial`, computed without reading an uninitialised variable. `name`: the name scope of the variable that it is for, with its slash. */
export function guarded(graph: Graph, name: string, initial: Output): Output {
  if (hasCycle(initial.op, new Map())) return initial;
  const done = new Map<Operation, Operation>();
  const safeOutput = (x: Output): Output => {
    let op = done.get(x.op);
    if (op === undefined) {
      op = safeOp(x.op);
      done.set(x.op, op);
    }
    return op.output(x.index);
  };
  const safeOp = (op: Operation): Operation => {
    if (KEPT.has(op.type)) return op;
    if (op.def?.variable !== undefined) return initializedValue(graph, op)?.op ?? op;
    const inputs = op.inputs.map(safeOutput);
    if (inputs.every((x, i) => x === op.inputs[i])) return op;
    const type = op.type === "RefSwitch" ? "Switch" : op.type;
    return graph.addOp(type, grouped(op, inputs), {
      name: `${op.name}_${name}`.replaceAll(":", "_"),
      attrs: op.attrs,
    });
  };
  return safeOutput(initial);
}

/** Flat inputs as `addOp` wants them: lists where the op takes lists. */
function grouped(op: Operation, flat: readonly Output[]): (Output | Output[])[] {
  let next = 0;
  return Object.values(op.needDef().inputs).map((text) => {
    const count = /(\w+)\*/.exec(text)?.[1];
    const list = /^\[(\w+)\]$/.exec(text)?.[1];
    if (count === undefined && list === undefined) return flat[next++]!;
    const n = count === undefined ? (op.attrs[list!] as readonly unknown[]).length : Number(op.attrs[count]);
    next += n;
    return flat.slice(next - n, next);
  });
}

function hasCycle(op: Operation, state: Map<Operation, boolean>): boolean {
  const seen = state.get(op);
  if (seen !== undefined) return !seen;
  state.set(op, false);
  const before = [...op.inputs.map((x) => x.op), ...op.controlInputs];
  if (before.some((x) => hasCycle(x, state))) return true;
  state.set(op, true);
  return false;
}

function initializedValue(graph: Graph, op: Operation): Output | null {
  const found = [...globalVariables(graph), ...localVariables(graph)].find((v) => v.op === op);
  return found === undefined ? null : valueOrInitial(found);
}

/** The value of a variable if it has one, else its initial value. */
export function valueOrInitial(v: Variable): Output {
  const { graph } = v;
  return graph.controlDependencies(null, () => {
    const known = v.isResource
      ? graph.add("VarIsInitializedOp", [v.handle])
      : graph.add("IsVariableInitialized", [v.handle]);
    return cond(
      known,
      () => v.readValue(),
      () => v.initialValue!,
    ) as Output;
  });
}
