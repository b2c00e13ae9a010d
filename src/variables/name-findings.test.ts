import { expect, test } from "vitest";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { adamOptimizer } from "../train/index.ts";
import {
  addWith,
  getVariable,
  makeTemplate,
  nameFindings,
  onesInitializer,
  variable,
  variableScope,
} from "./index.ts";

const one = { shape: [1], initializer: onesInitializer() };
const found = (g: Graph) => nameFindings(g).map(({ kind, asked, got }) => `${kind} ${asked}: ${got}`);

test("a graph whose names are as asked for has no findings", () => {
  const g = new Graph(CORE_OPS);
  variableScope(g, "s", {}, () => {
    const w = getVariable(g, "w_1", one);
    adamOptimizer().minimize(addWith(g, "Square", [w]));
  });
  variableScope(g, "aux", { auxiliaryNameScope: false }, () => getVariable(g, "w", one));
  makeTemplate(g, "t", () => getVariable(g, "w", one), { createScopeNow: true })();
  expect(nameFindings(g)).toEqual([]);
});

test("getVariable after a variable of the same name: the checkpoint knows it by another", () => {
  const g = new Graph(CORE_OPS);
  variableScope(g, "vs", {}, () => {
    variable(g, 1, { name: "w" });
    getVariable(g, "w", one);
  });
  expect(found(g)).toEqual(["variable vs/w: vs/w_1"]);
  expect(nameFindings(g)[0]).toMatchObject({
    text: "getVariable of 'vs/w' made 'vs/w_1', because 'vs/w' is another VariableV2: checkpoints know it as 'vs/w_1', getVariable as 'vs/w'",
  });
});

test("two variables of one name, or of names that differ in case alone", () => {
  const g = new Graph(CORE_OPS);
  variable(g, 1, { name: "w" });
  variable(g, 1, { name: "w" });
  variable(g, 1, { name: "W" });
  expect(found(g)).toEqual(["variable w: w_1", "variable W: W_2"]);
});

test("a scope entered again: its ops are elsewhere than its variables", () => {
  const g = new Graph(CORE_OPS);
  for (const reuse of [false, true]) variableScope(g, "D", { reuse }, () => getVariable(g, "w", one));
  expect(found(g)).toEqual(["scope D: D_1"]);
});
