/** Checkpoints in several files: of devices, and of partitioned variables. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { values } from "../../tests/fixtures/saver.ts";
import { type Tensor, toNumbers } from "../base/index.ts";
import {
  latestCheckpoint,
  listVariables,
  loadVariable,
  openCheckpoint,
} from "../formats/checkpoint/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import {
  constantInitializer,
  fixedSizePartitioner,
  type GetVariableOptions,
  getVariable,
  globalVariablesInitializer,
  type PartitionedVariable,
  type Variable,
} from "../variables/index.ts";
import { momentumOptimizer, saver } from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "saver-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe("sharded", () => {
  async function onDevices() {
    const g = new Graph(CORE_OPS);
    const fill = (n: number) => ({ initializer: constantInitializer(n), shape: [n] });
    g.withDevice("/cpu:0", () => getVariable(g, "a", fill(1)));
    g.withDevice("/job:ps/task:1", () => getVariable(g, "b", { ...fill(2), useResource: true }));
    getVariable(g, "c", fill(3));
    const session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    return { g, session };
  }

  test("V2 has one shard for each device and one index, and nothing temporary stays", async () => {
    const { g, session } = await onDevices();
    const save = saver(g, { sharded: true });
    expect(await save.save(session, join(dir, "m"), { writeMetaGraph: false })).toBe(join(dir, "m"));
    expect(readdirSync(dir)).toEqual([
      "checkpoint",
      "m.data-00000-of-00003",
      "m.data-00001-of-00003",
      "m.data-00002-of-00003",
      "m.index",
    ]);
    const other = await onDevices();
    await other.session.run([], { targets: [globalVariablesInitializer(other.g)] });
    await saver(other.g).restore(other.session, join(dir, "m"));
    expect(await values(other.session)).toEqual([[1], [2, 2], [3, 3, 3]]);
    await Promise.all([session.close(), other.session.close()]);
  });

  test("V1 is a file for each device, and its path the pattern of these files", async () => {
    const { g, session } = await onDevices();
    const save = saver(g, { sharded: true, writeVersion: 1 });
    const path = await save.save(session, join(dir, "v1"), { writeMetaGraph: false });
    expect(path).toBe(join(dir, "v1-?????-of-00003"));
    expect(readdirSync(dir).filter((file) => file.startsWith("v1"))).toEqual(
      [0, 1, 2].map((i) => `v1-0000${i}-of-00003`),
    );
    expect(await latestCheckpoint(dir)).toBe(path);
    const other = await onDevices();
    await using fresh = new Session(other.g);
    const report = await saver(other.g, { sharded: true }).restore(fresh, path!);
    expect(report.matched.map(({ key }) => key)).toEqual(["c", "a", "b"]);
    expect(await values(fresh)).toEqual([[1], [2, 2], [3, 3, 3]]);
    await Promise.all([session.close(), other.session.close()]);
  });
});

describe("partitioned variables", () => {
  const ten = Array.from({ length: 20 }, (_, i) => i);
  const emb = (g: Graph, parts: number, more: GetVariableOptions = {}) =>
    getVariable<Variable | PartitionedVariable>(g, "emb", {
      shape: [10, 2],
      initializer: (graph, shape) => graph.constant(0, { shape }),
      ...(parts === 0 ? {} : { partitioner: fixedSizePartitioner(parts) }),
      ...more,
    });

  test.each([1, 2] as const)(
    "are saved in slices and restored into other partitions, or none: V%s",
    async (writeVersion) => {
      const g = new Graph(CORE_OPS);
      const whole = emb(g, 3) as PartitionedVariable;
      const session = new Session(g);
      const rows = (x: Tensor) => toNumbers(x);
      await session.run(
        whole.assign({ dtype: "float32", shape: [10, 2], data: Float32Array.from(ten) }) as Output[],
      );
      const path = await saver(g, { writeVersion }).save(session, join(dir, "m"));
      expect(whole.parts.map((part) => part.shape![0])).toEqual([4, 3, 3]);
      for (const parts of [0, 5]) {
        const other = new Graph(CORE_OPS);
        const v = emb(other, parts);
        await using fresh = new Session(other);
        const report = await saver(other).restore(fresh, path!);
        expect(report.matched).toEqual([{ name: "emb", key: "emb" }]);
        expect(rows(await fresh.run("snapshot" in v ? v.snapshot : v.value()))).toEqual(ten);
        // and what matches alone, too
        await using partial = new Session(other);
        await saver(other, { name: "again" }).restore(partial, path!, { partial: true });
        expect(rows(await partial.run("snapshot" in v ? v.snapshot : v.value()))).toEqual(ten);
      }
      await session.close();
    },
  );
});

describe("the names of partitioned variables", () => {
  test("are keys, those of the parts are not; slots of optimizers are partitioned too", async () => {
    const g = new Graph(CORE_OPS);
    const emb = getVariable<PartitionedVariable>(g, "emb", {
      shape: [10, 4],
      initializer: (graph, shape) => graph.constant(2, { shape }),
      partitioner: fixedSizePartitioner(3),
    });
    const square = g.add("Mul", [emb.value(), emb.value()]);
    const loss = g.add("Sum", [square, g.constant([0, 1], { dtype: "int32" })]);
    const train = momentumOptimizer({ learningRate: 0.5, momentum: 0.5 }).minimize(loss);
    const save = saver(g);
    await using session = new Session(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    await session.run([], { targets: [train] });
    const path = (await save.save(session, join(dir, "m")))!;
    expect(await listVariables(path)).toEqual([
      ["emb", [10, 4]],
      ["emb/Momentum", [10, 4]],
    ]);
    await expect(loadVariable(path, "emb/part_0")).rejects.toMatchObject({
      code: "NOT_FOUND",
      what: "Key emb/part_0 not found in checkpoint",
    });
    const slices = save.saverDef!.saveTensorName.replace(/control_dependency:0$/, "SaveV2/shape_and_slices");
    const specs = (g.operation(slices).attrs.value as Tensor).data as readonly Uint8Array[];
    expect(new TextDecoder().decode(specs[0])).toBe("10 4 0,4:0,4");
    const checkpoint = await openCheckpoint(path);
    expect((await checkpoint.readSlice("emb", "10 4 2,5:1,2")).shape).toEqual([5, 2]);
    await checkpoint.close();
  });
});
