/** `varscope run` on SavedModels that TensorFlow wrote, of both versions, with tables, loops and conditionals. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { newGraph, placeholder, Session, square, tensor } from "../index.ts";
import { buildSignatureDef, saveSavedModel } from "../train/index.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "saved-model-run");
interface Value {
  readonly shape: readonly number[];
  readonly values: readonly (number | string)[];
}
interface Call {
  readonly name: string;
  readonly tags: readonly string[];
  readonly signature: string;
  readonly feeds: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
}
const { calls } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as {
  calls: readonly Call[];
};
const dir = mkdtempSync(join(tmpdir(), "varscope-run-saved-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function cli(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const sink = (lines: string[]) => ({ write: (text: string) => void lines.push(text) });
  const code = await runCli(argv, { stdout: sink(out), stderr: sink(err) });
  return { code, out: out.join(""), err: err.join("") };
}

/** Flat values as nested lists. */
const nested = (values: readonly unknown[], [n, ...rest]: readonly number[]): unknown =>
  n === undefined
    ? values[0]
    : Array.from({ length: n }, (_, i) => {
        const size = values.length / n;
        return nested(values.slice(i * size, (i + 1) * size), rest);
      });

const feedsOf = ({ feeds }: Call): string[] =>
  Object.entries(feeds).flatMap(([k, { values, shape }]) => [
    "--feed",
    `${k}=${JSON.stringify(nested(values, shape))}`,
  ]);

describe.each(calls)("$name, signature $signature", (call) => {
  const { name, tags, signature, outputs } = call;

  test("answers as in TensorFlow", async () => {
    const args = ["--tags", tags.join(","), "--signature", signature, ...feedsOf(call)];
    const { code, out, err } = await cli("run", join(GOLDENS, name), ...args);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const { fetches } = JSON.parse(out) as { fetches: Record<string, unknown> };
    expect(Object.keys(fetches).sort()).toEqual(Object.keys(outputs).sort());
    for (const [k, told] of Object.entries(outputs)) {
      const got = [fetches[k]].flat(9) as number[];
      got.forEach((v, i) => {
        const want = Number(told.values[i]);
        expect(Math.abs(Number(v) - want)).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(want)));
      });
      expect(got.length).toBe(told.values.length);
    }
  });
});

test("tensors have their names without a signature, and saved_model.pb stands for its folder", async () => {
  const model = join(GOLDENS, "control1", "saved_model.pb");
  const { out, err } = await cli("run", model, "--feed", "n=1", "--feed", "x=[2]", "--fetch", "while/Exit_1");
  expect(err).toBe("");
  expect(JSON.parse(out)).toEqual({ step: 1, fetches: { "while/Exit_1": [3] } });
});

test("variables are saved as a checkpoint, and other values restored from one", async () => {
  const folder = join(dir, "table1");
  cpSync(join(GOLDENS, "table1"), folder, { recursive: true });
  const prefix = join(dir, "saved");
  expect(await cli("run", folder, "--save", prefix)).toMatchObject({ code: 0, err: "" });
  rmSync(join(folder, "variables"), { recursive: true });
  const args = ["--signature", "serving_default", "--feed", 'text=["lake"]'];
  const bare = await cli("run", folder, ...args);
  expect(bare.err).toMatch(/^\[NOT_FOUND\] .*variables\/variables.index is missing/);
  const { out, err } = await cli("run", folder, "--checkpoint", prefix, ...args);
  expect(err).toBe("");
  expect(JSON.parse(out).fetches).toEqual({ ids: [1], rows: [[2, 3]] });
});

test("--init takes initial values, and runs the model's initialisation with its assets", async () => {
  const args = ["--init", "--signature", "serving_default", "--feed", 'text=["lake"]'];
  const { out, err } = await cli("run", join(GOLDENS, "table1"), ...args);
  expect(err).toBe("");
  expect(JSON.parse(out).fetches).toEqual({ ids: [1], rows: [[2, 3]] });
});

test("a signature's defaults are fed where nothing else is", async () => {
  const graph = newGraph();
  const x = placeholder(graph, "float32", { shape: [2], name: "x" });
  const signature = buildSignatureDef({ x }, { y: square(x) }, "tensorflow/serving/predict", {
    x: tensor([2, 3], "float32"),
  });
  await using session = new Session(graph);
  const folder = join(dir, "defaults");
  await saveSavedModel(session, folder, { signatures: { serving_default: signature } });
  const fetched = async (...feeds: string[]) =>
    JSON.parse((await cli("run", folder, "--signature", "serving_default", ...feeds)).out).fetches;
  expect(await fetched()).toEqual({ y: [4, 9] });
  expect(await fetched("--feed", "x=[1,2]")).toEqual({ y: [1, 4] });
});

test("tags that no MetaGraph has are refused with those that there are", async () => {
  const { code, err } = await cli("run", join(GOLDENS, "table1"), "--tags", "serve,gpu", "--fetch", "x");
  expect(code).toBe(1);
  expect(err).toMatch(
    /^\[NOT_FOUND\] .*MetaGraphDef associated with tags 'serve', 'gpu' could not be found.*\{'gpu', 'train'\}/,
  );
});
