import { expect, test } from "vitest";
import { Graph, type Operation, type Output } from "../graph/index.ts";
import { batchNormalization, dense } from "../layers/index.ts";
import { CORE_OPS, placeholder, reduceMean, square } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { gradientDescentOptimizer } from "../train/index.ts";
import {
  AUTO_REUSE,
  globalVariables,
  globalVariablesInitializer,
  trainableVariables,
  updateOps,
  variableScope,
} from "./index.ts";

/** A generator, and a discriminator applied to real and to made samples. */
function gan(g: Graph, training: boolean | Output = true) {
  const net = (name: string, x: Output): Output =>
    variableScope(g, name, { reuse: AUTO_REUSE }, () =>
      dense(batchNormalization(dense(x, 3, { name: "a" }), { training, name: "bn" }), 2, { name: "b" }),
    );
  const z = placeholder(g, "float32", { shape: [null, 2], name: "z" });
  const real = placeholder(g, "float32", { shape: [null, 2], name: "real" });
  const fake = net("G", z);
  const [onReal, onFake] = [net("D", real), net("D", fake)];
  return { z, real, onReal, onFake };
}

const step = (g: Graph, loss: Output, scope: string, updates: readonly Operation[]): Operation =>
  g.controlDependencies(updates, () =>
    gradientDescentOptimizer({ learningRate: 0.1 }).minimize(reduceMean(square(loss)), {
      varList: trainableVariables(g, scope),
    }),
  );

const Z = {
  "z:0": [
    [1, 2],
    [3, 5],
    [0, 1],
  ],
};

test("update ops are found by the variables they change, whatever their own names are", () => {
  const g = new Graph(CORE_OPS);
  gan(g);
  expect(updateOps(g).length).toBe(6);
  expect(updateOps(g, { scope: "D/" }).map((op) => op.name)).toEqual([
    "D/bn/AssignMovingAvg",
    "D/bn/AssignMovingAvg_1",
    "D_1/bn/AssignMovingAvg",
    "D_1/bn/AssignMovingAvg_1",
  ]);
});

test("behind a conditional too", () => {
  const g = new Graph(CORE_OPS);
  gan(g, placeholder(g, "bool", { shape: [], name: "training" }));
  expect(updateOps(g, { scope: "D/" }).length).toBe(4);
  expect(updateOps(g, { scope: "G/" }).length).toBe(2);
});

test("and by the placeholders they need", () => {
  const g = new Graph(CORE_OPS);
  const { z, real } = gan(g);
  const names = (feeds: Output[]) => updateOps(g, { feeds, scope: "D/" }).map((op) => op.name);
  expect(names([z])).toEqual(["D_1/bn/AssignMovingAvg", "D_1/bn/AssignMovingAvg_1"]);
  expect(names([z, real]).length).toBe(4);
  expect(names([])).toEqual([]);
});

test("trap A3.3: with all update ops the generator's step asks for real samples; with its own it does not, and leaves the discriminator's statistics as they are", async () => {
  const g = new Graph(CORE_OPS);
  const { onFake } = gan(g);
  const careless = step(g, onFake, "G/", updateOps(g));
  const careful = step(g, onFake, "G/", updateOps(g, { scope: "G/" }));
  const init = globalVariablesInitializer(g);
  const [mine, others] = ["G/bn/moving_", "D/"].map((scope) => globalVariables(g, scope));
  const warnings: string[] = [];
  await using session = new Session(g, { warn: (message) => warnings.push(message) });
  await session.run([], { targets: [init] });
  await expect(session.run([], { targets: [careless], feeds: Z })).rejects.toThrow(
    "You must feed a value for placeholder tensor 'real' with dtype float and shape [?,2]",
  );
  const before = await session.run([mine!, others!]);
  await session.run([], { targets: [careful], feeds: Z });
  const after = await session.run([mine!, others!]);
  expect(after[1]).toEqual(before[1]);
  expect(after[0]).not.toEqual(before[0]);
  expect(warnings).toEqual([]);
});

test("a step that trains a layer and forgets its updates is warned of, other layers' updates are not missed", async () => {
  const g = new Graph(CORE_OPS);
  const { onReal } = gan(g);
  const forgetful = step(g, onReal, "D/", []);
  const init = globalVariablesInitializer(g);
  const warnings: string[] = [];
  await using session = new Session(g, { warn: (message) => warnings.push(message) });
  await session.run([], { targets: [init] });
  await session.run([], { targets: [forgetful], feeds: { "real:0": Z["z:0"] } });
  expect(warnings).toEqual([expect.stringMatching(/leaves out 2 update ops .*\(D\/bn\/AssignMovingAvg/)]);
});
