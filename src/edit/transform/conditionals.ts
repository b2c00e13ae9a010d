/**
 * @file Passes for graphs whose training flag is a placeholder: it becomes a constant, and conditionals on constants are solved: the branch
 * that is not taken goes. Start at `placeholdersToConstants`.
 */

import { formatShape, isCompatible, scalar, type Tensor, VarscopeError } from "../../base/index.ts";
import { writeAttr } from "../../formats/graph-def/index.ts";
import { constantValue, type Graph, type Operation, type Output } from "../../graph/index.ts";
import {
  changeNode,
  constNode,
  controlInputs,
  dataInputs,
  draftOf,
  dropUnneeded,
  edge,
  graphOf,
  joinInputs,
  needed,
  rewire,
} from "./draft.ts";
import { constantBehind } from "./linear.ts";
import { type Change, type Left, notInGraph, outputsOf, type Pass } from "./pass.ts";

/**
 * Placeholders become constants.
 *
 * @throws VarscopeError NOT_FOUND - no such node; INVALID_ARGUMENT - it is no placeholder, or the value does not fit
 * @see TensorFlow python/tools/optimize_for_inference_lib.py "placeholder_to_const"
 */
export const placeholdersToConstants: Pass = (graph, options = {}) => {
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const [input, value] of Object.entries(options.placeholders ?? {})) {
    const name = input.replace(/:0$/, "");
    const op = graph.findOperation(name);
    if (op === undefined) throw notInGraph(input);
    checkPlaceholder(op, value);
    draft.nodes.set(name, constNode(name, value, op.device));
    done.push({ at: name, what: `${op.type} became a Const` });
  }
  const made = done.length > 0 ? graphOf(draft) : graph;
  const { graph: solved, report } = solveConditionals(made, options);
  return {
    graph: solved,
    report: { pass: "placeholders-to-constants", done: [...done, ...report.done], left: report.left },
  };
};

function checkPlaceholder(op: Operation, value: Tensor): void {
  const x = op.outputs[0];
  if (!op.type.startsWith("Placeholder") || x === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `${op.type} is no placeholder`, {
      at: op.name,
      hint: "name a Placeholder or PlaceholderWithDefault",
    });
  }
  if (x.dtype === value.dtype && isCompatible(x.shape, value.shape)) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `the placeholder is ${x.dtype} ${formatShape(x.shape)}, the value ${value.dtype} ${formatShape(value.shape)}`,
    { at: op.name },
  );
}

/**
 * Conditionals whose predicate is constant are solved, as a run would: Switch and Merge go, and the branch that is not taken with them.
 * Loops, and conditionals that are decided in each run, stay.
 */
export const solveConditionals: Pass = (graph, options = {}) => {
  const outputs = outputsOf(graph, options);
  const found = solve(graph);
  const pass = "solve-conditionals";
  if (found.data.size === 0) return { graph, report: { pass, done: [], left: found.left } };
  const lost = outputs.find((name) => found.dead.has(graph.operation(name)));
  if (lost !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "the output is of a branch that is never taken", {
      at: lost,
    });
  }
  const draft = draftOf(graph);
  const before = needed(draft.nodes, outputs);
  for (const [op, alive] of found.narrowed) narrow(draft, op, alive);
  for (const op of found.dead) draft.nodes.delete(op.name);
  // what only the dead computed is not needed; what waits for the dead does not wait any more
  for (const node of [...draft.nodes.values()]) {
    const waits = controlInputs(node);
    const alive = waits.filter((c) => !found.dead.has(graph.operation(c)));
    if (alive.length < waits.length)
      changeNode(draft, node.name, { input: joinInputs(dataInputs(node), alive) });
  }
  const keep = new Set(outputs);
  const data = new Map<string, string>();
  const control = new Map<string, string | null>();
  for (const [x, to] of found.data) {
    if (keep.has(x.op.name) && x.index === 0) continue;
    data.set(edge(x), edge(to));
    control.set(x.op.name, to.op.name);
  }
  rewire(draft, data, control);
  const indices = new Map<string, string>();
  for (const [op, index] of found.merged) mergeToIdentity(draft, op, index, found.data, indices);
  rewire(draft, indices);
  for (const op of found.solved) if (!keep.has(op.name) && !found.merged.has(op)) draft.nodes.delete(op.name);
  dropUnneeded(draft, before, outputs);
  const done = found.solved.map((op) => ({ at: op.name, what: `${op.type} solved` }));
  return { graph: graphOf(draft), report: { pass, done, left: found.left } };
};

interface Solved {
  /** what an output of a solved op is */
  readonly data: Map<Output, Output>;
  readonly dead: Set<Operation>;
  readonly solved: Operation[];
  /** solved Merges, with the number of the input that lives */
  readonly merged: Map<Operation, number>;
  /** Merges that lose some of their inputs, with those that live */
  readonly narrowed: Map<Operation, readonly number[]>;
  readonly left: Left[];
}

function solve(graph: Graph): Solved {
  const data = new Map<Output, Output>();
  const deadOutputs = new Set<Output>();
  const dead = new Set<Operation>();
  const solved: Operation[] = [];
  const merged = new Map<Operation, number>();
  const narrowed = new Map<Operation, readonly number[]>();
  const left: Left[] = [];
  for (const op of graph.operations) {
    if (op.type === "Merge" || op.type === "RefMerge") {
      const alive = op.inputs.flatMap((x, i) => (deadOutputs.has(x) ? [] : [i]));
      if (alive.length === op.inputs.length) continue; // decided in each run, or a loop
      if (alive.length === 0) die(op);
      else if (alive.length > 1) narrowed.set(op, alive);
      else {
        data.set(op.outputs[0]!, op.inputs[alive[0]!]!);
        solved.push(op);
        merged.set(op, alive[0]!);
      }
      continue;
    }
    if (
      op.inputs.some((x) => deadOutputs.has(x)) ||
      op.controlInputs.some((c) => dead.has(c) || isDeadEnd(c))
    ) {
      die(op);
      continue;
    }
    if (op.type !== "Switch" && op.type !== "RefSwitch") continue;
    const predicate = predicateOf(op);
    if (predicate === null) {
      if (op.inputs[1]!.op.type !== "LoopCond")
        left.push({ at: op.name, why: `'${op.inputs[1]!.op.name}' decides it in each run` });
      continue;
    }
    const taken = predicate ? 1 : 0;
    deadOutputs.add(op.outputs[1 - taken]!);
    for (const x of op.outputs) data.set(x, op.inputs[0]!);
    solved.push(op);
  }
  function die(op: Operation): void {
    dead.add(op);
    for (const x of op.outputs) deadOutputs.add(x);
  }
  /** an op with results, all of which are dead */
  function isDeadEnd(op: Operation): boolean {
    return op.outputs.length > 0 && op.outputs.every((x) => deadOutputs.has(x));
  }
  return { data, dead, solved, merged, narrowed, left };
}

/** Value of a Switch's predicate where it follows from constants. */
function predicateOf(op: Operation): boolean | null {
  const x = op.inputs[1]!;
  const value = constantValue(x) ?? (constantBehind(x)?.attrs.value as unknown as Tensor | undefined);
  return value == null || value.data.length !== 1 ? null : Boolean(value.data[0]);
}

/** A Merge of many, as a Case makes it, with the inputs that live. @throws VarscopeError UNIMPLEMENTED - others take the number of the input */
function narrow(draft: ReturnType<typeof draftOf>, op: Operation, alive: readonly number[]): void {
  if ([...op.consumers].some((c) => c.inputs.some((x) => x.op === op && x.index === 1)))
    throw new VarscopeError("UNIMPLEMENTED", "the number of the branch is taken, and some branches go", {
      at: op.name,
    });
  const node = draft.nodes.get(op.name)!;
  const inputs = dataInputs(node);
  changeNode(draft, op.name, {
    input: joinInputs(
      alive.map((i) => inputs[i]!),
      controlInputs(node),
    ),
    attr: { ...node.attr, N: writeAttr(alive.length, "int") },
  });
}

/** A Merge with one living input, where it is an output itself or its second result is taken. */
function mergeToIdentity(
  draft: ReturnType<typeof draftOf>,
  op: Operation,
  index: number,
  data: ReadonlyMap<Output, Output>,
  indices: Map<string, string>,
): void {
  let x = op.inputs[index]!;
  for (let to = data.get(x); to !== undefined; to = data.get(x)) x = to;
  const { name, device, attr } = draft.nodes.get(op.name)!;
  const second = `${name}/value_index`;
  draft.nodes.set(second, constNode(second, scalar(index, "int32"), device));
  const control = controlInputs(draft.nodes.get(name)!);
  changeNode(draft, name, {
    op: "Identity",
    input: joinInputs([edge(x)], control),
    attr: { T: attr.T! },
  });
  indices.set(`${name}:1`, second);
}
