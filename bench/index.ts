/**
 * `npm run bench`: ratios against what a user would pick, measured by turns in one run. TensorFlow takes part where VARSCOPE_PYTHON or
 * .venv/bin/python has it; `--no-tfjs` leaves tfjs out, which takes two minutes. Prints tables, and writes runs/bench.json.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fromData, newGraph, placeholder, relu, Session, type Tensor } from "varscope";
import { benchCheckpoint } from "./checkpoint.ts";
import { benchGraphs, benchInit, graphLines, initLines } from "./graphs.ts";
import { benchLoops, loopLines } from "./loops.ts";
import { INPUTS, inferenceGraph, type ModelName, trainingGraph } from "./models.ts";
import { tfjsTimes } from "./tfjs.ts";
import { benchTransform, transformLines } from "./transform.ts";
import { benchVariables, variableLines } from "./variables.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const MODELS: readonly ModelName[] = ["digits", "mlp", "mnist-cnn", "resnet20"];
const ROUNDS = 10;

/** Median and the whole list of milliseconds. */
type Times = number[];
const median = (t: Times): number => [...t].sort((a, b) => a - b)[t.length >> 1]!;
const ms = (t: Times | null): string => (t === null || t.length === 0 ? "-" : median(t).toFixed(2));
const ratio = (a: Times, b: Times | null): string =>
  b === null || b.length === 0 ? "-" : (median(a) / median(b)).toFixed(2);

/** TensorFlow in a process of its own, asked by lines of JSON. */
class Worker {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string) {
    this.child = spawn(python, [join(ROOT, "bench", "tf_worker.py")], { stdio: ["pipe", "pipe", "ignore"] });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async ask<T>(command: object): Promise<T> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    const line = await this.lines.next();
    if (line.done) throw new Error("the TensorFlow worker ended");
    return JSON.parse(line.value) as T;
  }

  /** Builds a model and warms it up. */
  async setup(name: string): Promise<void> {
    await this.ask({ setup: name, threads: availableParallelism() });
    await this.ask({ run: name, n: 5 });
  }

  async run(name: string, n: number): Promise<Times> {
    return (await this.ask<{ ms: Times }>({ run: name, n })).ms;
  }

  stop(): void {
    this.child.kill();
  }
}

function findPython(): string | undefined {
  const candidates = [process.env.VARSCOPE_PYTHON, join(ROOT, ".venv", "bin", "python")];
  return candidates.find(
    (p) => p !== undefined && existsSync(p) && spawnSync(p, ["-c", "import tensorflow"]).status === 0,
  );
}

async function timed(n: number, run: () => Promise<unknown>): Promise<Times> {
  const times: Times = [];
  for (let i = 0; i < n; i++) {
    const t = performance.now();
    await run();
    times.push(performance.now() - t);
  }
  return times;
}

function batch(name: ModelName): { images: Tensor; labels: Tensor } {
  const shape = INPUTS[name];
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    images: fromData(
      "float32",
      shape,
      Float32Array.from({ length: size }, () => Math.random()),
    ),
    labels: fromData(
      "int32",
      [shape[0]!],
      Int32Array.from({ length: shape[0]! }, () => Math.floor(Math.random() * 10)),
    ),
  };
}

interface Row {
  readonly model: ModelName;
  readonly kind: "train" | "infer";
  readonly ours: number;
  readonly tensorflow?: number;
  readonly keras?: number;
  readonly tfjs?: Record<string, number | string>;
}

/** Ours, TensorFlow and Keras by turns: a few steps each, many rounds. */
async function compare(
  model: ModelName,
  kind: Row["kind"],
  run: () => Promise<unknown>,
  worker: Worker | null,
  tfjs: boolean,
): Promise<Row> {
  const names =
    worker === null ? [] : kind === "train" ? [`train:${model}`, `keras:${model}`] : [`infer:${model}`];
  for (const name of names) await worker!.setup(name);
  await timed(10, run);
  const ours: Times = [];
  const theirs: Times[] = names.map(() => []);
  const steps = model === "resnet20" ? 4 : 15;
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(...(await timed(steps, run)));
    for (const [i, name] of names.entries()) theirs[i]!.push(...(await worker!.run(name, steps)));
  }
  const peers: Record<string, number | string> = {};
  if (tfjs) {
    for (const backend of ["cpu", "wasm"] as const) {
      const r = await tfjsTimes(model, kind, backend, 5000);
      peers[backend] = "ms" in r ? r.ms : r.error;
    }
  }
  const [tf, keras] = theirs;
  say([
    `${kind} ${model}`,
    ms(ours),
    ms(tf ?? null),
    ratio(ours, tf ?? null),
    ratio(ours, keras ?? null),
    tfjs ? fastest(peers, median(ours)) : "-",
  ]);
  return {
    model,
    kind,
    ours: median(ours),
    ...(tf === undefined ? {} : { tensorflow: median(tf) }),
    ...(keras === undefined ? {} : { keras: median(keras) }),
    ...(tfjs ? { tfjs: peers } : {}),
  };
}

/** How many times quicker than the best tfjs backend that can do it at all. */
function fastest(peers: Record<string, number | string>, ours: number): string {
  const able = Object.entries(peers).filter((e): e is [string, number] => typeof e[1] === "number");
  const best = able.sort((a, b) => a[1] - b[1])[0];
  return best === undefined
    ? `none can (${Object.values(peers).join("; ")})`
    : `${(best[1] / ours).toFixed(0)}x ${best[0]}`;
}

const WIDTHS = [18, 10, 10, 8, 8, 12];
const say = (cells: readonly string[]): void =>
  console.log(cells.map((c, i) => (i === 0 ? c.padEnd(WIDTHS[i]!) : c.padStart(WIDTHS[i]!))).join("  "));

async function steps(worker: Worker | null, tfjs: boolean): Promise<Row[]> {
  say(["one step", "ours ms", "TF ms", "ours/TF", "/Keras 3", "tfjs takes"]);
  const rows: Row[] = [];
  for (const model of MODELS) {
    const { images, labels } = batch(model);
    const t = trainingGraph(model);
    const training = new Session(t.graph);
    await training.run(t.init);
    const feeds = new Map([
      [t.images, images],
      [t.labels, labels],
    ]);
    rows.push(
      await compare(model, "train", () => training.run(t.loss, { feeds, targets: [t.train] }), worker, tfjs),
    );
    await training.close();
    const q = inferenceGraph(model);
    const serving = new Session(q.graph);
    await serving.run(q.init);
    const fed = new Map([[q.images, images]]);
    rows.push(
      await compare(model, "infer", () => serving.run(q.probabilities, { feeds: fed }), worker, tfjs),
    );
    await serving.close();
  }
  return rows;
}

/** Microseconds of one run of a graph with one op. */
async function overhead(): Promise<number> {
  const graph = newGraph();
  const x = placeholder(graph, "float32", { shape: [4], name: "x" });
  const y = relu(x);
  const session = new Session(graph);
  const feeds = new Map([[x, fromData("float32", [4], new Float32Array(4))]]);
  const run = (): Promise<unknown> => session.run(y, { feeds });
  await timed(2000, run);
  const us = median(await timed(5000, run)) * 1000;
  await session.close();
  return us;
}

/** Milliseconds from the start of `node` to the first result. */
function startup(): number {
  const code = `import { newGraph, Session, relu } from "varscope"; const g = newGraph(); const s = new Session(g); await s.run(relu(g.constant([1, -1])));`;
  const times = Array.from({ length: 5 }, () => {
    const t = performance.now();
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", code], { cwd: ROOT });
    if (run.status !== 0) throw new Error(String(run.stderr));
    return performance.now() - t;
  });
  return median(times);
}

const python = findPython();
const worker = python === undefined ? null : new Worker(python);
const tfjs = !process.argv.includes("--no-tfjs");
console.log(
  `${cpus()[0]?.model.trim()}, ${availableParallelism()} threads, Node ${process.version}${worker === null ? "; no TensorFlow found" : ""}\n`,
);
const rows = await steps(worker, tfjs);
worker?.stop();
const report = {
  rows,
  overheadUs: await overhead(),
  startupMs: startup(),
  peakMemoryMb: process.resourceUsage().maxRSS / 1024,
  checkpoint: await benchCheckpoint(python),
  variables: await benchVariables(python),
  transform: await benchTransform(),
  graphs: await benchGraphs(python),
  initialising: benchInit(),
  loops: await benchLoops(python),
};
console.log(
  `\nsession overhead ${report.overheadUs.toFixed(0)} microseconds a run; node start to first result ${report.startupMs.toFixed(0)} ms; peak memory ${report.peakMemoryMb.toFixed(0)} MB`,
);
const { checkpoint: c } = report;
const gb = (x: number | undefined): string => (x === undefined ? "-" : x.toFixed(2));
console.log(
  `checkpoint of 512 MB, GB/s: save ${gb(c.saveInCache)} (TF ${gb(c.tensorflow?.saveInCache)}), to disk ${gb(c.saveOnDisk)}; restore ${gb(c.restore)} (TF ${gb(c.tensorflow?.restore)} into fresh memory, ${gb(c.tensorflow?.restoreAgain)} into used)`,
);
for (const line of variableLines(report.variables)) console.log(line);
for (const line of transformLines(report.transform)) console.log(line);
for (const line of [...graphLines(report.graphs), ...initLines(report.initialising)]) console.log(line);
for (const line of loopLines(report.loops)) console.log(line);
mkdirSync(join(ROOT, "runs"), { recursive: true });
writeFileSync(join(ROOT, "runs", "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
