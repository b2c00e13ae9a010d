/**
 * @file Save and restore of 512 MB: GB/s, medians of interleaved rounds, against TensorFlow's Python where VARSCOPE_PYTHON
 * names an interpreter that has it. Start at `benchCheckpoint`; `npm run bench` runs it.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint, saveCheckpoint } from "varscope/checkpoint";

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
def save():
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
def restore():
    return tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), dtypes=[tf.float32] * len(names))
def seconds(work):
    t = time.perf_counter(); work(); return time.perf_counter() - t
save()
print(json.dumps([seconds(save), seconds(restore), seconds(restore)]))
`;

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** GB/s of each job; TensorFlow's where it was found. */
export interface CheckpointSpeeds {
  /** waits for the disk, as we do by default */
  readonly saveOnDisk: number;
  readonly saveInCache: number;
  readonly restore: number;
  readonly tensorflow?: {
    readonly saveInCache: number;
    /** into fresh memory, as ours; what dominates is the kernel's making of pages */
    readonly restore: number;
    /** into memory that an earlier restore has given back */
    readonly restoreAgain: number;
  };
}

const speed = (times: readonly number[]): number => GIGABYTES / median(times);

/** Measures in rounds, ours and TensorFlow's by turns. @param python - interpreter that has TensorFlow */
export async function benchCheckpoint(python = process.env.VARSCOPE_PYTHON): Promise<CheckpointSpeeds> {
  const folder = mkdtempSync(join(tmpdir(), "varscope-bench-"));
  const names = Array.from({ length: TENSORS }, (_, i) => `w${i}`);
  const tensors = names.map((name, i) => ({
    name,
    tensor: { dtype: "float32" as const, shape: [FLOATS], data: new Float32Array(FLOATS).fill(i + 0.5) },
  }));
  const prefix = join(folder, "ours");
  const restore = async () => {
    const checkpoint = await openCheckpoint(prefix);
    await checkpoint.readMany(names);
    await checkpoint.close();
  };
  const ours: number[][] = [[], [], []];
  const theirs: number[][] = [[], [], []];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      ours[0]!.push(await seconds(() => saveCheckpoint(prefix, tensors)));
      ours[1]!.push(await seconds(() => saveCheckpoint(prefix, tensors, { sync: false })));
      ours[2]!.push(await seconds(restore));
      if (python === undefined) continue;
      for (const [i, time] of runTensorFlow(python, join(folder, "theirs")).entries()) theirs[i]!.push(time);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const [saveOnDisk, saveInCache, read] = ours.map(speed) as [number, number, number];
  const speeds = { saveOnDisk, saveInCache, restore: read };
  if (python === undefined) return speeds;
  const [save, first, again] = theirs.map(speed) as [number, number, number];
  return { ...speeds, tensorflow: { saveInCache: save, restore: first, restoreAgain: again } };
}

function runTensorFlow(python: string, prefix: string): readonly number[] {
  const run = spawnSync(python, ["-c", PYTHON, prefix], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`TensorFlow failed: ${run.stderr.slice(-500)}`);
  return JSON.parse(run.stdout.trim().split("\n").at(-1)!) as number[];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await benchCheckpoint());
