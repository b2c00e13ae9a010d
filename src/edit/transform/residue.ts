/**
 * @file Taking out what only training, checking or ordering needed: ops that hand a value on, checks of numbers, control edges from ops
 * without effects. Start at `removeIdentity`. What TensorFlow's tools lose here (inputs of consumers, control edges) stays.
 *
 * @see TensorFlow python/framework/graph_util_impl.py "remove_training_nodes"
 */

import { VarscopeError } from "../../base/index.ts";
import { writeAttr } from "../../formats/graph-def/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import { colocationsOf } from "../../graph/node-builder.ts";
import {
  changeNode,
  type Draft,
  dataInputs,
  draftOf,
  dropUnneeded,
  edge,
  graphOf,
  joinInputs,
  needed,
  rewire,
  typeAttr,
} from "./draft.ts";
import {
  type Change,
  type Left,
  notInGraph,
  outputsOf,
  type Pass,
  type PassOptions,
  type PassResult,
} from "./pass.ts";

const CONTROL_FLOW =
  /^(Ref)?(Switch|Merge|Enter|Exit|NextIteration)$|^LoopCond$|^ControlTrigger$|^(Stateless)?(If|Case|While)$/;

/** Whether an op belongs to conditionals or loops: what waits for it may not run at all. */
export const isControlFlow = (op: Operation): boolean =>
  op.def?.control !== undefined || CONTROL_FLOW.test(op.type);

/** Ops whose running can be noticed, other than by their result: effects, variables, conditionals, what is unknown, and all behind them. */
export function noticeable(graph: Graph): Set<Operation> {
  const found = new Set<Operation>();
  const stack = graph.operations.filter((op) => {
    if (op.def === undefined || isControlFlow(op) || op.def.access !== undefined) return true;
    return op.def.stateful === true && !op.type.startsWith("Placeholder") && op.def.variable === undefined;
  });
  for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
    if (found.has(op)) continue;
    found.add(op);
    for (const user of op.consumers) stack.push(user);
  }
  return found;
}

/** Control edges from ops without effects go: they order what needs no order. A NoOp with such edges alone goes, too. */
export const removeControlResidue: Pass = (graph, options = {}) => {
  const outputs = outputsOf(graph, options);
  const draft = draftOf(graph);
  const before = needed(draft.nodes, outputs);
  const strong = noticeable(graph);
  const done: Change[] = [];
  const left: Left[] = [];
  for (const op of graph.operations) {
    const weak = op.controlInputs.filter((c) => !strong.has(c));
    const kept = op.controlInputs.filter((c) => strong.has(c));
    if (kept.length > 0 && weak.length === 0)
      left.push({
        at: op.name,
        why: `it waits for ${kept[0]!.type} '${kept[0]!.name}', which has effects or is conditional`,
      });
    if (weak.length === 0) continue;
    const input = joinInputs(
      dataInputs(draft.nodes.get(op.name)!),
      kept.map((c) => c.name),
    );
    changeNode(draft, op.name, { input });
    done.push({ at: op.name, what: `control edges dropped: ${weak.length}` });
  }
  if (done.length > 0) dropUnneeded(draft, before, outputs);
  return finish(draft, "remove-control-residue", done, left);
};

function finish(draft: Draft, pass: string, done: readonly Change[], left: readonly Left[]): PassResult {
  return { graph: done.length > 0 ? graphOf(draft) : draft.graph, report: { pass, done, left } };
}

/** Identity and its kin: consumers take what they took. */
export const removeIdentity: Pass = (graph, options = {}) =>
  splice(graph, "remove-identity", ["Identity", "StopGradient", "PreventGradient", "Snapshot"], options);

/** CheckNumerics go, and what they passed on goes on. */
export const removeCheckNumerics: Pass = (graph, options = {}) =>
  splice(graph, "remove-check-numerics", ["CheckNumerics"], options);

/** All three: what `tf.compat.v1.graph_util.remove_training_nodes` is for. */
export const removeTrainingNodes: Pass = (graph, options = {}) => {
  const done: Change[] = [];
  let now = graph;
  let left: readonly Left[] = [];
  for (const pass of [removeCheckNumerics, removeControlResidue, removeIdentity]) {
    const { graph: next, report } = pass(now, options);
    now = next;
    done.push(...report.done);
    left = [...left, ...report.left];
  }
  return { graph: now, report: { pass: "remove-training-nodes", done, left } };
};

function splice(graph: Graph, pass: string, types: readonly string[], options: PassOptions): PassResult {
  const keep = new Set(outputsOf(graph, options));
  const draft = draftOf(graph);
  const colocated = colocationTargets(graph);
  const data = new Map<string, string>();
  const control = new Map<string, string | null>();
  const gone: string[] = [];
  const done: Change[] = [];
  const left: Left[] = [];
  for (const op of graph.operations) {
    if (!types.includes(op.type)) continue;
    if (isMereCheck(op, keep)) {
      control.set(op.name, null);
      gone.push(op.name);
      done.push({ at: op.name, what: "CheckNumerics taken out; nobody takes its value" });
      continue;
    }
    const why = whyKept(op, keep, colocated);
    if (why !== null) {
      left.push({ at: op.name, why });
      continue;
    }
    const source = op.inputs[0]!;
    data.set(op.name, edge(source));
    control.set(op.name, source.op.name);
    gone.push(op.name);
    done.push({ at: op.name, what: `${op.type} taken out` });
  }
  for (const name of gone) draft.nodes.delete(name);
  rewire(draft, data, control);
  return finish(draft, pass, done, left);
}

/** A check that others only wait for, as add_check_numerics_ops makes them. */
const isMereCheck = (op: Operation, keep: ReadonlySet<string>): boolean =>
  op.type === "CheckNumerics" &&
  !keep.has(op.name) &&
  [...op.consumers].every((c) => c.inputs.every((x) => x.op !== op));

/** Why an op that hands its input on must stay; null where it need not. */
function whyKept(op: Operation, keep: ReadonlySet<string>, colocated: ReadonlySet<string>): string | null {
  const source = op.inputs[0];
  if (keep.has(op.name)) return "it is an output";
  if (source === undefined || op.inputs.length !== 1) return `it has ${op.inputs.length} inputs`;
  if (source.isRef) return "it reads a variable";
  if (colocated.has(op.name)) return "others are colocated with it; clear-devices frees it";
  if (op.controlInputs.length > 0) return `it waits for '${op.controlInputs[0]!.name}'`;
  const awaited = [...op.consumers].some((c) => c.controlInputs.includes(op));
  if (awaited && isControlFlow(source.op))
    return `others wait for it, and it runs only where ${source.op.type} '${source.op.name}' leads to it`;
  return null;
}

function colocationTargets(graph: Graph): Set<string> {
  const found = new Set<string>();
  for (const op of graph.operations)
    for (const c of colocationsOf(op)) if (c.slice(5) !== op.name) found.add(c.slice(5));
  return found;
}

/** Only what the outputs need stays; `inputs` that are computed become placeholders. */
export const stripUnused: Pass = (graph, options = {}) => {
  const outputs = outputsOf(graph, options);
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const name of options.inputs ?? []) cutAt(draft, name, done);
  const kept = needed(draft.nodes, outputs);
  const gone = [...draft.nodes.keys()].filter((name) => !kept.has(name));
  for (const name of gone) draft.nodes.delete(name);
  for (const at of gone) done.push({ at, what: "no output needs it" });
  return finish(draft, "strip-unused", done, []);
};

/** Makes a node a placeholder. @see TensorFlow python/tools/strip_unused_lib.py */
function cutAt(draft: Draft, input: string, done: Change[]): void {
  const name = input.replace(/:0$/, "");
  const op = draft.graph.findOperation(name);
  if (op === undefined) throw notInGraph(input);
  if (op.type.startsWith("Placeholder") && op.inputs.length === 0) return;
  const [x, ...more] = op.outputs;
  if (x === undefined || more.length > 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${op.type} has ${op.outputs.length} results, an input has one`,
      {
        at: name,
        hint: "name the node behind it",
      },
    );
  }
  const attr = { dtype: typeAttr(x.dtype), shape: writeAttr({ dims: x.shape }, "shape") };
  changeNode(draft, name, { op: "Placeholder", input: [], attr });
  done.push({ at: name, what: `${op.type} became a Placeholder` });
}
