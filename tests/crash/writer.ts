/** What is killed while it writes: `node writer.mjs KIND FOLDER STEP` saves step after step, and says each that is done. */

import { writeSync } from "node:fs";
import { join } from "node:path";
import { fromData } from "../../src/base/index.ts";
import { writeSafetensors } from "../../src/formats/arrays/index.ts";
import { saveCheckpoint, updateCheckpointState } from "../../src/formats/checkpoint/index.ts";
import { variableOf } from "../../src/formats/collection/index.ts";
import { remove } from "../../src/platform/node.ts";

/** Sizes from one write to several. */
const SIZES = [1, 100, 5000, 40_000, 100_000, 300_000];

/** Every value of a step is that step, so that a mixture shows. */
const tensorsOf = (step: number) =>
  SIZES.map((size, i) => ({
    name: `v${i}`,
    tensor: fromData("float32", [size], new Float32Array(size).fill(step)),
  }));

/** Wait for no disk: the process dies, the machine does not. */
const FAST = { sync: false };

const WAYS: Readonly<Record<string, (folder: string, step: number) => Promise<unknown>>> = {
  replace: (folder, step) =>
    saveCheckpoint(join(folder, "m"), tensorsOf(step), { ...FAST, shards: 1 + (step % 3) }),
  async saver(folder, step) {
    const prefix = (n: number): string => join(folder, `m-${n}`);
    await saveCheckpoint(prefix(step), tensorsOf(step), FAST);
    const all = [step - 1, step].filter((n) => n >= 0);
    await updateCheckpointState(
      folder,
      {
        modelCheckpointPath: prefix(step),
        allModelCheckpointPaths: all.map(prefix),
        allModelCheckpointTimestamps: [],
      },
      FAST,
    );
    await remove(`${prefix(step - 2)}.index`);
    await remove(`${prefix(step - 2)}.data-00000-of-00001`);
  },
  file: (folder, step) =>
    writeSafetensors(
      join(folder, "m.safetensors"),
      { variables: tensorsOf(step).map(({ name, tensor }) => variableOf(name, tensor)) },
      FAST,
    ),
};

const [, , way, folder, first] = process.argv;
for (let step = Number(first); ; step++) {
  await WAYS[way!]!(folder!, step);
  writeSync(1, `${step}\n`);
}
