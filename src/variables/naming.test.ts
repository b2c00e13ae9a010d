/** The rules of names, scopes and collections, one by one. Whole programs are compared with TensorFlow in tests/conformance/programs. */

import { describe, expect, test } from "vitest";
import { gradients } from "../autodiff/index.ts";
import { toNumbers } from "../base/index.ts";
import { addMetaGraph, exportMetaGraph } from "../formats/meta-graph/index.ts";
import { cond, Graph, type Output, whileLoop } from "../graph/index.ts";
import {
  add,
  CORE_OPS,
  divide,
  index,
  matmul,
  multiply,
  negative,
  placeholder,
  reduceSum,
  square,
} from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { adamOptimizer, gradientDescentOptimizer } from "../train/index.ts";
import {
  AUTO_REUSE,
  addWith,
  type CustomGetter,
  constantInitializer,
  ExponentialMovingAverage,
  GraphKeys,
  getLocalVariable,
  getVariable,
  getVariableScope,
  globalVariables,
  globalVariablesInitializer,
  localVariables,
  onesInitializer,
  trainableVariables,
  variable,
  variableScope,
} from "./index.ts";

const graph = (): Graph => new Graph(CORE_OPS);
const c = (g: Graph, name: string): string => g.constant(0, { name }).op.name;
const one = { shape: [1], initializer: onesInitializer() };

describe("op names", () => {
  test("begin with a letter, digit or dot; an inner scope may begin with _ - \\ / too", () => {
    const g = graph();
    for (const name of ["_a", "-a", "/a", "a:0", "^a", "a b", ""]) expect(() => c(g, name), name).toThrow();
    for (const name of [".a", "9", "a/b", "a>b", "a\\b"]) expect(c(g, name)).toBe(name);
    g.nameScope("s", () => {
      for (const name of ["_a", "-a"]) expect(c(g, name)).toBe(`s/${name}`);
      expect(() => c(g, "a:0")).toThrow();
    });
  });

  test("are made unique whatever their case; scopes count with ops", () => {
    const g = graph();
    expect(["c", "c", "c", "C", "c_1", "c_1"].map((name) => c(g, name))).toEqual([
      ...["c", "c_1", "c_2", "C_3", "c_1_1", "c_1_2"],
    ]);
    expect(["s", "s", "S"].map((name) => g.nameScope(name, (scope) => scope))).toEqual([
      "s/",
      "s_1/",
      "S_2/",
    ]);
    expect(c(g, "s")).toBe("s_3");
  });

  test("with a slash at the end are exact: no scope, no number", () => {
    const g = graph();
    g.nameScope("s", () => expect(c(g, "x/y/")).toBe("x/y"));
    expect(() => c(g, "x/y/")).toThrow("Duplicate node name in graph: 'x/y'");
  });
});

test("functions give their ops TensorFlow's automatic names", () => {
  const x = placeholder(graph(), "float32", { shape: [2, 2] });
  const names = [
    add(x, x),
    multiply(x, x),
    divide(x, x),
    index(x, [0]),
    negative(x),
    matmul(x, x),
    x.graph.constant(1),
  ];
  expect(names.map((y) => y.op.name)).toEqual([
    ...["Add", "Mul", "truediv", "strided_slice", "Neg", "MatMul", "Const"],
  ]);
});

test("independent graphs: an op takes no input of another graph, a session fetches none", async () => {
  const [g, h] = [graph(), graph()];
  const [a, b] = [g.constant([1], { name: "a" }), h.constant([1], { name: "b" })];
  expect(() => add(a, b)).toThrow("Tensor b:0 must be from the same graph as Tensor a:0");
  await using session = new Session(g);
  await expect(session.run(b)).rejects.toThrow("Tensor b:0 is not an element of this graph.");
});

test.each([
  [false, ["w/Initializer/zeros Const", "w VariableV2", "w/Assign Assign", "w/read Identity"]],
  [
    true,
    [
      ...[
        "w/Initializer/zeros Const",
        "w VarHandleOp",
        "w/IsInitialized/VarIsInitializedOp VarIsInitializedOp",
      ],
      ...["w/Assign AssignVariableOp", "w/Read/ReadVariableOp ReadVariableOp"],
    ],
  ],
])("a variable's nodes (useResource %s)", (useResource, nodes) => {
  const g = graph();
  getVariable(g, "w", { shape: [1], dtype: "int32", useResource });
  expect(g.operations.map((op) => `${op.name} ${op.type}`)).toEqual(nodes);
});

describe("name scopes", () => {
  test("`s/` enters a scope again; null and the empty name are the root; `a/b` makes no `a`", () => {
    const g = graph();
    g.nameScope("s", () => c(g, "x"));
    g.nameScope("other", () => {
      expect(g.nameScope("s/", () => c(g, "x"))).toBe("s/x_1");
      expect(g.nameScope(null, () => c(g, "x"))).toBe("x");
      expect(g.nameScope("", () => c(g, "x"))).toBe("x_1");
    });
    expect(g.nameScope("a/b", () => c(g, "x"))).toBe("a/b/x");
    expect(g.nameScope("a", () => c(g, "x"))).toBe("a/x");
  });
});

describe("variables", () => {
  test("of their own follow name scopes, are Variable, Variable_1, and getVariable never finds them", () => {
    const g = graph();
    const made = g.nameScope("ns", () => [variable(g, 1), variable(g, 1)]);
    expect(made.map((v) => v.op.name)).toEqual(["ns/Variable", "ns/Variable_1"]);
    expect(() => variableScope(g, "ns", { reuse: true }, () => getVariable(g, "Variable"))).toThrow(
      /Variable ns\/Variable does not exist/,
    );
  });

  test("of getVariable ignore name scopes; floats start glorot uniform, the rest zero", () => {
    const g = graph();
    const of = (name: string, dtype: "float32" | "int32" | "bool" | "string") =>
      g.nameScope("ns", () => getVariable(g, name, { shape: [2], dtype })).initialValue!.op.name;
    expect(of("f", "float32")).toBe("f/Initializer/random_uniform");
    expect(of("i", "int32")).toBe("i/Initializer/zeros");
    expect(of("b", "bool")).toBe("b/Initializer/zeros");
    expect(of("s", "string")).toBe("s/Initializer/zeros");
  });

  test("with an initial value have its dtype, or the one asked for", () => {
    const g = graph();
    const of = (name: string, options: object) => getVariable(g, name, options).dtype;
    expect(of("text", { initializer: ["a", "b"] })).toBe("string");
    expect(of("flags", { initializer: [true] })).toBe("bool");
    expect(of("numbers", { initializer: [1, 2] })).toBe("float32");
    expect(of("counts", { initializer: [1, 2], dtype: "int32" })).toBe("int32");
    expect(() => of("other", { initializer: g.constant([1]), dtype: "int32" })).toThrow(/don't match/);
  });

  test("trap B3.2: getVariable beside a variable of the same name makes and shares `w_1`, the key in checkpoints", () => {
    const g = graph();
    variableScope(g, "vs", {}, (scope) => {
      variable(g, 1, { name: "w" });
      const w = getVariable(g, "w", one);
      expect(w.op.name).toBe("vs/w_1");
      scope.reuseVariables();
      expect(getVariable(g, "w")).toBe(w);
    });
  });
});

describe("variable scopes", () => {
  test("trap B3.3: from the second entry on the op prefix is another than the variable prefix", () => {
    const g = graph();
    const enter = () =>
      variableScope(g, "vs", { reuse: AUTO_REUSE }, () => [getVariable(g, "w", one).op.name, c(g, "x")]);
    expect([enter(), enter()]).toEqual([
      ["vs/w", "vs/x"],
      ["vs/w", "vs_1/x"],
    ]);
  });

  test("a scope object jumps to its variables, nests its ops, and keeps its original name scope", () => {
    const g = graph();
    const vs = variableScope(g, "vs", {}, (scope) => scope);
    variableScope(g, "o", {}, () => {
      variableScope(g, vs, {}, (scope) => {
        expect(getVariable(g, "k", one).op.name).toBe("vs/k");
        expect(c(g, "x")).toBe("o/vs/x");
        expect(g.nameScope(scope.originalNameScope, () => c(g, "x"))).toBe("vs/x");
      });
      variableScope(g, vs, { auxiliaryNameScope: false }, () => expect(c(g, "x")).toBe("o/x"));
    });
  });

  test("a default name is made unique: def, def_1, counted anew when the parent is entered again", () => {
    const g = graph();
    const def = () => variableScope(g, null, { defaultName: "def" }, (scope) => scope.name);
    const inside = () => variableScope(g, "p", {}, () => [def(), def()]);
    expect([def(), def()]).toEqual(["def", "def_1"]);
    expect([inside(), inside()]).toEqual([
      ["p/def", "p/def_1"],
      ["p/def", "p/def_1"],
    ]);
  });

  test("hand initializer, regularizer, dtype and kind to the scopes inside, the constraint to none", () => {
    const g = graph();
    const outer = {
      initializer: constantInitializer(2),
      regularizer: () => null,
      dtype: "float64",
      useResource: true,
      constraint: (x: Output) => x,
    } as const;
    variableScope(g, "a", outer, (a) => {
      expect(getVariable(g, "v", { shape: [1] })).toMatchObject({ dtype: "float64", isResource: true });
      variableScope(g, "b", {}, (b) => {
        expect([b.initializer, b.regularizer, b.dtype, b.useResource]).toEqual([
          ...[a.initializer, a.regularizer, a.dtype, a.useResource],
        ]);
        expect([a.constraint, b.constraint]).toEqual([outer.constraint, undefined]);
      });
    });
  });

  test("custom getters nest: the inner one's getter is the outer one", () => {
    const g = graph();
    const suffix =
      (text: string): CustomGetter =>
      (getter, name, options) =>
        getter(name + text, options);
    variableScope(g, "s", { customGetter: suffix("_outer") }, () =>
      variableScope(g, "t", { customGetter: suffix("_inner") }, () => {
        expect(getVariable(g, "v", one).op.name).toBe("s/t/v_inner_outer");
        expect(getVariable(g, "v", { ...one, customGetter: suffix("_own") }).op.name).toBe("s/t/v_own");
      }),
    );
  });

  test("a custom getter may give an output in place of a variable, and sees all defaults", () => {
    const g = graph();
    const seen: object[] = [];
    const doubles: CustomGetter = (getter, name, options) => {
      seen.push(options);
      return addWith(g, "Mul", [getter(name, options), 2]);
    };
    const y = variableScope(g, "s", { customGetter: doubles }, () => getVariable<Output>(g, "w", one));
    expect(y.op.type).toBe("Mul");
    expect(seen).toMatchObject([
      { shape: [1], dtype: "float32", reuse: false, trainable: true, useResource: false },
    ]);
  });

  test.each([false, true])(
    "a caching device holds a copy for the readers (useResource %s)",
    (useResource) => {
      const g = graph();
      const v = getVariable(g, "v", { ...one, cachingDevice: "/device:CPU:0", useResource });
      expect(v.snapshot.op.device).toBe("/device:CPU:0");
      expect(v.value()).toBe(v.value());
      const chosen = getVariable(g, "chosen", {
        ...one,
        cachingDevice: (op) => (op.type === "Identity" ? "/job:near" : ""),
        useResource,
      });
      expect(chosen.snapshot.op.device).toBe("/job:near");
      expect(v.toProto().snapshotName).toBe(useResource ? "v/Read/Identity:0" : "v/read:0");
    },
  );
});

test("an asynchronous body is refused: what it makes after an await would be in another scope", async () => {
  const g = graph();
  const body = async (): Promise<string> => c(g, "x");
  expect(() => g.nameScope("s", body)).toThrow("the body of a scope is asynchronous and would outlive it");
  expect(() => variableScope(g, "s", {}, body)).toThrow(/asynchronous/);
  expect([g.namer.currentScope, getVariableScope(g).name]).toEqual(["", ""]);
});

describe("collections", () => {
  test("trap B3.4: trainable, custom and local are three axes", () => {
    const g = graph();
    const mine = getVariable(g, "mine", { ...one, collections: ["mine"] });
    const frozen = getVariable(g, "frozen", { ...one, trainable: false });
    const local = getLocalVariable(g, "local", one);
    const both = getVariable(g, "both", { ...one, collections: [GraphKeys.LOCAL_VARIABLES] });
    expect(globalVariables(g)).toEqual([frozen]);
    expect(trainableVariables(g)).toEqual([mine, both]);
    expect(localVariables(g)).toEqual([local, both]);
    expect(g.getCollection("mine")).toEqual([mine]);
  });

  test("a scope filters by a regular expression and drops what has no name", () => {
    const g = graph();
    g.addToCollections(["things", "things", "more"], { name: "a/x" });
    for (const x of [{ name: "b/a/x" }, { name: "ab/x" }, 7, null]) g.addToCollection("things", x);
    expect(g.getCollection("things").length).toBe(5);
    expect(g.getCollection("things", "")).toEqual([{ name: "a/x" }, { name: "b/a/x" }, { name: "ab/x" }]);
    expect(g.getCollection("things", "a/")).toEqual([{ name: "a/x" }]);
    expect(g.getCollection("things", ".*/x").length).toBe(3);
    expect(() => g.getCollection("things", "(")).toThrow("'(' is not a regular expression");
  });

  test("getCollection copies, getCollectionRef gives the list itself and makes the key", () => {
    const g = graph();
    g.getCollection("a").push(1);
    expect(g.collections.has("a")).toBe(false);
    g.getCollectionRef("a").push(1);
    expect(g.getCollection("a")).toEqual([1]);
    g.clearCollection("a");
    expect(g.collections.has("a")).toBe(false);
  });

  test("of a scope are those with its name", () => {
    const g = graph();
    for (const name of ["s", "st"]) variableScope(g, name, {}, () => getVariable(g, "v", one));
    variableScope(g, "s", {}, (s) => expect(s.getCollection("variables")).toEqual(globalVariables(g, "s/")));
    expect(getVariableScope(g).globalVariables().length).toBe(2);
  });

  test("trap B3.5: conditionals and loops leave their contexts in collections, in MetaGraphs too; imported ones have gradients", async () => {
    const g = graph();
    const p = placeholder(g, "bool", { shape: [], name: "p" });
    const x = placeholder(g, "float32", { shape: [], name: "x" });
    cond(
      p,
      () => square(x),
      () => negative(x),
    );
    whileLoop(
      g,
      (v) => g.add("Less", [v, 10]),
      (v) => multiply(v, 2),
      [x],
    );
    const h = graph();
    addMetaGraph(h, exportMetaGraph(g));
    for (const each of [g, h]) {
      expect(each.getCollection("cond_context").length).toBe(2);
      expect(each.getCollection("while_context").length).toBe(1);
    }
    const [dx] = gradients(h.output("cond/Merge:0"), [h.output("x:0")]);
    const [doubled] = gradients(h.output("while/Exit:0"), [h.output("x:0")]);
    await using session = new Session(h);
    expect(toNumbers(await session.run(doubled as Output, { feeds: { "x:0": 3 } }))).toEqual([4]); // 3, 6, 12
    for (const [taken, slope] of [
      [true, 6],
      [false, -1],
    ] as const) {
      expect(toNumbers(await session.run(dx as Output, { feeds: { "x:0": 3, "p:0": taken } }))).toEqual([
        slope,
      ]);
    }
  });
});

describe("optimizers", () => {
  test("slots count per variable across optimizers: Adam, Adam_1, then Adam_2, Adam_3 and beta1_power_1", () => {
    const g = graph();
    const w = getVariable(g, "w", one);
    const loss = reduceSum(square(w.value()));
    for (let i = 0; i < 2; i++) adamOptimizer().minimize(loss);
    expect(globalVariables(g).map((v) => v.op.name)).toEqual([
      ...["w", "beta1_power", "beta2_power", "w/Adam", "w/Adam_1"],
      ...["beta1_power_1", "beta2_power_1", "w/Adam_2", "w/Adam_3"],
    ]);
  });

  test("minimize in a scope that reuses fails, and leaves the beta powers behind", () => {
    const g = graph();
    const d = () => variableScope(g, "D", { reuse: AUTO_REUSE }, () => getVariable(g, "w", one).value());
    const loss = reduceSum(square(d()));
    d();
    d();
    expect(() => variableScope(g, "D", { reuse: true }, () => adamOptimizer().minimize(loss))).toThrow(
      /Variable D\/D\/w\/Adam\/ does not exist/,
    );
    expect(globalVariables(g).map((v) => v.op.name)).toContain("D_3/beta1_power");
  });
});

test("trap B3.6: averages made under control dependencies start in one run with their variables", async () => {
  const g = graph();
  const gamma = variableScope(g, "net/bn1", {}, () =>
    getVariable(g, "gamma", { shape: [2], initializer: onesInitializer() }),
  );
  const train = gradientDescentOptimizer({ learningRate: 0.5 }).minimize(reduceSum(square(gamma.value())));
  const average = new ExponentialMovingAverage(0.9);
  g.controlDependencies([train], () => average.apply([gamma]));
  const init = globalVariablesInitializer(g);
  await using session = new Session(g, { warn: () => {} });
  await session.run([], { targets: [init] });
  expect(toNumbers(await session.run(average.average(gamma)!))).toEqual([1, 1]);
});
