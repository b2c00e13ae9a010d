/** @file Programs that differentiate loops of TensorFlow 1: twins of tools/goldens/loop_gradients.py. */

import { gradients } from "../../../src/autodiff/index.ts";
import type { Tensor } from "../../../src/base/index.ts";
import { exportMetaGraph } from "../../../src/formats/meta-graph/index.ts";
import { cond, type Grad, Graph, isIndexedSlices, Output, whileLoop } from "../../../src/graph/index.ts";
import { tensorArray } from "../../../src/ops/index.ts";
import { gradientDescentOptimizer, importMetaGraph } from "../../../src/train/index.ts";
import {
  addWith,
  getVariable,
  onesInitializer,
  randomUniformInitializer,
  type Variable,
  zerosInitializer,
} from "../../../src/variables/index.ts";
import { add, gather, holder, identity, mul, type Program, square, sub, tanh, use } from "./pieces.ts";

const less = (x: Output, y: Output | number): Output => x.graph.add("Less", [x, y]);
const int = (value: number): Tensor => ({ dtype: "int32", shape: [], data: new Int32Array([value]) });
const next = (i: Output): Output => add(i, 1);
const matmul = (a: Output, w: Variable): Output => addWith(a.graph, "MatMul", [a, w]);
const concat = (xs: readonly Output[], axis: number): Output =>
  xs[0]!.graph.add("ConcatV2", [xs, axis], { name: "concat" });

type Values = Parameters<typeof whileLoop>[3];
type Options = Parameters<typeof whileLoop>[4];

/** `body` of the values but the counter, `times` rounds; the last values. */
function rounds(
  g: Graph,
  times: number | Output,
  body: (i: Output, ...values: Output[]) => Output[],
  values: Values,
  options: Options & { readonly from?: Output } = {},
): Output[] {
  const { from = int(0), ...rest } = options;
  return whileLoop(
    g,
    (i) => less(i!, times),
    (i, ...xs) => {
      const j = next(i!);
      return [j, ...body(i!, ...xs)];
    },
    [from, ...values],
    rest,
  ).slice(1);
}

const handleOf = (x: Output | Variable): Output =>
  x instanceof Output ? x : ((x as { handle?: Output }).handle ?? (x.op.output(0) as Output));

const gradientsOf = (
  ys: Output | Output[],
  xs: readonly (Output | Variable)[],
  colocate = false,
): (Grad | null)[] => gradients(ys, xs.map(handleOf), { colocateGradientsWithOps: colocate });

function nameAll(grads: readonly (Grad | null)[], ...names: readonly string[]): void {
  for (const [i, grad] of grads.entries()) identity(grad as Output, names[i]!);
}

const weighted = (resource: boolean) => (g: Graph) => {
  use(g, resource);
  const x = holder(g, "x", [null, 2]);
  const w = getVariable(g, "w", { shape: [2, 2], initializer: onesInitializer() });
  const [y] = rounds(g, 3, (_, a) => [mul(tanh(matmul(a!, w)), 0.5)], [x]);
  nameAll(gradientsOf(y!, [x, w]), "dx", "dw");
};

function dynamicWeights(g: Graph): void {
  const x = holder(g, "x", [null, null]);
  const w = holder(g, "w", [null, null]);
  const [y] = rounds(g, 3, (_, a) => [tanh(mul(a!, w))], [x], { swapMemory: true });
  nameAll(gradientsOf(y!, [x, w]), "dx", "dw");
}

function counted(g: Graph): void {
  const x = holder(g, "x", []);
  const n = holder(g, "n", [], "int32");
  const [y] = rounds(g, n, (_, a) => [add(mul(a!, a!), x)], [x], { parallelIterations: 1 });
  nameAll(gradientsOf(y!, [x]), "dx");
}

function limited(g: Graph): void {
  const x = holder(g, "x", []);
  const options = { maximumIterations: int(3) };
  const [y] = whileLoop(
    g,
    (s) => less(s!, 100),
    (s) => mul(s!, x),
    [x],
    options,
  );
  nameAll(gradientsOf(y!, [x]), "dx");
}

const zero = (g: Graph): Output => g.constant(int(0));

function nested(g: Graph): void {
  const x = holder(g, "x", []);
  const n = holder(g, "n", [], "int32");
  const inner = (i: Output, s: Output): Output =>
    rounds(g, i, (_, u) => [mul(mul(u!, x), s)], [s], { from: zero(g) })[0]!;
  const [y] = rounds(g, n, (i, s) => [add(inner(i, s!), 1)], [x]);
  nameAll(gradientsOf(y!, [x]), "dx");
}

function nestedDynamic(g: Graph): void {
  const x = holder(g, "x", [null]);
  const w = holder(g, "w", [null]);
  const inner = (s: Output): Output => {
    const body = (_: Output, u?: Output, v?: Output): Output[] => [tanh(mul(u!, w)), add(v!, u!)];
    return rounds(g, 2, body, [s, x], { from: zero(g) })[1]!;
  };
  const [y] = rounds(g, 2, (_, s) => [add(inner(s!), x)], [x]);
  nameAll(gradientsOf(y!, [x, w]), "dx", "dw");
}

function condInLoop(g: Graph): void {
  const x = holder(g, "x", []);
  const limit = holder(g, "limit", []);
  const [y] = whileLoop(
    g,
    (i) => less(i!, 6),
    (i, s) => {
      const t = cond(
        g.add("Greater", [s!, limit]),
        () => sub(s!, mul(x, x)),
        () => {
          const doubled = mul(s!, 2);
          return add(doubled, mul(g.constant(1), x));
        },
      ) as Output;
      return [next(i!), t];
    },
    [int(0), x],
  ).slice(1);
  nameAll(gradientsOf(y!, [x]), "dx");
}

function dynamicCondInLoop(g: Graph): void {
  const x = holder(g, "x", [null]);
  const w = getVariable(g, "w", { shape: [2], initializer: onesInitializer() });
  const isEven = (i: Output): Output => {
    const rest = g.add("FloorMod", [i, 2], { name: "mod" });
    return g.add("Equal", [rest, 0]);
  };
  const [, y] = whileLoop(
    g,
    (i) => less(i!, 4),
    (i, s, t) => {
      const both = cond(
        isEven(i!),
        () => [mul(s!, w), mul(s!, t!)],
        () => [tanh(s!), s!],
      ) as Output[];
      return [next(i!), ...both];
    },
    [int(0), x, x],
  );
  nameAll(gradientsOf(y!, [x, w]), "dx", "dw");
}

function loopInCond(g: Graph): void {
  const x = holder(g, "x", []);
  const goes = holder(g, "goes", [], "bool");
  const loop = (): Output => rounds(g, 3, (_, s) => [mul(s!, x)], [x], { from: zero(g) })[0]!;
  const y = cond(goes, loop, () => add(x, 1)) as Output;
  nameAll(gradientsOf(y, [x]), "dx");
}

function deep(g: Graph): void {
  const x = holder(g, "x", []);
  const choose = (u: Output): Output =>
    cond(
      g.add("Greater", [u, 10]),
      () => sub(u, mul(x, x)),
      () => mul(u, x),
    ) as Output;
  const inner = (i: Output, s: Output): Output =>
    rounds(g, i, (_, u) => [choose(u!)], [s], { from: zero(g) })[0]!;
  const [y] = rounds(g, 4, (i, s) => [inner(i, s!)], [x]);
  nameAll(gradientsOf(y!, [x]), "dx");
}

function array(g: Graph): void {
  const x = holder(g, "x", [3, 2]);
  const rows = tensorArray(g, "float32", 3).unstack(x);
  const made = tensorArray(g, "float32", 3);
  const values = [g.constant(int(0)), g.constant(0, { shape: [2], name: "zeros" }), made.flow];
  const [, , flow] = whileLoop(
    g,
    (i) => less(i!, 3),
    (i, s, out) => {
      const state = tanh(add(s!, rows.read(i!)));
      return [next(i!), state, made.withFlow(out!).write(i!, state).flow];
    },
    values,
  );
  nameAll(gradientsOf(made.withFlow(flow!).stack(), [x]), "dx");
}

const sumRows = (x: Output): Output => x.graph.add("Sum", [x, int(0)]);

const nameRows = (grad: Grad | null): void => {
  if (!isIndexedSlices(grad)) throw new Error("not rows");
  identity(grad.values, "values");
  identity(grad.indices, "indices");
};

const rowsOf = (resource: boolean) => (g: Graph) => {
  use(g, resource);
  const ids = holder(g, "ids", [null], "int32");
  const w = getVariable(g, "w", { shape: [4, 2], initializer: onesInitializer() });
  const [y] = rounds(g, 3, (_, s) => [add(s!, sumRows(gather(w, ids)))], [g.constant([1, 2])]);
  nameRows(gradientsOf(mul(y!, y!), [w])[0]!);
};

function staticRows(g: Graph): void {
  use(g, true);
  const w = getVariable(g, "w", { shape: [4, 2], initializer: onesInitializer() });
  const two = (i: Output): Output => g.add("Pack", [[i, next(i)]], { name: "stack" });
  const [y] = rounds(g, 3, (i, s) => [mul(s!, sumRows(gather(w, two(i))))], [g.constant([1, 2])]);
  nameRows(gradientsOf(y!, [w])[0]!);
}

function rowsLeave(g: Graph): void {
  const x = holder(g, "x", [4, 2]);
  const ids = holder(g, "ids", [null], "int32");
  const [y] = rounds(g, 2, (_, s) => [identity(s!)], [x]);
  nameRows(gradientsOf(gather(y!, ids), [x])[0]!);
}

function unused(g: Graph): void {
  const x = holder(g, "x", [null]);
  const z = holder(g, "z", [2]);
  const body = (_: Output, a?: Output, b?: Output, c?: Output): Output[] => [
    add(mul(a!, b!), c!),
    mul(b!, 2),
    mul(c!, c!),
  ];
  const [y] = rounds(g, 3, body, [x, x, z]);
  nameAll(gradientsOf(y!, [x, z]), "dx", "dz");
}

function anew(g: Graph): void {
  const x = holder(g, "x", [null]);
  const z = holder(g, "z", [2]);
  const w = getVariable(g, "w", { shape: [], initializer: onesInitializer() });
  const ys = rounds(g, 3, () => [mul(x, w), mul(z, w)], [x, z]);
  nameAll(gradientsOf(ys, [x, z, w]), "dx", "dz", "dw");
}

function growing(g: Graph): void {
  const x = holder(g, "x", [1]);
  const [y] = rounds(g, 3, (_, s) => [concat([s!, mul(s!, s!)], 0)], [x], {
    from: zero(g),
    shapeInvariants: [[], [null]],
  });
  nameAll(gradientsOf(y!, [x]), "dx");
}

function twice(g: Graph): void {
  const x = holder(g, "x", []);
  const [y] = rounds(g, 3, (_, s) => [mul(s!, x)], [x]);
  const [once] = gradientsOf(y!, [x]);
  const [again] = gradientsOf(mul(y!, y!), [x]);
  nameAll([once!, again!], "once", "again");
}

function oneAfterAnother(g: Graph): void {
  const x = holder(g, "x", [2]);
  const sigmoid = (s: Output): Output => g.add("Sigmoid", [s]);
  const [a] = rounds(g, 3, (_, s) => [mul(s!, x)], [x]);
  const [b] = rounds(g, 2, (_, s) => [add(s!, mul(a!, sigmoid(s!)))], [a!]);
  nameAll(gradientsOf(b!, [x], true), "dx");
}

function inside(g: Graph): void {
  const x = holder(g, "x", []);
  const step = (s: Output): Output => {
    const y = mul(mul(s, s), x);
    return sub(s, mul(0.1, gradientsOf(y, [s])[0] as Output));
  };
  const [y] = rounds(g, 3, (_, s) => [step(s!)], [x]);
  identity(y!, "y");
}

function none(g: Graph): void {
  const x = holder(g, "x", []);
  const w = holder(g, "w", []);
  const [y] = rounds(g, 3, (_, s) => [mul(s!, w)], [x], { backProp: false });
  if (gradientsOf(y!, [x])[0] !== null) throw new Error("a gradient came through");
  nameAll(gradientsOf(add(y!, x), [x]), "dx");
}

const modulo = (i: Output, n: number): Output => i.graph.add("FloorMod", [i, n], { name: "mod" });
const equals = (x: Output, y: number): Output => x.graph.add("Equal", [x, y]);

/** A loop whose body chooses by its counter, which the choice needs before it grows. */
const choosing = (g: Graph, times: number, x: Output, choose: (i: Output, s: Output) => Output): Output =>
  whileLoop(
    g,
    (i) => less(i!, times),
    (i, s) => {
      const j = next(i!);
      return [j, choose(i!, s!)];
    },
    [int(0), x],
  )[1]!;

function condInCond(g: Graph): void {
  const x = holder(g, "x", [null]);
  const w = holder(g, "w", []);
  const even = (i: Output, s: Output): Output =>
    cond(
      equals(i, 2),
      () => mul(s, s),
      () => mul(s, w),
    ) as Output;
  const y = choosing(
    g,
    4,
    x,
    (i, s) =>
      cond(
        equals(modulo(i, 2), 0),
        () => even(i, s),
        () => add(tanh(s), x),
      ) as Output,
  );
  nameAll(gradientsOf(y, [x, w]), "dx", "dw");
}

function loopInCondInLoop(g: Graph): void {
  const x = holder(g, "x", []);
  const w = holder(g, "w", []);
  const loop = (i: Output, s: Output): Output =>
    rounds(g, i, (_, u) => [mul(u!, w)], [s], { from: zero(g) })[0]!;
  const y = choosing(
    g,
    4,
    x,
    (i, s) =>
      cond(
        equals(modulo(i, 2), 0),
        () => loop(i, s),
        () => mul(s, x),
      ) as Output,
  );
  nameAll(gradientsOf(y, [x, w]), "dx", "dw");
}

function askedInCond(g: Graph): void {
  const x = holder(g, "x", []);
  const goes = holder(g, "goes", [], "bool");
  const [y] = rounds(g, 3, (_, s) => [mul(s!, x)], [x]);
  const slope = (): Output => {
    const [z] = rounds(g, 2, (_, s) => [mul(s!, x)], [y!], { from: zero(g) });
    return gradientsOf(z!, [y!])[0] as Output;
  };
  identity(cond(goes, slope, () => x) as Output, "dy");
}

function askedInLoop(g: Graph): void {
  const x = holder(g, "x", []);
  const step = (s: Output): Output => {
    const [z] = rounds(g, 2, (_, u) => [mul(mul(u!, s), x)], [s], { from: zero(g) });
    return sub(s, mul(0.1, gradientsOf(z!, [s])[0] as Output));
  };
  const [, y] = whileLoop(
    g,
    (i) => less(i!, 3),
    (i, s) => {
      const t = step(s!);
      return [next(i!), t];
    },
    [int(0), x],
  );
  identity(y!, "y");
}

function readInCond(g: Graph): void {
  use(g, true);
  const x = holder(g, "x", [2]);
  const w = getVariable(g, "w", { shape: [2], initializer: onesInitializer() });
  const table = getVariable(g, "table", { shape: [3, 2], initializer: onesInitializer() });
  const y = choosing(
    g,
    3,
    x,
    (i, s) =>
      cond(
        equals(modulo(i, 2), 0),
        () => mul(s, w),
        () => add(s, gather(table, i)),
      ) as Output,
  );
  const [dw, dtable] = gradientsOf(mul(y, y), [w, table]);
  nameAll([dw!], "dw");
  nameRows(dtable!);
}

function noneWithin(g: Graph): void {
  const x = holder(g, "x", []);
  const [, y] = whileLoop(
    g,
    (i) => less(i!, 3),
    (i, s) => {
      const [t] = rounds(g, 2, (_, u) => [mul(u!, x)], [s!], { from: zero(g), backProp: false });
      const j = next(i!);
      return [j, add(mul(s!, x), t!)];
    },
    [int(0), x],
  );
  nameAll(gradientsOf(y!, [x]), "dx");
}

function arraysInNested(g: Graph): void {
  const x = holder(g, "x", [2, 3]);
  const rows = tensorArray(g, "float32", 2).unstack(x);
  const sums = tensorArray(g, "float32", 2);
  const outer = (i: Output, flow: Output): Output[] => {
    const row = rows.read(i);
    const [, u] = whileLoop(
      g,
      (j) => less(j!, add(i, 1)),
      (j, v) => {
        const k = next(j!);
        return [k, add(mul(v!, row), row)];
      },
      [zero(g), row],
    );
    const k = next(i);
    return [k, sums.withFlow(flow).write(i, u!).flow];
  };
  const [, flow] = whileLoop(
    g,
    (i) => less(i!, 2),
    (i, out) => outer(i!, out!),
    [zero(g), sums.flow],
  );
  nameAll(gradientsOf(sums.withFlow(flow!).stack(), [x]), "dx");
}

/** The same graph, as it comes back from a file. */
function imported(g: Graph, build: (made: Graph) => void): void {
  const made = new Graph(g.registry);
  build(made);
  importMetaGraph(g, exportMetaGraph(made));
  nameAll(gradientsOf(g.output("y:0"), [g.output("x:0")]), "dx");
}

const importedNested = (g: Graph): void =>
  imported(g, (made) => {
    const x = holder(made, "x", []);
    const n = holder(made, "n", [], "int32");
    const inner = (i: Output, s: Output): Output =>
      rounds(made, i, (_, u) => [mul(mul(u!, x), s)], [s], { from: zero(made) })[0]!;
    identity(rounds(made, n, (i, s) => [add(inner(i, s!), 1)], [x])[0]!, "y");
  });

const importedCond = (g: Graph): void =>
  imported(g, (made) => {
    const x = holder(made, "x", [null]);
    const choose = (i: Output, s: Output): Output =>
      cond(
        equals(modulo(i, 2), 0),
        () => mul(s, x),
        () => tanh(s),
      ) as Output;
    identity(choosing(made, 4, x, choose), "y");
  });

const rnn = (resource: boolean) => (g: Graph) => {
  use(g, resource);
  const x = holder(g, "x", [3, null, 2]);
  const labels = holder(g, "labels", [null, 2]);
  const w = getVariable(g, "w", {
    shape: [4, 2],
    initializer: randomUniformInitializer({ minval: -0.5, maxval: 0.5, seed: 3 }),
  });
  const bias = getVariable(g, "bias", { shape: [2], initializer: zerosInitializer() });
  const steps = tensorArray(g, "float32", 3, { name: "steps" }).unstack(x);
  const states = tensorArray(g, "float32", 3, { name: "states" });
  const first = g.nameScope("strided_slice", (name) => {
    const bounds = [0, 1, 1].map((v, i) =>
      g.constant(
        { dtype: "int32", shape: [1], data: new Int32Array([v]) },
        { name: i === 0 ? "stack" : `stack_${i}` },
      ),
    );
    return g.add("StridedSlice", [x, ...bounds], { name, attrs: { shrink_axis_mask: 1 } });
  });
  const start = g.add("ZerosLike", [first], { name: "zeros_like" });
  const from = zero(g);
  const [, last, flow] = whileLoop(
    g,
    (i) => less(i!, 3),
    (i, state, out) => {
      const joined = concat([steps.read(i!), state!], 1);
      const after = tanh(add(matmul(joined, w), bias));
      return [next(i!), after, states.withFlow(out!).write(i!, after).flow];
    },
    [from, start, states.flow],
  );
  const mean = (y: Output): Output =>
    g.add("Mean", [y, { dtype: "int32", shape: [y.shape!.length], data: Int32Array.from(y.shape!.keys()) }]);
  const error = mean(square(sub(last!, labels)));
  const size = mean(square(states.withFlow(flow!).stack()));
  const loss = identity(add(error, size), "loss");
  gradientDescentOptimizer({ learningRate: 0.5 }).minimize(loss, { name: "train" });
};

export const LOOP_GRADIENTS: Readonly<Record<string, Program>> = {
  gradient_weights: weighted(false),
  gradient_resource_weights: weighted(true),
  gradient_dynamic_weights: dynamicWeights,
  gradient_counted: counted,
  gradient_limited: limited,
  gradient_nested: nested,
  gradient_nested_dynamic: nestedDynamic,
  gradient_cond_in_loop: condInLoop,
  gradient_dynamic_cond_in_loop: dynamicCondInLoop,
  gradient_loop_in_cond: loopInCond,
  gradient_deep: deep,
  gradient_array: array,
  gradient_rows: rowsOf(false),
  gradient_resource_rows: rowsOf(true),
  gradient_static_rows: staticRows,
  gradient_rows_leave: rowsLeave,
  gradient_unused: unused,
  gradient_anew: anew,
  gradient_growing: growing,
  gradient_twice: twice,
  gradient_one_after_another: oneAfterAnother,
  gradient_inside: inside,
  gradient_none: none,
  gradient_cond_in_cond: condInCond,
  gradient_loop_in_cond_in_loop: loopInCondInLoop,
  gradient_asked_in_cond: askedInCond,
  gradient_asked_in_loop: askedInLoop,
  gradient_read_in_cond: readInCond,
  gradient_none_within: noneWithin,
  gradient_arrays_in_nested: arraysInNested,
  gradient_rnn_ref: rnn(false),
  gradient_rnn_resource: rnn(true),
};

export const IMPORTED_LOOPS: Readonly<Record<string, Program>> = {
  nested: importedNested,
  cond: importedCond,
};
