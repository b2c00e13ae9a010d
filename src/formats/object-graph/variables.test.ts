/** Object-based checkpoints of Keras 2, Keras 3 and plain trees against what Python says of them; layouts made of each other. */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bytesOf, type DType, fromBytes, type Tensor, VarscopeError } from "../../base/index.ts";
import { openCheckpointCollection } from "../checkpoint/collection.ts";
import {
  type Contents,
  collectionOf,
  contentsOf,
  type VariableCollection,
  type WritableVariable,
} from "../collection/index.ts";
import { escapeLocalName, readObjectGraph, unescapeLocalName, writeObjectGraph } from "./graph.ts";
import { kerasLayoutOf, toKeras2Layout, toKeras3Layout } from "./keras.ts";
import { objectVariables } from "./variables.ts";
import { objectContents, writeObjectCollection } from "./write.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "object-checkpoint");

interface Truth {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly fullName: string;
  readonly base64?: string;
  readonly strings?: readonly string[];
}
interface Case {
  readonly name: string;
  readonly tensors: Readonly<Record<string, Truth>>;
  readonly slots: readonly (readonly [of: string, slot: string, name: string])[];
  readonly keras3?: Readonly<Record<string, Truth>>;
}

const { cases } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as {
  cases: readonly Case[];
};
const folder = await mkdtemp(join(tmpdir(), "varscope-object-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = (name: string): Promise<VariableCollection> => openCheckpointCollection(join(GOLDENS, name));
const hasValues = (truth: Truth): boolean => truth.base64 !== undefined || truth.strings !== undefined;

function expectValues(t: Tensor, truth: Truth, at: string): void {
  expect([t.dtype, t.shape], at).toEqual([truth.dtype, truth.shape]);
  if (truth.strings !== undefined)
    expect(
      (t.data as readonly Uint8Array[]).map((s) => Buffer.from(s).toString("base64")),
      at,
    ).toEqual(truth.strings);
  else expect(Buffer.from(bytesOf(t)).toString("base64"), at).toBe(truth.base64);
}

/** Writes and opens again. */
async function written(contents: Contents, name: string): Promise<VariableCollection> {
  await writeObjectCollection(join(folder, name), contents, { sync: false });
  return openCheckpointCollection(join(folder, name));
}

describe.each(cases)("$name", ({ name, tensors, slots }) => {
  test("has all tensors, by full names where they are there once, with their values", async () => {
    const from = await open(name);
    expect(from.format).toBe("checkpoint-object");
    expect(from.variables.map((v) => v.key).sort()).toEqual(Object.keys(tensors).sort());
    const all = Object.values(tensors).map((truth) => truth.fullName);
    for (const [key, truth] of Object.entries(tensors)) {
      const v = from.find(key);
      if (all.filter((other) => other === truth.fullName).length === 1 && truth.fullName !== "")
        expect(v.name).toBe(truth.fullName);
      if (hasValues(truth)) expectValues(await from.read(v.name), truth, key);
    }
    await from.close();
  });

  test("ties the slots to their variables, as the optimizer does", async () => {
    const from = await open(name);
    for (const [of, slot, slotName] of slots) {
      const v = from.find(slotName);
      expect({ of: v.of, slot: v.slot, role: v.role }, slotName).toEqual({
        of,
        slot,
        role: slot === "average" ? "ema" : "slot",
      });
      expect(v.layer).toBe(of.slice(0, of.lastIndexOf("/")));
    }
    const found = from.variables.filter((v) => v.slot !== undefined);
    expect(found.length).toBe(slots.length);
    await from.close();
  });
});

test("weights that Keras 3 keeps under its optimizer are weights", async () => {
  const from = await open("k3-seq-adam");
  const kernel = from.find("optimizer/_trainable_variables/0/.ATTRIBUTES/VARIABLE_VALUE");
  expect(kernel).toMatchObject({ name: "sequential/d/kernel", role: "weight", layer: "sequential/d" });
  expect(kernel.optimizer).toBeUndefined();
  expect(from.find("adam/iteration")).toMatchObject({ role: "step", optimizer: "adam" });
  expect(from.find("adam/learning_rate")).toMatchObject({ role: "other", optimizer: "adam" });
  await from.close();
});

test("a plain tree has paths for names that clash, and parts of attributes", async () => {
  const from = await open("plain-1");
  expect(from.variables.map((v) => v.name)).toEqual([
    "a.b/items/0",
    "a.b/items/1/x.y/z",
    "a.b/pair/0",
    "a.b/w",
    "net/items/0",
    "net/items/1/x.y/z",
    "net/pair/0",
    "net/w",
    "save_counter",
    "state/py_state",
    "steps/ITERATOR_STATE",
    "table/table-keys",
    "table/table-values",
  ]);
  expect(from.find("a.b/items/1/x.y/z").key).toBe("a..b/items/1/x..y.Sz/.ATTRIBUTES/VARIABLE_VALUE");
  await from.close();
});

test.each(["a.b", "x/y", ".S", "..", "./.", "plain", "a..b/.S"])("%s is escaped and back", (name) => {
  expect(unescapeLocalName(escapeLocalName(name))).toBe(name);
});

describe.each(cases.filter((c) => c.keras3 !== undefined))(
  "$name for Keras 3",
  ({ name, keras3 = {}, tensors }) => {
    test("has the keys and values that Keras 3 writes of this model", async () => {
      const from = await open(name);
      const to = await written(toKeras3Layout(from).contents, `${name}-3`);
      expect(to.variables.map((v) => v.key).sort()).toEqual(Object.keys(keras3).sort());
      for (const [key, truth] of Object.entries(keras3)) expectValues(await to.read(key), truth, key);
      await Promise.all([from.close(), to.close()]);
    });

    test("is the same again when it comes back", async () => {
      const from = await open(name);
      const there = await written(toKeras3Layout(from).contents, `${name}-there`);
      const later = name.endsWith("later");
      const back = await written(
        toKeras2Layout(there, { optimizer: later ? "later" : "legacy" }).contents,
        `${name}-back`,
      );
      const lost = from.variables.filter((v) => !back.variables.some((w) => w.key === v.key));
      expect(lost.filter((v) => v.role !== "other" || v.optimizer === undefined)).toEqual([]); // hyperparameters alone
      for (const v of back.variables) expectValues(await back.read(v.key), tensors[v.key]!, v.key);
      expect(kerasLayoutOf(readObjectGraph(back.extras.objectGraph!, ""))).toBe("keras2");
      await Promise.all([from.close(), there.close(), back.close()]);
    });
  },
);

test("what Keras 3 keeps elsewhere is told", async () => {
  const from = await open("k2-seq-adam");
  expect(toKeras3Layout(from).left).toEqual([
    { what: "Adam/beta_1", why: "Keras 3 keeps beta_1 in the optimizer's configuration" },
    { what: "Adam/beta_2", why: "Keras 3 keeps beta_2 in the optimizer's configuration" },
    { what: "Adam/decay", why: "Keras 3 keeps decay in the optimizer's configuration" },
  ]);
  await from.close();
});

test("an optimizer that one side lacks is told, and its weights are carried", async () => {
  const from = await open("k3-seq-adafactor");
  const { contents, left } = toKeras2Layout(from);
  expect(left[0]).toEqual({ what: "adafactor", why: "an optimizer that is not known in both layouts" });
  expect(
    contents.variables.some((v) => v.key === "model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"),
  ).toBe(true);
  await from.close();
});

test("a checkpoint without a graph of objects has no layout", async () => {
  const from = collectionOf({ path: "x", format: "checkpoint-v2", variables: [] });
  expect(() => toKeras3Layout(from)).toThrow(
    "[INVALID_ARGUMENT] x: checkpoint-v2 has no object graph; give a checkpoint that tf.train.Checkpoint or Keras wrote",
  );
});

describe("written", () => {
  const graphOf = (c: VariableCollection): Uint8Array => c.extras.objectGraph!;
  const named = (name: string): WritableVariable => ({
    name,
    dtype: "float32",
    shape: [2],
    values: async function* () {
      yield { dtype: "float32", shape: [2], data: new Float32Array([1, 2]) };
    },
  });

  test.each(["k2-seq-adam", "k3-nest-rms", "k3-seq-adafactor"])("%s keeps keys and graph", async (name) => {
    const from = await open(name);
    const to = await written(contentsOf(from), `same-${name}`);
    expect(to.variables).toEqual(from.variables);
    expect(graphOf(to)).toEqual(graphOf(from));
    // Also where another container between has lost the keys.
    const byName = await written(
      { ...contentsOf(from), variables: contentsOf(from).variables.map(({ key: _, ...v }) => v) },
      `named-${name}`,
    );
    expect(byName.variables).toEqual(from.variables);
    await Promise.all([from.close(), to.close(), byName.close()]);
  });

  test("tables keep their parts; what has no values is told", async () => {
    const from = await open("plain-1");
    const { contents, left } = objectContents(contentsOf(from));
    expect(left).toEqual([
      { what: "steps/ITERATOR_STATE", why: "a variant has no values that others can read" },
    ]);
    expect(contents.variables.map((v) => v.name)).toContain("table/.ATTRIBUTES/table-keys");
    const attributes = readObjectGraph(contents.extras!.objectGraph!, "").nodes.flatMap((n) =>
      n.attributes.map((a) => a.checkpointKey),
    );
    expect(attributes).toContain("table/.ATTRIBUTES/table");
    expect(attributes).not.toContain("steps/.ATTRIBUTES/ITERATOR");
    await from.close();
  });

  test("a variable left out is gone from the graph, a new name is its full name, a new one is in the tree", async () => {
    const from = await open("k2-seq-adam");
    const kept = contentsOf(from).variables.filter((v) => v.role !== "slot");
    const renamed = kept.map((v) => (v.name === "d/kernel" ? { ...v, name: "first/kernel" } : v));
    const to = await written({ variables: [...renamed, named("head/w")], extras: from.extras }, "edited");
    expect(to.find("first/kernel").key).toBe("model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE");
    expect(to.find("head/w").key).toBe("head/w/.ATTRIBUTES/VARIABLE_VALUE");
    expect(to.variables.length).toBe(renamed.length + 1);
    const graph = readObjectGraph(graphOf(to), "");
    expect(graph.nodes.flatMap((node) => node.slotVariables)).toEqual([]);
    await Promise.all([from.close(), to.close()]);
  });

  test("without a graph, names are a tree, with the count of saves", async () => {
    const to = await written({ variables: ["a.b/w", "a.b/w/Adam", "/odd//name", "v"].map(named) }, "tree");
    expect(to.variables.map((v) => [v.name, v.key])).toEqual([
      ["/odd//name", ".Sodd.S.Sname/.ATTRIBUTES/VARIABLE_VALUE"],
      ["a.b/w", "a..b/w/.ATTRIBUTES/VARIABLE_VALUE"],
      ["a.b/w/Adam", "a..b/w/Adam/.ATTRIBUTES/VARIABLE_VALUE"],
      ["save_counter", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"],
      ["v", "v/.ATTRIBUTES/VARIABLE_VALUE"],
    ]);
    await to.close();
  });

  test("keys whose graph is lost make a graph again, slots too", async () => {
    const from = await open("k2-seq-adam");
    const lost = contentsOf(from).variables.map((v) => ({ ...v, name: v.key! }));
    const to = await written({ variables: lost }, "rebuilt");
    expect(
      to.variables
        .map((v) => v.key)
        .filter((key) => !key.startsWith("save_counter"))
        .sort(),
    ).toEqual(from.variables.map((v) => v.key).sort());
    expect(
      to.find("model/layer_with_weights-0/kernel/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE"),
    ).toMatchObject({
      role: "slot",
      of: "model/layer_with_weights-0/kernel",
      slot: "m",
    });
    await Promise.all([from.close(), to.close()]);
  });
});

describe("broken and hostile graphs", () => {
  const BROKEN = join(GOLDENS, "broken.json");
  const broken: readonly { claim: string; hex: string; error: string }[] = existsSync(BROKEN)
    ? JSON.parse(readFileSync(BROKEN, "utf8"))
    : [];
  test.each(broken)("$claim", ({ hex, error }) => {
    expect(() => objectVariables([], new Uint8Array(Buffer.from(hex, "hex")), "m")).toThrow(
      expect.objectContaining({ message: error }) as Error,
    );
  });

  const value = (key: string) => ({ name: "VARIABLE_VALUE", fullName: "", checkpointKey: key });
  const stored = (key: string) => ({
    name: key,
    dtype: "float32" as const,
    shape: [1],
    bytes: 4,
    read: async () => fromBytes("float32", [1], new Uint8Array(4)),
  });
  const empty = { children: [], attributes: [], slotVariables: [] };
  const viewed = (
    nodes: Parameters<typeof writeObjectGraph>[0]["nodes"],
    keys: readonly string[],
  ): VariableCollection => {
    const objectGraph = writeObjectGraph({ nodes: nodes ?? [] });
    const variables = objectVariables(keys.map(stored), objectGraph, "m");
    return collectionOf({ path: "m", format: "checkpoint-object", variables, extras: { objectGraph } });
  };
  const change = (c: VariableCollection): void => {
    for (const to of [toKeras2Layout, toKeras3Layout]) {
      try {
        objectContents(to(c).contents);
      } catch (e) {
        expect(e).toBeInstanceOf(VarscopeError);
      }
    }
  };

  test("a graph without a root names by keys, and has no layout", () => {
    const c = viewed([], ["k"]);
    expect(c.variables[0]!.name).toBe("k");
    expect(() => toKeras3Layout(c)).toThrow("[DATA_LOSS] m: the object graph is empty");
  });

  test("cycles are legal", () => {
    const c = viewed(
      [
        {
          ...empty,
          children: [
            { localName: "layer-0", nodeId: 1 },
            { localName: "_operations", nodeId: 0 },
          ],
        },
        {
          ...empty,
          children: [
            { localName: "layer-0", nodeId: 0 },
            { localName: "0", nodeId: 1 },
          ],
          attributes: [value("k")],
        },
      ],
      ["k"],
    );
    change(c);
    expect(c.variables[0]!.name).toBe("k");
  });

  test("many children, and as many levels, end in time", () => {
    const many = 5_000;
    const wide = viewed(
      [
        {
          ...empty,
          children: Array.from({ length: many }, (_, i) => ({ localName: `layer-${i}`, nodeId: i % 2 })),
        },
        { ...empty, attributes: [value("k")] },
      ],
      ["k"],
    );
    change(wide);
    const deep = viewed(
      Array.from({ length: many }, (_, i) => ({
        ...empty,
        children: i + 1 < many ? [{ localName: "layer-0", nodeId: i + 1 }] : [],
        attributes: [value(`k${i}`)],
      })),
      ["k1"],
    );
    change(deep);
  }, 20_000);

  test("one optimizer's slots may be anything", () => {
    const slot = { originalVariableNodeId: 0, slotName: "__proto__", slotVariableNodeId: 0 };
    const c = viewed(
      [
        {
          ...empty,
          children: ["_iterations", "_learning_rate", "_variables", "_momentums"].map((localName) => ({
            localName,
            nodeId: 0,
          })),
          attributes: [value("k"), value("k"), value("__proto__")],
          slotVariables: [slot, slot],
        },
      ],
      ["k", "__proto__"],
    );
    change(c);
    expect(c.variables.length).toBe(2);
  });

  test("more entries than any model has are refused before they take memory", () => {
    const bytes = new Uint8Array(9_000_000).map((_, i) => (i % 2 === 0 ? 10 : 0)); // empty nodes
    expect(() => readObjectGraph(bytes, "m")).toThrow(
      "[RESOURCE_EXHAUSTED] m: an object graph of more than 4000000 entries",
    );
  });
});
