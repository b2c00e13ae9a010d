import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { model, trained, values } from "../../tests/fixtures/saver.ts";
import { toNumbers } from "../base/index.ts";
import { checkpointExists, latestCheckpoint, listVariables } from "../formats/checkpoint/index.ts";
import { readMetaGraph } from "../formats/meta-graph/index.ts";
import type { Operation, Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { MetaGraphDefSchema } from "../proto/meta-graph.gen.ts";
import { Session } from "../run/index.ts";
import {
  GraphKeys,
  getOrCreateGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  variableFromProto,
} from "../variables/index.ts";
import { Checkpoint, type SaveableObject, saver } from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "saver-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

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

  test("leaves out the graph's defaults on request", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "m"), { globalStep: 1 });
    await save.save(session, join(dir, "m"), { globalStep: 2, stripDefaultAttrs: true });
    const [whole, stripped] = [1, 2].map((step) => readFileSync(join(dir, `m-${step}.meta`)));
    const attrs = (bytes: Uint8Array): string[] =>
      Object.keys(fromBinary(MetaGraphDefSchema, bytes).graphDef!.node.find((n) => n.name === "w")!.attr);
    expect(attrs(whole!)).toContain("container");
    expect(attrs(stripped!)).toEqual(attrs(whole!).filter((key) => !/^(container|shared_name)$/.test(key)));
    const meta = readMetaGraph(stripped!, { registry: CORE_OPS, readVariable: variableFromProto });
    expect(meta.info.strippedDefaultAttrs).toBe(true);
    await using fresh = new Session(meta.graph);
    await saver(meta.graph, { saverDef: meta.saverDef! }).restore(fresh, join(dir, "m-2"));
    expect(await values(fresh)).toEqual([[4, 5], [8]]);
  });

  test("is named by the step, padded on request", async () => {
    const { g, session } = await trained();
    const step = getOrCreateGlobalStep(g);
    await session.run([], { targets: [step.initializer] });
    const padded = saver(g, { padStepNumber: true, name: "padded" });
    expect(await padded.save(session, join(dir, "p"), { globalStep: step })).toBe(join(dir, "p-00000000"));
    expect(await padded.save(session, join(dir, "p"), { globalStep: step.name })).toBe(
      join(dir, "p-00000000"),
    );
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

/** TensorFlow's own sentences for the same mistakes: tools/goldens/savers.py. */
describe("what is damaged", () => {
  test("a shard that is missing fails the restore, though the checkpoint seems to be there", async () => {
    const { session, save } = await trained();
    const path = (await save.save(session, join(dir, "m")))!;
    rmSync(`${path}.data-00000-of-00001`);
    expect(await checkpointExists(path)).toBe(true);
    const before = await values(session);
    await expect(save.restore(session, path)).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await values(session)).toEqual(before);
  });
});

describe("beside variables", () => {
  test("saveable objects of the collection are saved and restored", async () => {
    const { g } = model();
    const position = getVariable(g, "hidden", {
      initializer: [1, 2],
      collections: [GraphKeys.LOCAL_VARIABLES],
      trainable: false,
    });
    const pipeline: SaveableObject = {
      name: "pipeline",
      specs: ["x", "y"].map((name, i) => ({
        name: `pipeline/${name}`,
        slice: "",
        dtype: "float32",
        shape: [],
        device: "",
        tensor: () => {
          const at = (value: number): Output => g.constant(value, { dtype: "int32" });
          return g.add("GatherV2", [position.snapshot, at(i), at(0)]);
        },
      })),
      restore: (tensors) => position.assign(g.add("Pack", [[...tensors]]), { readValue: false }) as Operation,
    };
    g.addToCollection("saveable_objects", pipeline);
    const save = saver(g);
    await using session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g), position.initializer] });
    await save.save(session, join(dir, "m"));
    expect((await listVariables(join(dir, "m"))).map(([name]) => name)).toEqual([
      "pipeline/x",
      "pipeline/y",
      "r",
      "w",
    ]);
    await session.run(position.assign([8, 9]) as Output);
    const report = await save.restore(session, join(dir, "m"));
    expect(toNumbers(await session.run(position.snapshot))).toEqual([1, 2]);
    expect(report.matched.map(({ key }) => key)).toEqual(["pipeline/x", "pipeline/y", "r", "w"]);
  });

  test("an object-based checkpoint is restored by the variables' names, without new nodes", async () => {
    const { session } = await trained();
    const [r, w] = globalVariables(session.graph).reverse();
    await new Checkpoint({ deep: { w, list: [r] } }).write(session, join(dir, "objects"));
    const { g } = model();
    const save = saver(g);
    g.finalize();
    await using fresh = new Session(g);
    const report = await save.restore(fresh, join(dir, "objects"));
    expect(await values(fresh)).toEqual([[4, 5], [8]]);
    expect(report.matched).toContainEqual({ name: "w", key: "deep/w/.ATTRIBUTES/VARIABLE_VALUE" });
  });

  test("a saver waits for its variables until build, and takes nodes under another scope", async () => {
    const { g } = model();
    const waiting = saver(g, { deferBuild: true });
    expect(waiting.saverDef).toBeNull();
    getVariable(g, "late", { initializer: [7] });
    waiting.build();
    await using session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const path = await waiting.save(session, join(dir, "m"));
    expect((await listVariables(path!)).map(([name]) => name)).toEqual(["late", "r", "w"]);
    const placed = saver(g, { saverDef: waiting.saverDef!, name: "imp" });
    expect(placed.saverDef).toMatchObject({
      filenameTensorName: "imp/save/Const:0",
      restoreOpName: "imp/save/restore_all",
    });
  });

  test.each(["m-7", "m-7.index", "m-7.data-00000-of-00001", "m-7.meta", ".", "checkpoint"])(
    "restore takes %s for the checkpoint",
    async (path) => {
      const { session, save } = await trained();
      await save.save(session, join(dir, "m"), { globalStep: 7 });
      const { g } = model();
      await using fresh = new Session(g);
      expect((await saver(g).restore(fresh, join(dir, path))).path).toBe(join(dir, "m-7"));
      expect(await values(fresh)).toEqual([[4, 5], [8]]);
    },
  );

  test("a folder that is not there is made, one of two is not", async () => {
    const { session, save } = await trained();
    expect(await save.save(session, join(dir, "nodir", "x"))).toBe(join(dir, "nodir", "x"));
    await expect(save.save(session, join(dir, "no", "such", "x"))).rejects.toThrow(/Parent directory of/);
  });

  test("local variables are left alone", async () => {
    const { g } = model();
    const local = getVariable(g, "local", { initializer: 1, collections: [GraphKeys.LOCAL_VARIABLES] });
    const save = saver(g);
    await using session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g), local.initializer] });
    await save.save(session, join(dir, "m"));
    await session.run(local.assign(5) as Output);
    await save.restore(session, join(dir, "m"));
    expect(toNumbers(await session.run(local.snapshot))).toEqual([5]);
    expect((await listVariables(join(dir, "m"))).map(([name]) => name)).toEqual(["r", "w"]);
  });
});
