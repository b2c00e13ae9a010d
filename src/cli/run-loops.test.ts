/** MetaGraphs of TensorFlow with a conditional and a loop over variables, run and trained by `varscope run`. The values are TensorFlow's. */

import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "./program.ts";

interface Model {
  readonly style: string;
  /** of the branch taken when true, then of the other */
  readonly outputs: readonly unknown[];
  readonly losses: readonly number[];
}

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "control-flow-meta");
const { x, models } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as {
  readonly x: unknown;
  readonly models: readonly Model[];
};
let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-loops-"));
  for (const file of readdirSync(GOLDENS)) {
    if (!file.endsWith(".gz")) copyFileSync(join(GOLDENS, file), join(dir, file));
    else writeFileSync(join(dir, file.slice(0, -3)), gunzipSync(readFileSync(join(GOLDENS, file))));
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The fetch of each step. */
async function run(style: string, taken: boolean, ...argv: string[]): Promise<unknown[]> {
  let [out, err] = ["", ""];
  const prefix = join(dir, style);
  const feeds = ["--feed", `x=${JSON.stringify(x)}`, "--feed", `p=${taken}`];
  await runCli(["run", `${prefix}.meta`, "--checkpoint", prefix, ...feeds, ...argv], {
    stdout: {
      write: (text) => {
        out += text;
      },
    },
    stderr: {
      write: (text) => {
        err += text;
      },
    },
  });
  expect(err).toBe("");
  const steps = out.trimEnd().split("\n");
  return steps.map((line) => Object.values(JSON.parse(line).fetches)[0]);
}

function expectClose(got: unknown, want: unknown): void {
  const [a, b] = [[got].flat(9), [want].flat(9)] as [number[], number[]];
  expect(a.length).toBe(b.length);
  const off = a.map((v, i) => Math.abs(v - b[i]!) / (1 + Math.abs(b[i]!)));
  expect(Math.max(...off)).toBeLessThanOrEqual(1e-5);
}

describe.each(models)("$style", ({ style, outputs, losses }) => {
  test.each([true, false])("gives TensorFlow's values where the predicate is %s", async (taken) => {
    const [out] = await run(style, taken, "--fetch", "out");
    expectClose(out, outputs[taken ? 0 : 1]);
  });

  test("trains through the loop with TensorFlow's losses", async () => {
    const steps = await run(style, true, "--fetch", "loss", "--target", "train", "--steps", "5");
    expectClose(steps, losses);
  });
});
