/** What a saver refuses, in TensorFlow's words. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { model, trained, values } from "../../tests/fixtures/saver.ts";
import { VarscopeError } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { SaverDefSchema } from "../proto/meta-graph.gen.ts";
import { Session } from "../run/index.ts";
import {
  fixedSizePartitioner,
  getVariable,
  globalVariablesInitializer,
  type PartitionedVariable,
  zerosInitializer,
} from "../variables/index.ts";
import { saver } from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "saver-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

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
