import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lines } from "../../../tests/conformance/programs/suite.ts";
import { type DType, toNumbers, VarscopeError } from "../../base/index.ts";
import { saveCheckpoint, writeObjectCollection } from "../../formats/checkpoint/index.ts";
import { variableOf } from "../../formats/collection/index.ts";
import { writeGraphDef } from "../../formats/graph-def/index.ts";
import { Graph, type Output } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { GraphDefSchema } from "../../proto/graph.gen.ts";
import { VariableDefSchema } from "../../proto/variable.gen.ts";
import { Session } from "../../run/index.ts";
import {
  fixedSizePartitioner,
  getVariable,
  getVariableScope,
  globalVariables,
  globalVariablesInitializer,
  type Initializer,
  type PartitionedVariable,
  type Variable,
  variableScope,
  zerosInitializer,
} from "../../variables/index.ts";
import { initFromCheckpoint, warmStart } from "../index.ts";

/** Written by TensorFlow's Saver. The path stands in the goldens' graphs. */
const FROM = "tests/goldens/init-from-checkpoint/from";
const golden = (name: string): Buffer => readFileSync(join("tests/goldens/init-from-checkpoint", name));
const VALUES = JSON.parse(gunzipSync(golden("values.json.gz")).toString());
const ERRORS: Readonly<Record<string, readonly [string, string] | null>> = JSON.parse(
  golden("errors.json").toString(),
);

interface ZerosOptions {
  readonly dtype?: DType;
  readonly trainable?: boolean;
}

const zeros = (g: Graph, name: string, shape: readonly number[], options: ZerosOptions = {}): Variable =>
  getVariable(g, name, { shape, initializer: zerosInitializer(), ...options });
const cut = (g: Graph, name: string, parts: number): PartitionedVariable =>
  getVariable<PartitionedVariable>(g, name, {
    shape: [5, 2],
    initializer: zerosInitializer(),
    partitioner: fixedSizePartitioner(parts),
  });
const within = (g: Graph, scope: string, body: () => void): void => variableScope(g, scope, {}, body);

/** Twins of tools/goldens/init_from_checkpoint.py. */
const PROGRAMS: Readonly<Record<string, (g: Graph) => Promise<unknown>>> = {
  names: (g) => {
    within(g, "new", () => {
      g.withDevice("/job:localhost/cpu:0", () => zeros(g, "w", [2, 3]));
      zeros(g, "b", []);
    });
    return initFromCheckpoint(g, FROM, { w: "new/w", b: "new/b" });
  },
  scopes: (g) => {
    within(g, "new", () => {
      zeros(g, "w", [2, 3]);
      zeros(g, "deep/x", [2], { dtype: "int64" });
    });
    zeros(g, "b", []);
    return initFromCheckpoint(g, FROM, { "old/": "new/" });
  },
  root: (g) => {
    within(g, "new", () => {
      zeros(g, "w", [2, 3]);
      zeros(g, "b", []);
    });
    return initFromCheckpoint(g, FROM, { "/": "new/" });
  },
  to_root: (g) => {
    zeros(g, "w", [2, 3]);
    zeros(g, "deep/x", [2], { dtype: "int64" });
    return initFromCheckpoint(g, FROM, { "old/": "/" });
  },
  objects: (g) => {
    const [v, u] = [zeros(g, "v", [2, 3]), zeros(g, "u", [2, 3])];
    return initFromCheckpoint(g, FROM, [
      ["w", v],
      ["w", u],
    ]);
  },
  partitions: async (g) => {
    cut(g, "mine", 3);
    const q = cut(g, "q", 2);
    within(g, "s", () => {
      cut(g, "p", 2);
      zeros(g, "b", []);
    });
    await initFromCheckpoint(g, FROM, { p: "mine" });
    await initFromCheckpoint(g, FROM, { p: q });
    await initFromCheckpoint(g, FROM, { "/": "s/" });
  },
  warm_all: (g) => {
    zeros(g, "w", [2, 3]);
    zeros(g, "b", [], { trainable: false });
    within(g, "old", () => zeros(g, "w", [2, 3]));
    return warmStart(g, FROM);
  },
  warm_some: (g) => {
    zeros(g, "w", [2, 3]);
    zeros(g, "b", [], { trainable: false });
    zeros(g, "c", []);
    zeros(g, "fresh", [4]);
    return warmStart(g, FROM, {
      varsToWarmStart: ["w", "b", "c"],
      varNameToPrevVarName: { c: "b" },
    });
  },
};

const empty = (resource: boolean): Graph => {
  const g = new Graph(CORE_OPS);
  getVariableScope(g).useResource = resource;
  return g;
};

const valuesOf = async (g: Graph): Promise<Record<string, number[]>> => {
  await using session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  const all = globalVariables(g);
  const values = await session.run(all.map((v) => v.snapshot));
  return Object.fromEntries(all.map((v, i) => [v.op.name, toNumbers(values[i]!)]));
};

describe.each(Object.keys(PROGRAMS))("%s", (program) => {
  test.each(["ref", "resource"])(
    "%s variables: nodes, initializers and values are TensorFlow's",
    async (kind) => {
      const name = `${program}_${kind}`;
      const g = empty(kind === "resource");
      await PROGRAMS[program]!(g);
      const ours = fromBinary(GraphDefSchema, writeGraphDef(g));
      const theirs = fromBinary(GraphDefSchema, gunzipSync(golden(`${name}.pb.gz`)));
      expect(lines(ours)).toEqual(lines(theirs));
      const theirDefs = (VALUES[name].variableDefs as string[]).map((hex) => {
        const def = fromBinary(VariableDefSchema, Buffer.from(hex, "hex"));
        // of a reference TensorFlow names the output of its new initializer, we the op, as it does of all other initializers
        return { ...def, initializerName: def.initializerName.replace(/:0$/, "") };
      });
      expect(globalVariables(g).map((v) => v.toProto())).toEqual(theirDefs);
      const wanted = Object.entries(VALUES[name].run.variables[0] as Record<string, { values: number[] }>);
      expect(await valuesOf(g)).toEqual(Object.fromEntries(wanted.map(([key, { values }]) => [key, values])));
    },
  );
});

/** What was thrown. */
const thrown = async (body: () => Promise<unknown>): Promise<VarscopeError> => {
  try {
    await body();
  } catch (e) {
    return e as VarscopeError;
  }
  throw new Error("nothing was thrown");
};
/** TensorFlow lists a checkpoint's tensors in the order of a hash table, we by name. */
const unordered = (text: string): string => text.replace(/ checkpoint \{.*\}$/, " checkpoint {...}");

describe("errors are TensorFlow's", () => {
  const init = (target: readonly [string, number[]], map: Record<string, string>) => async () => {
    const g = empty(false);
    within(g, "new", () => zeros(g, ...target));
    await initFromCheckpoint(g, FROM, map);
  };
  const warm = (options: object) => async () => {
    const g = empty(false);
    zeros(g, "w", [2, 3]);
    zeros(g, "q", [1]);
    await warmStart(g, FROM, options);
  };
  const CASES: Readonly<Record<string, () => Promise<unknown>>> = {
    "missing tensor": init(["w", [2, 3]], { zz: "new/w" }),
    "scope to name": init(["w", [2, 3]], { w: "new/" }),
    shape: init(["w", [2, 3]], { b: "new/w" }),
    "missing in scope": init(["q", [2, 3]], { "old/": "new/" }),
    "no variable": init(["w", [2, 3]], { w: "nope" }),
    "slices of two": async () => {
      const g = empty(false);
      await initFromCheckpoint(g, FROM, { p: [...cut(g, "a", 2), ...cut(g, "b", 2)] });
    },
    "warm missing": warm({}),
    "vocab axis": warm({
      varNameToVocabInfo: { w: { newVocab: "a", newVocabSize: 1, numOovBuckets: 0, oldVocab: "b", axis: 2 } },
    }),
  };
  test.each(Object.keys(CASES))("%s", async (name) => {
    const e = await thrown(CASES[name]!);
    expect(e).toBeInstanceOf(VarscopeError);
    expect(unordered(e.what)).toBe(unordered(ERRORS[name]![1]));
  });

  test("an option that names no variable, a number, and a mixed list", async () => {
    const number = await thrown(warm({ varsToWarmStart: 3 }));
    expect(number.what).toBe(ERRORS["warm number"]![1].replace("<class 'int'>", "number"));
    const unused = await thrown(warm({ varsToWarmStart: "w", varNameToPrevVarName: { nope: "w" } }));
    expect(unused.what).toBe(ERRORS["warm unused"]![1].replace("dict_keys(['w'])", "['w']"));
    const mixed = await thrown(warm({ varsToWarmStart: ["w", 3] }));
    expect(mixed.what).toMatch(
      /^If `vars_to_warm_start` is a list, it must be all `Variable` or all `str`\./,
    );
  });

  test("leave the graph as it was, and name what is near", async () => {
    const g = empty(false);
    const [w, q] = [zeros(g, "w", [2, 3]), zeros(g, "q", [2, 3])];
    const before = [g.operations.length, w.initializer, q.initializer];
    const e = await thrown(() => initFromCheckpoint(g, FROM, { w, old_w: q }));
    expect(e.hint).toBe("it has old/w");
    expect([g.operations.length, w.initializer, q.initializer]).toEqual(before);
  });
});

describe("beyond TensorFlow", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "init-"));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test("full names are keys of an object-based checkpoint, and what was taken is told", async () => {
    const kernel = variableOf("dense/kernel", {
      dtype: "float32",
      shape: [2],
      data: new Float32Array([1, 2]),
    });
    await writeObjectCollection(join(dir, "objects"), { variables: [kernel] }, { sync: false });
    const g = empty(true);
    zeros(g, "mine", [2]);
    expect(await initFromCheckpoint(g, join(dir, "objects.index"), { "dense/kernel": "mine" })).toEqual([
      { name: "mine", key: "dense/kernel/.ATTRIBUTES/VARIABLE_VALUE" },
    ]);
    expect(await valuesOf(g)).toEqual({ mine: [1, 2] });
  });

  test("warmStart takes full names of an object-based checkpoint, and names those that it lacks", async () => {
    const w = variableOf("w", { dtype: "float32", shape: [2], data: new Float32Array([5, 6]) });
    await writeObjectCollection(join(dir, "warm"), { variables: [w] }, { sync: false });
    const g = empty(false);
    zeros(g, "w", [2]);
    await warmStart(g, join(dir, "warm"));
    expect(await valuesOf(g)).toEqual({ w: [5, 6] });
    zeros(g, "q", [2]);
    const e = await thrown(() => warmStart(g, join(dir, "warm")));
    expect(e.what).toMatch(
      /^Attempting to warm-start from an object-based checkpoint, .* were missing: \{'q'\}$/,
    );
  });

  describe("a vocabulary that has changed", () => {
    const old = ["mercury", "venus", "mars"];
    const matrix = Float32Array.from({ length: 12 }, (_, i) => i);
    const counting: Initializer = (g, shape): Output =>
      g.constant(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => -1 - i),
        { dtype: "float32", shape },
      );
    const file = (name: string, entries: readonly string[]): string => {
      writeFileSync(join(dir, name), entries.map((e) => `${e}\n`).join(""));
      return join(dir, name);
    };
    beforeAll(() =>
      saveCheckpoint(join(dir, "vocab"), [
        { name: "rows", tensor: { dtype: "float32", shape: [3, 4], data: matrix } },
        { name: "cols", tensor: { dtype: "float32", shape: [4, 3], data: matrix } },
      ]),
    );
    const info = (more: object) => ({
      newVocab: file("new", ["venus", "jupiter", "mercury"]),
      newVocabSize: 3,
      numOovBuckets: 1,
      oldVocab: file("old", old),
      backupInitializer: counting,
      ...more,
    });

    test("rows go with their entries, new ones and those behind take the backup's values", async () => {
      const g = empty(false);
      zeros(g, "rows", [4, 4]);
      await warmStart(g, join(dir, "vocab"), {
        varsToWarmStart: null,
        varNameToVocabInfo: { rows: info({}) },
      });
      expect(await valuesOf(g)).toEqual({ rows: [4, 5, 6, 7, -1, -2, -3, -4, 0, 1, 2, 3, -1, -2, -3, -4] });
      expect(g.operations.filter((op) => /Remap/.test(op.type)).map((op) => op.name)).toEqual([
        "GenerateVocabRemapping",
        "LoadAndRemapMatrix",
      ]);
    });

    test("columns do, of resources too", async () => {
      const g = empty(true);
      zeros(g, "cols", [4, 4]);
      const varNameToVocabInfo = { cols: info({ axis: 1 }) };
      await warmStart(g, join(dir, "vocab"), { varNameToVocabInfo });
      expect(await valuesOf(g)).toEqual({ cols: [1, -1, 0, -1, 4, -2, 3, -2, 7, -3, 6, -3, 10, -4, 9, -4] });
    });

    test("a partitioned variable is its parts", async () => {
      const g = empty(false);
      getVariable<PartitionedVariable>(g, "rows", {
        shape: [4, 4],
        initializer: zerosInitializer(),
        partitioner: fixedSizePartitioner(2),
      });
      await warmStart(g, join(dir, "vocab"), { varNameToVocabInfo: { rows: info({ oldVocabSize: 2 }) } });
      expect(await valuesOf(g)).toEqual({
        "rows/part_0": [4, 5, 6, 7, -1, -2, -3, -4],
        "rows/part_1": [0, 1, 2, 3, -1, -2, -3, -4],
      });
    });

    test.each([
      ["fewer lines than entries", { newVocabSize: 4, numOovBuckets: 0 }, /lookup table size must be larger/],
      [
        "another number of columns",
        { axis: 1, newVocabSize: 2 },
        /Expected 2nd dim of shape to be new_col_vocab_size/,
      ],
      ["more rows than entries", { newVocabSize: 2 }, /would exceed expected total row count/],
      ["an old size beyond the file", { oldVocabSize: 9 }, /Invalid vocab_size in .*: expected 9 but got 3/],
      ["no file", { newVocab: "" }, /Invalid args: Must provide all of/],
    ])("%s is refused", async (_, more, message) => {
      const g = empty(false);
      zeros(g, "rows", [4, 4]);
      const e = await thrown(() =>
        warmStart(g, join(dir, "vocab"), { varNameToVocabInfo: { rows: info(more) } }),
      );
      expect(e.what).toMatch(message);
    });
  });
});
