/** @file Files that we convert between TensorFlow 1, Keras 2 and Keras 3: the real ones load them and give equal outputs. */

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/program.ts";
import type { TensorFlow } from "./tensorflow.ts";

const GOLDENS = join(import.meta.dirname, "..", "goldens", "convert");
const values = JSON.parse(readFileSync(join(GOLDENS, "values.json"), "utf8"));

interface Outputs {
  readonly y: readonly (readonly number[])[];
  readonly step: number;
  readonly moments: readonly number[];
  readonly error?: string;
}

async function convert(...argv: string[]): Promise<void> {
  let err = "";
  const sink = (text: string) => {
    err += text;
  };
  const code = await runCli(["convert", ...argv], { stdout: { write: () => {} }, stderr: { write: sink } });
  expect(err).toBe("");
  expect(code).toBe(0);
}

/** Float32 sums in another order. */
function expectClose(found: Outputs["y"], wanted: Outputs["y"]): void {
  const [x, y] = [found.flat(), wanted.flat()];
  expect(x).toHaveLength(y.length);
  for (const [i, v] of x.entries()) expect(Math.abs(v - y[i]!), `output ${i}`).toBeLessThan(1e-5);
}

const golden = (name: string) => join(GOLDENS, name);
const LIKE = ["--like", golden("named.keras")];

/** Conversions that Keras loads at the end: name of the file -> arguments of `convert` but the last, what it must predict. */
const KERAS: Readonly<Record<string, readonly [steps: readonly (readonly string[])[], wanted: string]>> = {
  "tf1-new.keras": [[[golden("tf1"), "tf1-new.keras", "--like", golden("new.keras")]], "tf1"],
  "tf1-named.keras": [[[golden("tf1"), "tf1-named.keras", ...LIKE]], "tf1"],
  "keras2-named.keras": [[[golden("keras2"), "keras2-named.keras", ...LIKE]], "keras2"],
  "keras3-objects": [[[golden("keras2"), "keras3-objects", "--layout", "keras3"]], "keras2"],
  ...Object.fromEntries(
    ["w.weights.h5", "w.h5", "w.safetensors", "w.npz", "w.v1", "w"].map((name) => [
      `${name}.keras`,
      [
        [
          [golden("same.keras"), name],
          [name, `${name}.keras`, ...LIKE],
        ],
        "same",
      ],
    ]),
  ),
};

export function convertSuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "convert");
  const inFolder = (name: string): string => (isAbsolute(name) ? name : join(at, name));
  describe.skipIf(tf === null)("converted files", () => {
    const loaded = new Map<string, Outputs>();
    beforeAll(async () => {
      await mkdir(at, { recursive: true });
      for (const [steps] of Object.values(KERAS))
        for (const [from, to, ...options] of steps) await convert(inFolder(from!), inFolder(to!), ...options);
      // One Keras for all: it takes seconds to load.
      const paths = Object.keys(KERAS).map(inFolder);
      const found = await tf!.ask<Outputs[]>("keras_outputs", { paths, x: values.x });
      Object.keys(KERAS).forEach((name, i) => {
        loaded.set(name, found[i]!);
      });
    }, 300_000);

    test.each(Object.keys(KERAS))("%s: Keras loads it, and predicts what its origin did", (name) => {
      const { y, step, moments, error } = loaded.get(name)!;
      expect(error).toBeUndefined();
      expectClose(y, values[KERAS[name]![1]]);
      expect(step).toBe(5);
      expect(moments.filter((sum) => sum > 0)).toHaveLength(16);
    });

    test(".keras -> TensorFlow 1: Saver restores it, Adam's variables too", async () => {
      const out = join(at, "keras-tf1");
      await convert(golden("same.keras"), out, "--like", golden("tf1-new"));
      const found = await tf!.ask<Outputs>("tf1_outputs", { path: out, x: values.x });
      expectClose(found.y, values.same);
      expect(found.step).toBe(5);
    });
  });
}
