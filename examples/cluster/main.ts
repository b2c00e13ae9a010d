/**
 * @file Data parallel training on a TensorFlow cluster: one parameter server holds the variables, two workers train them at the same time,
 * each with its own graph, session and half of the data. Without TensorFlow on this machine it says so and ends.
 *
 *   npm start && node build/examples/cluster/main.js
 */
import { pathToFileURL } from "node:url";
import {
  add,
  fromData,
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
  matmul,
  newGraph,
  type Operation,
  type Output,
  placeholder,
  reduceMean,
  reportUninitializedVariables,
  Session,
  square,
  squeeze,
  subtract,
  type Tensor,
  toNumbers,
  type Variable,
  variableScope,
  zerosInitializer,
} from "varscope";
import { gradientDescentOptimizer, replicaDeviceSetter } from "varscope/train";
import { type Servers, startServers } from "./servers.ts";

const STEPS = 100;
const BATCH = 32;
/** what there is to learn: y = 2 a - 3 b + 0.5 */
const [WEIGHTS, BIAS] = [[2, -3], 0.5] as const;

interface Replica {
  readonly loss: Output;
  readonly train: Operation;
  readonly init: Operation;
  readonly missing: Output;
  readonly variables: readonly Variable[];
}

/** The graph of one worker. All workers build the same, so that their variables are the same ones on the parameter server. */
function replica(servers: Servers, task: number): Replica {
  const g = newGraph();
  const device = replicaDeviceSetter({ cluster: servers.cluster, workerDevice: `/job:worker/task:${task}` });
  return g.withDevice(device, () =>
    variableScope(g, "model", { useResource: true, initializer: zerosInitializer() }, () => {
      const x = placeholder(g, "float32", { shape: [null, 2], name: "x" });
      const y = placeholder(g, "float32", { shape: [null], name: "y" });
      const w = getVariable(g, "w", { shape: [2, 1] });
      const b = getVariable(g, "b", { shape: [] });
      const globalStep = getOrCreateGlobalStep(g);
      const loss = reduceMean(
        square(subtract(add(squeeze(matmul(x, w.value()), { axis: [1] }), b.value()), y)),
      );
      const train = gradientDescentOptimizer({ learningRate: 0.05 }).minimize(loss, { globalStep });
      const init = globalVariablesInitializer(g);
      return { loss, train, init, missing: reportUninitializedVariables(g), variables: [w, b, globalStep] };
    }),
  );
}

/** A batch of one worker's own data. */
function batch(task: number, step: number): Record<string, Tensor> {
  let state = 7919 * (step + 1) + 104729 * (task + 1);
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const x = Float32Array.from({ length: 2 * BATCH }, random);
  const y = Float32Array.from(
    { length: BATCH },
    (_, i) => WEIGHTS[0] * x[2 * i]! + WEIGHTS[1] * x[2 * i + 1]! + BIAS,
  );
  return { "model/x:0": fromData("float32", [BATCH, 2], x), "model/y:0": fromData("float32", [BATCH], y) };
}

/** One worker: the first gives the variables their values, the others wait until they have them. */
async function work(servers: Servers, task: number, print: (line: string) => void): Promise<number[]> {
  const { loss, train, init, missing, variables } = replica(servers, task);
  await using session = new Session(loss.graph, { target: servers.target("worker", task) });
  if (task === 0) await session.run([], { targets: [init] });
  while ((await session.run(missing)).shape[0]! > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  for (let step = 0; step < STEPS; step++) {
    const value = await session.run(loss, { feeds: batch(task, step), targets: [train] });
    if (step % 20 === 0) print(`worker ${task}, step ${step}: loss ${toNumbers(value)[0]!.toFixed(5)}`);
  }
  return (await session.run([...variables])).flatMap((t) => toNumbers(t));
}

/** @returns what both workers learned, w, b and the global step; null without TensorFlow */
export async function main(print: (line: string) => void = console.log): Promise<number[] | null> {
  const servers = await startServers({ ps: 1, worker: 2 });
  if (servers === null) {
    print("cluster: no TensorFlow found (set VARSCOPE_PYTHON to a Python that has it); nothing to do");
    return null;
  }
  try {
    const workers = await Promise.all([0, 1].map((task) => work(servers, task, print)));
    const found = workers.sort((a, b) => b.at(-1)! - a.at(-1)!)[0]!; // the one that ended last saw all steps
    print(
      `after ${found.at(-1)} steps: w = [${found.slice(0, 2).map((v) => v.toFixed(3))}], b = ${found[2]!.toFixed(3)}`,
    );
    return found;
  } finally {
    await servers.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
