/** The short examples run, and show what they say. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main as anyContainer } from "../examples/any-container.ts";
import { main as averages } from "../examples/averages.ts";
import { main as batchNorm } from "../examples/batch-norm.ts";
import { main as cluster } from "../examples/cluster/main.ts";
import { main as fineTune } from "../examples/fine-tune.ts";
import { main as gan } from "../examples/gan.ts";
import { main as inspectCheckpoint } from "../examples/inspect-checkpoint.ts";
import { main as monitored } from "../examples/monitored.ts";
import { main as quickstart } from "../examples/quickstart.ts";
import { main as shareVariables } from "../examples/share-variables.ts";
import { main as twoModels } from "../examples/two-models.ts";

let folder = "";
let probabilities: number[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "varscope-examples-"));
  probabilities = await quickstart(folder);
});

afterAll(() => rm(folder, { recursive: true }));

test("quickstart trains, saves and freezes", async () => {
  expect(probabilities[1]).toBeGreaterThan(0.9);
  expect((await readdir(folder)).sort()).toEqual([
    "checkpoint",
    "xor-200.data-00000-of-00001",
    "xor-200.index",
    "xor-200.meta",
    "xor.pb",
  ]);
});

test("inspect-checkpoint lists what quickstart saved, Adam's slots too", async () => {
  const lines: string[] = [];
  // 2·16 + 16 + 16·2 + 2 parameters, each with m and v, and two powers of beta
  expect(await inspectCheckpoint(folder, "logits/bias", (line) => lines.push(line))).toBe(82 * 3 + 2);
  expect(lines).toContain("hidden/kernel/Adam_1  float32 [2, 16]  128 bytes");
  expect(lines.at(-1)).toMatch(/^\[ ?-?\d\.\d+ +-?\d\.\d+\]$/);
});

test("any-container lists, diagnoses, converts, drops slots and compares what quickstart saved", async () => {
  const lines: string[] = [];
  const out = await mkdtemp(join(folder, "out-"));
  const found = await anyContainer(folder, out, (line) => lines.push(line));
  expect(found).toEqual({ variables: 14, findings: 0, equal: 4, onlyInA: 10 });
  expect(lines).toContain("hidden/kernel/Adam_1  slot of hidden/kernel");
});

test("batch-norm: forgotten updates leave 0 and 1, and are warned of; the cure moves them", async () => {
  const { forgotten, updated } = await batchNorm(() => undefined);
  expect(forgotten).toMatchObject({ movingMean: 0, movingVariance: 1 });
  expect(forgotten.warnings).toEqual([expect.stringMatching(/leaves out 2 update ops/)]);
  const left = 0.99 ** 50; // of the initial value
  expect(updated.movingMean).toBeCloseTo(3 * (1 - left), 4);
  expect(updated.movingVariance).toBeCloseTo(left + (14 / 3) * (1 - left), 4);
  expect(updated.warnings).toEqual([]);
});

test("averages: the moving average, and the recalibrated mean of weights, do better than the last weights", async () => {
  const lines: string[] = [];
  const { last, ema, recalibrated } = await averages((line) => lines.push(line));
  expect(ema).toBeLessThan(last!);
  expect(recalibrated).toBeLessThan(last!);
  expect(lines.filter((line) => /was off by/.test(line))).toHaveLength(3);
});

test("share-variables: two calls, one set of variables", async () => {
  const { variables, ops, codes } = await shareVariables(() => undefined);
  expect(variables).toEqual([
    "encoder/hidden/kernel",
    "encoder/hidden/bias",
    "encoder/code/kernel",
    "encoder/code/bias",
  ]);
  expect(ops).toEqual(["encoder/code/BiasAdd", "encoder_1/code/BiasAdd"]);
  expect(codes[0]).toEqual(codes[1]);
});

test("cluster: two workers learn one model, or one line says that TensorFlow is missing", async () => {
  const lines: string[] = [];
  const learned = await cluster((line) => lines.push(line));
  if (learned === null) {
    expect(lines).toEqual([expect.stringMatching(/^cluster: no TensorFlow found/)]);
    return;
  }
  expect(lines.filter((l) => l.startsWith("worker 1"))).toHaveLength(5);
  const [w0, w1, b, steps] = learned;
  expect(Math.abs(w0! - 2) + Math.abs(w1! + 3) + Math.abs(b! - 0.5)).toBeLessThan(0.05);
  expect(steps).toBe(200);
});

test("gan: the generator's step needs no real samples and leaves the discriminator's statistics alone", async () => {
  const { before, afterGenerator, after, warnings } = await gan(() => undefined);
  expect(afterGenerator).toEqual(before.statistics);
  expect(after.statistics).not.toEqual(before.statistics);
  expect(warnings).toEqual([]);
  const distance = ([x, y]: number[]): number => Math.hypot(x! - 2, y! + 1);
  expect(distance(after.center)).toBeLessThan(0.3);
  expect(distance(after.center)).toBeLessThan(distance(before.center) / 4);
});

test("monitored goes on where it was stopped, and writes what TensorBoard shows", async () => {
  const place = join(folder, "monitored");
  const lines: string[] = [];
  await monitored(place, 120, (line) => lines.push(line));
  const loss = await monitored(place, 300, (line) => lines.push(line));
  expect(loss).toBeLessThan(0.2);
  expect(lines).toContain(`Restoring parameters from ${place}/model.ckpt-120`);
  const files = await readdir(place);
  expect(files.filter((f) => f.startsWith("events.out.tfevents."))).toHaveLength(2);
  const saved = (name: string): number[] =>
    files.flatMap((f) => (new RegExp(`^${name}-(\\d+)\\.index$`).exec(f) ?? []).slice(1)).map(Number);
  expect(saved("model.ckpt").sort((a, b) => a - b)).toEqual([0, 100, 120, 220, 300]);
  expect(saved("input.ckpt").sort((a, b) => a - b)).toEqual([0, 100, 120, 220, 300]);
});

test("README shows examples/quickstart.ts to the letter, in both languages", async () => {
  const root = join(import.meta.dirname, "..");
  const code = (await readFile(join(root, "examples", "quickstart.ts"), "utf8")).replace(
    /^\/\*\*.*\*\/\n/,
    "",
  );
  for (const file of ["README.md", "README.zh-CN.md"]) {
    const text = (await readFile(join(root, file), "utf8")).replaceAll("\r\n", "\n");
    expect(/```ts\n([\s\S]*?)```/.exec(text)?.[1], file).toBe(code);
  }
});

test("two-models: an encoder's features feed a classifier; each is saved and restored by its own keys", async () => {
  const out = await mkdtemp(join(folder, "two-"));
  const { classes, trained, served } = await twoModels(out, () => undefined);
  expect(classes).toEqual([0, 1, 1, 0]);
  expect(served).toEqual(trained);
});

test("fine-tune: a SavedModel of Keras 3 learns something else, and is one again", async () => {
  const out = await mkdtemp(join(folder, "tuned-"));
  const { variables, before, after, served } = await fineTune(out, () => undefined);
  expect(variables).toEqual(["net/d/kernel_1:0", "net/bn/gamma_1:0", "net/d/bias_1:0", "net/bn/beta_1:0"]);
  expect(after).toBeLessThan(before / 100);
  expect(served).toBeCloseTo(after, 5);
  expect((await readdir(out)).sort()).toEqual([
    "checkpoint",
    "tuned-model",
    "tuned.data-00000-of-00001",
    "tuned.index",
  ]);
});
