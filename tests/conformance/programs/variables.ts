/** @file Programs on variables, scopes and savers: twins of tools/goldens/programs.py. */

import { type Graph, group, type Output } from "../../../src/graph/index.ts";
import { adamOptimizer, saver } from "../../../src/train/index.ts";
import {
  AUTO_REUSE,
  addWith,
  assignMovingAverage,
  constantInitializer,
  GraphKeys,
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
  localVariablesInitializer,
  onesInitializer,
  reportUninitializedVariables,
  variable,
  variableScope,
  variablesInitializer,
  zerosInitializer,
} from "../../../src/variables/index.ts";
import { both, holder, identity, l2Loss, mul, type Program, reduceAll, square, use } from "./pieces.ts";

function scopes(g: Graph, resource: boolean): void {
  use(g, resource);
  variableScope(g, "vs", {}, () => {
    getVariable(g, "w", { shape: [2, 3] });
    variableScope(g, "in", { initializer: onesInitializer(), dtype: "float64" }, () => {
      identity(getVariable(g, "v", { shape: [2] }));
    });
  });
  const again = variableScope(g, "vs", { reuse: true }, (scope) => {
    identity(getVariable(g, "w"), "i");
    return scope;
  });
  variableScope(g, "outer", {}, () => {
    variableScope(g, again, {}, () => {
      identity(getVariable(g, "w"));
      g.constant(1);
    });
    variableScope(g, null, { defaultName: "def" }, () => {
      getVariable(g, "a", { initializer: g.constant([1, 2], { dtype: "int32" }) });
    });
    variableScope(g, null, { defaultName: "def" }, () => {
      getVariable(g, "a", { initializer: [1, 2], trainable: false });
    });
  });
  variableScope(g, "auto", { reuse: AUTO_REUSE }, () => {
    const a = getVariable(g, "x", { shape: [], initializer: constantInitializer(2) });
    const b = getVariable(g, "x", { shape: [] });
    addWith(g, "AddV2", [a, b], { name: "Add" });
  });
  g.nameScope("ns", () => {
    getVariable(g, "g", { shape: [1], dtype: "int32" });
    variable(g, 1.5, { name: "z" });
    variable(g, () => fill(g, 2, 3), { name: "f" });
    variable(g, [1, 2], { name: "c", dtype: "int32", collections: ["mine"] });
  });
  variableScope(g, "aux", { auxiliaryNameScope: false }, () => {
    getVariable(g, "k", {
      shape: [1],
      initializer: zerosInitializer(),
      collections: [GraphKeys.LOCAL_VARIABLES],
    });
    g.constant(2);
  });
  getVariable(g, "flag", { shape: [], dtype: "bool" });
  variable(g, 3);
  variable(g, 4);
  getVariable(g, "reg", { shape: [2], regularizer: (v) => l2Loss(v), initializer: onesInitializer() });
  getOrCreateGlobalStep(g);
  globalVariablesInitializer(g);
  localVariablesInitializer(g);
  variablesInitializer(g, []);
  reportUninitializedVariables(g);
}

const fill = (g: Graph, n: number, value: number): Output =>
  g.nameScope("Fill", (scope) => {
    const dims = g.constant([n], { dtype: "int32", name: "dims" });
    return g.add("Fill", [dims, g.constant(value, { name: "value" })], { name: scope });
  });

/** TensorFlow's result of an assignment to a resource is read anew by each op that uses it. */
function assigns(g: Graph, resource: boolean): void {
  use(g, resource);
  const v = getVariable(g, "v", { initializer: [1, 2] });
  const n = getVariable(g, "n", { shape: [], dtype: "int64", initializer: zerosInitializer() });
  v.assign([3, 4]);
  const x = g.constant([0.5, 0.25]);
  const more = v.assignAdd(x, { name: "more" }) as Output;
  const op = g.operation("more");
  if (resource) {
    g.nameScope("Identity", (scope) => {
      const read = g.controlDependencies([op], () => v.value());
      g.add("Identity", [read], { name: scope });
    });
  } else identity(more);
  v.assignSub(x, { readValue: false });
  g.controlDependencies([op], () => v.readValue());
  n.assignAdd(1);
  n.assignAdd(2);
  mul(v, 2);
}

function dependentInitialValues(g: Graph): void {
  use(g, false);
  const a = getVariable(g, "a", { initializer: [1, 2] });
  variable(g, mul(a, 2), { name: "b" });
  variable(g, () => square(a), { name: "c" });
}

function movingAverage(g: Graph, resource: boolean): void {
  use(g, resource);
  const v = getVariable(g, "v", { initializer: [10, 10] });
  const w = getVariable(g, "w", { initializer: [10, 10] });
  const x = holder(g, "x", [2]);
  const a = assignMovingAverage(v, x, 0.9, { zeroDebias: false });
  const b = assignMovingAverage(w, x, 0.9);
  group(g, [a.op, b.op], "train");
}

function savers(g: Graph, resource: boolean): void {
  use(g, resource);
  const b = getVariable(g, "b", { initializer: [1, 2] });
  const a = getVariable(g, "a", { shape: [2, 3], initializer: zerosInitializer() });
  getOrCreateGlobalStep(g);
  saver(g);
  saver(g, { varList: { other: a, b }, maxToKeep: 2 });
  saver(g, { varList: [a], reshape: true, name: "named" });
}

function saverMixed(g: Graph): void {
  use(g, false);
  const w = getVariable(g, "w", { shape: [2], initializer: zerosInitializer() });
  const r = getVariable(g, "r", { shape: [2], initializer: zerosInitializer(), useResource: true });
  const product = addWith(g, "Mul", [w, r], { name: "Mul" });
  const loss = reduceAll("Sum", product);
  const globalStep = getOrCreateGlobalStep(g);
  adamOptimizer().minimize(loss, { globalStep });
  saver(g);
  globalVariablesInitializer(g);
}

export const VARIABLE_PROGRAMS: Record<string, Program> = {
  ...both("scopes", scopes),
  ...both("assigns", assigns),
  dependent_initial_values: dependentInitialValues,
  ...both("moving_average", movingAverage),
  ...both("savers", savers),
  saver_mixed: saverMixed,
};
