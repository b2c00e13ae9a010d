import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toNumbers, type VarscopeError } from "../../base/index.ts";
import { saveCheckpoint } from "../../formats/checkpoint/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import {
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  variableScope,
  zerosInitializer,
} from "../../variables/index.ts";
import {
  explainRestore,
  formatRestoreReport,
  initFromCheckpoint,
  type SaveableObject,
  saver,
} from "../index.ts";

let dir: string;
let path: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "report-"));
  path = join(dir, "old");
  let next = 1;
  const filled = (name: string, shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, () => next++);
    return { name, tensor: { dtype: "float32" as const, shape, data } };
  };
  await saveCheckpoint(path, [
    filled("conv1/weights", [1, 2]),
    filled("conv1/biases", [2]),
    filled("conv1/BatchNorm/moving_mean", [2]),
    filled("head/w", [3]),
    filled("same", [2]),
    filled("spare", [5]),
  ]);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** A graph of later code: other words and scopes for the same, a head of another size, one variable that is new. */
function later(): Graph {
  const g = new Graph(CORE_OPS);
  const zeros = (name: string, shape: readonly number[]): void => {
    getVariable(g, name, { shape, initializer: zerosInitializer() });
  };
  variableScope(g, "conv1", {}, () => {
    zeros("kernel", [1, 2]);
    zeros("bias", [2]);
    zeros("bn/moving_mean", [2]);
  });
  zeros("head/w", [4]);
  zeros("same", [2]);
  zeros("fresh/q", [7]);
  return g;
}

const valuesOf = async (session: Session): Promise<Record<string, number[]>> => {
  const all = globalVariables(session.graph);
  const values = await session.run(all.map((v) => v.snapshot));
  return Object.fromEntries(all.map((v, i) => [v.op.name, toNumbers(values[i]!)]));
};

async function opened(): Promise<{ g: Graph; session: Session }> {
  const g = later();
  const session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  return { g, session };
}

const RENAMES = {
  "conv1/BatchNorm/moving_mean": "conv1/bn/moving_mean",
  "conv1/biases": "conv1/bias",
  "conv1/weights": "conv1/kernel",
  same: "same",
};

describe("explainRestore", () => {
  test("tells a graph from a checkpoint, with suggested renames", async () => {
    const report = await explainRestore(later(), path);
    expect(report.matched).toEqual([{ name: "same", key: "same" }]);
    expect(report.mismatched).toEqual([
      { name: "head/w", key: "head/w", what: "float32 [4] here, float32 [3] in the checkpoint" },
    ]);
    expect(report.missing.map(({ name }) => name)).toEqual([
      "conv1/bias",
      "conv1/bn/moving_mean",
      "conv1/kernel",
      "fresh/q",
    ]);
    const [bias, , kernel, q] = report.missing;
    expect(bias!.near).toEqual(["conv1/biases"]);
    expect(kernel!.fitting).toEqual(["conv1/weights"]);
    expect(q!.fitting).toEqual([]);
    expect(report.unused).toEqual(["conv1/BatchNorm/moving_mean", "conv1/biases", "conv1/weights", "spare"]);
    expect(report.assignmentMap).toEqual(RENAMES);
  });

  test("its map goes into initFromCheckpoint as it is", async () => {
    const { g, session } = await opened();
    const { assignmentMap } = await explainRestore(g, path);
    expect(await initFromCheckpoint(g, path, assignmentMap)).toHaveLength(4);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    expect(await valuesOf(session)).toMatchObject({
      "conv1/kernel": [1, 2],
      same: [10, 11],
      "fresh/q": Array(7).fill(0),
    });
    await session.close();
  });

  test("its text has the nearest keys, candidates of the same shape, and the map", async () => {
    expect(formatRestoreReport(await explainRestore(later(), path))).toBe(`1 of 6 variables are in ${path}
missing: no key 'conv1/bias'; near: conv1/biases; same shape: conv1/BatchNorm/moving_mean, conv1/biases
missing: no key 'conv1/bn/moving_mean'; near: conv1/BatchNorm/moving_mean; same shape: conv1/BatchNorm/moving_mean, conv1/biases
missing: no key 'conv1/kernel'; near: conv1/weights; same shape: conv1/weights
missing: no key 'fresh/q'
differs: head/w: float32 [4] here, float32 [3] in the checkpoint
unused: conv1/BatchNorm/moving_mean, conv1/biases, conv1/weights, spare
assignment map: ${JSON.stringify(
      {
        same: "same",
        "conv1/biases": "conv1/bias",
        "conv1/BatchNorm/moving_mean": "conv1/bn/moving_mean",
        "conv1/weights": "conv1/kernel",
      },
      null,
      2,
    )}`);
  });

  test("10,000 variables against 10,000 others take no square of time", async () => {
    const value = { dtype: "float32" as const, shape: [1], data: new Float32Array(1) };
    const many = join(dir, "many");
    const numbers = Array.from({ length: 10_000 }, (_, i) => i);
    await saveCheckpoint(
      many,
      numbers.map((i) => ({ name: `old_${i}/value`, tensor: value })),
    );
    const objects = numbers.map((i): SaveableObject => {
      const name = `new_${i}/w`;
      const absent = (): never => {
        throw new Error("no graph here");
      };
      const facts = { dtype: "float32" as const, shape: [1], slice: "", device: "" };
      return { name, specs: [{ ...facts, name, tensor: absent }], restore: absent };
    });
    const report = await explainRestore(objects, many);
    expect([report.missing.length, report.unused.length]).toEqual([10_000, 10_000]);
  }, 20_000);

  test("names that objects have by nature are names", async () => {
    const g = new Graph(CORE_OPS);
    getVariable(g, "constructor", { shape: [1] });
    const odd = join(dir, "odd");
    const value = { dtype: "float32" as const, shape: [1], data: new Float32Array(1) };
    await saveCheckpoint(odd, [
      { name: "__proto__", tensor: value },
      { name: "constructor", tensor: value },
    ]);
    const report = await explainRestore(g, odd);
    expect(Object.entries(report.assignmentMap)).toEqual([["constructor", "constructor"]]);
    expect(report.unused).toEqual(["__proto__"]);
  });

  test("long lists are cut", async () => {
    const g = new Graph(CORE_OPS);
    for (let i = 0; i < 30; i++) getVariable(g, `layer_${i}/w`, { shape: [i + 10] });
    const text = formatRestoreReport(await explainRestore(g, path));
    expect(text.split("\n").length).toBeLessThan(30);
    expect(text).toContain("... and 10 more");
  });
});

describe("restore", () => {
  test("with partial gives values to what matches, tells the rest, and leaves that as it was", async () => {
    const { g, session } = await opened();
    const report = await saver(g).restore(session, path, { partial: true });
    expect(report.matched).toEqual([{ name: "same", key: "same" }]);
    expect(report.mismatched.map(({ name }) => name)).toEqual(["head/w"]);
    expect(report.missing).toHaveLength(4);
    expect(await valuesOf(session)).toMatchObject({
      same: [10, 11],
      "head/w": [0, 0, 0, 0],
      "conv1/kernel": [0, 0],
    });
    await session.close();
  });

  test("with partial and the suggested map gives values over renames", async () => {
    const { g, session } = await opened();
    const { assignmentMap } = await explainRestore(g, path);
    const report = await saver(g).restore(session, path, { partial: true, assignmentMap });
    expect(report.matched).toHaveLength(4);
    expect(await valuesOf(session)).toMatchObject({
      "conv1/kernel": [1, 2],
      "conv1/bias": [3, 4],
      "fresh/q": Array(7).fill(0),
    });
    await session.close();
  });

  test("with a map alone wants all, from other keys", async () => {
    const g = new Graph(CORE_OPS);
    getVariable(g, "mine", { shape: [2], initializer: zerosInitializer() });
    getVariable(g, "same", { shape: [2], initializer: zerosInitializer(), useResource: true });
    await using session = new Session(g);
    const report = await saver(g).restore(session, path, { assignmentMap: { "conv1/biases": "mine" } });
    expect(await valuesOf(session)).toEqual({ mine: [3, 4], same: [10, 11] });
    expect(report.missing).toEqual([]);
    expect(report.unused).toContain("spare");
  });

  test("that fails explains itself and changes nothing", async () => {
    const { g, session } = await opened();
    const e: VarscopeError = await saver(g)
      .restore(session, path)
      .then(
        () => Promise.reject(new Error("it was restored")),
        (thrown) => thrown,
      );
    expect(e.code).toBe("NOT_FOUND");
    const [wayOut, ...report] = e.hint!.split("\n");
    expect(wayOut).toMatch(/^restore what matches with \{ partial: true \}, /);
    expect(report.join("\n")).toBe(formatRestoreReport(await explainRestore(g, path)));
    expect(
      Object.values(await valuesOf(session))
        .flat()
        .every((x) => x === 0),
    ).toBe(true);
    await session.close();
  });

  test("that reshapes matches by the number of elements", async () => {
    const g = new Graph(CORE_OPS);
    getVariable(g, "conv1/weights", { shape: [2, 1], initializer: zerosInitializer() });
    getVariable(g, "spare", { shape: [2, 2], initializer: zerosInitializer() });
    await using session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const report = await saver(g, { reshape: true }).restore(session, path, { partial: true });
    expect(report.matched.map(({ key }) => key)).toEqual(["conv1/weights"]);
    expect(report.mismatched.map(({ key }) => key)).toEqual(["spare"]);
    expect(await valuesOf(session)).toEqual({ "conv1/weights": [1, 2], spare: [0, 0, 0, 0] });
    expect((await explainRestore(g, path, { reshape: true })).matched).toEqual(report.matched);
  });
});
