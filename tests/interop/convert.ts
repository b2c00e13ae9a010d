/** @file Files that we convert between TensorFlow 1, Keras 2 and Keras 3: the real ones load them and give equal outputs. */

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/program.ts";
import type { TensorFlow } from "./tensorflow.ts";

const GOLDENS = join(import.meta.dirname, "..", "goldens", "convert");
const values = JSON.parse(readFileSync(join(GOLDENS, "values.json"), "utf8"));

interface Outputs {
  readonly y: readonly (readonly number[])[];
  readonly step: number;
  readonly moments?: readonly number[];
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

export function convertSuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "convert");
  const golden = (name: string) => join(GOLDENS, name);
  const keras = (path: string, kind = "file") =>
    tf!.ask<Outputs>("keras_outputs", { path, x: values.x, kind });
  describe.skipIf(tf === null)("converted files", () => {
    beforeAll(() => mkdir(at, { recursive: true }));

    test.each(["new.keras", "named.keras"])(
      "TensorFlow 1 -> %s: Keras predicts what TensorFlow did",
      async (like) => {
        const out = join(at, `tf1-${like}`);
        await convert(golden("tf1"), out, "--like", golden(like));
        const found = await keras(out);
        expectClose(found.y, values.tf1);
        expect(found.step).toBe(5);
        for (const sum of found.moments!) expect(sum).toBeGreaterThan(0);
      },
    );

    test(".keras -> TensorFlow 1: Saver restores it, Adam's variables too", async () => {
      const out = join(at, "keras-tf1");
      await convert(golden("same.keras"), out, "--like", golden("tf1-new"));
      const found = await tf!.ask<Outputs>("tf1_outputs", { path: out, x: values.x });
      expectClose(found.y, values.same);
      expect(found.step).toBe(5);
    });

    test("Keras 2's objects -> .keras", async () => {
      const out = join(at, "keras2.keras");
      await convert(golden("keras2"), out, "--like", golden("named.keras"));
      const found = await keras(out);
      expectClose(found.y, values.keras2);
      expect(found.step).toBe(5);
    });

    test("Keras 2's objects -> Keras 3's: restored whole", async () => {
      const out = join(at, "keras3-objects");
      await convert(golden("keras2"), out, "--layout", "keras3");
      const found = await keras(out, "object");
      expectClose(found.y, values.keras2);
      expect(found.step).toBe(5);
    });

    test.each(["w.weights.h5", "w.h5", "w.safetensors", "w.npz", "w.v1", "w"])(
      ".keras -> %s -> .keras gives a model of equal outputs",
      async (name) => {
        await convert(golden("same.keras"), join(at, name));
        const out = join(at, `${name}.keras`);
        await convert(join(at, name), out, "--like", golden("named.keras"));
        const found = await keras(out);
        expectClose(found.y, values.same);
        expect(found.step).toBe(5);
      },
    );
  });
}
