/** @file Programs with loops of TensorFlow 1: twins of tools/goldens/loops.py. */

import { cond, type Graph, type Output, whileLoop } from "../../../src/graph/index.ts";
import { addWith, getVariable, onesInitializer } from "../../../src/variables/index.ts";
import { LOOP_GRADIENTS } from "./loop-gradients.ts";
import { add, holder, identity, mul, type Program, sub, use } from "./pieces.ts";

const less = (x: Output, y: Output | number): Output => x.graph.add("Less", [x, y]);
const greater = (x: Output, y: Output | number): Output => x.graph.add("Greater", [x, y]);
const int = (g: Graph, value: number): Output => g.constant(value, { dtype: "int32" });
const next = (i: Output): Output => add(i, 1);

function counting(g: Graph): void {
  const n = holder(g, "n", [], "int32");
  whileLoop(
    g,
    (i) => less(i!, n),
    (i, total) => [next(i!), add(total!, i!)],
    [int(g, 0), int(g, 0)],
  );
}

const matmul = (a: Output, w: Parameters<typeof addWith>[2][number]): Output =>
  addWith(a.graph, "MatMul", [a, w]);

function weights(g: Graph): void {
  const x = holder(g, "x", [null, 2]);
  const w = getVariable(g, "w", { shape: [2, 2], initializer: onesInitializer() });
  const bias = g.constant([1, 2], { name: "bias" });
  const [, y] = g.nameScope(null, () =>
    loopFromInt(
      g,
      (i) => less(i, 3),
      (i, a) => [next(i), add(matmul(a, w), bias)],
      [x],
      { name: "deep", parallelIterations: 4 },
    ),
  );
  identity(y!, "y");
}

/** A loop whose first value is the literal 0, an int32 made inside the loop's scope. */
const loopFromInt = (
  g: Graph,
  test: (i: Output, a: Output) => Output,
  body: (i: Output, a: Output) => Output[],
  rest: Parameters<typeof whileLoop>[3],
  options: Parameters<typeof whileLoop>[4] = {},
): Output[] =>
  whileLoop(
    g,
    (i, a) => test(i!, a!),
    (i, a) => body(i!, a!),
    [{ dtype: "int32", shape: [], data: new Int32Array([0]) }, ...rest],
    options,
  );

function resourceWeights(g: Graph): void {
  use(g, true);
  const x = holder(g, "x", [null, 2]);
  const w = getVariable(g, "w", { shape: [2, 2], initializer: onesInitializer() });
  const [, y] = loopFromInt(
    g,
    (i) => less(i, 3),
    (i, a) => [next(i), matmul(a, w)],
    [x],
  );
  identity(y!, "y");
}

function nested(g: Graph): void {
  const x = holder(g, "x", []);
  const n = holder(g, "n", [], "int32");
  const inner = (i: Output, s: Output): Output =>
    whileLoop(
      g,
      (j) => less(j!, i),
      (j, u) => [next(j!), mul(u!, x)],
      [int(g, 0), s],
    )[1]!;
  const [, y] = loopFromInt(
    g,
    (i) => less(i, n),
    (i, s) => [next(i), add(inner(i, s), 1)],
    [1],
  );
  identity(y!, "y");
}

function condInLoop(g: Graph): void {
  const x = holder(g, "x", []);
  const limit = holder(g, "limit", []);
  const body = (i: Output, s: Output): Output[] => {
    const t = cond(
      greater(s, limit),
      () => sub(s, x),
      () => {
        const doubled = mul(s, 2);
        return add(doubled, g.constant(1));
      },
    ) as Output;
    return [next(i), t];
  };
  const [, y] = loopFromInt(g, (i) => less(i, 6), body, [1]);
  identity(y!, "y");
}

function loopInCond(g: Graph): void {
  const x = holder(g, "x", []);
  const goes = holder(g, "goes", [], "bool");
  const loop = (): Output =>
    whileLoop(
      g,
      (i) => less(i!, 3),
      (i, s) => [next(i!), mul(s!, x)],
      [int(g, 0), x],
    )[1]!;
  identity(cond(goes, loop, () => add(x, 1)) as Output, "y");
}

function deep(g: Graph): void {
  const x = holder(g, "x", []);
  const inner = (i: Output, s: Output): Output =>
    whileLoop(
      g,
      (j) => less(j!, i),
      (j, u) => [
        next(j!),
        cond(
          greater(u!, 10),
          () => sub(u!, x),
          () => add(u!, x),
        ) as Output,
      ],
      [int(g, 0), s],
    )[1]!;
  const [, y] = loopFromInt(
    g,
    (i) => less(i, 4),
    (i, s) => [next(i), inner(i, s)],
    [1],
  );
  identity(y!, "y");
}

function limited(g: Graph): void {
  const x = holder(g, "x", []);
  const [y] = whileLoop(
    g,
    (s) => less(s!, x),
    (s) => mul(s!, 2),
    [g.constant(1)],
    { maximumIterations: { dtype: "int32", shape: [], data: new Int32Array([3]) } },
  );
  identity(y!, "y");
}

function growing(g: Graph): void {
  const x = holder(g, "x", [1]);
  const [, y] = whileLoop(
    g,
    (i) => less(i!, 4),
    (i, s) => {
      const j = next(i!);
      const axis = { dtype: "int32", shape: [], data: new Int32Array([0]) } as const;
      return [
        j,
        g.nameScope("concat", (name) =>
          g.add("ConcatV2", [[s!, s!], g.constant(axis, { name: "axis" })], { name }),
        ),
      ];
    },
    [int(g, 0), x],
    { shapeInvariants: [[], [null]] },
  );
  identity(y!, "y");
}

function ordered(g: Graph): void {
  const x = holder(g, "x", []);
  const first = identity(x, "first");
  const [result] = g.controlDependencies([first], () =>
    whileLoop(
      g,
      (s) => less(s!, 10),
      (s) => add(s!, g.constant(3)),
      [x],
    ),
  );
  const [again] = whileLoop(
    g,
    (s) => less(s!, 20),
    (s) => g.controlDependencies([first], () => add(s!, g.constant(2))),
    [result!],
  );
  identity(again!, "y");
}

function orderedWithin(g: Graph): void {
  const x = holder(g, "x", []);
  const first = identity(x, "first");
  const [y] = whileLoop(
    g,
    (s) => less(s!, 20),
    (s) => {
      const doubled = g.controlDependencies([first], () => mul(s!, 2));
      return g.controlDependencies([first, doubled], () => {
        const t = cond(
          greater(s!, 5),
          () => add(g.constant(3), s!),
          () => add(g.add("Tanh", [x]), s!),
        ) as Output;
        return g.add("Neg", [t]);
      });
    },
    [x],
    { maximumIterations: { dtype: "int32", shape: [], data: new Int32Array([3]) } },
  );
  identity(y!, "y");
}

export const LOOP_PROGRAMS: Readonly<Record<string, Program>> = {
  ...LOOP_GRADIENTS,
  counting,
  weights,
  resource_weights: resourceWeights,
  nested,
  cond_in_loop: condInLoop,
  loop_in_cond: loopInCond,
  deep,
  limited,
  growing,
  ordered,
  ordered_within: orderedWithin,
};
