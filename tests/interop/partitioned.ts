/** @file Partitioned variables: what goes through our stream has TensorFlow's bytes, and its Saver restores it into other partitions. */

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { salvageCheckpoint } from "../../src/edit/repair.ts";
import { openCheckpointCollection, writeV2Collection } from "../../src/formats/checkpoint/index.ts";
import { contentsOf } from "../../src/formats/collection/index.ts";
import type { TensorFlow } from "./tensorflow.ts";

const FILES = [".index", ".data-00000-of-00001"];
const ROWS = 1000;
const COLUMNS = 30;

export function partitionedSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("partitioned variables", () => {
    test.each([
      [3, 0],
      [4, 1],
    ])("in %i parts of axis %i", async (parts, axis) => {
      const place = join(folder, "partitioned");
      await mkdir(place, { recursive: true });
      const [theirs, ours] = [join(place, `theirs${axis}`), join(place, `ours${axis}`)];
      const shape = { rows: ROWS, columns: COLUMNS };
      const values = await tf!.ask("save_partitioned", { prefix: theirs, ...shape, parts, axis });
      const opened = await openCheckpointCollection(theirs);
      expect(opened.find("grid").parts).toHaveLength(parts);
      await writeV2Collection(ours, contentsOf(opened));
      for (const file of FILES)
        expect(readFileSync(ours + file).equals(readFileSync(theirs + file)), file).toBe(true);

      // Whole in ours and in other parts there, and the other way round.
      const whole = contentsOf(opened).variables.map(({ parts: _, ...v }) => v);
      await writeV2Collection(`${ours}-whole`, { variables: whole });
      for (const [prefix, n] of [
        [ours, 1],
        [ours, 7],
        [`${ours}-whole`, parts],
      ] as const)
        expect(await tf!.ask("restore_partitioned", { prefix, ...shape, parts: n, axis })).toEqual(values);
      await opened.close();

      const { saved, lost } = await salvageCheckpoint(theirs, `${ours}-repaired`);
      expect([saved, lost]).toEqual([["bias", "grid", "words"], []]);
      const repaired = { prefix: `${ours}-repaired`, ...shape, parts, axis };
      expect(await tf!.ask("restore_partitioned", repaired)).toEqual(values);
    });
  });
}
