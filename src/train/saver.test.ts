import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { latestCheckpoint } from "../formats/checkpoint/index.ts";
import { readMetaGraph } from "../formats/meta-graph/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import {
  getOrCreateGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  type Variable,
  variableFromProto,
} from "../variables/index.ts";
import { saver } from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "saver-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A graph with a reference `w` and a resource `r`. */
function model(shape: number[] = [2]): { g: Graph; w: Variable; r: Variable } {
  const g = new Graph(CORE_OPS);
  const fill = (g2: Graph, dims: readonly number[]) => g2.constant(3, { shape: dims });
  const w = getVariable(g, "w", { shape, initializer: fill });
  const r = getVariable(g, "r", { shape: [], initializer: fill, useResource: true });
  return { g, w, r };
}

async function trained(): Promise<{ g: Graph; session: Session; save: ReturnType<typeof saver> }> {
  const { g, w, r } = model();
  const more = [w.assignAdd([1, 2]), r.assignAdd(5)] as const;
  const save = saver(g);
  const init = globalVariablesInitializer(g);
  const session = new Session(g);
  await session.run([], { targets: [init] });
  await session.run([...more]);
  return { g, session, save };
}

const values = async (session: Session): Promise<number[][]> =>
  (await session.run(globalVariables(session.graph).map((v) => v.snapshot))).map((t) => toNumbers(t));

describe("a checkpoint", () => {
  test("gives a new session its values back", async () => {
    const { session, save } = await trained();
    const path = await save.save(session, join(dir, "m"));
    expect(path).toBe(join(dir, "m"));
    const other = model();
    await using fresh = new Session(other.g);
    await saver(other.g).restore(fresh, path!);
    expect(await values(fresh)).toEqual([[4, 5], [8]]);
    expect(readdirSync(dir)).toEqual(["checkpoint", "m.data-00000-of-00001", "m.index", "m.meta"]);
  });

  test("has the graph beside it, whose saver restores it", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "m"), { globalStep: 7 });
    const file = join(dir, "m-7.meta");
    const meta = readMetaGraph(readFileSync(file), {
      registry: CORE_OPS,
      file,
      readVariable: variableFromProto,
    });
    await using fresh = new Session(meta.graph);
    await saver(meta.graph, { saverDef: meta.saverDef! }).restore(fresh, join(dir, "m-7"));
    expect(await values(fresh)).toEqual([[4, 5], [8]]);
  });

  test("is named by the step, padded on request", async () => {
    const { g, session } = await trained();
    const step = getOrCreateGlobalStep(g);
    await session.run([], { targets: [step.initializer] });
    const padded = saver(g, { padStepNumber: true, name: "padded" });
    expect(await padded.save(session, join(dir, "p"), { globalStep: step })).toBe(join(dir, "p-00000000"));
    expect(await padded.save(session, join(dir, "p"), { globalStep: 12 })).toBe(join(dir, "p-00000012"));
    expect(await latestCheckpoint(dir)).toBe(join(dir, "p-00000012"));
  });

  test("of another shape goes in where reshape says so", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "m"));
    const other = model([1, 2]);
    await using fresh = new Session(other.g);
    await saver(other.g, { reshape: true }).restore(fresh, join(dir, "m"));
    expect((await fresh.run(other.w.snapshot))?.shape).toEqual([1, 2]);
  });
});

describe("old checkpoints", () => {
  test("go when there are more than maxToKeep, and saving one anew makes it young", async () => {
    const { g, session } = await trained();
    const save = saver(g, { maxToKeep: 2, name: "two" });
    for (const step of [1, 2, 1, 3]) await save.save(session, join(dir, "m"), { globalStep: step });
    expect(save.lastCheckpoints()).toEqual([join(dir, "m-1"), join(dir, "m-3")]);
    expect(readdirSync(dir).filter((f) => f.startsWith("m-2"))).toEqual([]);
    const state = readFileSync(join(dir, "checkpoint"), "utf8");
    expect(state.match(/all_model_checkpoint_paths/g)?.length).toBe(2);
  });

  test.each([0, null])(
    "all stay with maxToKeep %s, and the state file names the newest",
    async (maxToKeep) => {
      const { g, session } = await trained();
      const save = saver(g, { maxToKeep, name: "all" });
      for (const globalStep of [1, 2, 3]) await save.save(session, join(dir, "m"), { globalStep });
      expect(readdirSync(dir).filter((f) => f.endsWith(".index")).length).toBe(3);
      const state = readFileSync(join(dir, "checkpoint"), "utf8");
      expect(state.match(/all_model_checkpoint_paths/g)?.length).toBe(1);
    },
  );

  test("one of each interval stays", async () => {
    const { g, session } = await trained();
    const save = saver(g, { maxToKeep: 1, keepCheckpointEveryNHours: 0, name: "keep" });
    for (const globalStep of [1, 2, 3]) await save.save(session, join(dir, "m"), { globalStep });
    expect(readdirSync(dir).filter((f) => f.endsWith(".index"))).toEqual([
      "m-1.index",
      "m-2.index",
      "m-3.index",
    ]);
  });

  test("of an earlier process count when they are recovered", async () => {
    const { g, session, save } = await trained();
    await save.save(session, join(dir, "m"), { globalStep: 1 });
    const next = saver(g, { maxToKeep: 1, name: "next" });
    await next.recoverLastCheckpoints([join(dir, "gone"), join(dir, "m-1")]);
    await next.save(session, join(dir, "m"), { globalStep: 2 });
    expect(readdirSync(dir).filter((f) => f.endsWith(".index"))).toEqual(["m-2.index"]);
  });
});

describe("what cannot be", () => {
  test("a checkpoint that is not there", async () => {
    const { session, save } = await trained();
    await expect(save.restore(session, join(dir, "nope"))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      what: `The passed save_path is not a valid checkpoint: ${join(dir, "nope")}`,
    });
    await expect(save.restore(session, null as never)).rejects.toThrow(
      "Can't load save_path when it is None.",
    );
  });

  test("a key that is missing, and nothing is changed", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "m"));
    const { g } = model();
    getVariable(g, "q", { shape: [1] });
    await using fresh = new Session(g);
    await fresh.run([], { targets: [globalVariablesInitializer(g)] });
    const before = await values(fresh);
    await expect(saver(g).restore(fresh, join(dir, "m"))).rejects.toMatchObject({
      code: "NOT_FOUND",
      what: expect.stringMatching(
        /^Restoring from checkpoint failed\. This is most likely due to a Variable name or other graph key that is missing from the checkpoint\. Please ensure that you have not altered the graph expected based on the checkpoint\. Original error:\n\nKey q not found in checkpoint/,
      ),
    });
    expect(await values(fresh)).toEqual(before);
  });

  test("another shape", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "m"));
    const { g } = model([3]);
    await using fresh = new Session(g);
    await expect(saver(g).restore(fresh, join(dir, "m"))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      what: expect.stringMatching(
        /a mismatch between the current graph and the graph from the checkpoint[\s\S]*lhs shape= ?\[3\] rhs shape= ?\[2\]/,
      ),
    });
  });

  test("variables without values", async () => {
    const { g } = model();
    await using fresh = new Session(g);
    await expect(saver(g).save(fresh, join(dir, "m"))).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(readdirSync(dir)).toEqual([]);
  });

  test("names that collide", async () => {
    const { session, save } = await trained();
    await expect(save.save(session, join(dir, "checkpoint"))).rejects.toThrow(
      /'latest_filename' collides with 'save_path'/,
    );
    await expect(save.save(session, join(dir, "m"), { latestFilename: "a/b" })).rejects.toThrow(
      /'latest_filename' must not contain path components/,
    );
  });

  test("nothing to save, or one variable twice", () => {
    expect(() => saver(new Graph(CORE_OPS))).toThrow("No variables to save");
    expect(saver(new Graph(CORE_OPS), { allowEmpty: true }).saverDef).toBeNull();
    const { g, w } = model();
    expect(() => saver(g, { varList: [w, w] })).toThrow("At least two variables have the same name: w");
    expect(() => saver(g, { varList: { a: w, b: w } })).toThrow(
      /The same saveable will be restored with two names: b/,
    );
    expect(() => saver(g, { varList: [3 as never] })).toThrow("Variable to save is not a Variable: 3");
  });
});
