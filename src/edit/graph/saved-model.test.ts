import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { runCli } from "../../cli/program.ts";
import { openModel } from "../open-model.ts";

const HEALTHY = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "healthy");
const MODEL = join(HEALTHY, "saved_model_keras3");
const folder = mkdtempSync(join(tmpdir(), "varscope-saved-model-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...argv: string[]): Promise<{ code: number; err: string }> {
  let err = "";
  const stderr = { write: (text: string) => (err += text) };
  return { code: await runCli(argv, { stdout: { write: () => {} }, stderr }), err };
}

async function valuesOf(path: string, name: string): Promise<Float32Array> {
  const model = await openModel(path);
  try {
    return (await model.read(name)).data as Float32Array;
  } finally {
    await model.close();
  }
}

test("an edited SavedModel is a SavedModel with the same graph", async () => {
  const out = join(folder, "edited");
  expect(await cli("edit", MODEL, out, "--reverse", "digits/conv1/kernel:2")).toEqual({ code: 0, err: "" });
  const [before, after] = [
    await valuesOf(MODEL, "digits/conv1/kernel"),
    await valuesOf(out, "digits/conv1/kernel"),
  ];
  expect(after).not.toEqual(before);
  expect([...after.slice(0, 4)]).toEqual([...before.slice(8, 12)]); // [3,3,3,4]: channel 2 comes first
  expect(readFileSync(join(out, "saved_model.pb"))).toEqual(readFileSync(join(MODEL, "saved_model.pb")));
});

test("weights of another container go into a SavedModel's graph", async () => {
  const out = join(folder, "filled");
  expect((await cli("convert", join(HEALTHY, "keras3.keras"), out, "--like", MODEL)).code).toBe(0);
  for (const name of ["digits/bn1/moving_variance", "digits/logits/kernel"]) {
    expect(await valuesOf(out, name)).toEqual(await valuesOf(join(HEALTHY, "keras3.keras"), name));
  }
});

test("without a graph there is no SavedModel", async () => {
  const out = join(folder, "none");
  const { code, err } = await cli("convert", join(HEALTHY, "weights.npz"), out, "--format", "saved-model");
  expect(code).toBe(1);
  expect(err).toMatch(/^\[FAILED_PRECONDITION\] .*needs a graph.*--like/);
});
