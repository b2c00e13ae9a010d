import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import {
  checkpointExists,
  latestCheckpoint,
  listVariables,
  loadVariable,
  openCheckpoint,
} from "../formats/checkpoint/index.ts";
import { readMetaGraph } from "../formats/meta-graph/index.ts";
import { Graph, type Operation, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { MetaGraphDefSchema, SaverDefSchema } from "../proto/meta-graph.gen.ts";
import { Session } from "../run/index.ts";
import {
  constantInitializer,
  fixedSizePartitioner,
  type GetVariableOptions,
  GraphKeys,
  getOrCreateGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  type PartitionedVariable,
  type Variable,
  variableFromProto,
  zerosInitializer,
} from "../variables/index.ts";
import { Checkpoint, momentumOptimizer, type SaveableObject, saver } from "./index.ts";

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
const { errors: SAID } = JSON.parse(readFileSync("tests/goldens/savers/savers.json", "utf8")) as {
  readonly errors: Readonly<Record<string, readonly [string, string]>>;
};
const said = (name: string): string => SAID[name]![1].replaceAll("FOLDER", dir);

describe("what cannot be", () => {
  async function refused(name: string, body: () => unknown): Promise<VarscopeError> {
    try {
      await body();
    } catch (e) {
      expect(e).toBeInstanceOf(VarscopeError);
      return e as VarscopeError;
    }
    throw new Error(`${name}: nothing was thrown`);
  }
  const cut = (g: Graph, name: string, shape = [4]): PartitionedVariable =>
    getVariable<PartitionedVariable>(g, name, {
      shape,
      initializer: zerosInitializer(),
      partitioner: fixedSizePartitioner(2),
    });

  const BUILDING: Readonly<Record<string, () => unknown>> = {
    nothing: () => saver(new Graph(CORE_OPS)),
    twice: () => {
      const { g, w } = model();
      saver(g, { varList: [w, w] });
    },
    "two names": () => {
      const { g, w } = model();
      saver(g, { varList: { a: w, b: w } });
    },
    "mixed slices": () => {
      const { g } = model();
      saver(g, { varList: { p: [...cut(g, "p"), ...cut(g, "q")] } });
    },
    "deferred list": () => {
      const { g, w } = model();
      saver(g, { varList: [w], deferBuild: true });
    },
  };
  test.each(Object.keys(BUILDING))("TensorFlow's sentence: %s", async (name) => {
    expect((await refused(name, BUILDING[name]!)).what).toBe(said(name));
  });

  const RUNNING: Readonly<Record<string, (session: Session, g: Graph) => unknown>> = {
    "not built": (s, g) => saver(g, { deferBuild: true }).save(s, join(dir, "x")),
    collision: (s, g) => saver(g).save(s, join(dir, "checkpoint")),
    "path in name": (s, g) => saver(g).save(s, join(dir, "x"), { latestFilename: "a/b" }),
    "no folder": (s, g) => saver(g).save(s, join(dir, "a", "b", "x")),
    invalid: (s, g) => saver(g).restore(s, join(dir, "nope")),
    none: (s, g) => saver(g).restore(s, null as never),
    "missing key": (s, g) => {
      getVariable(g, "q", { shape: [1] });
      return saver(g).restore(s, join(dir, "e"));
    },
  };
  test.each(Object.keys(RUNNING))("TensorFlow's sentence: %s", async (name) => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "e"));
    const { g } = model();
    await using fresh = new Session(g);
    await fresh.run([], { targets: [globalVariablesInitializer(g)] });
    const e = await refused(name, () => RUNNING[name]!(fresh, g));
    expect(e.what).toBe(said(name));
  });

  test("TensorFlow's sentences: shape, dtype, slices of another shape", async () => {
    const { session, save } = await trained();
    await save.save(session, join(dir, "e"));
    const WRONG: Readonly<Record<string, (g: Graph) => unknown>> = {
      shape: (g) => getVariable(g, "w", { shape: [3] }),
      dtype: (g) => getVariable(g, "w", { shape: [2], dtype: "int32" }),
      "slice shape": (g) => cut(g, "w", [3]),
    };
    for (const [name, build] of Object.entries(WRONG)) {
      const g = new Graph(CORE_OPS);
      build(g);
      await using fresh = new Session(g);
      const e = await refused(name, () => saver(g).restore(fresh, join(dir, "e")));
      // the tensor is our errors' place; a plan may add what it found while building
      expect(e.what.replace(/: Dimension.*$|: Shapes.*$/s, ""), name).toBe(
        said(name).replace("tensor_name = w; shape in", "shape in"),
      );
      expect(e.hint, name).toMatch(/differs: w: .* here, float32 \[2\] in the checkpoint/);
    }
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
      what: said("missing key"),
    });
    expect(await values(fresh)).toEqual(before);
  });

  test("variables without values", async () => {
    const { g } = model();
    await using fresh = new Session(g);
    await expect(saver(g).save(fresh, join(dir, "m"))).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(readdirSync(dir)).toEqual([]);
  });

  test("no variable in a list, a map or among slices; slices mixed with others; a SaverDef without names", () => {
    expect(saver(new Graph(CORE_OPS), { allowEmpty: true }).saverDef).toBeNull();
    const { g, w } = model();
    expect(() => saver(g, { varList: [3 as never] })).toThrow("Variable to save is not a Variable: 3");
    expect(() => saver(g, { varList: { a: 3 as never } })).toThrow(
      "names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a variable: 3",
    );
    expect(() => saver(g, { varList: { a: [3 as never] } })).toThrow("Slices must all be Variables: 3");
    expect(() => saver(g, { varList: { a: [w] } })).toThrow("Slices must all be slices: w:0");
    const [part] = cut(g, "p");
    const whole = { ...w, name: "p/part_1:0", op: Object.create(w.op, { name: { value: "p" } }) };
    expect(() => saver(g, { varList: [part!, whole] })).toThrow(
      "At least two variables have the same name: p",
    );
    expect(() => saver(g, { varList: [{ ...whole, name: "a:0" }, part!] })).toThrow(
      "Mixing slices and non-slices with the same name: p",
    );
    const none = create(SaverDefSchema, {});
    expect(() => saver(g, { saverDef: none })).toThrow("saver_def must specify the save_tensor_name");
  });
});

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
