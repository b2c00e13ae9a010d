import { describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import {
  GraphKeys,
  getOrCreateGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  type Variable,
  variableScope,
} from "../variables/index.ts";
import {
  adagradOptimizer,
  adamOptimizer,
  exponentialDecay,
  ftrlOptimizer,
  gradientDescentOptimizer,
  momentumOptimizer,
  piecewiseConstant,
} from "./index.ts";

const sumOf = (x: Output): Output => x.graph.add("Sum", [x, x.graph.constant([0], { dtype: "int32" })]);

function model(options: object = {}): { g: Graph; w: Variable; loss: Output } {
  const g = new Graph(CORE_OPS);
  const w = getVariable(g, "w", { initializer: [1, -2], ...options });
  return { g, w, loss: sumOf(g.add("Square", [w.value()])) };
}

async function run(g: Graph, targets: Parameters<Session["run"]>[1], v: Variable): Promise<number[]> {
  await using session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  await session.run([], targets ?? {});
  return toNumbers(await session.run(v.snapshot));
}

describe("what cannot be trained", () => {
  test("a loss that depends on no variable", () => {
    const { g } = model();
    const other = g.constant(1);
    expect(() => gradientDescentOptimizer({ learningRate: 1 }).minimize(other)).toThrow(
      "No gradients provided for any variable, check your graph for ops that do not support gradients, between variables ['w:0'] and loss Const",
    );
  });

  test("no variables, no gradients, whole numbers", () => {
    const g = new Graph(CORE_OPS);
    const sgd = gradientDescentOptimizer({ learningRate: 1 });
    expect(() => sgd.computeGradients(g.constant(1))).toThrow("No variables to optimize.");
    expect(() => sgd.applyGradients([])).toThrow("No variables provided.");
    const { w } = model();
    expect(() => sgd.applyGradients([[null, w]])).toThrow("No gradients provided for any variable: ['w:0'].");
    expect(() => sgd.computeGradients(g.constant(1, { dtype: "int32" }))).toThrow(
      /Invalid type int32 for Const/,
    );
  });

  test("slots inside a scope that only shares", () => {
    const { g, loss } = model();
    expect(() => variableScope(g, "D", { reuse: true }, () => adamOptimizer().minimize(loss))).toThrow(
      /Variable D\/w\/Adam\/ does not exist, or was not created with tf\.get_variable\(\)/,
    );
  });

  test("rates out of range", () => {
    expect(() => adagradOptimizer({ learningRate: 1, initialAccumulatorValue: 0 })).toThrow(
      "initial_accumulator_value must be positive: 0",
    );
    expect(() => ftrlOptimizer({ learningRate: 1, learningRatePower: 1 })).toThrow(
      "learning_rate_power 1.000000 needs to be negative or zero",
    );
    expect(() => piecewiseConstant(model().loss, [1, 2], [1, 2])).toThrow(
      "The length of boundaries should be 1 less than the length of values",
    );
  });
});

test.each([false, true])("a constraint holds after the step (resource %s)", async (useResource) => {
  const constraint = (x: Output): Output => x.graph.add("Maximum", [x, 0]);
  const { g, w, loss } = model({ constraint, useResource });
  const train = gradientDescentOptimizer({ learningRate: 0.25 }).minimize(loss);
  expect(await run(g, { targets: [train] }, w)).toEqual([0.5, 0]);
});

test("slots can be asked for, and are in the checkpoint by TensorFlow's names", () => {
  const { g, w, loss } = model();
  const adam = adamOptimizer();
  adam.minimize(loss);
  expect(adam.getSlotNames()).toEqual(["m", "v"]);
  expect(adam.getSlot(w, "m")?.op.name).toBe("w/Adam");
  expect(adam.getSlot(w, "momentum")).toBeNull();
  expect(adam.variables(g).map((v) => v.op.name)).toEqual([
    "beta1_power",
    "beta2_power",
    "w/Adam",
    "w/Adam_1",
  ]);
  expect(g.getCollection(GraphKeys.TRAIN_OP)).toEqual([g.operation("Adam")]);
});

test("float64 variables take their rates in float64", async () => {
  const { g, w, loss } = model({ initializer: undefined, shape: [2], dtype: "float64" });
  const train = momentumOptimizer({ learningRate: 0.25, momentum: 0.5 }).minimize(loss);
  expect(g.operation("Momentum/update_w/Cast").attrs.DstT).toBe("float64");
  const [a, b] = await run(g, { targets: [train] }, w);
  expect(Math.abs(a!) + Math.abs(b!)).toBeGreaterThan(0);
});

test("the learning rate follows the global step, which counts after the update", async () => {
  const { g, w, loss } = model();
  const step = getOrCreateGlobalStep(g);
  const rate = exponentialDecay(0.25, step, 1, 0.5);
  const train = gradientDescentOptimizer({ learningRate: rate }).minimize(loss, { globalStep: step });
  await using session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  await session.run([], { targets: [train] });
  await session.run([], { targets: [train] });
  // 1 · (1 - 2 · 0.25) · (1 - 2 · 0.125)
  expect(toNumbers(await session.run(w.snapshot))).toEqual([0.375, -0.75]);
  expect(toNumbers(await session.run(step.snapshot))).toEqual([2]);
});

test("varList leaves other variables alone", () => {
  const { g, loss } = model();
  const u = getVariable(g, "u", { initializer: [1, 1] });
  const both = g.add("AddV2", [loss, sumOf(u.value())]);
  gradientDescentOptimizer({ learningRate: 1 }).minimize(both, { varList: [u] });
  expect(g.findOperation("GradientDescent/update_w/ApplyGradientDescent")).toBeUndefined();
  expect(globalVariables(g).length).toBe(2);
});
