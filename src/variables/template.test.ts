import { expect, test } from "vitest";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS, placeholder } from "../ops/index.ts";
import {
  addWith,
  type CustomGetter,
  getVariable,
  getVariableScope,
  makeTemplate,
  onesInitializer,
  variable,
  variableScope,
} from "./index.ts";

const graph = (): Graph => new Graph(CORE_OPS);
const scale = (x: Output, name = "y"): Output =>
  addWith(x.graph, "Mul", [x, getVariable(x.graph, name, { shape: [], initializer: onesInitializer() })]);
const input = (g: Graph): Output => placeholder(g, "float32", { shape: [2], name: "x" });

test("a template makes its variables at the first call and shares them at the next", () => {
  const g = graph();
  const x = input(g);
  const t = makeTemplate(g, "scale", scale);
  expect(t.scope()).toBeNull();
  expect(t.globalVariables()).toEqual([]);
  const [a, b] = [t(x), variableScope(g, "elsewhere", {}, () => t(x))];
  expect([a.op.name, b.op.name]).toEqual(["scale/Mul", "elsewhere/scale/Mul"]);
  expect(t.globalVariables().map((v) => v.op.name)).toEqual(["scale/y"]);
  expect(t.trainableVariables()).toEqual(t.globalVariables());
  expect(t.localVariables()).toEqual([]);
});

test("two templates of one name have variables of their own; a unique name is taken as it is", () => {
  const g = graph();
  const x = input(g);
  const make = (options = {}) => {
    const t = makeTemplate(g, "scale", scale, options);
    t(x);
    return t.scope()!.name;
  };
  expect([make(), make(), make({ uniqueName: "mine" })]).toEqual(["scale", "scale_1", "mine"]);
  expect(() => make({ uniqueName: "mine" })).toThrow(/Variable mine\/y already exists, disallowed/);
});

test("createScopeNow opens the scope where the template is made", () => {
  const g = graph();
  const now = makeTemplate(g, "now", scale, { createScopeNow: true });
  expect(now.scope()!.name).toBe("now");
  const y = variableScope(g, "elsewhere", {}, () => now(input(g)));
  expect(y.op.name).toBe("elsewhere/now/Mul");
  expect(now.globalVariables().map((v) => v.op.name)).toEqual(["now/y"]);
});

test("a later call may not ask for a variable that the first did not make", () => {
  const g = graph();
  const x = input(g);
  const t = makeTemplate(g, "t", (name: string) => scale(x, name));
  t("a");
  expect(() => t("b")).toThrow(/Variable t\/b does not exist[\s\S]*originally defined at:/);
  expect(getVariableScope(g).name).toBe("");
});

test("a later call may make variables, but none that is trained", () => {
  const g = graph();
  const counts = makeTemplate(g, "counts", () => variable(g, 0, { name: "n", trainable: false }));
  counts();
  expect(counts().op.name).toBe("counts_1/n");
  const trains = makeTemplate(g, "trains", () => variable(g, 0));
  trains();
  expect(() => trains()).toThrow(
    /Trainable variable created when calling a template after the first time, perhaps you used tf\.Variable when you meant tf\.get_variable/,
  );
});

test("a first call that fails may be made again", () => {
  const g = graph();
  const x = input(g);
  let fails = true;
  const t = makeTemplate(g, "t", () => {
    if (fails) throw new Error("mine");
    return scale(x);
  });
  expect(() => t()).toThrow("mine");
  fails = false;
  t();
  expect(t.globalVariables().length).toBe(1);
});

test("a template's custom getter goes for its variables", () => {
  const g = graph();
  const freezes: CustomGetter = (getter, name, options) => getter(name, { ...options, trainable: false });
  const t = makeTemplate(g, "frozen", scale, { customGetter: freezes });
  t(input(g));
  expect(t.globalVariables().length).toBe(1);
  expect(t.trainableVariables()).toEqual([]);
});
