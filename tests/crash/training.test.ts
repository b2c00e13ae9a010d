/**
 * A training is killed at random moments and started again: its losses are, bit for bit, those of a training that was never killed. Twenty
 * kills with VARSCOPE_CRASHES; the tests make a few.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const KILLS = process.env.VARSCOPE_CRASHES === undefined ? 4 : 20;
/** Some dozen steps and several checkpoints long. */
const MOST_MS = 1200;
/** Every so many kills, one comes before the training is under way. */
const EARLY = 4;

const REPOSITORY = join(import.meta.dirname, "../..");

let root = "";
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "varscope-training-"));
  symlinkSync(join(REPOSITORY, "node_modules"), join(root, "node_modules"));
  await build({
    entryPoints: [join(import.meta.dirname, "trainer.ts")],
    outfile: join(root, "trainer.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    conditions: ["source"],
    // native code and its loader stay where they are
    external: ["onnxruntime-*", "@node-rs/*", "@grpc/*"],
    logLevel: "error",
  });
});
afterAll(() => rmSync(root, { recursive: true }));

/** A trainer; it is killed so many milliseconds after it said "ready", or was started. @returns what it said, and how long until "ready" */
async function trained(
  name: string,
  steps: number,
  kill?: { readonly after: "start" | "ready"; readonly ms: number },
): Promise<{ said: string; readyMs: number }> {
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [join(root, "trainer.mjs"), join(root, name), join(root, `${name}.txt`), String(steps)],
    { stdio: ["ignore", "pipe", "pipe"], cwd: REPOSITORY },
  );
  let said = "";
  let errors = "";
  let readyMs = Number.NaN;
  const killIn = (ms: number): void => void setTimeout(() => child.kill("SIGKILL"), ms);
  child.stderr.on("data", (text) => {
    errors += text;
  });
  child.stdout.on("data", (text) => {
    if (said === "") {
      readyMs = performance.now() - started;
      if (kill?.after === "ready") killIn(kill.ms);
    }
    said += text;
  });
  if (kill?.after === "start") killIn(kill.ms);
  const signal = await new Promise((resolve) => child.once("close", (_, s) => resolve(s)));
  if (signal === null && !said.includes("done")) throw new Error(`the trainer failed: ${errors}`);
  return { said, readyMs };
}

/** Bits of the losses by step, all that were written down. */
function lossesOf(name: string): Map<number, Set<string>> {
  const losses = new Map<number, Set<string>>();
  for (const line of readFileSync(join(root, `${name}.txt`), "utf8")
    .trimEnd()
    .split("\n")) {
    const [step, bits] = line.split(" ") as [string, string];
    losses.set(Number(step), (losses.get(Number(step)) ?? new Set()).add(bits));
  }
  return losses;
}

test(
  "a training that is killed again and again ends with the losses per step of one that never was",
  async () => {
    let readyMs = 0;
    for (let i = 0; i < KILLS; i++) {
      const early = i % EARLY === EARLY - 1;
      const kill = early
        ? ({ after: "start", ms: Math.random() * readyMs } as const)
        : ({ after: "ready", ms: Math.random() * MOST_MS } as const);
      const run = await trained("killed", 1_000_000, kill);
      if (!early) readyMs = run.readyMs;
    }
    const reached = Math.max(...lossesOf("killed").keys());
    const last = reached + 10;
    await trained("killed", last);
    await trained("whole", last);
    const [killed, whole] = [lossesOf("killed"), lossesOf("whole")];
    const again = [...readFileSync(join(root, "killed.txt"), "utf8").matchAll(/\n/g)].length - last;
    process.stdout.write(
      `crash: training: ${KILLS} kills over ${last} steps, ${again} of them made again; all losses the same\n`,
    );
    expect([...whole.keys()]).toEqual(Array.from({ length: last }, (_, i) => i));
    expect(new Map([...killed].sort(([a], [b]) => a - b))).toEqual(whole);
    expect(new Set([...whole.values()].map((bits) => [...bits].join())).size).toBeGreaterThan(last / 2);
  },
  15 * 60_000,
);
