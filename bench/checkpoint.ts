/**
 * @file Save and restore of 512 MB: GB/s, medians of interleaved rounds, against TensorFlow's Python where VARSCOPE_PYTHON
 * names an interpreter that has it. `npm run bench` runs it.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoint, saveCheckpoint } from "../src/formats/checkpoint/index.ts";

const ROUNDS = 7;
const TENSORS = 16;
const FLOATS = 8 << 20; // 32 MiB each
const GIGABYTES = (TENSORS * FLOATS * 4) / 1e9;

/** Writes and reads the same tensors with TensorFlow; prints the seconds of each as JSON. */
const PYTHON = `
import sys, time, json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
prefix = sys.argv[1]
names = [f"w{i}" for i in range(${TENSORS})]
values = [tf.constant(np.full([${FLOATS}], i + 0.5, np.float32)) for i in range(${TENSORS})]
for _ in range(2):
    t = time.perf_counter()
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    save = time.perf_counter() - t
    t = time.perf_counter()
    tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), dtypes=[tf.float32] * len(names))
    restore = time.perf_counter() - t
print(json.dumps([save, restore]))
`;

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const speed = (times: readonly number[]): string => `${(GIGABYTES / median(times)).toFixed(2)} GB/s`;

const folder = mkdtempSync(join(tmpdir(), "varscope-bench-"));
const names = Array.from({ length: TENSORS }, (_, i) => `w${i}`);
const tensors = names.map((name, i) => ({
  name,
  tensor: { dtype: "float32" as const, shape: [FLOATS], data: new Float32Array(FLOATS).fill(i + 0.5) },
}));
const prefix = join(folder, "ours");
const times = { save: [] as number[], cached: [] as number[], restore: [] as number[] };
const theirs = { save: [] as number[], restore: [] as number[] };
const python = process.env.VARSCOPE_PYTHON;

try {
  for (let round = 0; round < ROUNDS; round++) {
    times.save.push(await seconds(() => saveCheckpoint(prefix, tensors)));
    times.cached.push(await seconds(() => saveCheckpoint(prefix, tensors, { sync: false })));
    times.restore.push(
      await seconds(async () => {
        const checkpoint = await openCheckpoint(prefix);
        await checkpoint.readMany(names);
        await checkpoint.close();
      }),
    );
    if (python === undefined) continue;
    const run = spawnSync(python, ["-c", PYTHON, join(folder, "theirs")], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`TensorFlow failed: ${run.stderr.slice(-500)}`);
    const [save, restore] = JSON.parse(run.stdout.trim().split("\n").at(-1)!) as [number, number];
    theirs.save.push(save);
    theirs.restore.push(restore);
  }
  console.log(`save on disk      ${speed(times.save)}   (waits for the disk, as we do by default)`);
  console.log(
    `save in cache     ${speed(times.cached)}   TensorFlow ${python ? speed(theirs.save) : "not found"}`,
  );
  console.log(
    `restore           ${speed(times.restore)}   TensorFlow ${python ? speed(theirs.restore) : "not found"}`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
