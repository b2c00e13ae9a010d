/** @file Random programs with loops and conditionals, differentiated here and by TensorFlow (loop_gradients.py): the same nodes, the same values. */

import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { gradients } from "../../src/autodiff/index.ts";
import { isVarscopeError, type Tensor, toNumbers } from "../../src/base/index.ts";
import { writeGraphDef } from "../../src/formats/graph-def/index.ts";
import { cond, densify, Graph, isIndexedSlices, type Output, whileLoop } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { GraphDefSchema } from "../../src/proto/graph.gen.ts";
import { Session } from "../../src/run/index.ts";
import {
  constantInitializer,
  getVariable,
  globalVariables,
  type Variable,
} from "../../src/variables/index.ts";
import { add, gather, holder, identity, mul, sub, tanh, use } from "../conformance/programs/pieces.ts";
import { lines } from "../conformance/programs/suite.ts";
import { generator } from "./nets.ts";
import type { TensorFlow } from "./tensorflow.ts";

const COUNT = Number(process.env.VARSCOPE_LOOPS ?? 60);
const FEED = [0.5, -0.3];

type Test = readonly ["count" | "sum", number];
type Step =
  | readonly ["cond", Test, Block, Block]
  /** rounds, first values, body, swapMemory, parallelIterations */
  | readonly ["loop", number, readonly number[], Block, boolean, number]
  | readonly [string, number, number];

/** Steps that each add to the values so far; the results are some of those. */
interface Block {
  readonly steps: readonly Step[];
  readonly results: readonly number[];
}

const SIMPLE = ["mul", "add", "sub", "tanh", "same", "half", "w", "v", "rows"];

/** A block for `values` values and `counters` loops around it. */
function randomBlock(
  random: () => number,
  values: number,
  counters: number,
  results: number,
  depth = 0,
): Block {
  const below = (n: number): number => Math.floor(random() * n);
  const steps: Step[] = [];
  let count = values;
  for (let left = 1 + below(3); left > 0; left--) {
    const kind = depth < 3 ? random() : 1;
    const inner = (more: number, loops: number, n: number): Block =>
      randomBlock(random, count + more, counters + loops, n, depth + 1);
    if (kind < 0.2) {
      const n = 1 + below(2);
      const test: Test = counters > 0 && random() < 0.6 ? ["count", below(counters)] : ["sum", below(count)];
      steps.push(["cond", test, inner(0, 0, n), inner(0, 0, n)]);
      count += n;
    } else if (kind < 0.42) {
      const first = Array.from({ length: 1 + below(3) }, () => below(count));
      const body = inner(first.length, 1, first.length);
      steps.push(["loop", 1 + below(3), first, body, random() < 0.2, random() < 0.1 ? 1 : 10]);
      count += first.length;
    } else {
      steps.push([SIMPLE[below(SIMPLE.length)]!, below(count), below(count)]);
      count++;
    }
  }
  return { steps, results: Array.from({ length: results }, () => Math.max(0, count - 1 - below(4))) };
}

interface Model {
  readonly w: Variable;
  readonly v: Variable;
  readonly table: Variable;
}

const int = (value: number): Tensor => ({ dtype: "int32", shape: [], data: new Int32Array([value]) });

function predicate(
  g: Graph,
  [kind, k]: Test,
  values: readonly Output[],
  counters: readonly Output[],
): Output {
  if (kind === "count") return g.add("Equal", [g.add("FloorMod", [counters[k]!, 2], { name: "mod" }), 0]);
  const axes: Tensor = { dtype: "int32", shape: [1], data: new Int32Array([0]) };
  return g.add("Greater", [g.add("Sum", [values[k]!, axes]), 0.5]);
}

function build(
  g: Graph,
  block: Block,
  given: readonly Output[],
  counters: readonly Output[],
  model: Model,
): Output[] {
  const values = [...given];
  for (const step of block.steps) {
    if (step[0] === "cond") {
      const [, test, yes, no] = step as readonly ["cond", Test, Block, Block];
      const branch = (b: Block) => () => build(g, b, values, counters, model);
      const made = cond(predicate(g, test, values, counters), branch(yes), branch(no));
      values.push(...(Array.isArray(made) ? made : [made]));
    } else if (step[0] === "loop") {
      values.push(...buildLoop(g, step as LoopStep, values, counters, model));
    } else {
      const [op, a, b] = step as readonly [string, number, number];
      values.push(simple(g, op, values[a]!, values[b]!, counters, model));
    }
  }
  return block.results.map((k) => values[k]!);
}

type LoopStep = Extract<Step, readonly ["loop", ...unknown[]]>;

function buildLoop(
  g: Graph,
  [, rounds, first, body, swapMemory, parallelIterations]: LoopStep,
  values: readonly Output[],
  counters: readonly Output[],
  model: Model,
): Output[] {
  const outer = [...values];
  const turn = (i: Output, inside: readonly Output[]): Output[] => {
    const after = build(g, body, [...outer, ...inside], [...counters, i], model);
    return [add(i, 1), ...after];
  };
  return whileLoop(
    g,
    (i) => g.add("Less", [i!, rounds]),
    (i, ...inside) => turn(i!, inside),
    [g.constant(int(0)), ...first.map((k) => outer[k]!)],
    { swapMemory, parallelIterations },
  ).slice(1);
}

function simple(
  g: Graph,
  op: string,
  x: Output,
  y: Output,
  counters: readonly Output[],
  model: Model,
): Output {
  if (op === "mul") return mul(x, y);
  if (op === "add") return add(x, y);
  if (op === "sub") return sub(x, y);
  if (op === "tanh") return tanh(x);
  if (op === "same") return identity(x);
  if (op === "half") return mul(x, 0.5);
  if (op !== "rows") return mul(x, op === "w" ? model.w : model.v);
  const index = counters.at(-1) ?? g.constant(int(1));
  return add(x, gather(model.table, index));
}

interface Program {
  readonly spec: Block;
  readonly shape: readonly (number | null)[];
  readonly useResource: boolean;
  readonly colocate: boolean;
}

export function randomProgram(seed: number): Program {
  const random = generator(seed);
  for (let i = 0; i < 8; i++) random(); // small seeds begin alike
  const shape = random() < 0.5 ? [2] : [null];
  return { shape, useResource: random() < 0.5, colocate: random() < 0.3, spec: randomBlock(random, 1, 0, 2) };
}

/** The graph with gradients named "dx", "dw", "dv", "dtable". */
function differentiated({ spec, shape, useResource, colocate }: Program): Graph {
  const g = new Graph(CORE_OPS);
  use(g, useResource);
  const x = holder(g, "x", shape);
  const make = (name: string, dims: readonly number[], value: Parameters<typeof constantInitializer>[0]) =>
    getVariable(g, name, { shape: dims, initializer: constantInitializer(value) });
  const table = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6, -0.7, 0.8];
  const model = {
    w: make("w", [2], [0.9, -0.7]),
    v: make("v", [], 0.8),
    table: make("table", [4, 2], table),
  };
  const ys = build(g, spec, [x], [], model);
  const handles = [model.w.handle, model.v.handle, model.table.handle];
  const grads = gradients(ys, [x, ...handles], { colocateGradientsWithOps: colocate });
  for (const [i, grad] of grads.entries()) {
    if (grad !== null)
      identity(isIndexedSlices(grad) ? densify(grad) : grad, ["dx", "dw", "dv", "dtable"][i]!);
  }
  return g;
}

async function valuesOf(g: Graph, names: readonly string[]): Promise<number[][]> {
  await using session = new Session(g, { warn: () => {} });
  await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
  const values = await session.run(
    names.map((name) => `d${name}:0`),
    { feeds: { "x:0": FEED } },
  );
  return values.map((v) => toNumbers(v as Tensor));
}

interface Answer {
  /** GraphDef, base64 */
  readonly graph: string;
  readonly names: readonly string[];
  readonly values: readonly (readonly number[])[] | null;
}

export function loopGradientSuite(tf: TensorFlow | null): void {
  describe.skipIf(tf === null)("gradients of random loops", () => {
    test(`${COUNT} programs have TensorFlow's nodes and values`, async () => {
      const programs = Array.from({ length: COUNT }, (_, i) => randomProgram(i + 1));
      const answers = await tf!.ask<(Answer | null)[]>("loop_gradients", { programs, feed: FEED });
      expect(answers.filter((a) => a !== null).length).toBeGreaterThan(COUNT / 2);
      for (const [i, answer] of answers.entries()) await check(programs[i]!, answer, `program ${i + 1}`);
    }, 600_000);
  });
}

async function check(program: Program, answer: Answer | null, at: string): Promise<void> {
  if (answer === null) {
    expect(() => differentiated(program), at).toThrow(
      expect.toSatisfy((e: unknown) => isVarscopeError(e, "INVALID_ARGUMENT")),
    );
    return;
  }
  const g = differentiated(program);
  const theirs = fromBinary(GraphDefSchema, Buffer.from(answer.graph, "base64"));
  expect(lines(fromBinary(GraphDefSchema, writeGraphDef(g))), at).toEqual(lines(theirs));
  if (answer.values === null) return;
  const values = await valuesOf(g, answer.names);
  for (const [k, want] of answer.values.entries()) {
    for (const [j, v] of want.entries()) {
      const error = Math.abs(values[k]![j]! - v) / (1 + Math.abs(v));
      expect(error, `${at}, d${answer.names[k]}[${j}]: ${values[k]![j]}, TensorFlow ${v}`).toBeLessThan(1e-4);
    }
  }
}
