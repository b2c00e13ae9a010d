/**
 * @file Importing GraphDefs of 10,000 to 100,000 nodes, encoded: each size in a process of its own, by turns with TensorFlow's Python where it is
 * found; and initialising thousands of variables. Start at `benchGraphs`; `npm run bench` runs it.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Graph, newGraph, type Output, writeGraphDef } from "varscope";

const SIZES = [10_000, 30_000, 100_000];
const ROUNDS = 5;

/** Dense layers as TensorFlow 1 writes them, one upon the other. */
function network(nodes: number): Graph {
  const g = newGraph();
  let x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null, 64] } } });
  const layer = (input: Output): Output => {
    const w = g.add("VariableV2", [], { name: "w", attrs: { dtype: "float32", shape: { dims: [64, 64] } } });
    const read = g.colocateWith(w, () => g.add("Identity", [w], { name: "read" }));
    const y = g.add("BiasAdd", [g.add("MatMul", [input, read]), g.constant(new Array<number>(64).fill(0.5))]);
    return g.add("Relu", [g.add("Reshape", [y, g.add("Shape", [y])])]);
  };
  for (let i = 0; g.operations.length < nodes; i++) x = g.nameScope(`layer_${i}`, () => layer(x));
  return g;
}

/** Prints the milliseconds of each import. */
const OURS = `
const { readFileSync } = await import("node:fs");
const { importGraphDef, newGraph } = await import("varscope");
const bytes = readFileSync(process.argv[1]);
const times = [];
for (let i = 0; i < ${ROUNDS}; i++) {
  const start = performance.now();
  importGraphDef(newGraph(), bytes, { prefix: "" });
  times.push(performance.now() - start);
}
console.log(JSON.stringify(times));
`;

/** Parsing belongs to it, as it does to ours. */
const THEIRS = `
import os, sys, time, json
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow.compat.v1 as tf
data, times = open(sys.argv[1], "rb").read(), []
for _ in range(${ROUNDS}):
    t = time.perf_counter()
    with tf.Graph().as_default():
        tf.import_graph_def(tf.GraphDef.FromString(data), name="")
    times.append((time.perf_counter() - t) * 1000)
print(json.dumps(times))
`;

/** Prints the milliseconds of the first run of new sessions, which initialises small variables at random. */
const INITIALISING = `
const { getVariable, globalVariablesInitializer, glorotUniformInitializer, newGraph, Session } = await import("varscope");
const times = [];
for (let i = 0; i < ${ROUNDS}; i++) {
  const g = newGraph();
  const options = { shape: [8, 8], initializer: glorotUniformInitializer() };
  for (let k = 0; k < Number(process.argv[1]); k++) getVariable(g, "v" + k, options);
  const init = globalVariablesInitializer(g);
  const session = new Session(g);
  const start = performance.now();
  await session.run([], { targets: [init] });
  times.push(performance.now() - start);
  await session.close();
}
console.log(JSON.stringify(times));
`;

/** Milliseconds: the first import of a process, and the median of all. */
interface ImportTimes {
  readonly first: number;
  readonly median: number;
}

export interface GraphSpeed {
  readonly nodes: number;
  readonly bytes: number;
  readonly ours: ImportTimes;
  readonly tensorflow?: ImportTimes;
}

function timesOf(command: string, args: readonly string[]): ImportTimes {
  const run = spawnSync(command, args, { encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  const times = JSON.parse(run.stdout.trim().split("\n").at(-1)!) as number[];
  return { first: times[0]!, median: [...times].sort((a, b) => a - b)[times.length >> 1]! };
}

export interface InitSpeed {
  readonly variables: number;
  readonly first: number;
  readonly median: number;
}

/** Times of the run that initialises so many variables. */
export const benchInit = (): InitSpeed[] =>
  [1000, 4000, 16_000].map((variables) => ({
    variables,
    ...timesOf(process.execPath, ["--input-type=module", "-e", INITIALISING, String(variables)]),
  }));

/** The speeds as text. */
export const initLines = (speeds: readonly InitSpeed[]): string[] =>
  speeds.map(
    ({ variables, first, median }) =>
      `initialising ${variables} small variables: ${median.toFixed(0)} ms (first ${first.toFixed(0)})`,
  );

/** @param python - with TensorFlow; undefined where there is none */
export async function benchGraphs(python: string | undefined): Promise<GraphSpeed[]> {
  const folder = mkdtempSync(join(tmpdir(), "varscope-graphs-"));
  try {
    return SIZES.map((nodes) => {
      const file = join(folder, `${nodes}.pb`);
      const encoded = writeGraphDef(network(nodes));
      writeFileSync(file, encoded);
      const ours = timesOf(process.execPath, ["--input-type=module", "-e", OURS, file]);
      const tensorflow = python === undefined ? {} : { tensorflow: timesOf(python, ["-c", THEIRS, file]) };
      return { nodes, bytes: encoded.length, ours, ...tensorflow };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The speeds as text. */
export function graphLines(speeds: readonly GraphSpeed[]): string[] {
  const ms = (t: ImportTimes): string => `${t.median.toFixed(0)} ms (first ${t.first.toFixed(0)})`;
  return speeds.map(({ nodes, ours, tensorflow }) => {
    const each = `${((1000 * ours.median) / nodes).toFixed(1)} microseconds a node`;
    return `import of ${nodes} nodes: ${ms(ours)}, ${each}${tensorflow === undefined ? "" : `; TF ${ms(tensorflow)}`}`;
  });
}
