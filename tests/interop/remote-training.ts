/** @file Training on a cluster: losses, checkpoints, tasks that die, monitored sessions, the command line. */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CORE_OPS,
  fromData,
  getGlobalStep,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  newGraph,
  onesInitializer,
  readMetaGraph,
  resetCluster,
  Session,
  type Tensor,
  toNumbers,
  writeGraphDef,
  writeNpy,
} from "varscope";
import { monitoredTrainingSession, replicaDeviceSetter, saver } from "varscope/train";
import { expect, test } from "vitest";
import type { Servers } from "../../examples/cluster/servers.ts";
import { bits, caught, relative, trainHere } from "./measures.ts";
import * as nets from "./nets.ts";
import { command, type Names } from "./python-graphs.ts";
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

/** A call of tests/goldens/saved-model-run. */
interface SavedCall {
  readonly name: string;
  readonly tags: readonly string[];
  readonly signature: string;
  readonly feeds: Readonly<Record<string, { shape: readonly number[]; values: readonly unknown[] }>>;
  readonly outputs: Readonly<Record<string, { values: readonly unknown[] }>>;
}

/** Flat values as an array of arrays. */
const nested = (values: readonly unknown[], [size, ...rest]: readonly number[]): unknown => {
  if (size === undefined) return values[0];
  const each = values.length / size;
  return Array.from({ length: size }, (_, i) => nested(values.slice(i * each, (i + 1) * each), rest));
};

/** Tests. @param servers - one parameter server and two workers, once tests run */
export function trainingOnCluster(servers: () => Servers, tf: TensorFlow, folder: string): void {
  const target = (): string => servers().target("worker", 0);

  for (const [title, build] of Object.entries(NETS)) {
    test(`${title}: three processes give the losses of this one`, async () => {
      await resetCluster(target());
      const net = build(onWorker(servers()));
      await using here = new Session(net.graph);
      await here.run([], { targets: [net.init] });
      await using there = await initialized(net, target());
      const theirs = await trainHere(there, net, 0, 100);
      expect(relative(await trainHere(here, net, 0, 100), theirs)).toBeLessThan(TOLERANCE);
      expect(theirs.at(-1)).toBeLessThan(theirs[0]! * 0.95);
      expect(globalVariables(net.graph).map((v) => v.op.device)).toContain("/job:ps/task:0");
    });
  }

  test("checkpoints go from the cluster to a local session and back, slots too", async () => {
    await resetCluster(target());
    const at = join(folder, "cluster-checkpoint");
    await mkdir(at);
    const net = nets.mlp(onWorker(servers()));
    await using there = await initialized(net, target());
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
    await resetCluster(target());
    const at = join(folder, "cluster-restart");
    await mkdir(at);
    const net = nets.mlp(onWorker(servers()));
    const there = await initialized(net, target());
    const saved = (await net.saver.save(there, join(at, "m")))!;
    const want = await trainHere(there, net, 0, 5);
    await servers().kill("ps", 0);
    const lost = await caught(there.run(net.loss, { feeds: net.batches[0]!, targets: [net.train] }));
    expect(["UNAVAILABLE", "ABORTED"]).toContain(lost.code);
    await servers().kill("worker", 0);
    const gone = await caught(there.run(net.loss, { feeds: net.batches[0]! }));
    expect(gone.code).toBe("UNAVAILABLE");
    await servers().restart("ps", 0);
    await servers().restart("worker", 0);
    await there.close();
    await using again = new Session(net.graph, { target: target(), connectTimeoutMs: 20_000 });
    await net.saver.restore(again, saved);
    expect(relative(await trainHere(again, net, 0, 5), want)).toBeLessThan(TOLERANCE);
  });

  test("a monitored training outlives its parameter server", async () => {
    await resetCluster(target());
    const net = nets.mlp(onWorker(servers()));
    const feeds = net.batches[0]!;
    await using here = new Session(net.graph);
    await here.run([], { targets: [net.init] });
    const want = await trainHere(here, { ...net, batches: [feeds] }, 0, 20);
    const training = await monitoredTrainingSession(net.graph, {
      checkpointDir: join(folder, "cluster-monitored"),
      saveCheckpointSteps: 5,
      saveSummariesSteps: null,
      session: { target: target(), connectTimeoutMs: 30_000 },
      log: () => undefined,
    });
    const got: number[] = [];
    const steps: number[] = [];
    for (let runs = 0; steps.at(-1) !== 20; runs++) {
      if (runs === 13) {
        await servers().kill("ps", 0);
        await servers().restart("ps", 0);
      }
      const [loss, step] = await training.run([net.loss, "global_step/read:0"], {
        feeds,
        targets: [net.train],
      });
      const after = Number(await training.rawSession.run("global_step:0").then((t) => t!.data[0]));
      expect(Math.abs(after - toNumbers(step!)[0]!)).toBeLessThanOrEqual(1);
      got[after - 1] = toNumbers(loss!)[0]!;
      steps.push(after);
    }
    await training.close();
    expect(relative(got, want)).toBeLessThan(TOLERANCE);
    expect(steps.length).toBeGreaterThan(20); // some were done again
  });

  test("a worker waits for its chief, and both train the same variables", async () => {
    await resetCluster(target());
    const build = (task: number) =>
      nets.embedding(
        true,
        replicaDeviceSetter({ cluster: servers().cluster, workerDevice: `/job:worker/task:${task}` }),
      );
    const [chief, worker] = [build(0), build(1)];
    const waiting = monitoredTrainingSession(worker.graph, {
      isChief: false,
      session: { target: servers().target("worker", 1) },
      log: () => undefined,
    });
    const first = await monitoredTrainingSession(chief.graph, {
      session: { target: target() },
      log: () => undefined,
    });
    const second = await waiting;
    await Promise.all(
      [first, second].map(async (session, i) => {
        for (let step = 0; step < 10; step++) {
          await session.run([], { feeds: chief.batches[i]!, targets: [[chief, worker][i]!.train] });
        }
      }),
    );
    const step = await first.rawSession.run(getGlobalStep(chief.graph)!.snapshot);
    expect(toNumbers(step)).toEqual([20]);
    await second.close();
    await first.close();
  });

  test("a sharded saver writes a shard for each task, which a local session restores", async () => {
    await resetCluster(target());
    const at = join(folder, "cluster-sharded");
    await mkdir(at);
    const g = newGraph();
    for (const [i, device] of ["/job:ps/task:0", "/job:worker/task:1"].entries()) {
      g.withDevice(device, () => getVariable(g, `v${i}`, { shape: [2], initializer: onesInitializer() }));
    }
    const [v0, v1] = globalVariables(g);
    const more = [v0!.assignAdd([1, 2]), v1!.assignAdd([3, 4])];
    const sharded = saver(g, { sharded: true });
    const init = globalVariablesInitializer(g);
    await using there = new Session(g, { target: target() });
    await there.run([], { targets: [init] });
    await there.run(more);
    const prefix = (await sharded.save(there, join(at, "m")))!;
    expect((await readdir(at)).filter((f) => f.includes(".data-"))).toEqual([
      "m.data-00000-of-00002",
      "m.data-00001-of-00002",
    ]);
    await using here = new Session(g);
    await sharded.restore(here, prefix);
    expect((await here.run([v0!.snapshot, v1!.snapshot])).map((t) => toNumbers(t))).toEqual([
      [2, 3],
      [4, 5],
    ]);
  });

  for (const useResource of [false, true]) {
    const kind = useResource ? "resource" : "reference";
    test(`varscope run --server: initialises, trains, saves and restores a MetaGraph of Python, ${kind} variables`, async () => {
      await resetCluster(target());
      const at = join(folder, `cli-server-${kind}`);
      await mkdir(at);
      const model = join(at, "model.meta");
      const names = await tf!.program<Names>("conv_bn_adam", model, { use_resource: useResource });
      const { argv, feeds } = await batchFiles(names, at);
      const on = ["--server", target(), "--fetch", names.loss, ...argv];
      const steps = ["--target", names.train, "--steps", "10"];
      const trained = await losses("run", model, "--init", ...steps, "--save", join(at, "m-10"), ...on);
      const there = await tf!.openMeta(model);
      await tf!.run(there, [], {}, [names.init]);
      const want = await tf!.train(there, { loss: names.loss, train: names.train, batches: [feeds] }, 0, 20);
      expect(relative(trained, want.slice(0, 10))).toBeLessThan(TOLERANCE);
      await resetCluster(target());
      const further = await losses("run", model, "--checkpoint", join(at, "m-10"), ...steps, ...on);
      expect(relative(further, want.slice(10))).toBeLessThan(TOLERANCE);

      // without a saver: by name, through the initializers and the variables' reads
      const bare = join(at, "bare.pb");
      const { graph } = readMetaGraph(await readFile(model), { registry: CORE_OPS });
      await writeFile(bare, writeGraphDef(graph));
      await resetCluster(target());
      const named = ["--checkpoint", join(at, "m-10"), ...steps, "--save", join(at, "bare-20")];
      expect(relative(await losses("run", bare, ...named, ...on), want.slice(10))).toBeLessThan(TOLERANCE);
      await tf!.restore(there, join(at, "bare-20"));
      const next = await tf!.train(there, { loss: names.loss, train: names.train, batches: [feeds] }, 0, 1);
      expect(next[0]!).toBeLessThan(want.at(-1)! * 1.05);
    });
  }

  test("varscope run --server answers calls of SavedModels: tables, assets, loops and functions run there", async () => {
    const models = join(import.meta.dirname, "..", "goldens", "saved-model-run");
    const { calls } = JSON.parse(await readFile(join(models, "manifest.json"), "utf8")) as {
      calls: SavedCall[];
    };
    for (const { name, tags, signature, feeds, outputs } of calls) {
      await resetCluster(target());
      const given = Object.entries(feeds).flatMap(([input, { shape, values }]) => [
        "--feed",
        `${input}=${JSON.stringify(nested(values, shape))}`,
      ]);
      const how = ["--tags", tags.join(), "--signature", signature, "--server", target()];
      const { fetches } = JSON.parse(await command(["run", join(models, name), ...how, ...given]));
      const got = Object.entries(fetches as Record<string, unknown>).map(([k, v]) => [k, [v].flat(9)]);
      expect(Object.fromEntries(got), name).toEqual(
        Object.fromEntries(Object.entries(outputs).map(([k, { values }]) => [k, values])),
      );
    }
  });
}
