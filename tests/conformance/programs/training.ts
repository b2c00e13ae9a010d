/** @file Programs that train: twins of tools/goldens/programs.py. */

import { type Graph, group, isIndexedSlices, type Output } from "../../../src/graph/index.ts";
import {
  adadeltaOptimizer,
  adagradOptimizer,
  adamOptimizer,
  clipByGlobalNorm,
  clipByNorm,
  clipByValue,
  cosineDecay,
  exponentialDecay,
  ftrlOptimizer,
  globalNorm,
  gradientDescentOptimizer,
  inverseTimeDecay,
  momentumOptimizer,
  naturalExpDecay,
  type Optimizer,
  piecewiseConstant,
  polynomialDecay,
  rmsPropOptimizer,
} from "../../../src/train/index.ts";
import {
  addWith,
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
} from "../../../src/variables/index.ts";
import { gather, holder, identity, mul, type Program, reduceAll, square, use } from "./pieces.ts";

const W = [
  [0.5, -1, 0.25],
  [1.5, 0.75, -0.5],
];
/** numpy.linspace(-1, 1, 12) as float32 [6, 2] */
const TABLE = Array.from({ length: 6 }, (_, i) =>
  [0, 1].map((j) => Math.fround(-1 + ((2 * i + j) * 2) / 11)),
);

const OPTIMIZERS: Record<string, () => Optimizer> = {
  gradient_descent: () => gradientDescentOptimizer({ learningRate: 0.1 }),
  momentum: () => momentumOptimizer({ learningRate: 0.1, momentum: 0.9 }),
  nesterov: () => momentumOptimizer({ learningRate: 0.1, momentum: 0.9, useNesterov: true }),
  adam: () => adamOptimizer({ learningRate: 0.1 }),
  rmsprop: () => rmsPropOptimizer({ learningRate: 0.1, momentum: 0.5 }),
  centered: () => rmsPropOptimizer({ learningRate: 0.1, momentum: 0.5, centered: true }),
  adagrad: () => adagradOptimizer({ learningRate: 0.1 }),
  adadelta: () => adadeltaOptimizer({ learningRate: 0.5 }),
  ftrl: () =>
    ftrlOptimizer({ learningRate: 0.1, l1RegularizationStrength: 0.01, l2RegularizationStrength: 0.02 }),
  shrinkage: () => ftrlOptimizer({ learningRate: 0.1, l2ShrinkageRegularizationStrength: 0.05, beta: 0.1 }),
};

const optimizer =
  (make: () => Optimizer, resource: boolean): Program =>
  (g) => {
    use(g, resource);
    const w = getVariable(g, "w", { initializer: W });
    const table = getVariable(g, "table", { initializer: TABLE });
    const x = holder(g, "x", [null, 2]);
    const ids = holder(g, "ids", [3], "int32");
    const rows = gather(table, ids);
    const mean = reduceAll("Mean", square(addWith(g, "MatMul", [x, w])));
    const loss = g.add("AddV2", [mean, reduceAll("Sum", square(rows))], { name: "loss" });
    const globalStep = getOrCreateGlobalStep(g);
    group(g, [make().minimize(loss, { globalStep })], "train");
    globalVariablesInitializer(g);
  };

function twoOptimizers(g: Graph): void {
  use(g, false);
  const w = getVariable(g, "w", { initializer: [1, 2] });
  const r = getVariable(g, "r", { initializer: [3, 4], useResource: true });
  const loss = reduceAll("Sum", mul(square(w), r));
  adamOptimizer().minimize(loss);
  adamOptimizer({ name: "Second" }).minimize(loss, { varList: [w] });
  adamOptimizer().minimize(loss);
}

function clipped(g: Graph): void {
  use(g, true);
  const w = getVariable(g, "w", { initializer: W });
  const table = getVariable(g, "table", { initializer: TABLE });
  const squares = reduceAll("Sum", square(w));
  const rows = g.nameScope("Gather", (scope) => {
    const indices = g.constant([0, 3, 3], { dtype: "int32", name: "indices" });
    return g.add("ResourceGather", [table.handle, indices], { name: scope, attrs: { dtype: "float32" } });
  });
  const loss = g.add("AddV2", [squares, reduceAll("Sum", rows)], { name: "loss" });
  const opt = momentumOptimizer({ learningRate: g.constant(0.1), momentum: 0.9 });
  const pairs = opt.computeGradients(loss);
  let [grads] = clipByGlobalNorm(
    pairs.map(([grad]) => grad),
    0.5,
  );
  grads = grads.map((x) => (x === null || isIndexedSlices(x) ? x : clipByNorm(x, 0.3)));
  grads = grads.map((x) => (x === null || isIndexedSlices(x) ? x : clipByValue(x, -0.1, 0.1)));
  const train = opt.applyGradients(grads.map((x, i) => [x, pairs[i]![1]] as const));
  group(g, [train], "train");
}

function clips(g: Graph): void {
  const x = holder(g, "x", [3]);
  const y = holder(g, "y", [null, 2]);
  clipByValue(x, -1, 1, { name: "a" });
  clipByNorm(y, 2, { axes: [1], name: "b" });
  clipByNorm(x, 2, { name: "c" });
  globalNorm([x, null, y]);
  const [out] = clipByGlobalNorm([x, null, y], 1);
  identity(out[0] as Output, "d");
}

function schedules(g: Graph): void {
  use(g, false);
  const step = holder(g, "step", [], "int64");
  const outs = [
    exponentialDecay(0.1, step, 10, 0.5),
    exponentialDecay(0.1, step, 10, 0.5, { staircase: true }),
    piecewiseConstant(step, [5, 15], [1, 0.1, 0.01]),
    polynomialDecay(0.1, step, 10, { endLearningRate: 0.01, power: 2 }),
    polynomialDecay(0.1, step, 10, { endLearningRate: 0.01, cycle: true }),
    inverseTimeDecay(0.1, step, 10, 0.5),
    inverseTimeDecay(0.1, step, 10, 0.5, { staircase: true }),
    naturalExpDecay(0.1, step, 10, 0.5),
    cosineDecay(0.1, step, 20, { alpha: 0.1 }),
  ];
  outs.forEach((out, i) => {
    identity(out, `out${i}`);
  });
}

export const TRAINING_PROGRAMS: Record<string, Program> = {
  ...Object.fromEntries(
    Object.entries(OPTIMIZERS).flatMap(([name, make]) => [
      [`optimizer_${name}_ref`, optimizer(make, false)],
      [`optimizer_${name}_resource`, optimizer(make, true)],
    ]),
  ),
  two_optimizers: twoOptimizers,
  clipped,
  clips,
  schedules,
};
