/**
 * @file The pass that sets a graph to inference: `is_training` becomes false, the moving statistics take the place of the batch's, dropout
 * goes. It changes what the graph computes, which is its purpose. Start at `setInference`.
 */

import { writeAttr } from "../../formats/graph-def/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import { ancestors, variableOf } from "../doctor/graph-norms.ts";
import { isFusedNorm } from "./affine.ts";
import {
  changeNode,
  controlInputs,
  type Draft,
  draftOf,
  edge,
  freshName,
  graphOf,
  joinInputs,
  makeNode,
  typeAttr,
} from "./draft.ts";
import { droppedInput } from "./dropout.ts";
import { type Change, type Left, outputsOf, type Pass } from "./pass.ts";

/** Every normalization that the outputs need and that takes its batch's statistics takes the moving ones; dropout hands its input on. */
export const setInference: Pass = (graph, options = {}) => {
  const outputs = outputsOf(graph, options).map((name) => graph.operation(name));
  const draft = draftOf(graph);
  const done: Change[] = [];
  const left: Left[] = [];
  for (const op of ancestors(outputs)) {
    const result = isFusedNorm(op)
      ? setFused(draft, op)
      : op.type === "Rsqrt"
        ? setLoose(draft, op)
        : setDropout(draft, op);
    if (result === null) continue;
    if (result.done) done.push({ at: op.name, what: result.words });
    else left.push({ at: op.name, why: result.words });
  }
  return {
    graph: done.length > 0 ? graphOf(draft) : graph,
    report: { pass: "set-inference", done, left },
  };
};

interface Result {
  readonly done: boolean;
  readonly words: string;
}

/** Ops that hand statistics on. */
const HANDS_ON: ReadonlySet<string> = new Set(["Identity", "Squeeze", "Cast", "Reshape"]);
const MAX_HOPS = 4;

/** Dropout in inference is its input. */
function setDropout(draft: Draft, op: Operation): Result | null {
  const x = droppedInput(op);
  if (x === null) return null;
  const { T } = draft.nodes.get(op.name)!.attr;
  const input = joinInputs([edge(x)], controlInputs(draft.nodes.get(op.name)!));
  changeNode(draft, op.name, { op: "Identity", input, attr: T === undefined ? {} : { T } });
  return { done: true, words: `dropout hands ${edge(x)} on` };
}

const LOST =
  "its moving statistics are not in this graph; run set-inference before freezing, on the graph that has them";

function setFused(draft: Draft, op: Operation): Result | null {
  if (op.attrs.is_training !== true) return null;
  const found = [3, 4].map((i) => connected(op.inputs[i]!) ?? movingOf(op.outputs[i - 2]!) ?? sibling(op, i));
  const [mean, variance] = found;
  if (mean == null || variance == null) return { done: false, words: LOST };
  const node = draft.nodes.get(op.name)!;
  const input = [...node.input];
  input[3] = readOf(draft, mean);
  input[4] = readOf(draft, variance);
  const { exponential_avg_factor: _, ...attr } = node.attr;
  changeNode(draft, op.name, { input, attr: { ...attr, is_training: writeAttr(false, "bool") } });
  return { done: true, words: `is_training is false; statistics from ${input[3]} and ${input[4]}` };
}

/** The statistic that is wired in already. */
const connected = (x: Output): Output | null => {
  const source = variableOf(x);
  const isEmpty = x.shape?.length === 1 && x.shape[0] === 0;
  return source === null || isEmpty ? null : x;
};

/** The moving statistic that a batch's one is averaged into: update ops take (moving - batch) times a decay. */
function movingOf(batch: Output, hops = MAX_HOPS): Output | null {
  for (const op of [...batch.op.consumers].filter((c) => c.inputs.includes(batch))) {
    if (HANDS_ON.has(op.type) && hops > 0) {
      const found = movingOf(op.outputs[0]!, hops - 1);
      if (found !== null) return found;
    }
    if (op.type !== "Sub") continue;
    const other = op.inputs.find((x) => x !== batch);
    if (other !== undefined && variableOf(other) !== null && isMoved(op)) return other;
  }
  return null;
}

/** Whether the difference goes into an assignment, or into what a repaired graph has in its place. */
const isMoved = (difference: Operation): boolean =>
  [...difference.consumers].some((product) =>
    [...product.consumers].some((c) => /^Assign(Sub|Add)(VariableOp)?$|^Sub$|^Add(V2)?$/.test(c.type)),
  );

const NAMES: Readonly<Record<number, string>> = { 3: "moving_mean", 4: "moving_variance" };

/** The statistic by its name beside gamma or beta. */
function sibling(op: Operation, index: number): Output | null {
  for (const i of [1, 2]) {
    const variable = variableOf(op.inputs[i]!);
    if (variable === null) continue;
    const name = variable.name.replace(/[^/]*$/, NAMES[index]!);
    const found = op.graph.findOperation(name)?.outputs[0];
    if (found !== undefined) return found;
  }
  return null;
}

/** A value to take: what hands a variable's value on, made where there is none. */
function readOf(draft: Draft, x: Output): string {
  if (!x.isRef && x.dtype !== "resource") return edge(x);
  const reader = [...x.op.consumers].find(
    (c) => (c.type === "Identity" || c.type === "ReadVariableOp") && c.controlInputs.length === 0,
  );
  if (reader !== undefined) return reader.name;
  const dtype = x.dtype === "resource" ? x.handle!.dtype : x.dtype;
  const name = freshName(draft, `${x.op.name}/read`);
  const isHandle = x.dtype === "resource";
  draft.nodes.set(
    name,
    makeNode({
      name,
      op: isHandle ? "ReadVariableOp" : "Identity",
      input: [edge(x)],
      device: x.op.device,
      attr: { [isHandle ? "dtype" : "T"]: typeAttr(dtype) },
    }),
  );
  return name;
}

/** A normalization in small ops: variance and mean of a batch, in the places where they are taken, become the moving ones. */
function setLoose(draft: Draft, op: Operation): Result | null {
  const sum = op.inputs[0]!.op;
  const variance = sum.inputs.find((x) => isMoment(x, "SquaredDifference"));
  if (variance === undefined) return null;
  const scales = [op, ...[...op.consumers].filter((c) => c.type === "Mul" && c.inputs.length === 2)];
  const means = scales
    .flatMap((scale) => [...scale.consumers])
    .filter((c) => c.type === "Mul")
    .flatMap((c) => c.inputs.filter((x) => isMoment(x, null)).map((x) => ({ at: c, x })));
  const [moving, movingMean] = [movingOf(variance), means[0] === undefined ? null : movingOf(means[0].x)];
  if (moving === null || movingMean === null) return { done: false, words: LOST };
  swap(draft, sum, variance, readOf(draft, moving));
  for (const { at, x } of means) swap(draft, at, x, readOf(draft, movingMean));
  return { done: true, words: `statistics from ${edge(movingMean)} and ${edge(moving)}` };
}

/** Whether an output is a mean of the batch: of squares (`of`), or of the values. */
function isMoment(x: Output, of: string | null): boolean {
  let { op } = x;
  for (let i = 0; i < MAX_HOPS && HANDS_ON.has(op.type); i++) op = op.inputs[0]!.op;
  return op.type === "Mean" && (op.inputs[0]!.op.type === "SquaredDifference") === (of !== null);
}

function swap(draft: Draft, at: Operation, from: Output, to: string): void {
  const input = draft.nodes.get(at.name)!.input.map((x) => (x.replace(/:0$/, "") === edge(from) ? to : x));
  changeNode(draft, at.name, { input });
}
