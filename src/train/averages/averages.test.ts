import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toNumbers } from "../../base/index.ts";
import { type Graph, group, type Operation, type Output } from "../../graph/index.ts";
import { newGraph } from "../../ops/index.ts";
import { Session, variableKey } from "../../run/index.ts";
import {
  ExponentialMovingAverage,
  getOrCreateGlobalStep,
  getVariable,
  getVariableScope,
  globalVariables,
  globalVariablesInitializer,
  movingAverageVariables,
  type Variable,
  variableScope,
  writeVariable,
} from "../../variables/index.ts";
import { adamOptimizer } from "../adam.ts";
import { saver } from "../saver.ts";
import { sessionMean, stochasticWeightAverage, swapAverages, withAverages } from "./index.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "varscope-averages-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** w goes 1, 2, 3, ... under an EMA that forgets half a step; `moving` has no average. */
async function model(resource = false) {
  const g = newGraph();
  getVariableScope(g).useResource = resource;
  const w = getVariable(g, "w", { initializer: [1, -1] });
  const moving = getVariable(g, "moving", { initializer: [7], trainable: false });
  const step = writeVariable(w, "add", [1, 1]).op;
  const ema = new ExponentialMovingAverage(0.5);
  const train = g.controlDependencies([step], () => ema.apply(g));
  const session = await started(g);
  return { g, w, moving, ema, train, step, session };
}

async function started(g: Graph): Promise<Session> {
  const init = globalVariablesInitializer(g);
  const session = new Session(g);
  await session.run([], { targets: [init] });
  return session;
}

const read = async (session: Session, v: Variable | Output): Promise<number[]> =>
  toNumbers(await session.run("snapshot" in v ? v.snapshot : v));

describe("ExponentialMovingAverage", () => {
  test.each([false, true])(
    "apply after the train op averages what the step left (resource %s)",
    async (resource) => {
      const { w, ema, train, session } = await model(resource);
      await session.run([], { targets: [train] });
      expect(await read(session, w)).toEqual([2, 0]);
      expect(await read(session, ema.average(w)!)).toEqual([1.5, -0.5]);
      await session.close();
    },
  );

  test("num_updates 0, 1, 10 give decays 0.1, 0.1818, 0.55, and never more than the decay", async () => {
    const g = newGraph();
    const n = g.add("Placeholder", [], { name: "n", attrs: { dtype: "int64", shape: { dims: [] } } });
    const w = getVariable(g, "w", { initializer: 0 });
    new ExponentialMovingAverage(0.9, { numUpdates: n }).apply([w]);
    const session = await started(g);
    const decay = g.output("ExponentialMovingAverage/Minimum:0");
    const got = await Promise.all(
      [0, 1, 10, 1000].map((k) => session.run(decay, { feeds: { n: BigInt(k) } })),
    );
    const rounded = got.flatMap((t) => toNumbers(t)).map((x) => Math.round(x * 1e4) / 1e4);
    expect(rounded).toEqual([0.1, 0.1818, 0.55, 0.9]);
    await session.close();
  });

  test("num_updates goes on after a restore, where it is the global step", async () => {
    const g = newGraph();
    const step = getOrCreateGlobalStep(g);
    const w = getVariable(g, "w", { initializer: 0 });
    new ExponentialMovingAverage(0.9, { numUpdates: step }).apply([w]);
    const decay = g.output("ExponentialMovingAverage/Minimum:0");
    const save = saver(g);
    const session = await started(g);
    expect(await read(session, decay)).toEqual([expect.closeTo(0.1, 6)]);
    await session.run(step.assign(8n) as Output);
    const path = (await save.save(session, join(folder, "counted")))!;
    await using later = new Session(g);
    await save.restore(later, path);
    expect(await read(later, decay)).toEqual([0.5]);
    await session.close();
  });

  test("apply of a graph takes its trainable variables alone: no slots, no counters", async () => {
    const g = newGraph();
    const w = getVariable(g, "w", { initializer: [3, 4] });
    const loss = g.add("Sum", [g.add("Square", [w.value()]), g.constant([0], { dtype: "int32" })]);
    const globalStep = getOrCreateGlobalStep(g);
    const step = adamOptimizer().minimize(loss, { globalStep });
    const ema = new ExponentialMovingAverage(0.9);
    g.controlDependencies([step], () => ema.apply(g));
    expect(ema.pairs().map(([v]) => v.op.name)).toEqual(["w"]);
    expect(globalVariables(g).map((v) => v.op.name)).toContain("w/Adam");
  });

  test("only floats: integers are refused with TensorFlow's sentence, and nothing is no list", () => {
    const g = newGraph();
    const i = getVariable(g, "i", { initializer: g.constant(1, { dtype: "int32" }), trainable: false });
    const ema = new ExponentialMovingAverage(0.5);
    expect(() => ema.apply([i])).toThrow("The variables must be half, float, or double: i:0");
    expect(() => ema.apply([])).toThrow("nothing to average");
  });

  test("the collection moving_average_variables holds the originals, not the shadows; outputs have no place in it", async () => {
    const { g, w, ema, session } = await model();
    ema.apply([g.constant([1])]);
    expect(movingAverageVariables(g)).toEqual([w]);
    await session.close();
  });

  test("average is null and averageName the name to come, for what is not tracked", async () => {
    const { w, moving, ema, session } = await model();
    expect(ema.average(moving)).toBeNull();
    expect(ema.averageName(moving)).toBe("moving/ExponentialMovingAverage");
    expect(ema.averageName(w)).toBe("w/ExponentialMovingAverage");
    await session.close();
  });

  test("inside a scope a shadow's name begins with the scope again: a/a/w/E, and a second object's ends in _1", () => {
    const g = newGraph();
    const names = variableScope(g, "a", {}, () => {
      const w = getVariable(g, "w", { initializer: 1 });
      return [1, 2].map(() => {
        const e = new ExponentialMovingAverage(0.5, { name: "E" });
        e.apply([w]);
        return e.averageName(w);
      });
    });
    expect(names).toEqual(["a/a/w/E", "a/a/w/E_1"]);
  });

  test("an average built under control dependencies, of variables that need others, is initialised in one run", async () => {
    const g = newGraph();
    const a = getVariable(g, "net/gamma", { initializer: [1, 2] });
    const b = getVariable(g, "b", { initializer: g.add("Mul", [a.value(), 2]) });
    const ema = new ExponentialMovingAverage(0.5);
    g.controlDependencies([writeVariable(a, "add", [1, 1]).op], () => ema.apply([a, b]));
    const session = await started(g);
    expect(await read(session, ema.average(a)!)).toEqual([1, 2]);
    expect(await read(session, ema.average(b)!)).toEqual([2, 4]);
    await session.close();
  });

  test("a shadow made late starts at the variable's value of then, where it is initialised after a restore", async () => {
    const { g, w, session } = await model();
    await session.run(w.assign([5, 6]) as Output);
    const late = new ExponentialMovingAverage(0.5, { name: "Late" });
    late.apply([w]);
    await session.run([], { targets: [late.average(w)!.initializer] });
    expect(await read(session, late.average(w)!)).toEqual([5, 6]);
    expect(globalVariables(g)).toHaveLength(4);
    await session.close();
  });

  test("variablesToRestore maps all trainable variables, averaged or not: a checkpoint without their averages fails to restore", async () => {
    const { g, ema, train, session } = await model();
    const other = getVariable(g, "net/f", { initializer: 1 });
    await session.run([], { targets: [other.initializer, train] });
    const all = saver(g);
    const path = (await all.save(session, join(folder, "partly")))!;
    expect(Object.keys(ema.variablesToRestore(g)).sort()).toEqual([
      "moving",
      "net/f/ExponentialMovingAverage",
      "w/ExponentialMovingAverage",
    ]);
    const broken = saver(g, { varList: ema.variablesToRestore(g) });
    await expect(broken.restore(session, path)).rejects.toThrow(
      /Key net\/f\/ExponentialMovingAverage not found in checkpoint/,
    );
    const cure = saver(g, { varList: ema.variablesToRestore(g, movingAverageVariables(g)) });
    await cure.restore(session, path);
    await session.close();
  });

  test("restoring by variablesToRestore puts the averages into the variables; what has no average comes raw", async () => {
    const { g, w, moving, ema, train, session } = await model();
    await session.run([], { targets: [train] });
    const path = (await saver(g).save(session, join(folder, "whole")))!;
    await using evaluation = new Session(g);
    await saver(g, { varList: ema.variablesToRestore(g) }).restore(evaluation, path);
    expect(await read(evaluation, w)).toEqual([1.5, -0.5]);
    expect(await read(evaluation, moving)).toEqual([7]);
    await session.close();
  });
});

describe("averages in place of the values", () => {
  const bits = (session: Session): Record<string, unknown> =>
    Object.fromEntries(
      globalVariables(session.graph).map((v) => [
        v.op.name,
        [...(session.variables.get(variableKey(v.op))!.data as Float32Array)],
      ]),
    );

  test.each([false, true])(
    "swap in and out is exact to the bit, shadows too (resource %s)",
    async (resource) => {
      const { w, ema, train, session } = await model(resource);
      for (let i = 0; i < 3; i++) await session.run([], { targets: [train] });
      const before = bits(session);
      const restore = swapAverages(session, ema);
      expect(await read(session, w)).toEqual(await read(session, ema.average(w)!));
      expect(await read(session, w)).not.toEqual(before.w);
      restore();
      restore();
      expect(bits(session)).toEqual(before);
      await session.run([], { targets: [train] });
      expect(await read(session, w)).toEqual([5, 3]);
      await session.close();
    },
  );

  test("withAverages gives the values back when its body throws, and undoes a training step in between", async () => {
    const { w, ema, train, step, session } = await model();
    await session.run([], { targets: [train] });
    const inside = await withAverages(session, ema, () => read(session, w));
    expect(inside).toEqual([1.5, -0.5]);
    const failing = withAverages(session, ema, async () => {
      await session.run([], { targets: [step] });
      throw new Error("stop");
    });
    await expect(failing).rejects.toThrow("stop");
    expect(await read(session, w)).toEqual([2, 0]);
    await session.close();
  });

  test("averages without values are refused, and nothing changes", async () => {
    const { w, session } = await model();
    const late = new ExponentialMovingAverage(0.5, { name: "Late" });
    late.apply([w]);
    expect(() => swapAverages(session, late)).toThrow(/Attempting to use uninitialized value w\/Late/);
    expect(await read(session, w)).toEqual([1, -1]);
    await session.close();
  });
});

describe("stochastic weight averaging", () => {
  const W = [
    [2, 0],
    [3, 1],
    [4, 2],
  ];
  const mean = [3, 1];

  test.each([false, true])(
    "the mean in variables is that of the weights taken (resource %s)",
    async (resource) => {
      const { g, w, step, session } = await model(resource);
      const swa = stochasticWeightAverage([w]);
      const init = group(g, [
        swa.count.initializer,
        ...[...swa.pairs()].map(([, m]) => m.initializer),
      ] as Operation[]);
      await session.run([], { targets: [init] });
      for (const want of W) {
        await session.run([], { targets: [step] });
        await session.run([], { targets: [swa.update] });
        expect(await read(session, w)).toEqual(want);
      }
      expect(
        globalVariables(g)
          .map((v) => v.op.name)
          .slice(-2),
      ).toEqual(["StochasticWeightAverage/count", "w/StochasticWeightAverage"]);
      expect(await withAverages(session, swa, () => read(session, w))).toEqual(mean);
      expect(await read(session, w)).toEqual(W[2]);
      expect(await read(session, swa.count)).toEqual([3]);
      await session.close();
    },
  );

  test("the mean beside a session is the same, and leaves no variables behind", async () => {
    const { g, w, step, session } = await model();
    const swa = sessionMean(session, [w]);
    expect(() => swa.swap()).toThrow("the mean has taken no weights yet");
    for (let i = 0; i < 3; i++) {
      await session.run([], { targets: [step] });
      swa.add();
    }
    const restore = swa.swap();
    expect(await read(session, w)).toEqual(mean);
    restore();
    expect(await read(session, w)).toEqual(W[2]);
    expect([swa.count, globalVariables(g).length]).toEqual([3, 3]);
    await session.close();
  });

  test("a counter has no mean", async () => {
    const g = newGraph();
    const n = getVariable(g, "n", { initializer: g.constant(1, { dtype: "int64" }), trainable: false });
    expect(() => stochasticWeightAverage([n])).toThrow(/a mean of int64 says nothing/);
    expect(() => sessionMean(new Session(g), [])).toThrow("nothing to average");
  });
});
