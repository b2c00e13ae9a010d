/** @file Programs on names, scopes, templates, getters, partitioned variables and collections: twins of tools/goldens/scopes.py. */

import type { Graph, Operation, Output } from "../../../src/graph/index.ts";
import { batchNormalization, dense, l2Regularizer } from "../../../src/layers/index.ts";
import { ones, setRandomSeed } from "../../../src/ops/index.ts";
import { adamOptimizer, gradientDescentOptimizer } from "../../../src/train/index.ts";
import {
  AUTO_REUSE,
  addWith,
  type CustomGetter,
  constantInitializer,
  fixedSizePartitioner,
  GraphKeys,
  getLocalVariable,
  getOrCreateGlobalStep,
  getVariable,
  getVariableScope,
  globalVariablesInitializer,
  identityInitializer,
  localVariablesInitializer,
  makeTemplate,
  minMaxVariablePartitioner,
  noRegularizer,
  type Operand,
  onesInitializer,
  type PartitionedVariable,
  Synchronization,
  trainableVariables,
  uniformUnitScalingInitializer,
  variable,
  variableAxisSizePartitioner,
  variableScope,
  varianceScalingInitializer,
  zerosInitializer,
} from "../../../src/variables/index.ts";
import { add, both, holder, identity, l2Loss, mul, type Program, reduceAll, square, use } from "./pieces.ts";

const c = (g: Graph, name: string): Output => g.constant(0, { name });
const matmul = (g: Graph, a: Operand, b: Operand): Output => addWith(g, "MatMul", [a, b]);

function names(g: Graph): void {
  for (const name of ["c", "c", "c", "C", "c_1", "c_1", "s"]) c(g, name);
  for (const scope of ["s", "S", "s/", "a/b", "C"]) {
    g.nameScope(scope, () => {
      c(g, "x");
      c(g, "X");
    });
  }
  g.nameScope("a", () => {
    c(g, "x");
    g.nameScope("_in", () => {
      c(g, "_y");
      c(g, "-z");
      g.nameScope(null, () => {
        c(g, "root");
        g.nameScope("a/", () => c(g, "x"));
      });
      g.nameScope("", () => c(g, "root"));
    });
  });
  c(g, "exact/");
  c(g, "deep/exact/");
  g.nameScope("deep", () => c(g, "other"));
  c(g, ".dot");
  c(g, "b>c");
}

function variableNames(g: Graph, resource: boolean): void {
  use(g, resource);
  variable(g, 1);
  variable(g, 2);
  variable(g, 3, { name: "w" });
  variable(g, 3, { name: "W" });
  getVariable(g, "w", { shape: [1] });
  variableScope(g, "vs", {}, () => {
    variable(g, 1, { name: "w" });
    getVariable(g, "w", { shape: [1] });
  });
  variableScope(g, "vs", { reuse: true }, () => identity(getVariable(g, "w", { shape: [1] })));
  getVariable(g, "a/b", { shape: [1] });
  getVariable(g, "typed", { dtype: "float32", initializer: g.constant([1]) });
  getVariable(g, "literal", { dtype: "float32", initializer: [1] });
  c(g, "Const");
}

function jumps(g: Graph): void {
  use(g, false);
  const v = (name: string) => getVariable(g, name, { shape: [1] });
  const byDefault = { defaultName: "d" };
  const a = variableScope(g, "a", {}, (scope) => {
    for (let i = 0; i < 2; i++) {
      variableScope(g, null, byDefault, () => {
        v("v");
        c(g, "x");
      });
    }
    return scope;
  });
  variableScope(g, "b", { reuse: AUTO_REUSE }, () => {
    variableScope(g, a, {}, () => {
      c(g, "x");
      v("k");
      variableScope(g, null, byDefault, () => {
        c(g, "x");
        v("u");
      });
    });
    variableScope(g, a, { auxiliaryNameScope: false }, (again) => {
      c(g, "x");
      g.nameScope(again.originalNameScope, () => c(g, "x"));
      variableScope(g, "in", {}, () => {
        c(g, "x");
        v("k");
      });
    });
  });
  variableScope(g, "a", { auxiliaryNameScope: false }, () => {
    c(g, "x");
    variableScope(g, "d", {}, () => c(g, "x"));
  });
  variableScope(g, "a/d_1", { reuse: true }, () => identity(v("v")));
  variableScope(g, "", {}, () => {
    c(g, "x");
    v("root");
  });
  variableScope(g, getVariableScope(g), { reuse: true }, () => {
    c(g, "x");
    identity(v("root"));
  });
  variableScope(g, null, { defaultName: "e", auxiliaryNameScope: false }, () => {
    c(g, "x");
    v("v");
  });
}

function defaults(g: Graph, resource: boolean): void {
  use(g, resource);
  const scope = {
    initializer: constantInitializer(2),
    regularizer: (v: Operand) => l2Loss(v),
    constraint: (v: Output) => mul(v, 0.5),
    cachingDevice: "/job:worker/device:CPU:0",
    dtype: "float64",
  } as const;
  const v = variableScope(g, "s", scope, () => {
    const outer = getVariable(g, "v", { shape: [2] });
    identity(outer, "i");
    variableScope(g, "t", { regularizer: noRegularizer, dtype: "float32" }, () =>
      getVariable(g, "v", { shape: [2] }),
    );
    return outer;
  });
  const w = g.withDevice("/job:ps/task:1", () =>
    getVariable(g, "w", { shape: [2], cachingDevice: "/device:CPU:0", initializer: onesInitializer() }),
  );
  w.assignAdd(g.constant([1, 1]));
  const squares = reduceAll("Sum", square(w));
  const sum = addWith(g, "Sum", [v, g.constant([0], { dtype: "int32" })]);
  const cast = g.add("Cast", [sum], { attrs: { DstT: "float32" } });
  const total = add(squares, cast);
  gradientDescentOptimizer({ learningRate: 0.1 }).minimize(total, { name: "train" });
}

function collections(g: Graph, resource: boolean): void {
  use(g, resource);
  const one = { shape: [1], initializer: onesInitializer() };
  getVariable(g, "plain", one);
  getVariable(g, "frozen", { ...one, trainable: false });
  getVariable(g, "mine", { ...one, collections: ["mine"] });
  getVariable(g, "mine_frozen", { ...one, collections: ["mine"], trainable: false });
  getVariable(g, "local", { ...one, collections: [GraphKeys.LOCAL_VARIABLES] });
  getLocalVariable(g, "own", one);
  getLocalVariable(g, "both", { ...one, collections: ["mine"] });
  getVariable(g, "read", { ...one, synchronization: Synchronization.ON_READ });
  getVariable(g, "model", {
    ...one,
    collections: [GraphKeys.GLOBAL_VARIABLES, GraphKeys.MODEL_VARIABLES],
  });
  globalVariablesInitializer(g);
  localVariablesInitializer(g);
}

const freezes: CustomGetter = (getter, name, o) => getter(name, { ...o, trainable: false });

function getters(g: Graph, resource: boolean): void {
  use(g, resource);
  const renames: CustomGetter = (getter, name, o) => getter(`${name}_a`, o);
  const doubles: CustomGetter = (getter, name, o) =>
    g.nameScope("doubled", () => mul(getter(`${name}_b`, o), 2));
  const twice: CustomGetter = (getter, name, o) => add(getter(`${name}/one`, o), getter(`${name}/two`, o));
  const v = (name: string, customGetter?: CustomGetter) =>
    getVariable(g, name, { shape: [1], ...(customGetter === undefined ? {} : { customGetter }) });
  const s = variableScope(g, "s", { customGetter: renames }, (scope) => {
    v("v");
    variableScope(g, "t", { customGetter: doubles }, () => {
      identity(v("v"));
      variableScope(g, "u", { customGetter: freezes }, () => identity(v("v")));
    });
    v("own", freezes);
    return scope;
  });
  variableScope(g, s, { customGetter: freezes }, () => v("k"));
  variableScope(g, s, { reuse: true }, () => identity(v("v")));
  identity(v("sum", twice));
}

function templates(g: Graph, resource: boolean): void {
  use(g, resource);
  const scale =
    (name = "y") =>
    (x: Output): Output =>
      mul(x, getVariable(g, name, { shape: [], initializer: onesInitializer() }));
  const x = holder(g, "x", [2]);
  const t = makeTemplate(g, "scale", scale());
  t(x);
  t(x);
  const other = makeTemplate(g, "scale", scale("z"));
  variableScope(g, "inner", {}, () => {
    other(x);
    t(x);
  });
  other(x);
  const now = makeTemplate(g, "now", scale(), { createScopeNow: true });
  variableScope(g, "elsewhere", {}, () => now(x));
  now(x);
  makeTemplate(g, "scale", scale(), { uniqueName: "mine" })(x);
  const vs = variableScope(g, "vs", {}, (scope) => {
    makeTemplate(g, "scale", scale())(x);
    return scope;
  });
  variableScope(g, vs, { reuse: true }, () => makeTemplate(g, "scale", scale())(x));
  const outer = (y: Output): Output => {
    const inner = makeTemplate(g, "part", scale())(y);
    return makeTemplate(g, "part", scale())(inner);
  };
  makeTemplate(g, "outer", outer)(x);
  makeTemplate(g, "frozen", scale(), { customGetter: freezes })(x);
}

function partitions(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 7);
  const two = fixedSizePartitioner(2);
  const three = { shape: [5, 3], partitioner: fixedSizePartitioner(3) };
  const w = getVariable<PartitionedVariable>(g, "w", three);
  const x = holder(g, "x", [2, 5]);
  const y = matmul(g, x, w);
  identity(w, "whole");
  const zeros = zerosInitializer();
  getVariable(g, "axis1", { shape: [2, 3], partitioner: fixedSizePartitioner(2, 1), initializer: zeros });
  getVariable(g, "value", { initializer: g.constant([1, 2, 3]), partitioner: two });
  getVariable(g, "literal", { shape: [3], initializer: [1, 2, 3], partitioner: two });
  getVariable(g, "eye", { shape: [3, 3], initializer: identityInitializer(), partitioner: two });
  getVariable(g, "unit", { shape: [3, 3], initializer: uniformUnitScalingInitializer(), partitioner: two });
  getVariable(g, "scaled", { shape: [4, 3], initializer: varianceScalingInitializer(), partitioner: two });
  getVariable(g, "bytes", { shape: [7, 4], partitioner: variableAxisSizePartitioner(40) });
  const most = variableAxisSizePartitioner(1, { axis: 1, maxShards: 3 });
  getVariable(g, "most", { shape: [7, 4], partitioner: most });
  getVariable(g, "text", { shape: [3], dtype: "string", partitioner: variableAxisSizePartitioner(32) });
  const minMax = minMaxVariablePartitioner({ maxPartitions: 4, minSliceBytes: 32 });
  getVariable(g, "minmax", { shape: [8, 2], partitioner: minMax });
  getVariable(g, "few", { shape: [2], partitioner: fixedSizePartitioner(9) });
  variableScope(g, "s", { partitioner: two, regularizer: (v) => l2Loss(v) }, () => {
    getVariable(g, "scalar", { shape: [], initializer: onesInitializer() });
    getVariable(g, "v", { shape: [2, 2], trainable: false });
    identity(getVariable(g, "one", { shape: [2], partitioner: fixedSizePartitioner(1) }));
    g.controlDependencies([y], () => identity(getVariable(g, "dep", { shape: [2] })));
  });
  variableScope(g, "", { reuse: true }, () => {
    identity(getVariable(g, "w", { shape: [5, 3] }));
    identity(getVariable(g, "w/part_1", { shape: [2, 3] }));
  });
  w.assign(ones(g, [5, 3]));
  w.assignAdd([...w].map((part) => mul(part, 2)));
  w.assignSub(w);
  globalVariablesInitializer(g);
}

function partitionedTraining(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 3);
  const [w, b] = variableScope(g, "net", { partitioner: fixedSizePartitioner(2) }, () => [
    getVariable(g, "w", { shape: [3, 2] }),
    getVariable(g, "b", { shape: [2], initializer: zerosInitializer() }),
  ]);
  const x = holder(g, "x", [null, 3]);
  const y = identity(add(matmul(g, x, w!), b!), "y");
  const loss = reduceAll("Sum", square(y));
  const globalStep = getOrCreateGlobalStep(g);
  adamOptimizer({ learningRate: 0.1 }).minimize(loss, { globalStep, name: "train" });
}

function partitionedLayers(g: Graph, resource: boolean): void {
  use(g, resource);
  setRandomSeed(g, 3);
  const x = holder(g, "x", [2, 4]);
  for (const reuse of [false, true]) {
    variableScope(g, "net", { partitioner: fixedSizePartitioner(2) }, () =>
      dense(x, 3, { kernelRegularizer: l2Regularizer(0.1), name: "d", reuse }),
    );
  }
  dense(holder(g, "y", [2, 3, 4]), 3, { name: "d2" });
}

function gan(g: Graph): void {
  use(g, false);
  setRandomSeed(g, 5);
  const [z, real] = [holder(g, "z", [4, 2]), holder(g, "real", [4, 3])];
  const options = { reuse: AUTO_REUSE } as const;
  const norm = (x: Output) => batchNormalization(x, { training: true, name: "bn" });
  const v = (name: string, shape: number[]) => getVariable(g, name, { shape });
  const fake = variableScope(g, "G", options, () => norm(matmul(g, z, v("w", [2, 3]))));
  const discriminator = (x: Output): Output =>
    variableScope(g, "D", options, () => {
      const h = norm(matmul(g, x, v("w", [3, 4])));
      return reduceAll("Mean", matmul(g, h, v("out", [4, 1])));
    });
  const [onReal, onFake] = [discriminator(real), discriminator(fake)];
  const losses = { D: g.add("Sub", [onFake, onReal]), G: g.add("Neg", [onFake]) };
  const updates = g.getCollection<Operation>(GraphKeys.UPDATE_OPS);
  const mine = { D: updates.slice(2), G: updates.slice(0, 2) };
  for (const scope of ["D", "G"] as const) {
    g.controlDependencies(mine[scope], () =>
      adamOptimizer({ learningRate: 0.01 }).minimize(losses[scope], {
        varList: trainableVariables(g, `${scope}/`),
        name: `${scope}_train`,
      }),
    );
  }
}

export const SCOPE_PROGRAMS: Record<string, Program> = {
  names,
  ...both("variable_names", variableNames),
  jumps,
  ...both("defaults", defaults),
  ...both("collections", collections),
  ...both("getters", getters),
  ...both("templates", templates),
  ...both("partitions", partitions),
  ...both("partitioned_training", partitionedTraining),
  ...both("partitioned_layers", partitionedLayers),
  gan,
};
