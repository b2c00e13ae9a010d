/** @file Files of Keras that we write, loaded by Keras and opened by h5py. */

import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { contentsOf, type VariableCollection } from "../../src/formats/collection/index.ts";
import {
  openKerasArchive,
  openKerasH5File,
  writeKerasH5,
  writeKerasV3,
  writeKerasWeights,
} from "../../src/formats/keras/index.ts";
import { fileSource } from "../../src/platform/node.ts";
import type { TensorFlow } from "./tensorflow.ts";

const GOLDENS = new URL("../goldens/keras-files/", import.meta.url);

export function kerasFileSuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "keras-files");
  /** A golden file on the disk. */
  const golden = async (name: string): Promise<string> => {
    await mkdir(at, { recursive: true });
    const path = join(at, name);
    writeFileSync(path, gunzipSync(readFileSync(new URL(`${name}.gz`, GOLDENS))));
    return path;
  };
  const open = (path: string): Promise<VariableCollection> =>
    (path.endsWith(".keras") ? openKerasArchive : openKerasH5File)(fileSource(path), path);
  const ours = async (from: string, name: string, write: typeof writeKerasV3): Promise<string> => {
    const path = join(at, `ours-${name}`);
    const collection = await open(from);
    await write(path, contentsOf(collection));
    await collection.close();
    return path;
  };
  const same = { outputs: true, weights: true, optimizer: true };

  describe.skipIf(tf === null)("files of Keras", () => {
    test.each(["functional.keras", "sequential.keras", "optimizer-nadam.keras"])(
      "Keras loads %s as we write it",
      async (name) => {
        const theirs = await golden(name);
        expect(await tf!.ask("keras_same", { theirs, ours: await ours(theirs, name, writeKerasV3) })).toEqual(
          same,
        );
      },
    );

    test("Keras loads our .weights.h5, of a .keras and of another", { timeout: 300_000 }, async () => {
      const theirs = await golden("functional.keras");
      const weights = await golden("functional.weights.h5");
      for (const [from, name] of [
        [theirs, "a.weights.h5"],
        [weights, "b.weights.h5"],
      ] as const)
        expect(
          await tf!.ask("keras_same", { theirs, ours: await ours(from, name, writeKerasWeights) }),
        ).toEqual(same);
    });

    // Keras 3.15 gives no model of an .h5 its optimizer's slots back, of its own files neither.
    test("Keras loads our .h5, of an .h5 and of a .keras", { timeout: 300_000 }, async () => {
      const theirs = await golden("functional.keras");
      const legacy = await golden("functional.h5");
      const mine = [
        await ours(legacy, "legacy.h5", writeKerasH5),
        await ours(theirs, "archive.h5", writeKerasH5),
      ];
      for (const path of mine)
        expect(await tf!.ask("keras_same", { theirs, ours: path })).toMatchObject({
          outputs: true,
          weights: true,
        });
      expect(await tf!.ask("h5_same", { theirs: legacy, ours: mine[0] })).toEqual([]);
      const differs = await tf!.ask<string[]>("h5_same", { theirs: legacy, ours: mine[1] });
      expect(differs.filter((path) => !/@(model_config|training_config|keras_version)$/.test(path))).toEqual(
        [],
      );
    });

    test.each(["functional.weights.h5", "keras2-weights.h5", "keras2.h5", "arrays.h5"])(
      "h5py finds in our %s what is in theirs",
      async (name) => {
        const theirs = await golden(name);
        const write = name.endsWith(".weights.h5") ? writeKerasWeights : writeKerasH5;
        const differs = await tf!.ask<string[]>("h5_same", { theirs, ours: await ours(theirs, name, write) });
        // Numbers of other byte order are written as ours; an empty list has a type of its own.
        expect(differs.filter((path) => path !== "g/be")).toEqual([]);
      },
    );
  });
}
