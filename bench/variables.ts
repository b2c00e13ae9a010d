/**
 * @file Containers of variables: `inspect` and `convert` of 5 GB as processes of their own, reading and writing 1 GB, 100,000 names; by turns
 * with TensorFlow's Python where it is found. Start at `benchVariables`; `npm run bench` runs it.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint, saveCheckpoint } from "varscope/checkpoint";
import { openModel } from "varscope/edit";

const ROUNDS = 3;
const FLOATS = 16 << 20; // 64 MiB each
const TENSORS = 16; // 1 GiB
const LARGE = 80; // 5 GiB
const NAMES = 100_000;
const CLI = fileURLToPath(new URL("main.js", import.meta.resolve("varscope").replace(/index\.js$/, "cli/")));

/** TensorFlow's reader and Saver on 1 GB: a warm process, as a training is. Prints seconds of a save, of a reading, of another. */
const PYTHON = `
import os, sys, time, json
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
v1 = tf.compat.v1
v1.disable_eager_execution()
def seconds(work):
    t = time.perf_counter(); work(); return time.perf_counter() - t
vs = [v1.get_variable(f"w{i}", [${FLOATS}], tf.float32, initializer=v1.constant_initializer(i + 0.5)) for i in range(${TENSORS})]
saver = v1.train.Saver(vs)
with v1.Session() as s:
    s.run(v1.global_variables_initializer())
    save = lambda: saver.save(s, sys.argv[1], write_meta_graph=False)
    save()
    saved = seconds(save)
def read():
    reader = tf.train.load_checkpoint(sys.argv[1])
    for i in range(${TENSORS}): reader.get_tensor(f"w{i}")
print(json.dumps([saved, seconds(read), seconds(read)]))
`;

/** The same of ours, in a process of its own too: prints seconds of streaming all, of doing it again, of reading tensors into new memory. */
const READ = `
const { openModel } = await import("varscope/edit");
async function seconds(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
const over = (each) => async () => {
  const model = await openModel(process.argv[1]);
  for (const { name } of model.variables) await each(model, name);
  await model.close();
};
const stream = over(async (model, name) => { for await (const _ of model.stream(name)); });
const read = over((model, name) => model.read(name));
console.log(JSON.stringify([await seconds(stream), await seconds(stream), await seconds(read)]));
`;

const LIST = `
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
print(len(tf.train.list_variables(sys.argv[1])))
`;

/** Seconds, medians of rounds; TensorFlow's where it was found. */
export interface VariableSpeeds {
  /** process time of `inspect` on 5 GB, and of Python's list_variables with its import */
  readonly inspect: number;
  readonly listVariables?: number;
  /** 1 GB, each tensor into memory of its own, which the kernel must make */
  readonly read: number;
  /** 1 GB, piece by piece, as statistics, comparing and converting read */
  readonly stream: number;
  /** the same, again in one process */
  readonly streamAgain: number;
  readonly readTensorFlow?: number;
  /** the second reading of a process, into memory that the first gave back */
  readonly readTensorFlowAgain?: number;
  /** 1 GB; as TensorFlow, without waiting for the disk */
  readonly write: number;
  readonly writeTensorFlow?: number;
  /** 5 GB to safetensors and to V2: seconds, and most memory in MB */
  readonly convert: readonly { readonly to: string; readonly seconds: number; readonly peakMb: number }[];
  /** 100,000 names: as a checkpoint, and as any container */
  readonly open: number;
  readonly openAny: number;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function seconds(work: () => Promise<unknown> | unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const done = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, ...env } });
  if (done.status !== 0) throw new Error(`${program} ${args[0]} failed: ${done.stderr.slice(-500)}`);
  return done.stdout;
}

/**
 * Measures in rounds, ours and TensorFlow's by turns.
 *
 * @param python - interpreter that has TensorFlow
 * @param told - of each group of figures, once it is measured
 */
export async function benchVariables(
  python = process.env.VARSCOPE_PYTHON,
  told: (figures: object) => void = () => {},
): Promise<VariableSpeeds> {
  const folder = mkdtempSync(join(tmpdir(), "varscope-variables-"));
  try {
    const names = await ofManyNames(folder);
    told(names);
    const gigabyte = await ofOneGigabyte(folder, python);
    told(gigabyte);
    return { ...gigabyte, ...names, ...(await ofFiveGigabytes(folder, python)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function ofOneGigabyte(folder: string, python: string | undefined) {
  const [ours, theirs] = [join(folder, "ours"), join(folder, "theirs")];
  const tensors = Array.from({ length: TENSORS }, (_, i) => ({
    name: `w${i}`,
    tensor: { dtype: "float32" as const, shape: [FLOATS], data: new Float32Array(FLOATS).fill(i + 0.5) },
  }));
  const times: number[][] = Array.from({ length: 7 }, () => []);
  const keep = (from: number, printed: string): void => {
    const found = JSON.parse(printed.trim().split("\n").at(-1)!) as number[];
    for (const [i, s] of found.entries()) times[from + i]!.push(s);
  };
  for (let round = 0; round < ROUNDS; round++) {
    times[0]!.push(await seconds(() => saveCheckpoint(ours, tensors, { sync: false })));
    keep(1, run(process.execPath, ["--input-type=module", "-e", READ, ours]));
    if (python === undefined) continue;
    keep(4, run(python, ["-c", PYTHON, theirs]));
  }
  const [write, stream, streamAgain, read, ...tf] = times.map(median) as [
    number,
    number,
    number,
    number,
    ...number[],
  ];
  const mine = { write, read, stream, streamAgain };
  return python === undefined
    ? mine
    : { ...mine, writeTensorFlow: tf[0]!, readTensorFlow: tf[1]!, readTensorFlowAgain: tf[2]! };
}

async function ofManyNames(folder: string) {
  const prefix = join(folder, "names");
  const scalar = { dtype: "float32" as const, shape: [], data: new Float32Array(1) };
  await saveCheckpoint(
    prefix,
    Array.from({ length: NAMES }, (_, i) => ({ name: `block_${i % 100}/layer_${i}/kernel`, tensor: scalar })),
    { sync: false },
  );
  const opening = async (open: () => Promise<{ close(): Promise<void> }>): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++)
      times.push(await seconds(async () => (await open()).close()));
    return median(times);
  };
  return {
    open: await opening(() => openCheckpoint(prefix)),
    openAny: await opening(() => openModel(prefix)),
  };
}

async function ofFiveGigabytes(folder: string, python: string | undefined) {
  const prefix = join(folder, "large");
  const tensor = {
    dtype: "float32" as const,
    shape: [4096, FLOATS / 4096],
    data: new Float32Array(FLOATS).fill(0.5),
  };
  await saveCheckpoint(
    prefix,
    Array.from({ length: LARGE }, (_, i) => ({ name: `layer_${i}/kernel`, tensor })),
    { sync: false },
  );
  const [ours, theirs]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    ours!.push(await seconds(() => run(process.execPath, [CLI, "inspect", prefix])));
    if (python !== undefined && round < 3)
      theirs!.push(await seconds(() => run(python, ["-c", LIST, prefix])));
  }
  // What a process took at most is known to it alone.
  const [hook, peak] = [join(folder, "peak.cjs"), join(folder, "peak.txt")];
  writeFileSync(
    hook,
    `process.on("exit", () => require("fs").writeFileSync(${JSON.stringify(peak)}, String(process.resourceUsage().maxRSS)));`,
  );
  const convert = [];
  for (const to of ["large.safetensors", "copy"]) {
    const out = join(folder, to);
    const took = await seconds(() => run(process.execPath, ["--require", hook, CLI, "convert", prefix, out]));
    convert.push({ to, seconds: took, peakMb: Number(readFileSync(peak, "utf8")) / 1024 });
    for (const end of ["", ".index", ".data-00000-of-00001"]) rmSync(out + end, { force: true });
  }
  const inspect = { inspect: median(ours!), convert };
  return python === undefined ? inspect : { ...inspect, listVariables: median(theirs!) };
}

/** The figures in lines, with the ratios that they are held to. */
export function variableLines(s: VariableSpeeds): string[] {
  const f = (x: number | undefined): string => (x === undefined ? "-" : x.toFixed(2));
  const over = (theirs: number | undefined, ours: number): string =>
    theirs === undefined ? "-" : `${(theirs / ours).toFixed(2)}x`;
  return [
    `variables: inspect of 5 GB ${f(s.inspect)} s as a process (list_variables of Python with import ${f(s.listVariables)} s)`,
    `  read 1 GB ${f(s.read)} s, ${over(s.readTensorFlow, s.read)} CheckpointReader's speed (${over(s.readTensorFlowAgain, s.read)} of its second reading)`,
    `  stream 1 GB ${f(s.stream)} s, ${over(s.readTensorFlow, s.stream)} CheckpointReader's speed; again ${f(s.streamAgain)} s, ${over(s.readTensorFlowAgain, s.streamAgain)} of its second reading`,
    `  write 1 GB ${f(s.write)} s, ${over(s.writeTensorFlow, s.write)} Saver's speed`,
    `  100,000 names open in ${f(s.open)} s; as any container ${f(s.openAny)} s`,
    ...s.convert.map(
      (c) => `  convert 5 GB to ${c.to}: ${f(c.seconds)} s, at most ${c.peakMb.toFixed(0)} MB`,
    ),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const line of variableLines(await benchVariables(undefined, console.log))) console.log(line);
