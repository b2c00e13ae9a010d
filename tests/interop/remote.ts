/** @file Graphs of ours on a live cluster of three TensorFlow processes: training, checkpoints, errors, cancelling, dtypes, op cases. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CORE_OPS,
  type DType,
  fromData,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  identity,
  isVarscopeError,
  multiply,
  newGraph,
  onesInitializer,
  parseGraphDef,
  placeholder,
  readMetaGraph,
  resetCluster,
  Session,
  type Tensor,
  tensor,
  toNumbers,
  writeGraphDef,
  writeNpy,
} from "varscope";
import { replicaDeviceSetter } from "varscope/train";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Servers, startServers } from "../../examples/cluster/servers.ts";
import { bits, relative, trainHere } from "./measures.ts";
import * as nets from "./nets.ts";
import { command, type Names } from "./python-graphs.ts";
import { remoteDifferences } from "./remote-cases.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const TOLERANCE = 1e-4;

const onWorker = (servers: Servers) =>
  replicaDeviceSetter({ cluster: servers.cluster, workerDevice: "/job:worker/task:0" });

const NETS: Record<string, (device: ReturnType<typeof onWorker>) => nets.Net> = {
  "dense layers with Adam": nets.mlp,
  "fused batch normalization with momentum, reference variables": (d) => nets.convBn(false, d),
  "fused batch normalization with momentum, resource variables": (d) => nets.convBn(true, d),
  "batch normalization that asks a placeholder, with RMSProp": nets.placeholderBn,
  "a table of rows with Adagrad, resource variables": (d) => nets.embedding(true, d),
  "separable convolution, clipping, Nesterov": nets.clipped,
};

const DTYPES: readonly DType[] = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
  "complex64",
  "complex128",
  "string",
];

/** Two values of a dtype, the second near its end. */
function valuesOf(dtype: DType): Tensor {
  if (dtype === "string") return tensor(["", "größer\0"], "string");
  if (dtype === "bool") return tensor([true, false], "bool");
  if (dtype === "complex64") return fromData(dtype, [2], Float32Array.of(1, -2, 0.5, 3e38));
  if (dtype === "complex128") return fromData(dtype, [2], Float64Array.of(1, -2, 0.5, 1e308));
  if (dtype === "int64") return tensor([1n, -(2n ** 62n)], dtype);
  if (dtype === "uint64") return tensor([1n, 2n ** 63n], dtype);
  return tensor([1, 100], dtype);
}

/** A queue that nobody fills: taking from it waits for ever. Its ops are not in our registry. */
const QUEUE = `
node { name: "queue" op: "FIFOQueueV2" attr { key: "component_types" value { list { type: DT_FLOAT } } } }
node { name: "take" op: "QueueDequeueV2" input: "queue" attr { key: "component_types" value { list { type: DT_FLOAT } } } }
node { name: "one" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { } float_val: 1 } } } }
node { name: "put" op: "QueueEnqueueV2" input: "queue" input: "one" attr { key: "Tcomponents" value { list { type: DT_FLOAT } } } }
versions { producer: 2474 }`;

const queueGraph = () => parseGraphDef(QUEUE, { registry: CORE_OPS });

const caught = (run: Promise<unknown>) =>
  run.then(
    () => expect.unreachable("no error"),
    (e: unknown) => (isVarscopeError(e) ? e : expect.unreachable(String(e))),
  );

const initialized = async (net: nets.Net, target: string): Promise<Session> => {
  const session = new Session(net.graph, { target });
  await session.run([], { targets: [net.init] });
  return session;
};

/** A batch for conv_bn_adam: as flags of the command line, and as feeds. */
async function batchFiles(names: Names, at: string): Promise<{ argv: string[]; feeds: TensorMap }> {
  const random = nets.generator(5);
  const labels = fromData(
    "int32",
    [16],
    Int32Array.from({ length: 16 }, (_, i) => i % 10),
  );
  const x = fromData("float32", [16, 8, 8, 1], Float32Array.from({ length: 16 * 64 }, random));
  await writeFile(join(at, "x.npy"), writeNpy(x));
  await writeFile(join(at, "labels.npy"), writeNpy(labels));
  const argv = [
    "--feed",
    `${names.x}=@${join(at, "x.npy")}`,
    "--feed",
    `${names.labels}=@${join(at, "labels.npy")}`,
  ];
  return { argv, feeds: { [names.x]: x, [names.labels]: labels } };
}

/** The losses that a command prints. */
async function losses(...argv: string[]): Promise<number[]> {
  const lines = (await command(argv)).trimEnd().split("\n");
  return lines.map((line) => Object.values(JSON.parse(line).fetches as Record<string, number>)[0]!);
}

export function remoteSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("a cluster", () => {
    let servers!: Servers;
    let target = "";
    beforeAll(async () => {
      servers = (await startServers({ ps: 1, worker: 2 }))!;
      target = servers.target("worker", 0);
    }, 120_000);
    afterAll(() => servers?.close());

    for (const [title, build] of Object.entries(NETS)) {
      test(`${title}: three processes give the losses of this one`, async () => {
        await resetCluster(target);
        const net = build(onWorker(servers));
        await using here = new Session(net.graph);
        await here.run([], { targets: [net.init] });
        await using there = await initialized(net, target);
        const theirs = await trainHere(there, net, 0, 100);
        expect(relative(await trainHere(here, net, 0, 100), theirs)).toBeLessThan(TOLERANCE);
        expect(theirs.at(-1)).toBeLessThan(theirs[0]! * 0.95);
        expect(globalVariables(net.graph).map((v) => v.op.device)).toContain("/job:ps/task:0");
      });
    }

    test("checkpoints go from the cluster to a local session and back, slots too", async () => {
      await resetCluster(target);
      const at = join(folder, "cluster-checkpoint");
      await mkdir(at);
      const net = nets.mlp(onWorker(servers));
      await using there = await initialized(net, target);
      await trainHere(there, net, 0, 20);
      const saved = (await net.saver.save(there, join(at, "theirs"), { globalStep: 20 }))!;
      await using here = new Session(net.graph);
      await net.saver.restore(here, saved);
      const variables = globalVariables(net.graph);
      const [ours, theirs] = [await here.run(variables), await there.run(variables)];
      expect(ours.map((t) => bits(t as Tensor))).toEqual(theirs.map((t) => bits(t as Tensor)));
      await trainHere(here, net, 20, 20);
      await net.saver.restore(there, (await net.saver.save(here, join(at, "ours")))!);
      expect(relative(await trainHere(here, net, 40, 10), await trainHere(there, net, 40, 10))).toBeLessThan(
        TOLERANCE,
      );
    });

    test("a task that dies ends the run; after its restart a new session goes on from the checkpoint", async () => {
      await resetCluster(target);
      const at = join(folder, "cluster-restart");
      await mkdir(at);
      const net = nets.mlp(onWorker(servers));
      const there = await initialized(net, target);
      const saved = (await net.saver.save(there, join(at, "m")))!;
      const want = await trainHere(there, net, 0, 5);
      await servers.kill("ps", 0);
      const lost = await caught(there.run(net.loss, { feeds: net.batches[0]!, targets: [net.train] }));
      expect(["UNAVAILABLE", "ABORTED"]).toContain(lost.code);
      await servers.kill("worker", 0);
      const gone = await caught(there.run(net.loss, { feeds: net.batches[0]! }));
      expect(gone.code).toBe("UNAVAILABLE");
      await servers.restart("ps", 0);
      await servers.restart("worker", 0);
      await there.close();
      await using again = new Session(net.graph, { target, connectTimeoutMs: 20_000 });
      await net.saver.restore(again, saved);
      expect(relative(await trainHere(again, net, 0, 5), want)).toBeLessThan(TOLERANCE);
    });

    test("every dtype goes there and back", async () => {
      const g = newGraph();
      const pairs = DTYPES.map((dtype) => {
        const x = placeholder(g, dtype, { shape: [2], name: dtype });
        return [identity(x), x, valuesOf(dtype)] as const;
      });
      await using there = new Session(g, { target });
      const feeds = new Map(pairs.map(([, x, value]) => [x, value]));
      const got = await there.run(
        pairs.map(([y]) => y),
        { feeds },
      );
      expect(got.map(bits)).toEqual(pairs.map(([, , value]) => bits(value)));
    });

    test("64 MiB go there and back", async () => {
      const g = newGraph();
      const x = placeholder(g, "float32", { shape: [null] });
      const data = Float32Array.from({ length: 1 << 24 }, (_, i) => i);
      await using there = new Session(g, { target });
      const got = await there.run(multiply(x, 2), {
        feeds: new Map([[x, fromData("float32", [1 << 24], data)]]),
      });
      expect(got.data[(1 << 24) - 1]).toBe(2 * ((1 << 24) - 1));
    });

    test("errors have TensorFlow's code and sentence, and the node", async () => {
      await resetCluster(target);
      const g = newGraph();
      const x = placeholder(g, "int32", { name: "x" });
      const w = getVariable(g, "unset", { shape: [], initializer: onesInitializer() });
      const ratio = g.add("FloorDiv", [x, 0], { name: "ratio" });
      await using there = new Session(g, { target });
      expect(await caught(there.run(w.snapshot))).toMatchObject({
        code: "FAILED_PRECONDITION",
        what: expect.stringContaining("Attempting to use uninitialized value unset"),
      });
      expect(await caught(there.run(ratio, { feeds: { x: 1 } }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        at: "ratio",
        what: expect.stringContaining("Integer division by zero"),
      });
      expect(await caught(there.run(ratio))).toMatchObject({
        code: "INVALID_ARGUMENT",
        at: "x",
        what: expect.stringContaining("You must feed a value for placeholder tensor 'x'"),
      });
      expect(toNumbers(await there.run(identity(x), { feeds: { x: 3 } }))).toEqual([3]);
    });

    for (const useResource of [false, true]) {
      const kind = useResource ? "resource" : "reference";
      test(`varscope run --server: initialises, trains, saves and restores a MetaGraph of Python, ${kind} variables`, async () => {
        await resetCluster(target);
        const at = join(folder, `cli-server-${kind}`);
        await mkdir(at);
        const model = join(at, "model.meta");
        const names = await tf!.program<Names>("conv_bn_adam", model, { use_resource: useResource });
        const { argv, feeds } = await batchFiles(names, at);
        const on = ["--server", target, "--fetch", names.loss, ...argv];
        const steps = ["--target", names.train, "--steps", "10"];
        const trained = await losses("run", model, "--init", ...steps, "--save", join(at, "m-10"), ...on);
        const there = await tf!.openMeta(model);
        await tf!.run(there, [], {}, [names.init]);
        const want = await tf!.train(
          there,
          { loss: names.loss, train: names.train, batches: [feeds] },
          0,
          20,
        );
        expect(relative(trained, want.slice(0, 10))).toBeLessThan(TOLERANCE);
        await resetCluster(target);
        const further = await losses("run", model, "--checkpoint", join(at, "m-10"), ...steps, ...on);
        expect(relative(further, want.slice(10))).toBeLessThan(TOLERANCE);

        // without a saver: by name, through the initializers and the variables' reads
        const bare = join(at, "bare.pb");
        const { graph } = readMetaGraph(await readFile(model), { registry: CORE_OPS });
        await writeFile(bare, writeGraphDef(graph));
        await resetCluster(target);
        const named = ["--checkpoint", join(at, "m-10"), ...steps, "--save", join(at, "bare-20")];
        expect(relative(await losses("run", bare, ...named, ...on), want.slice(10))).toBeLessThan(TOLERANCE);
        await tf!.restore(there, join(at, "bare-20"));
        const next = await tf!.train(there, { loss: names.loss, train: names.train, batches: [feeds] }, 0, 1);
        expect(next[0]!).toBeLessThan(want.at(-1)! * 1.05);
      });
    }

    test("a graph may grow between runs", async () => {
      const g = newGraph();
      let y = g.constant(1);
      await using there = new Session(g, { target });
      for (const want of [2, 4, 8]) {
        y = multiply(y, 2);
        expect(toNumbers(await there.run(y))).toEqual([want]);
      }
    });

    test("sessions share variables by name; an isolated one has its own; a reset clears them and ends the sessions", async () => {
      await resetCluster(target);
      const build = () => {
        const g = newGraph();
        const v = getVariable(g, "shared", { shape: [], initializer: onesInitializer(), useResource: true });
        return { g, v, init: globalVariablesInitializer(g), more: v.assignAdd(1) };
      };
      const [a, b] = [build(), build()];
      await using first = new Session(a.g, { target });
      await using second = new Session(b.g, { target: servers.target("worker", 0) });
      await using alone = new Session(b.g, { target, isolateSessionState: true });
      await first.run([], { targets: [a.init] });
      await Promise.all([first.run(a.more), second.run(b.more)]);
      expect(toNumbers(await second.run(b.v))).toEqual([3]);
      expect((await caught(alone.run(b.v))).code).toBe("FAILED_PRECONDITION");
      await resetCluster(target);
      expect((await caught(first.run(a.v))).code).toBe("ABORTED");
      await using fresh = new Session(a.g, { target });
      expect((await caught(fresh.run(a.v))).code).toBe("FAILED_PRECONDITION");
    });

    test("runs overlap: one that waits gets what another gives", async () => {
      await using there = new Session(queueGraph(), { target });
      const taken = there.run("take:0");
      await there.run([], { targets: ["put"] });
      expect(toNumbers((await taken)!)).toEqual([1]);
    });

    test("a run that waits ends by its signal or its time, and the session goes on", async () => {
      await using there = new Session(queueGraph(), { target });
      const abort = new AbortController();
      const waiting = caught(there.run("take:0", { signal: abort.signal }));
      setTimeout(() => abort.abort(), 200);
      expect((await waiting).code).toBe("CANCELLED");
      const start = performance.now();
      expect((await caught(there.run("take:0", { timeoutMs: 300 }))).code).toBe("DEADLINE_EXCEEDED");
      expect(performance.now() - start).toBeLessThan(3000);
      const signal = AbortSignal.timeout(300);
      expect((await caught(there.run("take:0", { signal }))).code).toBe("DEADLINE_EXCEEDED");
      await there.run([], { targets: ["put"] });
      expect(toNumbers((await there.run("take:0"))!)).toEqual([1]);
    });

    test("a step in parts: what is fed later follows from what was fetched", async () => {
      const g = newGraph();
      const [a, b] = ["a", "b"].map((name) => placeholder(g, "float32", { shape: [], name }));
      const doubled = multiply(a!, 2);
      const product = multiply(doubled, b!);
      await using there = new Session(g, { target });
      const parts = await there.remote!.partialRun([doubled, product], [a!, b!]);
      const first = toNumbers(await parts.run(doubled, new Map([[a!, 3]])))[0]!;
      expect(toNumbers(await parts.run(product, new Map([[b!, first + 1]])))).toEqual([42]);
    });

    test("devices are those of all three tasks, and a trace says which of them ran what", async () => {
      const g = newGraph();
      const [x, y] = [0, 1].map((task) =>
        g.withDevice(`/job:worker/task:${task}`, () => multiply(placeholder(g, "float32", { shape: [] }), 2)),
      );
      await using there = new Session(g, { target });
      const tasks = (await there.remote!.listDevices()).map((d) => d.name).sort();
      expect(tasks).toEqual(
        ["ps", "worker", "worker"].map(
          (job, i) => `/job:${job}/replica:0/task:${i === 2 ? 1 : 0}/device:CPU:0`,
        ),
      );
      const ran = new Set<string>();
      await there.run([x!, y!], {
        feeds: new Map([x!, y!].map((z) => [z.op.inputs[0]!, 1])),
        onMetadata: ({ stepStats }) => {
          for (const { device, nodeStats } of stepStats?.devStats ?? [])
            for (const n of nodeStats) ran.add(`${device} ${n.nodeName}`);
        },
      });
      expect([...ran]).toContain(`/job:worker/replica:0/task:1/device:CPU:0 ${y!.op.name}`);
    });
  });

  describe.skipIf(tf === null)("a server", () => {
    let server!: Servers;
    beforeAll(async () => {
      server = (await startServers({ local: 1 }, { TF_ENABLE_ONEDNN_OPTS: "0" }))!;
    }, 120_000);
    afterAll(() => server?.close());

    test("computes what the goldens of all op cases say", async () => {
      const { ran, differences } = await remoteDifferences(server.target("local", 0));
      expect(differences).toEqual({});
      expect(ran).toBeGreaterThan(2500);
    }, 600_000);
  });
}
