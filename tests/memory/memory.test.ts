/**
 * Memory comes back on close: 200 models of 3 MB are loaded, run, trained and closed in one process, which holds no more than before. The first
 * hundred are not counted: they grow the heaps of V8 and glibc to the size that such models need.
 *
 * Measured (Node 20, Linux, onnxruntime-node): 121 MB before, 192.0 after 100 loads, 205.4 after 300, 206.0 after 450. Models that leaked would add 3 MB each.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const WARM_UP = 100;
const LOADS = 200;
/** What the allocators' free lists vary by: some 0.1 MB a load, a twenty-fourth of a model. */
const MOST_GROWTH_MB = 25;

const REPOSITORY = join(import.meta.dirname, "../..");

let root = "";
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "varscope-memory-"));
  symlinkSync(join(REPOSITORY, "node_modules"), join(root, "node_modules"));
  await build({
    entryPoints: [join(import.meta.dirname, "models.ts")],
    outfile: join(root, "models.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["source"],
    // native code and its loader stay where they are
    external: ["onnxruntime-*", "@node-rs/*", "@grpc/*"],
    logLevel: "error",
  });
});
afterAll(() => rmSync(root, { recursive: true }));

/** Megabytes by number of loads. */
async function measured(): Promise<Map<number, { readonly rss: number; readonly heap: number }>> {
  const golden = join(REPOSITORY, "tests/goldens/control-flow/tensor_array_loop.v1.pb.gz");
  const args = ["--expose-gc", join(root, "models.mjs"), String(WARM_UP + LOADS), root, golden];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let errors = "";
  child.stdout.on("data", (text) => {
    said += text;
  });
  child.stderr.on("data", (text) => {
    errors += text;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`the process failed: ${errors}`);
  return new Map(
    said
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { loads: number; rss: number; heap: number })
      .map(({ loads, ...held }) => [loads, held]),
  );
}

test("200 models that are loaded, run, trained and closed leave the process no larger", async () => {
  const held = await measured();
  const [before, after] = [held.get(WARM_UP)!, held.get(WARM_UP + LOADS)!];
  const report = JSON.stringify(Object.fromEntries(held));
  expect(after.rss - before.rss, report).toBeLessThan(MOST_GROWTH_MB);
  expect(after.heap - before.heap, report).toBeLessThan(2);
}, 600_000);
