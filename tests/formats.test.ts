/**
 * Every format on the command line: inspect --json names it and its variables, print --npy gives each variable's values, and conversion into every
 * format that is written, and back, gives the same bytes for each tensor that the report does not name. The files are those of real makers
 * (tests/goldens/healthy, checkpoint-v1); that readers give the makers' values is tested beside each reader.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesOf, type Tensor } from "../src/base/index.ts";
import { runCli } from "../src/cli/program.ts";
import { openModel } from "../src/edit/index.ts";
import { readNpy } from "../src/wire/index.ts";

const GOLDENS = join(import.meta.dirname, "goldens");
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "varscope-formats-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...argv: string[]): Promise<{ out: string; err: string; code: number }> {
  let [out, err] = ["", ""];
  const stdout = { write: (text: string) => (out += text) };
  const code = await runCli(argv, { stdout, stderr: { write: (text: string) => (err += text) } });
  return { out, err, code };
}

async function json(...argv: string[]) {
  const { out, err, code } = await cli(...argv, "--json");
  expect({ err, code }).toEqual({ err: "", code: 0 });
  return JSON.parse(out);
}

const plain = (t: Tensor): unknown =>
  t.dtype === "string"
    ? (t.data as readonly Uint8Array[]).map((b) => Buffer.from(b).toString("base64"))
    : Buffer.from(bytesOf(t)).toString("base64");

interface Values {
  readonly [name: string]: {
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: unknown;
  };
}

async function valuesOf(path: string): Promise<Values> {
  const model = await openModel(path);
  try {
    const found: Record<string, Values[string]> = {};
    for (const { name } of model.variables) {
      const t = await model.read(name);
      found[name] = { dtype: t.dtype, shape: t.shape, bytes: plain(t) };
    }
    return found;
  } finally {
    await model.close();
  }
}

/** Formats that any container can be written as. Files of a Keras 3 model need its layout: they are written like a template, in src/edit/change/convert.test.ts. */
const TARGETS: readonly (readonly [string, string])[] = [
  ["checkpoint-v2", ""],
  ["checkpoint-v1", ""],
  ["checkpoint-object", ""],
  ["npz", ".npz"],
  ["safetensors", ".safetensors"],
  ["keras-h5", ".h5"],
  ["graph-def", ".pb"],
];

/** File, its format, and how many variables its maker put in. */
const FILES: readonly (readonly [string, string, number])[] = [
  ["healthy/tf1_ref.ckpt", "checkpoint-v2", 34],
  ["checkpoint-v1/dtypes", "checkpoint-v1", 0],
  ["checkpoint-v1/sharded-?????-of-00003", "checkpoint-v1", 0],
  ["healthy/keras2_object", "checkpoint-object", 0],
  ["healthy/keras3_object", "checkpoint-object", 0],
  ["healthy/saved_model_tf1", "saved-model", 0],
  ["healthy/saved_model_keras3", "saved-model", 13],
  ["healthy/tf1_resource.ckpt.meta", "meta-graph", 0],
  ["healthy/frozen.pb", "graph-def", 0],
  ["healthy/keras3.keras", "keras-v3", 33],
  ["healthy/keras2.keras", "keras-v3", 0],
  ["healthy/keras3.weights.h5", "keras-weights", 33],
  ["healthy/keras2.weights.h5", "keras-weights", 0],
  ["healthy/keras3.h5", "keras-h5", 0],
  ["healthy/keras2.h5", "keras-h5", 0],
  ["healthy/weights.npz", "npz", 0],
  ["healthy/torch.safetensors", "safetensors", 15],
];

describe.each(FILES)("%s", (file, format, count) => {
  const path = join(GOLDENS, file);

  test("inspect --json names format and variables", async () => {
    const found = await json("inspect", path, "--stats");
    expect(found.format).toBe(format);
    if (count > 0) expect(found.variables).toHaveLength(count);
    expect(found.variables.length).toBeGreaterThan(2);
    expect(found.totals.tensors).toBe(found.variables.length);
    for (const v of found.variables) {
      expect(v).toMatchObject({
        name: expect.any(String),
        role: expect.any(String),
        layer: expect.any(String),
      });
      if (v.dtype !== "string") expect(v.stats, v.name).toMatchObject({ nan: expect.any(Number) });
    }
  });

  test("print --npy gives the values of every variable", async () => {
    const values = await valuesOf(path);
    for (const [i, name] of Object.keys(values).entries()) {
      const npy = join(folder, `${file.replaceAll(/[^a-z0-9]/gi, "_")}-${i}.npy`);
      const { err } = await cli("print", path, name, "--npy", npy);
      expect(err, name).toBe("");
      const { dtype, shape, bytes } = values[name]!;
      if (/^(u?int[24]|string|q.*|float8.*)$/.test(dtype)) continue; // numpy has no such types; npy.test.ts compares them
      const t = readNpy(readFileSync(npy));
      expect({ dtype: t.dtype, shape: t.shape, bytes: plain(t) }, name).toEqual({ dtype, shape, bytes });
    }
  });

  // The graph of a .meta declares its variables: freezing makes constants of them.
  const targets = format === "meta-graph" ? TARGETS.filter(([target]) => target !== "graph-def") : TARGETS;

  test.each(targets)("there and back through %s", async (target, ending) => {
    const base = join(folder, `${file.replaceAll(/[^a-z0-9]/gi, "_")}-${target}`);
    const there = `${base}${ending}`;
    const report = await json("convert", path, there, "--format", target);
    const left = new Set<string>(report.left.map((l: { what: string }) => l.what));
    const before = Object.entries(await valuesOf(path)).filter(([name]) => !left.has(name));
    expect(before.length).toBeGreaterThan(0);
    expect(report.variables).toBe(before.length);
    await json("convert", there, `${base}-back`, "--format", "checkpoint-v2");
    const after = await valuesOf(`${base}-back`);
    // Containers that name their layers themselves are compared by values alone.
    const kept = (all: readonly (readonly [string, Values[string]])[]): string[] =>
      all.map(([name, v]) => JSON.stringify(left.has(`dtype ${v.dtype} of ${name}`) ? v.bytes : v)).sort();
    const values = new Set(kept(Object.entries(after)));
    expect(kept(before).filter((v) => !values.has(v) && !bytesIn(after).has(v))).toEqual([]);
    // A tf.train.Checkpoint counts its saves, also where nobody asked it to.
    const extra = target === "checkpoint-object" && !("save_counter" in Object.fromEntries(before)) ? 1 : 0;
    expect(Object.keys(after).length - before.length).toBeLessThanOrEqual(extra);
  });
});

const bytesIn = (all: Values): ReadonlySet<string> =>
  new Set(Object.values(all).map((v) => JSON.stringify(v.bytes)));
