/**
 * @file Loops, microseconds an iteration, by turns with TensorFlow where it is found: it runs the same GraphDefs, and a Keras LSTM that it
 * exported. Start at `benchLoops`; `npm run bench` runs it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  add,
  concat,
  fromData,
  type Graph,
  gradients,
  less,
  matmul,
  multiply,
  newGraph,
  type Output,
  placeholder,
  reduceSum,
  Session,
  sigmoid,
  split,
  square,
  type Tensor,
  tanh,
  tensor,
  tensorArray,
  whileLoop,
  writeGraphDef,
} from "varscope";
import { loadSavedModel } from "varscope/train";

const ROUNDS = 15;
const STEPS = 100;
const BATCH = 32;
const INPUTS = 64;
const UNITS = 128;

interface Case {
  readonly name: string;
  readonly iterations: number;
  readonly graph: Graph;
  readonly fetches: readonly Output[];
  readonly x: Output;
  readonly value: Tensor;
}

const zero = tensor(0, "int32", []);

/** Numbers that look like noise, the same every time. */
function noise(shape: readonly number[], scale: number): Tensor {
  const size = shape.reduce((n, d) => n * d, 1);
  return fromData(
    "float32",
    shape,
    Float32Array.from({ length: size }, (_, i) => scale * Math.sin(i * 12.9898)),
  );
}

function counter(): Case {
  const graph = newGraph();
  const iterations = 10_000;
  const x = placeholder(graph, "int32", { shape: [], name: "x" });
  const [, sum] = whileLoop(
    graph,
    (i) => less(i, x),
    (i, s) => [add(i, 1), add(s, 0.5)],
    [zero, tensor(0, "float32", [])],
  );
  const value = tensor(iterations, "int32", []);
  return { name: "a counter and a sum", iterations, graph, fetches: [sum!], x, value };
}

function powers(): Case {
  const graph = newGraph();
  const iterations = 1000;
  const x = placeholder(graph, "float32", { shape: [64, 64], name: "x" });
  const w = graph.constant(noise([64, 64], 0.1));
  const [, y] = whileLoop(
    graph,
    (i) => less(i, iterations),
    (i, y) => [add(i, 1), tanh(matmul(y, w))],
    [zero, x],
  );
  return { name: "tanh(matmul) of [64, 64]", iterations, graph, fetches: [y!], x, value: noise([64, 64], 1) };
}

/** An LSTM as `dynamic_rnn` writes it. @param back - its gradient, too: two loops of as many iterations */
function lstm(back: boolean): Case {
  const graph = newGraph();
  const x = placeholder(graph, "float32", { shape: [STEPS, BATCH, INPUTS], name: "x" });
  const w = graph.constant(noise([INPUTS + UNITS, 4 * UNITS], 0.1));
  const b = graph.constant(noise([4 * UNITS], 0.1));
  const xs = tensorArray(graph, "float32", STEPS).unstack(x);
  const ys = tensorArray(graph, "float32", STEPS);
  const state = noise([BATCH, UNITS], 0);
  const step = (i: Output, c: Output, h: Output, flow: Output): Output[] => {
    const gates = add(matmul(concat([xs.read(i), h], 1), w), b);
    const [a, j, f, o] = split(gates, 4, { axis: 1 }) as [Output, Output, Output, Output];
    const next = add(multiply(c, sigmoid(add(f, 1))), multiply(sigmoid(a), tanh(j)));
    const y = multiply(tanh(next), sigmoid(o));
    return [add(i, 1), next, y, ys.withFlow(flow).write(i, y).flow];
  };
  const [, , , flow] = whileLoop(graph, (i) => less(i, STEPS), step, [zero, state, state, ys.flow]);
  const loss = reduceSum(square(ys.withFlow(flow!).stack()));
  const fetches = back ? (gradients(loss, [w, b]) as Output[]) : [loss];
  const name = back ? "its gradient, a round there and back" : "LSTM [32, 64], 128 units";
  return { name, iterations: STEPS, graph, fetches, x, value: noise([STEPS, BATCH, INPUTS], 1) };
}

/** Runs GraphDefs of a folder, and exports and runs a Keras LSTM: a name a line, answered by the milliseconds of a run. */
const THEIRS = `
import os, sys, time, json
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
v1, folder, calls = tf.compat.v1, sys.argv[1], {}
def graph(name, fetches, shape, number):
    with tf.Graph().as_default():
        v1.import_graph_def(v1.GraphDef.FromString(open(f"{folder}/{name}.pb", "rb").read()), name="")
        call = v1.Session().make_callable(fetches, ["x:0"])
    x = np.int32(number) if shape == [] else np.random.rand(*shape).astype("f")
    return lambda: call(x)
def keras():
    import keras
    model = keras.Sequential([keras.Input((${STEPS}, ${INPUTS})), keras.layers.LSTM(${UNITS}, return_sequences=True)])
    sys.stdout = sys.stderr
    model.export(f"{folder}/keras")
    sys.stdout = sys.__stdout__
    served = tf.saved_model.load(f"{folder}/keras").signatures["serving_default"]
    name, x = list(served.structured_input_signature[1])[0], tf.random.normal([${BATCH}, ${STEPS}, ${INPUTS}])
    return lambda: (served, served(**{name: x}))
for line in sys.stdin:
    name, *args = json.loads(line)
    if name not in calls:
        calls[name] = graph(name, *args) if args else keras()
        for _ in range(3): calls[name]()
    start = time.perf_counter()
    calls[name]()
    print((time.perf_counter() - start) * 1000, flush=True)
`;

/** TensorFlow in a process of its own. */
class Peer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string, folder: string) {
    this.child = spawn(python, ["-c", THEIRS, folder], { stdio: ["pipe", "pipe", "ignore"] });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async run(line: readonly unknown[]): Promise<number> {
    this.child.stdin!.write(`${JSON.stringify(line)}\n`);
    const answer = await this.lines.next();
    if (answer.done) throw new Error("TensorFlow ended");
    return Number(answer.value);
  }

  stop(): void {
    this.child.kill();
  }
}

export interface LoopSpeed {
  readonly name: string;
  /** microseconds an iteration, the median of all rounds */
  readonly ours: number;
  readonly tensorflow?: number;
}

async function compare(
  name: string,
  iterations: number,
  ours: () => Promise<unknown>,
  theirs: (() => Promise<number>) | null,
): Promise<LoopSpeed> {
  const times: [number[], number[]] = [[], []];
  for (let round = -3; round < ROUNDS; round++) {
    const start = performance.now();
    await ours();
    const mine = performance.now() - start;
    const peer = await theirs?.();
    if (round < 0) continue; // warming up
    times[0].push(mine);
    if (peer !== undefined) times[1].push(peer);
  }
  const median = (t: number[]): number => (1000 * t.sort((a, b) => a - b)[t.length >> 1]!) / iterations;
  return { name, ours: median(times[0]), ...(theirs === null ? {} : { tensorflow: median(times[1]) }) };
}

/** @param python - with TensorFlow; undefined where there is none, and then there is no Keras model either */
export async function benchLoops(python: string | undefined): Promise<LoopSpeed[]> {
  const folder = mkdtempSync(join(tmpdir(), "varscope-loops-"));
  const peer = python === undefined ? null : new Peer(python, folder);
  const speeds: LoopSpeed[] = [];
  try {
    for (const [i, made] of [counter(), powers(), lstm(false), lstm(true)].entries()) {
      const { name, iterations, graph, fetches, x, value } = made;
      writeFileSync(join(folder, `${i}.pb`), writeGraphDef(graph));
      const line = [String(i), fetches.map((y) => y.name), value.shape, Number(value.data[0])];
      const session = new Session(graph);
      const run = (): Promise<unknown> => session.run(fetches, { feeds: new Map([[x, value]]) });
      speeds.push(await compare(name, iterations, run, peer && (() => peer.run(line))));
      await session.close();
    }
    if (peer !== null) {
      await peer.run(["keras"]);
      const model = await loadSavedModel(join(folder, "keras"));
      const [input] = Object.keys(model.signatures.serving_default!.inputs);
      const feeds = { [input!]: noise([BATCH, STEPS, INPUTS], 1) };
      speeds.push(
        await compare(
          "LSTM of Keras 3",
          STEPS,
          () => model.run(feeds),
          () => peer.run(["keras"]),
        ),
      );
      await model.close();
    }
    return speeds;
  } finally {
    peer?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The speeds as text. */
export const loopLines = (speeds: readonly LoopSpeed[]): string[] =>
  speeds.map(({ name, ours, tensorflow }) => {
    const theirs =
      tensorflow === undefined ? "" : `; TF ${tensorflow.toFixed(1)} (${(ours / tensorflow).toFixed(1)}x)`;
    return `loop, ${name}: ${ours.toFixed(1)} microseconds an iteration${theirs}`;
  });
