/**
 * Writers are killed at random moments: what was saved before is whole, or what was being saved. VARSCOPE_CRASHES=200 is the full run;
 * the tests make a short one. What else the killed left is gone after the next write.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSafetensors } from "../../src/formats/arrays/index.ts";
import { latestCheckpoint, openCheckpointCollection } from "../../src/formats/checkpoint/index.ts";
import type { VariableCollection } from "../../src/formats/collection/index.ts";
import { fileSource, writeFileAtomic } from "../../src/platform/node.ts";

const CRASHES = Number(process.env.VARSCOPE_CRASHES ?? 15);
/** Some saves long. */
const MOST_MS = 120;

let folder = "";
let writer = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "varscope-crash-"));
  writer = join(folder, "writer.mjs");
  await build({
    entryPoints: [join(import.meta.dirname, "writer.ts")],
    outfile: writer,
    bundle: true,
    platform: "node",
    format: "esm",
    conditions: ["source"],
    logLevel: "error",
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Random numbers below 1, the same in each run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Starts a writer and kills it `ms` after its first save. @returns the last step that it said was done */
async function killed(way: string, place: string, step: number, ms: number): Promise<number> {
  const child = spawn(process.execPath, [writer, way, place, String(step)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  let errors = "";
  child.stderr.on("data", (text) => {
    errors += text;
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (text) => {
      said += text;
      resolve();
    });
    child.once("exit", () => reject(new Error(`the writer ended by itself: ${errors}`)));
  });
  await new Promise((resolve) => setTimeout(resolve, ms));
  child.kill("SIGKILL");
  await ended;
  return Number(said.trim().split("\n").at(-1));
}

/** The step that all values of a container are of; checksums are verified where there are some. */
async function stepOf(opened: VariableCollection): Promise<number> {
  const steps = new Set<number>();
  for (const { name } of opened.variables)
    for (const value of (await opened.read(name)).data as Float32Array) steps.add(value);
  await opened.close();
  expect(opened.variables.length).toBe(6);
  expect([...steps]).toHaveLength(1);
  return [...steps][0]!;
}

const OPEN: Readonly<Record<string, (place: string) => Promise<VariableCollection>>> = {
  replace: (place) => openCheckpointCollection(join(place, "m")),
  saver: async (place) => openCheckpointCollection((await latestCheckpoint(place))!),
  file: async (place) => openSafetensors(fileSource(join(place, "m.safetensors")), "m"),
};

test.each(["replace", "saver", "file"])(
  "a writer that is killed leaves a whole container: %s",
  async (way) => {
    const random = generator(way.length);
    const place = mkdtempSync(join(folder, `${way}-`));
    const count = Math.ceil(CRASHES / 3);
    let step = 0;
    let later = 0;
    for (let i = 0; i < count; i++) {
      const done = await killed(way, place, step, random() * MOST_MS);
      const found = await stepOf(await OPEN[way]!(place));
      // What was said to be done is there, or the one that was under way.
      expect([done, done + 1]).toContain(found);
      if (found > done) later++;
      step = found + 1;
    }
    await writeFileAtomic(join(place, "next"), []);
    expect(readdirSync(place).filter((name) => name.includes(".tmp-"))).toEqual([]);
    process.stdout.write(
      `crash: ${way}: ${count} kills over ${step} saves, ${later} after the change and before its word; all whole\n`,
    );
  },
  15 * 60_000,
);
